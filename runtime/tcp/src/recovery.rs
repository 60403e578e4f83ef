//! What is acknowledged, what is lost, and what is done about it (RFC 5681, RFC 6582, RFC 6675).

use crate::connection::{Connection, State};
use crate::pool::Pool;
use crate::ranges::Ranges;
use crate::segment::{Flags, Segment};
use crate::{Micros, Seq};

/// So many acknowledgements of the same number, or so many segments behind a gap, say that something was lost.
const REPEATS: u32 = 3;

/// How the sender comes back from a loss.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Nothing is known to be lost.
    #[default]
    None,
    /// What is lost is sent again while the rest goes on, until this number is acknowledged.
    Fast(Seq),
    /// Nothing came back in time: everything that the peer does not have is sent again, until this number.
    Timeout(Seq),
}

/// What is known of losses.
#[derive(Default)]
pub(crate) struct Recovery {
    pub(crate) phase: Phase,
    /// What the peer says that it has behind gaps.
    pub(crate) there: Ranges,
    /// How often in a row the same was acknowledged.
    repeats: u32,
    /// Gaps before this have been filled again.
    filled: Seq,
}

impl Connection {
    /// Notes what the peer has behind gaps. Returns whether something of it is new.
    pub(crate) fn note_ranges(&mut self, segment: &Segment<'_>) -> bool {
        if !self.peer_takes_sack {
            return false;
        }
        let before = self.recovery.there.bytes_before(self.top);
        for (from, to) in segment.options.sack.iter().flatten().copied() {
            let sane = from.is_before(to) && from.is_after(self.una) && !to.is_after(self.top);
            if sane && !from.is_before(segment.ack) {
                self.recovery.there.add(from, to);
            }
        }
        self.recovery.there.bytes_before(self.top) != before
    }

    /// Takes an acknowledgement of something new.
    pub(crate) fn acknowledged(&mut self, ack: Seq, pool: &mut Pool, now: Micros) {
        let in_use = self.flight() * 2 >= self.congestion.window;
        let mut data = ack.since(self.una);
        let syn = self.una == self.first;
        if syn {
            data -= 1;
        }
        self.una = ack;
        if self.fin_is_acknowledged() {
            data = data.saturating_sub(1);
        }
        self.output.discard(pool, data as usize);
        self.events.writable |= data > 0;
        self.nxt = self.nxt.max(ack);
        self.recovery.there.advance(ack);
        self.recovery.repeats = 0;
        if let Some((seq, since)) = self.timed
            && !ack.is_before(seq)
        {
            self.rtt.sample(now.saturating_sub(since));
            self.timed = None;
        }
        self.rtt.unanswered = 0;
        self.resend_at = (self.una != self.top).then(|| now + self.rtt.timeout());

        match self.recovery.phase {
            Phase::Fast(until) | Phase::Timeout(until) if !ack.is_before(until) => {
                self.recovery.phase = Phase::None;
            }
            // Without ranges the next gap is known only now (RFC 6582, 3.2).
            Phase::Fast(_) if self.recovery.there.is_empty() => self.recovery.filled = ack,
            _ => {}
        }
        if !matches!(self.recovery.phase, Phase::Fast(_)) && in_use && !syn {
            self.congestion.acknowledged(data, self.mss.into(), now);
        }
        self.look_for_losses();
    }

    /// Takes an acknowledgement of what was acknowledged before; `plain` for one that says nothing else, `news` for one
    /// that tells of more behind a gap.
    pub(crate) fn repeated(&mut self, plain: bool, news: bool) {
        if self.una == self.top {
            return;
        }
        if news || plain && !self.peer_takes_sack {
            self.recovery.repeats += 1;
        }
        self.look_for_losses();
    }

    fn look_for_losses(&mut self) {
        if self.recovery.phase != Phase::None {
            return;
        }
        let behind = self.recovery.there.bytes_before(self.top);
        let enough = REPEATS * u32::from(self.mss);
        if self.recovery.repeats >= REPEATS || behind >= enough {
            self.congestion
                .lost(self.top.since(self.una), self.mss.into());
            self.recovery.phase = Phase::Fast(self.top);
            self.recovery.filled = self.una;
            self.timed = None;
        }
    }

    /// Nothing was acknowledged in time (RFC 6298, 5).
    pub(crate) fn time_out(&mut self, now: Micros) {
        self.rtt.back_off();
        self.resend_at = Some(now + self.rtt.timeout());
        self.timed = None;
        self.nxt = self.una;
        if matches!(self.state, State::SynSent | State::SynReceived) {
            return;
        }
        // Only the first timeout of a row says something new of the network.
        if self.rtt.unanswered == 1 {
            let flight = self.top.since(self.una);
            self.congestion.timed_out(flight, self.mss.into());
        } else {
            self.congestion.window = self.mss.into();
            // The peer may have thrown away what it said that it has (RFC 2018, 8).
            self.recovery.there.clear();
        }
        self.recovery.phase = Phase::Timeout(self.top);
        self.recovery.repeats = 0;
    }

    /// Bytes that are on their way, as far as is known.
    pub(crate) fn flight(&self) -> u32 {
        let Recovery {
            phase,
            there,
            repeats,
            filled,
        } = &self.recovery;
        match (phase, there.end()) {
            (Phase::Fast(_), Some(end)) => {
                let again = filled.max(self.una).since(self.una);
                let again = again.saturating_sub(there.bytes_before(filled.max(self.una)));
                again + self.top.max(end).since(end)
            }
            (Phase::Fast(_), None) => {
                let gone = repeats.saturating_mul(self.mss.into());
                self.top.since(self.una).saturating_sub(gone)
            }
            _ => {
                let sent = self.nxt.since(self.una);
                sent.saturating_sub(there.bytes_before(self.nxt))
            }
        }
    }

    /// Returns what is known to be lost and was not sent again: from where up to where.
    pub(crate) fn lost(&self) -> Option<(Seq, Seq)> {
        let Phase::Fast(_) = self.recovery.phase else {
            return None;
        };
        let from = self.recovery.filled.max(self.una);
        if self.recovery.there.is_empty() {
            let one = self.una.plus(self.mss.into()).min(self.top);
            return (from == self.una).then_some((from, one));
        }
        // Up to the next range: behind the last one nothing is known to be lost.
        let (from, to) = self.recovery.there.gap(from);
        to.map(|to| (from, to))
    }

    /// What was lost up to here is on its way again.
    pub(crate) fn sent_again(&mut self, up_to: Seq) {
        self.recovery.filled = up_to;
    }

    /// After a timeout: skips what the peer has. Returns up to where there is something to send again.
    pub(crate) fn skip(&self) -> (Seq, Option<Seq>) {
        match self.recovery.phase {
            Phase::Timeout(_) => self.recovery.there.gap(self.nxt),
            _ => (self.nxt, None),
        }
    }

    /// What goes into an acknowledgement about what is behind gaps, the newest first (RFC 2018, 4).
    pub(crate) fn ranges_to_tell(&self) -> [Option<(Seq, Seq)>; crate::segment::SACK_RANGES] {
        let mut told = [None; crate::segment::SACK_RANGES];
        if !self.peer_takes_sack || self.behind.is_empty() {
            return told;
        }
        let newest = self.newest;
        let is_newest =
            |range: &(Seq, Seq)| !newest.is_before(range.0) && newest.is_before(range.1);
        let first = self.behind.iter().find(is_newest);
        let others = self.behind.iter().filter(|range| !is_newest(range));
        for (place, range) in told.iter_mut().zip(first.into_iter().chain(others)) {
            *place = Some(range);
        }
        told
    }

    /// The flags that a segment with data up to `end` has.
    pub(crate) fn flags_of(&self, end: Seq) -> Flags {
        let last = end == self.data_end();
        match (last, last && self.closing) {
            (_, true) => Flags::ACK.and(Flags::PSH).and(Flags::FIN),
            (true, _) => Flags::ACK.and(Flags::PSH),
            _ => Flags::ACK,
        }
    }
}
