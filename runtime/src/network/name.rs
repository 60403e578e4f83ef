//! This host's name on the links of its network cards: `NAME.local`.

use super::{Network, arguments::NAMES};
use crate::System;
use alloc::{rc::Rc, vec::Vec};
use core::{net::IpAddr, num::NonZeroU8};
use embassy_time::{Duration, Timer};
use landfall_log::warn;
#[cfg(feature = "ipv6")]
use landfall_names::responder::GROUP_6;
use landfall_names::responder::{self, GROUP, PORT};
use landfall_net::Stack;

/// How long to wait before another attempt, after the socket failed.
const PAUSE: Duration = Duration::from_secs(10);

/// A network card's stack, as the responder sees it.
struct OnLink<'a>(&'a Stack);

impl responder::Host for OnLink<'_> {
    fn addresses(&self) -> Vec<IpAddr> {
        self.0.addresses()
    }

    async fn changed(&self, known: &[IpAddr]) {
        self.0.wait_other_addresses(known).await;
    }

    fn is_near(&self, peer: IpAddr) -> bool {
        self.0.is_near(peer)
    }

    fn random(&self) -> u16 {
        self.0.random() as u16
    }
}

impl Network {
    /// Lets others find this host as `NAME.local`, until the system ends. A process on the host's sockets
    /// has the host's name.
    pub(crate) fn take_name(&self, name: &str, system: &System) {
        let name: Rc<str> = name.into();
        for (stack, target) in self.cards().iter().zip(NAMES) {
            let (stack, name, end) = (stack.clone(), name.clone(), system.clone());
            system.spawn(async move { keep_name(&stack, &name, target, &end).await });
        }
    }
}

async fn keep_name(stack: &Stack, name: &str, target: &'static str, system: &System) {
    while let Err(error) = answer(stack, name, target, system).await {
        warn!(target: target, "cannot answer for the name {name}.local: {error}");
        Timer::after(PAUSE).await;
    }
}

async fn answer(
    stack: &Stack,
    name: &str,
    target: &'static str,
    system: &System,
) -> Result<(), landfall_net::Error> {
    let mut socket = stack.bind_udp(PORT)?;
    // By which others know that it comes from their own link (RFC 6762, 11).
    socket.set_hop_limit(NonZeroU8::MAX);
    socket.join(GROUP.into())?;
    #[cfg(feature = "ipv6")]
    socket.join(GROUP_6.into())?;
    let end = system.shutdown_requested();
    responder::respond(&mut socket, name, &OnLink(stack), target, end).await
}
