//! Answers every request on TCP port 8080 with the bytes of the heap that are in use.

#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::ToString;

use landfall_http::{Limits, Request, Response};

#[landfall::main]
async fn main(system: landfall::System) -> Result<(), landfall::Error> {
    let listener = system.network()?.bind_tcp(8080).await?;
    let used = move |_: &Request<'_>| match system.info().heap {
        Some(heap) => Response::text(heap.used.to_string()),
        None => Response::text("unknown"),
    };
    landfall_http::serve(listener, Limits::default(), used).await
}
