//! Two connections and the segments between them, on a clock that jumps from event to event.

use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use crate::{
    Connection, Events, Flags, Header, Micros, Options, Pool, Retransmission, Segment, Seq,
    Settings, State, Verdict,
};

const SECOND: Micros = 1_000_000;

const SETTINGS: Settings = Settings {
    mss: 1000,
    receive: 50_000,
    send: 50_000,
    user_timeout: 60 * SECOND,
    keep_alive: 60 * SECOND,
    idle_timeout: 135 * SECOND,
    ack_delay: 10_000,
    time_wait: 10 * SECOND,
};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn per_mille(&mut self, probability: u64) -> bool {
        self.next() % 1000 < probability
    }
}

#[derive(Clone, Copy, Default)]
struct Faults {
    loss: u64,
    reorder: u64,
    duplicate: u64,
}

struct Side {
    connection: Connection,
    pool: Pool,
    received: Vec<u8>,
    reads: bool,
    /// The number behind the highest that was seen on the wire.
    top: Seq,
}

/// Two sides and what is on its way between them.
struct Pair {
    sides: Vec<Side>,
    wire: BTreeMap<(Micros, u64), (usize, Vec<u8>)>,
    now: Micros,
    count: u64,
    random: Random,
    faults: Faults,
    /// Everything that was sent: by whom, when, and the bytes.
    sent: Vec<(usize, Micros, Vec<u8>)>,
    cut: bool,
    /// Bytes of data that the cards of both take at once.
    large: u32,
    /// Segments that both sent again by what they say, after a timeout and to recover; and by what the wire shows.
    again: (u32, u32),
    seen_again: u32,
}

fn pool() -> Pool {
    Pool::new(1 << 20, 0, 0, None)
}

/// The segments of which `outgoing` is, as a card cuts them.
fn segments(outgoing: &crate::Outgoing, connection: &Connection) -> Vec<Vec<u8>> {
    let mut data = vec![0; outgoing.length];
    connection.copy_data(outgoing, &mut data);
    let mss = usize::from(outgoing.mss);
    let count = data.len().div_ceil(mss).max(1);
    let segment = |number: usize| {
        let data = &data[number * mss..data.len().min((number + 1) * mss)];
        let mut header = outgoing.header;
        header.seq = header.seq.plus((number * mss) as u32);
        if number + 1 < count {
            header.flags = Flags(header.flags.0 & !(Flags::PSH.0 | Flags::FIN.0));
        }
        let mut bytes = vec![0; header.length()];
        header.write((1, 2), &mut bytes);
        bytes.extend(data);
        bytes
    };
    (0..count).map(segment).collect()
}

impl Side {
    /// Returns whether a segment that this side sends takes numbers that were sent before.
    fn shows_again(&mut self, wire: &[u8]) -> bool {
        let segment = Segment::read(wire).unwrap();
        let one = |flag| u32::from(segment.flags.has(flag));
        let taken = segment.data.len() as u32 + one(Flags::SYN) + one(Flags::FIN);
        let again = taken > 0 && segment.seq.is_before(self.top);
        self.top = self.top.max(segment.seq.plus(taken));
        again
    }
}

impl Pair {
    /// A client that has asked, and the server that its SYN has reached.
    fn new(faults: Faults, client: Settings, server: Settings) -> Pair {
        let mut connection = Connection::connect(client, Seq(u32::MAX - 5000), 0);
        let mut memory = pool();
        let syn = connection.poll(&mut memory, 0, 0).unwrap();
        let wire = segments(&syn, &connection).remove(0);
        connection.sent(&syn, 0);
        let accepted = Connection::accept(server, Seq(77), &Segment::read(&wire).unwrap(), 0);
        let side = |connection, top| Side {
            connection,
            pool: pool(),
            received: Vec::new(),
            reads: true,
            top,
        };
        let tops = [connection.top, accepted.top];
        Pair {
            sides: vec![side(connection, tops[0]), side(accepted, tops[1])],
            wire: BTreeMap::new(),
            now: 0,
            count: 0,
            random: Random(7),
            faults,
            sent: Vec::new(),
            cut: false,
            large: 0,
            again: (0, 0),
            seen_again: 0,
        }
    }

    fn established() -> Pair {
        let mut pair = Pair::new(Faults::default(), SETTINGS, SETTINGS);
        pair.run(SECOND / 2);
        assert_eq!(pair.states(), (State::Established, State::Established));
        pair
    }

    fn states(&self) -> (State, State) {
        (
            self.sides[0].connection.state(),
            self.sides[1].connection.state(),
        )
    }

    fn write(&mut self, side: usize, data: &[u8]) -> usize {
        let side = &mut self.sides[side];
        side.connection.write(&mut side.pool, data)
    }

    fn send_all(&mut self) {
        for from in 0..2 {
            loop {
                let side = &mut self.sides[from];
                let due = side.connection.poll_at().is_some_and(|at| at <= self.now);
                let settled = side.connection.is_settled() && !due;
                let polled = side.connection.poll(&mut side.pool, self.now, self.large);
                let Some(outgoing) = polled else {
                    break;
                };
                assert!(!settled, "it said that there was nothing: {outgoing:?}");
                assert!(outgoing.length <= usize::from(outgoing.mss).max(self.large as usize));
                let wires = segments(&outgoing, &side.connection);
                // With options, too (RFC 6691, 3).
                let most = 20 + usize::from(side.connection.mss).max(40);
                match side.connection.sent(&outgoing, self.now) {
                    Some(Retransmission::Timeout(count)) => self.again.0 += count,
                    Some(Retransmission::Recovery(count)) => self.again.1 += count,
                    None => {}
                }
                for wire in wires {
                    assert!(wire.len() <= most, "{} bytes", wire.len());
                    self.seen_again += u32::from(self.sides[from].shows_again(&wire));
                    self.sent.push((from, self.now, wire.clone()));
                    self.put_on_wire(1 - from, wire);
                }
            }
        }
    }

    fn put_on_wire(&mut self, to: usize, bytes: Vec<u8>) {
        if self.cut || self.random.per_mille(self.faults.loss) {
            return;
        }
        let late = self.random.per_mille(self.faults.reorder);
        let at = self.now + 1000 + if late { self.random.next() % 3000 } else { 0 };
        let copies = 1 + u64::from(self.random.per_mille(self.faults.duplicate));
        for copy in 0..copies {
            self.count += 1;
            let place = (at + copy * 500, self.count);
            self.wire.insert(place, (to, bytes.clone()));
        }
    }

    /// Runs until `end`, or until nothing will happen.
    fn run(&mut self, end: Micros) {
        loop {
            self.send_all();
            let arrival = self.wire.keys().next().map(|&(at, _)| at);
            let timers = self.sides.iter().filter_map(|it| it.connection.poll_at());
            let Some(next) = timers.chain(arrival).min().filter(|&at| at <= end) else {
                self.now = self.now.max(end);
                return;
            };
            assert!(
                next > self.now || arrival == Some(next),
                "a timer of the past: {next}"
            );
            self.now = next;
            while let Some(entry) = self.wire.first_entry().filter(|it| it.key().0 <= self.now) {
                let (to, wire) = entry.remove();
                self.deliver(to, &wire);
            }
        }
    }

    fn deliver(&mut self, to: usize, wire: &[u8]) -> Verdict {
        let side = &mut self.sides[to];
        let segment = Segment::read(wire).unwrap();
        let verdict = side.connection.receive(&segment, &mut side.pool, self.now);
        if side.reads {
            let mut part = [0; 700];
            loop {
                let count = side.connection.read(&mut side.pool, &mut part);
                side.received.extend_from_slice(&part[..count]);
                if count == 0 {
                    return verdict;
                }
            }
        }
        verdict
    }

    /// Sends `total` bytes each way and compares; returns how long it took.
    fn transfer(&mut self, total: usize) -> Micros {
        let begin = self.now;
        let data: Vec<u8> = (0..total).map(|at| (at * 31 + at / 251) as u8).collect();
        let mut written = [0, 0];
        while self.sides.iter().any(|it| it.received.len() < total) {
            for side in 0..2 {
                let left = &data[written[side]..];
                written[side] += self.write(side, &left[..left.len().min(3000)]);
            }
            let next = self.now + 500;
            self.run(next);
            assert!(
                self.now < begin + 3000 * SECOND,
                "stuck: {:?}",
                self.states()
            );
        }
        for side in &mut self.sides {
            assert!(side.received == data, "the bytes differ");
            side.received.clear();
        }
        assert_eq!(self.again.0 + self.again.1, self.seen_again);
        self.now - begin
    }

    fn close_both(&mut self) {
        for side in &mut self.sides {
            side.connection.close();
        }
        let end = self.now + 300 * SECOND;
        self.run(end);
        assert_eq!(self.states(), (State::Closed, State::Closed));
        for side in &self.sides {
            assert!(side.connection.is_gone() && side.connection.is_finished());
            assert!(!side.connection.has_timed_out());
            assert_eq!(side.connection.poll_at(), None);
        }
        assert_eq!(self.again.0 + self.again.1, self.seen_again);
    }

    /// What `send` has the sides send now is lost.
    fn lose(&mut self, send: impl FnOnce(&mut Pair)) {
        self.cut = true;
        send(self);
        self.send_all();
        self.cut = false;
    }
}

#[test]
fn bytes_arrive_both_ways() {
    let mut pair = Pair::established();
    let time = pair.transfer(1_000_000);
    assert!(time < SECOND, "{time}");
    pair.close_both();
    assert_eq!(pair.again, (0, 0));
}

#[test]
fn what_is_sent_again_is_counted_once_by_its_cause() {
    // In the middle.
    for sack in [true, false] {
        let mut pair = Pair::established();
        for side in &mut pair.sides {
            side.connection.peer_takes_sack = sack;
        }
        pair.lose(|pair| assert_eq!(pair.write(0, &[1; 1000]), 1000));
        for _ in 0..5 {
            pair.write(0, &[2; 1000]);
            let next = pair.now + 1000;
            pair.run(next);
        }
        pair.run(SECOND);
        assert_eq!((pair.sides[1].received.len(), pair.again), (6000, (0, 1)));
    }
    // The last, of which nobody tells: data, the end, both together.
    for (length, ends) in [(1000, false), (0, true), (1000, true)] {
        let mut pair = Pair::established();
        pair.lose(|pair| {
            pair.write(0, &vec![1; length]);
            if ends {
                pair.sides[0].connection.close();
            }
        });
        pair.run(2 * SECOND);
        assert_eq!(pair.sides[1].received.len(), length);
        assert_eq!((pair.sides[1].connection.ended, pair.again), (ends, (1, 0)));
    }
    // An answer to a SYN, which goes again in time, and the answer when that comes.
    let mut pair = Pair::new(Faults::default(), SETTINGS, SETTINGS);
    pair.lose(|pair| pair.now = SECOND / 2);
    pair.run(2 * SECOND);
    assert_eq!(pair.states(), (State::Established, State::Established));
    assert_eq!((pair.again, pair.seen_again), ((1, 1), 2));
    // All that a card was to cut.
    let mut pair = Pair::established();
    pair.large = 20_500;
    pair.lose(|pair| assert_eq!(pair.write(0, &[1; 9500]), 9500));
    pair.run(2 * SECOND);
    assert_eq!((pair.again, pair.seen_again), ((10, 0), 10));
}

#[test]
fn bytes_arrive_over_bad_wires() {
    for (loss, reorder, duplicate) in [
        (10, 0, 0),
        (0, 100, 0),
        (0, 0, 200),
        (50, 50, 50),
        (100, 0, 0),
        (200, 100, 50),
    ] {
        let faults = Faults {
            loss,
            reorder,
            duplicate,
        };
        let mut pair = Pair::new(faults, SETTINGS, SETTINGS);
        let time = pair.transfer(300_000);
        // A tenth of a millisecond a segment without loss; what is lost costs a round trip, the last a fifth of a second.
        std::eprintln!("{loss} per mille lost: {} ms", time / 1000);
        assert!(time < SECOND + loss * SECOND, "{loss}: {time}");
        pair.close_both();
    }
}

#[test]
fn a_card_that_cuts_gets_many_segments_at_once() {
    for loss in [0, 20] {
        let faults = Faults {
            loss,
            ..Faults::default()
        };
        let mut pair = Pair::new(faults, SETTINGS, SETTINGS);
        pair.large = 20_500;
        pair.transfer(300_000);
        pair.close_both();
        assert_eq!(pair.again == (0, 0), loss == 0);
    }
    let mut pair = Pair::established();
    pair.large = 20_500;
    // The first window, of which whole segments are sent.
    assert_eq!(pair.write(0, &[1; 30_000]), 30_000);
    let side = &mut pair.sides[0];
    let outgoing = side.connection.poll(&mut side.pool, pair.now, pair.large);
    let outgoing = outgoing.unwrap();
    assert_eq!((outgoing.length, outgoing.mss), (10_000, 1000));
    let end = pair.now + SECOND;
    pair.run(end);
    // What is left goes with a shorter last one.
    pair.write(0, &[2; 20_300]);
    let side = &mut pair.sides[0];
    let outgoing = side.connection.poll(&mut side.pool, pair.now, pair.large);
    assert_eq!(outgoing.unwrap().length, 20_300);
    // More than the card takes does not.
    pair.write(0, &[2; 300]);
    let side = &mut pair.sides[0];
    let outgoing = side.connection.poll(&mut side.pool, pair.now, pair.large);
    assert_eq!(outgoing.unwrap().length, 20_000);
}

#[test]
fn bytes_arrive_from_and_to_whoever_knows_no_options() {
    let faults = Faults {
        loss: 30,
        ..Faults::default()
    };
    let mut pair = Pair::new(faults, SETTINGS, SETTINGS);
    for side in &mut pair.sides {
        side.connection.peer_takes_sack = false;
        (side.connection.scale, side.connection.peer_scale) = (0, 0);
    }
    pair.transfer(300_000);
    pair.close_both();
}

#[test]
fn large_windows_are_used_and_small_ones_kept() {
    let large = Settings {
        receive: 1_000_000,
        send: 1_000_000,
        ..SETTINGS
    };
    let mut pair = Pair::new(Faults::default(), large, large);
    pair.transfer(3_000_000);
    pair.close_both();
    let small = Settings {
        receive: 1024,
        send: 3000,
        ..SETTINGS
    };
    let mut pair = Pair::new(Faults::default(), small, small);
    pair.transfer(50_000);
    pair.close_both();
    let tiny = Settings {
        mss: 1,
        receive: 1,
        ..SETTINGS
    };
    let mut pair = Pair::new(Faults::default(), tiny, SETTINGS);
    pair.transfer(300);
}

#[test]
fn a_closed_window_is_asked_about_and_opens() {
    let mut pair = Pair::established();
    pair.sides[1].reads = false;
    let data = vec![5; 50_000];
    assert_eq!(pair.write(0, &data), 50_000);
    pair.run(10 * SECOND);
    assert_eq!(pair.write(0, &data), 50_000);
    // Longer than any timeout: the peer answers, so it is there.
    let before = pair.sent.len();
    pair.run(300 * SECOND);
    assert_eq!(pair.sides[1].connection.readable(), 50_000);
    let asked = pair.sent.len() - before;
    assert!((4..60).contains(&asked), "{asked} segments");
    assert_eq!(pair.states().0, State::Established);
    // Each reading step that is worth it is told without being asked.
    pair.sides[1].reads = true;
    let side = &mut pair.sides[1];
    let mut all = vec![0; 50_000];
    assert_eq!(side.connection.read(&mut side.pool, &mut all), 50_000);
    pair.run(301 * SECOND);
    assert_eq!(pair.sides[1].received.len(), 50_000);
}

#[test]
fn memory_is_held_only_by_bytes() {
    let mut pair = Pair::established();
    pair.transfer(100_000);
    pair.run(SECOND * 20);
    for side in &mut pair.sides {
        let held = [&side.connection.input, &side.connection.output];
        assert!(held.iter().all(|it| it.is_empty()));
        side.pool.give_back();
        assert_eq!(side.pool.spare_bytes(), 0);
    }
    let size = size_of::<Connection>();
    assert!(size <= 512, "{size} bytes");
}

#[test]
fn without_memory_data_wait_and_arrive_later() {
    let mut pair = Pair::established();
    pair.sides[1].pool = Pool::new(0, 0, 0, Some(|| 0));
    assert_eq!(pair.write(0, b"hello"), 5);
    pair.run(SECOND);
    assert_eq!(pair.sides[1].connection.readable(), 0);
    pair.sides[1].pool = pool();
    pair.run(3 * SECOND);
    assert_eq!(pair.sides[1].received, b"hello");
    pair.sides[0].pool = Pool::new(0, 0, 0, Some(|| 0));
    assert_eq!(pair.write(0, b"hello"), 0);
}

#[test]
fn half_closed_connections_carry_data() {
    let mut pair = Pair::established();
    pair.sides[0].connection.close();
    pair.run(SECOND);
    assert_eq!(pair.states(), (State::FinWait2, State::CloseWait));
    assert!(pair.sides[1].connection.is_finished());
    assert_eq!(pair.write(0, b"no"), 0);
    assert_eq!(pair.write(1, b"still"), 5);
    pair.run(2 * SECOND);
    assert_eq!(pair.sides[0].received, b"still");
    pair.sides[1].connection.close();
    pair.run(3 * SECOND);
    assert_eq!(pair.states(), (State::TimeWait, State::Closed));
    pair.run(15 * SECOND);
    assert_eq!(pair.states(), (State::Closed, State::Closed));
}

#[test]
fn silent_peers_are_asked_and_given_up() {
    let mut pair = Pair::established();
    pair.take_all_events();
    pair.cut = true;
    pair.run(130 * SECOND);
    assert_eq!(pair.states(), (State::Established, State::Established));
    pair.run(200 * SECOND);
    assert_eq!(pair.states(), (State::Closed, State::Closed));
    assert!(pair.sides[0].connection.has_timed_out());
    let both = Events {
        readable: true,
        writable: true,
    };
    assert_eq!(pair.sides[0].connection.take_events(), both);

    let mut pair = Pair::established();
    pair.cut = true;
    pair.write(0, b"hello");
    pair.run(59 * SECOND);
    assert_eq!(pair.states().0, State::Established);
    pair.run(70 * SECOND);
    assert_eq!(pair.states().0, State::Closed);
}

impl Pair {
    fn take_all_events(&mut self) {
        for side in &mut self.sides {
            side.connection.take_events();
        }
    }

    /// A segment of side 0 with these numbers, relative to what side 1 expects, arrives.
    fn forge(&mut self, flags: Flags, seq: i32, ack: i32, data: &[u8]) -> Verdict {
        let side = &self.sides[1].connection;
        let header = Header {
            seq: Seq(side.expected.0.wrapping_add_signed(seq)),
            ack: Seq(side.top.0.wrapping_add_signed(ack)),
            flags,
            window: 1000,
            options: Options::default(),
        };
        let mut wire = vec![0; header.length()];
        header.write((1, 2), &mut wire);
        wire.extend_from_slice(data);
        self.deliver(1, &wire)
    }
}

#[test]
fn resets_count_only_where_they_are_exact() {
    let mut pair = Pair::established();
    for far in [-1, 1, 100, 49_000, 60_000, i32::MAX, i32::MIN] {
        assert_eq!(pair.forge(Flags::RST, far, 0, b""), Verdict::Taken);
        assert_eq!(pair.forge(Flags::SYN, far, 0, b""), Verdict::Taken);
        assert_eq!(
            pair.forge(Flags::SYN.and(Flags::ACK), far, 0, b""),
            Verdict::Taken
        );
        assert_eq!(pair.states().1, State::Established);
    }
    // Of a flood of them, one is answered.
    let before = pair.sent.len();
    pair.send_all();
    assert_eq!(pair.sent.len(), before + 1);
    assert_eq!(pair.forge(Flags::RST, 0, 0, b""), Verdict::Reset);
    assert_eq!(pair.states().1, State::Closed);
    assert!(pair.sides[1].connection.is_gone());
}

#[test]
fn what_is_acknowledged_but_was_not_sent_does_no_harm() {
    let mut pair = Pair::established();
    for ack in [1, 1000, i32::MAX, i32::MIN, -1_000_000] {
        pair.forge(Flags::ACK, 0, ack, b"evil");
        assert!(pair.sides[1].received.is_empty());
    }
    pair.forge(Flags::ACK, 0, 0, b"good");
    assert_eq!(pair.sides[1].received, b"good");
}

#[test]
fn an_abort_is_told_once() {
    let mut pair = Pair::established();
    let side = &mut pair.sides[0];
    side.connection.abort(&mut side.pool);
    assert!(!side.connection.is_gone());
    pair.run(SECOND);
    assert!(pair.sides[0].connection.is_gone() && pair.sides[1].connection.is_gone());
    let resets = pair.sent.iter().filter(|it| it.2[13] & 4 != 0).count();
    assert_eq!(resets, 1);
}

#[test]
fn both_may_ask_at_the_same_time() {
    let mut pair = Pair::new(Faults::default(), SETTINGS, SETTINGS);
    for (side, first) in pair.sides.iter_mut().zip([Seq(9), Seq(1)]) {
        side.connection = Connection::connect(SETTINGS, first, 0);
        side.top = first;
    }
    pair.run(SECOND);
    assert_eq!(pair.states(), (State::Established, State::Established));
    assert_eq!(pair.again, (0, 2));
    pair.transfer(10_000);
    pair.close_both();
}

#[test]
fn who_closes_before_the_handshake_is_complete_completes_it_first() {
    let mut pair = Pair::new(Faults::default(), SETTINGS, SETTINGS);
    pair.sides[1].connection.close();
    pair.cut = true;
    pair.run(SECOND / 10);
    pair.cut = false;
    pair.run(5 * SECOND);
    assert_eq!(pair.states(), (State::CloseWait, State::FinWait2));
    pair.close_both();
}

#[test]
fn options_are_read_as_they_were_written() {
    let ranges = [
        Some((Seq(1), Seq(2))),
        Some((Seq(5), Seq(u32::MAX))),
        None,
        None,
    ];
    for options in [
        Options::default(),
        Options {
            mss: Some(1460),
            scale: Some(7),
            sack_permitted: true,
            ..Options::default()
        },
        Options {
            sack: ranges,
            ..Options::default()
        },
    ] {
        let header = Header {
            seq: Seq(1),
            ack: Seq(2),
            flags: Flags::ACK,
            window: 3,
            options,
        };
        let mut wire = vec![0xff; header.length()];
        header.write((1, 2), &mut wire);
        let segment = Segment::read(&wire).unwrap();
        assert_eq!(
            (segment.options, segment.window, segment.data),
            (options, 3, &[][..])
        );
        // None of any kind of nonsense breaks the reading.
        for at in 20..wire.len() {
            for value in 0..=255 {
                let mut wrong = wire.clone();
                wrong[at] = value;
                let _ = Segment::read(&wrong);
            }
        }
        for length in 0..wire.len() {
            assert!(Segment::read(&wire[..length]).is_none());
        }
    }
}

/// Any segments in any order: nothing panics, memory stays bounded, and the other connection's bytes are not touched.
#[test]
fn random_segments_do_no_harm() {
    let mut random = Random(3);
    for round in 0..300 {
        let mut pair = Pair::new(Faults::default(), SETTINGS, SETTINGS);
        pair.sides[1].reads = round % 2 == 0;
        for _ in 0..200 {
            let near = |random: &mut Random| match random.next() % 4 {
                0 => 0,
                1 => (random.next() % 4000) as i32 - 2000,
                2 => (random.next() % 120_000) as i32 - 60_000,
                _ => random.next() as i32,
            };
            let flags = Flags((random.next() % 32) as u8);
            let data = vec![1; (random.next() % 3000) as usize];
            let (seq, ack) = (near(&mut random), near(&mut random));
            pair.forge(flags, seq, ack, &data);
            match random.next() % 8 {
                0 => drop(pair.write(1, &data)),
                1 if random.per_mille(100) => pair.sides[1].connection.close(),
                2 => {
                    let end = pair.now + random.next() % SECOND;
                    pair.run(end);
                }
                _ => pair.send_all(),
            }
            let side = &pair.sides[1].connection;
            assert!(side.readable() <= 50_000 && side.queued() <= 50_000);
        }
    }
}
