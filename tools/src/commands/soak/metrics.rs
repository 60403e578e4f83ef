//! What a guest says of itself at `/metrics`, in Prometheus' text format.

use std::fmt;

use anyhow::{Context, Result};

/// What has to be as it was, and what was dropped.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Metrics {
    /// Bytes.
    pub(super) heap_used: f64,
    /// TCP connections by state.
    states: Vec<(String, f64)>,
    dropped: Vec<(String, f64)>,
}

impl Metrics {
    /// Reads the text.
    pub(super) fn read(text: &str) -> Result<Self> {
        let samples: Vec<(&str, f64)> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (name, value) = line.rsplit_once(' ')?;
                Some((name, value.parse().ok()?))
            })
            .collect();
        let of = |name: &'static str| {
            samples
                .iter()
                .filter(move |(it, _)| it.split('{').next() == Some(name))
        };
        let (_, heap_used) = of("landfall_heap_used_bytes")
            .next()
            .context("the app says nothing of its heap at /metrics")?;
        // The samples of a name that are not zero, by a label.
        let labelled = |name, label: &str| -> Vec<(String, f64)> {
            of(name)
                .filter(|(_, number)| *number > 0.0)
                .filter_map(|(name, number)| {
                    let (_, value) = name.split_once(&format!("{label}=\""))?;
                    Some((value.split('"').next()?.to_owned(), *number))
                })
                .collect()
        };
        Ok(Self {
            heap_used: *heap_used,
            states: labelled("landfall_tcp_connections", "state"),
            dropped: labelled("landfall_network_dropped_total", "cause"),
        })
    }

    /// How many TCP connections there are.
    pub(super) fn connections(&self) -> f64 {
        self.states.iter().map(|(_, number)| number).sum()
    }

    /// What was dropped, by cause.
    pub(super) fn drops(&self) -> impl Iterator<Item = (&str, f64)> {
        self.dropped
            .iter()
            .map(|(cause, number)| (cause.as_str(), *number))
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.0} bytes of heap in use; connections:",
            self.heap_used
        )?;
        for (state, number) in &self.states {
            write!(formatter, " {number:.0} {state}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_is_read() {
        let text = "# HELP landfall_heap_used_bytes Heap in use.\nlandfall_heap_used_bytes 1000\n\
                    landfall_tcp_connections{card=\"net\",state=\"open\"} 1\n\
                    landfall_tcp_connections{card=\"net\",state=\"time_wait\"} 2\n\
                    landfall_network_dropped_total{card=\"net\",cause=\"checksum\"} 3\n\
                    landfall_network_dropped_total{card=\"net\",cause=\"memory\"} 0\n";
        let metrics = Metrics::read(text).expect("it is complete");
        assert_eq!((metrics.heap_used, metrics.connections()), (1000.0, 3.0));
        assert_eq!(metrics.drops().collect::<Vec<_>>(), [("checksum", 3.0)]);
        assert!(Metrics::read("nothing 1\n").is_err());
    }
}
