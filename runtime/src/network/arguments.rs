//! The boot arguments of our own IP stack.

use super::NetworkArguments;
use crate::arguments::{Argument, ArgumentError, ArgumentValue, Words};
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

/// The IPv4 address and the router to other networks, for each card.
pub(crate) const IPV4: [[Argument; 2]; CARDS] = [
    [
        Argument {
            key: "ip",
            help: "this machine's IPv4 address and prefix, such as 10.0.2.15/24; dhcp or off",
            default: "dhcp",
        },
        Argument {
            key: "gateway",
            help: "the router to other networks",
            default: "by DHCP",
        },
    ],
    further_card("ip1", "gateway1"),
    further_card("ip2", "gateway2"),
    further_card("ip3", "gateway3"),
];

const fn further_card(ip: &'static str, gateway: &'static str) -> [Argument; 2] {
    [
        Argument {
            key: ip,
            help: "as ip, for the next network card",
            default: "dhcp",
        },
        Argument {
            key: gateway,
            help: "as gateway, for the next network card",
            default: "by DHCP",
        },
    ]
}

/// The same for IPv6.
#[cfg(feature = "ipv6")]
pub(crate) const IPV6: [[Argument; 2]; CARDS] = [
    [
        Argument {
            key: "ip6",
            help: "this machine's IPv6 address and prefix, such as 2001:db8::5/64; auto or off",
            default: "auto",
        },
        Argument {
            key: "gateway6",
            help: "the router to other IPv6 networks",
            default: "one that advertises itself",
        },
    ],
    further_card_6("ip61", "gateway61"),
    further_card_6("ip62", "gateway62"),
    further_card_6("ip63", "gateway63"),
];

#[cfg(feature = "ipv6")]
const fn further_card_6(ip: &'static str, gateway: &'static str) -> [Argument; 2] {
    [
        Argument {
            key: ip,
            help: "as ip6, for the next network card",
            default: "auto",
        },
        Argument {
            key: gateway,
            help: "as gateway6, for the next network card",
            default: "one that advertises itself",
        },
    ]
}

/// The name servers, for all cards.
#[cfg(feature = "dns")]
pub(crate) const DNS: [Argument; 1] = [Argument {
    key: "dns",
    help: "name servers to ask first, such as 9.9.9.9 or 9.9.9.9,2620:fe::9",
    default: "those of the network",
}];

/// `ip=`
enum Ipv4Choice {
    Off,
    Dhcp,
    Static(Ipv4Addr, u8),
}

impl ArgumentValue for Ipv4Choice {
    const EXPECTED: &'static str =
        "an address with its network's prefix, such as 10.0.2.15/24, or dhcp, or off";

    fn read(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "dhcp" => Some(Self::Dhcp),
            _ => {
                let (address, prefix) = text.split_once('/')?;
                let prefix = prefix.parse().ok().filter(|it| (1..=32).contains(it))?;
                Some(Self::Static(address.parse().ok()?, prefix))
            }
        }
    }
}

/// `ip6=`
#[cfg(feature = "ipv6")]
enum Ipv6Choice {
    Off,
    Auto,
    Static(Ipv6Addr, u8),
}

#[cfg(feature = "ipv6")]
impl ArgumentValue for Ipv6Choice {
    const EXPECTED: &'static str =
        "an address with its network's prefix, such as 2001:db8::5/64, or auto, or off";

    fn read(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "auto" => Some(Self::Auto),
            _ => {
                let (address, prefix) = text.split_once('/')?;
                let prefix = prefix.parse().ok().filter(|it| (1..=128).contains(it))?;
                Some(Self::Static(address.parse().ok()?, prefix))
            }
        }
    }
}

/// `dns=`
#[cfg(feature = "dns")]
struct NameServers([Option<IpAddr>; 2]);

#[cfg(feature = "dns")]
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
    let gateway: Option<Ipv4Addr> = words.value(router.key)?;
    match (words.value(ip.key)?, gateway) {
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
    let gateway: Option<Ipv6Addr> = words.value(router.key)?;
    match (words.value(ip.key)?, gateway) {
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
fn alone(router: &Argument, gateway: &dyn core::fmt::Display) -> ArgumentError {
    ArgumentError::BadValue {
        key: router.key.into(),
        value: format!("{gateway}"),
        expected: "an address of the same card beside it (ip=… for gateway=…, ip1=… for gateway1=…)",
    }
}

fn name_servers(words: &Words) -> Result<[Option<IpAddr>; 2], ArgumentError> {
    #[cfg(feature = "dns")]
    if let Some(NameServers(servers)) = words.value(DNS[0].key)? {
        return Ok(servers);
    }
    let _ = words;
    Ok([None; 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<NetworkArguments, ArgumentError> {
        NetworkArguments::read(&Words::parse(line)?, 0)
    }

    #[test]
    fn addresses_with_prefix() {
        assert_eq!(
            read("ip=10.0.2.15/24 gateway=10.0.2.2").unwrap().address,
            AddressConfig::Static {
                address: Ipv4Addr::new(10, 0, 2, 15),
                prefix: 24,
                gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
            }
        );
        assert_eq!(read("").unwrap().address, AddressConfig::Dhcp);
        assert_eq!(read("ip=dhcp").unwrap().address, AddressConfig::Dhcp);
        assert_eq!(read("ip=off").unwrap().address, AddressConfig::Off);
        let wrong = [
            "ip=10.0.2.15",
            "ip=10.0.2/24",
            "ip=10.0.2.15/0",
            "ip=10.0.2.15/33",
            "ip=10.0.2.15/-1",
            "gateway=10.0.2.2",
            "ip=off gateway=10.0.2.2",
        ];
        for line in wrong {
            assert!(read(line).is_err(), "{line}");
        }
    }

    #[cfg(feature = "ipv6")]
    #[test]
    fn addresses_of_ipv6() {
        assert_eq!(
            read("ip6=2001:db8::5/64").unwrap().ipv6,
            Ipv6Config::Static {
                address: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5),
                prefix: 64,
                gateway: None,
            }
        );
        assert_eq!(read("").unwrap().ipv6, Ipv6Config::Automatic);
        assert_eq!(read("ip6=off").unwrap().ipv6, Ipv6Config::Off);
        for line in [
            "ip6=2001:db8::5",
            "ip6=1.2.3.4/24",
            "ip6=::1/129",
            "gateway6=fe80::1",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }

    #[cfg(feature = "dns")]
    #[test]
    fn one_or_two_name_servers() {
        let servers = |line| read(line).map(|it| it.dns_servers);
        let quad = |last| Some(IpAddr::from([9, 9, 9, last]));
        assert_eq!(servers("dns=9.9.9.9"), Ok([quad(9), None]));
        assert_eq!(servers("dns=9.9.9.9,9.9.9.10"), Ok([quad(9), quad(10)]));
        for line in [
            "dns=9.9.9",
            "dns=",
            "dns=9.9.9.9,",
            "dns=1.1.1.1,2.2.2.2,3.3.3.3",
        ] {
            assert!(servers(line).is_err(), "{line}");
        }
    }
}
