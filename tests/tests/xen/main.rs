//! The images as guests of a real Xen, created and ended by the real `xl`. One host serves all of these
//! tests; `cargo landfall test` brings it up.

#![forbid(unsafe_code)]

mod ends;
mod every_host;
mod life;
mod mistakes;
mod networks;

use std::net::SocketAddr;

use landfall_tests::http::ask;
use landfall_tests::wait_until;
use landfall_tests::{DEADLINE, Response};

/// Returns a page as soon as it is served. A bridge that has just got its guest may drop the first frames.
fn page(address: SocketAddr) -> Response {
    let what = format!("a page at {address}");
    let page = wait_until(&what, DEADLINE, || ask(address, "GET", "/").ok());
    assert_eq!(page.status, 200, "{address}");
    page
}
