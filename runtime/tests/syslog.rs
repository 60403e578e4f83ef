//! Log lines as a syslog server gets them.

#![forbid(unsafe_code)]
#![cfg(feature = "syslog")]

mod support;

use embassy_time::Timer;
use landfall::{
    ExitCode, System,
    log::{debug, info, warn},
    metrics::Metrics,
};
use std::{
    cell::RefCell,
    io::ErrorKind,
    net::{Ipv4Addr, UdpSocket},
    rc::Rc,
    time::Duration,
};
use support::{Ended, Scenario};

/// Runs an app on this host's sockets with a server's port; returns how it ended and what the server got.
fn run<F: Future<Output = ()> + 'static>(
    app: impl FnOnce(System) -> F + 'static,
) -> (Ended, Vec<String>) {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = server.local_addr().expect("it is bound");
    let scenario = Scenario {
        arguments: format!("syslog={address} log=info,clock=off,entropy=off").leak(),
        host_sockets: true,
        ..Scenario::default()
    };
    let ended = scenario.run(async move |system| {
        app(system).await;
        Ok::<_, String>(())
    });
    server
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("not zero");
    let mut messages = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        match server.recv(&mut buffer) {
            Ok(length) => messages.push(String::from_utf8_lossy(&buffer[..length]).into_owned()),
            Err(error) => {
                assert!(matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut
                ));
                return (ended, messages);
            }
        }
    }
}

#[test]
fn a_server_gets_what_the_console_shows() {
    let (ended, messages) = run(async |_| {
        info!("for all");
        warn!(target: "mine", "for {}", "all, too");
        debug!("for nobody");
    });
    assert_eq!(ended.code, ExitCode::Success);
    assert_eq!(
        messages,
        [
            "<14>1 - - app - syslog - for all",
            "<12>1 - - app - mine - for all, too",
            "<14>1 - - app - app - ended",
        ]
    );
    ended.says("INFO  syslog: for all\n");
}

#[test]
fn what_finds_no_room_is_dropped_and_counted() {
    let page = Rc::new(RefCell::new(String::new()));
    let made = page.clone();
    let (ended, messages) = run(async move |system| {
        for number in 0..100 {
            info!("line {number}");
        }
        Timer::after_millis(100).await;
        *made.borrow_mut() = Metrics::new(&system).render();
    });
    assert_eq!(ended.code, ExitCode::Success);
    ended.says("line 99\n");
    assert!(messages[63].ends_with(" line 63"), "{messages:?}");
    assert_eq!(
        messages[64],
        "<12>1 - - app - syslog - 36 log lines were dropped"
    );
    assert!(messages[65].ends_with(" ended"), "{messages:?}");
    let page = page.take();
    assert!(
        page.contains("\nlandfall_log_lines_dropped_total 36\n"),
        "{page}"
    );
}

#[test]
fn a_server_needs_a_network_and_an_address() {
    for (arguments, sentence) in [
        (
            "syslog=10.0.2",
            "syslog=10.0.2: expected an address such as 10.0.2.2",
        ),
        ("syslog=10.0.2.2", "this app needs a network device"),
    ] {
        let scenario = Scenario {
            arguments,
            ..Scenario::default()
        };
        let ended = scenario.run(async |_| Ok::<_, String>(()));
        assert_ne!(ended.code, ExitCode::Success);
        ended.says(sentence);
    }
}
