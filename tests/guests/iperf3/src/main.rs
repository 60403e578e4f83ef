//! A server for iperf3's client, one TCP stream at a time: `iperf3 -c ADDRESS` measures what this
//! guest receives, with `-R` what it sends.
//!
//! The protocol is iperf3's own (its `src/iperf_api.h` numbers the states): on a control connection
//! the server names one state after the other, a byte each; parameters and results are JSON behind a
//! length of four bytes, big-endian. Every connection begins with the test's cookie.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{format, string::String, vec, vec::Vec};
use core::{cell::Cell, fmt, pin::pin};
use edge_nal::TcpAccept;
use embedded_io_async::{Read, ReadExactError, Write};
use futures_util::future::{Either, select};
use landfall::network::{TcpListener, TcpSocket};

landfall::arguments! {
    /// TCP port to listen on
    port: u16 = 5201,
}

/// The states that are named on the control connection.
const PARAM_EXCHANGE: u8 = 9;
const CREATE_STREAMS: u8 = 10;
const TEST_START: u8 = 1;
const TEST_RUNNING: u8 = 2;
const EXCHANGE_RESULTS: u8 = 13;
const DISPLAY_RESULTS: u8 = 14;

/// Bytes of a cookie, the zero at its end among them.
const COOKIE: usize = 37;
/// Bytes of JSON that a client may send, at most.
const LONGEST_JSON: usize = 16 * 1024;
/// Bytes that are read or written at once.
const BLOCK: usize = 16 * 1024;

/// Why a test ended before its end.
#[derive(Debug)]
enum Failure {
    Network(landfall::Error),
    /// The connection closed in the middle of something.
    Closed,
    TooLong(usize),
}

impl From<landfall::Error> for Failure {
    fn from(error: landfall::Error) -> Self {
        Self::Network(error)
    }
}

impl From<ReadExactError<landfall::Error>> for Failure {
    fn from(error: ReadExactError<landfall::Error>) -> Self {
        match error {
            ReadExactError::UnexpectedEof => Self::Closed,
            ReadExactError::Other(error) => Self::Network(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(error) => error.fmt(f),
            Self::Closed => f.write_str("the client closed the connection"),
            Self::TooLong(length) => write!(f, "the client announces {length} bytes of JSON"),
        }
    }
}

#[landfall::main]
async fn main(system: landfall::System, arguments: Arguments) -> Result<(), landfall::Error> {
    let listener = system.network()?.bind_tcp(arguments.port).await?;
    loop {
        let (client, control) = listener.accept().await?;
        match test(&listener, control).await {
            Ok(bytes) => landfall_log::info!("{client}: {bytes} bytes"),
            Err(failure) => landfall_log::warn!("{client}: {failure}"),
        }
    }
}

/// One test; returns the bytes that passed.
async fn test(listener: &TcpListener, mut control: TcpSocket) -> Result<u64, Failure> {
    let cookie = cookie(&mut control).await?;
    say(&mut control, PARAM_EXCHANGE).await?;
    let parameters = read_json(&mut control).await?;
    say(&mut control, CREATE_STREAMS).await?;
    let mut data = stream(listener, &cookie).await?;
    say(&mut control, TEST_START).await?;
    say(&mut control, TEST_RUNNING).await?;
    let bytes = Cell::new(0);
    {
        // With `-R`, the server sends.
        let traffic = pin!(pass(&mut data, is_reverse(&parameters), &bytes));
        let mut state = [0];
        let end = pin!(control.read_exact(&mut state));
        // The client says when the time is over. Traffic may end before, by its own end.
        if let Either::Left((_, end)) = select(traffic, end).await {
            end.await?;
        }
    }
    // The client may wait for the rest of a block: it ends with the connection.
    drop(data);
    say(&mut control, EXCHANGE_RESULTS).await?;
    read_json(&mut control).await?;
    write_json(&mut control, &results(bytes.get())).await?;
    say(&mut control, DISPLAY_RESULTS).await?;
    control.read_exact(&mut [0]).await?;
    Ok(bytes.get())
}

/// The data connection of the test with this cookie; others are closed.
async fn stream(listener: &TcpListener, wanted: &[u8]) -> Result<TcpSocket, Failure> {
    loop {
        let (_, mut data) = listener.accept().await?;
        if cookie(&mut data).await? == wanted {
            return Ok(data);
        }
    }
}

/// Sends or receives without end; counts.
async fn pass(data: &mut TcpSocket, sends: bool, bytes: &Cell<u64>) -> Result<(), Failure> {
    let mut block = vec![0; BLOCK];
    loop {
        let passed = match sends {
            true => data.write(&block).await?,
            false => data.read(&mut block).await?,
        };
        if passed == 0 {
            return Ok(());
        }
        bytes.set(bytes.get() + passed as u64);
    }
}

fn is_reverse(parameters: &[u8]) -> bool {
    let text: String = String::from_utf8_lossy(parameters)
        .split_whitespace()
        .collect();
    text.contains("\"reverse\":true")
}

fn results(bytes: u64) -> String {
    format!(
        "{{\"cpu_util_total\":0,\"cpu_util_user\":0,\"cpu_util_system\":0,\
         \"sender_has_retransmits\":0,\"streams\":[{{\"id\":1,\"bytes\":{bytes},\
         \"retransmits\":-1,\"jitter\":0,\"errors\":0,\"packets\":0}}]}}"
    )
}

async fn cookie(connection: &mut TcpSocket) -> Result<Vec<u8>, Failure> {
    let mut cookie = vec![0; COOKIE];
    connection.read_exact(&mut cookie).await?;
    Ok(cookie)
}

async fn say(control: &mut TcpSocket, state: u8) -> Result<(), Failure> {
    control.write_all(&[state]).await?;
    Ok(control.flush().await?)
}

async fn read_json(control: &mut TcpSocket) -> Result<Vec<u8>, Failure> {
    let mut length = [0; 4];
    control.read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST_JSON {
        return Err(Failure::TooLong(length));
    }
    let mut json = vec![0; length];
    control.read_exact(&mut json).await?;
    Ok(json)
}

async fn write_json(control: &mut TcpSocket, json: &str) -> Result<(), Failure> {
    let length = json.len() as u32;
    control.write_all(&length.to_be_bytes()).await?;
    control.write_all(json.as_bytes()).await?;
    Ok(control.flush().await?)
}
