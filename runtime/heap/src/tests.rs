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

/// Connections that come and go, each with memory of the sizes that one has: its own state, a task, buffers now and then,
/// and pages for bytes on their way. Returns the nanoseconds of an operation in each tenth.
fn churn(connections: usize) -> [f64; 10] {
    /// At a time, at most.
    const PLACES: usize = 8000;
    const SIZES: [usize; 8] = [48, 700, 2500, 160, 1024, 1024, 4096, 4096];
    let mut heap = heap(64 << 20);
    let (used, mut random) = (heap.used(), 3);
    let mut places: Vec<Vec<(NonNull<u8>, Layout)>> = std::vec![Vec::new(); PLACES];
    let give_back = |heap: &mut Heap, pieces: &mut Vec<(NonNull<u8>, Layout)>| {
        for (memory, layout) in pieces.drain(..) {
            // SAFETY: Lent by the heap with this layout, and given back once.
            unsafe { heap.deallocate(memory, layout) };
        }
    };
    let tenths = core::array::from_fn(|_| {
        let (begin, mut operations) = (std::time::Instant::now(), 0);
        for _ in 0..connections / 10 {
            // Most live shortly, some long.
            let busy = !next(&mut random).is_multiple_of(8);
            let place = next(&mut random) % if busy { PLACES / 16 } else { PLACES };
            operations += 2 * places[place].len();
            give_back(&mut heap, &mut places[place]);
            let count = 3 + next(&mut random) % 6;
            for &size in SIZES.iter().take(count) {
                // A few have large buffers.
                let large = next(&mut random).is_multiple_of(1000);
                let size = if large { 20_000 + size } else { size };
                let layout = Layout::from_size_align(size, 8).unwrap();
                let memory = heap.allocate(layout);
                places[place].extend(memory.map(|memory| (memory, layout)));
            }
        }
        begin.elapsed().as_nanos() as f64 / operations.max(1) as f64
    });
    let lent = places.iter().flatten().map(|it| it.1.size());
    let (lent, taken) = (lent.sum::<usize>(), heap.used() - used);
    assert!(taken * 2 < lent * 3, "{taken} bytes for {lent}");
    for pieces in &mut places {
        give_back(&mut heap, pieces);
    }
    // Headers of the pages that are kept.
    assert!(heap.used() <= used + super::SIZES.len() * PAGE / 8);
    let large = Layout::from_size_align(32 << 20, 8).unwrap();
    assert!(heap.allocate(large).is_some(), "it is one piece again");
    tenths
}

#[test]
fn churn_leaves_no_holes() {
    churn(if cfg!(miri) { 100 } else { 10_000 });
}

/// An hour of 2,000 connections a second.
#[test]
#[ignore = "measures: cargo test --release -p landfall-heap -- --ignored --nocapture"]
fn an_hour_of_churn() {
    let tenths = churn(3600 * 2000);
    std::println!("nanoseconds of an operation, by tenths of an hour: {tenths:.0?}");
}
