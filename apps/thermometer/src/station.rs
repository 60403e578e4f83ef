//! [`Station`]: reads the sensor at its pace, remembers, counts, and tells whoever listens.

use alloc::{format, rc::Rc, string::String, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    fmt::Write as _,
    future::poll_fn,
    task::Poll,
};

use embassy_futures::select::{Either, select};
use embassy_sync::waitqueue::MultiWakerRegistration;
use embassy_time::{Duration, Instant, Ticker, Timer};
use futures_util::{Stream, stream};
use landfall::metrics::{Counter, Gauge, MetricError, Metrics};
use landfall_log::{info, warn};

use crate::history::{CAPACITY, History, Reading};
use crate::sensor::{MilliCelsius, Sensor, SensorError};

/// How often a listener hears something, so that both sides notice when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Listeners at the same time; `landfall_http` allows no more streams.
const LISTENERS: usize = 32;

/// What is told of the sensor.
pub(crate) struct Station {
    /// Where it runs, and where its temperatures come from.
    board: &'static str,
    source: &'static str,
    interval: Duration,
    history: RefCell<History>,
    failed: Cell<u64>,
    counts: Counts,
    listeners: RefCell<MultiWakerRegistration<LISTENERS>>,
}

impl Station {
    pub(crate) fn new(
        board: &'static str,
        source: &'static str,
        interval: Duration,
        counts: Counts,
    ) -> Self {
        Self {
            board,
            source,
            interval,
            history: RefCell::default(),
            failed: Cell::new(0),
            counts,
            listeners: RefCell::new(MultiWakerRegistration::new()),
        }
    }

    /// Reads `sensor` for ever.
    pub(crate) async fn measure(&self, mut sensor: Sensor) {
        let mut ticker = Ticker::every(self.interval);
        loop {
            self.note(sensor.read(), Instant::now());
            ticker.next().await;
        }
    }

    /// Notes what the sensor said.
    pub(crate) fn note(&self, said: Result<MilliCelsius, SensorError>, now: Instant) {
        let before = self.history.borrow().last().map(|reading| reading.said);
        self.counts.count(said);
        match (before, said) {
            (Some(Err(error)), Err(again)) if error == again => {}
            (_, Err(error)) => warn!(target: "sensor", "{error}"),
            (None, Ok(celsius)) => info!(target: "sensor", "the first reading is {celsius} °C"),
            (Some(Err(_)), Ok(_)) => info!(target: "sensor", "the sensor answers again"),
            (Some(Ok(_)), Ok(_)) => {}
        }
        self.failed
            .set(self.failed.get() + u64::from(said.is_err()));
        let uptime_ms = now.as_millis();
        self.history.borrow_mut().push(Reading { uptime_ms, said });
        self.listeners.borrow_mut().wake();
    }

    /// Returns all that is known, as a JSON object.
    pub(crate) fn json(&self, now: Instant) -> String {
        let history = self.history.borrow();
        let mut json = format!(
            r#"{{"board":"{}","source":"{}","interval_ms":{},"capacity":{CAPACITY},"uptime_ms":{},"#,
            self.board,
            self.source,
            self.interval.as_millis(),
            now.as_millis(),
        );
        // A String takes everything.
        let _ = write!(
            json,
            r#""read":{},"failed":{},"readings":{}}}"#,
            history.count(),
            self.failed.get(),
            history.json()
        );
        json
    }

    /// Returns the stream of a new listener, as server-sent events (HTML, 9.2.5): all that is known, then each reading.
    pub(crate) fn listen(self: Rc<Self>) -> impl Stream<Item = Vec<u8>> + 'static {
        stream::unfold(None, move |told| {
            let station = Rc::clone(&self);
            async move {
                let (event, told) = station.next(told).await;
                Some((event.into_bytes(), Some(told)))
            }
        })
    }

    /// Waits for what comes after `told` readings; returns the event, and how many readings are told with it.
    async fn next(&self, told: Option<u64>) -> (String, u64) {
        let Some(told) = told else {
            let event = format!("event: history\ndata: {}\n\n", self.json(Instant::now()));
            return (event, self.history.borrow().count());
        };
        match select(self.reading_after(told), Timer::after(HEARTBEAT)).await {
            Either::First(next) => next,
            Either::Second(()) => (":\n\n".into(), told),
        }
    }

    async fn reading_after(&self, told: u64) -> (String, u64) {
        poll_fn(|context| {
            let history = self.history.borrow();
            let Some(reading) = history.after(told) else {
                self.listeners.borrow_mut().register(context.waker());
                return Poll::Pending;
            };
            // Who was too slow for those in between gets the oldest that is kept.
            let oldest = history.count().saturating_sub(CAPACITY as u64);
            let event = format!("event: reading\ndata: {reading}\n\n");
            Poll::Ready((event, told.max(oldest) + 1))
        })
        .await
    }
}

/// What the service counts.
pub(crate) struct Counts {
    answered: Counter,
    failed: Counter,
    up: Gauge,
    /// There is none before there was a temperature.
    celsius: RefCell<Option<Gauge>>,
    metrics: Option<Metrics>,
}

impl Counts {
    /// Registers them.
    ///
    /// # Errors
    /// [`MetricError::Twice`], when it is done again.
    pub(crate) fn register(metrics: &Metrics) -> Result<Self, MetricError> {
        let (reads, help) = ("sensor_reads_total", "Times that the sensor was asked.");
        Ok(Self {
            answered: metrics.counter(reads, help, &[("outcome", "answered")])?,
            failed: metrics.counter(reads, help, &[("outcome", "failed")])?,
            up: metrics.gauge("sensor_up", "Whether the sensor answered last time.", &[])?,
            celsius: RefCell::default(),
            metrics: Some(metrics.clone()),
        })
    }

    fn count(&self, said: Result<MilliCelsius, SensorError>) {
        self.up.set(said.is_ok().into());
        let Ok(celsius) = said else {
            return self.failed.add(1);
        };
        self.answered.add(1);
        let mut gauge = self.celsius.borrow_mut();
        if gauge.is_none() {
            let (name, help) = ("temperature_celsius", "The last temperature that was read.");
            let registered = |it: &Metrics| it.decimal_gauge(name, help, &[]).ok();
            *gauge = self.metrics.as_ref().and_then(registered);
        }
        if let Some(gauge) = &*gauge {
            gauge.set(celsius.0.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::pin::pin;
    use core::task::{Context, Waker};
    use futures_util::StreamExt as _;

    fn station() -> Rc<Station> {
        let counts = Counts {
            answered: Counter::default(),
            failed: Counter::default(),
            up: Gauge::default(),
            celsius: RefCell::default(),
            metrics: None,
        };
        let interval = Duration::from_secs(5);
        Rc::new(Station::new("test", "simulated", interval, counts))
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_secs(seconds)
    }

    #[test]
    fn a_failure_is_counted_and_a_gap() {
        let station = station();
        station.note(Ok(MilliCelsius(20_500)), at(0));
        station.note(Err(SensorError::NoAnswer), at(5));
        station.note(Err(SensorError::Bus), at(10));
        let json = station.json(at(11));
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let expected = r#"{"board":"test","source":"simulated","interval_ms":5000,"capacity":360,
            "uptime_ms":11000,"read":3,"failed":2,"readings":[
            {"uptime_ms":0,"celsius":20.500},
            {"uptime_ms":5000,"celsius":null,"error":"the sensor does not answer"},
            {"uptime_ms":10000,"celsius":null,"error":"the I2C bus does not work"}]}"#;
        let expected: serde_json::Value = serde_json::from_str(expected).expect("JSON");
        assert_eq!(json, expected);
    }

    #[test]
    fn listeners_hear_of_all_and_then_of_each() {
        let station = station();
        station.note(Ok(MilliCelsius(1_000)), at(0));
        let mut heard = pin!(Rc::clone(&station).listen());
        let mut next = || {
            let mut context = Context::from_waker(Waker::noop());
            match heard.poll_next_unpin(&mut context) {
                Poll::Ready(Some(event)) => Some(String::from_utf8(event).expect("text")),
                Poll::Ready(None) => panic!("it ended"),
                Poll::Pending => None,
            }
        };
        let all = next().expect("all that is known");
        assert!(
            all.starts_with("event: history\ndata: {\"board\":"),
            "{all}"
        );
        assert!(all.ends_with("\"celsius\":1.000}]}\n\n"), "{all}");
        assert_eq!(next(), None);
        for second in 1..=2 {
            station.note(Ok(MilliCelsius(2_000)), at(second));
        }
        let reading =
            |ms| format!("event: reading\ndata: {{\"uptime_ms\":{ms},\"celsius\":2.000}}\n\n");
        assert_eq!(next(), Some(reading(1000)));
        assert_eq!(next(), Some(reading(2000)));
        assert_eq!(next(), None);
        // Who does not listen for long gets what is kept, once.
        for second in 3..3 + 2 * CAPACITY as u64 {
            station.note(Ok(MilliCelsius(2_000)), at(second));
        }
        assert_eq!(core::iter::from_fn(next).count(), CAPACITY);
    }
}
