//! A split virtqueue (OASIS virtio 1.2, 2.7) in which each descriptor lends one buffer.
//!
//! The numbers of descriptors are the caller's, so that a buffer can keep its own; nothing is looked up and nothing moves.
//! Notifications go both ways only when the other side asks for them (2.7.7, 2.7.10). Both sides write what they have, then
//! look what the other wants, with a barrier between. QEMU before 8.1 leaves barriers of machines with one CPU out, and then
//! each may miss the other; an access to a register is one even there. So who comes to rest asks ([`Queue::ask_for_event`]),
//! accesses a register, and looks again ([`Queue::has_used`], [`Queue::notify`]).

use super::memory;
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering, fence};
use virtio_drivers::{Error, transport::Transport};

/// `VIRTQ_DESC_F_WRITE`: the device writes.
const WRITE: u16 = 2;
/// `VIRTQ_AVAIL_F_NO_INTERRUPT`
const NO_INTERRUPT: u16 = 1;
/// `VIRTQ_USED_F_NO_NOTIFY`
const NO_NOTIFY: u16 = 1;

/// `struct virtq_desc`
#[repr(C)]
struct Descriptor {
    /// Low word first.
    address: [AtomicU32; 2],
    length: AtomicU32,
    flags: AtomicU16,
    next: AtomicU16,
}

/// `struct virtq_avail`
#[repr(C)]
struct Available<const SIZE: usize> {
    flags: AtomicU16,
    index: AtomicU16,
    ring: [AtomicU16; SIZE],
    used_event: AtomicU16,
}

/// `struct virtq_used`
#[repr(C, align(4096))]
struct Used<const SIZE: usize> {
    flags: AtomicU16,
    index: AtomicU16,
    ring: [UsedElement; SIZE],
    avail_event: AtomicU16,
}

/// `struct virtq_used_elem`
#[repr(C)]
struct UsedElement {
    id: AtomicU32,
    length: AtomicU32,
}

/// All three, where the older register layout wants them, too: one behind the other, the last on a page of its own (2.7.2).
#[repr(C, align(4096))]
struct Rings<const SIZE: usize> {
    descriptors: [Descriptor; SIZE],
    available: Available<SIZE>,
    used: Used<SIZE>,
}

/// One side of a queue of `SIZE` descriptors, a power of two.
pub(super) struct Queue<const SIZE: usize> {
    rings: &'static Rings<SIZE>,
    number: u16,
    has_events: bool,
    /// What `available.index` is to become: buffers up to here are in the ring.
    next_available: u16,
    /// What it was when the device was last notified.
    told: u16,
    next_used: u16,
}

impl<const SIZE: usize> Queue<SIZE> {
    /// Sets up queue `number` of the device behind `slot`; `has_events` says that `VIRTIO_F_EVENT_IDX` was negotiated. The
    /// device does not notify until it is asked to ([`Self::ask_for_event`]).
    ///
    /// # Errors
    /// [`Error::InvalidParam`] where the device has no such queue or only a shorter one, [`Error::DmaError`] without
    /// memory.
    pub(super) fn new(
        slot: &mut impl Transport,
        number: u16,
        has_events: bool,
    ) -> Result<Self, Error> {
        const { assert!(SIZE.is_power_of_two() && SIZE <= 1 << 15) };
        if slot.queue_used(number) {
            return Err(Error::AlreadyUsed);
        }
        if slot.max_queue_size(number) < SIZE as u32 {
            return Err(Error::InvalidParam);
        }
        let rings = memory::value::<Rings<SIZE>>()?;
        // SAFETY: It is as long and as aligned as `Rings`, nobody else's, never given back, and all zeros, which are atomic
        // numbers. The device changes it only as other threads change atomic numbers.
        let rings: &'static Rings<SIZE> = unsafe { rings.as_ref() };
        let queue = Self {
            rings,
            number,
            has_events,
            next_available: 0,
            told: 0,
            next_used: 0,
        };
        queue.want_no_event();
        let address = |part: usize| part as u64;
        slot.queue_set(
            number,
            SIZE as u32,
            address((&raw const rings.descriptors).addr()),
            address((&raw const rings.available).addr()),
            address((&raw const rings.used).addr()),
        );
        Ok(queue)
    }

    /// Says where the buffer of descriptor `id` is, and whether the device writes to it. It must not be lent at the moment.
    pub(super) fn describe(&mut self, id: u16, address: usize, length: usize, writes: bool) {
        let descriptor = &self.rings.descriptors[usize::from(id) % SIZE];
        let address = address as u64;
        descriptor.address[0].store(address as u32, Ordering::Relaxed);
        descriptor.address[1].store((address >> 32) as u32, Ordering::Relaxed);
        descriptor.length.store(length as u32, Ordering::Relaxed);
        let flags = if writes { WRITE } else { 0 };
        descriptor.flags.store(flags, Ordering::Relaxed);
        descriptor.next.store(0, Ordering::Relaxed);
    }

    /// Lends the buffer of descriptor `id` to the device, from now on until [`Self::pop`] returns it.
    pub(super) fn lend(&mut self, id: u16) {
        let place = usize::from(self.next_available) % SIZE;
        self.rings.available.ring[place].store(id, Ordering::Relaxed);
        self.next_available = self.next_available.wrapping_add(1);
        // Descriptor and entry are there before the index says so.
        self.rings
            .available
            .index
            .store(self.next_available, Ordering::Release);
    }

    /// Notifies the device of what was lent since it was last notified, where it wants to know. What it does not want to know
    /// now is looked at again with the next call.
    pub(super) fn notify(&mut self, slot: &mut impl Transport) {
        if self.told != self.next_available && self.is_wanted() {
            self.notify_anyway(slot);
        }
    }

    /// The same whether the device wants it or not.
    pub(super) fn notify_anyway(&mut self, slot: &mut impl Transport) {
        if self.told != self.next_available {
            self.told = self.next_available;
            slot.notify(self.number);
        }
    }

    fn is_wanted(&self) -> bool {
        // The index is out before it is looked what the device wants: it looks in the other order.
        fence(Ordering::SeqCst);
        let used = &self.rings.used;
        if self.has_events {
            let event = used.avail_event.load(Ordering::Relaxed);
            is_passed(event, self.told, self.next_available)
        } else {
            used.flags.load(Ordering::Relaxed) & NO_NOTIFY == 0
        }
    }

    /// Returns whether the device has given buffers back.
    pub(super) fn has_used(&self) -> bool {
        self.rings.used.index.load(Ordering::Acquire) != self.next_used
    }

    /// Returns how many buffers were lent and how many were taken back, both modulo 2^16.
    pub(super) fn position(&self) -> (u16, u16) {
        (self.next_available, self.next_used)
    }

    /// Takes the next buffer back: its descriptor, and how many bytes the device wrote. Both are what the device says: the
    /// number may be of none.
    pub(super) fn pop(&mut self) -> Option<(u32, u32)> {
        if !self.has_used() {
            return None;
        }
        let element = &self.rings.used.ring[usize::from(self.next_used) % SIZE];
        self.next_used = self.next_used.wrapping_add(1);
        Some((
            element.id.load(Ordering::Relaxed),
            element.length.load(Ordering::Relaxed),
        ))
    }

    /// Asks for an interrupt when the device has given back `count` buffers more. It may have given back some already, so
    /// that there is none: look, after a barrier.
    pub(super) fn ask_for_event(&mut self, count: u16) {
        let available = &self.rings.available;
        if self.has_events {
            let event = self.next_used.wrapping_add(count.max(1) - 1);
            available.used_event.store(event, Ordering::Relaxed);
        } else {
            available.flags.store(0, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
    }

    /// Asks for no interrupt until the next time that one is asked for.
    fn want_no_event(&self) {
        let available = &self.rings.available;
        // The one that comes last of all.
        let event = self.next_used.wrapping_sub(1);
        available.used_event.store(event, Ordering::Relaxed);
        let flags = if self.has_events { 0 } else { NO_INTERRUPT };
        available.flags.store(flags, Ordering::Relaxed);
    }
}

/// Returns whether an index that went from `old` to `new` has passed `event` (`vring_need_event`, 2.7.10.1). Indices wrap.
fn is_passed(event: u16, old: u16, new: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_passed_once_also_where_indices_wrap() {
        for event in [0_u16, 1, 5, 0x7fff, 0xfffe, 0xffff] {
            for old in [event.wrapping_sub(3), event.wrapping_sub(1), event] {
                let new = event.wrapping_add(1);
                assert!(is_passed(event, old, new), "{event} from {old} to {new}");
                assert!(!is_passed(event, new, new.wrapping_add(4)), "{event}");
                assert!(!is_passed(event, old, old), "nothing was added");
            }
        }
    }

    #[test]
    fn rings_lie_as_both_register_layouts_want_them() {
        use core::mem::offset_of;
        assert_eq!(size_of::<Descriptor>(), 16);
        assert_eq!(offset_of!(Available<64>, ring), 4);
        assert_eq!(offset_of!(Available<64>, used_event), 4 + 2 * 64);
        assert_eq!(offset_of!(Used<64>, ring), 4);
        assert_eq!(offset_of!(Used<64>, avail_event), 4 + 8 * 64);
        assert_eq!(offset_of!(Rings<64>, available), 16 * 64);
        assert_eq!(offset_of!(Rings<64>, used), 4096);
        assert_eq!(offset_of!(Rings<256>, used), 8192);
    }
}
