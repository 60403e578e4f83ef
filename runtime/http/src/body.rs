//! The body of a request: [`Incoming`] reads it, [`Decoder`] takes its framing away.
//!
//! The chunked coding is decoded here and not by edge-http, whose decoder takes the end of the
//! connection for the end of the body, accepts sizes such as `+5`, and keeps the beginning of the
//! next request to itself.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;

use embassy_time::{Duration, Instant};

use crate::head::{Framing, Head};
use crate::{BodyError, Limits};

/// Size of the pieces in which a body is read.
const PIECE: usize = 1024;
/// Longest line of a chunk's size with its extensions, which nobody uses.
const MAX_CHUNK_LINE: usize = 128;
/// Longest trailer section, which is read and forgotten.
const MAX_TRAILER: usize = 1024;

/// Where more of a body comes from: the connection, whatever its type.
pub(crate) trait Source {
    /// Reads at least one byte; before that, tells the client to go on if it waits for that.
    fn more<'s>(
        &'s mut self,
        piece: &'s mut [u8],
        invitation: Invitation,
        until: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<usize, BodyError>> + 's>>;
}

/// Whether the client waits for `100 Continue` (RFC 9110, 10.1.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Invitation {
    Awaited,
    NotAwaited,
}

/// A body that is being read.
pub(crate) struct Incoming<'a> {
    pub(crate) state: State,
    /// What arrived together with the head, and may be the next request's.
    pub(crate) ahead: &'a [u8],
    pub(crate) source: &'a mut (dyn Source + 'a),
}

/// How far a body has been read.
pub(crate) struct State {
    decoder: Decoder,
    /// How much of what arrived with the head belonged to the body.
    taken: usize,
    /// What arrived later, of which `piece_taken` bytes are done with.
    piece: Vec<u8>,
    piece_taken: usize,
    invitation: Invitation,
    timeout: Duration,
    deadline: Option<Instant>,
    failure: Option<BodyError>,
}

impl State {
    pub(crate) fn new(head: &Head, ahead: &[u8], limits: &Limits) -> Self {
        let invitation = match head.expects_continue && ahead.is_empty() {
            true => Invitation::Awaited,
            false => Invitation::NotAwaited,
        };
        Self {
            decoder: Decoder::new(head.framing, limits.body_bytes),
            taken: 0,
            piece: Vec::new(),
            piece_taken: 0,
            invitation,
            timeout: limits.body_timeout,
            deadline: None,
            failure: None,
        }
    }

    /// Returns whether the next request can follow on this connection, perhaps behind a rest of
    /// this body that nobody wants.
    pub(crate) fn is_reusable(&self) -> bool {
        let uninvited = self.invitation == Invitation::Awaited && !self.decoder.is_done();
        self.failure.is_none() && !uninvited
    }

    /// Returns how much of what came with the head was the body's, and what came after the body.
    pub(crate) fn finish(self) -> (usize, Vec<u8>) {
        let Self {
            taken,
            mut piece,
            piece_taken,
            ..
        } = self;
        piece.drain(..piece_taken);
        (taken, piece)
    }

    fn decode(&mut self, ahead: &[u8], buffer: &mut [u8]) -> Result<usize, BodyError> {
        let ahead = ahead.get(self.taken..).unwrap_or_default();
        if !ahead.is_empty() {
            let (taken, given) = self.decoder.decode(ahead, buffer)?;
            self.taken += taken;
            return Ok(given);
        }
        let arrived = self.piece.get(self.piece_taken..).unwrap_or_default();
        let (taken, given) = self.decoder.decode(arrived, buffer)?;
        self.piece_taken += taken;
        Ok(given)
    }

    fn deadline(&mut self) -> Instant {
        let timeout = self.timeout;
        *self
            .deadline
            .get_or_insert_with(|| Instant::now().saturating_add(timeout))
    }
}

impl Incoming<'_> {
    /// Reads a piece; 0 is the end.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, BodyError> {
        if let Some(failure) = self.state.failure {
            return Err(failure);
        }
        let result = self.read_on(buffer).await;
        self.state.failure = result.err();
        result
    }

    async fn read_on(&mut self, buffer: &mut [u8]) -> Result<usize, BodyError> {
        loop {
            let given = self.state.decode(self.ahead, buffer)?;
            if given > 0 || buffer.is_empty() || self.state.decoder.is_done() {
                return Ok(given);
            }
            // Nothing was given although there was room: all that has arrived is used up.
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), BodyError> {
        let until = self.state.deadline();
        let invitation = self.state.invitation;
        self.state.invitation = Invitation::NotAwaited;
        self.state.piece.resize(PIECE, 0);
        self.state.piece_taken = 0;
        let result = self
            .source
            .more(&mut self.state.piece, invitation, until)
            .await;
        self.state.piece.truncate(*result.as_ref().unwrap_or(&0));
        result.map(drop)
    }

    /// Reads everything, if it is no more than `max` bytes.
    pub(crate) async fn read_all(&mut self, max: usize) -> Result<Vec<u8>, BodyError> {
        if self.state.decoder.announced() > max {
            return Err(BodyError::TooLong);
        }
        let mut body = Vec::new();
        loop {
            let length = body.len();
            // One more than allowed, to see that it is too much.
            let room = max.saturating_add(1).saturating_sub(length).min(PIECE);
            body.resize(length + room, 0);
            let read = self
                .read(body.get_mut(length..).unwrap_or_default())
                .await?;
            body.truncate(length + read);
            if body.len() > max {
                return Err(BodyError::TooLong);
            }
            if read == 0 {
                return Ok(body);
            }
        }
    }

    /// Reads what the handler left; returns whether the next request can follow.
    pub(crate) async fn discard(&mut self) -> bool {
        let mut buffer = [0; 64];
        loop {
            match self.read(&mut buffer).await {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}

/// Finds a body's bytes in a connection's bytes.
#[derive(Debug)]
pub(crate) enum Decoder {
    /// So many bytes are left.
    Length(usize),
    Chunked(Chunked),
}

impl Decoder {
    fn new(framing: Framing, limit: usize) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::new(limit)),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.state == ChunkState::Done,
        }
    }

    /// Returns how long the rest is known to be at least.
    fn announced(&self) -> usize {
        match self {
            Self::Length(left) => *left,
            Self::Chunked(_) => 0,
        }
    }

    /// Takes from `input` and gives into `output`; returns how much of each.
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), BodyError> {
        match self {
            Self::Length(left) => {
                let given = copy(input, output, *left);
                *left -= given;
                Ok((given, given))
            }
            Self::Chunked(chunked) => chunked.decode(input, output),
        }
    }
}

/// Copies what fits and is there, but no more than `most`.
fn copy(input: &[u8], output: &mut [u8], most: usize) -> usize {
    let length = most.min(input.len()).min(output.len());
    output[..length].copy_from_slice(&input[..length]);
    length
}

/// The chunked coding (RFC 9112, 7.1).
#[derive(Debug)]
pub(crate) struct Chunked {
    state: ChunkState,
    /// Size of the chunk, then what is left of it.
    size: usize,
    /// Length of the line or section under way, which is limited.
    line: usize,
    /// How many more bytes the body may have.
    allowed: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ChunkState {
    /// The digits of a size; at the beginning there must be one.
    Size,
    /// Extensions, up to the carriage return.
    Extension,
    /// The line feed behind a size.
    SizeEnd,
    Data,
    /// The carriage return behind a chunk, then the line feed.
    DataEnd,
    DataEndLf,
    /// At the beginning of a line of the trailer section.
    TrailerStart,
    Trailer,
    TrailerLf,
    /// The line feed of the empty line that ends it all.
    LastLf,
    Done,
}

impl Chunked {
    fn new(limit: usize) -> Self {
        Self {
            state: ChunkState::Size,
            size: 0,
            line: 0,
            allowed: limit,
        }
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), BodyError> {
        let (mut taken, mut given) = (0, 0);
        while taken < input.len() && self.state != ChunkState::Done {
            if self.state == ChunkState::Data {
                let length = copy(&input[taken..], &mut output[given..], self.size);
                if length == 0 {
                    break;
                }
                taken += length;
                given += length;
                self.size -= length;
                if self.size == 0 {
                    self.state = ChunkState::DataEnd;
                }
            } else {
                self.state = self.step(input[taken])?;
                taken += 1;
            }
        }
        Ok((taken, given))
    }

    fn step(&mut self, byte: u8) -> Result<ChunkState, BodyError> {
        use ChunkState as S;

        self.line += 1;
        match (self.state, byte) {
            (S::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte),
            (S::Size, b'\r') if self.line > 1 => Ok(S::SizeEnd),
            (S::Size, b';') if self.line > 1 => Ok(S::Extension),
            (S::Extension, b'\r') => Ok(S::SizeEnd),
            (S::Extension, _) if is_text(byte) && self.line < MAX_CHUNK_LINE => Ok(S::Extension),
            (S::SizeEnd, b'\n') => Ok(self.begin_chunk()),
            (S::DataEnd, b'\r') => Ok(S::DataEndLf),
            (S::DataEndLf, b'\n') => {
                (self.size, self.line) = (0, 0);
                Ok(S::Size)
            }
            (S::TrailerStart, b'\r') => Ok(S::LastLf),
            (S::Trailer, b'\r') => Ok(S::TrailerLf),
            (S::TrailerStart | S::Trailer, _) if is_text(byte) && self.line < MAX_TRAILER => {
                Ok(S::Trailer)
            }
            (S::TrailerLf, b'\n') => Ok(S::TrailerStart),
            (S::LastLf, b'\n') => Ok(S::Done),
            _ => Err(BodyError::Malformed),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<ChunkState, BodyError> {
        // The caller has matched the digit.
        let digit = char::from(byte).to_digit(16).unwrap_or(0) as usize;
        self.size = self.size.saturating_mul(16).saturating_add(digit);
        match self.size > self.allowed {
            true => Err(BodyError::TooLong),
            false if self.line >= MAX_CHUNK_LINE => Err(BodyError::Malformed),
            false => Ok(ChunkState::Size),
        }
    }

    fn begin_chunk(&mut self) -> ChunkState {
        self.line = 0;
        self.allowed -= self.size;
        match self.size {
            0 => ChunkState::TrailerStart,
            _ => ChunkState::Data,
        }
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}
