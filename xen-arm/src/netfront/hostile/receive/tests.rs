use super::*;
use crate::{hostile::accesses, ring::RingError};
use core::sync::atomic::AtomicBool;
use proptest::{collection, prelude::*, sample};
use std::{
    thread,
    time::{Duration, Instant},
};

fn ways() -> impl Strategy<Value = (u32, usize, Way)> {
    let length = prop_oneof![1_usize..200, 1_usize..9015];
    let most = prop_oneof![1_usize..=PAGE, Just(PAGE)];
    let flags = sample::select(vec![0, flag::DATA_VALIDATED, flag::CHECKSUM_BLANK, 3]);
    (any::<u32>(), length, most, 0..PAGE, 0_usize..4, flags).prop_map(
        |(seed, length, most, offset, extras, flags)| {
            // Not more slots than there are pages.
            let mut way = Way::cut(length, most.max(length / 50 + 1), offset);
            (way.extras, way.flags) = (extras, flags);
            (seed, length, way)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_arrive_whole_and_in_order(
        frames in collection::vec(ways(), 1..60),
        late in 0_u32..5,
        rounds in sample::select(vec![0, ROUNDS]),
    ) {
        let mut game = Match::new(9014, rounds);
        for (seed, length, way) in frames {
            let frame = frame(seed, length);
            while !game.deliver(frame.clone(), &way) {
                game.backend.publish(0);
                game.take_all();
                game.check();
            }
            game.backend.publish(late);
        }
        game.recover();
        prop_assert_eq!(game.expected.len(), 0);
    }

    #[test]
    fn whatever_the_script_says(script in collection::vec(any::<u8>(), 0..800)) {
        receive(&script);
    }
}

#[test]
fn the_ring_goes_round_many_times() {
    let mut game = Match::new(1514, ROUNDS - 3);
    for number in 0..3000 {
        let frame = frame(number, 60 + number as usize % 1400);
        assert!(game.deliver(frame, &Way::cut(60 + number as usize % 1400, 700, 9)));
        game.backend.publish(0);
        game.take_all();
        game.check();
    }
    assert!(game.backend.next < 10_000, "the indices began anew");
    assert_eq!(game.counters.rx_frames, 3000);
}

/// A backend's answer to the next request but for what `change` makes of it.
fn respond(game: &mut Match, change: impl FnOnce(&mut Response)) {
    let mut response = Response {
        id: game.backend.id(),
        offset: 0,
        flags: 0,
        status: 60,
    };
    change(&mut response);
    game.backend.put(response.bytes());
    game.backend.publish(0);
}

#[test]
fn bad_frames_are_dropped_and_counted() {
    let more = flag::MORE_DATA;
    type Change = fn(&mut Response);
    let cases: [(&str, u64, &[Change]); 9] = [
        ("an error", 1, &[|it| it.status = -1]),
        ("the lowest status", 1, &[|it| it.status = i16::MIN]),
        ("nothing", 1, &[|it| it.status = 0]),
        ("out of the page", 1, &[|it| it.offset = 4096 - 59]),
        ("far out of the page", 1, &[|it| it.offset = u16::MAX]),
        ("too long", 1, &[|it| it.status = 1515]),
        ("too long for the page", 1, &[|it| it.status = i16::MAX]),
        (
            "too long together",
            1,
            &[
                |it| (it.status, it.flags) = (1000, flag::MORE_DATA),
                |it| it.status = 515,
            ],
        ),
        (
            "one bad part among good ones",
            1,
            &[
                |it| it.flags = flag::MORE_DATA,
                |it| (it.status, it.flags) = (-1, flag::MORE_DATA),
                |it| it.status = 60,
            ],
        ),
    ];
    assert_eq!(more, 4, "netif.h");
    for (what, errors, responses) in cases {
        let mut game = Match::new(1514, 0);
        game.standing = Standing::Foul;
        for change in responses {
            respond(&mut game, change);
        }
        game.recover();
        assert_eq!(game.counters.rx_errors, errors, "{what}");
        // Those by which the match makes sure that all is well again.
        assert_eq!(game.counters.rx_frames, 3, "{what}");
    }
}

#[test]
fn what_breaks_the_rules_ends_the_connection() {
    let over = |act: fn(&mut Match)| {
        let mut game = Match::new(1514, 0);
        game.standing = Standing::Foul;
        act(&mut game);
        game.take_all();
        game.standing
    };
    let wrong_id = over(|game| respond(game, |it| it.id = 1));
    assert_eq!(wrong_id, Standing::Over(Broken::Id(1)));
    let no_page = over(|game| respond(game, |it| it.id = u16::MAX));
    assert_eq!(no_page, Standing::Over(Broken::Id(u16::MAX)));
    let replayed = over(|game| {
        respond(game, |_| {});
        respond(game, |it| it.id -= 1);
    });
    assert_eq!(replayed, Standing::Over(Broken::Id(0)));
    let ring = |responses| {
        let outstanding = PAGES as u32;
        Standing::Over(Broken::Ring(RingError {
            responses,
            outstanding,
        }))
    };
    assert_eq!(over(|game| game.backend.show(65)), ring(65));
    assert_eq!(over(|game| game.backend.show(u32::MAX)), ring(u32::MAX));
}

#[test]
fn frames_and_extra_infos_that_never_end_use_no_memory() {
    for flags in [flag::MORE_DATA, flag::EXTRA_INFO] {
        let mut game = Match::new(1514, 0);
        game.standing = Standing::Foul;
        for _ in 0..1000 {
            // As an extra info: more of them follow. As data: so does more data.
            let id = u64::from(game.backend.id());
            let extra = id | u64::from(MORE_EXTRA) << 8;
            if flags == flag::EXTRA_INFO && game.backend.next > 0 {
                game.backend.put(extra);
                game.backend.publish(0);
            } else {
                respond(&mut game, |it| it.flags = flags);
            }
            game.take_all();
        }
        assert_eq!(game.standing, Standing::Foul);
        assert_eq!(game.counters.rx_frames, 0);
        game.recover();
    }
}

/// A frame of TCP over IPv4 with a checksum of zero, which is wrong.
fn tcp() -> Vec<u8> {
    let mut frame = frame(5, 100);
    frame[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 86, 0, 0, 0x40, 0, 64, 6]);
    frame[50..52].fill(0);
    frame
}

#[test]
fn a_checksum_is_looked_at_unless_the_backend_vouches_for_it() {
    for (flags, good) in [(0, false), (1, true), (2, true), (3, true)] {
        let mut game = Match::new(1514, 0);
        let way = Way {
            flags,
            ..Way::cut(100, 60, 0)
        };
        if good {
            game.deliver(tcp(), &way);
        } else {
            game.backend.deliver(&tcp(), &way);
        }
        game.backend.publish(0);
        game.take_all();
        assert_eq!(game.counters.rx_frames, u64::from(good));
        assert_eq!(game.counters.rx_checksum, u64::from(!good));
    }
}

#[test]
fn pages_are_granted_for_writing_and_not_written_here() {
    let (table, entries) = crate::grants::GrantTable::on_host(2);
    let receive = Receive::new(&table, BACKEND, 1514).unwrap();
    let backend = Backend::new(&receive, 0);
    for (page, reference) in backend.pages.iter().zip(&backend.references) {
        // `struct grant_entry_v1`: `GTF_permit_access`, not `GTF_readonly`; the frame.
        let entry = 8 * reference.unwrap() as usize;
        assert_eq!(entries.u16(entry).load(Ordering::Relaxed), 1);
        let frame = entries.u32(entry + 4).load(Ordering::Relaxed);
        assert_eq!(u64::from(frame), page.frame(0).0);
    }
    let mut game = Match::new(1514, 0);
    let fill = |page: &SharedMemory| page.copy_in(0, &[0xa5; PAGE]);
    game.backend.pages.iter().for_each(fill);
    game.deliver(vec![0xa5; 1514], &Way::cut(1514, 200, 77));
    game.backend.publish(0);
    game.take_all();
    for page in &game.backend.pages {
        let mut bytes = [0; PAGE];
        page.copy_out(0, &mut bytes);
        assert!(bytes.iter().all(|&byte| byte == 0xa5));
    }
}

/// The whole way of a frame, and of a bad one: index, responses and pages are read once each, and of a
/// page nothing but what was delivered.
#[test]
fn nothing_is_read_twice() {
    let mut game = Match::new(9014, 0);
    game.deliver(frame(1, 9000), &Way::cut(9000, 3001, 13));
    respond(&mut game, |it| it.status = -1);
    game.backend.publish(0);
    let Match {
        receive,
        counters,
        backend,
        ..
    } = &mut game;
    let (taken, accesses) = accesses::of(|| receive.next(counters));
    assert_eq!(taken, Ok(Some(9000)));
    let (ring, pages) = (&backend.ring, &backend.pages);
    assert_eq!(accesses.to(ring, 8), 1, "the response producer");
    let slots = backend.slot(0)..backend.slot(3);
    assert_eq!(accesses.to(ring, slots.start), 1);
    assert_eq!(accesses.repeated(ring, slots), []);
    for page in &pages[..2] {
        assert!((13..3014).all(|it| accesses.to(page, it) == 1));
        assert!(
            (0..13)
                .chain(3014..PAGE)
                .all(|it| accesses.to(page, it) == 0)
        );
    }
    let (taken, accesses) = accesses::of(|| receive.next(counters));
    assert_eq!((taken, counters.rx_errors), (Ok(None), 1));
    assert_eq!(accesses.to(ring, 8), 1, "the response producer");
    assert_eq!(
        accesses.repeated(ring, backend.slot(3)..backend.slot(4)),
        []
    );
    assert!((0..PAGE).all(|it| accesses.to(&pages[3], it) == 0));
}

/// Says that it is done when it goes out of scope, by a panic too.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes what the driver reads, all the time, until `done`.
fn scribble(ring: &SharedMemory, pages: &[SharedMemory], done: &AtomicBool) {
    let mut state = 1_u64;
    while !done.load(Ordering::Relaxed) {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let random = (state >> 32) as u32;
        let slot = peer::slot(random, SLOTS, 8);
        // Offset, flags and status, mostly such as could be; never the number.
        let small = if random & 0x700 == 0 { u16::MAX } else { 0x3ff };
        let word = ring.u16(slot + 2 + 2 * ((random as usize >> 28) % 3));
        word.store((random >> 12) as u16 & small, Ordering::Relaxed);
        let page = &pages[random as usize % PAGES];
        page.u64(8 * (random as usize >> 8) % PAGE)
            .store(state, Ordering::Relaxed);
        let behind = if random & 0xf000 == 0 {
            random
        } else {
            random % 64
        };
        peer::set_responses(ring, peer::requests(ring).wrapping_sub(behind));
    }
}

#[test]
fn a_backend_that_writes_while_it_is_read() {
    let mut game = Match::new(1514, 0);
    game.standing = Standing::Foul;
    let (ring, pages) = game.receive.peer();
    let done = AtomicBool::new(false);
    let mut seen = 0;
    thread::scope(|scope| {
        let (done, ring, pages) = (&done, ring, pages);
        let _done = Done(done);
        scope.spawn(move || scribble(&ring, &pages, done));
        let start = Instant::now();
        while seen < 2000 && start.elapsed() < Duration::from_secs(20) {
            match game.receive.next(&mut game.counters) {
                Ok(Some(length)) => {
                    let buffer = game.receive.take_frame();
                    assert!((1..=1514).contains(&length) && buffer.len() == 1514);
                    game.receive.put_frame_back(buffer);
                    seen += 1;
                }
                Ok(None) | Err(Broken::Ring(_)) => {}
                Err(Broken::Id(id)) => panic!("nobody has written to the number {id}"),
            }
        }
    });
    assert!(seen > 0, "some of it made sense");
}
