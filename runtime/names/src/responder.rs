//! The responder: this host is `NAME.local` to whoever asks the link (RFC 6762).
//!
//! It asks three times whether somebody has the name already, takes the next one (`NAME-2`) where somebody
//! has, tells everybody twice, and then answers. When its addresses change it tells again.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use domain::base::iana::{Class, Opcode};
use domain::base::message::RecordSection;
use domain::base::message_builder::{AnswerBuilder, AuthorityBuilder};
use domain::base::{Message, MessageBuilder, Rtype, ToName, Ttl};
use domain::rdata::{A, Aaaa};
use edge_nal::{UdpReceive, UdpSend};
use embassy_futures::select::{Either4, select4};
use embassy_time::{Duration, Instant, Timer};

use crate::{Buffer, Name};

/// The port, and the groups of both kinds of address.
pub const PORT: u16 = 5353;
/// The group of IPv4.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// The group of IPv6.
pub const GROUP_6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// Bytes of the longest datagram that is read.
const LONGEST_HEARD: usize = 1472;

/// In questions: an answer to the asking host alone is welcome. In answers: what was known is to be
/// forgotten (5.4 and 10.2).
const TOP_BIT: u16 = 0x8000;
/// How long others may remember an address (10), and how long who asks by plain DNS may (6.7).
const LIFE: Duration = Duration::from_secs(120);
const LEGACY_LIFE: Duration = Duration::from_secs(10);

/// How often and how fast is asked (8.1) and told (8.3).
const PROBES: u8 = 3;
const PROBE_EVERY: Duration = Duration::from_millis(250);
const TELLINGS: u8 = 2;
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long to wait after another has won the name for now (8.2), or after many names were taken (8.1).
const STEP_BACK: Duration = Duration::from_secs(1);
const MANY_CONFLICTS: u32 = 15;
const LONG_STEP_BACK: Duration = Duration::from_secs(5);
/// Everybody hears the same answer not more often than this (6).
const ANSWER_EVERY: Duration = Duration::from_secs(1);

/// The host that is to be found.
pub trait Host {
    /// Returns its addresses on this network.
    fn addresses(&self) -> Vec<IpAddr>;

    /// Waits until they are others than `known`.
    fn changed(&self, known: &[IpAddr]) -> impl Future<Output = ()>;

    /// Returns whether `peer` is on this network: others have no business to ask (11).
    fn is_near(&self, peer: IpAddr) -> bool;

    /// Returns a number that differs from host to host.
    fn random(&self) -> u16;
}

/// What the responder is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Has asked so often whether the name is free.
    Probing(u8),
    /// Has told so often that it has the name.
    Telling(u8),
    /// Answers.
    Settled,
}

/// Answers for `name`, without `.local`, until `end`. `socket` is one of port [`PORT`] that has joined
/// the groups. Log lines begin with `log_target`.
///
/// # Errors
/// What the socket reports when it receives.
pub async fn respond<S, E>(
    socket: &mut S,
    name: &str,
    host: &impl Host,
    log_target: &'static str,
    end: impl Future<Output = ()>,
) -> Result<(), E>
where
    S: UdpReceive<Error = E> + UdpSend<Error = E>,
{
    let Some(mut this) = Responder::new(name, host, log_target) else {
        landfall_log::error!(target: log_target, "{name} cannot be the name of a host");
        return Ok(());
    };
    let mut end = core::pin::pin!(end);
    let mut buffer = alloc::vec![0; LONGEST_HEARD];
    loop {
        let timer = Timer::at(this.next.unwrap_or(Instant::MAX));
        let changed = host.changed(&this.addresses);
        match select4(socket.receive(&mut buffer), timer, changed, &mut end).await {
            Either4::First(received) => {
                let (length, from) = received?;
                let heard = buffer.get(..length).map(Message::from_octets);
                if let Some(Ok(message)) = heard
                    && let Some((to, answer)) = this.hear(&message, from)
                {
                    this.say(socket, to, &answer).await;
                }
            }
            Either4::Second(()) => {
                if let Some(message) = this.tick() {
                    this.say(socket, To::Everybody, &message).await;
                }
            }
            Either4::Third(()) => this.move_on(),
            Either4::Fourth(()) => {
                if let Some(message) = this.farewell() {
                    this.say(socket, To::Everybody, &message).await;
                }
                return Ok(());
            }
        }
    }
}

/// Whom something is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum To {
    Everybody,
    One(SocketAddr),
}

struct Responder<'a, H> {
    host: &'a H,
    log_target: &'static str,
    wanted: &'a str,
    /// The name that is asked for or answered for, and how many were taken before it.
    name: Name,
    taken: u32,
    stage: Stage,
    next: Option<Instant>,
    addresses: Vec<IpAddr>,
    answered: Option<Instant>,
}

impl<'a, H: Host> Responder<'a, H> {
    fn new(wanted: &'a str, host: &'a H, log_target: &'static str) -> Option<Self> {
        let mut this = Self {
            host,
            log_target,
            wanted,
            name: full_name(wanted, 0)?,
            taken: 0,
            stage: Stage::Probing(0),
            next: None,
            addresses: host.addresses(),
            answered: None,
        };
        this.begin(Duration::from_millis(u64::from(host.random()) % 250));
        Some(this)
    }

    /// Asks for the name, from the beginning, after a while; without addresses, when there are some.
    fn begin(&mut self, after: Duration) {
        self.stage = Stage::Probing(0);
        self.next = (!self.addresses.is_empty()).then(|| Instant::now() + after);
    }

    /// The addresses may have changed.
    fn move_on(&mut self) {
        let addresses = self.host.addresses();
        let had_none = core::mem::replace(&mut self.addresses, addresses).is_empty();
        match self.stage {
            Stage::Probing(_) => self.begin(Duration::from_ticks(0)),
            _ if had_none => self.begin(Duration::from_ticks(0)),
            _ => {
                self.stage = Stage::Telling(0);
                self.next = Some(Instant::now());
            }
        }
    }

    /// Returns what it is time to say.
    fn tick(&mut self) -> Option<Message<Buffer>> {
        let now = Instant::now();
        match self.stage {
            Stage::Probing(PROBES) => {
                self.stage = Stage::Telling(0);
                landfall_log::info!(target: self.log_target, "this machine is {}", self.name);
                self.tick()
            }
            Stage::Probing(asked) => {
                self.stage = Stage::Probing(asked + 1);
                self.next = Some(now + PROBE_EVERY);
                self.probe()
            }
            Stage::Telling(told) => {
                self.stage = Stage::Telling(told + 1);
                self.next = Some(now + TELL_EVERY);
                if told + 1 == TELLINGS {
                    (self.stage, self.next) = (Stage::Settled, None);
                }
                self.answered = Some(now);
                self.claim(LIFE)
            }
            Stage::Settled => {
                self.next = None;
                None
            }
        }
    }

    /// What others are told at the end: to forget.
    fn farewell(&self) -> Option<Message<Buffer>> {
        let is_known = !matches!(self.stage, Stage::Probing(_));
        is_known
            .then(|| self.claim(Duration::from_ticks(0)))
            .flatten()
    }

    async fn say<S: UdpSend>(&self, socket: &mut S, to: To, message: &Message<Buffer>) {
        let bytes = message.as_slice();
        // What cannot be sent is lost, as on a wire.
        match to {
            To::One(peer) => drop(socket.send(peer, bytes).await),
            To::Everybody => {
                if self.addresses.iter().any(IpAddr::is_ipv4) {
                    let _ = socket.send((GROUP, PORT).into(), bytes).await;
                }
                if self.addresses.iter().any(IpAddr::is_ipv6) {
                    let _ = socket.send((GROUP_6, PORT).into(), bytes).await;
                }
            }
        }
    }

    /// Asks whether somebody has the name, and says what it is wanted for (8.1).
    fn probe(&self) -> Option<Message<Buffer>> {
        let mut question = MessageBuilder::from_target(Buffer::default())
            .ok()?
            .question();
        let class = Class::from_int(Class::IN.to_int() | TOP_BIT);
        question.push((&self.name, Rtype::ANY, class)).ok()?;
        let mut authority = question.authority();
        for address in &self.addresses {
            push_authority(&mut authority, &self.name, *address)?;
        }
        Some(authority.into_message())
    }

    /// Says what addresses the name has.
    fn claim(&self, life: Duration) -> Option<Message<Buffer>> {
        let mut builder = MessageBuilder::from_target(Buffer::default()).ok()?;
        builder.header_mut().set_qr(true);
        builder.header_mut().set_aa(true);
        let mut answer = builder.answer();
        for address in &self.addresses {
            push_answer(&mut answer, &self.name, *address, TOP_BIT, life)?;
        }
        Some(answer.into_message())
    }

    /// Takes a message of another host. Returns what is to be answered.
    fn hear(
        &mut self,
        message: &Message<&[u8]>,
        from: SocketAddr,
    ) -> Option<(To, Message<Buffer>)> {
        let header = message.header();
        if header.opcode() != Opcode::QUERY || !self.host.is_near(from.ip()) {
            return None;
        }
        if header.qr() {
            // Answers come from the port of responders only (6).
            if from.port() == PORT && self.is_contradicted(message) {
                self.give_way();
            }
            return None;
        }
        let wanted = self.wanted_of(message)?;
        let rivals = self.rivals(message);
        match self.stage {
            Stage::Probing(_) => {
                if !rivals.is_empty() && rivals > self.claims() {
                    self.begin(STEP_BACK);
                }
                None
            }
            _ => self.answer(message, from, wanted, !rivals.is_empty()),
        }
    }

    /// Somebody else has the name.
    fn give_way(&mut self) {
        if let Stage::Probing(_) = self.stage {
            self.taken += 1;
            if let Some(name) = full_name(self.wanted, self.taken) {
                landfall_log::warn!(
                    target: self.log_target,
                    "{} is another machine's name; trying {}",
                    self.name,
                    name
                );
                self.name = name;
            }
        }
        let pause = match self.taken {
            0..MANY_CONFLICTS => Duration::from_ticks(0),
            _ => LONG_STEP_BACK,
        };
        self.begin(pause);
    }

    /// Returns which addresses of ours are asked for.
    fn wanted_of(&self, message: &Message<&[u8]>) -> Option<Vec<IpAddr>> {
        let mut wanted = Vec::new();
        for question in message.question().flatten() {
            let class = question.qclass().to_int() & !TOP_BIT;
            if class != Class::IN.to_int() || !question.qname().name_eq(&self.name) {
                continue;
            }
            wanted.extend(self.addresses.iter().filter(|it| {
                let any = question.qtype() == Rtype::ANY;
                any || question.qtype() == kind(**it)
            }));
        }
        (!wanted.is_empty()).then_some(wanted)
    }

    fn answer(
        &mut self,
        message: &Message<&[u8]>,
        from: SocketAddr,
        wanted: Vec<IpAddr>,
        probe: bool,
    ) -> Option<(To, Message<Buffer>)> {
        if from.port() != PORT {
            return Some((To::One(from), self.plain_answer(message, &wanted)?));
        }
        let known = self.known(message);
        if wanted.iter().all(|it| known.contains(it)) {
            return None;
        }
        let now = Instant::now();
        let recent = self.answered.is_some_and(|at| now < at + ANSWER_EVERY);
        // Who wants the name has to hear at once that it is taken.
        if recent && !probe {
            return None;
        }
        self.answered = Some(now);
        Some((To::Everybody, self.claim(LIFE)?))
    }

    /// The answer for who asks by plain DNS, which is as DNS has it (6.7).
    fn plain_answer(&self, message: &Message<&[u8]>, wanted: &[IpAddr]) -> Option<Message<Buffer>> {
        let mut builder = MessageBuilder::from_target(Buffer::default()).ok()?;
        builder.header_mut().set_id(message.header().id());
        builder.header_mut().set_qr(true);
        builder.header_mut().set_aa(true);
        let mut questions = builder.question();
        let mut asked = message.question().flatten();
        let question = asked.find(|it| it.qname().name_eq(&self.name))?;
        let (kind, class) = (question.qtype(), question.qclass());
        questions.push((&self.name, kind, class)).ok()?;
        let mut answer = questions.answer();
        for address in wanted {
            push_answer(&mut answer, &self.name, *address, 0, LEGACY_LIFE)?;
        }
        Some(answer.into_message())
    }

    /// Returns whether a message has an address for the name that is not ours.
    fn is_contradicted(&self, message: &Message<&[u8]>) -> bool {
        let Ok(answers) = message.answer() else {
            return false;
        };
        // One that is taken back says nothing (10.1).
        let living = |ttl: Ttl| ttl > Ttl::from_secs(0);
        self.addresses_in(answers, living)
            .any(|address| !self.addresses.contains(&address))
    }

    /// Returns the addresses that who asks knows already, and will for a while.
    fn known(&self, message: &Message<&[u8]>) -> Vec<IpAddr> {
        let Ok(answers) = message.answer() else {
            return Vec::new();
        };
        let half = Ttl::from_secs(LIFE.as_secs() as u32 / 2);
        self.addresses_in(answers, |ttl| ttl >= half).collect()
    }

    /// Returns what another host wants the name for, in order (8.2).
    fn rivals(&self, message: &Message<&[u8]>) -> Vec<Claim> {
        let Ok(records) = message.authority() else {
            return Vec::new();
        };
        claims(self.addresses_in(records, |_| true))
    }

    /// Returns what this host wants it for, in the same order.
    fn claims(&self) -> Vec<Claim> {
        claims(self.addresses.iter().copied())
    }

    /// Returns the addresses that records have for the name, with lives that are `good`.
    fn addresses_in<'m>(
        &self,
        records: RecordSection<'m, &'m [u8]>,
        good: impl Fn(Ttl) -> bool,
    ) -> impl Iterator<Item = IpAddr> {
        records.flatten().filter_map(move |record| {
            let ours = record.owner().name_eq(&self.name) && good(record.ttl());
            match record.rtype() {
                Rtype::A if ours => {
                    let a = record.to_record::<A>().ok().flatten()?;
                    Some(a.data().addr().into())
                }
                Rtype::AAAA if ours => {
                    let aaaa = record.to_record::<Aaaa>().ok().flatten()?;
                    Some(aaaa.data().addr().into())
                }
                _ => None,
            }
        })
    }
}

/// Type and data of a record that a name is wanted for.
type Claim = (u16, Vec<u8>);

/// Returns what a name is wanted for, in order.
fn claims(addresses: impl Iterator<Item = IpAddr>) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    for claim in addresses.map(claim) {
        let place = claims.partition_point(|known| *known < claim);
        claims.insert(place, claim);
    }
    claims
}

/// Type and data of an address's record.
fn claim(address: IpAddr) -> Claim {
    let data = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    (kind(address).to_int(), data)
}

fn kind(address: IpAddr) -> Rtype {
    match address {
        IpAddr::V4(_) => Rtype::A,
        IpAddr::V6(_) => Rtype::AAAA,
    }
}

fn push_answer(
    answer: &mut AnswerBuilder<Buffer>,
    name: &Name,
    address: IpAddr,
    flags: u16,
    life: Duration,
) -> Option<()> {
    let class = Class::from_int(Class::IN.to_int() | flags);
    let life = Ttl::from_secs(life.as_secs() as u32);
    match address {
        IpAddr::V4(a) => answer.push((name, class, life, A::new(a))).ok(),
        IpAddr::V6(a) => answer.push((name, class, life, Aaaa::new(a))).ok(),
    }
}

fn push_authority(
    authority: &mut AuthorityBuilder<Buffer>,
    name: &Name,
    address: IpAddr,
) -> Option<()> {
    let life = Ttl::from_secs(LIFE.as_secs() as u32);
    match address {
        IpAddr::V4(a) => authority.push((name, Class::IN, life, A::new(a))).ok(),
        IpAddr::V6(a) => authority.push((name, Class::IN, life, Aaaa::new(a))).ok(),
    }
}

/// Returns `WANTED.local`, or `WANTED-2.local` after one was taken, and so on.
fn full_name(wanted: &str, taken: u32) -> Option<Name> {
    let text: String = match taken {
        0 => format!("{wanted}.local"),
        _ => format!("{wanted}-{}.local", taken + 1),
    };
    // The name has one label of its own.
    let good = !wanted.is_empty() && !wanted.contains(['.', '\\']);
    good.then(|| Name::from_chars(text.chars()).ok()).flatten()
}
