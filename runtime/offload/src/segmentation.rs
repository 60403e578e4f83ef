//! Cards that cut TCP's segments themselves (TCP segmentation offload: virtio 1.2, 5.1.6.2, `VIRTIO_NET_HDR_GSO_TCPV4`; Xen's
//! `io/netif.h`, `XEN_NETIF_EXTRA_TYPE_GSO`).
//!
//! What a frame costs on its way through the stack and through a host hardly depends on its length. So the stack writes one
//! large frame of up to 64 KiB, and says of how many bytes of data its segments are. Whoever puts it on a wire cuts it; who is
//! on the same host takes it whole.

use core::task::Context;
use embassy_net_driver::Driver;

/// Bytes of a large frame, at most: IP's length has 16 bits, and so has that of a request to Xen's backend.
pub const LONGEST: usize = 65_535;

/// Versions of IP, which cards cut separately.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IpVersion {
    /// RFC 791.
    V4,
    /// RFC 8200.
    V6,
}

/// What a card has to know of a frame that it is to cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LargeFrame {
    /// Bytes of the whole frame, [`LONGEST`] at most.
    pub length: usize,
    /// Bytes of all headers together.
    pub headers: usize,
    /// Bytes of data of each segment but the last.
    pub mss: u16,
    /// Of which IP it is.
    pub version: IpVersion,
}

/// A network card that may cut segments. One that does not says nothing: `impl SegmentationOffload for Card {}`.
pub trait SegmentationOffload: Driver {
    /// Returns whether it cuts segments of this kind, at the moment.
    fn segments(&self, _: IpVersion) -> bool {
        false
    }

    /// Sends a frame that `write` writes and the card cuts. Its headers are those of the first segment, but that lengths are
    /// those of the whole and flags those of the last; TCP's checksum is left out.
    ///
    /// Returns false where there is no room for it: nothing was written, and `context` is woken when there is.
    fn send_large(
        &mut self,
        _context: &mut Context<'_>,
        _frame: LargeFrame,
        _write: impl FnOnce(&mut [u8]),
    ) -> bool {
        false
    }
}
