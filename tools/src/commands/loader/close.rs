//! A connection for each request: connect, ask with `Connection: close`, read to the server's end, close.

use super::{Budget, Connection, Load, Outcome, Tally, in_threads};

pub(super) fn run(load: &Load) -> Outcome {
    in_threads(load, |budget: &Budget, tally: &mut Tally| {
        while budget.take() {
            let once = || {
                let mut connection = Connection::open(load.address, "Connection: close\r\n")?;
                connection.ask()?;
                connection.wait_for_end()
            };
            tally.count(once());
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn each_request_has_a_connection_of_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = std::thread::spawn(move || {
            for number in 0..3 {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut request = [0; 256];
                let length = stream.read(&mut request).expect("a request");
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                assert!(request.contains("\r\nConnection: close\r\n"), "{request}");
                let end = if number == 2 { "" } else { "hi" };
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{end}")
                    .expect("the client reads");
            }
        });
        let load = Load {
            address,
            clients: 1,
            seconds: 60,
            count: 3,
        };
        let outcome = run(&load);
        assert_eq!(outcome.done, 2);
        assert_eq!(outcome.errors, ["1 closed early"]);
        server.join().expect("the server ends");
    }
}
