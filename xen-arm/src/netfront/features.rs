//! What the two halves of a network card agree on.
//!
//! | key | written by | here |
//! |---|---|---|
//! | `mac`, `mtu` | toolstack, for the frontend | the card's address; the longest packet, 1500 where it is missing |
//! | `backend`, `backend-id` | toolstack, for the frontend | read anew for each connection |
//! | `tx-ring-ref`, `rx-ring-ref` | frontend | one ring each way |
//! | `event-channel-tx`, `event-channel-rx` | frontend | where the backend has `feature-split-event-channels` |
//! | `event-channel` | frontend | else: one for both rings |
//! | `request-rx-copy` | frontend | 1: the backend copies into our pages; it must have `feature-rx-copy` |
//! | `feature-rx-notify` | frontend | 1: the backend is notified of new receive buffers when it asks |
//! | `feature-sg` | both | 1: a frame may come in several slots, and goes in several where the backend has it |
//! | `feature-no-csum-offload` | both | 0 from us: TCP checksums may be left out on the way here; sent without where the backend does not refuse |
//! | `feature-ipv6-csum-offload` | both | not written, so off: there is no IPv6 in the stack |
//! | `feature-gso-tcpv4`, `feature-gso-tcpv6` | both | not written, so off: segments come and go one by one |
//! | `multi-queue-num-queues` | frontend | not written: one queue, for one virtual CPU |
//! | `feature-multicast-control` | backend | not used: the stack drops what it does not want |
//! | `carrier` | backend | the link is down when it is 0 |
//! | `state` | both | see [`crate::xenbus::State`] |
//!
//! Source: `io/netif.h`.

use crate::{
    xenbus::Backend,
    xenstore::{StoreError, Xenstore},
};

/// What a backend can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Offer {
    pub(super) rx_copy: bool,
    pub(super) split_event_channels: bool,
    pub(super) scatter_gather: bool,
    pub(super) checksum_offload: bool,
}

impl Offer {
    pub(super) async fn read(backend: &Backend) -> Result<Self, StoreError> {
        Ok(Self {
            rx_copy: backend.feature("feature-rx-copy", false).await?,
            split_event_channels: backend
                .feature("feature-split-event-channels", false)
                .await?,
            scatter_gather: backend.feature("feature-sg", false).await?,
            checksum_offload: !backend.feature("feature-no-csum-offload", false).await?,
        })
    }
}

/// What this frontend says to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Reply {
    pub(super) tx_ring: u32,
    pub(super) rx_ring: u32,
    pub(super) tx_port: u32,
    /// `None`: the same as `tx_port`.
    pub(super) rx_port: Option<u32>,
}

impl Reply {
    /// Writes it into the frontend's folder, whose keys `key` names.
    pub(super) async fn write(
        self,
        store: &Xenstore,
        key: impl Fn(&str) -> alloc::string::String,
    ) -> Result<(), StoreError> {
        store.write(&key("tx-ring-ref"), self.tx_ring).await?;
        store.write(&key("rx-ring-ref"), self.rx_ring).await?;
        match self.rx_port {
            Some(rx_port) => {
                store.write(&key("event-channel-tx"), self.tx_port).await?;
                store.write(&key("event-channel-rx"), rx_port).await?;
            }
            None => store.write(&key("event-channel"), self.tx_port).await?,
        }
        for (name, value) in [
            ("request-rx-copy", 1),
            ("feature-rx-notify", 1),
            ("feature-sg", 1),
            ("feature-no-csum-offload", 0),
        ] {
            store.write(&key(name), value).await?;
        }
        Ok(())
    }
}
