//! The harness of the tests that start images: guests, an HTTP client, networks, browsers.
//!
//! - [`lab`]: where the images and the tool are, free ports, folders ([`Lab`]).
//! - [`guest`]: a started image, its console and its end ([`Guest`]).
//! - [`http`]: requests as they should be and as they should not ([`Connection`]).
//! - [`network`]: a tap in a namespace of its own, and raw frames ([`Namespace`]).
//! - [`dnsmasq`]: a DHCP and DNS server there ([`Dnsmasq`]).
//! - [`sshd`]: an ssh server of this machine ([`Sshd`]).
//! - [`u_boot`]: U-Boot's prompt ([`Prompt`]).
//! - [`xen`]: a Xen host and its domains ([`XenHost`]).
//! - [`wait`]: polling with a deadline; nothing here sleeps for a fixed time and hopes.
//!
//! `cargo landfall test` builds the images and says in the environment where they are. Without that
//! the tests say that they are skipped.

#![forbid(unsafe_code)]

pub mod dnsmasq;
pub mod guest;
pub mod http;
pub mod lab;
pub mod network;
pub mod qmp;
pub mod sshd;
pub mod u_boot;
pub mod wait;
pub mod xen;

pub use dnsmasq::Dnsmasq;
pub use guest::Guest;
pub use http::{Connection, Response};
pub use lab::{Lab, free_port, skip};
pub use network::Namespace;
pub use qmp::Qmp;
pub use sshd::Sshd;
pub use u_boot::Prompt;
pub use wait::{DEADLINE, wait_until};
pub use xen::XenHost;

/// Declares tests, each once for the machine of each CPU: functions that take the board's name.
#[macro_export]
macro_rules! on_each_machine {
    ($($name:ident)+) => {
        $crate::on_each_machine! { virt "virt": $($name)+ }
        $crate::on_each_machine! { virt_armv7 "virt-armv7": $($name)+ }
    };
    ($module:ident $board:literal: $($name:ident)+) => {
        mod $module {
            $(#[test]
            fn $name() {
                super::$name($board);
            })+
        }
    };
}
