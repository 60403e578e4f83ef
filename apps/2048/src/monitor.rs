//! What the service tells of itself and of the system under it.

use alloc::string::String;

use landfall::metrics::{Counter, Gauge, MetricError, Metrics};
use landfall::{Info, System};

/// Whom the pages for those who run the service ask.
pub trait Monitor {
    /// Returns how the system is doing, for `/api/info`.
    fn info(&self) -> Info;

    /// Returns everything that is counted, for `/metrics`.
    fn metrics(&self) -> String;

    /// Returns the last log lines, for `/api/log`.
    fn log(&self) -> String;

    /// Returns what the service counts.
    fn counts(&self) -> Counts;
}

/// What the service counts.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Games that were submitted and were as they said.
    pub accepted: Counter,
    /// Games that were submitted and refused.
    pub refused: Counter,
    /// Who is playing.
    pub players: Gauge,
}

impl Counts {
    /// Registers them.
    ///
    /// # Errors
    /// [`MetricError::Twice`], when it is done again.
    fn register(metrics: &Metrics) -> Result<Self, MetricError> {
        let (games, help) = ("games_submitted_total", "Games that were submitted.");
        Ok(Self {
            accepted: metrics.counter(games, help, &[("outcome", "accepted")])?,
            refused: metrics.counter(games, help, &[("outcome", "refused")])?,
            players: metrics.gauge("players", "Who is playing now.", &[])?,
        })
    }
}

/// The system that the app was given.
pub struct Watched {
    system: System,
    metrics: Metrics,
    counts: Counts,
}

impl Watched {
    /// Begins to count.
    pub fn new(system: System) -> Self {
        let metrics = Metrics::new(&system);
        let counts = Counts::register(&metrics).expect("a new registry has none of these names");
        Self {
            system,
            metrics,
            counts,
        }
    }
}

impl Monitor for Watched {
    fn info(&self) -> Info {
        self.system.info()
    }

    fn metrics(&self) -> String {
        self.metrics.render()
    }

    fn log(&self) -> String {
        landfall::log_history()
    }

    fn counts(&self) -> Counts {
        self.counts.clone()
    }
}
