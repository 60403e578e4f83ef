//! The page that Xen shares with a guest (`xen.h`, `struct shared_info`): which event channels are
//! pending, and the wall clock.

use crate::{
    Frame, XenError,
    hypercall::{self, MapSpace},
    memory::SharedMemory,
};
use core::{sync::atomic::Ordering, time::Duration};

/// Words of the bit maps of event channels, and bits of each: `xen_ulong_t` has 64 on ARM.
pub(crate) const WORDS: usize = 64;

/// Offsets of `struct shared_info` on ARM, of both widths, with its one `struct vcpu_info`.
pub(crate) mod offset {
    pub(crate) const UPCALL_PENDING: usize = 0;
    pub(crate) const PENDING_SELECTOR: usize = 8;
    pub(crate) const PENDING: usize = 48;
    pub(crate) const MASK: usize = 560;
    pub(crate) const WALL_CLOCK_VERSION: usize = 1072;
    pub(crate) const WALL_CLOCK_SECONDS: usize = 1076;
    pub(crate) const WALL_CLOCK_NANOSECONDS: usize = 1080;
    pub(crate) const WALL_CLOCK_SECONDS_HIGH: usize = 1084;
}

/// The shared info page.
#[derive(Debug)]
pub struct SharedInfo(SharedMemory);

impl SharedInfo {
    /// Has Xen show the page in a page of the heap; every event channel is masked.
    ///
    /// # Errors
    /// [`XenError::OutOfMemory`] when the heap has no page, or what Xen says.
    pub fn map() -> Result<Self, XenError> {
        let page = SharedMemory::allocate(1).ok_or(XenError::OutOfMemory)?;
        // SAFETY: 1. A page of the heap of its own, which never goes back there: what it shows from
        // now on is Xen's.
        unsafe { hypercall::add_to_physmap(MapSpace::SharedInfo, 0, page.frame(0)) }?;
        Ok(Self::new(page.keep()))
    }

    /// Uses `page`, which shows a shared info.
    pub(crate) fn new(page: SharedMemory) -> Self {
        let info = Self(page);
        for word in 0..WORDS {
            info.0
                .u64(offset::MASK + 8 * word)
                .store(u64::MAX, Ordering::Relaxed);
        }
        info
    }

    /// Returns whether an event became pending since the last call, and forgets it.
    pub(crate) fn take_upcall(&self) -> bool {
        // Before the look at the selector, so that an event after it raises the flag anew.
        self.0.u8(offset::UPCALL_PENDING).swap(0, Ordering::SeqCst) != 0
    }

    /// Returns which words of the pending bits to look at, and forgets it.
    pub(crate) fn take_selector(&self) -> u64 {
        self.0
            .u64(offset::PENDING_SELECTOR)
            .swap(0, Ordering::SeqCst)
    }

    /// Takes those pending bits of a word that are not masked.
    pub(crate) fn take_pending(&self, word: usize) -> u64 {
        let mask = self.0.u64(offset::MASK + 8 * word).load(Ordering::SeqCst);
        let pending = self.0.u64(offset::PENDING + 8 * word);
        pending.fetch_and(mask, Ordering::SeqCst) & !mask
    }

    /// Masks a port: it may become pending, and nobody is told.
    pub(crate) fn mask(&self, port: usize) {
        let word = self.0.u64(offset::MASK + 8 * (port / WORDS));
        word.fetch_or(1 << (port % WORDS), Ordering::SeqCst);
    }

    /// Unmasks a port; returns whether it is pending, of which Xen tells nobody any more (`xen.h`:
    /// "the edge is lost"). It is not pending after that.
    pub(crate) fn unmask(&self, port: usize) -> bool {
        let bit = 1 << (port % WORDS);
        let word = 8 * (port / WORDS);
        self.0
            .u64(offset::MASK + word)
            .fetch_and(!bit, Ordering::SeqCst);
        self.0
            .u64(offset::PENDING + word)
            .fetch_and(!bit, Ordering::SeqCst)
            & bit
            != 0
    }

    /// Returns the wall clock at the moment when this domain's virtual counter was 0, since 1970-01-01 UTC:
    /// Xen on ARM adds how long it had run by then. `None` when nobody has told Xen the time of day.
    pub fn wall_clock_at_start(&self) -> Option<Duration> {
        /// Xen is writing while the version is odd; a few tries are enough for any honest writer.
        const TRIES: usize = 1000;
        (0..TRIES)
            .find_map(|_| self.read_wall_clock())
            .filter(|it| !it.is_zero())
    }

    /// Returns the clock when it was not changed meanwhile.
    fn read_wall_clock(&self) -> Option<Duration> {
        let read = |offset| self.0.u32(offset).load(Ordering::Acquire);
        let version = read(offset::WALL_CLOCK_VERSION);
        let seconds = u64::from(read(offset::WALL_CLOCK_SECONDS_HIGH)) << 32
            | u64::from(read(offset::WALL_CLOCK_SECONDS));
        let nanoseconds = read(offset::WALL_CLOCK_NANOSECONDS).min(999_999_999);
        let same = version.is_multiple_of(2) && read(offset::WALL_CLOCK_VERSION) == version;
        same.then(|| Duration::new(seconds, nanoseconds))
    }

    /// Returns where it is.
    pub fn frame(&self) -> Frame {
        self.0.frame(0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What Xen does when an event is sent to `port`.
    pub(crate) fn raise(page: &SharedMemory, port: usize) {
        let (word, bit) = (8 * (port / WORDS), 1_u64 << (port % WORDS));
        let before = page
            .u64(offset::PENDING + word)
            .fetch_or(bit, Ordering::SeqCst);
        let masked = page.u64(offset::MASK + word).load(Ordering::SeqCst) & bit != 0;
        if before & bit == 0 && !masked {
            page.u64(offset::PENDING_SELECTOR)
                .fetch_or(1 << (port / WORDS), Ordering::SeqCst);
            page.u8(offset::UPCALL_PENDING).store(1, Ordering::SeqCst);
        }
    }

    fn info() -> SharedInfo {
        SharedInfo::new(SharedMemory::allocate(1).unwrap())
    }

    #[test]
    fn an_event_is_taken_once() {
        let info = info();
        assert!(!info.unmask(70));
        raise(&info.0, 70);
        assert!(info.take_upcall());
        assert!(!info.take_upcall());
        assert_eq!(info.take_selector(), 1 << 1);
        assert_eq!(info.take_pending(1), 1 << 6);
        assert_eq!(info.take_pending(1), 0);
    }

    #[test]
    fn an_event_while_masked_is_told_when_unmasked() {
        let info = info();
        raise(&info.0, 4095);
        assert!(!info.take_upcall());
        assert_eq!(info.take_pending(63), 0);
        assert!(info.unmask(4095));
        info.mask(4095);
        assert!(!info.unmask(4095), "it was told before");
    }

    #[test]
    fn the_wall_clock_is_read_whole_or_not_at_all() {
        let info = info();
        let set = |offset, value| info.0.u32(offset).store(value, Ordering::SeqCst);
        assert_eq!(info.wall_clock_at_start(), None);
        set(offset::WALL_CLOCK_SECONDS, 7);
        set(offset::WALL_CLOCK_SECONDS_HIGH, 1);
        set(offset::WALL_CLOCK_NANOSECONDS, 5);
        let expected = Duration::new((1 << 32) + 7, 5);
        assert_eq!(info.wall_clock_at_start(), Some(expected));
        set(offset::WALL_CLOCK_VERSION, 3);
        assert_eq!(info.wall_clock_at_start(), None, "Xen is writing, for ever");
        set(offset::WALL_CLOCK_VERSION, 4);
        set(offset::WALL_CLOCK_NANOSECONDS, u32::MAX);
        assert!(info.wall_clock_at_start().is_some(), "no overflow");
    }
}
