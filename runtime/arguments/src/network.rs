//! Values that say where addresses come from: those of `ip=`, `ip6=` and `dns=`.

use crate::ArgumentValue;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// Where an IPv4 address comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ipv4Choice {
    /// There is none.
    Off,
    /// A DHCP server gives it.
    Dhcp,
    /// It is this, and so many of its bits, from 1 to 32, are its network's.
    Static(Ipv4Addr, u8),
}

/// Where an IPv6 address comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ipv6Choice {
    /// There is none.
    Off,
    /// It is made of what routers advertise.
    Auto,
    /// It is this, and so many of its bits, from 1 to 128, are its network's.
    Static(Ipv6Addr, u8),
}

/// One or two name servers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NameServers(pub [Option<IpAddr>; 2]);

/// Reads `10.0.2.15/24`.
fn cidr<A: FromStr>(text: &str, longest: u8) -> Option<(A, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = prefix
        .parse()
        .ok()
        .filter(|it| (1..=longest).contains(it))?;
    Some((address.parse().ok()?, prefix))
}

impl ArgumentValue for Ipv4Choice {
    const EXPECTED: &'static str =
        "an address with its network's prefix, such as 10.0.2.15/24, or dhcp, or off";

    fn read(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "dhcp" => Some(Self::Dhcp),
            _ => cidr(text, 32).map(|(address, prefix)| Self::Static(address, prefix)),
        }
    }
}

impl ArgumentValue for Ipv6Choice {
    const EXPECTED: &'static str =
        "an address with its network's prefix, such as 2001:db8::5/64, or auto, or off";

    fn read(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "auto" => Some(Self::Auto),
            _ => cidr(text, 128).map(|(address, prefix)| Self::Static(address, prefix)),
        }
    }
}

impl ArgumentValue for NameServers {
    const EXPECTED: &'static str = "one or two addresses, such as 9.9.9.9 or 9.9.9.9,2620:fe::9";

    fn read(text: &str) -> Option<Self> {
        let mut servers = [None; 2];
        let mut places = servers.iter_mut();
        for word in text.split(',') {
            *places.next()? = Some(word.parse().ok()?);
        }
        Some(Self(servers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_prefix() {
        let own = Ipv4Addr::new(10, 0, 2, 15);
        assert_eq!(
            Ipv4Choice::read("10.0.2.15/24"),
            Some(Ipv4Choice::Static(own, 24))
        );
        assert_eq!(Ipv4Choice::read("dhcp"), Some(Ipv4Choice::Dhcp));
        assert_eq!(Ipv4Choice::read("off"), Some(Ipv4Choice::Off));
        for bad in [
            "",
            "10.0.2.15",
            "10.0.2/24",
            "10.0.2.15/0",
            "10.0.2.15/33",
            "10.0.2.15/-1",
        ] {
            assert_eq!(Ipv4Choice::read(bad), None, "{bad}");
        }
        let own = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5);
        assert_eq!(
            Ipv6Choice::read("2001:db8::5/64"),
            Some(Ipv6Choice::Static(own, 64))
        );
        assert_eq!(Ipv6Choice::read("auto"), Some(Ipv6Choice::Auto));
        for bad in ["dhcp", "2001:db8::5", "1.2.3.4/24", "::1/129"] {
            assert_eq!(Ipv6Choice::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn one_or_two_name_servers() {
        let quad = |last| Some(IpAddr::from([9, 9, 9, last]));
        let read = |text| NameServers::read(text).map(|it| it.0);
        assert_eq!(read("9.9.9.9"), Some([quad(9), None]));
        assert_eq!(read("9.9.9.9,9.9.9.10"), Some([quad(9), quad(10)]));
        for bad in ["9.9.9", "", "9.9.9.9,", "1.1.1.1,2.2.2.2,3.3.3.3"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
