//! The server on the host's own sockets.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread;

use edge_nal::TcpBind;
use landfall_http::{Limits, Request, Response, serve};
use support::{answer, answers};

/// Serves on a free port, in a thread that lives as long as the test.
fn start() -> SocketAddr {
    static LARGE: [u8; 3_000_000] = [b'x'; 3_000_000];
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        async_io::block_on(async {
            // The traits of edge-nal do not tell the port that the system chose.
            let probe = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let address = probe.local_addr().expect("its address");
            drop(probe);
            let stack = edge_nal_std::Stack::new();
            let listener = stack.bind(address).await.expect("to listen");
            sender.send(address).expect("the test waits for it");
            let handler = |request: &Request<'_>| match request.path() {
                "/large" => Response::bytes("application/octet-stream", &LARGE[..]),
                _ => Response::text("hello\n"),
            };
            serve(listener, Limits::default(), handler).await
        })
    });
    receiver.recv().expect("the server's address")
}

fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("to connect");
    stream.write_all(request).expect("to send");
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .expect("the whole response and an orderly end");
    bytes
}

#[test]
fn over_real_sockets() {
    let address = start();
    let hello = exchange(
        address,
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(answer(hello).text(), "hello\n");
    let large = exchange(address, b"GET /large HTTP/1.0\r\n\r\n");
    assert_eq!(answer(large).body.len(), 3_000_000);

    // The response to a refused upload arrives although the client has sent more than that.
    let mut upload = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n".to_vec();
    upload.resize(upload.len() + 20_000, b'x');
    assert_eq!(answer(exchange(address, &upload)).status, 413);

    let mut stream = TcpStream::connect(address).expect("to connect");
    stream
        .write_all("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50).as_bytes())
        .expect("to send");
    stream.shutdown(Shutdown::Write).expect("to close one side");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the responses");
    assert_eq!(answers(&bytes, &[]).len(), 50);
}

#[test]
fn two_hundred_and_fifty_six_real_connections_at_once() {
    let address = start();
    let mut streams: Vec<_> = (0..256)
        .map(|_| TcpStream::connect(address).expect("to connect"))
        .collect();
    for stream in &mut streams {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("to send");
    }
    for stream in &mut streams {
        let mut bytes = vec![0; 4096];
        let count = stream.read(&mut bytes).expect("a response");
        assert_eq!(answer(&bytes[..count]).text(), "hello\n");
    }
}
