//! IPv6 addresses: made by this host from what routers advertise (RFC 4862), or configured; and the
//! router to other networks.
//!
//! smoltcp resolves neighbours and answers for the addresses that it is given. This module says which:
//! smoltcp's own autoconfiguration knows neither duplicate address detection nor name servers, and asks
//! to be polled without end where there is no router. [`crate::ndisc`] reads and writes the messages.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use core::task::Context;

use embassy_net_driver::Driver;
use smoltcp::wire::Ipv6Cidr;

use crate::Error;
use crate::clock::{Duration, Instant};
use crate::config::Ipv6Config;
use crate::ndisc::{self, Advertised, Advertisement, Message, Prefix};
use crate::stack::Inner;

/// How long to listen for whoever has an address already (RFC 4861, 10, RETRANS_TIMER).
const LISTEN: Duration = Duration::from_secs(1);
/// How often to ask for a router, and the time between (RFC 4861, 10).
const QUESTIONS: u8 = 3;
const QUESTION_EVERY: Duration = Duration::from_secs(4);
/// An advertisement does not cut a lifetime to less than this (RFC 4862, 5.5.3 e).
const TWO_HOURS: Duration = Duration::from_secs(7200);
/// How many addresses there are beside the one of the link.
const MORE: usize = 2;
/// How many name servers are kept.
const SERVERS: usize = 2;

/// Who gave an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Origin {
    /// This host: everyone has an address that counts on the own link only.
    Link,
    /// A router's prefix.
    Router,
    /// The configuration.
    Static,
}

/// How far an address has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The network is still to be asked whether somebody has it.
    New,
    /// It was asked, and has until then to answer.
    Tentative(Instant),
    /// It is this host's.
    Ours,
}

/// An address of this host, or one that it may become.
#[derive(Clone, Copy, Debug)]
struct Own {
    cidr: Ipv6Cidr,
    origin: Origin,
    stage: Stage,
    /// Until when it may be used; `None` for ever.
    valid_until: Option<Instant>,
}

/// Something that a router said, forgotten when it is not repeated.
#[derive(Clone, Copy, Debug)]
struct Lent {
    address: Ipv6Addr,
    until: Option<Instant>,
}

/// The state of IPv6 on a network card.
#[derive(Default)]
pub(crate) struct Ipv6 {
    /// The address of the link first; none where IPv6 is off.
    own: Vec<Own>,
    router: Option<Lent>,
    servers: Vec<Lent>,
    /// Addresses are made of what routers advertise.
    automatic: bool,
    /// How often a router is still asked for, and when next.
    questions: u8,
    next_question: Option<Instant>,
    /// An address of ours that somebody is about to take, not knowing.
    defend: Option<Ipv6Addr>,
    /// Whether others could reach this host when last looked at.
    was_usable: bool,
}

impl Ipv6 {
    /// Makes the addresses that there are before a router is heard.
    pub(crate) fn new(config: Ipv6Config, hardware: [u8; 6]) -> Result<Self, Error> {
        let mut this = Self::default();
        let link = Ipv6Cidr::new(ndisc::link_address(hardware), 64);
        match config {
            Ipv6Config::Off => return Ok(this),
            Ipv6Config::Automatic => this.automatic = true,
            Ipv6Config::Static { .. } => {}
        }
        this.add(link, Origin::Link, None);
        if let Ipv6Config::Static {
            address,
            prefix,
            gateway,
        } = config
        {
            let no_host =
                |it: Ipv6Addr| it.is_multicast() || it.is_unspecified() || it.is_loopback();
            if no_host(address) || gateway.is_some_and(no_host) || prefix > 128 {
                return Err(Error::InvalidConfiguration);
            }
            this.add(Ipv6Cidr::new(address, prefix), Origin::Static, None);
            this.router = gateway.map(|address| Lent {
                address,
                until: None,
            });
        }
        Ok(this)
    }

    fn add(&mut self, cidr: Ipv6Cidr, origin: Origin, valid_until: Option<Instant>) {
        if self.own.len() <= MORE {
            self.own.push(Own {
                cidr,
                origin,
                stage: Stage::New,
                valid_until,
            });
        }
    }

    fn ours(&self) -> impl Iterator<Item = &Own> {
        self.own.iter().filter(|own| own.stage == Stage::Ours)
    }

    /// Returns whether an address is this host's.
    pub(crate) fn has(&self, address: Ipv6Addr) -> bool {
        self.ours().any(|own| own.cidr.address() == address)
    }

    /// Returns whether an address is this host's or may become it.
    pub(crate) fn knows(&self, address: Ipv6Addr) -> bool {
        self.own.iter().any(|own| own.cidr.address() == address)
    }

    /// Returns this host's addresses, with the lengths of their networks' prefixes.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Ipv6Cidr> {
        self.ours().map(|own| own.cidr)
    }

    /// Returns the address by which others reach this host: one of the link only where no router is heard.
    pub(crate) fn usable(&self) -> Option<Ipv6Addr> {
        let silent = self.questions == 0 && self.next_question.is_none();
        let alone = silent && self.own.len() == 1;
        let mut ours = self.ours().map(|own| own.cidr.address());
        ours.find(|own| alone || !own.is_unicast_link_local())
    }

    /// Returns the router to other networks.
    pub(crate) fn router(&self) -> Option<Ipv6Addr> {
        self.router.map(|router| router.address)
    }

    /// Returns the name servers that routers advertise.
    pub(crate) fn servers(&self) -> impl Iterator<Item = IpAddr> {
        self.servers.iter().map(|server| server.address.into())
    }

    /// Returns who takes packets for `remote`, if this host has an address to send from.
    pub(crate) fn next_hop(&self, remote: Ipv6Addr) -> Option<Ipv6Addr> {
        if self.addresses().any(|own| own.contains_addr(&remote)) || remote.is_multicast() {
            return (self.ours().count() > 0).then_some(remote);
        }
        // An address of the link is no source for a packet that leaves it.
        let mut ours = self.addresses();
        ours.find(|own| !own.address().is_unicast_link_local())?;
        self.router()
    }

    /// The link is new: asks for routers once there is an address to ask from.
    pub(crate) fn restart(&mut self) {
        let link = self.own.first();
        if link.is_some_and(|link| link.stage == Stage::Ours) {
            self.ask_for_routers(Instant::ZERO);
        }
    }

    fn ask_for_routers(&mut self, now: Instant) {
        if self.automatic || self.router.is_none() {
            self.questions = QUESTIONS;
            self.next_question = Some(now);
        }
    }

    /// Takes what a router advertises.
    fn hear(&mut self, advertisement: &Advertisement<'_>, now: Instant) {
        if self.own.is_empty() {
            return;
        }
        self.questions = 0;
        self.next_question = None;
        self.hear_router(advertisement, now);
        advertisement.for_each(|advertised| match advertised {
            Advertised::Prefix(prefix) if self.automatic => self.hear_prefix(prefix, now),
            Advertised::Prefix(_) => {}
            Advertised::Server(server, lifetime) => self.hear_server(server, lifetime, now),
        });
    }

    fn hear_router(&mut self, advertisement: &Advertisement<'_>, now: Instant) {
        let address = advertisement.router;
        match self.router {
            // Another one, or a configured one, stays as long as it is good.
            Some(known) if known.address != address || known.until.is_none() => {}
            _ if advertisement.lifetime == Duration::ZERO => self.router = None,
            _ => {
                let until = Some(now + advertisement.lifetime);
                self.router = Some(Lent { address, until });
            }
        }
    }

    fn hear_prefix(&mut self, prefix: Prefix, now: Instant) {
        let Some(link) = self.own.first().map(|link| link.cidr.address()) else {
            return;
        };
        let address = ndisc::in_prefix(prefix.address, link);
        let until = prefix.valid.map(|valid| now + valid);
        let known = self
            .own
            .iter_mut()
            .find(|own| own.cidr.address() == address);
        match known {
            Some(own) if own.origin == Origin::Router => {
                own.valid_until = extended(own.valid_until, until, now);
            }
            Some(_) => {}
            None if prefix.valid == Some(Duration::ZERO) => {}
            None => {
                let length = if prefix.on_link { 64 } else { 128 };
                self.add(Ipv6Cidr::new(address, length), Origin::Router, until);
            }
        }
    }

    fn hear_server(&mut self, address: Ipv6Addr, lifetime: Option<Duration>, now: Instant) {
        let until = lifetime.map(|lifetime| now + lifetime);
        let server = Lent { address, until };
        let known = self.servers.iter().position(|it| it.address == address);
        match known {
            // One whose time is over is forgotten with the rest.
            Some(index) => self.servers[index] = server,
            None if self.servers.len() < SERVERS => self.servers.push(server),
            None => {}
        }
    }

    /// Forgets what is over; returns whether it had an effect on addresses or routes.
    fn expire(&mut self, now: Instant) -> bool {
        let is_over = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        let before = (self.own.len(), self.router.is_some());
        self.own.retain(|own| !is_over(own.valid_until));
        self.servers.retain(|server| !is_over(server.until));
        self.router = self.router.filter(|router| !is_over(router.until));
        before != (self.own.len(), self.router.is_some())
    }

    /// Returns what is to be said next.
    fn next_message(&self, now: Instant) -> Option<Message> {
        if let Some(address) = self.defend {
            return Some(Message::Claim(address));
        }
        let new = self.own.iter().find(|own| own.stage == Stage::New);
        if let Some(own) = new {
            return Some(Message::Ask(own.cidr.address()));
        }
        let asks = self.questions > 0 && self.next_question.is_some_and(|at| at <= now);
        let link = self.own.first().filter(|_| asks)?;
        Some(Message::Solicit(link.cidr.address()))
    }

    fn said(&mut self, message: Message, now: Instant) {
        match message {
            Message::Claim(_) => self.defend = None,
            Message::Ask(address) => {
                let asked = self
                    .own
                    .iter_mut()
                    .find(|own| own.cidr.address() == address);
                if let Some(own) = asked {
                    own.stage = Stage::Tentative(now + LISTEN);
                }
            }
            Message::Resolve(..) => {}
            Message::Solicit(_) => {
                self.questions -= 1;
                self.next_question = Some(now + QUESTION_EVERY);
            }
        }
    }

    /// Takes the addresses that nobody else claims. Returns each.
    fn settle(&mut self, now: Instant) -> Option<(Ipv6Cidr, Origin)> {
        // The last question was not answered either.
        if self.questions == 0 && self.next_question.is_some_and(|at| at <= now) {
            self.next_question = None;
        }
        let due = |own: &&mut Own| matches!(own.stage, Stage::Tentative(until) if until <= now);
        let own = self.own.iter_mut().find(due)?;
        own.stage = Stage::Ours;
        let (cidr, origin) = (own.cidr, own.origin);
        if origin == Origin::Link {
            self.ask_for_routers(now);
        }
        Some((cidr, origin))
    }

    /// Returns when there is something to do next.
    fn next_time(&self) -> Option<Instant> {
        let stages = self.own.iter().filter_map(|own| match own.stage {
            Stage::Tentative(until) => Some(until),
            _ => None,
        });
        let ends = self.own.iter().filter_map(|own| own.valid_until);
        let lent = self.servers.iter().chain(&self.router);
        let lent = lent.filter_map(|it| it.until);
        stages
            .chain(ends)
            .chain(lent)
            .chain(self.next_question)
            .min()
    }
}

/// Returns the new end of an address's life when an advertisement says `heard`: nobody who sends one can
/// take it away at once (RFC 4862, 5.5.3 e).
fn extended(known: Option<Instant>, heard: Option<Instant>, now: Instant) -> Option<Instant> {
    let least = now + TWO_HOURS;
    match (known, heard) {
        (_, None) => None,
        (_, Some(heard)) if heard > least => Some(heard),
        (Some(known), Some(heard)) if heard > known || known <= least => Some(known.max(heard)),
        _ => Some(least),
    }
}

impl Inner {
    /// Takes a router's advertisement.
    pub(crate) fn ipv6_hear(&mut self, frame: &[u8], now: Instant) {
        if let Some(advertisement) = ndisc::advertisement(frame) {
            let before = self.ipv6.router();
            self.ipv6.hear(&advertisement, now);
            if self.ipv6.router() != before {
                self.update_interface();
            }
        }
    }

    /// Looks at what a neighbour says of an address of ours, or one that is to become ours.
    pub(crate) fn ipv6_watch(&mut self, frame: &[u8]) {
        let Some(claim) = ndisc::claim(frame) else {
            return;
        };
        let mut known = self.ipv6.own.iter();
        let Some(index) = known.position(|own| own.cidr.address() == claim.target) else {
            return;
        };
        let own = self.ipv6.own[index];
        // It asks whether it may have it, or says that it has it (RFC 4862, 5.4.3 and 5.4.4).
        let wants_it = !claim.asks || claim.from.is_unspecified();
        if own.stage != Stage::Ours && wants_it {
            let [a, b, c, d, e, f] = claim.hardware;
            landfall_log::error!(
                target: self.config.name,
                "the address {} is taken by {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} and is not used",
                own.cidr.address()
            );
            // Without an address of the link there is no IPv6 (RFC 4862, 5.4.5).
            match own.origin {
                Origin::Link => self.ipv6.own.clear(),
                _ => drop(self.ipv6.own.remove(index)),
            }
        } else if claim.asks && claim.from.is_unspecified() {
            self.ipv6.defend = Some(claim.target);
        }
    }

    /// Says what is to be said and takes what is to be taken; the link is up. Returns when to look again.
    pub(crate) fn ipv6_poll<D: Driver>(
        &mut self,
        device: &mut D,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Option<Instant> {
        let mut changed = self.ipv6.expire(now);
        while let Some((cidr, origin)) = self.ipv6.settle(now) {
            let origin = match origin {
                Origin::Link => "this link only",
                Origin::Router => "SLAAC",
                Origin::Static => "static",
            };
            landfall_log::info!(target: self.config.name, "address {cidr} ({origin})");
            changed = true;
        }
        if changed {
            self.update_interface();
        }
        while let Some(message) = self.ipv6.next_message(now) {
            // Without room the device wakes this task when it has some.
            let meter = message.send(self.hardware, device, cx)?;
            self.count_sent(meter);
            self.ipv6.said(message, now);
        }
        let usable = self.ipv6.usable().is_some();
        if core::mem::replace(&mut self.ipv6.was_usable, usable) != usable {
            self.address_waiters.wake_all();
        }
        self.ipv6.next_time()
    }
}
