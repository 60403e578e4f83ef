//! A query against servers and others of every kind, on a clock that jumps to the next deadline.

use super::*;
use crate::{ExitCode, Platform, platform, time};
use alloc::{boxed::Box, vec, vec::Vec};
use core::net::{Ipv4Addr, SocketAddrV4};
use core::{
    future::{Future, pending},
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
};
use embedded_io_async::ErrorType;
use message::tests::answer;
use std::sync::{Mutex, PoisonError};

struct Machine(AtomicU64);

static MACHINE: Machine = Machine(AtomicU64::new(0));
static TURN: Mutex<()> = Mutex::new(());

impl Platform for Machine {
    fn board(&self) -> &'static str {
        "test"
    }

    fn cpu(&self) -> &'static str {
        "none"
    }

    fn now_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn dispatch_interrupts(&self) {}

    fn sleep(&self, _: Option<u64>) {}

    fn wake(&self) {}

    fn write(&self, _: &[u8]) {}

    fn exit(&self, code: ExitCode) -> ! {
        panic!("{code:?}")
    }
}

/// Runs a future to its end; returns how many milliseconds that took, too.
fn simulate<T>(future: impl Future<Output = T>) -> (T, u64) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    platform::install(&MACHINE);
    let began_us = MACHINE.now_us();
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return (value, (MACHINE.now_us() - began_us) / 1000);
        }
        let next = time::wake_expired(MACHINE.now_us()).expect("it waits for a time");
        MACHINE.0.store(next, Ordering::Relaxed);
        time::wake_expired(next);
    }
}

const SERVER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 123));
const OTHER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 124));
const NONCE: u64 = 77;
const UNIX_US: u64 = 1_795_654_800_000_000;

/// A network that delivers these after as many milliseconds each, and then nothing.
struct Wire {
    datagrams: Vec<(u64, SocketAddr, Vec<u8>)>,
    sent: Vec<(SocketAddr, Vec<u8>)>,
    broken: bool,
}

fn wire(datagrams: Vec<(u64, SocketAddr, Vec<u8>)>) -> Wire {
    Wire {
        datagrams,
        sent: Vec::new(),
        broken: false,
    }
}

impl ErrorType for Wire {
    type Error = Error;
}

impl UdpSend for Wire {
    async fn send(&mut self, remote: SocketAddr, data: &[u8]) -> Result<(), Error> {
        self.sent.push((remote, data.to_vec()));
        match self.broken {
            true => Err(Error::NoNetwork { board: "test" }),
            false => Ok(()),
        }
    }
}

impl UdpReceive for Wire {
    async fn receive(&mut self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        if self.datagrams.is_empty() {
            return pending().await;
        }
        let (after_ms, from, datagram) = self.datagrams.remove(0);
        if after_ms > 0 {
            Timer::after_millis(after_ms).await;
        }
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        // As a host's socket says it of one that was too long.
        Ok((datagram.len(), from))
    }
}

fn ask(wire: &mut Wire) -> (Result<Answer, Failure>, u64) {
    simulate(query(wire, SERVER, NONCE))
}

/// Asks, where these come back.
fn outcome(datagrams: Vec<(u64, SocketAddr, Vec<u8>)>) -> (Result<Answer, Failure>, u64) {
    ask(&mut wire(datagrams))
}

#[test]
fn a_good_answer_is_taken() {
    let mut wire = wire(vec![(30, SERVER, answer(NONCE, UNIX_US).into())]);
    let (answer, took_ms) = ask(&mut wire);
    assert_eq!(took_ms, 30);
    let answer = answer.unwrap();
    // Of 30 ms the server held the request for 20.
    let at_server_us = MACHINE.now_us() - 25_000;
    assert!(answer.sample.booted_us.abs_diff(UNIX_US - at_server_us) <= 1);
    assert_eq!(wire.sent, [(SERVER, message::request(NONCE).to_vec())]);
}

#[test]
fn what_others_send_neither_counts_nor_keeps_the_answer_away() {
    let forged = || answer(NONCE + 1, UNIX_US + 1_000_000_000);
    let datagrams = vec![
        (1, OTHER, answer(NONCE, UNIX_US).into()),
        (1, SERVER, forged().into()),
        (1, SERVER, vec![]),
        (1, SERVER, vec![0xff; 2000]),
        (1, SERVER, message::request(NONCE).into()),
        (30, SERVER, answer(NONCE, UNIX_US).into()),
    ];
    let (answer, took_ms) = outcome(datagrams);
    assert_eq!((answer.unwrap().stratum, took_ms), (2, 35));
}

#[test]
fn a_flood_ends_the_query_though_it_never_pauses() {
    let (answer, took_ms) = outcome(vec![(0, OTHER, vec![0; 48]); 1000]);
    assert!(matches!(answer, Err(Failure::Silence { stray: 64 })));
    assert_eq!(took_ms, 0);
}

#[test]
fn silence_is_waited_for_two_seconds() {
    let (answer, took_ms) = outcome(vec![(500, OTHER, vec![1])]);
    assert!(matches!(answer, Err(Failure::Silence { stray: 1 })));
    assert_eq!(took_ms, 2000);
    let late = vec![(2001, SERVER, answer_now())];
    assert!(matches!(
        outcome(late),
        (Err(Failure::Silence { .. }), 2000)
    ));
}

fn answer_now() -> Vec<u8> {
    answer(NONCE, UNIX_US).into()
}

#[test]
fn an_answer_that_was_long_on_its_way_is_refused() {
    let (answer, _) = outcome(vec![(1500, SERVER, answer_now())]);
    let Err(Failure::Refused(Refusal::RoundTrip(us))) = answer else {
        panic!("{answer:?}");
    };
    assert!(us.abs_diff(1_480_000) <= 1, "{us}");
}

#[test]
fn a_kiss_of_death_ends_the_query() {
    let mut kiss = answer(NONCE, UNIX_US);
    kiss[1] = 0;
    kiss[12..16].copy_from_slice(b"DENY");
    let datagrams = vec![(30, SERVER, kiss.into()), (1, SERVER, answer_now())];
    let (answer, _) = outcome(datagrams);
    assert_eq!(
        answer.unwrap_err().refusal(),
        Some(Refusal::KissOfDeath(*b"DENY"))
    );
    // One that someone made up who does not know the nonce is nothing.
    kiss[24] ^= 1;
    let datagrams = vec![(10, SERVER, kiss.into()), (20, SERVER, answer_now())];
    assert!(outcome(datagrams).0.is_ok());
}

#[test]
fn a_network_that_does_not_send_is_reported() {
    let mut wire = wire(vec![]);
    wire.broken = true;
    assert!(matches!(ask(&mut wire), (Err(Failure::Network(_)), 0)));
}

#[test]
fn random_datagrams_do_no_harm() {
    let mut state = 1_u64;
    for _ in 0..500 {
        let mut message = answer(NONCE, UNIX_US);
        for _ in 0..4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            message[(state >> 33) as usize % 48] = (state >> 56) as u8;
        }
        let _ = outcome(vec![(20, SERVER, message.into())]);
    }
}

#[test]
fn servers_of_the_boot_argument() {
    let read = Server::read;
    assert_eq!(read("127.0.0.1"), Some(Server::Address(SERVER)));
    assert_eq!(read("127.0.0.1:124"), Some(Server::Address(OTHER)));
    let six = "[::1]:123".parse().ok().map(Server::Address);
    assert_eq!((read("::1"), read("[::1]:123")), (six.clone(), six));
    let name = |port| Some(Server::Name("time.example".into(), port));
    assert_eq!(read("time.example"), name(123));
    assert_eq!(read("time.example:124"), name(124));
    for bad in [
        "",
        "a b",
        "time.example:",
        "time.example:0",
        ":123",
        "127.0.0",
        "127.0.0.1:",
        "127.0.0.1:0",
        "1.2.3.4:65536",
        "[::1]:0",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn failures_are_sentences() {
    let refused = Failure::Refused(Refusal::KissOfDeath(*b"RA\n\xff"));
    let sentences = [
        (refused, "the answer is not believed: kiss-o'-death RA??"),
        (Failure::Silence { stray: 0 }, "no answer"),
        (
            Failure::Silence { stray: 3 },
            "no answer, and 3 datagrams that are none",
        ),
    ];
    for (failure, sentence) in sentences {
        assert_eq!(
            Box::from(alloc::format!("{failure}")),
            Box::<str>::from(sentence)
        );
    }
}
