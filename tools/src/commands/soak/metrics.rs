//! What a guest says of itself at `/metrics`, in Prometheus' text format, and what is seen of it from outside.

use std::fmt;

use anyhow::{Result, ensure};

/// Bytes of heap that may be in use afterwards beyond what was before: lists that have grown, and a log.
const HEAP_SLACK: f64 = 64.0 * 1024.0;

/// What there is but so much of, by the name of its gauge. A guest that has made all that it needs does not take more.
const COUNTS: [(&str, &str); 2] = [
    ("landfall_grants_used", "grants"),
    ("landfall_event_channels_used", "event channels"),
];

/// What has to be as it was, and what was dropped.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Metrics {
    pub(super) memory: Option<Memory>,
    /// TCP connections by state.
    pub(super) states: Vec<(String, f64)>,
    /// How many of the connections are those of who asks.
    pub(super) own: f64,
    /// How much is used of what there is but so much of.
    pub(super) counts: Vec<(&'static str, f64)>,
    dropped: Vec<(String, f64)>,
}

/// Memory in use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Memory {
    /// Which.
    pub(super) what: &'static str,
    pub(super) bytes: f64,
    /// How much more it may be afterwards.
    pub(super) slack: f64,
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
        ensure!(
            of("landfall_build_info").next().is_some(),
            "the app says nothing of itself at /metrics"
        );
        let alone = |name| of(name).next().map(|(_, number)| *number);
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
            memory: alone("landfall_heap_used_bytes").map(|bytes| Memory {
                what: "of heap in use",
                bytes,
                slack: HEAP_SLACK,
            }),
            states: labelled("landfall_tcp_connections", "state"),
            own: 1.0,
            counts: COUNTS
                .iter()
                .filter_map(|(gauge, name)| Some((*name, alone(gauge)?)))
                .collect(),
            dropped: labelled("landfall_network_dropped_total", "cause"),
        })
    }

    /// Whether there is no connection but that of who asks.
    pub(super) fn is_at_rest(&self) -> bool {
        let connections: f64 = self.states.iter().map(|(_, number)| number).sum();
        connections <= self.own
    }

    /// What is more than it was.
    pub(super) fn excess(&self, before: &Self) -> Vec<&'static str> {
        let memory = self
            .memory
            .zip(before.memory)
            .filter(|(now, before)| now.bytes > before.bytes + before.slack)
            .map(|_| "memory");
        let counts = self.counts.iter().zip(&before.counts);
        let counts = counts.filter(|((_, now), (_, before))| now > before);
        memory
            .into_iter()
            .chain(counts.map(|((name, _), _)| *name))
            .collect()
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
        if let Some(Memory { what, bytes, .. }) = self.memory {
            write!(formatter, "{bytes:.0} bytes {what}; ")?;
        }
        for (name, number) in &self.counts {
            write!(formatter, "{number:.0} {name}; ")?;
        }
        formatter.write_str("connections:")?;
        for (state, number) in &self.states {
            write!(formatter, " {number:.0} {state}")?;
        }
        if self.states.is_empty() {
            formatter.write_str(" none")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "landfall_build_info{app=\"2048\"} 1\n# HELP landfall_heap_used_bytes Heap in use.\nlandfall_heap_used_bytes 1000\n\
                        landfall_grants_used 300\nlandfall_event_channels_used 3\n\
                        landfall_tcp_connections{card=\"net\",state=\"open\"} 1\n\
                        landfall_tcp_connections{card=\"net\",state=\"time_wait\"} 2\n\
                        landfall_network_dropped_total{card=\"net\",cause=\"checksum\"} 3\n\
                        landfall_network_dropped_total{card=\"net\",cause=\"memory\"} 0\n";

    fn read(text: &str) -> Metrics {
        Metrics::read(text).expect("it is a guest's")
    }

    #[test]
    fn what_a_guest_says_is_read() {
        let metrics = read(TEXT);
        assert!(!metrics.is_at_rest());
        assert_eq!(
            metrics.to_string(),
            "1000 bytes of heap in use; 300 grants; 3 event channels; connections: 1 open 2 time_wait"
        );
        assert_eq!(metrics.drops().collect::<Vec<_>>(), [("checksum", 3.0)]);
        let idle = read("landfall_build_info{app=\"2048\"} 1\n");
        assert!(idle.is_at_rest());
        assert_eq!(idle.to_string(), "connections: none");
        assert!(Metrics::read("nothing 1\n").is_err());
    }

    #[test]
    fn what_is_more_than_before_is_named() {
        let before = read(TEXT);
        assert!(before.excess(&before).is_empty());
        for (from, to, excess) in [
            ("bytes 1000", "bytes 66536", &[][..]),
            ("bytes 1000", "bytes 66537", &["memory"]),
            ("grants_used 300", "grants_used 299", &[]),
            ("grants_used 300", "grants_used 301", &["grants"]),
            ("channels_used 3", "channels_used 4", &["event channels"]),
        ] {
            let after = read(&TEXT.replace(from, to));
            assert_eq!(after.excess(&before), excess, "{to}");
        }
    }
}
