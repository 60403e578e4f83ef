//! What can go wrong with the store.

use crate::{bytes::BadIndices, events::EventError};
use alloc::string::String;
use core::fmt;

/// An operation on a key failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoreError {
    /// The key, as it was asked for.
    pub path: String,
    /// What went wrong.
    pub cause: Cause,
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// `ENOENT`: there is no such key.
    NotFound,
    /// `EACCES`, `EPERM`: this domain may not do that.
    NotPermitted,
    /// `EAGAIN`: a transaction met another; it is to be done again.
    Again,
    /// `EEXIST`, such as a watch that is there already.
    Exists,
    /// `ENOSPC`, `E2BIG`: this domain's share of the store is used up, or the answer too large.
    NoSpace,
    /// `EINVAL`: the store does not understand the request.
    Invalid,
    /// Another of the store's errors.
    Refused,
    /// The path is no path of the store.
    Path(PathError),
    /// Path and value together are longer than a message may be.
    TooLong {
        /// How long they are, in bytes.
        bytes: usize,
    },
    /// The answer is not what the protocol has.
    Malformed,
    /// The value is not what was expected there, such as a number.
    Value,
    /// The connection to the store cannot be used any more.
    Broken(Broken),
}

/// Why the connection to the store cannot be used any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Broken {
    /// A ring's indices make no sense.
    Indices(BadIndices),
    /// A message is longer than the protocol allows.
    Length(u32),
}

/// Why a path is none (Xen docs/misc/xenstore.txt, "Paths and values").
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PathError {
    /// It is empty, ends with `/` or has `//` in it.
    EmptyPart,
    /// It has a character that paths cannot have.
    Character(char),
    /// It is longer than 3072 bytes, or 2048 where it is relative.
    TooLong,
}

/// Why there is no store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoStore {
    /// Xen gave this domain no page for it.
    Frame(u64),
    /// Its event channel cannot be had.
    Event(EventError),
}

impl StoreError {
    pub(super) fn new(path: &str, cause: Cause) -> Self {
        Self {
            path: path.into(),
            cause,
        }
    }
}

impl Cause {
    /// What an error message of the store says: the name of an error number (`xs_wire.h`,
    /// `xsd_errors`), with a zero byte at its end.
    pub(super) fn of_message(text: &[u8]) -> Self {
        match text.strip_suffix(b"\0").unwrap_or(text) {
            b"ENOENT" => Self::NotFound,
            b"EACCES" | b"EPERM" => Self::NotPermitted,
            b"EAGAIN" => Self::Again,
            b"EEXIST" => Self::Exists,
            b"ENOSPC" | b"E2BIG" => Self::NoSpace,
            b"EINVAL" => Self::Invalid,
            _ => Self::Refused,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "xenstore {}: {}", self.path, self.cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such key"),
            Self::NotPermitted => f.write_str("this domain has no permission"),
            Self::Again => f.write_str("the transaction met another"),
            Self::Exists => f.write_str("it exists already"),
            Self::NoSpace => f.write_str(
                "this domain's share of the store is used up, or the answer is too long",
            ),
            Self::Invalid => f.write_str("the store does not understand the request"),
            Self::Refused => f.write_str("the store refuses"),
            Self::Path(error) => write!(f, "this is no path: {error}"),
            Self::TooLong { bytes } => write!(f, "{bytes} bytes are too long for a message"),
            Self::Malformed => f.write_str("the store's answer makes no sense"),
            Self::Value => f.write_str("the value there is not of the kind expected"),
            Self::Broken(why) => write!(f, "the connection is broken: {why}"),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Indices(error) => error.fmt(f),
            Self::Length(bytes) => write!(f, "a message of {bytes} bytes"),
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyPart => f.write_str("a part between slashes is empty"),
            Self::Character(it) => write!(f, "it cannot have {it:?} in it"),
            Self::TooLong => f.write_str("it is too long"),
        }
    }
}

impl fmt::Display for NoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(frame) => write!(f, "Xen gave this domain no xenstore (frame {frame})"),
            Self::Event(error) => write!(f, "xenstore: {error}"),
        }
    }
}

impl core::error::Error for StoreError {}
impl core::error::Error for Cause {}
impl core::error::Error for Broken {}
impl core::error::Error for PathError {}
impl core::error::Error for NoStore {}
