#![allow(unsafe_code)]

use super::*;
use std::boxed::Box;
use std::vec::Vec;

fn heap(bytes: usize) -> Heap {
    let memory = Box::leak(std::vec![0_u64; bytes / 8].into_boxed_slice());
    let mut heap = Heap::empty();
    // SAFETY: Any bytes may be anything, and the slice lives for ever.
    let memory = unsafe { core::slice::from_raw_parts_mut(memory.as_mut_ptr().cast(), bytes) };
    heap.init(memory);
    heap
}

/// SplitMix64.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) as usize
}

#[test]
fn every_size_has_room_for_what_it_is_chosen_for() {
    for size in 0..=LARGEST {
        let layout = Layout::from_size_align(size, 8).unwrap();
        let index = size_index(layout).unwrap();
        assert!(usize::from(SIZES[index]) >= size);
        assert!(index == 0 || usize::from(SIZES[index - 1]) < size, "{size}");
    }
    for layout in [(LARGEST + 1, 8), (8, 32)] {
        let layout = Layout::from_size_align(layout.0, layout.1).unwrap();
        assert_eq!(size_index(layout), None);
    }
}

/// Memory is nobody else's while it is lent, aligned, and all of it is there again at the end.
#[test]
fn what_is_lent_is_nobody_elses_and_comes_back() {
    let mut heap = heap(1 << 20);
    let (used, whole) = (heap.used(), heap.free());
    let mut random = 5;
    let mut lent: Vec<(NonNull<u8>, Layout, u8)> = Vec::new();
    let rounds = if cfg!(miri) { 600 } else { 200_000 };
    for round in 0..rounds {
        let wants = next(&mut random) % 100 < if round / 1000 % 2 == 0 { 60 } else { 40 };
        if wants {
            let most = [64, 2100, 2100, 9000][next(&mut random) % 4];
            let align = 1 << (next(&mut random) % 7);
            let layout = Layout::from_size_align(next(&mut random) % most + 1, align).unwrap();
            let Some(memory) = heap.allocate(layout) else {
                continue;
            };
            assert!(memory.addr().get().is_multiple_of(layout.align()));
            let mark = round as u8;
            // SAFETY: It was just lent, with so many bytes.
            unsafe { memory.write_bytes(mark, layout.size()) };
            lent.push((memory, layout, mark));
        } else if !lent.is_empty() {
            let (memory, layout, mark) = lent.swap_remove(next(&mut random) % lent.len());
            // SAFETY: Lent by the heap with this layout, and given back once.
            unsafe {
                let bytes = core::slice::from_raw_parts(memory.as_ptr(), layout.size());
                assert!(bytes.iter().all(|&byte| byte == mark));
                heap.deallocate(memory, layout);
            }
        }
        let bytes: usize = lent.iter().map(|it| it.1.size()).sum();
        assert!(heap.used() >= bytes && heap.used() + heap.free() <= used + whole);
    }
    for (memory, layout, _) in lent {
        // SAFETY: As above.
        unsafe { heap.deallocate(memory, layout) };
    }
    // Headers of the pages that are kept.
    assert!(
        heap.used() <= used + SIZES.len() * PAGE / 8,
        "{}",
        heap.used()
    );
    // Pages of all sizes but one are one hole again: something large has room.
    let large = Layout::from_size_align(whole / 2, 8).unwrap();
    assert!(heap.allocate(large).is_some());
}

#[test]
fn an_empty_or_full_heap_says_so() {
    let small = Layout::from_size_align(100, 8).unwrap();
    assert!(Heap::empty().allocate(small).is_none());
    let mut heap = heap(64 << 10);
    let count = core::iter::from_fn(|| heap.allocate(small)).count();
    assert!((400..660).contains(&count), "{count}");
    assert!(
        heap.allocate(Layout::from_size_align(9000, 8).unwrap())
            .is_none()
    );
}
