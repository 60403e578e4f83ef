//! A guest that comes to a bad end on purpose, so that the boot tests can see each end reported.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use alloc::string::String;
use core::{fmt, hint::black_box};

landfall::arguments! {
    /// how to end: return, error, panic, overflow, code, constant, null or hang
    how: String = String::from("return"),
}

#[landfall::main]
async fn main(_: landfall::System, arguments: Arguments) -> Result<(), Planned> {
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
        _ => panic!("no such end"),
    }
    Ok(())
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

fn write_to(address: usize) {
    let address = black_box(address) as *mut u32;
    // SAFETY: It is not: the MMU must stop it.
    unsafe { address.write_volatile(0) };
}
