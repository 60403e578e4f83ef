//! A connection: what it consists of, and what the program that holds it can do with it.

use crate::congestion::Congestion;
use crate::pool::Pool;
use crate::ranges::Ranges;
use crate::recovery::Recovery;
use crate::rtt::Rtt;
use crate::segment::Segment;
use crate::stream::Stream;
use crate::{Micros, Seq};

/// Bytes of a segment that every host takes, without and with IPv6 (RFC 9293, 3.7.1).
const DEFAULT_MSS: u16 = 536;
/// Less than this is no use and only makes work.
const LEAST_MSS: u16 = 64;

/// The states of RFC 9293, 3.3.2, without LISTEN, which is not one of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// There is none, or not any more.
    Closed,
    /// Has asked for one.
    SynSent,
    /// Has been asked for one, and has answered.
    SynReceived,
    /// Both directions are open.
    Established,
    /// This side has closed; its end is not acknowledged yet.
    FinWait1,
    /// This side has closed.
    FinWait2,
    /// The peer has closed.
    CloseWait,
    /// Both have closed at the same time; this side's end is not acknowledged yet.
    Closing,
    /// Both have closed, the peer first; this side's end is not acknowledged yet.
    LastAck,
    /// Over; what is still on its way is waited for.
    TimeWait,
}

/// What connections are told when they are made.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes of data that fit into one packet.
    pub mss: u16,
    /// Bytes that may wait to be read: the largest window.
    pub receive: u32,
    /// Bytes that may wait to be acknowledged.
    pub send: u32,
    /// How long a peer may be silent that owes an acknowledgement.
    pub user_timeout: Micros,
    /// After how long a silence an idle peer is asked for a sign of life.
    pub keep_alive: Micros,
    /// How long an idle peer may be silent.
    pub idle_timeout: Micros,
    /// How long an acknowledgement waits for data to go with (RFC 9293, 3.8.6.3: less than 500 ms).
    pub ack_delay: Micros,
    /// How long TIME-WAIT lasts.
    pub time_wait: Micros,
}

/// What has changed for whoever reads or writes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Events {
    /// There is something to read, or there never will be.
    pub readable: bool,
    /// There is room to write, or there never will be.
    pub writable: bool,
}

/// A TCP connection.
pub struct Connection {
    pub(crate) state: State,
    pub(crate) settings: Settings,
    pub(crate) events: Events,

    /// The number of the own SYN.
    pub(crate) first: Seq,
    /// The oldest number that is not acknowledged.
    pub(crate) una: Seq,
    /// The next to send.
    pub(crate) nxt: Seq,
    /// Behind the highest that was ever sent.
    pub(crate) top: Seq,
    /// What the peer takes beyond `una`, in bytes; the most it ever took; and of which segment that is known.
    pub(crate) peer_window: u32,
    pub(crate) peer_window_most: u32,
    pub(crate) peer_window_of: (Seq, Seq),
    /// By how many bits the peer's windows are shifted.
    pub(crate) peer_scale: u8,
    /// Bytes of data in a segment to the peer.
    pub(crate) mss: u16,
    pub(crate) peer_takes_sack: bool,
    /// Data from `una` on.
    pub(crate) output: Stream,
    /// Nothing comes after `output`.
    pub(crate) closing: bool,
    /// The number of the own FIN, once it was sent.
    pub(crate) fin: Option<Seq>,
    pub(crate) reset_due: bool,

    /// The next number to arrive.
    pub(crate) expected: Seq,
    /// Up to where the peer was told that it may send.
    pub(crate) edge: Seq,
    /// By how many bits own windows are shifted.
    pub(crate) scale: u8,
    /// What arrived and was not read.
    pub(crate) input: Stream,
    /// What of it arrived behind a gap; and the beginning of the newest.
    pub(crate) behind: Ranges,
    pub(crate) newest: Seq,
    /// The number of the peer's FIN.
    pub(crate) end: Option<Seq>,
    /// The FIN has come, and everything before it.
    pub(crate) ended: bool,
    /// Bytes that were not acknowledged yet.
    pub(crate) unacknowledged: u32,
    pub(crate) ack_due: bool,

    pub(crate) congestion: Congestion,
    pub(crate) recovery: Recovery,
    pub(crate) rtt: Rtt,
    /// The number whose acknowledgement is timed, and when it was sent.
    pub(crate) timed: Option<(Seq, Micros)>,

    /// When to send again what was not acknowledged.
    pub(crate) resend_at: Option<Micros>,
    /// When to ask whether the peer's window is still closed.
    pub(crate) probe_at: Option<Micros>,
    pub(crate) probe_due: bool,
    /// When an acknowledgement has waited long enough.
    pub(crate) ack_at: Option<Micros>,
    pub(crate) over_at: Option<Micros>,
    /// Since when the peer is silent, and when it was last asked for a sign of life.
    pub(crate) silent_since: Micros,
    pub(crate) asked_at: Micros,
    /// When something out of order was last answered.
    pub(crate) challenged_at: Option<Micros>,
    /// It ended because the peer was silent for too long.
    pub(crate) timed_out: bool,
}

impl Connection {
    fn new(state: State, settings: Settings, first: Seq, now: Micros) -> Connection {
        let mss = settings.mss.max(LEAST_MSS);
        Connection {
            state,
            settings: Settings { mss, ..settings },
            events: Events::default(),
            first,
            una: first,
            nxt: first,
            top: first,
            peer_window: 0,
            peer_window_most: 0,
            peer_window_of: (Seq(0), Seq(0)),
            peer_scale: 0,
            mss: mss.min(DEFAULT_MSS),
            peer_takes_sack: false,
            output: Stream::default(),
            closing: false,
            fin: None,
            reset_due: false,
            expected: Seq(0),
            edge: Seq(0),
            scale: 0,
            input: Stream::default(),
            behind: Ranges::default(),
            newest: Seq(0),
            end: None,
            ended: false,
            unacknowledged: 0,
            ack_due: false,
            congestion: Congestion::new(mss.min(DEFAULT_MSS).into()),
            recovery: Recovery::default(),
            rtt: Rtt::new(),
            timed: None,
            resend_at: None,
            probe_at: None,
            probe_due: false,
            ack_at: None,
            over_at: None,
            silent_since: now,
            asked_at: now,
            challenged_at: None,
            timed_out: false,
        }
    }

    /// Asks for a connection; `first` is the number of its SYN, which nobody should be able to guess.
    pub fn connect(settings: Settings, first: Seq, now: Micros) -> Connection {
        Connection::new(State::SynSent, settings, first, now)
    }

    /// Answers the SYN that asks for a connection.
    pub fn accept(settings: Settings, first: Seq, syn: &Segment<'_>, now: Micros) -> Connection {
        let mut connection = Connection::new(State::SynReceived, settings, first, now);
        connection.meet(syn);
        connection
    }

    /// Takes from the peer's SYN what is true of the whole connection.
    pub(crate) fn meet(&mut self, syn: &Segment<'_>) {
        self.expected = syn.seq.plus(1);
        self.edge = self.expected;
        let mss = syn.options.mss.unwrap_or(DEFAULT_MSS);
        self.mss = mss.clamp(LEAST_MSS, self.settings.mss);
        self.congestion = Congestion::new(self.mss.into());
        self.peer_takes_sack = syn.options.sack_permitted;
        // Windows are shifted where both want it (RFC 7323, 2.2).
        if let Some(scale) = syn.options.scale {
            self.peer_scale = scale;
            self.scale = self.wanted_scale();
        }
        // In a SYN the window is not (RFC 7323, 2.2).
        self.peer_window = syn.window.into();
        self.peer_window_most = self.peer_window;
        self.peer_window_of = (syn.seq, syn.ack);
    }

    /// The least shift by which the largest own window can be told.
    pub(crate) fn wanted_scale(&self) -> u8 {
        let bits = u32::BITS - self.settings.receive.leading_zeros();
        bits.saturating_sub(16).min(14) as u8
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// What has changed since this was last asked.
    pub fn take_events(&mut self) -> Events {
        core::mem::take(&mut self.events)
    }

    /// Returns whether it is closed and not even a reset is left to send.
    pub fn is_gone(&self) -> bool {
        self.state == State::Closed && !self.reset_due
    }

    /// Returns whether it ended because the peer was silent for too long.
    pub fn has_timed_out(&self) -> bool {
        self.timed_out
    }

    /// How many bytes can be read.
    pub fn readable(&self) -> usize {
        self.input.len()
    }

    /// Returns whether everything that the peer had to say was read.
    pub fn is_finished(&self) -> bool {
        self.ended && self.input.is_empty()
    }

    /// Returns whether something may still come.
    pub fn may_receive(&self) -> bool {
        let open = matches!(
            self.state,
            State::SynSent
                | State::SynReceived
                | State::Established
                | State::FinWait1
                | State::FinWait2
        );
        open || !self.input.is_empty()
    }

    /// Returns whether something may still be written.
    pub fn may_send(&self) -> bool {
        !self.closing && matches!(self.state, State::Established | State::CloseWait)
    }

    /// How many bytes were written and are not acknowledged.
    pub fn queued(&self) -> usize {
        self.output.len()
    }

    /// How many bytes may be written now.
    pub fn room(&self) -> usize {
        (self.settings.send as usize).saturating_sub(self.output.len())
    }

    /// How many bytes may wait to be acknowledged.
    pub fn send_capacity(&self) -> usize {
        self.settings.send as usize
    }

    /// How many bytes may wait to be read.
    pub fn receive_capacity(&self) -> usize {
        self.settings.receive as usize
    }

    /// Takes what has arrived, as much as there is and `out` has room for; returns how many bytes that is.
    pub fn read(&mut self, pool: &mut Pool, out: &mut [u8]) -> usize {
        self.input.pop(pool, out)
    }

    /// Throws away what has arrived; returns how many bytes that was.
    pub fn discard(&mut self, pool: &mut Pool) -> usize {
        let bytes = self.input.len();
        self.input.discard(pool, bytes);
        bytes
    }

    /// Takes data to send, as much as there is room and memory for; returns how many bytes that is.
    pub fn write(&mut self, pool: &mut Pool, data: &[u8]) -> usize {
        if !self.may_send() {
            return 0;
        }
        let count = self.room().min(data.len());
        self.output.push(pool, &data[..count])
    }

    /// Nothing more will be written; the peer is told after what was.
    pub fn close(&mut self) {
        self.state = match self.state {
            State::SynSent => {
                self.events = Events {
                    readable: true,
                    writable: true,
                };
                State::Closed
            }
            // The own SYN comes first, and its acknowledgement.
            State::SynReceived => State::SynReceived,
            State::Established => State::FinWait1,
            State::CloseWait => State::LastAck,
            same => return self.state = same,
        };
        self.closing = true;
    }

    /// Ends it at once, and tells the peer if it knows of the connection.
    pub fn abort(&mut self, pool: &mut Pool) {
        self.reset_due |= !matches!(self.state, State::Closed | State::SynSent | State::TimeWait);
        self.end(pool);
    }

    /// Ends it without a word: the address that it was made from is not ours any more.
    pub fn abandon(&mut self, pool: &mut Pool) {
        self.reset_due = false;
        self.end(pool);
    }

    /// Returns whether the peer has just said something that belongs to this connection.
    pub fn is_heard(&self, now: Micros) -> bool {
        self.silent_since == now
    }

    /// How many times in a row nothing was acknowledged in time.
    pub fn unanswered(&self) -> u8 {
        self.rtt.unanswered
    }

    /// Ends it without a word.
    pub(crate) fn end(&mut self, pool: &mut Pool) {
        self.state = State::Closed;
        self.events = Events {
            readable: true,
            writable: true,
        };
        self.output.clear(pool);
        self.recovery = Recovery::default();
        self.behind.clear();
        (self.resend_at, self.probe_at, self.ack_at, self.over_at) = (None, None, None, None);
        (self.probe_due, self.ack_due) = (false, false);
    }

    /// Gives all memory back, when the connection is forgotten.
    pub fn release(mut self, pool: &mut Pool) {
        self.output.clear(pool);
        self.input.clear(pool);
    }

    /// The number behind the last byte that was written.
    pub(crate) fn data_end(&self) -> Seq {
        let una = self.una.max(self.first.plus(1));
        una.plus(self.output.len() as u32)
    }

    /// Returns whether the own FIN was acknowledged.
    pub(crate) fn fin_is_acknowledged(&self) -> bool {
        self.fin.is_some_and(|fin| self.una.is_after(fin))
    }
}
