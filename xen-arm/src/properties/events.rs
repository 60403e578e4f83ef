//! Event channels: every notification is told once, to the one who has the port.

use super::config;
use crate::{
    events::{EventChannel, EventChannels, EventError, PORTS},
    memory::SharedMemory,
    ring::peer::view,
    shared_info::{SharedInfo, tests::raise},
};
use alloc::{collections::BTreeMap, sync::Arc};
use core::{
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Waker},
};
use proptest::{collection, prelude::*};
use std::{collections::BTreeSet, task::Wake};

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Adopt(u64),
    Drop(u64),
    Raise(u64),
    Dispatch,
    Poll(u64),
}

/// Few ports, in words far from each other, so that steps meet.
fn ports() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, 62..66_u64, 4093..4097_u64]
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        ports().prop_map(Step::Adopt),
        ports().prop_map(Step::Drop),
        ports().prop_map(Step::Raise),
        Just(Step::Dispatch),
        ports().prop_map(Step::Poll),
    ]
}

/// What somebody has.
struct Owner {
    channel: EventChannel,
    woken: Arc<Flag>,
    /// It is to be told of an event.
    fired: bool,
    /// It waits to be told.
    waits: bool,
}

struct Both {
    channels: EventChannels,
    xen: SharedMemory,
    /// Ports at which an event has arrived that nobody was told of.
    pending: BTreeSet<u64>,
    owners: BTreeMap<u64, Owner>,
}

impl Both {
    fn new() -> Self {
        let page = SharedMemory::allocate(1).expect("a host has memory");
        let xen = view(&page);
        Self {
            channels: EventChannels::new(SharedInfo::new(page)),
            xen,
            pending: BTreeSet::new(),
            owners: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Adopt(port) => self.adopt(port),
            Step::Drop(port) => drop(self.owners.remove(&port)),
            Step::Raise(port) if port < PORTS as u64 => {
                raise(&self.xen, port as usize);
                self.pending.insert(port);
            }
            Step::Raise(_) => {}
            Step::Dispatch => self.dispatch(),
            Step::Poll(port) => {
                if let Some(owner) = self.owners.get_mut(&port) {
                    owner.poll();
                }
            }
        }
    }

    fn adopt(&mut self, port: u64) {
        let expected = match port {
            0 | 4096.. => Some(EventError::OutOfRange(port)),
            _ => {
                let taken = self.owners.contains_key(&port);
                taken.then_some(EventError::Taken(port as u32))
            }
        };
        let result = self.channels.adopt(port);
        assert_eq!(result.as_ref().err(), expected.as_ref());
        if let Ok(channel) = result {
            let owner = Owner {
                channel,
                woken: Arc::default(),
                fired: self.pending.remove(&port),
                waits: false,
            };
            self.owners.insert(port, owner);
        }
    }

    fn dispatch(&mut self) {
        self.channels.dispatch();
        for (port, owner) in &mut self.owners {
            let told = self.pending.remove(port);
            owner.fired |= told;
            let woken = owner.woken.0.swap(false, Ordering::Relaxed);
            assert_eq!(woken, told && owner.waits, "port {port}");
            owner.waits &= !told;
        }
    }
}

impl Owner {
    fn poll(&mut self) {
        let waker = Waker::from(self.woken.clone());
        let poll = self.channel.poll_event(&Context::from_waker(&waker));
        assert_eq!(poll.is_ready(), core::mem::take(&mut self.fired));
        self.waits |= poll.is_pending();
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn it_does_what_the_model_does(steps in collection::vec(steps(), 0..200)) {
        let mut both = Both::new();
        steps.into_iter().for_each(|step| both.step(step));
    }
}
