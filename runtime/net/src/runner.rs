//! The network task: frames in, frames out, timers; in bounded batches, so that neither direction
//! and no other task starves.

use core::convert::Infallible;
use core::future::poll_fn;
use core::net::Ipv4Addr;
use core::task::{Context, Poll};

use embassy_net_driver::{Driver, LinkState, RxToken, TxToken};
use landfall_offload::segmentation::SegmentationOffload;
use smoltcp::wire::IpAddress;

use crate::Stack;
use crate::clock::{self, Alarm, Duration, Instant};
use crate::connection::{Key, Work, key_time, neighbour_key, time_key};
use crate::demux::{self, Class, Drop, Host};
use crate::device::{Meter, OneFrame, Outlet};
use crate::stack::Inner;

/// Frames taken from the device before it is the turn of sending.
const FRAMES_IN: usize = 32;
/// Sockets asked and frames sent before it is the turn of receiving, together.
const STEPS_OUT: usize = 96;
/// Frames of one of smoltcp's sockets before it is the turn of the next.
const BURST: usize = 8;
/// How long memory is kept for bytes that may come.
const TRIM_EVERY: Duration = Duration::from_secs(1);
/// When to ask a socket again that wanted to send and did not. This should not happen; it keeps a
/// disagreement with smoltcp from taking the whole CPU.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The network task of a stack. Without it running, nothing moves.
pub struct Runner<D: SegmentationOffload> {
    stack: Stack,
    device: D,
    alarm: Alarm,
    link_up: Option<bool>,
}

impl<D: SegmentationOffload> Runner<D> {
    pub(crate) fn new(stack: Stack, device: D) -> Runner<D> {
        Runner {
            stack,
            device,
            alarm: Alarm::default(),
            link_up: None,
        }
    }

    /// Moves frames between the device and the sockets, for ever.
    pub async fn run(&mut self) -> ! {
        match poll_fn(|cx| self.poll(cx)).await {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Infallible> {
        let Runner {
            stack,
            device,
            alarm,
            link_up,
        } = self;
        stack.with(|inner| {
            if !inner
                .runner
                .as_ref()
                .is_some_and(|known| known.will_wake(cx.waker()))
            {
                inner.runner = Some(cx.waker().clone());
            }
            let now = clock::now();
            inner.watch_link(device.link_state(cx), link_up, now);
            inner.expire(now);
            inner.feed_the_starving();
            let up = *link_up == Some(true);
            if up {
                inner.announce(device, cx);
            }
            let more_out = inner.send(device, cx, now);
            if more_out {
                cx.waker().wake_by_ref();
            }
            let received = inner.receive(device, cx, now);
            // What was received may have to be answered.
            #[cfg(feature = "ipv6")]
            let soonest = up.then(|| inner.ipv6_poll(device, cx, now)).flatten();
            #[cfg(not(feature = "ipv6"))]
            let soonest = None;
            inner.trim_pool(now);
            // The device wakes this task when it has a frame or room; the rest is for us to ask.
            let rests = !received && !more_out;
            if rests && let Some(at) = soonest.into_iter().chain(inner.next_timer(now)).min() {
                if at <= now {
                    cx.waker().wake_by_ref();
                } else {
                    alarm.set(at, now, cx);
                }
            }
        });
        Poll::Pending
    }
}

impl Inner {
    fn watch_link(&mut self, state: LinkState, known: &mut Option<bool>, now: Instant) {
        let up = state == LinkState::Up;
        match known.replace(up) {
            Some(before) if before == up => {}
            // A card that still has to connect is no news; the missing address is.
            None => {
                if !up {
                    self.dhcp_pause();
                }
            }
            Some(true) => {
                landfall_log::warn!(target: self.config.name, "the network link is down");
                self.dhcp_pause();
            }
            Some(false) => {
                landfall_log::info!(target: self.config.name, "the network link is up");
                self.announcement_due = true;
                self.dhcp_restart(now);
                #[cfg(feature = "ipv6")]
                self.ipv6.restart();
            }
        }
    }

    /// Marks everything whose time has come.
    fn expire(&mut self, now: Instant) {
        let now = time_key(now);
        while let Some(&(at, work)) = self.timers.first() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            if let Some(schedule) = self.schedule(work) {
                schedule.timer = None;
                self.mark(work);
            }
        }
    }

    /// Lets those write again who found no memory, if there is some.
    fn feed_the_starving(&mut self) {
        if !self.starving.is_empty() && self.pool.has_some() {
            self.starving.wake_all();
        }
    }

    /// Now and then gives back what is kept and nobody uses.
    fn trim_pool(&mut self, now: Instant) {
        if self.trim_at.is_some_and(|at| at <= now) {
            self.pool.trim();
            self.trim_at = None;
        }
        if self.trim_at.is_none() && self.pool.spare_bytes() > 0 {
            self.trim_at = Some(now + TRIM_EVERY);
        }
    }

    /// Returns when there is something to do next.
    fn next_timer(&self, now: Instant) -> Option<Instant> {
        let first = self.timers.first().map(|&(at, _)| key_time(at));
        let starving = (!self.starving.is_empty()).then(|| now + LOOK_AGAIN);
        let others = starving.into_iter().chain(self.trim_at);
        first.into_iter().chain(others).min()
    }

    /// Takes a batch of frames from the device. Returns whether there were some; this task is woken then.
    ///
    /// It sends when it runs again, after the apps: an acknowledgement goes with what they answer, and no timer has to be
    /// set for it. Those that are woken last run first, so this task is woken before them.
    fn receive<D: Driver>(&mut self, device: &mut D, cx: &mut Context<'_>, now: Instant) -> bool {
        for number in 0..FRAMES_IN {
            let Some((frame, reply)) = device.receive(cx) else {
                return number > 0;
            };
            if number == 0 {
                cx.waker().wake_by_ref();
            }
            frame.consume(|frame| self.receive_frame(frame, reply, now));
        }
        true
    }

    fn receive_frame<T: TxToken>(&mut self, frame: &[u8], reply: T, now: Instant) {
        self.counters.frames_in += 1;
        self.counters.bytes_in += frame.len() as u64;
        let host = Host {
            hardware: self.hardware,
            address: self.address.as_ref(),
            dhcp: self.dhcp.is_some(),
            duty: self.duty,
            #[cfg(feature = "multicast")]
            interface: &self.interface,
            #[cfg(feature = "ipv6")]
            ipv6: &self.ipv6,
        };
        match demux::classify(frame, &host) {
            Ok(Class::Tcp(flow, start, end)) => {
                self.tcp_receive(flow, (start, end), frame, reply, now);
            }
            Ok(Class::Udp(port, length)) => self.udp_receive(port, length, frame, reply, now),
            Ok(Class::Arp) => {
                self.control_receive(frame, reply, now);
                // Who says it and by which hardware address (RFC 826).
                let said = frame.get(22..).and_then(|it| it.first_chunk::<10>());
                if let Some(&[a, b, c, d, e, f, w, x, y, z]) = said {
                    let sender = Ipv4Addr::new(w, x, y, z);
                    self.neighbour_spoke(sender.into(), [a, b, c, d, e, f]);
                }
            }
            #[cfg(feature = "ipv6")]
            Ok(Class::Neighbour) => {
                self.ipv6_watch(frame);
                self.control_receive(frame, reply, now);
                if let Some(sender) = demux::ipv6::address_at(frame, demux::ETHERNET_HEADER + 8) {
                    self.neighbour_spoke(sender.into(), demux::sender(frame));
                }
            }
            #[cfg(feature = "ipv6")]
            Ok(Class::Router) => self.ipv6_hear(frame, now),
            #[cfg(feature = "multicast")]
            Ok(Class::Membership) => {
                self.control_receive(frame, reply, now);
                self.report_groups_at_leisure(now);
            }
            Ok(Class::Dhcp) => {
                self.control_receive(frame, reply, now);
                self.mark(Work::Control);
            }
            Ok(Class::Icmp) => self.control_receive(frame, reply, now),
            Err(cause) => self.count_drop(cause),
        }
    }

    fn count_drop(&mut self, cause: Drop) {
        let counter = match cause {
            Drop::Malformed => &mut self.counters.dropped_malformed,
            Drop::Checksum => &mut self.counters.dropped_checksum,
            Drop::NotForUs => &mut self.counters.dropped_not_for_us,
            Drop::BadSource => &mut self.counters.dropped_bad_source,
            Drop::Fragment => &mut self.counters.dropped_fragment,
            Drop::Protocol => &mut self.counters.dropped_protocol,
        };
        *counter += 1;
    }

    /// Gives a frame to the control sockets: smoltcp answers ARP, ICMP and what has no socket.
    pub(crate) fn control_receive<T: TxToken>(&mut self, frame: &[u8], reply: T, now: Instant) {
        let mut device = OneFrame::new(frame, reply, &self.capabilities, self.duty);
        self.interface
            .poll_ingress_single(now, &mut device, &mut self.control.set);
        let meter = device.meter;
        self.count_sent(meter);
    }

    /// Counts what was sent.
    pub(crate) fn count_sent(&mut self, meter: Meter) {
        self.counters.frames_out += meter.frames;
        self.counters.bytes_out += meter.bytes;
    }

    /// After a neighbour told of its hardware address: whoever waited for it may try again. Those that
    /// wait for another stay asleep, so that noise on the wire wakes nobody.
    fn neighbour_spoke(&mut self, sender: IpAddress, hardware: [u8; 6]) {
        for neighbour in [Some(sender), None].map(neighbour_key) {
            while let Some(&(known, work)) = self.waiting.range((neighbour, Work::Control)..).next()
                && known == neighbour
            {
                self.waiting.remove(&(known, work));
                if let Some(schedule) = self.schedule(work) {
                    schedule.waits_for = None;
                }
                // A group's address is nobody's.
                if let Work::Tcp(id) = work
                    && hardware[0] & 1 == 0
                    && let Some(connection) = self.connections.get_mut(id)
                {
                    connection.hop = Some(hardware);
                }
                self.mark(work);
            }
        }
    }

    /// Asks the sockets that have something to do. Returns whether there is more.
    fn send<D: SegmentationOffload>(
        &mut self,
        device: &mut D,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> bool {
        let mut steps = 0;
        while let Some(work) = self.dirty.pop_front() {
            let Some(schedule) = self.schedule(work) else {
                continue;
            };
            schedule.dirty = false;
            let sent = match work {
                Work::Tcp(id) => {
                    self.tcp_before_send(id, now);
                    self.tcp_send(id, device, cx, now)
                }
                Work::Control | Work::Udp(_) => self.send_from(work, device, cx, now),
            };
            match sent {
                Sent::All(next) => self.after_send(work, next, now),
                Sent::Some(frames) => {
                    self.after_send(work, None, now);
                    self.mark(work);
                    steps += frames;
                }
                Sent::DeviceFull => {
                    self.counters.device_full += 1;
                    if let Work::Tcp(id) = work {
                        self.tcp_after_send(id, now);
                    }
                    // It keeps its turn; the device wakes this task when it has room.
                    if let Some(schedule) = self.schedule(work) {
                        schedule.dirty = true;
                        self.dirty.push_front(work);
                    }
                    return false;
                }
            }
            steps += 1;
            if steps >= STEPS_OUT {
                return !self.dirty.is_empty();
            }
        }
        false
    }

    fn send_from<D: Driver>(
        &mut self,
        work: Work,
        device: &mut D,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Sent {
        // The fields one by one, since the interface and the endpoint are borrowed together.
        let endpoint = match work {
            Work::Control => Some(&mut self.control),
            Work::Udp(port) => self
                .datagrams
                .get_mut(port)
                .map(|socket| &mut socket.endpoint),
            Work::Tcp(_) => None,
        };
        let Some(endpoint) = endpoint else {
            return Sent::All(None);
        };
        let mut outlet = Outlet::new(device, cx, &self.capabilities, self.duty);
        let mut steps = 0;
        // smoltcp tells of groups when it is asked for frames, and does not say that it would.
        #[cfg(feature = "multicast")]
        if work == Work::Control && self.groups_due.is_some() {
            self.interface
                .poll_egress(now, &mut outlet, &mut endpoint.set);
        }
        let result = loop {
            if outlet.full {
                break Sent::DeviceFull;
            }
            match self.interface.poll_at(now, &endpoint.set) {
                Some(at) if at <= now => {}
                next => break Sent::All(next),
            }
            if steps == BURST {
                break match outlet.meter.frames as usize {
                    0 => Sent::All(Some(now + LOOK_AGAIN)),
                    frames => Sent::Some(frames),
                };
            }
            steps += 1;
            self.interface
                .poll_egress(now, &mut outlet, &mut endpoint.set);
        };
        let meter = outlet.meter;
        // Asked for a frame and sent no packet: the neighbour's hardware address is missing.
        let stuck = meter.asked > meter.packets;
        self.count_sent(meter);
        if stuck {
            self.wait_for_neighbour(work);
        } else if meter.packets > 0
            && let Some(endpoint) = self.endpoint(work)
        {
            endpoint.unanswered = 0;
        }
        result
    }

    /// Notes that one of smoltcp's sockets cannot send yet. For whom it waits only smoltcp knows: it tries again after
    /// anybody's word. There are few of these.
    fn wait_for_neighbour(&mut self, work: Work) {
        if let Some(endpoint) = self.endpoint(work) {
            endpoint.unanswered = endpoint.unanswered.saturating_add(1);
            self.file_under(work, neighbour_key(None));
        }
    }

    /// Files `work` under the neighbour that it waits for.
    pub(crate) fn file_under(&mut self, work: Work, neighbour: Key) {
        if let Some(schedule) = self.schedule(work) {
            let before = schedule.waits_for.replace(neighbour);
            if let Some(before) = before {
                self.waiting.remove(&(before, work));
            }
            self.waiting.insert((neighbour, work));
        }
    }

    fn after_send(&mut self, work: Work, next: Option<Instant>, now: Instant) {
        let also = match work {
            Work::Control => {
                let dhcp = self.dhcp_poll(now);
                #[cfg(feature = "multicast")]
                let dhcp = dhcp.into_iter().chain(self.groups_reported(now)).min();
                dhcp
            }
            Work::Udp(port) => {
                self.udp_after_send(port);
                None
            }
            Work::Tcp(id) => self.tcp_after_send(id, now),
        };
        let earliest = match (next, also) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if let Some(at) = earliest {
            self.set_timer(work, at);
        }
    }

    /// Makes sure that `work` is asked at `at`. An earlier timer is left: it will set the next one.
    pub(crate) fn set_timer(&mut self, work: Work, at: Instant) {
        let Some(schedule) = self.schedule(work) else {
            return;
        };
        if schedule.timer.is_some_and(|known| known <= at) {
            return;
        }
        let before = schedule.timer.replace(at);
        if let Some(before) = before {
            self.timers.remove(&(time_key(before), work));
        }
        self.timers.insert((time_key(at), work));
    }
}

/// What came of asking a socket for frames.
pub(crate) enum Sent {
    /// It has no more; it wants to be asked again then.
    All(Option<Instant>),
    /// It sent so many and has more.
    Some(usize),
    /// The device has no room.
    DeviceFull,
}
