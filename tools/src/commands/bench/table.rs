//! The table that the bench prints: a row for each measure, a column for each system.

use std::fmt::{Display, Formatter};

use super::figure::{Figure, Samples, spread, times};

/// Measures of some systems.
#[derive(Debug, Default)]
pub(super) struct Table {
    systems: Vec<System>,
    rows: Vec<Row>,
}

/// What is measured.
#[derive(Debug)]
struct System {
    name: String,
    is_linux: bool,
}

/// One measure.
#[derive(Debug)]
pub(super) struct Row {
    /// What it is, with its unit.
    pub(super) measure: String,
    /// How it is taken.
    pub(super) how: &'static str,
    /// By system; shorter where a measure came first with a later one.
    figures: Vec<Option<Figure>>,
}

/// The column of one system.
pub(super) struct Column<'table> {
    table: &'table mut Table,
    index: usize,
}

impl Table {
    /// Without any measure.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The column of one of our systems, made where there is none.
    pub(super) fn column(&mut self, name: &str) -> Column<'_> {
        self.column_of(name, false)
    }

    /// The column of a Linux, with which ours are compared, made where there is none.
    pub(super) fn linux_column(&mut self, name: &str) -> Column<'_> {
        self.column_of(name, true)
    }

    fn column_of(&mut self, name: &str, is_linux: bool) -> Column<'_> {
        let position = self.systems.iter().position(|system| system.name == name);
        let index = position.unwrap_or_else(|| {
            let name = name.to_owned();
            self.systems.push(System { name, is_linux });
            self.systems.len() - 1
        });
        Column { table: self, index }
    }

    /// The names of the systems.
    pub(super) fn systems(&self) -> impl Iterator<Item = &str> {
        self.systems.iter().map(|system| system.name.as_str())
    }

    /// The measures, in the order in which they were taken first.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What a row has, by the name of the system.
    pub(super) fn figures<'a>(
        &'a self,
        row: &'a Row,
    ) -> impl Iterator<Item = (&'a str, &'a Figure)> {
        let pairs = self.systems().zip(&row.figures);
        pairs.filter_map(|(name, figure)| Some((name, figure.as_ref()?)))
    }

    /// How many times what Linux has each of our systems has in a row. Of two Linux systems the last counts.
    pub(super) fn ratios<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = (&'a str, Samples)> {
        let numbers = |is_linux| {
            let pairs = self.systems.iter().zip(&row.figures);
            pairs.filter_map(move |(system, figure)| match figure {
                Some(Figure::Number(samples)) if system.is_linux == is_linux => {
                    Some((system.name.as_str(), samples))
                }
                _ => None,
            })
        };
        let linux = numbers(true).next_back();
        numbers(false).filter_map(move |(name, samples)| Some((name, samples.ratio(linux?.1)?)))
    }

    /// Returns whether ours are compared with a Linux.
    pub(super) fn has_linux(&self) -> bool {
        self.systems.iter().any(|system| system.is_linux)
    }

    /// The cell of a row that says how we compare to Linux: a ratio, and whose it is if there are several.
    fn comparison(&self, row: &Row) -> String {
        let ratios: Vec<_> = self.ratios(row).collect();
        match ratios.as_slice() {
            [] => "-".to_owned(),
            [(_, ratio)] => spread(ratio, times),
            several => several
                .iter()
                .map(|(name, ratio)| format!("{name} {}", spread(ratio, times)))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

impl Column<'_> {
    /// The system's name.
    pub(super) fn name(&self) -> &str {
        &self.table.systems[self.index].name
    }

    /// Says on standard error what is being measured.
    pub(super) fn announce(&self, what: &str) {
        eprintln!("bench: {}: {what}", self.name());
    }

    /// Fills in a measure; `how` it was taken is said once.
    pub(super) fn add(&mut self, measure: &str, figure: impl Into<Figure>, how: &'static str) {
        let figure = figure.into();
        self.announce(&format!("{measure}: {figure}"));
        let rows = &mut self.table.rows;
        let position = rows.iter().position(|row| row.measure == measure);
        let position = position.unwrap_or_else(|| {
            rows.push(Row {
                measure: measure.to_owned(),
                how,
                figures: Vec::new(),
            });
            rows.len() - 1
        });
        let figures = &mut rows[position].figures;
        figures.resize(figures.len().max(self.index + 1), None);
        figures[self.index] = Some(figure);
    }
}

impl Display for Table {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        let mut heads: Vec<&str> = self.systems().collect();
        let compares = self.has_linux();
        if compares {
            heads.push("ratio to Linux");
        }
        writeln!(formatter, "| measure | {} | how |", heads.join(" | "))?;
        writeln!(formatter, "|---|{}---|", "---:|".repeat(heads.len()))?;
        for row in &self.rows {
            let cell = |figure: Option<&Option<Figure>>| {
                let figure = figure.and_then(Option::as_ref);
                figure.map_or_else(|| "-".to_owned(), ToString::to_string)
            };
            let systems = 0..self.systems.len();
            let mut cells: Vec<String> = systems.map(|it| cell(row.figures.get(it))).collect();
            if compares {
                cells.push(self.comparison(row));
            }
            let Row { measure, how, .. } = row;
            writeln!(formatter, "| {measure} | {} | {how} |", cells.join(" | "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_columns() {
        let mut table = Table::new();
        table.column("hello").add("image", 1, "the file");
        table.column("2048").add("image", 2, "the file");
        table.column("2048").add("assets", 3, "apart");
        let expected = "| measure | hello | 2048 | how |\n|---|---:|---:|---|\n\
                        | image | 1 | 2 | the file |\n| assets | - | 3 | apart |\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn ours_are_compared_with_the_last_linux() {
        let mut table = Table::new();
        table.column("hello").add("image", 10, "");
        table.linux_column("busybox").add("image", 40, "");
        table.linux_column("nginx").add("image", 50, "");
        table.column("hello").add("load", vec![10, 30, 20], "");
        table.column("2048").add("load", 5, "");
        table.linux_column("nginx").add("load", vec![1, 2, 2], "");
        table.column("hello").add("alone", 1, "");
        let lines: Vec<String> = table.to_string().lines().map(str::to_owned).collect();
        assert_eq!(
            lines[0],
            "| measure | hello | busybox | nginx | 2048 | ratio to Linux | how |"
        );
        assert_eq!(lines[2], "| image | 10 | 40 | 50 | - | 0.20× |  |");
        let ratios = "hello 10.0× (10.0×–15.0×), 2048 2.50×";
        assert_eq!(
            lines[3],
            format!("| load | 20 (10–30) | - | 2 (1–2) | 5 | {ratios} |  |")
        );
        assert_eq!(lines[4], "| alone | 1 | - | - | - | - |  |");
    }
}
