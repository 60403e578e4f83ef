//! A socket whose other end the test plays, and time that passes only when nothing else happens.

// Each test program uses its own part of this.
#![allow(dead_code, unreachable_pub)]

#[path = "../../../http/tests/support/clock.rs"]
mod clock;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use domain::base::message_builder::AnswerBuilder;
use domain::base::{Message, MessageBuilder, Name};
use edge_nal::{UdpReceive, UdpSend};
use octseq::array::Array;

pub type Bytes = Array<512>;

/// A datagram and whoever is at its other end.
pub type Datagram = (Vec<u8>, SocketAddr);

/// What the other end does with what it gets.
type Peer = Box<dyn FnMut(&[u8], SocketAddr) -> Vec<Datagram>>;

/// One end of a wire.
#[derive(Clone)]
pub struct Socket {
    pub incoming: Rc<RefCell<VecDeque<Datagram>>>,
    pub sent: Rc<RefCell<Vec<(u64, Datagram)>>>,
    peer: Rc<RefCell<Peer>>,
}

impl Socket {
    pub fn new(peer: impl FnMut(&[u8], SocketAddr) -> Vec<Datagram> + 'static) -> Self {
        Self {
            incoming: Rc::default(),
            sent: Rc::default(),
            peer: Rc::new(RefCell::new(Box::new(peer))),
        }
    }
}

impl embedded_io_async::ErrorType for Socket {
    type Error = Infallible;
}

impl UdpSend for Socket {
    async fn send(&mut self, remote: SocketAddr, data: &[u8]) -> Result<(), Infallible> {
        let answers = (self.peer.borrow_mut())(data, remote);
        self.sent
            .borrow_mut()
            .push((now_ms(), (data.to_vec(), remote)));
        self.incoming.borrow_mut().extend(answers);
        Ok(())
    }
}

impl UdpReceive for Socket {
    async fn receive(&mut self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Infallible> {
        let (data, from) = poll_fn(|_| match self.incoming.borrow_mut().pop_front() {
            Some(datagram) => Poll::Ready(datagram),
            None => Poll::Pending,
        })
        .await;
        let length = data.len().min(buffer.len());
        buffer[..length].copy_from_slice(&data[..length]);
        Ok((length, from))
    }
}

pub fn now_ms() -> u64 {
    embassy_time::Instant::now().as_millis()
}

/// Runs `future` to its end, or for `limit_ms`; time passes when it waits.
pub fn run<T>(limit_ms: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..limit_ms / 10 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        clock::advance(10_000);
    }
    None
}

pub fn name(text: &str) -> Name<Array<255>> {
    Name::from_chars(text.chars()).unwrap()
}

/// Begins the answer to a question.
pub fn answer_to(question: &[u8]) -> AnswerBuilder<Bytes> {
    let question = Message::from_octets(question).unwrap();
    let mut builder = MessageBuilder::from_target(Bytes::default()).unwrap();
    builder.header_mut().set_id(question.header().id());
    builder.header_mut().set_qr(true);
    let mut questions = builder.question();
    for asked in question.question().flatten() {
        questions.push((asked.qname(), asked.qtype())).unwrap();
    }
    questions.answer()
}
