//! The table as a plot: for each measure a bar for each system, as long as its median, with a line over its spread.
//!
//! Measures differ by many powers of ten, so each has a scale of its own, whose end is the largest value.

use svg::Document;
use svg::node::element::{Group, Line, Rectangle, Text, Title};

use super::figure::{Figure, Samples, number, spread};
use super::table::{Row, Table};

/// Pixels.
const WIDTH: f64 = 960.0;
const MARGIN: f64 = 16.0;
/// Where bars begin, to the right of the systems' names, and how long the longest is.
const BARS: f64 = 190.0;
const LONGEST: f64 = 460.0;
/// Heights of a heading, of a bar, of what lies between two bars, and between two measures.
const HEADING: f64 = 22.0;
const BAR: f64 = 14.0;
const GAP: f64 = 4.0;
const SPACE: f64 = 14.0;

/// By system, again from the front after the last (Okabe and Ito's colours, which everybody can tell apart).
const COLOURS: [&str; 6] = [
    "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7",
];

/// Returns an SVG document.
pub(super) fn draw(title: &str, table: &Table) -> String {
    let mut y = MARGIN + HEADING;
    let mut rows = Group::new().add(text(MARGIN, y, 15.0, title).set("font-weight", "bold"));
    y += HEADING;
    let explanation = "Bars are medians, lines go from the smallest to the largest value; each measure has its own scale.";
    rows = rows.add(text(MARGIN, y, 12.0, explanation));
    y += SPACE;
    for row in table.rows() {
        let numbers = numbers(table, row);
        if numbers.is_empty() {
            continue;
        }
        rows = rows.add(measure(table, row, &numbers, y));
        y += HEADING + numbers.len() as f64 * (BAR + GAP) + SPACE;
    }
    let height = y + MARGIN;
    let background = Rectangle::new()
        .set("width", WIDTH)
        .set("height", height)
        .set("fill", "white");
    let document = Document::new()
        .set("viewBox", (0.0, 0.0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .set("font-family", "sans-serif")
        .add(Title::new(title))
        .add(background)
        .add(rows);
    format!("{document}\n")
}

fn numbers<'a>(table: &'a Table, row: &'a Row) -> Vec<(&'a str, &'a Samples)> {
    let figures = table.figures(row);
    let numbers = figures.filter_map(|(system, figure)| match figure {
        Figure::Number(samples) => Some((system, samples)),
        Figure::Text(_) => None,
    });
    numbers.collect()
}

/// The bars of one measure, from `top` downwards.
fn measure(table: &Table, row: &Row, numbers: &[(&str, &Samples)], top: f64) -> Group {
    let most = numbers.iter().map(|(_, samples)| samples.most());
    let most = most.fold(f64::MIN_POSITIVE, f64::max);
    let scale = |value: f64| BARS + value / most * LONGEST;
    let heading = text(MARGIN, top + HEADING - 6.0, 13.0, &row.measure);
    let mut group = Group::new().add(heading.set("font-weight", "bold"));
    for (index, (system, samples)) in numbers.iter().enumerate() {
        let y = top + HEADING + index as f64 * (BAR + GAP);
        let baseline = y + BAR - 3.0;
        let position = table.systems().position(|name| name == *system);
        let colour = COLOURS[position.unwrap_or(0) % COLOURS.len()];
        let bar = Rectangle::new()
            .set("x", BARS)
            .set("y", y)
            .set("width", scale(samples.median()) - BARS)
            .set("height", BAR)
            .set("fill", colour);
        let middle = y + BAR / 2.0;
        let whisker = Line::new()
            .set("x1", scale(samples.least()))
            .set("x2", scale(samples.most()))
            .set("y1", middle)
            .set("y2", middle)
            .set("stroke", "black")
            .set("stroke-width", 1.5);
        let mut label = spread(samples, number);
        if !samples.errors().is_empty() {
            label.push_str(", with errors");
        }
        let name = text(BARS - 8.0, baseline, 12.0, system).set("text-anchor", "end");
        let value = text(scale(samples.most()) + 6.0, baseline, 12.0, &label);
        group = group.add(name).add(bar).add(whisker).add(value);
    }
    group
}

fn text(x: f64, y: f64, size: f64, content: &str) -> Text {
    Text::new(content)
        .set("x", x)
        .set("y", y)
        .set("font-size", size)
}

#[cfg(test)]
mod tests {
    use svg::node::element::tag::Type;
    use svg::parser::Event;

    use super::*;

    #[test]
    fn the_plot_is_well_formed_and_has_a_bar_for_each_number() {
        let mut table = Table::new();
        table
            .column("hello")
            .add("requests/s <1 & more>", vec![20, 40, 30], "");
        table
            .linux_column("Linux")
            .add("requests/s <1 & more>", 2, "");
        table.column("hello").add("load", "needs root", "");
        let plot = draw("a & b", &table);
        let (mut open, mut bars) = (Vec::new(), 0);
        for event in svg::read(&plot).expect("it can be read") {
            match event {
                Event::Error(error) => panic!("{error}"),
                Event::Tag(name, Type::Start, _) => open.push(name),
                Event::Tag(name, Type::End, _) => assert_eq!(open.pop(), Some(name)),
                Event::Tag("rect", Type::Empty, attributes) => {
                    bars += 1;
                    let width: f64 = attributes["width"].parse().expect("a number");
                    assert!((0.0..=WIDTH).contains(&width));
                }
                _ => {}
            }
        }
        assert_eq!(open, Vec::<&str>::new());
        // One is the background.
        assert_eq!(bars, 3);
        assert!(plot.contains("requests/s &lt;1 &amp; more&gt;"));
        assert!(!plot.contains("needs root"));
    }
}
