//! The boot arguments of our own IP stack.

use super::NetworkArguments;
#[cfg(feature = "ipv6")]
use crate::arguments::Ipv6Choice;
#[cfg(feature = "dns")]
use crate::arguments::NameServers;
use crate::arguments::{Argument, ArgumentError, Ipv4Choice, Words, argument};
use alloc::format;
#[cfg(feature = "ipv6")]
use core::net::Ipv6Addr;
use core::net::{IpAddr, Ipv4Addr};
use landfall_net::AddressConfig;
#[cfg(feature = "ipv6")]
use landfall_net::Ipv6Config;

/// How many network cards there can be.
pub(crate) const CARDS: usize = 4;

/// What the log lines of each card's stack begin with.
pub(crate) const NAMES: [&str; CARDS] = ["net", "net1", "net2", "net3"];

/// An address and the router to other networks, of a network card.
type OfCard = [Argument<'static>; 2];

macro_rules! of_card {
    ($ip:literal, $ip_help:literal, $gateway:literal, $gateway_help:literal) => {
        [
            argument!("R", $ip, "Ipv4Choice", "dhcp", $ip_help),
            argument!("R", $gateway, "Ipv4Addr", "by DHCP", $gateway_help),
        ]
    };
}

macro_rules! further_card {
    ($ip:literal, $gateway:literal) => {
        of_card!(
            $ip,
            "as ip, for the next network card",
            $gateway,
            "as gateway, for the next network card"
        )
    };
}

/// For each card.
pub(crate) const IPV4: [OfCard; CARDS] = [
    of_card!(
        "ip",
        "this machine's IPv4 address and prefix, such as 10.0.2.15/24; or dhcp, or off",
        "gateway",
        "the router to other networks"
    ),
    further_card!("ip1", "gateway1"),
    further_card!("ip2", "gateway2"),
    further_card!("ip3", "gateway3"),
];

#[cfg(feature = "ipv6")]
macro_rules! of_card_6 {
    ($ip:literal, $ip_help:literal, $gateway:literal, $gateway_help:literal) => {
        [
            argument!("R", $ip, "Ipv6Choice", "auto", $ip_help),
            argument!(
                "R",
                $gateway,
                "Ipv6Addr",
                "one that advertises itself",
                $gateway_help
            ),
        ]
    };
}

#[cfg(feature = "ipv6")]
macro_rules! further_card_6 {
    ($ip:literal, $gateway:literal) => {
        of_card_6!(
            $ip,
            "as ip6, for the next network card",
            $gateway,
            "as gateway6, for the next network card"
        )
    };
}

/// The same for IPv6.
#[cfg(feature = "ipv6")]
pub(crate) const IPV6: [OfCard; CARDS] = [
    of_card_6!(
        "ip6",
        "this machine's IPv6 address and prefix, such as 2001:db8::5/64; or auto, or off",
        "gateway6",
        "the router to other IPv6 networks"
    ),
    further_card_6!("ip61", "gateway61"),
    further_card_6!("ip62", "gateway62"),
    further_card_6!("ip63", "gateway63"),
];

/// The name servers, for all cards.
#[cfg(feature = "dns")]
pub(crate) const DNS: &[Argument<'static>] = &[argument!(
    "R",
    "dns",
    "NameServers",
    "those of the network",
    "name servers to ask first, such as 9.9.9.9 or 9.9.9.9,2620:fe::9"
)];

/// The own name.
#[cfg(feature = "mdns")]
pub(crate) const NAME: &[Argument<'static>] = &[argument!(
    "R",
    "name",
    "String",
    "the app's",
    "this machine's name: others on its network find it as NAME.local; off for none"
)];

impl NetworkArguments {
    /// Reads those of the card of that number.
    pub(crate) fn read(words: &Words, card: usize) -> Result<Self, ArgumentError> {
        Ok(Self {
            address: address(words, card)?,
            #[cfg(feature = "ipv6")]
            ipv6: address_6(words, card)?,
            dns_servers: name_servers(words)?,
        })
    }
}

fn address(words: &Words, card: usize) -> Result<AddressConfig, ArgumentError> {
    let [ip, router] = &IPV4[card];
    let gateway: Option<Ipv4Addr> = words.value(router.key())?;
    match (words.value(ip.key())?, gateway) {
        (Some(Ipv4Choice::Static(address, prefix)), gateway) => Ok(AddressConfig::Static {
            address,
            prefix,
            gateway,
        }),
        (_, Some(gateway)) => Err(alone(router, &gateway)),
        (Some(Ipv4Choice::Off), None) => Ok(AddressConfig::Off),
        (Some(Ipv4Choice::Dhcp) | None, None) => Ok(AddressConfig::Dhcp),
    }
}

#[cfg(feature = "ipv6")]
fn address_6(words: &Words, card: usize) -> Result<Ipv6Config, ArgumentError> {
    let [ip, router] = &IPV6[card];
    let gateway: Option<Ipv6Addr> = words.value(router.key())?;
    match (words.value(ip.key())?, gateway) {
        (Some(Ipv6Choice::Static(address, prefix)), gateway) => Ok(Ipv6Config::Static {
            address,
            prefix,
            gateway,
        }),
        (_, Some(gateway)) => Err(alone(router, &gateway)),
        (Some(Ipv6Choice::Off), None) => Ok(Ipv6Config::Off),
        (Some(Ipv6Choice::Auto) | None, None) => Ok(Ipv6Config::Automatic),
    }
}

/// A router is of no use without an address from which to reach it.
fn alone(router: &Argument<'_>, gateway: &dyn core::fmt::Display) -> ArgumentError {
    ArgumentError::BadValue {
        key: router.key().into(),
        value: format!("{gateway}"),
        expected: "an address of the same card beside it (ip=… for gateway=…, ip1=… for gateway1=…)",
    }
}

fn name_servers(words: &Words) -> Result<[Option<IpAddr>; 2], ArgumentError> {
    #[cfg(feature = "dns")]
    if let Some(NameServers(servers)) = words.value(DNS[0].key())? {
        return Ok(servers);
    }
    let _ = words;
    Ok([None; 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_needs_an_address_beside_it() {
        let read = |line: &str| NetworkArguments::read(&Words::parse(line)?, 0);
        assert_eq!(
            read("ip=10.0.2.15/24 gateway=10.0.2.2").unwrap().address,
            AddressConfig::Static {
                address: Ipv4Addr::new(10, 0, 2, 15),
                prefix: 24,
                gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
            }
        );
        assert_eq!(read("").unwrap().address, AddressConfig::Dhcp);
        assert_eq!(read("ip=off").unwrap().address, AddressConfig::Off);
        for line in ["gateway=10.0.2.2", "ip=off gateway=10.0.2.2"] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
