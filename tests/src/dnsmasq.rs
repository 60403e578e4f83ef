//! A DHCP and DNS server in a test's network: dnsmasq, with nothing of this machine's own settings.
//!
//! It is told what to offer before it starts, and again before it starts anew:
//!
//! ```no_run
//! # use landfall_tests::{Dnsmasq, Lab, Namespace};
//! # let (lab, namespace) = (Lab::open().unwrap(), Namespace::new().unwrap());
//! let mut server = Dnsmasq::new(&lab, &namespace).expect("root, and dnsmasq");
//! server.lease_seconds = 120;
//! server.records.push(("printer.test".into(), [10, 77, 0, 9].into()));
//! server.start();
//! server.wait_for_line("DHCPACK");
//! server.stop();
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::sys::signal::Signal;

use crate::lab::{Folder, Lab, has_program};
use crate::network::{HOST, TAP};
use crate::{Guest, Namespace};

/// The shortest lease that dnsmasq gives.
pub const SHORTEST_LEASE: u32 = 120;

/// This machine's address for [`Dnsmasq::ipv6`].
pub const HOST_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);

/// How a network gives out IPv6 addresses (RFC 4861, RFC 4862, RFC 8415), all in the prefix of [`HOST_IPV6`], of 64
/// bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ipv6 {
    /// Hosts make their own by router advertisements.
    Advertised,
    /// The same, and the name servers are asked of DHCPv6, too.
    Stateless,
    /// DHCPv6 gives them, from `fd77::1:0` to `fd77::1:ff`.
    Stateful,
}

/// A server, which runs between [`Self::start`] and [`Self::stop`]. It ends with this value.
#[derive(Debug)]
pub struct Dnsmasq<'a> {
    /// The first and the last IPv4 address to give; `None` for no DHCP.
    pub range: Option<(Ipv4Addr, Ipv4Addr)>,
    /// How long an address is lent, [`SHORTEST_LEASE`] at least.
    pub lease_seconds: u32,
    /// When a client is to renew and when to rebind (RFC 2131, 4.4.5); `None` leaves it to dnsmasq.
    pub renewal_seconds: Option<(u32, u32)>,
    /// The router to other networks, if there is one.
    pub router: Option<Ipv4Addr>,
    /// Hardware addresses that always get the same IPv4 address.
    pub reserved: Vec<([u8; 6], Ipv4Addr)>,
    /// IPv6, for which the tap gets [`HOST_IPV6`].
    pub ipv6: Option<Ipv6>,
    /// Names, and the address that each has. A name may have several.
    pub records: Vec<(String, IpAddr)>,
    /// More of dnsmasq's own options.
    pub options: Vec<String>,
    lab: &'a Lab,
    namespace: &'a Namespace,
    folder: Folder,
    process: Option<Guest>,
}

impl<'a> Dnsmasq<'a> {
    /// Makes one that does not run yet, or says why that is not possible here. It will give out 10.77.0.100 to
    /// 10.77.0.199 for an hour, with this machine as the router and the name server.
    pub fn new(lab: &'a Lab, namespace: &'a Namespace) -> Result<Self, &'static str> {
        if !has_program("dnsmasq") {
            return Err("there is no dnsmasq (package dnsmasq-base)");
        }
        let [first, last] = [100, 199].map(|host| Ipv4Addr::new(10, 77, 0, host));
        Ok(Self {
            range: Some((first, last)),
            lease_seconds: 3600,
            renewal_seconds: None,
            router: Some(HOST),
            reserved: Vec::new(),
            ipv6: None,
            records: Vec::new(),
            options: Vec::new(),
            lab,
            namespace,
            folder: lab.folder(),
            process: None,
        })
    }

    /// Starts it; it remembers the leases of an earlier run. Returns when it serves.
    pub fn start(&mut self) {
        self.stop();
        if self.ipv6.is_some() {
            self.namespace.add_address(&format!("{HOST_IPV6}/64"));
        }
        let mut command = self.namespace.command(self.lab, "dnsmasq");
        command.args(self.words());
        let mut process = Guest::start(command, None, None);
        process.wait_for_line("]: started, version");
        self.process = Some(process);
    }

    /// Ends it at once, without a word to its clients.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::SIGTERM);
            process.wait_for_status();
        }
    }

    /// Forgets all leases. It must not run.
    pub fn forget_leases(&mut self) {
        assert!(self.process.is_none(), "it would write them again");
        // There is none before the first start.
        let _ = std::fs::remove_file(self.leases());
    }

    /// Returns the first line of its log with `needle` in it, as soon as there is one, such as "DHCPACK".
    pub fn wait_for_line(&mut self, needle: &str) -> String {
        self.running().wait_for_line(needle)
    }

    /// Its log since it started.
    pub fn log(&mut self) -> String {
        self.running().console()
    }

    fn running(&mut self) -> &mut Guest {
        self.process.as_mut().expect("it was started")
    }

    fn leases(&self) -> std::path::PathBuf {
        self.folder.path().join("leases")
    }

    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = [
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-hosts",
            "--no-resolv",
            "--no-ping",
            "--user=root",
            "--pid-file=",
            "--log-facility=-",
            "--log-dhcp",
            "--log-queries",
            "--dhcp-authoritative",
            "--except-interface=lo",
            "--bind-interfaces",
        ]
        .map(str::to_owned)
        .to_vec();
        words.push(format!("--interface={TAP}"));
        words.push(format!("--dhcp-leasefile={}", self.leases().display()));
        words.extend(self.ipv4_words());
        words.extend(self.ipv6_words());
        for (name, address) in &self.records {
            words.push(format!("--host-record={name},{address}"));
        }
        words.extend(self.options.iter().cloned());
        words
    }

    fn ipv4_words(&self) -> Vec<String> {
        let Some((first, last)) = self.range else {
            return Vec::new();
        };
        let router = self.router.map(|it| it.to_string()).unwrap_or_default();
        let mut words = vec![
            format!("--dhcp-range={first},{last},{}", self.lease_seconds),
            // An option without a value is not sent.
            format!("--dhcp-option=option:router,{router}")
                .trim_end_matches(',')
                .to_owned(),
        ];
        if let Some((renew, rebind)) = self.renewal_seconds {
            words.push(format!("--dhcp-option=option:T1,{renew}"));
            words.push(format!("--dhcp-option=option:T2,{rebind}"));
        }
        for (mac, address) in &self.reserved {
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            words.push(format!("--dhcp-host={mac},{address}"));
        }
        words
    }

    fn ipv6_words(&self) -> Vec<String> {
        let range = match self.ipv6 {
            None => return Vec::new(),
            Some(Ipv6::Advertised) => format!("fd77::,ra-only,64,{}", self.lease_seconds),
            Some(Ipv6::Stateless) => format!("fd77::,ra-stateless,64,{}", self.lease_seconds),
            Some(Ipv6::Stateful) => format!("fd77::1:0,fd77::1:ff,64,{}", self.lease_seconds),
        };
        vec![
            "--enable-ra".to_owned(),
            format!("--dhcp-range={range}"),
            "--dhcp-option=option6:dns-server,[::]".to_owned(),
        ]
    }
}
