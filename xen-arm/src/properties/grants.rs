//! Grants: what the other side uses is nobody else's.

use super::config;
use crate::{
    DomainId,
    grants::{Access, GrantError, GrantRef, GrantTable, SharedPages},
    hypercall::host,
    memory::SharedMemory,
};
use alloc::{boxed::Box, vec::Vec};
use core::sync::atomic::Ordering;
use proptest::{collection, prelude::*, sample};
use std::collections::BTreeSet;

const PEER: DomainId = DomainId(3);
/// References of a table of one frame, without those of the toolstack.
const MOST: u32 = 512 - 8;

#[derive(Clone, Debug)]
enum Step {
    Share(usize),
    Drop(sample::Index),
    /// The other side maps a page, or unmaps one.
    Use(sample::Index),
    Release(sample::Index),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..40_usize).prop_map(Step::Share),
        3 => any::<sample::Index>().prop_map(Step::Drop),
        4 => any::<sample::Index>().prop_map(Step::Use),
        3 => any::<sample::Index>().prop_map(Step::Release),
    ]
}

struct Both {
    table: GrantTable,
    entries: SharedMemory,
    shared: Vec<SharedPages>,
    /// What the other side uses.
    used: BTreeSet<u32>,
}

fn references(pages: &SharedPages) -> Vec<u32> {
    (0..pages.pages()).map(|it| pages.reference(it).0).collect()
}

impl Both {
    fn new() -> Self {
        host::install(Box::new(|_, _| 0));
        let (table, entries) = GrantTable::on_host(1);
        Self {
            table,
            entries,
            shared: Vec::new(),
            used: BTreeSet::new(),
        }
    }

    /// References that are granted.
    fn granted(&self) -> Vec<u32> {
        self.shared.iter().flat_map(references).collect()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Share(pages) => self.share(*pages),
            Step::Drop(pick) if !self.shared.is_empty() => {
                self.shared.swap_remove(pick.index(self.shared.len()));
            }
            Step::Use(pick) if !self.shared.is_empty() => {
                let reference = *pick.get(&self.granted());
                GrantTable::set_in_use(&self.entries, GrantRef(reference), true);
                self.used.insert(reference);
            }
            Step::Release(pick) if !self.used.is_empty() => {
                let used: Vec<u32> = self.used.iter().copied().collect();
                let reference = *pick.get(&used);
                GrantTable::set_in_use(&self.entries, GrantRef(reference), false);
                self.used.remove(&reference);
            }
            _ => {}
        }
        self.check();
    }

    fn share(&mut self, pages: usize) {
        let busy = self.busy();
        let memory = SharedMemory::allocate(pages).expect("a host has memory");
        let access = [Access::ReadOnly, Access::ReadWrite][pages % 2];
        match self.table.share(memory, PEER, access) {
            Ok(shared) => {
                let new = references(&shared);
                assert!(new.iter().all(|it| !busy.contains(it) && *it >= 8));
                assert!(new.iter().all(|it| self.flags(*it) == [5, 1][pages % 2]));
                self.shared.push(shared);
            }
            Err(error) => {
                assert_eq!(error, GrantError::Exhausted { references: MOST });
                assert!(busy.len() + pages > MOST as usize, "there was room");
            }
        }
    }

    /// What may not be given to anybody.
    fn busy(&self) -> BTreeSet<u32> {
        self.used.iter().copied().chain(self.granted()).collect()
    }

    /// `GTF_*` of an entry.
    fn flags(&self, reference: u32) -> u16 {
        let flags = self.entries.u16(8 * reference as usize);
        flags.load(Ordering::Relaxed)
    }

    fn check(&self) {
        let granted: BTreeSet<u32> = self.granted().into_iter().collect();
        assert_eq!(granted.len(), self.granted().len(), "each is given once");
        let usage = self.table.usage();
        assert_eq!(usage.granted as usize, granted.len());
        let lingering = self.used.difference(&granted).count();
        assert_eq!(usage.lingering as usize, lingering);
        let open = (0..512).filter(|&it| self.flags(it) != 0);
        assert!(open.eq(self.busy()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..config() })]

    #[test]
    fn it_does_what_the_model_does(steps in collection::vec(steps(), 0..60)) {
        let mut both = Both::new();
        steps.iter().for_each(|step| both.step(step));
    }
}
