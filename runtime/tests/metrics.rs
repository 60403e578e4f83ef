//! The metrics page, read by another's parser and by the rules of its format.

#![forbid(unsafe_code)]

mod support;

use landfall::{
    System,
    metrics::{MetricError, Metrics},
};
use prometheus_parse::{LineInfo, SampleType, Scrape, Value};
use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
};
use support::{Scenario, Wire};

/// How many samples there are without a network card, one of them the board's own.
const OF_ALL: usize = 7;

/// Runs an app on a machine with so many network cards, and returns the page that it made.
fn page(cards: usize, make: impl FnOnce(System) -> String + 'static) -> String {
    page_with("", cards, make)
}

/// The same with boot arguments.
fn page_with(
    arguments: &'static str,
    cards: usize,
    make: impl FnOnce(System) -> String + 'static,
) -> String {
    let page = Rc::new(RefCell::new(String::new()));
    let scenario = Scenario {
        arguments,
        cards: (0..cards).map(|_| Wire::default()).collect(),
        ..Scenario::default()
    };
    let made = page.clone();
    scenario.run(async move |system| {
        embassy_time::Timer::after_millis(1500).await;
        *made.borrow_mut() = make(system);
        Ok::<_, String>(())
    });
    page.take()
}

/// Reads a page by the rules of format 0.0.4: each name's lines stand together, help and type in front, no
/// sample twice, no line that is neither. Returns the samples by name and labels.
fn read(page: &str) -> HashMap<String, f64> {
    assert!(page.ends_with('\n'));
    let (mut current, mut seen) = (String::new(), HashSet::new());
    let mut samples = HashMap::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        match LineInfo::parse(line) {
            LineInfo::Doc { metric_name, .. } => {
                assert!(seen.insert(metric_name.to_owned()), "{metric_name} twice");
                current = metric_name.to_owned();
                let kind = lines.next().map(LineInfo::parse);
                let Some(LineInfo::Type {
                    metric_name,
                    sample_type,
                    ..
                }) = kind
                else {
                    panic!("{line:?} has no type");
                };
                assert_eq!(metric_name, current);
                assert!(matches!(
                    sample_type,
                    SampleType::Counter | SampleType::Gauge
                ));
                let total = current.ends_with("_total");
                assert_eq!(total, sample_type == SampleType::Counter, "{current}");
            }
            LineInfo::Sample {
                metric_name, value, ..
            } => {
                assert_eq!(metric_name, current, "{line:?} stands elsewhere");
                let value: f64 = value.parse().expect("a number");
                let (key, _) = line.rsplit_once(' ').expect("a value");
                assert_eq!(
                    samples.insert(key.to_owned(), value),
                    None,
                    "{line:?} twice"
                );
            }
            other => panic!("{line:?} is {other:?}"),
        }
    }
    let scrape = Scrape::parse(page.lines().map(|line| Ok(line.to_owned()))).expect("text");
    assert_eq!(scrape.samples.len(), samples.len());
    samples
}

#[test]
fn a_machine_without_network_has_few() {
    let samples = read(&page(0, |system| Metrics::new(&system).render()));
    assert_eq!(
        samples["landfall_uptime_seconds"],
        samples["landfall_uptime_seconds"].max(1.5)
    );
    assert!(samples["landfall_wakeups_total"] >= 1.0);
    let build = r#"landfall_build_info{app="app",version="",board="test",cpu="none"}"#;
    assert_eq!(samples[build], 1.0);
    assert_eq!(samples["landfall_entropy_good"], 1.0);
    assert_eq!(samples["landfall_plugs_used"], 7.0);
    // A host process knows no heap, this machine no wall clock, and there is no card.
    assert_eq!(samples.len(), OF_ALL, "{samples:?}");
}

#[test]
fn the_wall_clock_says_where_it_comes_from() {
    let arguments = "time=2026-01-02T03:04:05Z";
    let samples = read(&page_with(arguments, 0, |system| {
        Metrics::new(&system).render()
    }));
    let time = samples[r#"landfall_unix_time_seconds{source="boot argument"}"#];
    // The app runs for a second and a half before it makes the page.
    assert!((time - 1_767_323_046.5).abs() < 0.1, "{time}");
}

#[test]
fn each_card_has_its_own() {
    let samples = read(&page(2, |system| Metrics::new(&system).render()));
    // Each has asked for an address.
    for card in ["net", "net1"] {
        let name = format!("landfall_network_transmit_frames_total{{card=\"{card}\"}}");
        assert!(samples[&name] >= 1.0, "{samples:?}");
        let name = format!("landfall_network_transmit_bytes_total{{card=\"{card}\"}}");
        assert!(samples[&name] >= 240.0, "{samples:?}");
        let name = format!("landfall_tcp_connections{{card=\"{card}\",state=\"open\"}}");
        assert_eq!(samples[&name], 0.0);
        let name = format!("landfall_network_dropped_total{{card=\"{card}\",cause=\"checksum\"}}");
        assert_eq!(samples[&name], 0.0);
    }
    assert_eq!(samples.len(), OF_ALL + 2 * (6 + 26), "{samples:?}");
}

#[test]
fn an_app_adds_its_own() {
    let text = page(0, |system| {
        let metrics = Metrics::new(&system);
        let won = metrics
            .counter("games_total", "Games, by end:\nC:\\", &[("end", "won")])
            .expect("a good name");
        let lost = metrics
            .counter(
                "games_total",
                "Games, by end:\nC:\\",
                &[("end", "a\"b\\c\nd")],
            )
            .expect("other labels");
        let players = metrics
            .gauge("players", "Who plays.", &[])
            .expect("a good name");
        won.add(41);
        won.clone().add(1);
        lost.add(u64::MAX);
        players.set(3);
        players.add(-5);
        let outside = metrics.decimal_gauge("temperature_celsius", "Outside.", &[]);
        outside.expect("a good name").set(-20_062);
        metrics.clone().render()
    });
    let samples = read(&text);
    assert_eq!(samples[r#"games_total{end="won"}"#], 42.0);
    assert_eq!(samples["players"], -2.0);
    assert_eq!(samples["temperature_celsius"], -20.062);
    let exact = "# HELP games_total Games, by end:\\nC:\\\\\n\
                 # TYPE games_total counter\n\
                 games_total{end=\"won\"} 42\n\
                 games_total{end=\"a\\\"b\\\\c\\nd\"} 18446744073709551615\n\
                 # HELP players Who plays.\n\
                 # TYPE players gauge\n\
                 players -2\n\
                 # HELP temperature_celsius Outside.\n\
                 # TYPE temperature_celsius gauge\n\
                 temperature_celsius -20.062\n";
    assert!(text.ends_with(exact), "{text}");
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).expect("text");
    let players = scrape
        .samples
        .iter()
        .find(|sample| sample.metric == "players");
    assert_eq!(players.expect("it is there").value, Value::Gauge(-2.0));
}

#[test]
fn what_is_no_metric_is_refused() {
    page(0, |system| {
        let metrics = Metrics::new(&system);
        let counter = |name, labels: &[(&str, &str)]| metrics.counter(name, "Help.", labels).err();
        for name in ["", "9_total", "a-b_total", "ä_total"] {
            assert_eq!(counter(name, &[]), Some(MetricError::BadName(name)));
        }
        let reserved = "landfall_games_total";
        assert_eq!(
            counter(reserved, &[]),
            Some(MetricError::Reserved(reserved))
        );
        assert_eq!(counter("games", &[]), Some(MetricError::BadEnding("games")));
        let gauge = metrics.gauge("games_total", "Help.", &[]).err();
        assert_eq!(gauge, Some(MetricError::BadEnding("games_total")));
        for label in ["", "9", "a:b", "__name"] {
            let error = Some(MetricError::BadLabel(label.to_owned()));
            assert_eq!(counter("a_total", &[(label, "")]), error);
        }
        let error = Some(MetricError::BadLabel("a".to_owned()));
        assert_eq!(counter("a_total", &[("a", "1"), ("a", "2")]), error);
        assert_eq!(counter("a_total", &[("a", "1")]), None);
        assert_eq!(counter("a_total", &[("a", "2")]), None);
        let error = Some(MetricError::Twice("a_total"));
        assert_eq!(counter("a_total", &[("a", "1")]), error);
        let other_help = metrics.counter("a_total", "Other.", &[("a", "3")]).err();
        assert_eq!(other_help, Some(MetricError::Different("a_total")));
        String::new()
    });
}
