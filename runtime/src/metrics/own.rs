//! What the runtime counts. What a machine does not know is left out.

use super::text::{Kind, Text, labels};
use crate::{System, WallClock, executor, network::arguments::NAMES, wall_clock::WallClockSource};
use alloc::vec::Vec;
use core::fmt::{self, Display};
use landfall_net::{ConnectionCounts, Counters, Stack};

pub(super) fn write(system: &System, text: &mut Text) {
    let info = system.info();
    let app = system.identity();
    let name = "landfall_build_info";
    text.family(name, "What runs here; always 1.", Kind::Gauge);
    let what = [
        ("app", app.name),
        ("version", app.version),
        ("board", info.board),
        ("cpu", info.cpu),
    ];
    text.sample(name, &labels(&what), 1);
    let uptime = Seconds(system.platform().now_us());
    text.gauge("landfall_uptime_seconds", "Time since boot.", uptime);
    if let Some(clock) = info.wall_clock {
        write_clock(&clock, text);
    }
    let entropy = system.entropy();
    text.gauge(
        "landfall_entropy_good",
        "Whether a source of entropy is one that others cannot guess.",
        u8::from(entropy.is_good()),
    );
    let name = "landfall_entropy_reseeds_total";
    text.family(name, "Times that more entropy was mixed in.", Kind::Counter);
    text.sample(name, "", entropy.reseeds);
    if let Some(heap) = info.heap {
        text.gauge("landfall_heap_used_bytes", "Heap in use.", heap.used);
        text.gauge("landfall_heap_free_bytes", "Heap not in use.", heap.free);
    }
    let platform = system.platform();
    platform.gauges(&mut |name, help, number| text.gauge(name, help, number));
    let name = "landfall_wakeups_total";
    text.family(name, "Times that tasks became runnable.", Kind::Counter);
    text.sample(name, "", executor::wakeups());
    #[cfg(feature = "syslog")]
    {
        let name = "landfall_log_lines_dropped_total";
        text.family(name, "Log lines that syslog did not get.", Kind::Counter);
        text.sample(name, "", crate::logging::syslog::dropped());
    }
    if let Ok(network) = system.network() {
        write_network(network.cards(), text);
    }
}

fn write_clock(clock: &WallClock, text: &mut Text) {
    let name = "landfall_unix_time_seconds";
    let help = "The wall clock, since 1970-01-01 UTC, by its source.";
    let source = match clock.source {
        WallClockSource::Board(name) => name,
        WallClockSource::Host => "host",
        WallClockSource::BootArgument => "boot argument",
        WallClockSource::Sntp { .. } => "SNTP",
    };
    text.family(name, help, Kind::Gauge);
    let labels = labels(&[("source", source)]);
    text.sample(name, &labels, Seconds(clock.unix_us));
    if let Some(uncertainty) = clock.uncertainty_us {
        let help = "By how much the wall clock can be wrong.";
        text.gauge(
            "landfall_clock_uncertainty_seconds",
            help,
            Seconds(uncertainty),
        );
    }
}

/// Microseconds, as seconds.
struct Seconds(u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A row of a table: the name, the help text, the value of the table's label or nothing, and where the number
/// is.
type Row<T, V> = (&'static str, &'static str, &'static str, fn(&T) -> V);

const CONNECTIONS: &str = "landfall_tcp_connections";
const CONNECTIONS_HELP: &str = "TCP connections by state.";
const RETRANSMITS: &str = "landfall_tcp_retransmits_total";
const RETRANSMITS_HELP: &str =
    "TCP segments sent again, by what told that they were lost: time, or the peer.";
const DROPPED: &str = "landfall_network_dropped_total";
const DROPPED_HELP: &str = "Frames, SYNs, data and datagrams that were dropped, by cause.";

const STATES: [Row<ConnectionCounts, usize>; 5] = [
    (CONNECTIONS, CONNECTIONS_HELP, "half_open", |it| {
        it.half_open
    }),
    (CONNECTIONS, CONNECTIONS_HELP, "unaccepted", |it| {
        it.unaccepted
    }),
    (CONNECTIONS, CONNECTIONS_HELP, "open", |it| it.open),
    (CONNECTIONS, CONNECTIONS_HELP, "closing", |it| it.orphaned),
    (CONNECTIONS, CONNECTIONS_HELP, "time_wait", |it| {
        it.time_wait
    }),
];

/// All of them, those of one name in a row.
const COUNTERS: [Row<Counters, u64>; 27] = [
    (
        "landfall_network_receive_frames_total",
        "Frames received.",
        "",
        |it| it.frames_in,
    ),
    (
        "landfall_network_receive_bytes_total",
        "Bytes of frames received.",
        "",
        |it| it.bytes_in,
    ),
    (
        "landfall_network_transmit_frames_total",
        "Frames sent.",
        "",
        |it| it.frames_out,
    ),
    (
        "landfall_network_transmit_bytes_total",
        "Bytes of frames sent.",
        "",
        |it| it.bytes_out,
    ),
    (
        "landfall_network_device_full_total",
        "Times the card had no room for a frame.",
        "",
        |it| it.device_full,
    ),
    (DROPPED, DROPPED_HELP, "malformed", |it| {
        it.dropped_malformed
    }),
    (DROPPED, DROPPED_HELP, "checksum", |it| it.dropped_checksum),
    (DROPPED, DROPPED_HELP, "not_for_us", |it| {
        it.dropped_not_for_us
    }),
    (DROPPED, DROPPED_HELP, "bad_source", |it| {
        it.dropped_bad_source
    }),
    (DROPPED, DROPPED_HELP, "fragment", |it| it.dropped_fragment),
    (DROPPED, DROPPED_HELP, "protocol", |it| it.dropped_protocol),
    (DROPPED, DROPPED_HELP, "datagram_buffer", |it| {
        it.dropped_datagram
    }),
    (DROPPED, DROPPED_HELP, "backlog", |it| it.dropped_backlog),
    (DROPPED, DROPPED_HELP, "connections", |it| {
        it.dropped_connections
    }),
    (DROPPED, DROPPED_HELP, "memory", |it| it.dropped_memory),
    (DROPPED, DROPPED_HELP, "data_memory", |it| it.dropped_data),
    (
        "landfall_network_no_socket_total",
        "Packets for ports without a socket.",
        "",
        |it| it.no_socket,
    ),
    (
        "landfall_tcp_accepted_total",
        "Connections that peers opened.",
        "",
        |it| it.accepted,
    ),
    (
        "landfall_tcp_connected_total",
        "Connections opened to others.",
        "",
        |it| it.connected,
    ),
    (
        "landfall_tcp_resets_total",
        "Connections that peers reset.",
        "",
        |it| it.resets,
    ),
    (
        "landfall_tcp_timeouts_total",
        "Connections whose peer fell silent.",
        "",
        |it| it.timeouts,
    ),
    (RETRANSMITS, RETRANSMITS_HELP, "timeout", |it| {
        it.retransmits_timeout
    }),
    (RETRANSMITS, RETRANSMITS_HELP, "recovery", |it| {
        it.retransmits_recovery
    }),
    (
        "landfall_tcp_half_open_evicted_total",
        "Half-open connections that made room for newer ones.",
        "",
        |it| it.half_open_evicted,
    ),
    (
        "landfall_tcp_half_open_expired_total",
        "Handshakes that were never completed.",
        "",
        |it| it.half_open_expired,
    ),
    (
        "landfall_tcp_time_wait_evicted_total",
        "Connections that left TIME-WAIT early to make room.",
        "",
        |it| it.time_wait_evicted,
    ),
    (
        "landfall_tcp_orphans_aborted_total",
        "Connections aborted because peers did not close.",
        "",
        |it| it.orphans_aborted,
    ),
];

fn write_network(cards: &[Stack], text: &mut Text) {
    let connections: Vec<_> = cards.iter().map(Stack::connections).collect();
    table(text, Kind::Gauge, &STATES, "state", &connections);
    let counters: Vec<_> = cards.iter().map(Stack::counters).collect();
    table(text, Kind::Counter, &COUNTERS, "cause", &counters);
}

/// Writes the rows of a table, each for what each card has.
fn table<T, V: Display>(
    text: &mut Text,
    kind: Kind,
    rows: &[Row<T, V>],
    label: &str,
    of_cards: &[T],
) {
    let mut last = "";
    for (name, help, label_value, number) in rows.iter().filter(|_| !of_cards.is_empty()) {
        if *name != last {
            text.family(name, help, kind);
            last = name;
        }
        for (of_card, card) in of_cards.iter().zip(NAMES) {
            let both = [("card", card), (label, *label_value)];
            let given = if label_value.is_empty() { 1 } else { 2 };
            text.sample(name, &labels(&both[..given]), number(of_card));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_of_the_stack_is_a_metric() {
        assert_eq!(COUNTERS.len() * size_of::<u64>(), size_of::<Counters>());
        assert_eq!(
            STATES.len() * size_of::<usize>(),
            size_of::<ConnectionCounts>()
        );
        // Each reads a field of its own.
        let fields = COUNTERS.map(|(_, _, _, value)| value(&numbered()));
        let mut sorted = fields;
        sorted.sort_unstable();
        assert_eq!(sorted, core::array::from_fn(|number| number as u64 + 1));
    }

    /// Counters with a number for each.
    fn numbered() -> Counters {
        Counters {
            frames_in: 1,
            bytes_in: 2,
            frames_out: 3,
            bytes_out: 4,
            accepted: 5,
            connected: 6,
            resets: 7,
            timeouts: 8,
            device_full: 9,
            dropped_malformed: 10,
            dropped_checksum: 11,
            dropped_not_for_us: 12,
            dropped_bad_source: 13,
            dropped_fragment: 14,
            dropped_protocol: 15,
            no_socket: 16,
            dropped_datagram: 17,
            dropped_backlog: 18,
            dropped_connections: 19,
            dropped_memory: 20,
            half_open_evicted: 21,
            half_open_expired: 22,
            time_wait_evicted: 23,
            orphans_aborted: 24,
            dropped_data: 25,
            retransmits_timeout: 26,
            retransmits_recovery: 27,
        }
    }
}
