//! Datagrams of 64 bytes that are to come back (RFC 862), some of them under way at the same time.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Load, Outcome, Tally, name};

/// Bytes of a datagram; the first eight number it.
const LENGTH: usize = 64;

/// After so long a silence, what is under way counts as lost.
const LOST: Duration = Duration::from_millis(300);

/// After so many losses in a row nobody answers.
const MOST_SILENCES: u32 = 10;

pub(super) fn run(load: &Load) -> Result<Outcome> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).context("cannot open a UDP socket")?;
    socket.connect(load.address)?;
    socket.set_read_timeout(Some(LOST))?;
    let began = Instant::now();
    let end = began + Duration::from_secs(load.seconds);
    let mut flight = Flight::default();
    let mut tally = Tally::default();
    let mut silences = 0;
    while tally.done < load.count && Instant::now() < end && silences < MOST_SILENCES {
        while flight.aloft() < load.clients as u64 {
            let mut datagram = [0; LENGTH];
            datagram[..8].copy_from_slice(&flight.next().to_be_bytes());
            if let Err(error) = socket.send(&datagram) {
                tally.fail(name(&error), 1);
            }
        }
        let mut answer = [0; LENGTH];
        match socket.recv(&mut answer) {
            Ok(length) => {
                if flight.land(&answer[..length]) {
                    tally.done += 1;
                    silences = 0;
                }
            }
            Err(_silence) => {
                silences += 1;
                tally.fail("lost", flight.give_up());
            }
        }
    }
    Ok(tally.outcome(began.elapsed()))
}

/// What is under way: numbers from `first` on, less those that have come back.
#[derive(Debug, Default)]
struct Flight {
    /// Earlier ones count no more.
    first: u64,
    sent: u64,
    landed: u64,
}

impl Flight {
    /// How many are under way.
    fn aloft(&self) -> u64 {
        self.sent - self.first - self.landed
    }

    /// The number of the next datagram, which is under way from here on.
    fn next(&mut self) -> u64 {
        self.sent += 1;
        self.sent - 1
    }

    /// Returns whether a datagram is one of those under way.
    fn land(&mut self, datagram: &[u8]) -> bool {
        let number = datagram.get(..8).and_then(|bytes| bytes.try_into().ok());
        let number = number.map(u64::from_be_bytes);
        let is_ours = datagram.len() == LENGTH
            && number.is_some_and(|number| (self.first..self.sent).contains(&number))
            && self.aloft() > 0;
        self.landed += u64::from(is_ours);
        is_ours
    }

    /// Counts all that are under way as lost; returns how many.
    fn give_up(&mut self) -> u64 {
        let lost = self.aloft();
        self.first = self.sent;
        self.landed = 0;
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(number: u64) -> [u8; LENGTH] {
        let mut datagram = [0; LENGTH];
        datagram[..8].copy_from_slice(&number.to_be_bytes());
        datagram
    }

    #[test]
    fn what_was_given_up_counts_no_more() {
        let mut flight = Flight::default();
        assert_eq!([flight.next(), flight.next()], [0, 1]);
        assert!(flight.land(&datagram(1)));
        assert!(!flight.land(&datagram(2)));
        assert_eq!(flight.give_up(), 1);
        assert_eq!(flight.aloft(), 0);
        assert_eq!(flight.next(), 2);
        assert!(!flight.land(&datagram(0)));
        assert!(!flight.land(&datagram(2)[..32]));
        assert!(flight.land(&datagram(2)));
    }

    #[test]
    fn datagrams_come_back() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = server.local_addr().expect("it is bound");
        let echo = std::thread::spawn(move || {
            for _ in 0..20 {
                let mut buffer = [0; 128];
                let (length, from) = server.recv_from(&mut buffer).expect("a datagram");
                server
                    .send_to(&buffer[..length], from)
                    .expect("the client is there");
            }
        });
        let load = Load {
            address,
            clients: 4,
            seconds: 60,
            count: 17,
        };
        let outcome = run(&load).expect("it runs");
        assert_eq!((outcome.done, outcome.errors.len()), (17, 0));
        echo.join().expect("the server ends");
    }
}
