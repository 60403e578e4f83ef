//! Prometheus' text format 0.0.4, line by line.

use alloc::string::String;
use core::fmt::{self, Display, Write};

/// What a metric is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// The text so far.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins the metrics of a name.
    pub(super) fn family(&mut self, name: &str, help: &str, kind: Kind) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.line(format_args!("# HELP {name} {}", Escaped::help(help)));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// Writes one of them, with what [`labels`] made of its labels.
    pub(super) fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        self.line(format_args!("{name}{labels} {value}"));
    }

    /// Writes a metric that is alone with its name.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, help, Kind::Gauge);
        self.sample(name, "", value);
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // A String takes everything.
        let _ = writeln!(self.0, "{line}");
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Writes labels: `{card="net",direction="in"}`, nothing where there are none.
pub(super) fn labels(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (number, (name, value)) in labels.iter().enumerate() {
        let before = if number == 0 { '{' } else { ',' };
        // A String takes everything.
        let _ = write!(text, "{before}{name}=\"{}\"", Escaped::value(value));
    }
    if !text.is_empty() {
        text.push('}');
    }
    text
}

/// A text in which backslashes, line feeds and, in a label's value, quotation marks stand behind a backslash, a
/// line feed as `n`.
struct Escaped<'a> {
    text: &'a str,
    quoted: bool,
}

impl<'a> Escaped<'a> {
    fn help(text: &'a str) -> Self {
        Self {
            text,
            quoted: false,
        }
    }

    fn value(text: &'a str) -> Self {
        Self { text, quoted: true }
    }
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.text.chars() {
            match letter {
                '\n' => f.write_str("\\n")?,
                '\\' => f.write_str("\\\\")?,
                '"' if self.quoted => f.write_str("\\\"")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
