//! A server for iperf3's client, one test at a time: `iperf3 -c ADDRESS` measures what this guest
//! receives, with `-R` what it sends, with `-P 4` in four TCP streams. Beside it stands an echo of UDP datagrams
//! (RFC 862, on another port).
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
use futures_util::future::{Either, select, try_join, try_join_all};
use landfall::network::{TcpListener, TcpSocket, UdpSocket};

landfall::arguments! {
    /// TCP port to listen on
    port: u16 = 5201,
    /// UDP port of the echo
    echo: u16 = 7007,
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
/// Streams of a test, at most.
const MOST_STREAMS: usize = 16;
/// Bytes that are read or written at once.
const BLOCK: usize = 16 * 1024;

/// Why a test ended before its end.
#[derive(Debug)]
enum Failure {
    Network(landfall::Error),
    /// The connection closed in the middle of something.
    Closed,
    TooLong(usize),
    TooMany(usize),
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
            Self::TooMany(number) => write!(f, "the client asks for {number} streams"),
        }
    }
}

#[landfall::main]
async fn main(system: landfall::System, arguments: Arguments) -> Result<(), landfall::Error> {
    let network = system.network()?;
    let socket = network.bind_udp(arguments.echo).await?;
    let listener = network.bind_tcp(arguments.port).await?;
    try_join(echo(&socket), tests(&listener)).await.map(drop)
}

/// Sends each datagram back to where it came from.
async fn echo(socket: &UdpSocket) -> Result<(), landfall::Error> {
    let mut buffer = [0; 1472];
    loop {
        let (length, from) = socket.receive_from(&mut buffer).await?;
        // Whoever asked may be gone.
        let _ = socket.send_to(&buffer[..length], from).await;
    }
}

async fn tests(listener: &TcpListener) -> Result<(), landfall::Error> {
    loop {
        let (client, control) = listener.accept().await?;
        match test(listener, control).await {
            Ok(bytes) => landfall_log::info!("{client}: {bytes} bytes"),
            Err(failure) => landfall_log::warn!("{client}: {failure}"),
        }
    }
}

/// One test; returns the bytes that passed.
async fn test(listener: &TcpListener, mut control: TcpSocket) -> Result<u64, Failure> {
    let cookie = cookie(&mut control).await?;
    say(&mut control, PARAM_EXCHANGE).await?;
    let parameters = parameters(&read_json(&mut control).await?)?;
    say(&mut control, CREATE_STREAMS).await?;
    let mut streams = Vec::new();
    for _ in 0..parameters.streams {
        streams.push((stream(listener, &cookie).await?, Cell::new(0)));
    }
    say(&mut control, TEST_START).await?;
    say(&mut control, TEST_RUNNING).await?;
    {
        let traffic = streams
            .iter_mut()
            .map(|(data, bytes)| pass(data, parameters.is_reverse, bytes));
        let mut state = [0];
        let end = pin!(control.read_exact(&mut state));
        // The client says when the time is over. Traffic may end before, by its own end.
        if let Either::Left((_, end)) = select(pin!(try_join_all(traffic)), end).await {
            end.await?;
        }
    }
    // The client may wait for the rest of a block: it ends with the connections.
    let bytes: Vec<u64> = streams
        .into_iter()
        .map(|(_, bytes)| bytes.into_inner())
        .collect();
    say(&mut control, EXCHANGE_RESULTS).await?;
    read_json(&mut control).await?;
    write_json(&mut control, &results(&bytes)).await?;
    say(&mut control, DISPLAY_RESULTS).await?;
    control.read_exact(&mut [0]).await?;
    Ok(bytes.iter().sum())
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

/// What the client wants to do.
struct Parameters {
    /// The server sends (`-R`).
    is_reverse: bool,
    /// How many connections carry data (`-P`).
    streams: usize,
}

fn parameters(json: &[u8]) -> Result<Parameters, Failure> {
    let text: String = String::from_utf8_lossy(json).split_whitespace().collect();
    let number = |rest: &str| {
        let end = rest.find(|it: char| !it.is_ascii_digit());
        rest[..end.unwrap_or(rest.len())].parse().ok()
    };
    let parallel = text.split_once("\"parallel\":");
    let streams = parallel.and_then(|(_, rest)| number(rest)).unwrap_or(1);
    if !(1..=MOST_STREAMS).contains(&streams) {
        return Err(Failure::TooMany(streams));
    }
    Ok(Parameters {
        is_reverse: text.contains("\"reverse\":true"),
        streams,
    })
}

/// The results for `bytes` of each stream. iperf3 numbers streams 1, 3, 4, 5, … (`iperf_add_stream`).
fn results(bytes: &[u64]) -> String {
    let streams: Vec<String> = bytes
        .iter()
        .zip([1].into_iter().chain(3..))
        .map(|(bytes, number)| {
            format!(
                "{{\"id\":{number},\"bytes\":{bytes},\"retransmits\":-1,\"jitter\":0,\"errors\":0,\
                 \"packets\":0}}"
            )
        })
        .collect();
    format!(
        "{{\"cpu_util_total\":0,\"cpu_util_user\":0,\"cpu_util_system\":0,\
         \"sender_has_retransmits\":0,\"streams\":[{}]}}",
        streams.join(",")
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
