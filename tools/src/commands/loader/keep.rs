//! Requests on connections that are kept. One that breaks is opened again.

use super::{Budget, Connection, Load, Outcome, Tally, in_threads};

pub(super) fn run(load: &Load) -> Outcome {
    in_threads(load, |budget: &Budget, tally: &mut Tally| {
        let mut kept = None;
        while budget.take() {
            let connection = match kept.take() {
                Some(connection) => Ok(connection),
                None => Connection::open(load.address, ""),
            };
            let answer = connection.and_then(|mut connection| {
                connection.ask()?;
                Ok(connection)
            });
            kept = tally.count(answer);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_connection_is_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            for _ in 0..5 {
                let _length = stream.read(&mut [0; 256]).expect("a request");
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
                    .expect("the client reads");
            }
        });
        let load = Load {
            address,
            clients: 1,
            seconds: 60,
            count: 5,
        };
        let outcome = run(&load);
        assert_eq!((outcome.done, outcome.errors.len()), (5, 0));
        server.join().expect("the server ends");
    }
}
