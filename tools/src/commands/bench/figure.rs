//! What stands in one cell of the table: samples with their median and spread, or a sentence.

use std::fmt::{Display, Formatter};

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Figure {
    /// Something that was measured once or several times.
    Number(Samples),
    /// Something else, such as why it was not measured.
    Text(String),
}

/// Values of the same measure, in the order in which they were taken; never empty.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Samples {
    values: Vec<f64>,
    /// What went wrong meanwhile, each once.
    errors: Vec<String>,
}

/// One value, and what went wrong while it was taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample {
    pub(super) value: f64,
    /// How many times what was measured just before under easier conditions this is, if something was.
    pub(super) kept: Option<f64>,
    pub(super) errors: Vec<String>,
}

impl From<f64> for Sample {
    fn from(value: f64) -> Self {
        Self {
            value,
            ..Self::default()
        }
    }
}

impl Samples {
    /// Returns nothing where there are no values.
    pub(super) fn new(values: Vec<f64>) -> Option<Self> {
        let errors = Vec::new();
        (!values.is_empty()).then_some(Self { values, errors })
    }

    /// The values.
    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    /// What went wrong.
    pub(super) fn errors(&self) -> &[String] {
        &self.errors
    }

    /// The middle value; of an even number of values the higher of the two.
    pub(super) fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    /// The smallest value.
    pub(super) fn least(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The largest value.
    pub(super) fn most(&self) -> f64 {
        self.values
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max)
    }

    /// How many times `other` these are: round by round where there are as many of both, as noise of the machine hits
    /// both in one round; else by the medians. Nothing where `other` has zeros.
    pub(super) fn ratio(&self, other: &Samples) -> Option<Samples> {
        let ratios = if self.values.len() == other.values.len() {
            let pairs = self.values.iter().zip(&other.values);
            pairs.map(|(ours, theirs)| ours / theirs).collect()
        } else {
            vec![self.median() / other.median()]
        };
        let are_finite = ratios.iter().all(|ratio: &f64| ratio.is_finite());
        Samples::new(ratios).filter(|_| are_finite)
    }
}

/// Puts the samples of some rounds together; a measure of which every round failed becomes a sentence.
impl FromIterator<anyhow::Result<Sample>> for Figure {
    fn from_iter<I: IntoIterator<Item = anyhow::Result<Sample>>>(samples: I) -> Self {
        let mut values = Vec::new();
        let mut errors: Vec<String> = Vec::new();
        for sample in samples {
            let complaints = match sample {
                Ok(sample) => {
                    values.push(sample.value);
                    sample.errors
                }
                Err(error) => vec![format!("failed: {error:#}")],
            };
            for complaint in complaints {
                if !errors.contains(&complaint) {
                    errors.push(complaint);
                }
            }
        }
        match Samples::new(values) {
            Some(samples) => Figure::Number(Samples { errors, ..samples }),
            None => Figure::Text(errors.join(", ")),
        }
    }
}

impl From<u64> for Figure {
    fn from(value: u64) -> Self {
        vec![value].into()
    }
}

impl From<Vec<u64>> for Figure {
    /// From one value at least.
    fn from(values: Vec<u64>) -> Self {
        // Bytes, milliseconds and instructions of some seconds are below 2^53.
        let values = values.into_iter().map(|value| value as f64);
        values.map(|value| Ok(value.into())).collect()
    }
}

impl From<Sample> for Figure {
    fn from(sample: Sample) -> Self {
        std::iter::once(Ok(sample)).collect()
    }
}

impl From<&str> for Figure {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Figure {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Display for Figure {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(samples) => samples.fmt(formatter),
            // A bar would end the cell.
            Self::Text(text) => formatter.write_str(&text.replace('|', "/").replace('\n', " ")),
        }
    }
}

impl Display for Samples {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&spread(self, number))?;
        if self.errors.is_empty() {
            return Ok(());
        }
        write!(formatter, "; {}", self.errors.join(", "))
    }
}

/// Writes samples as "median (least–most)", or as one number where all are alike.
pub(super) fn spread(samples: &Samples, write: fn(f64) -> String) -> String {
    let [median, least, most] = [samples.median(), samples.least(), samples.most()].map(write);
    if least == most {
        median
    } else {
        format!("{median} ({least}–{most})")
    }
}

/// Writes a value with as many digits as mean something.
pub(super) fn number(value: f64) -> String {
    // What is measured is positive and below 2^53.
    match value {
        100.0.. => grouped(value.round() as u64),
        _ if value.fract() == 0.0 => grouped(value as u64),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Writes a ratio: "2.31×", "146×".
pub(super) fn times(ratio: f64) -> String {
    match ratio {
        100.0.. => format!("{}×", grouped(ratio.round() as u64)),
        10.0.. => format!("{ratio:.1}×"),
        0.01.. => format!("{ratio:.2}×"),
        _ => format!("{ratio:.5}×"),
    }
}

/// Writes a number with commas: 1234567 as 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn samples(values: &[f64]) -> Samples {
        Samples::new(values.to_vec()).expect("there are values")
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn the_median_is_the_middle_and_the_spread_its_ends() {
        let some = samples(&[5.0, 1.0, 3.0]);
        assert_eq!([some.median(), some.least(), some.most()], [3.0, 1.0, 5.0]);
        assert_eq!(samples(&[7.0]).median(), 7.0);
        assert_eq!(Samples::new(Vec::new()), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let ratio = samples(&[10.0, 40.0, 30.0]).ratio(&samples(&[5.0, 10.0, 10.0]));
        assert_eq!(ratio, Some(samples(&[2.0, 4.0, 3.0])));
        let of_medians = samples(&[10.0, 40.0, 30.0]).ratio(&samples(&[10.0]));
        assert_eq!(of_medians, Some(samples(&[3.0])));
        assert_eq!(samples(&[1.0]).ratio(&samples(&[0.0])), None);
    }

    #[test]
    fn a_cell_shows_median_spread_and_errors() {
        let sample = |value: f64, errors: &[&str]| {
            let errors = errors.iter().map(ToString::to_string).collect();
            Ok(Sample {
                errors,
                ..value.into()
            })
        };
        let good = [
            sample(1200.4, &[]),
            sample(1000.0, &[]),
            sample(1500.0, &[]),
        ];
        let good: Figure = good.into_iter().collect();
        assert_eq!(good.to_string(), "1,200 (1,000–1,500)");
        let bad = [
            sample(9.5, &["read 3"]),
            sample(9.5, &["read 3"]),
            Err(anyhow!("gone")),
        ];
        let bad: Figure = bad.into_iter().collect();
        assert_eq!(bad.to_string(), "9.50; read 3, failed: gone");
        let none: Figure = [Err(anyhow!("a|b"))].into_iter().collect();
        assert_eq!(none.to_string(), "failed: a/b");
        assert_eq!(Figure::from(vec![57, 57]).to_string(), "57");
    }

    #[test]
    fn ratios_have_three_digits() {
        assert_eq!(
            [146.2, 14.62, 1.462, 0.25].map(times),
            ["146×", "14.6×", "1.46×", "0.25×"]
        );
    }
}
