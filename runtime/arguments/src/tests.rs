//! Declared, given, refused and found again.

use super::*;
use alloc::string::ToString;
use core::{cell::RefCell, time::Duration};
use log::LevelFilter;

crate::arguments! {
    /// TCP port to listen on
    port: u16 = 8080,
    /// Who is greeted
    name: String = "world".to_string(),
    /// How long to wait
    wait: core::time::Duration = Duration::from_secs(1),
}

#[test]
fn defaults_and_given_values() {
    let read = |line| Arguments::read(&Words::parse(line).unwrap()).unwrap();
    let arguments = read("");
    assert_eq!((arguments.port, arguments.name.as_str()), (8080, "world"));
    assert_eq!(arguments.wait, Duration::from_secs(1));
    let arguments = read(" port=1  name=a=b\n wait=2m");
    assert_eq!((arguments.port, arguments.name.as_str()), (1, "a=b"));
    assert_eq!(arguments.wait, Duration::from_secs(120));
}

/// What is wrong with a line, as the program itself and as a tool beforehand would say it.
fn sentences(line: &str) -> [String; 2] {
    let own = Words::parse(line).and_then(|words| {
        words.check(&[Arguments::KNOWN])?;
        Arguments::read(&words).map(drop)
    });
    let tools = Words::parse(line).and_then(|words| words.check_for(Arguments::KNOWN));
    [own, tools].map(|result| result.unwrap_err().to_string())
}

#[test]
fn errors_name_the_key_and_what_is_known() {
    for (line, sentence) in [
        ("port", "boot argument `port` is not of the form key=value"),
        ("=1", "boot argument `=1` is not of the form key=value"),
        ("port=1 port=2", "boot argument `port` is given twice"),
        (
            "prot=1",
            "unknown boot argument `prot`; known are: port, name, wait",
        ),
        (
            "port=65536",
            "boot argument port=65536: expected a number from 0 to 65535",
        ),
        (
            "wait=5",
            "boot argument wait=5: expected a time such as 500ms, 10s, 5m or 2h",
        ),
    ] {
        assert_eq!(sentences(line), [sentence, sentence]);
    }
}

#[test]
fn values_of_each_type() {
    for (type_name, good, bad) in [
        ("u8", "255", "256"),
        ("usize", "7", "-7"),
        ("i32", "-5", "2147483648"),
        ("i64", "-9223372036854775808", "x"),
        ("bool", "true", "yes"),
        ("IpAddr", "fd00::1", "fd00"),
        ("SocketAddr", "[::1]:80", "::1:80:"),
        ("Duration", "500ms", "500 ms"),
        ("Duration", "2h", "18446744073709551615h"),
        ("ByteSize", "64K", "64k"),
        ("ByteSize", "2G", "18014398509481984K"),
        ("Ipv4Choice", "10.0.2.15/24", "10.0.2.15/33"),
        ("LogFilter", "warn,net=debug", "warn,net=loud"),
        ("SyslogServer", "10.0.2.2", "10.0.2"),
        ("SyslogServer", "fd00::1", "fd00::1:x"),
        ("SyslogServer", "[fd00::1]:5514", "10.0.2.2:0"),
        ("LogFilter", "off", ""),
    ] {
        assert_eq!(expected(type_name, good), Ok(()), "{type_name} {good}");
        assert!(expected(type_name, bad).is_err(), "{type_name} {bad}");
    }
    assert_eq!(expected("Colour", "red"), Ok(()));
    assert_eq!(ByteSize::read("16M"), Some(ByteSize(16 << 20)));
}

#[test]
fn the_longest_module_that_fits_has_the_level() {
    let filter = LogFilter::read("net=debug,warn,network=off,net1=trace").unwrap();
    for (target, level) in [
        ("http", LevelFilter::Warn),
        ("net", LevelFilter::Debug),
        ("net2", LevelFilter::Debug),
        ("net1", LevelFilter::Trace),
        ("network::udp", LevelFilter::Off),
    ] {
        assert_eq!(filter.level(target), level, "{target}");
    }
    assert_eq!(filter.most(), LevelFilter::Trace);
    let quieter = LogFilter::read("net=error").unwrap();
    assert_eq!(quieter.level("http"), LevelFilter::Info);
    assert_eq!(LogFilter::read("off").unwrap().most(), LevelFilter::Off);
    assert_eq!(LogFilter::INFO.most(), LevelFilter::Info);
}

#[test]
fn help_names_every_argument() {
    let text = RefCell::new(Vec::new());
    help(&[Arguments::KNOWN], |piece| text.borrow_mut().extend(piece));
    let text = String::from_utf8(text.take()).unwrap();
    for line in [
        "  port: u16 = 8080\n      TCP port to listen on\n",
        "  name: String = \"world\".to_string()\n      Who is greeted\n",
        "  wait: core::time::Duration = Duration::from_secs(1)\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn arguments_are_found_among_other_bytes() {
    let log = argument!("R", "log", "LogFilter", "info", "how much to log");
    let mut file = b"\x1d\n\x1d".to_vec();
    for argument in [log, Arguments::KNOWN[0], Arguments::KNOWN[1], log] {
        file.extend(argument.0.as_bytes());
        file.extend([0xff, 0x1d, b'A']);
    }
    // Without a default, a key that is none, and one that is cut off.
    file.extend(b"\x1dA  bad: u16\n      help\n\x1dA  !: u16 = 1\n      help\n");
    file.extend(b"\x1dA  cut: u16 = 1\n      help");
    let found = find(&file);
    let keys: Vec<&str> = found.iter().map(Argument::key).collect();
    assert_eq!(keys, ["name", "port", "log"]);
    assert_eq!(found[2], log);
    let port = found[1];
    let about = (port.type_name(), port.default(), port.help());
    assert_eq!(about, ("u16", "8080", "TCP port to listen on"));
    assert!(port.is_apps() && !log.is_apps());
    assert!(find(b"").is_empty() && find(b"\x1d").is_empty());
}
