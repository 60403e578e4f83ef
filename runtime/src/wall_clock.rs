//! The time of day: where it comes from, and how good it is.
//!
//! It is kept as an offset to the clock since boot, by which all timers go: setting it moves none of them.
//! The board's own clock is the first source, `time=…` is believed before it, and SNTP (`sntp`) corrects
//! either: by slewing where little is wrong, so that the time of day never goes back, else by a step.

#[cfg(feature = "sntp")]
mod discipline;

#[cfg(feature = "sntp")]
pub(crate) use discipline::{Correction, Sample, correct};

use crate::{
    arguments::{Argument, ArgumentError, ArgumentValue, Words, argument},
    platform,
};
use alloc::format;
use core::{cell::Cell, fmt, net::SocketAddr, time::Duration};
use critical_section::Mutex;
use datealgo::{date_to_rd, secs_to_datetime};
use log::{Level, log};

/// 2025-01-01: no image of this is older, so that a clock which reads less was never set.
pub(crate) const EARLIEST_US: u64 = 1_735_689_600 * US;

const US: u64 = 1_000_000;

/// A time of day.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WallClock {
    /// Microseconds since 1970-01-01 UTC, without leap seconds.
    pub unix_us: u64,
    /// Where it comes from.
    pub source: WallClockSource,
    /// By how many microseconds it can be wrong; `None` where the source does not say.
    pub uncertainty_us: Option<u64>,
}

impl WallClock {
    /// Returns whole seconds since 1970-01-01 UTC.
    pub fn unix_seconds(&self) -> u64 {
        self.unix_us / US
    }

    fn is_believed(&self) -> bool {
        self.unix_us >= EARLIEST_US || self.source == WallClockSource::BootArgument
    }
}

/// Where a time of day comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WallClockSource {
    /// The board's clock of this name.
    Board(&'static str),
    /// The host that the process runs on.
    Host,
    /// The boot argument `time=…`.
    BootArgument,
    /// SNTP.
    Sntp {
        /// Whom it was asked.
        server: SocketAddr,
        /// How far that server is from a reference clock, which has 0 (RFC 5905, 7.3).
        stratum: u8,
    },
}

impl fmt::Display for WallClockSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Board(name) => f.write_str(name),
            Self::Host => f.write_str("the host"),
            Self::BootArgument => f.write_str("time=…"),
            Self::Sntp { server, stratum } => write!(f, "{server} by SNTP (stratum {stratum})"),
        }
    }
}

/// As RFC 3339 has it, to the second: `2026-11-26T01:00:00Z`.
impl fmt::Display for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Rfc3339(self.unix_seconds()).fmt(f)
    }
}

/// Seconds since 1970-01-01 UTC, for people.
struct Rfc3339(u64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The end of 9999: beyond, the form has no room for years.
        let seconds = self.0.min(253_402_300_799) as i64;
        let (year, month, day, hour, minute, second) = secs_to_datetime(seconds);
        // Not negative, and the image has no other use for signed numbers.
        let year = year as u32;
        write!(
            f,
            "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// What every app understands besides.
pub(crate) const ARGUMENTS: &[Argument<'static>] = &[
    argument!(
        "R",
        "time",
        "UnixTime",
        "by the board",
        "the time of day at boot"
    ),
    #[cfg(feature = "sntp")]
    argument!(
        "R",
        "ntp",
        "Server",
        "nobody",
        "whom to ask for the time of day, by SNTP: an address or a name, and :PORT"
    ),
];

/// A board's clock.
#[derive(Clone, Copy)]
pub enum BoardClock {
    /// None: the time of day is not known until someone tells it.
    None,
    /// One that was read.
    Read {
        /// Its name.
        name: &'static str,
        /// What it read when the clock since boot was 0, since 1970-01-01 UTC.
        at_boot: Duration,
    },
    /// The clock of the host that the process runs on, which others keep right.
    #[cfg(not(target_os = "none"))]
    Host,
}

/// Microseconds since 1970-01-01 UTC, as `time=…` gives them.
#[derive(Debug, Eq, PartialEq)]
struct UnixTime(u64);

impl ArgumentValue for UnixTime {
    const EXPECTED: &'static str = "a time such as 2026-11-26T01:00:00Z, or seconds since 1970";

    fn read(text: &str) -> Option<Self> {
        let mut numbers = [0_u64; 6];
        let mut last = 0;
        for byte in text.bytes() {
            match byte {
                b'0'..=b'9' => {
                    let number = numbers.get_mut(last)?;
                    *number = number.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                }
                _ => last += 1,
            }
        }
        let (seconds, reads) = match last {
            0 => (numbers[0], format!("{}", numbers[0])),
            _ => {
                let seconds = seconds_of(numbers);
                (seconds, format!("{}", Rfc3339(seconds)))
            }
        };
        // What is no time, or has a number out of range, reads otherwise than it is written.
        let unix_us = seconds.checked_mul(US).filter(|_| reads == text);
        unix_us.map(Self)
    }
}

/// Returns the seconds since 1970 of a year, month, day, hour, minute and second of UTC, of which one that is out of
/// its range counts as some other.
fn seconds_of(numbers: [u64; 6]) -> u64 {
    let [year, month, day, hour, minute, second] = numbers.map(|it| it.min(9999));
    let first = (year.max(1970) as i32, month.clamp(1, 12) as u8, 1);
    let days = date_to_rd(first) as u64 + day.saturating_sub(1);
    ((days * 24 + hour) * 60 + minute) * 60 + second
}

/// A clock of our own: an offset to the clock since boot, on its way to a better one.
#[derive(Clone, Copy)]
struct Clock {
    /// When the clock since boot was 0, in microseconds since 1970-01-01 UTC.
    booted_us: u64,
    source: WallClockSource,
    #[cfg(feature = "sntp")]
    slew: discipline::Slew,
}

impl Clock {
    fn new(booted_us: u64, source: WallClockSource) -> Self {
        Self {
            booted_us,
            source,
            #[cfg(feature = "sntp")]
            slew: discipline::Slew::default(),
        }
    }

    fn at(&self, now_us: u64) -> WallClock {
        let time = WallClock {
            unix_us: self.booted_us.saturating_add(now_us),
            source: self.source,
            uncertainty_us: None,
        };
        #[cfg(feature = "sntp")]
        let time = self.slew.apply(time, now_us);
        time
    }
}

#[derive(Clone, Copy)]
enum State {
    /// Nobody knows the time.
    Unknown,
    Own(Clock),
    #[cfg(not(target_os = "none"))]
    Host,
}

impl State {
    fn at_boot(now_us: u64, words: &Words, board: BoardClock) -> Result<Self, ArgumentError> {
        let given: Option<UnixTime> = words.value("time")?;
        Ok(match (given, board) {
            (Some(UnixTime(unix_us)), _) => {
                let booted_us = unix_us.saturating_sub(now_us);
                Self::Own(Clock::new(booted_us, WallClockSource::BootArgument))
            }
            (None, BoardClock::Read { name, at_boot }) => {
                let source = WallClockSource::Board(name);
                Self::Own(Clock::new(at_boot.as_micros() as u64, source))
            }
            #[cfg(not(target_os = "none"))]
            (None, BoardClock::Host) => Self::Host,
            (None, BoardClock::None) => Self::Unknown,
        })
    }

    fn read(&self, now_us: u64) -> Option<WallClock> {
        match self {
            Self::Unknown => None,
            Self::Own(clock) => Some(clock.at(now_us)),
            #[cfg(not(target_os = "none"))]
            Self::Host => host(),
        }
    }
}

static STATE: Mutex<Cell<State>> = Mutex::new(Cell::new(State::Unknown));

/// Takes the time of day from the boot arguments, or else from the board, and says which it is.
///
/// # Errors
/// [`ArgumentError::BadValue`].
pub(crate) fn init(now_us: u64, words: &Words, board: BoardClock) -> Result<(), ArgumentError> {
    let state = State::at_boot(now_us, words, board)?;
    let verdict = Verdict::of(state.read(now_us));
    let (level, state) = match verdict.believed {
        Some(_) => (Level::Info, state),
        None => (Level::Warn, State::Unknown),
    };
    critical_section::with(|cs| STATE.borrow(cs).set(state));
    log!(target: "clock", level, "{verdict}");
    Ok(())
}

/// What there is to say of the clock at boot.
struct Verdict {
    read: Option<WallClock>,
    believed: Option<WallClock>,
}

impl Verdict {
    fn of(read: Option<WallClock>) -> Self {
        let believed = read.filter(WallClock::is_believed);
        Self { read, believed }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(time) = self.read {
            write!(f, "{time} from {}", time.source)?;
        }
        f.write_str(match (self.read, self.believed) {
            (_, Some(_)) => return Ok(()),
            (Some(_), None) => " was never set: ",
            (None, None) => "",
        })?;
        f.write_str("the time of day is unknown; give time=…")?;
        if cfg!(feature = "sntp") {
            f.write_str(" or ntp=…")?;
        }
        Ok(())
    }
}

/// Returns the time of day.
pub(crate) fn now() -> Option<WallClock> {
    let state = critical_section::with(|cs| STATE.borrow(cs).get());
    state.read(platform::get()?.now_us())
}

#[cfg(not(target_os = "none"))]
fn host() -> Option<WallClock> {
    use std::time::{SystemTime, UNIX_EPOCH};
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(WallClock {
        unix_us: since.as_micros() as u64,
        source: WallClockSource::Host,
        uncertainty_us: None,
    })
}

#[cfg(test)]
mod tests;
