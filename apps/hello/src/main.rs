//! The smallest web service on Landfall. `cargo landfall new NAME` makes an app of your own, with a test.
//!
//! `cargo landfall run hello` serves it from a process on this machine, and
//! `cargo landfall run hello --board virt` from a virtual machine that holds nothing else. The
//! source is the same: the board is linked underneath.
//!
//! To go on from here:
//! - Answer by path with `landfall_http::Routes`, wait for something in an answer with an
//!   `async fn` of `landfall_http::Handler`, or leave HTTP out and accept connections from
//!   `listener` yourself: it implements `edge_nal::TcpAccept`.
//! - Put what can be tested on the host into a library beside this file, as `new` and `apps/2048` do,
//!   and leave the wiring here.

// On bare metal there is neither `std` nor an operating system to call `main`.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use landfall_http::{Limits, Request, Response};

// Given as `port=80` on the command line of the process or of the virtual machine.
landfall::arguments! {
    /// TCP port to listen on
    port: u16 = 8080,
}

#[landfall::main]
async fn main(system: landfall::System, arguments: Arguments) -> Result<(), landfall::Error> {
    let listener = system.network()?.bind_tcp(arguments.port).await?;
    let hello = |_: &Request<'_>| Response::text("hello\n");
    landfall_http::serve(listener, Limits::default(), hello).await
}
