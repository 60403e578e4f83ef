//! What becomes of an app whose system is asked to end, and of one that ends by itself.

#![forbid(unsafe_code)]

mod support;

use edge_nal::TcpAccept;
use embassy_time::Timer;
use embedded_io_async::{Error, ErrorKind};
use landfall::ExitCode;
use std::{
    cell::Cell,
    future::{pending, ready},
    rc::Rc,
};
use support::{Scenario, Wire};

/// Asked to end after a second.
fn asked() -> Scenario {
    Scenario {
        shutdown_ms: Some(1000),
        ..Scenario::default()
    }
}

#[test]
fn an_app_that_hears_of_it_ends_in_its_own_time() {
    let ended = asked().run(async |system| {
        system.shutdown_requested().await;
        Timer::after_millis(200).await;
        Ok::<_, String>(())
    });
    assert_eq!((ended.code, ended.after_ms), (ExitCode::Success, 1200));
    ended.says("app: ended\n");
}

#[test]
fn all_who_wait_hear_of_it_and_so_does_who_asks_late() {
    let heard = Rc::new(Cell::new(0));
    let count = heard.clone();
    let ended = asked().run(async move |system| {
        for _ in 0..3 {
            let (system, count) = (system.clone(), count.clone());
            system.clone().spawn(async move {
                system.shutdown_requested().await;
                count.set(count.get() + 1);
            });
        }
        system.shutdown_requested().await;
        Timer::after_millis(100).await;
        system.shutdown_requested().await;
        Ok::<_, String>(())
    });
    assert_eq!(heard.get(), 3);
    assert_eq!((ended.code, ended.after_ms), (ExitCode::Success, 1100));
}

#[test]
fn an_app_that_hears_nothing_is_ended_after_half_a_second() {
    let ended = asked().run(|_| pending::<Result<(), String>>());
    assert_eq!((ended.code, ended.after_ms), (ExitCode::Success, 1500));
    ended.says("app: it did not end within 500 ms and is ended\n");
}

#[test]
fn listeners_end_with_not_connected_and_that_is_a_good_end() {
    let scenario = Scenario {
        arguments: "ip=10.0.0.2/24",
        cards: vec![Wire::default()],
        ..asked()
    };
    let ended = scenario.run(async |system| {
        let listener = system.network()?.bind_tcp(80).await?;
        let error = listener.accept().await.err().expect("nobody connects");
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        let again = system.network()?.bind_tcp(81).await?.accept().await;
        assert_eq!(again.err().expect("it is too late").kind(), error.kind());
        Err::<(), _>(error)
    });
    assert_eq!((ended.code, ended.after_ms), (ExitCode::Success, 1000));
    ended.says("INFO  app: ended: the system is shutting down\n");
}

#[test]
fn listeners_of_the_host_end_as_those_of_cards_do() {
    let scenario = Scenario {
        host_sockets: true,
        ..asked()
    };
    let ended = scenario.run(async |system| {
        let listener = system.network()?.bind_tcp(0).await?;
        let error = listener.accept().await.err().expect("nobody connects");
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        Err::<(), _>(error)
    });
    assert_eq!((ended.code, ended.after_ms), (ExitCode::Success, 1000));
}

#[test]
fn an_app_that_fails_by_itself_is_a_failure() {
    let ended = asked().run(|_| ready(Err("the disk is full")));
    assert_eq!((ended.code, ended.after_ms), (ExitCode::Failure, 0));
    ended.says("ERROR app: the disk is full\n");
}

#[test]
fn an_app_that_ends_by_itself_has_ended_well() {
    let ended = Scenario::default().run(|_| ready(Ok::<_, String>(())));
    assert_eq!(ended.code, ExitCode::Success);
    ended.says("INFO  app: ended\n");
}
