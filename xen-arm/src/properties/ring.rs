//! `io/ring.h`, with indices that never begin anew as the model.

use super::config;
use crate::{
    memory::SharedMemory,
    ring::{FrontRing, RingError, peer, tests::Numbers},
};
use core::sync::atomic::Ordering;
use proptest::{collection, prelude::*};

/// Slots of eight bytes in a page.
const SLOTS: u64 = 256;

#[derive(Clone, Debug)]
enum Step {
    Push(u64),
    Publish,
    /// The backend wants to know of the request so far from those that it was told of.
    Want(i64),
    MustNotify,
    Respond(u64),
    Consume(u64),
    Ask(u32),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..40_u64).prop_map(Step::Push),
        Just(Step::Publish),
        (-3..30_i64).prop_map(Step::Want),
        Just(Step::MustNotify),
        (1..40_u64).prop_map(Step::Respond),
        (1..40_u64).prop_map(Step::Consume),
        (1..40_u32).prop_map(Step::Ask),
    ]
}

/// The ring, and the same with indices of 64 bits.
struct Both {
    ring: FrontRing<Numbers>,
    page: SharedMemory,
    pushed: u64,
    published: u64,
    told: u64,
    wanted: u64,
    responded: u64,
    consumed: u64,
}

impl Both {
    fn new(rounds: u32) -> Self {
        let mut ring = FrontRing::new(SharedMemory::allocate(1).expect("a host has memory"));
        ring.age(rounds);
        let start = u64::from(rounds) * SLOTS;
        Self {
            page: peer::view(ring.memory()),
            ring,
            pushed: start,
            published: start,
            told: start,
            wanted: start + 1,
            responded: start,
            consumed: start,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push(count) => self.push(count),
            Step::Publish => {
                self.ring.publish();
                self.published = self.pushed;
            }
            Step::Want(ahead) => {
                self.wanted = self.told.saturating_add_signed(ahead);
                peer::set_request_event(&self.page, self.wanted as u32);
            }
            Step::MustNotify => self.must_notify(),
            Step::Respond(count) => self.respond(count),
            Step::Consume(count) => self.consume(count),
            Step::Ask(more) => {
                let there = self.ring.ask_for_event(more);
                assert_eq!(there, self.responded > self.consumed);
                let event = self.consumed + u64::from(more);
                assert_eq!(peer::response_event(&self.page), event as u32);
            }
        }
        assert_eq!(peer::requests(&self.page), self.published as u32);
        let room = SLOTS - (self.pushed - self.consumed);
        assert_eq!(u64::from(self.ring.room()), room);
    }

    fn push(&mut self, count: u64) {
        for _ in 0..count.min(self.ring.room().into()) {
            let slot = u64::from(self.ring.next_slot());
            assert_eq!(slot, self.pushed % SLOTS);
            self.ring.push(&self.pushed);
            self.pushed += 1;
        }
    }

    /// Whoever wanted to know of a request is told when it is among those that are new.
    fn must_notify(&mut self) {
        self.ring.publish();
        self.published = self.pushed;
        let expected = self.told < self.wanted && self.wanted <= self.pushed;
        assert_eq!(self.ring.must_notify(), expected);
        self.told = self.pushed;
    }

    /// Answers a request with its number, backwards.
    fn respond(&mut self, count: u64) {
        for _ in 0..count.min(self.published - self.responded) {
            let slot = peer::slot(self.responded as u32, SLOTS as u32, 8);
            let place = self.page.u64(slot);
            assert_eq!(place.load(Ordering::Relaxed), self.responded);
            place.store(!self.responded, Ordering::Relaxed);
            self.responded += 1;
        }
        peer::set_responses(&self.page, self.responded as u32);
    }

    fn consume(&mut self, count: u64) {
        let there = self.responded - self.consumed;
        assert_eq!(self.ring.responses().map(u64::from), Ok(there));
        let taken = count.min(there);
        for ahead in 0..taken {
            let number = self.consumed + ahead;
            let response = self.ring.peek(ahead as u32);
            assert_eq!(response, ((number % SLOTS) as u32, !number));
        }
        self.ring.consume(taken as u32);
        self.consumed += taken;
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn it_does_what_the_model_does(
        steps in collection::vec(steps(), 0..300),
        rounds in prop_oneof![Just(0), Just(u32::MAX / 256)],
    ) {
        let mut both = Both::new(rounds);
        steps.into_iter().for_each(|step| both.step(step));
    }

    #[test]
    fn an_index_that_cannot_be_is_refused(pushed in 0_u64..=256, index in any::<u32>()) {
        let mut both = Both::new(u32::MAX / 256);
        both.push(pushed);
        let responses = index.wrapping_sub(both.consumed as u32);
        peer::set_responses(&both.page, index);
        let outstanding = pushed as u32;
        let expected = match responses <= outstanding {
            true => Ok(responses),
            false => Err(RingError { responses, outstanding }),
        };
        prop_assert_eq!(both.ring.responses(), expected);
    }
}
