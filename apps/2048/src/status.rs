//! The answer of `/api/info`: how the system that serves the game is doing, as JSON.

use alloc::string::String;
use core::fmt::{self, Display, Formatter, Write as _};

use landfall::{Heap, Info, Sockets, WallClock};

use crate::json::{OrNull, Quoted};

/// Returns `info` as a JSON object. `heap` and `sockets` are `null` where the board does not know.
///
/// ```
/// use landfall::{Heap, Info};
///
/// let heap = Some(Heap { used: 1, free: 2 });
/// let (board, cpu) = ("virt", "Cortex-A57");
/// let info = Info { board, cpu, unix_seconds: None, wall_clock: None, uptime_ms: 9, heap, sockets: None };
/// assert!(app_2048::status::json(&info).ends_with(
///     r#""uptime_ms":9,"heap":{"used":1,"free":2,"total":3},"sockets":null}"#
/// ));
/// ```
pub fn json(info: &Info) -> String {
    let mut json = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        json,
        r#"{{"app":"2048","version":{},"board":{},"cpu":{},"unix_seconds":{},"clock":{},"uptime_ms":{},"heap":{},"sockets":{}}}"#,
        Quoted(env!("CARGO_PKG_VERSION")),
        Quoted(info.board),
        Quoted(info.cpu),
        OrNull(info.unix_seconds),
        OrNull(info.wall_clock.map(ClockObject)),
        info.uptime_ms,
        OrNull(info.heap.map(HeapObject)),
        OrNull(info.sockets.map(SocketsObject)),
    );
    json
}

struct ClockObject(WallClock);

impl Display for ClockObject {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let source = alloc::format!("{}", self.0.source);
        write!(
            formatter,
            r#"{{"time":"{}","source":{},"uncertainty_us":{}}}"#,
            self.0,
            Quoted(&source),
            OrNull(self.0.uncertainty_us)
        )
    }
}

struct HeapObject(Heap);

impl Display for HeapObject {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Heap { used, free } = self.0;
        let total = used + free;
        write!(
            formatter,
            r#"{{"used":{used},"free":{free},"total":{total}}}"#
        )
    }
}

struct SocketsObject(Sockets);

impl Display for SocketsObject {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Sockets {
            half_open,
            open,
            closing,
            time_wait,
        } = self.0;
        write!(
            formatter,
            r#"{{"tcp":{{"half_open":{half_open},"open":{open},"closing":{closing},"time_wait":{time_wait}}}}}"#
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall::WallClockSource;

    #[test]
    fn everything_known() {
        let info = Info {
            board: "virt",
            cpu: "Cortex-A57",
            unix_seconds: Some(1_800_000_000),
            wall_clock: Some(WallClock {
                unix_us: 1_800_000_000_000_000,
                source: WallClockSource::Board("PL031"),
                uncertainty_us: Some(1_000_000),
            }),
            uptime_ms: 12,
            heap: Some(Heap {
                used: 100,
                free: 900,
            }),
            sockets: Some(Sockets {
                half_open: 1,
                open: 2,
                closing: 3,
                time_wait: 4,
            }),
        };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            json(&info),
            format!(
                r#"{{"app":"2048","version":"{version}","board":"virt","cpu":"Cortex-A57","unix_seconds":1800000000,"clock":{{"time":"2027-01-15T08:00:00Z","source":"PL031","uncertainty_us":1000000}},"uptime_ms":12,"heap":{{"used":100,"free":900,"total":1000}},"sockets":{{"tcp":{{"half_open":1,"open":2,"closing":3,"time_wait":4}}}}}}"#
            )
        );
    }

    #[test]
    fn nothing_known() {
        let info = Info {
            board: "unix",
            cpu: "",
            unix_seconds: None,
            wall_clock: None,
            uptime_ms: 0,
            heap: None,
            sockets: None,
        };
        assert!(json(&info).ends_with(r#""uptime_ms":0,"heap":null,"sockets":null}"#));
    }
}
