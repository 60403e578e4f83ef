//! The network card (`io/netif.h`): a frontend that speaks with a backend such as Linux' netback.
//!
//! [`Netfront`] is the card as an IP stack sees it, an [`embassy_net_driver::Driver`].
//! [`Netfront::connection`] is the task beside it: it finds the backend, agrees with it
//! ([`features`]), tells it of frames, and when the backend goes away it takes everything back and
//! connects again to the next one. In between the link is down.
//!
//! Pages are granted when a connection is made and used again and again, so no grant changes on the
//! way of a frame (`receive`, `transmit`). A backend that breaks the protocol is disconnected.

mod connection;
mod device;
pub mod features;
#[cfg(any(test, not(target_os = "none")))]
pub(crate) mod hostile;
mod receive;
mod transmit;

pub use connection::{Connection, Monitor, Status};
pub use device::{RxToken, TxToken};

use crate::{
    DomainId,
    events::EventChannels,
    grants::{Access, GrantError, GrantTable, SharedPages},
    memory::SharedMemory,
    ring::{FrontRing, Protocol, RingError},
    xenbus::Frontend,
    xenstore::{Cause, StoreError, Xenstore},
};
use alloc::{format, rc::Rc};
use core::{cell::RefCell, fmt};
use device::Shared;
use futures_util::future::join;

/// Bytes of a slot in the ring of frames to the backend, and in that of frames from it.
pub(crate) const TRANSMIT_SLOT: usize = transmit::SLOT;
pub(crate) const RECEIVE_SLOT: usize = receive::SLOT;
/// Bytes of an Ethernet header.
const ETHERNET_HEADER: usize = 14;
/// Where xenstore names no MTU (`io/netif.h`, "MTU").
const USUAL_MTU: usize = 1500;
/// The least that IPv4 works with (RFC 791), and the most that fits a frame's 16-bit length.
const MTUS: core::ops::RangeInclusive<usize> = 576..=65_535 - ETHERNET_HEADER;

/// What a card has done since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Frames received.
    pub rx_frames: u64,
    /// Frames that came with an error, too long, or out of their page.
    pub rx_errors: u64,
    /// Frames whose TCP or UDP checksum was wrong.
    pub rx_checksum: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Frames that the backend did not send on, or that were too long.
    pub tx_errors: u64,
    /// Connections made.
    pub connections: u64,
    /// Connections ended because the backend broke the protocol.
    pub broken: u64,
}

/// How a backend broke the protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Broken {
    /// The ring's indices make no sense.
    Ring(RingError),
    /// An answer to what was not asked.
    Id(u16),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(error) => error.fmt(f),
            Self::Id(id) => write!(f, "an answer with the number {id}, which was not asked"),
        }
    }
}

impl core::error::Error for Broken {}

impl From<RingError> for Broken {
    fn from(error: RingError) -> Self {
        Self::Ring(error)
    }
}

/// A network card.
#[derive(Debug)]
pub struct Netfront {
    shared: Rc<RefCell<Shared>>,
    number: u32,
    mac: [u8; 6],
    mtu: usize,
    frontend: Frontend,
}

impl Netfront {
    /// Reads what the toolstack says about card `number` (`vif`).
    ///
    /// # Errors
    /// [`StoreError`]: the `mac` is missing or none.
    pub async fn new(store: &Xenstore, number: u32) -> Result<Self, StoreError> {
        let frontend = Frontend::new(store, "vif", number);
        let (key, mtu_key) = (frontend.key("mac"), frontend.key("mtu"));
        let (mac, mtu) = join(store.read(&key), store.find_as(&mtu_key)).await;
        let mac = parse_mac(&mac?).ok_or(StoreError {
            path: key,
            cause: Cause::Value,
        })?;
        let mtu = mtu.unwrap_or(None);
        let mtu = usable_mtu(&frontend, mtu.unwrap_or(USUAL_MTU)).await;
        Ok(Self {
            shared: Rc::new(RefCell::new(Shared::default())),
            number,
            mac,
            mtu,
            frontend,
        })
    }

    /// Returns its hardware address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Returns the most bytes of a packet, without the Ethernet header.
    pub fn mtu(&self) -> usize {
        self.mtu
    }

    /// Returns what it has done.
    pub fn counters(&self) -> Counters {
        self.shared.borrow().counters
    }

    /// Returns the task that keeps it connected.
    ///
    /// TCP's segments come and go together in frames of up to 64 KiB, of which up to `long_frames`
    /// are on their way out at a time. Each takes 64 KiB, and so do those that come. With 0,
    /// segments come and go one by one.
    pub fn connection(
        &self,
        channels: &EventChannels,
        grants: &GrantTable,
        long_frames: usize,
    ) -> Connection {
        Connection::new(self, channels.clone(), grants.clone(), long_frames)
    }
}

/// What of the toolstack's MTU can be used: more than fits a page needs a backend that takes frames
/// in several pieces.
async fn usable_mtu(frontend: &Frontend, wanted: usize) -> usize {
    let mtu = wanted.clamp(*MTUS.start(), *MTUS.end());
    if mtu + ETHERNET_HEADER <= crate::Frame::BYTES {
        return mtu;
    }
    let scatter_gather = match frontend.backend().await {
        Ok(backend) => backend.feature("feature-sg", false).await.unwrap_or(false),
        Err(_) => false,
    };
    if scatter_gather { mtu } else { USUAL_MTU }
}

/// Reads six pairs of hexadecimal digits.
fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.trim().split(':');
    for byte in &mut mac {
        let digits = |part: &&str| part.bytes().all(|it| it.is_ascii_hexdigit());
        let part = parts.next().filter(|part| part.len() == 2).filter(digits)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    // A card's address is neither a group's nor nobody's.
    (parts.next().is_none() && mac[0] & 1 == 0 && mac != [0; 6]).then_some(mac)
}

/// Makes a ring that `backend` may use.
fn shared_ring<P: Protocol>(
    grants: &GrantTable,
    backend: DomainId,
) -> Result<(FrontRing<P>, SharedPages), GrantError> {
    let page = pages(1)?;
    // SAFETY: The page lives in the grant beside the ring, and both use it through `SharedMemory`.
    let view = unsafe { SharedMemory::at(page.address(), 1) };
    let grant = grants.share(page, backend, Access::ReadWrite)?;
    Ok((FrontRing::new(view), grant))
}

fn pages(count: usize) -> Result<SharedMemory, GrantError> {
    SharedMemory::allocate(count).ok_or(GrantError::Xen(crate::XenError::OutOfMemory))
}

impl fmt::Display for Netfront {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mac = self.mac.map(|byte| format!("{byte:02x}")).join(":");
        write!(f, "vif {}, {mac}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        assert_eq!(
            parse_mac("00:16:3e:01:02:ff"),
            Some([0, 0x16, 0x3e, 1, 2, 0xff])
        );
        for bad in [
            "",
            "00:16:3e:01:02",
            "00:16:3e:01:02:03:04",
            "01:16:3e:01:02:03",
            "00:00:00:00:00:00",
            "0:16:3e:01:02:03",
            "00-16-3e-01-02-03",
            "+0:16:3e:01:02:03",
        ] {
            assert_eq!(parse_mac(bad), None, "{bad}");
        }
    }
}
