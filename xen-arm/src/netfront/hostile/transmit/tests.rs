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
        long_frames,
    };
    Match::with(1514, cut, ROUNDS)
}

/// Sends segments that follow each other, each with so many bytes of data; returns how many segments
/// the frames had that they became.
fn send_segments(game: &mut Match, data: &[usize]) -> Vec<usize> {
    let mut sequence = 0xffff_f000_u32;
    for &data in data {
        assert!(game.make_room());
        game.send(&tcp(1, sequence, 0, data));
        sequence = sequence.wrapping_add(data as u32);
    }
    game.flush()
}

#[test]
fn segments_that_follow_each_other_are_one_frame() {
    let mut game = cutting(8);
    assert_eq!(send_segments(&mut game, &[1460; 40]), [40]);
    assert_eq!(
        send_segments(&mut game, &[1000, 1000, 1]),
        [3],
        "a shorter one is the last"
    );
    assert_eq!(send_segments(&mut game, &[1460]), [1]);
    game.backend.check();
    assert_eq!((game.backend.extras, game.counters.tx_frames), (2, 44));
    answer_all(&mut game);
    game.backend.publish();
    // 64 KiB are full: the rest is a frame of its own, begun before there was a need to tell.
    for _ in 0..50 {
        assert!(game.make_room());
        let sequence = 1460 * game.counters.tx_frames as u32;
        game.send(&tcp(1, sequence, 0, 1460));
    }
    assert_eq!(game.flush(), [6]);
}

#[test]
fn what_does_not_belong_together_stays_apart_and_in_order() {
    let first = || tcp(1, 1000, 0, 1460);
    let next = 1000 + 1460;
    let changed = |at: usize, value: u8| {
        let mut frame = tcp(1, next, 0, 1460);
        frame[at] = value;
        whole(frame)
    };
    let apart = [
        ("another connection", tcp(2, next, 0, 1460)),
        ("a gap", tcp(1, next + 1, 0, 1460)),
        ("sent again", tcp(1, 1000, 0, 1460)),
        ("a longer one", tcp(1, next, 0, 1461 - 1 + 40)),
        ("a bare acknowledgement", tcp(1, next, 0, 0)),
        ("a reset", tcp(1, next, 4, 1460)),
        ("urgent data", tcp(1, next, 0x20, 1460)),
        ("another acknowledgement", changed(45, 9)),
        ("another window", changed(49, 9)),
        ("other congestion bits", changed(15, 3)),
        ("another time to live", changed(22, 3)),
        ("another neighbour", changed(5, 0x77)),
        ("datagrams", changed(23, 17)),
        ("no IPv4", changed(12, 0x86)),
        ("a fragment", changed(20, 0x20)),
        ("options", changed(46, 0x60)),
        ("padding", {
            let mut frame = tcp(1, next, 0, 1400);
            frame.push(0);
            frame
        }),
    ];
    for (what, other) in apart {
        let mut game = cutting(8);
        for frame in [&first(), &other, &first()] {
            assert!(game.make_room());
            game.send(frame);
        }
        game.transmit.must_notify();
        let lengths = game.collect();
        assert!(lengths.iter().all(|&it| it == 1), "{what}: {lengths:?}");
        assert!(game.sent.is_empty(), "{what}");
        game.backend.check();
    }
}

#[test]
fn the_end_of_a_stream_is_the_end_of_a_frame() {
    let mut game = cutting(8);
    for (number, flags) in [0, PSH, 0, PSH | FIN, 0].into_iter().enumerate() {
        assert!(game.make_room());
        game.send(&tcp(1, 1000 * number as u32, flags, 1000));
    }
    assert_eq!(game.flush(), [1], "the first four went when the fifth came");
}

#[test]
fn segments_go_one_by_one_when_long_buffers_are_used_up() {
    let mut game = cutting(2);
    assert_eq!(send_segments(&mut game, &[1460; 3]), [3]);
    assert_eq!(send_segments(&mut game, &[1460; 3]), [3]);
    assert_eq!(
        send_segments(&mut game, &[1460; 3]),
        [],
        "each went at once"
    );
    assert_eq!(game.backend.extras, 2);
    answer_all(&mut game);
    while game.backend.extras > 0 {
        game.backend.answer_extra(77);
    }
    game.backend.publish();
    assert_eq!(send_segments(&mut game, &[1460; 3]), [3]);
    assert_eq!(game.counters.tx_errors, 0);
}

#[test]
fn an_answer_to_an_extra_info_that_was_not_sent_ends_the_connection() {
    let mut game = cutting(8);
    assert_eq!(send_segments(&mut game, &[1460; 3]), [3]);
    for _ in 0..2 {
        game.backend.answer_extra(9);
    }
    game.backend.publish();
    game.standing = Standing::Foul;
    // The driver looks at answers when its buffers are used up.
    fill(&mut game, 60);
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
