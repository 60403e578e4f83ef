//! Metrics in Prometheus' text format, for a page that a monitoring system reads.
//!
//! A [`Metrics`] has what the runtime counts (`own`) and what an app registers with it, and is written as
//! text when someone asks (`text`). What is counted costs nothing but its memory until then.
//!
//! ```no_run
//! use landfall::metrics::{MetricError, Metrics};
//! # fn example(system: &landfall::System) -> Result<(), MetricError> {
//! let metrics = Metrics::new(system);
//! let games = metrics.counter("games_total", "Games that were begun.", &[])?;
//! let players = metrics.gauge("players", "Who plays now.", &[("kind", "human")])?;
//! games.add(1);
//! players.set(3);
//! // The answer to `GET /metrics`, with content type `Metrics::CONTENT_TYPE`:
//! let text = metrics.render();
//! # Ok(())
//! # }
//! ```

mod own;
mod text;

use crate::System;
use alloc::{
    rc::Rc,
    string::{String, ToString},
    vec::Vec,
};
use core::{
    cell::{Cell, RefCell},
    fmt,
};
use text::{Kind, Text};

/// What the names of the runtime's own metrics begin with.
const OWN: &str = "landfall_";

/// A registry of metrics. Clones are handles of the same.
#[derive(Clone)]
pub struct Metrics(Rc<Inner>);

struct Inner {
    system: System,
    families: RefCell<Vec<Family>>,
}

/// The metrics of one name.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    series: Vec<Series>,
}

/// One of them: its labels as text, and its value.
struct Series {
    labels: String,
    value: Value,
}

#[derive(Clone)]
enum Value {
    Counter(Rc<Cell<u64>>),
    Gauge(Rc<Cell<i64>>),
    /// A gauge in thousandths.
    Decimal(Rc<Cell<i64>>),
}

/// A number that only grows. Clones are handles of the same.
#[derive(Clone, Debug, Default)]
pub struct Counter(Rc<Cell<u64>>);

impl Counter {
    /// Counts `more`.
    pub fn add(&self, more: u64) {
        self.0.set(self.0.get().wrapping_add(more));
    }
}

/// A number that goes up and down. Clones are handles of the same.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Rc<Cell<i64>>);

impl Gauge {
    /// Makes it `value`.
    pub fn set(&self, value: i64) {
        self.0.set(value);
    }

    /// Adds `more`, which may be negative.
    pub fn add(&self, more: i64) {
        self.0.set(self.0.get().wrapping_add(more));
    }
}

/// Why a metric cannot be registered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MetricError {
    /// The name is not one for Prometheus.
    BadName(&'static str),
    /// The name begins like the runtime's own.
    Reserved(&'static str),
    /// A counter's name has to end in `_total`, and that of a gauge must not.
    BadEnding(&'static str),
    /// A label's name is not one for Prometheus.
    BadLabel(String),
    /// The name is registered with the same labels.
    Twice(&'static str),
    /// The name is registered with another kind or help text.
    Different(&'static str),
}

impl fmt::Display for MetricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName(name) => write!(
                f,
                "metric name `{name}`: letters, digits, _ and : are allowed, and no digit in front"
            ),
            Self::Reserved(name) => {
                write!(f, "metric name `{name}`: {OWN} is for the runtime's own")
            }
            Self::BadEnding(name) => write!(
                f,
                "metric name `{name}`: counters end in _total, gauges do not"
            ),
            Self::BadLabel(label) => write!(
                f,
                "label `{label}`: letters, digits and _ are allowed, no digit and no __ in front, \
                 and each label once"
            ),
            Self::Twice(name) => write!(f, "metric `{name}` has these labels already"),
            Self::Different(name) => {
                write!(f, "metric `{name}` has another kind or another help text")
            }
        }
    }
}

impl core::error::Error for MetricError {}

impl Metrics {
    /// The media type of [`Self::render`]'s text.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Makes a registry with the runtime's own metrics.
    pub fn new(system: &System) -> Self {
        Self(Rc::new(Inner {
            system: system.clone(),
            families: RefCell::default(),
        }))
    }

    /// Registers a counter. Its name ends in `_total`, before that the unit where there is one
    /// (`…_bytes_total`); one name may be registered again with other labels.
    ///
    /// # Errors
    /// [`MetricError`].
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
    ) -> Result<Counter, MetricError> {
        let counter = Counter::default();
        self.register(name, help, labels, Value::Counter(counter.0.clone()))?;
        Ok(counter)
    }

    /// Registers a gauge. Its name ends in the unit where there is one (`…_bytes`); one name may be
    /// registered again with other labels.
    ///
    /// # Errors
    /// [`MetricError`].
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
    ) -> Result<Gauge, MetricError> {
        let gauge = Gauge::default();
        self.register(name, help, labels, Value::Gauge(gauge.0.clone()))?;
        Ok(gauge)
    }

    /// Registers a gauge that is set in thousandths and written as a decimal number: 21500 as 21.5.
    ///
    /// # Errors
    /// [`MetricError`].
    pub fn decimal_gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
    ) -> Result<Gauge, MetricError> {
        let gauge = Gauge::default();
        self.register(name, help, labels, Value::Decimal(gauge.0.clone()))?;
        Ok(gauge)
    }

    fn register(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        value: Value,
    ) -> Result<(), MetricError> {
        let kind = match &value {
            Value::Counter(_) => Kind::Counter,
            Value::Gauge(_) | Value::Decimal(_) => Kind::Gauge,
        };
        check_name(name, kind)?;
        check_labels(labels)?;
        let labels = text::labels(labels);
        let mut families = self.0.families.borrow_mut();
        let Some(family) = families.iter_mut().find(|family| family.name == name) else {
            families.push(Family {
                name,
                help,
                kind,
                series: alloc::vec![Series { labels, value }],
            });
            return Ok(());
        };
        if family.kind != kind || family.help != help {
            return Err(MetricError::Different(name));
        }
        if family.series.iter().any(|series| series.labels == labels) {
            return Err(MetricError::Twice(name));
        }
        family.series.push(Series { labels, value });
        Ok(())
    }

    /// Writes all metrics in Prometheus' text format 0.0.4 (Prometheus docs, "Exposition formats").
    pub fn render(&self) -> String {
        let mut text = Text::default();
        own::write(&self.0.system, &mut text);
        for family in self.0.families.borrow().iter() {
            text.family(family.name, family.help, family.kind);
            for series in &family.series {
                text.sample(family.name, &series.labels, series.value.to_string());
            }
        }
        text.into_string()
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counter(value) => value.get().fmt(f),
            Self::Gauge(value) => value.get().fmt(f),
            Self::Decimal(value) => {
                let value = value.get();
                let sign = if value < 0 { "-" } else { "" };
                let value = value.unsigned_abs();
                write!(f, "{sign}{}.{:03}", value / 1000, value % 1000)
            }
        }
    }
}

/// Checks a name by Prometheus' data model: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
fn check_name(name: &'static str, kind: Kind) -> Result<(), MetricError> {
    if !is_name(name, true) {
        return Err(MetricError::BadName(name));
    }
    if name.starts_with(OWN) {
        return Err(MetricError::Reserved(name));
    }
    if name.ends_with("_total") != (kind == Kind::Counter) {
        return Err(MetricError::BadEnding(name));
    }
    Ok(())
}

/// Checks labels' names: `[a-zA-Z_][a-zA-Z0-9_]*`, without `__` in front, each once.
fn check_labels(labels: &[(&str, &str)]) -> Result<(), MetricError> {
    for (number, (name, _)) in labels.iter().enumerate() {
        let again = labels[..number].iter().any(|(known, _)| known == name);
        if again || !is_name(name, false) || name.starts_with("__") {
            return Err(MetricError::BadLabel((*name).to_string()));
        }
    }
    Ok(())
}

fn is_name(name: &str, colons: bool) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || colons && byte == b':';
    let first = name.bytes().next();
    first.is_some_and(|byte| !byte.is_ascii_digit()) && name.bytes().all(fits)
}
