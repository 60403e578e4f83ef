//! Every text of the page can be read: contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3) in the light
//! and the dark scheme, computed from the colours in `assets/style.css`.

use std::collections::BTreeMap;

const STYLE: &str = include_str!("../assets/style.css");
const TEXT: f64 = 4.5;
/// For the ring around what has the focus (WCAG 2.2, 1.4.11).
const GRAPHICS: f64 = 3.0;

type Colour = [f64; 4];
type Scheme = BTreeMap<&'static str, Colour>;

/// Reads `#rrggbb` or `#rrggbbaa` into parts from 0 to 1.
fn colour(text: &str) -> Option<Colour> {
    let digits = text.strip_prefix('#')?;
    let part = |index: usize| {
        let pair = digits.get(index * 2..index * 2 + 2)?;
        Some(f64::from(u8::from_str_radix(pair, 16).ok()?) / 255.0)
    };
    Some([part(0)?, part(1)?, part(2)?, part(3).unwrap_or(1.0)])
}

/// Returns the colours that a block of custom properties defines.
fn colours(block: &'static str) -> Scheme {
    let lines = block.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix("--")?.split_once(':')?;
        Some((name, colour(value.trim().trim_end_matches(';'))?))
    });
    lines.collect()
}

/// Returns the light scheme and the dark one, which changes some of its colours.
fn schemes() -> [(&'static str, Scheme); 2] {
    let mut blocks = STYLE.split(":root {").skip(1).map(|rest| {
        let (block, _) = rest.split_once('}').expect("the block ends");
        colours(block)
    });
    let light = blocks.next().expect("the light scheme");
    let mut dark = light.clone();
    dark.extend(blocks.next().expect("the dark scheme"));
    [("light", light), ("dark", dark)]
}

/// Returns what is seen where `above`, which lets some light through, lies on `below`.
fn over(above: Colour, below: Colour) -> Colour {
    let mix = |part: usize| above[part] * above[3] + below[part] * (1.0 - above[3]);
    [mix(0), mix(1), mix(2), 1.0]
}

fn luminance([red, green, blue, _]: Colour) -> f64 {
    let linear = |part: f64| {
        if part <= 0.04045 {
            part / 12.92
        } else {
            ((part + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
}

fn contrast(one: Colour, other: Colour) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn tiles() -> impl Iterator<Item = String> {
    (1..=17).map(|exponent| (1u32 << exponent).to_string())
}

#[test]
fn the_formula_is_that_of_wcag() {
    let black = colour("#000000").expect("a colour");
    let white = colour("#ffffff").expect("a colour");
    assert!((contrast(black, white) - 21.0).abs() < 1e-9);
    let grey = colour("#767676").expect("a colour");
    assert!((contrast(grey, white) - 4.54).abs() < 0.01);
}

#[test]
fn every_tile_can_be_read() {
    for (name, scheme) in schemes() {
        for value in tiles() {
            let tile = scheme[&*format!("tile-{value}")];
            let reached = contrast(tile, scheme[&*format!("ink-{value}")]);
            assert!(
                reached >= TEXT,
                "{name} scheme: tile {value} reaches {reached:.2}"
            );
            assert!(
                STYLE.contains(&format!(
                    "[data-value=\"{value}\"] {{ --tint: var(--tile-{value}); --tile-ink: var(--ink-{value}); }}"
                )),
                "tile {value} has its colours"
            );
        }
    }
}

#[test]
fn every_text_can_be_read() {
    let pairs = [
        ("ink", "ground", TEXT),
        ("quiet-ink", "ground", TEXT),
        ("accent", "ground", TEXT),
        ("ink", "panel", TEXT),
        ("quiet-ink", "panel", TEXT),
        ("button-ink", "button", TEXT),
        ("button-ink", "button-hover", TEXT),
        ("focus", "ground", GRAPHICS),
        ("focus", "sea", GRAPHICS),
    ];
    for (name, scheme) in schemes() {
        for (ink, ground, least) in pairs {
            let reached = contrast(scheme[ink], scheme[ground]);
            assert!(
                reached >= least,
                "{name} scheme: {ink} on {ground} reaches {reached:.2}"
            );
        }
    }
}

#[test]
fn text_on_the_veil_can_be_read_whatever_lies_below() {
    for (name, scheme) in schemes() {
        for value in tiles() {
            let below = scheme[&*format!("tile-{value}")];
            let reached = contrast(scheme["ink"], over(scheme["veil"], below));
            assert!(
                reached >= TEXT,
                "{name} scheme: over tile {value} it reaches {reached:.2}"
            );
        }
    }
}

#[test]
fn text_on_contours_can_be_read() {
    for (name, scheme) in schemes() {
        let line = over(scheme["contour"], scheme["ground"]);
        let reached = contrast(scheme["quiet-ink"], line);
        assert!(
            reached >= TEXT,
            "{name} scheme: on a contour it reaches {reached:.2}"
        );
    }
}
