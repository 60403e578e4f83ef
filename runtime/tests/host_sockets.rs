//! The host's sockets, where they differ from our own.

#![forbid(unsafe_code)]

mod support;

use edge_nal::TcpAccept;
use landfall::Error;
use rustix::net::sockopt::set_socket_linger;
use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};
use support::Scenario;

#[test]
fn a_connection_that_is_reset_before_its_turn_is_none() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
    let port = free.expect("a free port").port();
    let scenario = Scenario {
        host_sockets: true,
        shutdown_ms: Some(1000),
        ..Scenario::default()
    };
    scenario.run(async move |system| {
        let listener = system.network()?.bind_tcp(port).await?;
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
        let hasty = connect();
        set_socket_linger(&hasty, Some(Duration::ZERO)).expect("it is a socket");
        drop(hasty);
        let patient = connect();
        let accepted = listener.accept().await.map(|(peer, _)| peer);
        assert_eq!(accepted.ok(), patient.local_addr().ok());
        Ok::<_, Error>(())
    });
}
