//! Writes down which shared memory is accessed, so that tests can show that nothing is read twice.

use crate::memory::SharedMemory;
use core::{cell::RefCell, ops::Range};
use std::vec::Vec;

std::thread_local! {
    static LOG: RefCell<Option<Vec<Range<usize>>>> = const { RefCell::new(None) };
}

/// [`SharedMemory`] is about to give access to `bytes` bytes at `address`.
pub(crate) fn note(address: usize, bytes: usize) {
    LOG.with_borrow_mut(|log| {
        if let Some(log) = log {
            log.push(address..address + bytes);
        }
    });
}

/// Accesses, in their order, each as addresses from its first byte to after its last.
pub(crate) struct Accesses(Vec<Range<usize>>);

/// Does `work`; also returns what it accessed on this thread.
pub(crate) fn of<R>(work: impl FnOnce() -> R) -> (R, Accesses) {
    LOG.set(Some(Vec::new()));
    let result = work();
    (result, Accesses(LOG.take().unwrap_or_default()))
}

impl Accesses {
    /// Returns how often the byte at `offset` of `page` was accessed.
    pub(crate) fn to(&self, page: &SharedMemory, offset: usize) -> usize {
        let address = page.address() + offset;
        self.0.iter().filter(|it| it.contains(&address)).count()
    }

    /// Returns the bytes among `offsets` of `page` that were accessed more than once.
    pub(crate) fn repeated(&self, page: &SharedMemory, offsets: Range<usize>) -> Vec<usize> {
        offsets.filter(|&it| self.to(page, it) > 1).collect()
    }
}

#[test]
fn accesses_are_counted() {
    let page = SharedMemory::allocate(1).expect("a host has memory");
    let (_, accesses) = of(|| page.copy_out(3, &mut [0; 20]));
    assert!((3..23).all(|it| accesses.to(&page, it) == 1));
    assert_eq!((accesses.to(&page, 2), accesses.to(&page, 23)), (0, 0));
    let (_, accesses) = of(|| (page.u8(7), page.u32(4)));
    assert_eq!(accesses.repeated(&page, 0..16), [7]);
}
