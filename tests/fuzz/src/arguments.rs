//! Boot arguments: a line of words, and arguments in the file of an image.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use landfall_arguments::{
    ArgumentValue, ByteSize, Ipv4Choice, Ipv6Choice, LogFilter, NameServers, SyslogServer, Words,
    find, help,
};

/// The longest value of `log=` that is read, and how many different ones are.
const LONGEST_FILTER: usize = 40;
const MOST_FILTERS: usize = 100_000;

/// Reads the bytes as a command line, if they are text, and as the file of an image.
pub fn boot_arguments(bytes: &[u8]) {
    let found = find(bytes);
    for argument in &found {
        assert!(!argument.key().is_empty());
        let _ = (argument.type_name(), argument.default(), argument.help());
    }
    help(&[&found], |text| assert!(!text.is_empty()));
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    match Words::parse(text) {
        Ok(words) => read(&words, text),
        Err(error) => drop(error.to_string()),
    }
    read_value(text);
}

fn read(words: &Words, text: &str) {
    if let Err(error) = words.check(&[&[], &find(b"\x1dA  port: u16 = 80\n     Port\n")]) {
        assert!(!error.to_string().is_empty());
    }
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').expect("it was parsed");
        assert!(words.value::<String>(key).is_ok());
        if words.value::<u16>(key).is_err() {
            assert!(value.parse::<u16>().is_err());
        }
        read_value(value);
    }
}

/// Reads a value as one of every type.
fn read_value(text: &str) {
    fn one<T: ArgumentValue>(text: &str) -> Option<T> {
        T::read(text)
    }
    let _ = (one::<u8>(text), one::<u32>(text), one::<u64>(text));
    let _ = (one::<usize>(text), one::<i32>(text), one::<i64>(text));
    let _ = (
        one::<bool>(text),
        one::<Duration>(text),
        one::<ByteSize>(text),
    );
    let _ = (
        one::<IpAddr>(text),
        one::<Ipv4Addr>(text),
        one::<Ipv6Addr>(text),
    );
    let _ = (
        one::<SocketAddr>(text),
        one::<SyslogServer>(text),
        one::<NameServers>(text),
    );
    if let Some(Ipv4Choice::Static(_, prefix)) = one(text) {
        assert!((1..=32).contains(&prefix));
    }
    if let Some(Ipv6Choice::Static(_, prefix)) = one(text) {
        assert!((1..=128).contains(&prefix));
    }
    if let Some(filter) = log_filter(text) {
        assert!(filter.level("net") <= filter.most());
    }
}

/// Reads the value of `log=`. What it says is kept for as long as the machine runs, so each is read once.
fn log_filter(text: &str) -> Option<LogFilter> {
    static READ: Mutex<BTreeMap<String, Option<LogFilter>>> = Mutex::new(BTreeMap::new());
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = read.get(text) {
        return *known;
    }
    let is_kept = text.len() <= LONGEST_FILTER && read.len() < MOST_FILTERS;
    is_kept.then(|| {
        let filter = LogFilter::read(text);
        read.insert(text.into(), filter);
        filter
    })?
}
