use super::*;
use crate::{hostile::accesses, xenstore::Broken};
use alloc::string::String;
use core::sync::atomic::AtomicBool;
use proptest::{collection, prelude::*};
use std::thread;

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_script_says(script in collection::vec(any::<u8>(), 0..1200)) {
        store(&script);
    }
}

/// A client and a daemon without a script.
fn game() -> Match {
    let (store, daemon, channels, _) = connect();
    Match {
        store,
        daemon,
        tasks: Vec::new(),
        watches: Rc::default(),
        open: Vec::new(),
        _channels: channels,
    }
}

/// Where a task leaves its result.
type Slot<R> = Rc<RefCell<Option<Result<R, StoreError>>>>;

impl Match {
    /// Starts a request; returns where its result will be.
    fn ask<R: 'static>(
        &mut self,
        request: impl AsyncFnOnce(&Xenstore) -> Result<R, StoreError> + 'static,
    ) -> Slot<R> {
        let slot: Slot<R> = Rc::default();
        let (place, store) = (slot.clone(), self.store.clone());
        self.tasks.push(Box::pin(async move {
            let result = request(&store).await;
            place.borrow_mut().replace(result);
            Ok(())
        }));
        self.go_on();
        slot
    }

    /// Lets the client send and receive, and takes its requests.
    fn go_on(&mut self) {
        self.poll();
        self.run();
        self.poll();
        self.open.extend(self.daemon.requests().unwrap_or_default());
    }

    fn send(&mut self, bytes: &[u8]) {
        self.daemon.waiting.extend(bytes);
        while !self.daemon.waiting.is_empty() && self.daemon.send(1024).is_ok() {
            self.run();
        }
        self.go_on();
    }

    /// Starts a request and answers it with what `answer` makes of it.
    fn answered<R: 'static>(
        &mut self,
        request: impl AsyncFnOnce(&Xenstore) -> Result<R, StoreError> + 'static,
        answer: impl FnOnce(&Message) -> Message,
    ) -> Result<R, Cause> {
        let slot = self.ask(request);
        let request = self.open.pop().expect("it was sent");
        self.send(&answer(&request).bytes());
        let result = slot.take().expect("it was answered");
        result.map_err(|error| error.cause)
    }

    fn read(&mut self) -> Slot<String> {
        self.ask(async |store| store.read("key").await)
    }
}

fn cause(slot: &Slot<String>) -> Option<Cause> {
    slot.borrow().clone().map(|it| it.unwrap_err().cause)
}

#[test]
fn a_message_that_is_too_long_ends_everything_with_an_error() {
    for length in [4097, 1 << 16, 1 << 31, u32::MAX] {
        let mut game = game();
        let watch = game.ask(async |store| store.watch("key").await);
        let request = game.open.pop().unwrap();
        game.send(&request.answer("OK\0").bytes());
        let reads = [game.read(), game.read()];
        game.send(&game.open[0].bytes_saying(length));
        let broken = Some(Cause::Broken(Broken::Length(length)));
        assert_eq!(reads.each_ref().map(cause), [broken; 2]);
        assert_eq!(cause(&game.read()), broken, "and so does what comes later");
        let mut watch = watch.take().unwrap().unwrap();
        assert_eq!(take_events(&mut watch), (0, true));
        drop(watch);
        game.end();
    }
}

#[test]
fn indices_that_cannot_be_end_everything_with_an_error() {
    for offset in [2048, 2052, 2056, 2060] {
        let mut game = game();
        let read = game.read();
        game.daemon
            .page
            .u32(offset)
            .store(1 << 20, Ordering::SeqCst);
        // The ring of requests is looked at when there is one.
        let other = game.read();
        let broken = |it| matches!(cause(it), Some(Cause::Broken(Broken::Indices(_))));
        assert!(broken(&read) && broken(&other), "{offset}");
        game.end();
    }
}

#[test]
fn half_a_message_is_waited_for() {
    let mut game = game();
    let read = game.read();
    let answer = game.open[0].answer("value").bytes();
    for end in 1..answer.len() {
        game.send(&answer[end - 1..end]);
        assert!(read.borrow().is_none());
    }
    game.send(&answer[answer.len() - 1..]);
    assert_eq!(read.take(), Some(Ok("value".into())));
}

#[test]
fn what_fits_nothing_is_dropped_and_counted() {
    let mut game = game();
    let read = game.read();
    let request = game.open.pop().unwrap();
    let other = Message {
        number: request.number + 1,
        ..request.answer("wrong")
    };
    let event = |payload: &[u8]| Message {
        kind: WATCH_EVENT,
        number: request.number,
        transaction: 0,
        payload: payload.into(),
    };
    let nothing = [
        other.bytes(),
        other.error("ENOENT").bytes(),
        // Events that are no answer, whatever their number is.
        event(b"").bytes(),
        event(b"\0").bytes(),
        event(b"path").bytes(),
        event(b"path\x001\x002").bytes(),
        event(b"path\0-1\0").bytes(),
        event(b"path\099999999999999999999\0").bytes(),
        event(b"path\0not ours\0").bytes(),
        event(b"\xff\0\x31\0").bytes(),
    ];
    for (number, message) in nothing.iter().enumerate() {
        game.send(message);
        assert_eq!(game.store.dropped(), 1 + number as u64);
    }
    assert!(read.borrow().is_none());
    game.send(&request.answer("right").bytes());
    assert_eq!(read.take(), Some(Ok("right".into())));
    game.send(&request.answer("again").bytes());
    assert_eq!(game.store.dropped(), 1 + nothing.len() as u64);
}

#[test]
fn the_first_of_two_answers_counts() {
    let mut game = game();
    let read = game.read();
    let request = game.open.pop().unwrap();
    let both = [
        request.answer("first").bytes(),
        request.error("EIO").bytes(),
    ];
    game.send(&both.concat());
    assert_eq!(read.take(), Some(Ok("first".into())));
    assert_eq!(game.store.dropped(), 1);
}

#[test]
fn errors_are_told_apart() {
    let mut game = game();
    let mut read = |name: &str| {
        game.answered(async |it| it.read("key").await, |it| it.error(name))
            .unwrap_err()
    };
    assert_eq!(read("ENOENT"), Cause::NotFound);
    assert_eq!(read("EACCES"), Cause::NotPermitted);
    assert_eq!(read("EINVAL"), Cause::Invalid);
    assert_eq!(read("EWHATEVER"), Cause::Refused);
    assert_eq!(read(""), Cause::Refused);
    assert_eq!(read("ENOENT\0ENOENT"), Cause::Refused);
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    let mut game = game();
    let malformed = Err(Cause::Malformed);
    for bytes in [&b"\xff\0"[..], b"a\0\xc3\0"] {
        let list = async |it: &Xenstore| it.directory("key").await;
        let result = game.answered(list, |it| it.answer(bytes));
        assert_eq!(result, malformed.clone());
    }
    for bytes in [&b"x1\0"[..], b"r\0", b"r70000\0", b"\xff\0", b"\0\0"] {
        let permissions = async |it: &Xenstore| it.permissions("key").await.map(drop);
        let result = game.answered(permissions, |it| it.answer(bytes));
        assert_eq!(result, Err(Cause::Malformed), "{bytes:?}");
    }
    for bytes in [&b""[..], b"\0", b"x\0", b"-1\0", b"4294967296\0"] {
        let begin = async |it: &Xenstore| it.transaction(async |_| Ok(())).await;
        let result = game.answered(begin, |it| it.answer(bytes));
        assert_eq!(result, Err(Cause::Malformed), "{bytes:?}");
    }
    let read = game.answered(async |it| it.read("key").await, |it| it.answer(b"\xff"));
    assert_eq!(read, Err(Cause::Value));
}

#[test]
fn parts_of_a_directory_that_make_no_sense_are_an_error() {
    for part in [&b""[..], b"no zero byte"] {
        let mut game = game();
        let list = game.ask(async |it| it.directory("key").await);
        let request = game.open.pop().unwrap();
        game.send(&request.error("E2BIG").bytes());
        let request = game.open.pop().unwrap();
        assert_eq!(
            (request.kind, &request.payload[..]),
            (22, &b"key\x000\0"[..])
        );
        game.send(&request.answer(part).bytes());
        let result = list.take().unwrap();
        assert_eq!(result.unwrap_err().cause, Cause::Malformed);
    }
}

#[test]
fn a_flood_of_events_uses_little_memory() {
    let mut game = game();
    let watch = game.ask(async |it| it.watch("key").await);
    let request = game.open.pop().unwrap();
    let token = request.payload.split(|&it| it == 0).nth(1).unwrap();
    let token = core::str::from_utf8(token).unwrap();
    for number in 0..300 {
        let path = format!("{number}{}", "x".repeat(4000));
        game.send(&Message::event(&path, token).bytes());
    }
    game.send(&request.answer("OK\0").bytes());
    let mut watch = watch.take().unwrap().unwrap();
    let (events, ended) = take_events(&mut watch);
    assert!((1..=EVENTS).contains(&events) && !ended);
    assert_eq!(game.store.dropped(), 0);
}

#[test]
fn nothing_is_read_twice() {
    let mut game = game();
    let read = game.read();
    let message = game.open[0].answer("v".repeat(100)).bytes();
    game.daemon.waiting.extend(&message);
    game.daemon.send(1024).unwrap();
    let (_, accesses) = accesses::of(|| game.run());
    let page = &game.daemon.page;
    let bytes = 1024..1024 + message.len();
    assert!(bytes.clone().all(|it| accesses.to(page, it) == 1));
    assert_eq!(accesses.repeated(page, 0..2048), []);
    // Once for the message, once to see that there is no other.
    assert_eq!(accesses.to(page, 2060), 2, "the daemon's index");
    game.poll();
    assert_eq!(read.take(), Some(Ok("v".repeat(100))));
}

#[test]
fn a_daemon_that_writes_while_it_is_read() {
    /// So many rounds at least, and so many until the threads have met in a message.
    const ROUNDS: core::ops::Range<u32> = 15..500;
    let mut seen = 0;
    let mut round = 0;
    while round < ROUNDS.start || seen == 0 {
        assert!(round < ROUNDS.end, "some of it was messages");
        seen += scribbled_over(round);
        round += 1;
    }
}

/// Reads while another thread writes; returns how many messages were dropped.
fn scribbled_over(seed: u32) -> u64 {
    let mut game = game();
    let page = view(&game.daemon.page);
    let done = AtomicBool::new(false);
    let reads: Vec<_> = (0..20).map(|_| game.read()).collect();
    thread::scope(|scope| {
        scope.spawn(|| scribble(page, &done, seed));
        // Not longer than the thread needs to begin, and a while.
        for _ in 0..3000 {
            game.run();
        }
        done.store(true, Ordering::Relaxed);
    });
    game.daemon.break_ring();
    game.go_on();
    assert!(reads.iter().all(|it| it.borrow().is_some()));
    let dropped = game.store.dropped();
    game.end();
    dropped
}

/// Writes what the client reads, all the time, until `done`: headers of short messages and rubbish,
/// and indices that can be.
fn scribble(page: SharedMemory, done: &AtomicBool, seed: u32) {
    let mut state = seed;
    while !done.load(Ordering::Relaxed) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let random = state >> 12;
        let word = page.u32(1024 + 4 * (random as usize % 256));
        word.store(random % 17, Ordering::Relaxed);
        let consumed = page.u32(RESPONSES.consumer).load(Ordering::Relaxed);
        let produced = consumed.wrapping_add(random % 900);
        page.u32(RESPONSES.producer)
            .store(produced, Ordering::Relaxed);
    }
}
