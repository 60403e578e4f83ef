//! The PV console (`io/console.h`): what `xl console` shows and sends.
//!
//! Output goes into a ring that a daemon in dom0 empties. What does not fit waits in a queue, so that
//! a slow reader stops nobody; only a queue that is full makes the writer wait for a while, and then
//! the oldest text is dropped and the loss is said.

use crate::{
    Frame,
    bytes::Place,
    events::{EventChannel, EventChannels, EventError},
    hypercall::{self, Parameter},
    memory::SharedMemory,
};
use alloc::collections::VecDeque;
use core::{fmt, task::Context};

/// `struct xencons_interface`
pub(crate) const INPUT: Place = Place {
    bytes: 0,
    size: 1024,
    consumer: 3072,
    producer: 3076,
};
pub(crate) const OUTPUT: Place = Place {
    bytes: 1024,
    size: 2048,
    consumer: 3080,
    producer: 3084,
};

/// Bytes of text that wait for a slow reader.
const QUEUE: usize = 32 * 1024;
/// How often a writer lets other domains run when the queue is full, before it drops text.
const PATIENCE: usize = 10_000;

/// The console of this domain.
#[derive(Debug)]
pub struct Console {
    page: SharedMemory,
    /// None before there are event channels: then the daemon finds the text when it looks.
    channel: Option<EventChannel>,
    queue: VecDeque<u8>,
    /// Bytes that were dropped since this was last said.
    dropped: usize,
}

/// Why there is no console.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoConsole {
    /// What Xen gave as the page's frame.
    pub frame: u64,
}

impl fmt::Display for NoConsole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Xen gave this domain no console ({} is {})",
            Parameter::ConsoleFrame,
            self.frame
        )
    }
}

impl core::error::Error for NoConsole {}

impl Console {
    /// Returns the frame of this domain's console page, which its toolstack made.
    ///
    /// # Errors
    /// [`NoConsole`].
    pub fn frame() -> Result<Frame, NoConsole> {
        let frame = hypercall::parameter(Parameter::ConsoleFrame).unwrap_or(0);
        match frame {
            0 | u64::MAX => Err(NoConsole { frame }),
            frame => Ok(Frame(frame)),
        }
    }

    /// Uses the console page.
    pub fn new(page: SharedMemory) -> Self {
        Self {
            page,
            channel: None,
            queue: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Writes the last words of a domain that got no further, without a heap and without event
    /// channels that are set up; waits for a while until they are read.
    ///
    /// # Errors
    /// [`NoConsole`].
    pub fn write_last_words(text: &[u8]) -> Result<(), NoConsole> {
        let frame = Self::frame()?;
        let address = usize::try_from(frame.address()).map_err(|_| NoConsole { frame: frame.0 })?;
        // SAFETY: Xen says that the console's page is there; without the MMU everything is mapped,
        // and this domain does nothing else any more.
        let page = unsafe { SharedMemory::at(address, 1) };
        let port = hypercall::parameter(Parameter::ConsoleEventChannel).unwrap_or(0) as u32;
        let mut rest = text;
        for _ in 0..PATIENCE {
            let written = OUTPUT.write(&page, rest).unwrap_or(rest.len());
            rest = &rest[written..];
            let _ = hypercall::event_channel::send(port);
            if rest.is_empty() && OUTPUT.is_drained(&page) {
                break;
            }
            hypercall::yield_now();
        }
        Ok(())
    }

    /// Notifies and is notified from now on.
    ///
    /// # Errors
    /// [`EventError`]; the console goes on without.
    pub fn connect(&mut self, channels: &EventChannels) -> Result<(), EventError> {
        let port = hypercall::parameter(Parameter::ConsoleEventChannel)?;
        self.channel = Some(channels.adopt(port)?);
        self.pump();
        Ok(())
    }

    /// Writes text, with the line ends of a terminal.
    pub fn write(&mut self, text: &[u8]) {
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            match line.split_last() {
                Some((b'\n', start)) if start.last() != Some(&b'\r') => {
                    self.append(start);
                    self.append(b"\r\n");
                }
                _ => self.append(line),
            }
        }
        self.pump();
    }

    fn append(&mut self, text: &[u8]) {
        self.make_room(text.len());
        self.queue.extend(text);
    }

    /// Waits for a reader that is slow; gives up on one that is gone.
    fn make_room(&mut self, bytes: usize) {
        for _ in 0..PATIENCE {
            if self.queue.len() + bytes <= QUEUE {
                return;
            }
            self.pump();
            hypercall::yield_now();
        }
        let excess = (self.queue.len() + bytes)
            .saturating_sub(QUEUE)
            .min(self.queue.len());
        self.queue.drain(..excess);
        self.dropped += excess;
    }

    /// Moves waiting text into the ring as far as there is room. Called at the console's events.
    pub fn pump(&mut self) {
        let mut moved = 0;
        while let (piece, _) = self.queue.as_slices()
            && !piece.is_empty()
        {
            // Bad indices are the daemon's affair: what it does not take is dropped.
            let written = OUTPUT.write(&self.page, piece).unwrap_or(piece.len());
            self.queue.drain(..written);
            moved += written;
            if written == 0 {
                break;
            }
        }
        if moved > 0 {
            self.notify();
        }
        if self.dropped > 0 && self.queue.len() < QUEUE / 2 {
            let dropped = core::mem::take(&mut self.dropped);
            let line = alloc::format!("\r\n[{dropped} bytes were lost here: nobody read them]\r\n");
            self.queue.extend(line.as_bytes());
        }
    }

    fn notify(&self) {
        if let Some(channel) = &self.channel {
            channel.notify();
        }
    }

    /// Waits until the reader has everything, for a while: before the domain ends.
    pub fn flush(&mut self) {
        for _ in 0..PATIENCE {
            self.pump();
            if self.queue.is_empty() && OUTPUT.is_drained(&self.page) {
                return;
            }
            hypercall::yield_now();
        }
    }

    /// Takes input; returns how much. 0 when there is none, and `context` is woken when there may
    /// be some.
    pub fn read(&mut self, into: &mut [u8], context: &Context<'_>) -> usize {
        loop {
            let read = INPUT.read(&self.page, into).unwrap_or(0);
            if read > 0 {
                // The writer may wait for room.
                self.notify();
                return read;
            }
            let Some(channel) = &self.channel else {
                return 0;
            };
            // An event may be about output, too.
            if channel.poll_event(context).is_pending() {
                return 0;
            }
            self.pump();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hostile::accesses, ring::peer::view};
    use alloc::{string::String, vec, vec::Vec};
    use core::sync::atomic::Ordering;
    use proptest::{collection, prelude::*};
    use std::task::Waker;

    fn console() -> (Console, SharedMemory) {
        let page = SharedMemory::allocate(1).unwrap();
        let daemon = view(&page);
        (Console::new(page), daemon)
    }

    fn drain(daemon: &SharedMemory) -> Vec<u8> {
        let mut text = vec![0; 4096];
        let length = OUTPUT.read(daemon, &mut text).unwrap();
        text.truncate(length);
        text
    }

    #[test]
    fn lines_end_as_terminals_want_it() {
        let (mut console, daemon) = console();
        console.write(b"one\ntwo\r\nthr");
        console.write(b"ee\n\n");
        assert_eq!(
            String::from_utf8(drain(&daemon)).unwrap(),
            "one\r\ntwo\r\nthree\r\n\r\n"
        );
    }

    #[test]
    fn text_waits_for_a_slow_reader_in_order() {
        let (mut console, daemon) = console();
        let text: Vec<u8> = (0..10_000_u32).map(|it| b'a' + (it % 26) as u8).collect();
        console.write(&text);
        let mut seen = Vec::new();
        while seen.len() < text.len() {
            let piece = drain(&daemon);
            assert!(!piece.is_empty());
            seen.extend(piece);
            console.pump();
        }
        assert_eq!(seen, text);
    }

    #[test]
    fn without_a_reader_the_oldest_text_goes() {
        let (mut console, daemon) = console();
        console.write(&vec![b'x'; QUEUE + 2048]);
        console.write(b"the end");
        let mut seen = Vec::new();
        loop {
            let piece = drain(&daemon);
            if piece.is_empty() {
                break;
            }
            seen.extend(piece);
            console.pump();
        }
        let text = String::from_utf8(seen).unwrap();
        assert!(
            text.contains("the end\r\n[7 bytes were lost here"),
            "{text:?}"
        );
        assert_eq!(text.matches('x').count(), QUEUE + 2048 - 7);
        assert_eq!(text.matches('x').count(), QUEUE + 2048 - 7);
    }

    #[test]
    fn bad_indices_neither_hang_nor_panic() {
        let (mut console, daemon) = console();
        daemon.u32(OUTPUT.consumer).store(5, Ordering::Relaxed);
        console.write(&[b'x'; 5000]);
        console.flush();
        daemon.u32(INPUT.producer).store(1 << 30, Ordering::Relaxed);
        let context = Context::from_waker(Waker::noop());
        assert_eq!(console.read(&mut [0; 16], &context), 0);
    }

    #[test]
    fn wild_indices_of_the_output_cost_text_and_nothing_else() {
        for (consumed, produced) in [(1, 0), (0, 2049), (0, u32::MAX), (1 << 31, 0)] {
            let (mut console, daemon) = console();
            daemon
                .u32(OUTPUT.consumer)
                .store(consumed, Ordering::Relaxed);
            daemon
                .u32(OUTPUT.producer)
                .store(produced, Ordering::Relaxed);
            console.write(b"lost");
            assert!(console.queue.is_empty());
            // The daemon comes to its senses.
            daemon.u32(OUTPUT.consumer).store(7, Ordering::Relaxed);
            daemon.u32(OUTPUT.producer).store(7, Ordering::Relaxed);
            console.write(b"heard");
            assert_eq!(drain(&daemon), b"heard");
        }
    }

    #[test]
    fn wild_indices_of_the_input_are_no_input() {
        let (mut console, daemon) = console();
        let context = Context::from_waker(Waker::noop());
        for (consumed, produced) in [(1, 0), (0, 1025), (0, u32::MAX), (1 << 31, 0)] {
            daemon
                .u32(INPUT.consumer)
                .store(consumed, Ordering::Relaxed);
            daemon
                .u32(INPUT.producer)
                .store(produced, Ordering::Relaxed);
            assert_eq!(console.read(&mut [0; 4096], &context), 0);
        }
        daemon.u32(INPUT.consumer).store(1 << 31, Ordering::Relaxed);
        daemon
            .u32(INPUT.producer)
            .store((1 << 31) + 1024, Ordering::Relaxed);
        assert_eq!(console.read(&mut [0; 4096], &context), 1024, "full");
    }

    #[test]
    fn nothing_is_read_twice() {
        let (mut console, daemon) = console();
        INPUT.write(&daemon, &[b'x'; 1000]).unwrap();
        INPUT.read(&daemon, &mut [0; 900]).unwrap();
        INPUT.write(&daemon, &[b'y'; 300]).unwrap();
        let context = Context::from_waker(Waker::noop());
        let mut line = [0; 1024];
        let (read, accesses) = accesses::of(|| console.read(&mut line, &context));
        assert_eq!(read, 400);
        assert_eq!(accesses.repeated(&daemon, 0..1024), []);
        assert_eq!(accesses.to(&daemon, INPUT.producer), 1);
        let (_, accesses) = accesses::of(|| console.write(b"text"));
        assert_eq!(accesses.to(&daemon, OUTPUT.consumer), 1);
        assert_eq!(accesses.repeated(&daemon, 1024..3072), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_the_script_says(script in collection::vec(any::<u8>(), 0..400)) {
            crate::hostile::console(&script);
        }

        #[test]
        fn a_daemon_that_reads_in_pieces_sees_every_line(
            lines in collection::vec("[a-z\r\n]{0,300}", 0..40),
            pieces in collection::vec(0_usize..400, 1..20),
        ) {
            let (mut console, daemon) = console();
            let mut seen = Vec::new();
            let mut pieces = pieces.iter().cycle();
            for line in &lines {
                console.write(line.as_bytes());
                let mut piece = vec![0; *pieces.next().unwrap()];
                let length = OUTPUT.read(&daemon, &mut piece).unwrap();
                seen.extend(&piece[..length]);
            }
            while !console.queue.is_empty() || !OUTPUT.is_drained(&daemon) {
                seen.extend(drain(&daemon));
                console.pump();
            }
            let lines: Vec<String> = lines.iter().map(|it| terminal(it)).collect();
            prop_assert_eq!(String::from_utf8(seen).unwrap(), lines.concat());
        }
    }

    /// Returns text with a carriage return before each line's end that has none.
    fn terminal(text: &str) -> String {
        let mut last = ' ';
        let mut result = String::new();
        for character in text.chars() {
            if character == '\n' && last != '\r' {
                result.push('\r');
            }
            result.push(character);
            last = character;
        }
        result
    }

    #[test]
    fn input_is_read() {
        let (mut console, daemon) = console();
        INPUT.write(&daemon, b"hello\n").unwrap();
        let context = Context::from_waker(Waker::noop());
        let mut line = [0; 16];
        assert_eq!(console.read(&mut line, &context), 6);
        assert_eq!(&line[..6], b"hello\n");
        assert_eq!(console.read(&mut line, &context), 0);
    }
}
