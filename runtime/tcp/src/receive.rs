//! A segment arrives (RFC 9293, 3.10.7).

use crate::connection::{Connection, State};
use crate::pool::Pool;
use crate::segment::{Flags, Segment};
use crate::{Micros, Seq};

/// Between answers to segments that are out of place lies so much time, so that two confused sides do not keep each other
/// busy (RFC 5961, 7).
const CHALLENGE_PAUSE: Micros = 10_000;

/// What became of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It was taken, or dropped as it should be.
    Taken,
    /// There was no memory for its data. It will come again.
    NoMemory,
    /// It has ended the connection.
    Reset,
    /// It belongs to another connection: the answer is [`crate::Header::refusal`].
    Foreign,
}

impl Connection {
    /// Takes a segment of this connection.
    pub fn receive(&mut self, segment: &Segment<'_>, pool: &mut Pool, now: Micros) -> Verdict {
        match self.state {
            State::Closed => Verdict::Foreign,
            State::SynSent => self.receive_answer(segment, pool, now),
            _ => self.receive_synchronised(segment, pool, now),
        }
    }

    /// Takes what answers the own SYN (RFC 9293, 3.10.7.3).
    fn receive_answer(&mut self, segment: &Segment<'_>, pool: &mut Pool, now: Micros) -> Verdict {
        let acknowledges = segment.flags.has(Flags::ACK);
        let right = segment.ack == self.first.plus(1) && self.top == segment.ack;
        if acknowledges && !right {
            return Verdict::Foreign;
        }
        if segment.flags.has(Flags::RST) {
            if acknowledges {
                self.end(pool);
                return Verdict::Reset;
            }
            return Verdict::Taken;
        }
        if !segment.flags.has(Flags::SYN) {
            return Verdict::Taken;
        }
        self.meet(segment);
        self.silent_since = now;
        if acknowledges {
            self.state = State::Established;
            self.acknowledged(segment.ack, pool, now);
            self.ack_due = true;
            self.events.writable = true;
        } else {
            // Both have asked at the same time: what was asked is asked again, as an answer.
            self.state = State::SynReceived;
            self.nxt = self.first;
        }
        Verdict::Taken
    }

    fn receive_synchronised(
        &mut self,
        segment: &Segment<'_>,
        pool: &mut Pool,
        now: Micros,
    ) -> Verdict {
        let window = self.edge.since(self.expected);
        let length = segment.length();
        // Where it begins, counted from what is expected: below zero for what was here before.
        let offset = segment.seq.since(self.expected) as i32;
        // Who has filled the window acknowledges from right behind it: were that too far, two sides that both have would be
        // deaf to each other.
        let within = offset >= 0 && (offset as u32) <= window;
        if segment.flags.has(Flags::RST) {
            return self.receive_reset(segment, within, pool, now);
        }
        if segment.flags.has(Flags::SYN) {
            if self.state != State::SynReceived || segment.seq.plus(1) != self.expected {
                self.challenge(now);
            } else if segment.flags.has(Flags::ACK) {
                // Both have asked at the same time, and this is the answer.
                let rest = Segment {
                    seq: self.expected,
                    flags: Flags::ACK,
                    data: &[],
                    ..*segment
                };
                return self.receive_synchronised(&rest, pool, now);
            } else {
                // The answer was lost.
                self.nxt = self.first;
            }
            return Verdict::Taken;
        }
        if !segment.flags.has(Flags::ACK) {
            return Verdict::Taken;
        }
        let old = offset < 0 && offset.saturating_add_unsigned(length) <= 0;
        if old || !within && offset >= 0 {
            // Sent twice, a sign of life asked for, or more than was asked for (RFC 9293, 3.10.7.4).
            match length {
                0 => self.challenge(now),
                _ => self.ack_due = true,
            }
            if old {
                self.silent_since = now;
            }
            return Verdict::Taken;
        }
        if self.state == State::SynReceived {
            if segment.ack != self.first.plus(1) || self.top != segment.ack {
                return Verdict::Foreign;
            }
            self.state = match self.closing {
                true => State::FinWait1,
                false => State::Established,
            };
            self.events.writable = true;
        }
        if segment.ack.is_after(self.top) {
            self.challenge(now);
            return Verdict::Taken;
        }
        // From so long ago that it is a guess rather than late (RFC 5961, 5.2).
        if self.una.since(segment.ack) > self.peer_window_most.max(65_535)
            && segment.ack.is_before(self.una)
        {
            self.challenge(now);
            return Verdict::Taken;
        }
        self.silent_since = now;
        self.receive_ack(segment, pool, now);
        self.receive_data(segment, pool, now)
    }

    /// A reset counts where it is exactly what is expected (RFC 5961, 3.2).
    fn receive_reset(
        &mut self,
        segment: &Segment<'_>,
        within: bool,
        pool: &mut Pool,
        now: Micros,
    ) -> Verdict {
        if segment.seq == self.expected {
            self.end(pool);
            return Verdict::Reset;
        }
        if within {
            self.challenge(now);
        }
        Verdict::Taken
    }

    /// Tells the peer where this side is, now and then.
    fn challenge(&mut self, now: Micros) {
        let again = |last| now >= last + CHALLENGE_PAUSE;
        if self.challenged_at.is_none_or(again) {
            self.challenged_at = Some(now);
            self.ack_due = true;
        }
    }

    fn receive_ack(&mut self, segment: &Segment<'_>, pool: &mut Pool, now: Micros) {
        let ack = segment.ack;
        let before = (self.una, self.peer_window);
        self.update_window(segment);
        let news = self.note_ranges(segment);
        if ack.is_after(self.una) {
            self.acknowledged(ack, pool, now);
        } else if ack == self.una {
            let plain = segment.length() == 0 && before == (self.una, self.peer_window);
            self.repeated(plain, news);
        }
        if self.fin_is_acknowledged() {
            match self.state {
                State::FinWait1 => self.state = State::FinWait2,
                State::Closing => self.enter_time_wait(pool, now),
                State::LastAck => self.end(pool),
                _ => {}
            }
        }
    }

    /// Takes the window of the newest segment (RFC 9293, 3.10.7.4).
    fn update_window(&mut self, segment: &Segment<'_>) {
        let (seq, ack) = self.peer_window_of;
        // Also what acknowledges more, though it is sent again and so has an older number: the window is counted from what
        // is acknowledged.
        let newer = segment.seq.is_after(seq)
            || segment.seq == seq && !segment.ack.is_before(ack)
            || segment.ack.is_after(self.una);
        if newer && !segment.ack.is_before(self.una) {
            self.peer_window = u32::from(segment.window) << self.peer_scale;
            self.peer_window_most = self.peer_window_most.max(self.peer_window);
            self.peer_window_of = (segment.seq, segment.ack);
        }
    }

    fn receive_data(&mut self, segment: &Segment<'_>, pool: &mut Pool, now: Micros) -> Verdict {
        let open = matches!(
            self.state,
            State::Established | State::FinWait1 | State::FinWait2
        );
        if !open {
            // Behind the peer's end comes nothing; its end may have to be acknowledged again.
            if segment.length() > 0 {
                self.ack_due = true;
                if self.state == State::TimeWait {
                    self.over_at = Some(now + self.settings.time_wait);
                }
            }
            return Verdict::Taken;
        }
        let (mut seq, mut data) = (segment.seq, segment.data);
        let mut ends = segment.flags.has(Flags::FIN);
        if seq.is_before(self.expected) {
            let known = self.expected.since(seq) as usize;
            data = data.get(known..).unwrap_or_default();
            seq = self.expected;
        }
        let room = self.edge.since(seq) as usize;
        if data.len() > room {
            data = &data[..room];
            ends = false;
        }
        let mut verdict = Verdict::Taken;
        if !data.is_empty() && !self.take(seq, data, pool, now) {
            self.ack_due = true;
            ends = false;
            verdict = Verdict::NoMemory;
        }
        if ends {
            let end = seq.plus(data.len() as u32);
            // An end in front of what has arrived is a lie.
            let lie = self.behind.end().is_some_and(|last| last.is_after(end));
            if !lie {
                self.end.get_or_insert(end);
            }
        }
        if self.end == Some(self.expected) {
            self.receive_end(pool, now);
        }
        verdict
    }

    /// Takes data that are within the window. Returns whether there was memory.
    fn take(&mut self, seq: Seq, data: &[u8], pool: &mut Pool, now: Micros) -> bool {
        let end = seq.plus(data.len() as u32);
        // Nothing comes behind the peer's end.
        if self.end.is_some_and(|last| end.is_after(last)) {
            return true;
        }
        let at = self.input.len() + seq.since(self.expected) as usize;
        if seq != self.expected {
            // Told at once, so that the peer fills the gap (RFC 5681, 4.2).
            self.ack_due = true;
            self.newest = seq;
            return self.input.write_at(pool, at, data) && self.behind.add(seq, end);
        }
        if !self.input.write_at(pool, at, data) {
            return false;
        }
        let mut reached = end;
        if !self.behind.is_empty() {
            self.ack_due = true;
            if let Some(more) = self.behind.advance(end) {
                reached = more;
                self.behind.advance(more);
            }
        }
        let bytes = reached.since(self.expected);
        self.input.extend(bytes as usize);
        self.expected = reached;
        self.edge = self.edge.max(reached);
        self.events.readable = true;
        // At least every second full segment is acknowledged (RFC 9293, 3.8.6.3), and what a device has put together at
        // once.
        self.unacknowledged += bytes;
        if self.unacknowledged >= 2 * u32::from(self.mss) {
            self.ack_due = true;
        } else {
            self.ack_at.get_or_insert(now + self.settings.ack_delay);
        }
        true
    }

    fn receive_end(&mut self, pool: &mut Pool, now: Micros) {
        self.expected = self.expected.plus(1);
        self.edge = self.edge.max(self.expected);
        (self.ended, self.end) = (true, None);
        self.ack_due = true;
        self.events.readable = true;
        match self.state {
            State::Established => self.state = State::CloseWait,
            State::FinWait1 => self.state = State::Closing,
            State::FinWait2 => self.enter_time_wait(pool, now),
            _ => {}
        }
    }

    fn enter_time_wait(&mut self, pool: &mut Pool, now: Micros) {
        self.state = State::TimeWait;
        self.over_at = Some(now + self.settings.time_wait);
        (self.resend_at, self.probe_at) = (None, None);
        self.output.clear(pool);
    }
}
