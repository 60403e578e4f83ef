//! Fuzzers of everything that faces the outside: what a network, a device, a hypervisor, whoever starts the machine and
//! whoever asks the service can say.
//!
//! Each target is a function of bytes. It must come back for every input, without a panic and with what it asserts: libFuzzer
//! looks for bytes with which it does not (`fuzz_targets`, `cargo landfall fuzz`), and `tests/corpus.rs` plays those that are
//! known, and some by chance, at every `cargo test`.
//!
//! | target | who is hostile | what it tries |
//! |---|---|---|
//! | [`device_tree`] | the firmware, the hypervisor's toolstack | everything that boards read from a device tree |
//! | [`boot_arguments`] | whoever starts the machine | words, values of every type, arguments found in a file |
//! | [`virtio_net`] | the device | the network driver: rings, lengths, headers, events |
//! | [`netfront_receive`], [`netfront_transmit`] | the backend | Xen's network card: indices, statuses, extra infos |
//! | [`xenstore`], [`console`] | the daemons in dom0 | replies, watches and bytes in their rings |
//! | [`ip_stack`] | the network | frames in any order and the time between them, apps that connect, send and close |
//! | [`http`] | clients | bytes in any pieces, windows that close, time that passes |
//! | [`score_api`] | players | bodies of requests to 2048, as bytes and as games |
#![forbid(unsafe_code)]

mod arguments;
mod http;
mod network;
mod scores;
// Not everything that its own tests need, and `pub` is as far as it goes.
#[allow(dead_code, unreachable_pub)]
#[path = "../../../runtime/http/tests/support/socket.rs"]
mod socket;
mod tree;
mod world;

pub use arguments::boot_arguments;
pub use http::http;
pub use landfall_drivers::virtio::net::hostile::play as virtio_net;
pub use network::ip_stack;
pub use scores::score_api;
pub use tree::device_tree;
pub use xen_arm::hostile::{console, netfront_receive, netfront_transmit, xenstore};

// Its implementation for hosts, which drivers and `xen-arm` ask the program for.
use critical_section as _;

/// A target: its name, which is also its corpus's, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by name.
pub const TARGETS: [Target; 10] = [
    ("boot_arguments", boot_arguments),
    ("console", console),
    ("device_tree", device_tree),
    ("http", http),
    ("ip_stack", ip_stack),
    ("netfront_receive", netfront_receive),
    ("netfront_transmit", netfront_transmit),
    ("score_api", score_api),
    ("virtio_net", virtio_net),
    ("xenstore", xenstore),
];
