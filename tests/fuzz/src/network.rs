//! The IP stack against a network that says whatever a script says, when the script says it.
//!
//! Bytes alone hardly get beyond a checksum. So a script has steps: some are frames of its own bytes, others frames that are
//! almost right, made by [`peer`]: segments of connections whose numbers are near the right ones, what the stack said turned
//! round, answers to its questions. Between them time passes, and an app ([`app`]) connects, reads, writes and lets go.

mod app;
mod card;
mod frames;
mod peer;

use core::net::{Ipv4Addr, Ipv6Addr};

use arbitrary::Unstructured;
use landfall_net::{AddressConfig, Config, Ipv6Config, Stack};

use crate::world::World;
use app::App;
use card::Card;
use peer::Peer;

/// The stack's addresses, and those of its peers: the last byte tells them apart.
const OWN: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const OWN_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// What the stack serves.
const TCP_PORT: u16 = 80;
const UDP_PORT: u16 = 53;

/// Few, so that a script gets there.
const MOST_CONNECTIONS: usize = 24;
/// By then every connection that nobody holds is over, TIME-WAIT included.
const LONG_S: u64 = 300;
/// The longest pause in a script, milliseconds.
const LONGEST_PAUSE_MS: u64 = 70_000;
/// Steps of one script.
const MOST_STEPS: usize = 200;

/// Plays a script to its end.
pub fn ip_stack(script: &[u8]) {
    let mut script = Unstructured::new(script);
    let mut bench = Bench::new(&mut script);
    for _ in 0..MOST_STEPS {
        if script.is_empty() {
            break;
        }
        bench.step(&mut script);
    }
    bench.finish();
}

struct Bench {
    // Before the world, whose drop ends the time in which the others live.
    app: App,
    peer: Peer,
    card: Card,
    stack: Stack,
    world: World,
}

impl Bench {
    fn new(script: &mut Unstructured<'_>) -> Self {
        let mut world = World::new();
        let card = Card::default();
        let (stack, mut runner) =
            landfall_net::new(card.clone(), config(byte(script))).expect("a sound configuration");
        world.spawn(async move { runner.run().await });
        let app = App::new(&stack, &mut world);
        let mut bench = Self {
            app,
            peer: Peer::default(),
            card,
            stack,
            world,
        };
        bench.go_on();
        bench
    }

    fn step(&mut self, script: &mut Unstructured<'_>) {
        match byte(script) % 16 {
            0 => {
                let length = usize::from(word(script)) % 1600;
                let length = length.min(script.len());
                let frame = script.bytes(length).expect("so many are left");
                self.card.arrive(frame.to_vec());
            }
            1 => self.card.arrive(self.peer.packet(script)),
            2..=4 => self.card.arrive(self.peer.segment(script)),
            5 => self.card.arrive(self.peer.connects(script)),
            6 => self.card.arrive(self.peer.echoes(script)),
            7 => self.card.arrive(self.peer.introduces_itself(script)),
            8 => self.card.arrive(self.peer.datagram(script)),
            9 => self.card.arrive(self.peer.control_message(script)),
            10 => self.card.arrive(self.peer.leases(script)),
            11 => self.card.change(byte(script)),
            12 => self.app.opens(&self.stack, &mut self.world, script),
            13 => self.app.datagrams(script),
            14 => self.app.acts(script),
            _ => {
                let pause = u64::from(word(script)) * 17 % LONGEST_PAUSE_MS;
                self.world.pass(1000 * pause);
            }
        }
        self.go_on();
        assert!(self.stack.connections().total() <= MOST_CONNECTIONS);
    }

    /// Lets the stack work, and the peer see what it says.
    fn go_on(&mut self) {
        for _ in 0..8 {
            self.world.settle();
            let sent = self.card.sent();
            if sent.is_empty() {
                break;
            }
            for frame in sent {
                if let Some(answer) = self.peer.sees(frame) {
                    self.card.arrive(answer);
                }
            }
        }
    }

    /// The app lets go of everything, and the network falls silent: nothing may be left.
    fn finish(mut self) {
        self.card.change(0);
        self.app.let_go();
        self.world.pass(1_000_000 * LONG_S);
        self.app.let_go();
        self.world.pass(1_000_000 * LONG_S);
        self.card.sent();
        let left = self.stack.connections();
        assert_eq!(left.total(), 0, "{left:?}");
    }
}

/// Returns one of the configurations.
fn config(choice: u8) -> Config {
    let address = match choice & 3 {
        0 => AddressConfig::Dhcp,
        1 => AddressConfig::Off,
        _ => AddressConfig::Static {
            address: OWN,
            prefix: 16,
            gateway: Some(Ipv4Addr::new(10, 1, 0, 2)),
        },
    };
    let ipv6 = match choice >> 2 & 3 {
        0 => Ipv6Config::Off,
        1 => Ipv6Config::Automatic,
        _ => Ipv6Config::Static {
            address: OWN_6,
            prefix: 64,
            gateway: None,
        },
    };
    let (rx_buffer, tx_buffer) = match choice >> 4 & 3 {
        0 => (1024, 1024),
        1 => (70_000, 8192),
        2 => (300_000, 100_000),
        _ => (4096, 8192),
    };
    Config {
        ipv6,
        rx_buffer,
        tx_buffer,
        max_connections: MOST_CONNECTIONS,
        backlog: 8,
        max_time_wait: 4,
        ..Config::new(address, 0x1234)
    }
}

fn byte(script: &mut Unstructured<'_>) -> u8 {
    script.arbitrary().unwrap_or_default()
}

fn word(script: &mut Unstructured<'_>) -> u16 {
    script.arbitrary().unwrap_or_default()
}
