//! The rings of paravirtual devices, as a frontend sees them (`io/ring.h`): requests one way,
//! responses the other, in the same slots of one page.
//!
//! The page is written by the other side too. Its producer index is read once and checked: more
//! responses than there were requests is a broken ring, of which nothing is used any more.

use crate::memory::SharedMemory;
use core::{
    fmt,
    marker::PhantomData,
    sync::atomic::{Ordering, fence},
};

/// Offsets in the page (`io/ring.h`, `struct __name##_sring`).
pub(crate) mod offset {
    pub(crate) const REQUEST_PRODUCER: usize = 0;
    pub(crate) const REQUEST_EVENT: usize = 4;
    pub(crate) const RESPONSE_PRODUCER: usize = 8;
    pub(crate) const RESPONSE_EVENT: usize = 12;
    pub(crate) const SLOTS: usize = 64;
}

/// The other side broke the ring's rules.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RingError {
    /// Responses that it says are there.
    pub responses: u32,
    /// Requests that it was given and had not answered.
    pub outstanding: u32,
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the ring holds {} responses to {} requests",
            self.responses, self.outstanding
        )
    }
}

impl core::error::Error for RingError {}

/// Requests and responses of a kind of device, as bytes in a slot.
pub trait Protocol {
    /// A request; `N` bytes of it are what [`Self::write`] writes.
    type Request;
    /// A response.
    type Response;
    /// Bytes of a slot: of the longer of the two.
    const SLOT: usize;

    /// Writes a request to a slot at `offset`.
    fn write(memory: &SharedMemory, offset: usize, request: &Self::Request);

    /// Reads a response from a slot at `offset`, each byte once.
    fn read(memory: &SharedMemory, offset: usize) -> Self::Response;
}

/// A frontend's end of a ring.
#[derive(Debug)]
pub struct FrontRing<P> {
    memory: SharedMemory,
    slots: u32,
    /// Of the next request.
    producer: u32,
    /// Up to where the other side was told by notifications.
    notified: u32,
    /// Of the next response.
    consumer: u32,
    protocol: PhantomData<P>,
}

impl<P: Protocol> FrontRing<P> {
    /// Makes an empty ring in a page.
    ///
    /// # Panics
    /// When `memory` has not exactly one page: callers allocate it so.
    pub fn new(memory: SharedMemory) -> Self {
        assert_eq!(memory.pages(), 1, "a ring has one page");
        let room = (memory.len() - offset::SLOTS) / P::SLOT;
        let ring = Self {
            memory,
            // The largest power of two that fits (`io/ring.h`, `__RD32`).
            slots: 1 << room.ilog2(),
            producer: 0,
            notified: 0,
            consumer: 0,
            protocol: PhantomData,
        };
        // `SHARED_RING_INIT`: nobody has anything, everybody wants to know of the first.
        ring.index(offset::REQUEST_PRODUCER, 0);
        ring.index(offset::RESPONSE_PRODUCER, 0);
        ring.index(offset::REQUEST_EVENT, 1);
        ring.index(offset::RESPONSE_EVENT, 1);
        ring
    }

    fn index(&self, offset: usize, value: u32) {
        self.memory.u32(offset).store(value, Ordering::Release);
    }

    /// Returns its memory, for granting it.
    pub fn memory(&self) -> &SharedMemory {
        &self.memory
    }

    /// Returns how many slots it has, a power of two.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// Returns how many requests it has room for.
    pub fn room(&self) -> u32 {
        self.slots - self.outstanding()
    }

    fn outstanding(&self) -> u32 {
        self.producer.wrapping_sub(self.consumer)
    }

    fn slot(&self, index: u32) -> usize {
        offset::SLOTS + (index & (self.slots - 1)) as usize * P::SLOT
    }

    /// Returns in which slot the next request will be; its response comes back in the same where
    /// the protocol says so.
    pub fn next_slot(&self) -> u32 {
        self.producer & (self.slots - 1)
    }

    /// Adds a request; the other side may see it from [`Self::publish`] on.
    ///
    /// # Panics
    /// When there is no [`Self::room`]: callers look.
    pub fn push(&mut self, request: &P::Request) {
        assert!(self.room() > 0, "the caller has looked for room");
        P::write(&self.memory, self.slot(self.producer), request);
        self.producer = self.producer.wrapping_add(1);
    }

    /// Shows the other side all requests so far.
    pub fn publish(&mut self) {
        self.index(offset::REQUEST_PRODUCER, self.producer);
    }

    /// Returns whether the other side asked for a notification of a request that was published
    /// since the last time this was asked (`RING_PUSH_REQUESTS_AND_CHECK_NOTIFY`).
    pub fn must_notify(&mut self) -> bool {
        // The requests are visible before it is asked whether to tell of them.
        fence(Ordering::SeqCst);
        let event = self
            .memory
            .u32(offset::REQUEST_EVENT)
            .load(Ordering::Relaxed);
        let before = core::mem::replace(&mut self.notified, self.producer);
        self.producer.wrapping_sub(event) < self.producer.wrapping_sub(before)
    }

    /// Returns how many responses are there.
    ///
    /// # Errors
    /// [`RingError`]: the number cannot be.
    pub fn responses(&self) -> Result<u32, RingError> {
        let produced = self
            .memory
            .u32(offset::RESPONSE_PRODUCER)
            .load(Ordering::Acquire);
        let responses = produced.wrapping_sub(self.consumer);
        let outstanding = self.outstanding();
        if responses > outstanding {
            return Err(RingError {
                responses,
                outstanding,
            });
        }
        Ok(responses)
    }

    /// Takes the response that is `ahead` of the next one, which [`Self::responses`] has counted,
    /// without consuming it; also its slot.
    pub fn peek(&self, ahead: u32) -> (u32, P::Response) {
        let index = self.consumer.wrapping_add(ahead);
        (
            index & (self.slots - 1),
            P::read(&self.memory, self.slot(index)),
        )
    }

    /// Consumes responses, as many as [`Self::responses`] has counted or fewer.
    pub fn consume(&mut self, responses: u32) {
        debug_assert!(responses <= self.outstanding());
        self.consumer = self.consumer.wrapping_add(responses);
    }

    /// Asks for a notification when there are `more` responses beyond those consumed; returns whether
    /// there is something to look at already (`RING_FINAL_CHECK_FOR_RESPONSES`).
    ///
    /// The other side may have been there before it saw what was asked, and tells nobody then. So when
    /// something is there, it is taken, and then asked anew.
    pub fn ask_for_event(&mut self, more: u32) -> bool {
        self.index(offset::RESPONSE_EVENT, self.consumer.wrapping_add(more));
        // The other side sees what was asked before it is looked once more.
        fence(Ordering::SeqCst);
        self.responses() != Ok(0)
    }

    /// Gives the memory back.
    pub fn into_memory(self) -> SharedMemory {
        self.memory
    }
}

#[cfg(any(test, not(target_os = "none")))]
impl<P: Protocol> FrontRing<P> {
    /// Counts on as if everything had gone `rounds` times round the ring, for tests of what happens
    /// where the indices begin anew. The slots stay what they are.
    pub(crate) fn age(&mut self, rounds: u32) {
        let by = rounds.wrapping_mul(self.slots);
        let shared = [
            offset::REQUEST_PRODUCER,
            offset::REQUEST_EVENT,
            offset::RESPONSE_PRODUCER,
            offset::RESPONSE_EVENT,
        ];
        for index in shared {
            self.memory.u32(index).fetch_add(by, Ordering::SeqCst);
        }
        for index in [&mut self.producer, &mut self.notified, &mut self.consumer] {
            *index = index.wrapping_add(by);
        }
    }
}

#[cfg(any(test, not(target_os = "none")))]
pub mod peer {
    //! The other side of a ring, for tests on a host: as honest or hostile as they like.

    use super::offset;
    use crate::{Frame, memory::SharedMemory};
    use core::sync::atomic::Ordering;

    /// Returns a second way to the page of `memory`, which must outlive it.
    pub fn view(memory: &SharedMemory) -> SharedMemory {
        // SAFETY: The page is mapped, and used through `SharedMemory` only.
        unsafe { SharedMemory::at(memory.address(), memory.pages()) }
    }

    /// Returns a second way to page `number` of `memory`, which must outlive it.
    pub fn view_page(memory: &SharedMemory, number: usize) -> SharedMemory {
        assert!(number < memory.pages());
        // SAFETY: As in `view`.
        unsafe { SharedMemory::at(memory.address() + number * Frame::BYTES, 1) }
    }

    /// Returns the frontend's request producer index.
    pub fn requests(page: &SharedMemory) -> u32 {
        page.u32(offset::REQUEST_PRODUCER).load(Ordering::Acquire)
    }

    /// Returns the response producer index.
    pub fn responses(page: &SharedMemory) -> u32 {
        page.u32(offset::RESPONSE_PRODUCER).load(Ordering::Acquire)
    }

    /// Sets the response producer index.
    pub fn set_responses(page: &SharedMemory, produced: u32) {
        page.u32(offset::RESPONSE_PRODUCER)
            .store(produced, Ordering::Release);
    }

    /// Sets from which request on a notification is wanted.
    pub fn set_request_event(page: &SharedMemory, event: u32) {
        page.u32(offset::REQUEST_EVENT)
            .store(event, Ordering::Release);
    }

    /// Returns at which response a notification is wanted.
    pub fn response_event(page: &SharedMemory) -> u32 {
        page.u32(offset::RESPONSE_EVENT).load(Ordering::Acquire)
    }

    /// Returns where the slot of an index is, in a ring of `slots` slots of `bytes` each.
    pub fn slot(index: u32, slots: u32, bytes: usize) -> usize {
        offset::SLOTS + (index & (slots - 1)) as usize * bytes
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A protocol of numbers: slots of eight bytes.
    #[derive(Debug)]
    pub(crate) struct Numbers;

    impl Protocol for Numbers {
        type Request = u64;
        type Response = u64;
        const SLOT: usize = 8;

        fn write(memory: &SharedMemory, offset: usize, request: &u64) {
            memory.u64(offset).store(*request, Ordering::Relaxed);
        }

        fn read(memory: &SharedMemory, offset: usize) -> u64 {
            memory.u64(offset).load(Ordering::Relaxed)
        }
    }

    fn ring() -> (FrontRing<Numbers>, SharedMemory) {
        let ring = FrontRing::<Numbers>::new(SharedMemory::allocate(1).unwrap());
        let page = peer::view(ring.memory());
        (ring, page)
    }

    #[test]
    fn as_many_slots_as_fit() {
        let (ring, _) = ring();
        assert_eq!((ring.slots(), ring.room()), (256, 256));
    }

    #[test]
    fn requests_go_and_responses_come_across_the_end_of_the_indices() {
        let (mut ring, page) = ring();
        for start in [0, u32::MAX - 100] {
            (ring.producer, ring.consumer) = (start, start);
            peer::set_responses(&page, start);
            for index in 0..256 {
                ring.push(&index);
            }
            assert_eq!(ring.room(), 0);
            ring.publish();
            assert_eq!(peer::requests(&page), start.wrapping_add(256));
            assert_eq!(ring.responses(), Ok(0));
            peer::set_responses(&page, start.wrapping_add(256));
            assert_eq!(ring.responses(), Ok(256));
            assert_eq!(ring.peek(255).1, 255);
            ring.consume(256);
            assert_eq!((ring.responses(), ring.room()), (Ok(0), 256));
        }
    }

    #[test]
    fn more_responses_than_requests_is_an_error() {
        let (mut ring, page) = ring();
        ring.push(&1);
        for produced in [2, 257, u32::MAX, 1 << 31] {
            peer::set_responses(&page, produced);
            assert_eq!(
                ring.responses(),
                Err(RingError {
                    responses: produced,
                    outstanding: 1
                })
            );
        }
    }

    #[test]
    fn notifications_are_sent_when_asked_for() {
        let (mut ring, page) = ring();
        ring.push(&1);
        ring.publish();
        assert!(ring.must_notify(), "of the first, after the start");
        ring.push(&2);
        ring.publish();
        assert!(!ring.must_notify(), "not asked for");
        peer::set_request_event(&page, 4);
        ring.push(&3);
        ring.publish();
        assert!(!ring.must_notify());
        ring.push(&4);
        ring.push(&5);
        ring.publish();
        assert!(ring.must_notify());
        assert!(!ring.must_notify());
    }
}
