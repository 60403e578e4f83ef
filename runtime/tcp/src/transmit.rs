//! What a connection sends, and when it is to be asked again.

use crate::connection::{Connection, State};
use crate::pool::Pool;
use crate::recovery::Phase;
use crate::segment::{Flags, Header, Options};
use crate::{Micros, Seq};

/// A segment that is to be sent, and what is remembered of it once it was.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// The header.
    pub header: Header,
    /// Bytes of data.
    pub length: usize,
    /// Bytes of data of each segment that they are to be cut into, but the last.
    pub mss: u16,
    /// Where they are in what waits to be acknowledged.
    offset: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Reset,
    /// Takes numbers: SYN, data, FIN.
    Next,
    /// The same, of what was lost.
    Again,
    /// Asks the peer for a sign of life, or for its window.
    Probe,
    Ack,
}

/// How many segments went out that have data, a SYN or a FIN that had been sent before, as RFC 4898 counts them
/// (tcpEStatsPerfSegsRetrans), and why they did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retransmission {
    /// Nothing was acknowledged in time (RFC 6298, 5).
    Timeout(u32),
    /// The peer told of a gap, by ranges or by acknowledging the same again (RFC 6675, RFC 6582), or had no answer to
    /// its SYN yet.
    Recovery(u32),
}

impl Connection {
    /// Returns the segment that is to be sent now, if any. Nothing changes but by time until [`Self::sent`] says that it
    /// was sent; a caller that has no room asks again later.
    ///
    /// With up to `large` bytes of data it may be several at once, for a card that cuts them ([`Outgoing::mss`]); with 0 it
    /// is one.
    pub fn poll(&mut self, pool: &mut Pool, now: Micros, large: u32) -> Option<Outgoing> {
        self.pass_time(pool, now);
        if self.reset_due {
            let flags = Flags::RST.and(Flags::ACK);
            return Some(self.outgoing(Kind::Reset, self.top, flags, (0, 0)));
        }
        match self.state {
            State::Closed => return None,
            State::SynSent | State::SynReceived => {
                if self.nxt == self.first {
                    return Some(self.syn());
                }
            }
            State::TimeWait => {}
            _ => {
                if let Some(outgoing) = self.next_data(large) {
                    return Some(outgoing);
                }
            }
        }
        // Before a probe, whose number is an old one, so that what it acknowledges is not looked at.
        if self.state != State::SynSent && (self.ack_due || self.window_has_opened()) {
            // A peer that has made its window smaller takes nothing from behind it, and be it an acknowledgement.
            let seq = self.top.min(self.una.plus(self.peer_window));
            return Some(self.outgoing(Kind::Ack, seq, Flags::ACK, (0, 0)));
        }
        if self.probe_due {
            return Some(self.outgoing(
                Kind::Probe,
                Seq(self.una.0.wrapping_sub(1)),
                Flags::ACK,
                (0, 0),
            ));
        }
        self.watch_window(now);
        None
    }

    /// Copies the data of a segment, as many bytes as it has.
    pub fn copy_data(&self, outgoing: &Outgoing, out: &mut [u8]) {
        self.output
            .copy(outgoing.offset, &mut out[..outgoing.length]);
    }

    /// A segment that [`Self::poll`] returned was sent. Returns what of it was sent again.
    pub fn sent(&mut self, outgoing: &Outgoing, now: Micros) -> Option<Retransmission> {
        let mut again = None;
        let Outgoing {
            header,
            length,
            kind,
            ..
        } = outgoing;
        match kind {
            Kind::Reset => {
                self.reset_due = false;
                return None;
            }
            Kind::Probe => {
                self.probe_due = false;
                self.asked_at = now;
            }
            Kind::Ack => {}
            Kind::Next | Kind::Again => {
                let one = |flag| u32::from(header.flags.has(flag));
                let taken = *length as u32 + one(Flags::SYN) + one(Flags::FIN);
                let end = header.seq.plus(taken);
                if header.flags.has(Flags::FIN) {
                    self.fin = Some(Seq(end.0.wrapping_sub(1)));
                }
                if self.una == self.top {
                    if now.saturating_sub(self.silent_since) > self.rtt.timeout() {
                        self.congestion.idled(self.mss.into());
                    }
                    self.silent_since = now;
                }
                if header.seq.is_before(self.top) {
                    again = Some(self.retransmission(outgoing));
                } else if self.timed.is_none() {
                    // What was sent once only is timed (RFC 6298, 3).
                    self.timed = Some((end, now));
                }
                self.top = self.top.max(end);
                match kind {
                    Kind::Again => self.sent_again(end),
                    _ => self.nxt = end,
                }
                self.nxt = self.nxt.max(self.una);
                self.resend_at.get_or_insert(now + self.rtt.timeout());
            }
        }
        if header.flags.has(Flags::ACK) {
            self.edge = self.edge.max(self.next_edge());
            self.ack_due = false;
            self.ack_at = None;
            self.unacknowledged = 0;
        }
        again
    }

    /// What of a segment that begins with an old number was sent before.
    fn retransmission(&self, outgoing: &Outgoing) -> Retransmission {
        let old = self.top.since(outgoing.header.seq);
        let old = old.min(outgoing.length as u32);
        // A SYN or a FIN alone has no data.
        let segments = old.div_ceil(outgoing.mss.into()).max(1);
        let asked = self.state == State::SynReceived && self.rtt.unanswered == 0;
        match outgoing.kind {
            Kind::Next if !asked => Retransmission::Timeout(segments),
            _ => Retransmission::Recovery(segments),
        }
    }

    /// Returns whether everything that was written is on its way and nothing else is due: [`Self::poll`] has nothing
    /// before time passes, or the peer or the app does something. False where it takes longer to tell.
    pub fn is_settled(&self) -> bool {
        self.state == State::Established
            && self.ack_at.is_none()
            && !(self.ack_due || self.probe_due || self.reset_due)
            && self.nxt == self.top
            && self.nxt == self.data_end()
            && self.recovery.phase == Phase::None
            && self.probe_at.is_none()
            && !self.window_has_opened()
    }

    /// Returns when to ask again if nothing happens before.
    pub fn poll_at(&self) -> Option<Micros> {
        let timers = [self.resend_at, self.probe_at, self.ack_at, self.over_at];
        let timers = timers.into_iter().flatten();
        timers
            .chain(self.patience())
            .chain(self.keep_alive_at())
            .min()
    }

    /// When the peer has been silent for too long.
    fn patience(&self) -> Option<Micros> {
        let settings = &self.settings;
        let owes = self.una != self.top;
        let limit = match self.state {
            State::Closed | State::SynSent | State::SynReceived | State::TimeWait => return None,
            State::FinWait1 | State::Closing | State::LastAck => settings.user_timeout,
            _ if owes || !self.output.is_empty() => settings.user_timeout,
            _ => settings.idle_timeout,
        };
        Some(self.silent_since.saturating_add(limit))
    }

    /// When the peer is to be asked for a sign of life.
    fn keep_alive_at(&self) -> Option<Micros> {
        let idle = matches!(
            self.state,
            State::Established | State::CloseWait | State::FinWait2
        ) && self.una == self.top
            && !self.probe_due;
        idle.then(|| {
            let last = self.silent_since.max(self.asked_at);
            last.saturating_add(self.settings.keep_alive)
        })
    }

    /// What is due by now is noted.
    fn pass_time(&mut self, pool: &mut Pool, now: Micros) {
        let due = |at: Option<Micros>| at.is_some_and(|at| at <= now);
        if due(self.over_at) {
            return self.end(pool);
        }
        if due(self.patience()) {
            self.timed_out = true;
            return self.abort(pool);
        }
        if due(self.resend_at) {
            if self.una == self.top {
                self.resend_at = None;
            } else {
                self.time_out(now);
            }
        }
        if due(self.probe_at) {
            self.probe_at = None;
            self.probe_due = true;
            self.rtt.back_off();
        }
        if due(self.keep_alive_at()) {
            self.probe_due = true;
        }
        if due(self.ack_at) {
            self.ack_at = None;
            self.ack_due = true;
        }
    }

    fn syn(&self) -> Outgoing {
        let answers = self.state == State::SynReceived;
        let flags = match answers {
            true => Flags::SYN.and(Flags::ACK),
            false => Flags::SYN,
        };
        // An answer has what was asked for. Windows that are not shifted say so by a shift of zero.
        let scaled = !answers || self.scale > 0 || self.peer_scale > 0;
        let options = Options {
            mss: Some(self.settings.mss),
            scale: scaled.then(|| self.wanted_scale()),
            sack_permitted: !answers || self.peer_takes_sack,
            ..Options::default()
        };
        let mut outgoing = self.outgoing(Kind::Next, self.first, flags, (0, 0));
        outgoing.header.options = options;
        // Not shifted in this segment (RFC 7323, 2.2).
        outgoing.header.window = self.settings.receive.min(65_535) as u16;
        outgoing
    }

    /// Data or the end, of what was lost or what comes next.
    fn next_data(&self, large: u32) -> Option<Outgoing> {
        let room = self.congestion.window.saturating_sub(self.flight());
        // Options are at the expense of data (RFC 6691, 3).
        let ranges = self.ranges_to_tell();
        let mss = u32::from(self.mss) - Options::of_ranges(ranges).length() as u32;
        if let Some((from, to)) = self.lost()
            && (room >= mss || self.flight() == 0 || from == self.una)
        {
            return Some(self.data(Kind::Again, from, to.since(from).min(mss)));
        }
        let (from, to) = self.skip();
        let end = self.data_end();
        if from.is_after(end) {
            return None;
        }
        let left = to.unwrap_or(end).min(end).since(from);
        let edge = self.una.plus(self.peer_window);
        let open = if from.is_before(edge) {
            edge.since(from)
        } else {
            0
        };
        let fits = left.min(open).min(large).min(room);
        let whole = if fits == left { left } else { fits / mss * mss };
        if whole > mss {
            return Some(self.data(Kind::Next, from, whole));
        }
        let length = left.min(mss).min(open);
        if length == 0 {
            // Only the end is left, and no window keeps it back.
            let alone = self.closing && from == end && (self.fin.is_none() || self.nxt != self.top);
            return alone.then(|| self.data(Kind::Next, from, 0));
        }
        // No small pieces because a window opens by small pieces (RFC 9293, 3.8.6.2.1).
        let worth = length == mss || length == left || length >= self.peer_window_most / 2;
        (worth && (length <= room || self.flight() == 0))
            .then(|| self.data(Kind::Next, from, length))
    }

    fn data(&self, kind: Kind, from: Seq, length: u32) -> Outgoing {
        let before_end = self.data_end().since(from);
        let length = length.min(before_end);
        let offset = from.since(self.una) as usize;
        let flags = self.flags_of(from.plus(length));
        self.outgoing(kind, from, flags, (offset, length as usize))
    }

    fn outgoing(
        &self,
        kind: Kind,
        seq: Seq,
        flags: Flags,
        (offset, length): (usize, usize),
    ) -> Outgoing {
        let window = self.next_edge().since(self.expected) >> self.scale;
        let options = Options::of_ranges(self.ranges_to_tell());
        Outgoing {
            mss: self.mss - options.length() as u16,
            header: Header {
                seq,
                ack: if flags.has(Flags::ACK) {
                    self.expected
                } else {
                    Seq(0)
                },
                flags,
                window: window.min(65_535) as u16,
                options,
            },
            length,
            offset,
            kind,
        }
    }

    /// Up to where the peer may send, if it is told now. What was promised stays; small steps are not worth telling (RFC
    /// 9293, 3.8.6.2.2).
    fn next_edge(&self) -> Seq {
        let free = (self.settings.receive as usize).saturating_sub(self.input.len());
        let most = 65_535 << self.scale;
        let edge = self.expected.plus((free as u32).min(most));
        let step = u32::from(self.mss).min(self.settings.receive / 2);
        match edge.is_after(self.edge) && edge.since(self.edge) >= step {
            true => edge,
            false => self.edge,
        }
    }

    /// Returns whether the window has grown so much that the peer is told without being asked.
    fn window_has_opened(&self) -> bool {
        let limit = self.settings.receive;
        let step = (2 * u32::from(self.mss)).max(limit / 4).min(limit / 2);
        let next = self.next_edge();
        let open = !self.ended && self.state != State::TimeWait;
        open && next != self.edge && next.since(self.edge) >= step
    }

    /// Something waits that the peer's window keeps back, and nothing on its way will tell of a larger one: it is asked
    /// (RFC 9293, 3.8.6.1).
    fn watch_window(&mut self, now: Micros) {
        let waits = !self.output.is_empty() && self.una == self.top;
        if !waits {
            self.probe_at = None;
        } else if self.probe_at.is_none() && !self.probe_due {
            self.probe_at = Some(now + self.rtt.timeout());
        }
    }
}
