use super::*;
use crate::{hostile::accesses, ring::RingError};
use proptest::{collection, prelude::*, sample};

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_script_says(script in collection::vec(any::<u8>(), 0..600)) {
        transmit(&script);
    }

    #[test]
    fn answers_in_any_order_free_whole_buffers_only(
        lengths in collection::vec(1_usize..=9014, 60..90),
        picks in collection::vec(any::<sample::Index>(), 1..300),
        rounds in sample::select(vec![0, ROUNDS]),
    ) {
        let mut game = Match::new(9014, true, rounds);
        let mut picks = picks.iter().cycle();
        for (number, length) in lengths.into_iter().enumerate() {
            while !game.make_room() {
                let ids: Vec<u16> = game.backend.lent.keys().copied().collect();
                // Every buffer has at least one slot that was not answered.
                let mut buffers: Vec<u16> = ids.iter().map(|id| id / MOST_SLOTS as u16).collect();
                buffers.dedup();
                prop_assert_eq!(buffers.len(), 64);
                game.backend.answer(*picks.next().unwrap().get(&ids), 0);
                game.backend.publish();
            }
            game.send(&frame(number as u32, length, true));
        }
        game.backend.check();
        prop_assert_eq!(game.counters.tx_errors, 0);
    }
}

/// A match with a backend that cuts, and up to `long_frames` for it.
fn cutting(long_frames: usize) -> Match {
    let cut = Cut {
        checksums: true,
        ipv6_checksums: true,
        ipv4: true,
        ipv6: true,
        long_frames,
    };
    Match::with(1514, cut, ROUNDS)
}

/// Sends frames of segments until there is no room; returns how many.
fn fill_long(game: &mut Match) -> usize {
    let mut count = 0;
    while game.make_long_room() {
        game.send_large(&segments(IpVersion::V4, 1, 60_000), 1460, IpVersion::V4);
        count += 1;
    }
    count
}

#[test]
fn frames_of_segments_go_whole_and_say_how_they_are_cut() {
    for version in [IpVersion::V4, IpVersion::V6] {
        let mut game = cutting(8);
        assert!(game.transmit.segments(version));
        for (data, mss) in [(1461, 1460), (4096, 100), (65_535 - headers(version), 1440)] {
            assert!(game.make_long_room());
            let frame = segments(version, data as u32, data);
            let taken = game.send_large(&frame, mss, version);
            assert_eq!(taken.ids.len(), frame.len().div_ceil(PAGE));
        }
        game.backend.check();
        assert_eq!((game.backend.extras, game.counters.tx_frames), (3, 3));
    }
    let mut game = Match::new(1514, true, 0);
    assert!(!game.transmit.segments(IpVersion::V4), "not agreed on");
    assert!(!game.make_long_room());
}

#[test]
fn long_buffers_are_waited_for_and_short_ones_are_there_all_the_same() {
    let mut game = cutting(2);
    assert_eq!(fill_long(&mut game), 2);
    assert!(game.make_room());
    game.send(&frame(1, 1514, true));
    assert_eq!(game.backend.extras, 2);
    answer_all(&mut game);
    while game.backend.extras > 0 {
        game.backend.answer_extra(77);
    }
    game.backend.publish();
    assert_eq!(fill_long(&mut game), 2);
    assert_eq!(game.counters.tx_errors, 0);
}

#[test]
fn a_frame_of_segments_without_a_long_buffer_harms_nothing() {
    let mut game = cutting(1);
    assert_eq!(fill_long(&mut game), 1);
    let frame = segments(IpVersion::V4, 1, 60_000);
    let large = LargeFrame {
        length: frame.len(),
        headers: 54,
        mss: 1460,
        version: IpVersion::V4,
    };
    let mut written = 0;
    let counters = &mut game.counters;
    game.transmit
        .send_large(large, counters, |place| written = place.len());
    assert_eq!((written, game.counters.tx_errors), (frame.len(), 1));
    assert!(game.backend.take().is_none());
}

#[test]
fn an_answer_to_an_extra_info_that_was_not_sent_ends_the_connection() {
    let mut game = cutting(1);
    assert_eq!(fill_long(&mut game), 1);
    for _ in 0..2 {
        game.backend.answer_extra(9);
    }
    game.backend.publish();
    game.standing = Standing::Foul;
    // The driver looks at answers when its buffers are used up.
    assert!(!game.make_long_room());
    assert_eq!(game.standing, Standing::Over(Broken::Id(9)));
}

/// Answers everything.
fn answer_all(game: &mut Match) {
    while let Some((&id, _)) = game.backend.lent.first_key_value() {
        game.backend.answer(id, 0);
    }
    game.backend.publish();
}

fn send_and_answer(game: &mut Match, length: usize, slots: usize) {
    if !game.make_room() {
        answer_all(game);
        assert!(game.make_room());
    }
    let taken = game.send(&frame(length as u32, length, length.is_multiple_of(3)));
    assert_eq!(taken.map(|it| it.ids.len()), Some(slots), "{length} bytes");
}

#[test]
fn frames_of_every_length_go_out_whole() {
    for offload in [true, false] {
        let mut game = Match::new(1514, offload, 0);
        for length in 1..=1514 {
            send_and_answer(&mut game, length, 1);
        }
        let mut game = Match::new(9014, offload, 0);
        for length in (1..=9014)
            .step_by(7)
            .chain([4095, 4096, 4097, 8191, 8192, 8193, 9014])
        {
            send_and_answer(&mut game, length, length.div_ceil(PAGE));
        }
    }
    let mut game = Match::new(65_535, true, 0);
    for length in [1, 60, 4096, 4097, 32_768, 65_534, 65_535] {
        send_and_answer(&mut game, length, length.div_ceil(PAGE));
    }
}

#[test]
fn only_what_is_tcp_leaves_its_checksum_to_the_backend() {
    let mut game = Match::new(1514, true, 0);
    assert!(game.make_room());
    let blank = flag::CHECKSUM_BLANK | flag::DATA_VALIDATED;
    assert_eq!(game.send(&frame(1, 100, true)).unwrap().flags, blank);
    assert_eq!(game.send(&frame(1, 100, false)).unwrap().flags, 0);
    let mut refused = Match::new(1514, false, 0);
    assert!(refused.make_room());
    let taken = refused.send(&frame(1, 100, true)).unwrap();
    assert_eq!(taken.flags, 0);
    assert!(transport::verify(&taken.frame), "it was filled in here");
}

/// Sends frames of `length` bytes until there is no room; returns how many.
fn fill(game: &mut Match, length: usize) -> usize {
    (0..)
        .take_while(|&it| {
            let room = game.make_room();
            room.then(|| game.send(&frame(it, length, false)));
            room
        })
        .count()
}

#[test]
fn a_buffer_comes_back_with_the_last_of_its_answers() {
    let mut game = Match::new(65_535, true, ROUNDS);
    assert_eq!(fill(&mut game, 65_535), 16);
    assert_eq!(game.backend.lent.len(), 256, "the ring is full");
    let ids: Vec<u16> = game.backend.lent.keys().copied().collect();
    let (last, others) = ids.split_at(1);
    for &id in others.iter().filter(|&&id| id % 18 != 0) {
        game.backend.answer(id, 0);
        game.backend.publish();
        assert!(!game.make_room());
    }
    game.backend.answer(last[0], 0);
    game.backend.publish();
    assert!(game.make_room());
    game.send(&frame(1, 65_535, false));
    assert!(!game.make_room());
    game.backend.check();
}

#[test]
fn errors_are_counted_and_the_buffer_is_used_again() {
    let mut game = Match::new(1514, true, 0);
    assert_eq!(fill(&mut game, 1514), 64);
    let ids: Vec<u16> = game.backend.lent.keys().copied().collect();
    for (number, id) in ids.into_iter().enumerate() {
        game.backend.answer(id, [0, -1, -2, i16::MIN][number % 4]);
    }
    game.backend.publish();
    assert_eq!(fill(&mut game, 1514), 64);
    assert_eq!(game.counters.tx_errors, 48);
}

#[test]
fn a_frame_that_is_too_long_costs_no_buffer() {
    let mut game = Match::new(1514, true, 0);
    for _ in 0..200 {
        assert!(game.make_room());
        assert!(game.send(&[0; 1515]).is_none());
    }
    assert_eq!(game.counters.tx_errors, 200);
    assert_eq!(fill(&mut game, 1514), 64);
}

#[test]
fn what_breaks_the_rules_ends_the_connection() {
    let over = |act: fn(&mut Match)| {
        let mut game = Match::new(1514, true, 0);
        fill(&mut game, 100);
        game.standing = Standing::Foul;
        act(&mut game);
        game.backend.publish();
        assert!(!game.make_room() || game.standing == Standing::Foul);
        game.standing
    };
    let id = |id| Standing::Over(Broken::Id(id));
    assert_eq!(
        over(|game| game.backend.answer(1, 0)),
        id(1),
        "no such slot"
    );
    assert_eq!(over(|game| game.backend.answer(64 * 18, 0)), id(64 * 18));
    assert_eq!(over(|game| game.backend.answer(u16::MAX, 0)), id(u16::MAX));
    let replayed = over(|game| (0..2).for_each(|_| game.backend.answer(18, 0)));
    assert_eq!(replayed, id(18));
    let unasked = over(|game| {
        game.backend.next = game.backend.next.wrapping_add(65);
    });
    let error = RingError {
        responses: 65,
        outstanding: 64,
    };
    assert_eq!(unasked, Standing::Over(Broken::Ring(error)));
    assert_eq!(over(|_| {}), Standing::Foul, "silence is no crime");
}

#[test]
fn a_backend_is_notified_when_it_asks_and_asked_when_it_matters() {
    let mut game = Match::new(1514, true, 0);
    assert!(game.make_room());
    game.send(&frame(1, 60, false));
    assert!(game.transmit.must_notify(), "the first");
    game.send(&frame(2, 60, false));
    assert!(!game.transmit.must_notify());
    peer::set_request_event(&game.backend.ring, 4);
    game.send(&frame(3, 60, false));
    assert!(!game.transmit.must_notify());
    game.send(&frame(4, 60, false));
    assert!(game.transmit.must_notify());
    game.transmit.ask_for_event();
    assert_eq!(
        peer::response_event(&game.backend.ring),
        2,
        "half of the four"
    );
}

#[test]
fn nothing_is_read_twice() {
    let mut game = Match::new(1514, true, 0);
    fill(&mut game, 100);
    answer_all(&mut game);
    let Match {
        transmit,
        counters,
        backend,
        ..
    } = &mut game;
    let (room, accesses) = accesses::of(|| transmit.make_room(counters));
    assert_eq!(room, Ok(true));
    assert_eq!(accesses.to(&backend.ring, 8), 1, "the response producer");
    let slots = peer::slot(0, SLOTS, 12)..peer::slot(64, SLOTS, 12);
    assert_eq!(accesses.to(&backend.ring, slots.start), 1);
    assert_eq!(accesses.repeated(&backend.ring, slots), []);
    let (_, accesses) = accesses::of(|| transmit.must_notify());
    assert_eq!(accesses.to(&backend.ring, 4), 1, "the request event");
}
