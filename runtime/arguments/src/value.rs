//! What values are made of.

use crate::{Ipv4Choice, Ipv6Choice, LogFilter, NameServers};
use alloc::string::String;
use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// A type that an argument's value can have.
pub trait ArgumentValue: Sized {
    /// What a value looks like, for error messages: "a number from 0 to 65535".
    const EXPECTED: &'static str;

    /// Reads a value; `None` when it is none.
    fn read(text: &str) -> Option<Self>;
}

macro_rules! values {
    ($($type:ty: $expected:literal,)*) => {$(
        impl ArgumentValue for $type {
            const EXPECTED: &'static str = $expected;

            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )*};
}

values! {
    u8: "a number from 0 to 255",
    u16: "a number from 0 to 65535",
    u32: "a number from 0 to 4294967295",
    u64: "a number from 0 to 18446744073709551615",
    usize: "a number from 0 on",
    i32: "a number from -2147483648 to 2147483647",
    i64: "a number from -9223372036854775808 to 9223372036854775807",
    bool: "true or false",
    String: "text without spaces",
    IpAddr: "an address such as 10.0.2.15 or fd00::1",
    Ipv4Addr: "an address such as 10.0.2.15",
    Ipv6Addr: "an address such as fd00::1",
    SocketAddr: "an address with a port, such as 10.0.2.15:80 or [fd00::1]:80",
}

/// Checks a value of the type with this name, with its path or without; types that are not known here take
/// any.
///
/// # Errors
/// What a value looks like.
pub fn expected(type_name: &str, value: &str) -> Result<(), &'static str> {
    fn check<T: ArgumentValue>(value: &str) -> Result<(), &'static str> {
        T::read(value).map(drop).ok_or(T::EXPECTED)
    }
    let check: fn(&str) -> Result<(), &'static str> =
        match type_name.rsplit([':', ' ']).next().unwrap_or_default() {
            "u8" => check::<u8>,
            "u16" => check::<u16>,
            "u32" => check::<u32>,
            "u64" => check::<u64>,
            "usize" => check::<usize>,
            "i32" => check::<i32>,
            "i64" => check::<i64>,
            "bool" => check::<bool>,
            "IpAddr" => check::<IpAddr>,
            "Ipv4Addr" => check::<Ipv4Addr>,
            "Ipv6Addr" => check::<Ipv6Addr>,
            "SocketAddr" => check::<SocketAddr>,
            "Duration" => check::<Duration>,
            "ByteSize" => check::<ByteSize>,
            "Ipv4Choice" => check::<Ipv4Choice>,
            "Ipv6Choice" => check::<Ipv6Choice>,
            "NameServers" => check::<NameServers>,
            "SyslogServer" => check::<SyslogServer>,
            "LogFilter" => check::<LogFilter>,
            _ => return Ok(()),
        };
    check(value)
}

/// Splits a number from the unit behind it.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let (number, unit) = text.split_at(text.len() - digits.len());
    Some((number.parse().ok()?, unit))
}

impl ArgumentValue for Duration {
    const EXPECTED: &'static str = "a time such as 500ms, 10s, 5m or 2h";

    fn read(text: &str) -> Option<Self> {
        let (number, unit) = number_and_unit(text)?;
        let seconds = match unit {
            "ms" => return Some(Duration::from_millis(number)),
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return None,
        };
        number.checked_mul(seconds).map(Duration::from_secs)
    }
}

/// A number of bytes: `512`, `64K`, `16M`, `2G`, each unit 1024 of the one before.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct ByteSize(pub u64);

impl ArgumentValue for ByteSize {
    const EXPECTED: &'static str = "a number of bytes such as 512, 64K, 16M or 2G";

    fn read(text: &str) -> Option<Self> {
        let (number, unit) = number_and_unit(text)?;
        let shift = match unit {
            "" => 0,
            "K" => 10,
            "M" => 20,
            "G" => 30,
            _ => return None,
        };
        number.checked_mul(1 << shift).map(Self)
    }
}

/// A syslog server: its address, and its UDP port where it is not 514 (RFC 5426, 3.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SyslogServer(pub SocketAddr);

impl ArgumentValue for SyslogServer {
    const EXPECTED: &'static str = "an address such as 10.0.2.2, or one with a port: 10.0.2.2:5514";

    fn read(text: &str) -> Option<Self> {
        let alone = |address: IpAddr| SocketAddr::new(address, 514);
        let server = text.parse().or_else(|_| text.parse().map(alone));
        server.ok().filter(|it| it.port() != 0).map(Self)
    }
}
