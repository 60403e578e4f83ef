//! SNTP's messages (RFC 4330, 4; RFC 5905, 7.3): the request, and what makes an answer one to believe.

use crate::wall_clock::{EARLIEST_US, Sample};
use core::fmt::{self, Write};

/// Bytes of a message without extensions.
pub(super) const LENGTH: usize = 48;

/// Where the fields are, in bytes (RFC 5905, figure 8).
mod offset {
    pub(super) const STRATUM: usize = 1;
    pub(super) const ROOT_DELAY: usize = 4;
    pub(super) const ROOT_DISPERSION: usize = 8;
    pub(super) const REFERENCE_ID: usize = 12;
    pub(super) const ORIGINATE: usize = 24;
    pub(super) const RECEIVE: usize = 32;
    pub(super) const TRANSMIT: usize = 40;
}

const VERSION: u8 = 4;
const CLIENT: u8 = 3;
const SERVER: u8 = 4;
/// The leap indicator of a server that does not know the time itself.
const ALARM: u8 = 3;

/// From 1900-01-01, at which NTP's era 0 begins, to 1970-01-01 (RFC 4330, 3).
const FROM_1900_TO_1970_S: u32 = 2_208_988_800;

/// The longest way to the server and back, and the longest that it may be from its reference clock ("a cozy number
/// like one second": RFC 4330, 5).
const LONGEST_US: u64 = 1_000_000;

/// Returns a request. `nonce` stands for its time, which is nobody's business: whoever did not see it cannot make an
/// answer to it.
pub(super) fn request(nonce: u64) -> [u8; LENGTH] {
    let mut message = [0; LENGTH];
    message[0] = VERSION << 3 | CLIENT;
    message[offset::TRANSMIT..].copy_from_slice(&nonce.to_be_bytes());
    message
}

/// When a request was sent and its answer came, by the clock since boot.
#[derive(Clone, Copy)]
pub(super) struct RoundTrip {
    pub(super) sent_us: u64,
    pub(super) received_us: u64,
}

/// Why an answer is not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// The server wants something of its clients (RFC 5905, 7.4).
    KissOfDeath([u8; 4]),
    /// The server does not know the time.
    Alarm,
    /// Beyond 15 servers in a row.
    Stratum(u8),
    /// It is too far from its reference clock, in microseconds.
    RootDistance(u64),
    /// Its timestamps are none, or go back, or leave no time for the way.
    Timestamps,
    /// It took too long, in microseconds.
    RoundTrip(u64),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KissOfDeath(code) => {
                f.write_str("kiss-o'-death ")?;
                // It goes to a console as it came from outside.
                let shown = code.map(|it| if it.is_ascii_graphic() { it } else { b'?' });
                shown.iter().try_for_each(|&it| f.write_char(it.into()))
            }
            Self::Alarm => f.write_str("it does not know the time itself"),
            Self::Stratum(stratum) => write!(f, "stratum {stratum}"),
            Self::RootDistance(us) => write!(f, "{us} us from its reference clock"),
            Self::Timestamps => f.write_str("timestamps that cannot be"),
            Self::RoundTrip(us) => write!(f, "a round trip of {us} us"),
        }
    }
}

/// An answer, and what came with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) sample: Sample,
    pub(super) stratum: u8,
}

/// Returns whether a datagram is an answer to the request with this nonce, to be believed or not.
pub(super) fn is_answer(datagram: &[u8], nonce: u64) -> bool {
    let Some(message) = datagram.first_chunk() else {
        return false;
    };
    message[0] & 0x3f == VERSION << 3 | SERVER && wide(message, offset::ORIGINATE) == nonce
}

/// Reads an answer.
///
/// # Errors
/// [`Refusal`].
pub(super) fn read(message: &[u8; LENGTH], way: RoundTrip) -> Result<Answer, Refusal> {
    let stratum = message[offset::STRATUM];
    match stratum {
        0 => {
            let code = word(message, offset::REFERENCE_ID).to_be_bytes();
            return Err(Refusal::KissOfDeath(code));
        }
        _ if message[0] >> 6 == ALARM => return Err(Refusal::Alarm),
        1..=15 => {}
        _ => return Err(Refusal::Stratum(stratum)),
    }
    let root_delay_us = short(message, offset::ROOT_DELAY);
    let dispersion_us = short(message, offset::ROOT_DISPERSION);
    let distance_us = root_delay_us / 2 + dispersion_us;
    if distance_us > LONGEST_US {
        return Err(Refusal::RootDistance(distance_us));
    }
    let received_us = timestamp(message, offset::RECEIVE).ok_or(Refusal::Timestamps)?;
    let sent_us = timestamp(message, offset::TRANSMIT).ok_or(Refusal::Timestamps)?;
    let delay_us = delay(received_us, sent_us, way).ok_or(Refusal::Timestamps)?;
    if delay_us > LONGEST_US {
        return Err(Refusal::RoundTrip(delay_us));
    }
    // RFC 5905, 8: the offset is the mean of that on the way there and that on the way back.
    let there = received_us.saturating_sub(way.sent_us);
    let back = sent_us.saturating_sub(way.received_us);
    Ok(Answer {
        sample: Sample {
            booted_us: there.midpoint(back),
            uncertainty_us: delay_us / 2 + distance_us,
        },
        stratum,
    })
}

/// Returns how long the messages were on their way: all the time but that in which the server had them.
fn delay(received_us: u64, sent_us: u64, way: RoundTrip) -> Option<u64> {
    let all = way.received_us.checked_sub(way.sent_us)?;
    all.checked_sub(sent_us.checked_sub(received_us)?)
}

fn word(message: &[u8; LENGTH], at: usize) -> u32 {
    (wide(message, at) >> 32) as u32
}

/// Reads 8 bytes, of which all fields have as many before the message's end.
fn wide(message: &[u8; LENGTH], at: usize) -> u64 {
    let bytes = message[at..].iter().take(8);
    bytes.fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Reads microseconds from the short format: seconds of 16 bits, and as many of their fraction (RFC 5905, 6).
fn short(message: &[u8; LENGTH], at: usize) -> u64 {
    (u64::from(word(message, at)) * 1_000_000) >> 16
}

/// Reads a timestamp in microseconds since 1970-01-01; `None` where it is 0, which is none.
///
/// Seconds come round every 136 years, the next time in 2036: it is the first such time that is not before this was
/// written.
fn timestamp(message: &[u8; LENGTH], at: usize) -> Option<u64> {
    let raw = wide(message, at);
    let earliest_s = (EARLIEST_US / 1_000_000) as u32;
    let seconds = (raw >> 32) as u32;
    let since_earliest = seconds
        .wrapping_sub(FROM_1900_TO_1970_S)
        .wrapping_sub(earliest_s);
    let fraction_us = ((raw & u64::from(u32::MAX)) * 1_000_000) >> 32;
    (raw != 0).then(|| EARLIEST_US + u64::from(since_earliest) * 1_000_000 + fraction_us)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// 2026-11-26T01:00:00Z
    const NOW_S: u64 = 1_795_654_800;
    const NONCE: u64 = 0x0123_4567_89ab_cdef;
    const WAY: RoundTrip = RoundTrip {
        sent_us: 5_000_000,
        received_us: 5_040_000,
    };

    /// NTP's timestamp of a time since 1970, in whichever era.
    fn ntp(unix_us: u64) -> u64 {
        let seconds = unix_us / 1_000_000 + u64::from(FROM_1900_TO_1970_S);
        (seconds << 32) | (((unix_us % 1_000_000) << 32) / 1_000_000 + 1)
    }

    fn put(message: &mut [u8; LENGTH], at: usize, number: u64) {
        message[at..at + 8].copy_from_slice(&number.to_be_bytes());
    }

    /// A good answer to `nonce` of a server that holds the request for 20 ms, and whose clock says `unix_us`.
    pub(in crate::sntp) fn answer(nonce: u64, unix_us: u64) -> [u8; LENGTH] {
        let mut message = [0; LENGTH];
        message[0] = VERSION << 3 | SERVER;
        message[offset::STRATUM] = 2;
        // 1/64 s and 1/32 s.
        put(&mut message, offset::ROOT_DELAY, 0x0400_0000_0800);
        put(&mut message, offset::ORIGINATE, nonce);
        put(&mut message, offset::RECEIVE, ntp(unix_us));
        put(&mut message, offset::TRANSMIT, ntp(unix_us + 20_000));
        message
    }

    fn good() -> [u8; LENGTH] {
        answer(NONCE, NOW_S * 1_000_000)
    }

    #[test]
    fn a_request_says_nothing_but_its_nonce() {
        let request = request(NONCE);
        assert_eq!(request[0], 0x23);
        assert!(request[1..40].iter().all(|&it| it == 0));
        assert_eq!(request[40..], NONCE.to_be_bytes());
    }

    #[test]
    fn a_good_answer_gives_time_and_uncertainty() {
        let answer = read(&good(), WAY).unwrap();
        assert_eq!(answer.stratum, 2);
        // It came to the server 10 ms after it was sent.
        let booted_us = NOW_S * 1_000_000 - 5_010_000;
        assert!(answer.sample.booted_us.abs_diff(booted_us) <= 1);
        // Half of 20 ms on the way, half of 1/64 s, and 1/32 s.
        let uncertainty_us = 10_000 + 7812 + 31_250;
        assert!(answer.sample.uncertainty_us.abs_diff(uncertainty_us) <= 1);
    }

    #[test]
    fn what_does_not_answer_the_request_is_none() {
        assert!(is_answer(&good(), NONCE));
        assert!(
            is_answer(&[&good()[..], &[0; 20]].concat(), NONCE),
            "longer"
        );
        assert!(
            !is_answer(&good(), NONCE + 1),
            "another originate timestamp"
        );
        assert!(!is_answer(&good()[..47], NONCE), "short");
        assert!(!is_answer(&[], NONCE));
        for first in [0x23, 0x25, 0x22, 0x26, 0x1c, 0x2c, 0x00, 0x3f] {
            let mut message = good();
            message[0] = first;
            assert!(!is_answer(&message, NONCE), "{first:#x}");
        }
        let mut echoed = request(NONCE);
        assert!(!is_answer(&echoed, NONCE), "the request itself");
        echoed[0] = VERSION << 3 | SERVER;
        assert!(!is_answer(&echoed, NONCE));
    }

    #[test]
    fn answers_that_are_not_to_be_believed() {
        let refused = |change: &dyn Fn(&mut [u8; LENGTH])| {
            let mut message = good();
            change(&mut message);
            read(&message, WAY).unwrap_err()
        };
        let kiss = refused(&|it| {
            it[offset::STRATUM] = 0;
            it[12..16].copy_from_slice(b"RATE");
        });
        assert_eq!(kiss, Refusal::KissOfDeath(*b"RATE"));
        assert_eq!(refused(&|it| it[0] |= 0xc0), Refusal::Alarm);
        for stratum in [16, 255] {
            let refusal = refused(&|it| it[offset::STRATUM] = stratum);
            assert_eq!(refusal, Refusal::Stratum(stratum));
        }
        let far = |it: &mut [u8; LENGTH]| it[offset::ROOT_DISPERSION + 1] = 1;
        assert_eq!(refused(&far), Refusal::RootDistance(1_039_062));
        let negative = |it: &mut [u8; LENGTH]| it[offset::ROOT_DELAY] = 0xff;
        assert!(matches!(refused(&negative), Refusal::RootDistance(_)));
        for at in [offset::RECEIVE, offset::TRANSMIT] {
            assert_eq!(refused(&|it| put(it, at, 0)), Refusal::Timestamps);
        }
        let back = |it: &mut [u8; LENGTH]| {
            put(it, offset::TRANSMIT, ntp(NOW_S * 1_000_000 - 1));
        };
        assert_eq!(refused(&back), Refusal::Timestamps);
        let held_longer = |it: &mut [u8; LENGTH]| {
            put(it, offset::TRANSMIT, ntp(NOW_S * 1_000_000 + 40_001));
        };
        assert_eq!(refused(&held_longer), Refusal::Timestamps);
    }

    #[test]
    fn a_round_trip_of_more_than_a_second_is_too_long() {
        let way = |received_us| RoundTrip {
            sent_us: 0,
            received_us,
        };
        assert!(read(&good(), way(1_019_000)).is_ok());
        assert!(matches!(
            read(&good(), way(1_020_500)),
            Err(Refusal::RoundTrip(_))
        ));
    }

    #[test]
    fn years_after_2036_are_of_the_next_era() {
        // RFC 4330, 3: the era ends on 2036-02-07, 06:28:16.
        for unix_s in [
            EARLIEST_US / 1_000_000,
            2_085_978_495,
            2_085_978_496,
            4_000_000_000,
            6_000_000_000,
        ] {
            let message = answer(NONCE, unix_s * 1_000_000);
            let read = read(&message, WAY).unwrap().sample.booted_us;
            let booted_us = unix_s * 1_000_000 - 5_010_000;
            assert!(read.abs_diff(booted_us) <= 1, "{unix_s}: {read}");
        }
    }

    #[test]
    fn nothing_that_comes_in_panics() {
        let mut message = good();
        for at in 0..LENGTH {
            for byte in 0..=255 {
                let kept = core::mem::replace(&mut message[at], byte);
                let _ = (is_answer(&message, NONCE), read(&message, WAY));
                message[at] = kept;
            }
        }
        let _ = read(&[0xff; LENGTH], WAY);
    }
}
