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
//! | `feature-ipv6-csum-offload` | both | 1 from us: the same for TCP over IPv6; sent without where the backend has it, too |
//! | `feature-gso-tcpv4`, `feature-gso-tcpv6` | both | 1 where there is memory for it: TCP's segments come together in large frames, and go so where the backend has it, the checksum offload of that IP, and scatter-gather |
//! | `multi-queue-num-queues` | frontend | not written: one queue, for one virtual CPU |
//! | `feature-ctrl-ring` | backend | not used: it is how a backend could be told of pages to keep mapped (`XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING`), and Linux' netback takes only hashing from it; our grants last as long as the connection all the same |
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
use futures_util::future::try_join_all;

/// What a backend can do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Offer {
    pub(super) rx_copy: bool,
    pub(super) split_event_channels: bool,
    pub(super) scatter_gather: bool,
    pub(super) no_checksum_offload: bool,
    pub(super) ipv6_checksum_offload: bool,
    pub(super) ipv4_segmentation: bool,
    pub(super) ipv6_segmentation: bool,
}

/// What of sending is left to the backend.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Cut {
    /// TCP's checksums, and whether also those over IPv6.
    pub(super) checksums: bool,
    pub(super) ipv6_checksums: bool,
    /// Frames that it cuts into segments, of TCP over IPv4 and over IPv6.
    pub(super) ipv4: bool,
    pub(super) ipv6: bool,
    /// How many such frames, of up to 64 KiB, there may be at a time.
    pub(super) long_frames: usize,
}

impl Offer {
    pub(super) async fn read(backend: &Backend) -> Result<Self, StoreError> {
        let mut offer = Self::default();
        let features = [
            ("feature-rx-copy", &mut offer.rx_copy),
            (
                "feature-split-event-channels",
                &mut offer.split_event_channels,
            ),
            ("feature-sg", &mut offer.scatter_gather),
            ("feature-no-csum-offload", &mut offer.no_checksum_offload),
            (
                "feature-ipv6-csum-offload",
                &mut offer.ipv6_checksum_offload,
            ),
            ("feature-gso-tcpv4", &mut offer.ipv4_segmentation),
            ("feature-gso-tcpv6", &mut offer.ipv6_segmentation),
        ];
        // All at once: each answer takes dom0 its time.
        try_join_all(features.map(async |(name, place)| {
            *place = backend.feature(name, false).await?;
            Ok::<_, StoreError>(())
        }))
        .await?;
        Ok(offer)
    }

    /// Returns what of it is used, with so many long frames at most.
    pub(super) fn cut(&self, long_frames: usize) -> Cut {
        let checksums = !self.no_checksum_offload;
        let ipv6_checksums = checksums && self.ipv6_checksum_offload;
        let ipv4 = self.scatter_gather && checksums && self.ipv4_segmentation;
        let ipv6 = self.scatter_gather && ipv6_checksums && self.ipv6_segmentation;
        Cut {
            checksums,
            ipv6_checksums,
            ipv4,
            ipv6,
            long_frames: if ipv4 || ipv6 { long_frames } else { 0 },
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
    /// TCP's segments may come together in large frames.
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
            ("feature-ipv6-csum-offload", 1),
            ("feature-gso-tcpv4", self.segmentation.into()),
            ("feature-gso-tcpv6", self.segmentation.into()),
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
