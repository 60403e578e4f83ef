use super::*;
use alloc::string::ToString;

fn read(text: &str) -> Option<u64> {
    UnixTime::read(text).map(|UnixTime(unix_us)| unix_us)
}

#[test]
fn times_of_rfc_3339_and_seconds_since_1970() {
    for (text, seconds) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T23:59:59Z", 951_868_799),
        ("2026-11-26T01:00:00Z", 1_795_654_800),
        ("2036-02-07T06:28:16Z", 2_085_978_496),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
        ("0", 0),
        ("1795654800", 1_795_654_800),
    ] {
        assert_eq!(read(text), Some(seconds * US), "{text}");
    }
}

#[test]
fn every_day_reads_as_it_is_written() {
    for day in 0..60_000 {
        let seconds = day * 86_400 + day % 86_400;
        assert_eq!(read(&Rfc3339(seconds).to_string()), Some(seconds * US));
    }
}

#[test]
fn what_is_no_time() {
    for text in [
        "",
        "now",
        "-1",
        "1.5",
        "007",
        "18446744073709551615",
        "99999999999999999999999999",
        "2026-11-26",
        "2026-11-26T01:00:00",
        "2026-11-26T01:00:00z",
        "2026-11-26T01:00:00+01:00",
        "2026-11-26T01:00:00.5Z",
        "2026-11-26 01:00:00Z",
        "2026-11-26T1:00:00Z",
        "2026-00-26T01:00:00Z",
        "2026-13-26T01:00:00Z",
        "2026-11-00T01:00:00Z",
        "2026-11-31T01:00:00Z",
        "2025-02-29T01:00:00Z",
        "2026-11-26T24:00:00Z",
        "2026-11-26T01:60:00Z",
        "2026-11-26T01:00:60Z",
        "1969-12-31T23:59:59Z",
        "10000-01-01T00:00:00Z",
        "2026-11-26T01:00:00Z0",
        "2026-11-26T01:00:00Z0Z",
        "99999999999999999999-99999999999999999999-1T1:1:1Z",
        "２０２６-11-26T01:00:00Z",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}

/// What the clock is after this boot, and what is said of it.
fn boot(arguments: &str, board: BoardClock) -> Result<(Option<WallClock>, String), ArgumentError> {
    let now_us = 3 * US;
    let state = State::at_boot(now_us, &Words::parse(arguments)?, board)?;
    let verdict = Verdict::of(state.read(now_us));
    Ok((verdict.believed, verdict.to_string()))
}

const BOARD: BoardClock = BoardClock::Read {
    name: "the clock",
    at_boot: Duration::from_micros(1_795_654_800_250_000),
};

#[test]
fn a_board_s_clock_is_taken_with_its_fraction_of_a_second() {
    let (time, said) = boot("", BOARD).unwrap();
    let time = time.unwrap();
    assert_eq!(time.unix_us, 1_795_654_803_250_000);
    assert_eq!(time.unix_seconds(), 1_795_654_803);
    assert_eq!(time.source, WallClockSource::Board("the clock"));
    assert_eq!(said, "2026-11-26T01:00:03Z from the clock");
}

#[test]
fn the_boot_argument_is_believed_before_the_board_and_however_old() {
    let (time, said) = boot("time=2027-01-01T00:00:00Z", BOARD).unwrap();
    assert_eq!(time.unwrap().source, WallClockSource::BootArgument);
    assert_eq!(said, "2027-01-01T00:00:00Z from time=…");
    let (time, _) = boot("time=100", BOARD).unwrap();
    assert_eq!(time.unwrap().unix_us, 100 * US);
    let refused = boot("time=yesterday", BOARD).unwrap_err().to_string();
    assert_eq!(
        refused,
        "boot argument time=yesterday: expected a time such as 2026-11-26T01:00:00Z, or seconds since 1970"
    );
}

#[test]
fn a_clock_that_was_never_set_is_not_believed() {
    for (seconds, day) in [(0, "1970-01-01"), (1_735_689_596, "2024-12-31")] {
        let board = BoardClock::Read {
            name: "the clock",
            at_boot: Duration::from_secs(seconds),
        };
        let (time, said) = boot("", board).unwrap();
        assert_eq!(time, None);
        assert!(said.starts_with(day), "{said}");
        assert!(said.contains(" from the clock was never set: the time of day is unknown"));
    }
}

#[test]
fn without_a_clock_the_time_is_none_and_that_is_said() {
    let (time, said) = boot("", BoardClock::None).unwrap();
    assert_eq!(time, None);
    assert_eq!(said, "the time of day is unknown; give time=… or ntp=…");
}

#[test]
fn a_host_s_clock_is_the_host_s() {
    let (time, said) = boot("", BoardClock::Host).unwrap();
    let time = time.unwrap();
    let host = std::time::UNIX_EPOCH.elapsed().unwrap();
    assert!(host.as_micros() as u64 - time.unix_us < 60 * US);
    assert!(said.ends_with(" from the host"), "{said}");
}

#[test]
fn readings_beyond_reason_do_no_harm() {
    let at_boot = Duration::MAX;
    let board = BoardClock::Read { name: "x", at_boot };
    let (time, said) = boot("", board).unwrap();
    assert!(said.starts_with("9999-12-31T23:59:59Z"), "{time:?}: {said}");
}
