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
//! | `feature-ipv6-csum-offload` | both | not written, so off: checksums of IPv6 are made and checked here |
//! | `feature-gso-tcpv4` | both | 1 where there is memory for it: TCP's segments come put together, and go so where the backend has it, checksum offload and scatter-gather |
//! | `feature-gso-tcpv6` | both | not written, so off: segments of IPv6 go one by one |
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
use alloc::{string::String, vec::Vec};
use futures_util::future::{try_join_all, try_join5};

/// What a backend can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Offer {
    pub(super) rx_copy: bool,
    pub(super) split_event_channels: bool,
    pub(super) scatter_gather: bool,
    pub(super) checksum_offload: bool,
    pub(super) segmentation: bool,
}

/// What of sending is left to the backend.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Cut {
    /// TCP's checksums.
    pub(super) checksums: bool,
    /// How many frames of up to 64 KiB there may be at a time that it cuts into segments.
    pub(super) long_frames: usize,
}

impl Offer {
    pub(super) async fn read(backend: &Backend) -> Result<Self, StoreError> {
        let feature = |name| backend.feature(name, false);
        let (rx_copy, split_event_channels, scatter_gather, no_checksum_offload, segmentation) =
            try_join5(
                feature("feature-rx-copy"),
                feature("feature-split-event-channels"),
                feature("feature-sg"),
                feature("feature-no-csum-offload"),
                feature("feature-gso-tcpv4"),
            )
            .await?;
        Ok(Self {
            rx_copy,
            split_event_channels,
            scatter_gather,
            checksum_offload: !no_checksum_offload,
            segmentation,
        })
    }

    /// Returns what of it is used, with so many long frames at most.
    pub(super) fn cut(&self, long_frames: usize) -> Cut {
        let whole = self.segmentation && self.scatter_gather && self.checksum_offload;
        Cut {
            checksums: self.checksum_offload,
            long_frames: if whole { long_frames } else { 0 },
        }
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
    /// TCP's segments may come put together.
    pub(super) segmentation: bool,
}

impl Reply {
    /// Writes it into the frontend's folder, whose keys `key` names. The backend reads them when the
    /// frontend's state says that they are there.
    pub(super) async fn write(
        self,
        store: &Xenstore,
        key: impl Fn(&str) -> String,
    ) -> Result<(), StoreError> {
        let channels = match self.rx_port {
            Some(rx_port) => [
                ("event-channel-tx", self.tx_port),
                ("event-channel-rx", rx_port),
            ],
            None => [("event-channel", self.tx_port); 2],
        };
        let rest = [
            ("tx-ring-ref", self.tx_ring),
            ("rx-ring-ref", self.rx_ring),
            ("request-rx-copy", 1),
            ("feature-rx-notify", 1),
            ("feature-sg", 1),
            ("feature-no-csum-offload", 0),
            ("feature-gso-tcpv4", self.segmentation.into()),
        ];
        let keys: Vec<(String, u32)> = channels
            .into_iter()
            .chain(rest)
            .map(|(name, value)| (key(name), value))
            .collect();
        // All at once: each answer takes dom0 its time.
        try_join_all(keys.iter().map(|(key, value)| store.write(key, value))).await?;
        Ok(())
    }
}
