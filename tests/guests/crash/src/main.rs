//! A guest that comes to a bad end on purpose, so that the boot tests can see each end reported.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use alloc::string::String;
use core::{fmt, hint::black_box, net::SocketAddr};
use embedded_io_async::{Read, Write};

landfall::arguments! {
    /// how to end: return, error, panic, overflow, code, constant, null, hang (asleep), spin (awake),
    /// echo (the console's input, until it says end), copy (well, if memory copies are right),
    /// fetch (well, once another machine has answered), random (numbers of two ways), or clock (says the
    /// time each second, for as long as it runs)
    how: String = String::from("return"),
    /// whom fetch asks for a page, as ADDRESS:PORT
    from: String = String::new(),
}

#[landfall::main]
async fn main(system: landfall::System, arguments: Arguments) -> Result<(), Planned> {
    landfall_log::debug!("about to {}", arguments.how);
    match arguments.how.as_str() {
        "return" => {}
        "error" => return Err(Planned),
        "panic" => panic!("planned panic number {}", black_box(7)),
        "overflow" => {
            black_box(deeper(black_box(1)));
        }
        "code" => write_to(deeper as fn(u64) -> u64 as usize),
        "constant" => write_to("a constant".as_ptr().addr()),
        "null" => write_to(0),
        "hang" => core::future::pending().await,
        "spin" => loop {
            core::hint::spin_loop();
        },
        "echo" => echo(&system).await,
        "copy" => check_copies(),
        "random" => random(&system),
        "clock" => clock(&system).await,
        "fetch" => fetch(&system, &arguments.from).await,
        _ => panic!("no such end"),
    }
    Ok(())
}

/// Says what each line of the console's input was.
async fn echo(system: &landfall::System) {
    landfall_log::info!("say something");
    let mut line = String::new();
    while line != "end" {
        line.clear();
        while !line.ends_with(['\r', '\n']) {
            let mut piece = [0; 16];
            let length = system.read_console(&mut piece).await;
            line.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
        line.truncate(line.trim_end().len());
        landfall_log::info!("the console says {line:?}");
    }
}

/// Asks another machine for a page and says how it answers.
async fn fetch(system: &landfall::System, from: &str) {
    let from: SocketAddr = from.parse().expect("from=ADDRESS:PORT");
    let network = system.network().expect("a network card");
    let mut socket = network.connect_tcp(from).await.expect("it listens");
    let request = b"GET / HTTP/1.1\r\nHost: fetched\r\n\r\n";
    socket.write_all(request).await.expect("it reads");
    let mut answer = [0; 512];
    let length = socket.read(&mut answer).await.expect("it answers");
    let answer = String::from_utf8_lossy(&answer[..length]);
    let status = answer.lines().next().unwrap_or_default();
    landfall_log::info!("{from} answers {status:?}");
}

/// Says random numbers: two of the crate `getrandom`, one of the runtime after two mebibytes of others, and where
/// they come from.
fn random(system: &landfall::System) {
    for _ in 0..2 {
        let number = getrandom::u64().expect("the runtime has seeded it");
        landfall_log::info!("getrandom says {number:016x}");
    }
    let mut others = alloc::vec![0; 1 << 20];
    system.fill_random(&mut others);
    system.fill_random(&mut others);
    let mut number = [0; 8];
    system.fill_random(&mut number);
    landfall_log::info!("the runtime says {:016x}", u64::from_be_bytes(number));
    let entropy = system.entropy();
    landfall_log::info!("good: {}, reseeded: {}", entropy.is_good(), entropy.reseeds);
}

/// Says what time it is, and where that comes from.
async fn clock(system: &landfall::System) {
    loop {
        match system.wall_clock() {
            Some(time) => landfall_log::info!("it is {time} {time:?}"),
            None => landfall_log::info!("it is unknown what time it is"),
        }
        embassy_time::Timer::after_secs(1).await;
    }
}

#[derive(Debug)]
struct Planned;

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a planned error")
    }
}

/// Recursion without an end that the compiler could see.
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == 0 {
        0
    } else {
        deeper(depth + 1) + frame[black_box(3)]
    }
}

/// Compares `memmove` and `memset` with copies byte by byte, for all lengths and alignments that
/// take another path through them, overlapping both ways and not at all.
fn check_copies() {
    const LONGEST: usize = 300;
    let original: [u8; 2 * LONGEST] = core::array::from_fn(|index| (index * 7 + index / 256) as u8);
    for length in 0..LONGEST {
        for (from, to) in [
            (0, 0),
            (0, 1),
            (1, 0),
            (3, 50),
            (50, 3),
            (9, 299),
            (299, 16),
            (64, 0),
        ] {
            let mut copied = original;
            copied.copy_within(black_box(from..from + length), black_box(to));
            for (index, byte) in copied.iter().enumerate() {
                let inside = (to..to + length).contains(&index);
                let expected = if inside {
                    original[index - to + from]
                } else {
                    original[index]
                };
                assert_eq!(
                    *byte, expected,
                    "{length} bytes from {from} to {to}, at {index}"
                );
            }
            copied[to..to + length].fill(black_box(0xa5));
            for (index, byte) in copied.iter().enumerate() {
                let inside = (to..to + length).contains(&index);
                assert!(
                    !inside || *byte == 0xa5,
                    "{length} bytes set at {to}: at {index}"
                );
            }
            assert_eq!(
                copied[to + length..],
                original[to + length..],
                "{length} set past {to}"
            );
            assert_eq!(
                copied[..to.min(from)],
                original[..to.min(from)],
                "{length} set before {to}"
            );
        }
    }
}

fn write_to(address: usize) {
    let address = black_box(address) as *mut u32;
    // SAFETY: It is not: the MMU must stop it.
    unsafe { address.write_volatile(0) };
}
