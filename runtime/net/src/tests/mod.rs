//! Two stacks on a simulated wire, on a virtual clock: everything here repeats exactly.

pub(crate) mod clock;
mod dhcp;
mod faults;
#[cfg(feature = "multicast")]
mod groups;
mod hostile;
#[cfg(feature = "ipv6")]
mod ipv6;
mod lifecycle;
mod peers;
mod transfer;
mod wire;

use core::future::Future;
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::Pin;
use core::task::{Context, Waker};
use std::boxed::Box;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::vec::Vec;

use embedded_io_async::{Read, Write};

use crate::{AddressConfig, Config, Stack, TcpSocket};
use wire::{Faults, Wire};

/// A seeded source of numbers (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    flag: Arc<Flag>,
}

impl Task {
    fn new(future: impl Future<Output = ()> + 'static) -> Task {
        Task {
            future: Box::pin(future),
            flag: Arc::new(Flag(AtomicBool::new(true))),
        }
    }
}

/// An executor whose clock jumps to the next timer when nothing is runnable.
#[derive(Clone, Default)]
struct World {
    new: Rc<RefCell<Vec<Task>>>,
    /// Looked at whenever nothing is runnable.
    stacks: Rc<RefCell<Vec<Stack>>>,
}

impl World {
    fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.new.borrow_mut().push(Task::new(future));
    }

    /// Runs until `main` is done, for at most an hour of simulated time.
    fn run<T: 'static>(&self, main: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(RefCell::new(None));
        let place = result.clone();
        self.spawn(async move {
            let value = main.await;
            place.borrow_mut().replace(value);
        });
        let end = clock::now() + crate::clock::Duration::from_secs(3600);
        let mut tasks: Vec<Task> = Vec::new();
        loop {
            tasks.append(&mut self.new.borrow_mut());
            let mut moved = false;
            let mut index = 0;
            while index < tasks.len() {
                let task = &mut tasks[index];
                if task.flag.0.swap(false, Ordering::Relaxed) {
                    moved = true;
                    let waker = Waker::from(task.flag.clone());
                    if task
                        .future
                        .as_mut()
                        .poll(&mut Context::from_waker(&waker))
                        .is_ready()
                    {
                        drop(tasks.remove(index));
                        continue;
                    }
                }
                index += 1;
            }
            if let Some(value) = result.borrow_mut().take() {
                // The runners and servers go on in the next run.
                self.new.borrow_mut().append(&mut tasks);
                return value;
            }
            if !moved && self.new.borrow().is_empty() {
                self.stacks.borrow().iter().for_each(assert_timed);
                assert!(clock::advance(), "everything waits and nothing will happen");
                assert!(clock::now() < end, "not done within an hour");
            }
        }
    }
}

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const PORT: u16 = 80;

fn server_address() -> SocketAddr {
    (SERVER, PORT).into()
}

fn config(address: Ipv4Addr) -> Config {
    let address = AddressConfig::Static {
        address,
        prefix: 16,
        gateway: None,
    };
    without_ipv6(Config::new(address, 0x1234))
}

/// Tests of IPv4 are the same in builds without and with IPv6.
fn without_ipv6(config: Config) -> Config {
    Config {
        #[cfg(feature = "ipv6")]
        ipv6: crate::Ipv6Config::Off,
        ..config
    }
}

/// A server and a client on one wire.
struct Pair {
    world: World,
    wire: Wire,
    server: Stack,
    client: Stack,
}

impl Pair {
    fn new(faults: Faults) -> Pair {
        Pair::with(faults, config(SERVER), config(CLIENT))
    }

    fn with(faults: Faults, server: Config, client: Config) -> Pair {
        let world = World::default();
        let wire = Wire::new(faults);
        let (server, mut runner) = crate::new(wire.end(0), server).unwrap();
        world.spawn(async move { runner.run().await });
        let (client, mut runner) = crate::new(wire.end(1), client).unwrap();
        world.spawn(async move { runner.run().await });
        world
            .stacks
            .borrow_mut()
            .extend([server.clone(), client.clone()]);
        Pair {
            world,
            wire,
            server,
            client,
        }
    }

    /// Serves `PORT`: each connection gets back what it sends.
    fn serve_echo(&self) {
        let listener = self.server.bind_tcp(PORT).unwrap();
        let world = self.world.clone();
        self.world.spawn(async move {
            loop {
                let (_, mut socket) = listener.accept().await.unwrap();
                world.spawn(async move {
                    let _ = echo(&mut socket).await;
                });
            }
        });
    }

    /// Waits until neither side has connections any more, TIME-WAIT included.
    async fn until_empty(server: Stack, client: Stack) {
        for _ in 0..600 {
            if server.connections().total() + client.connections().total() == 0 {
                break;
            }
            clock::sleep_ms(100).await;
        }
        assert_empty(&server);
        assert_empty(&client);
    }
}

/// Checks that every connection that rests is asked again before it is late.
fn assert_timed(stack: &Stack) {
    stack.with(|inner| {
        // Crowds would take long.
        for id in inner.connections.ids().into_iter().take(20) {
            let connection = inner.connections.get(id).unwrap();
            let schedule = &connection.schedule;
            let rests = !schedule.dirty && schedule.waits_for.is_none();
            if let (true, Some(due)) = (rests, connection.tcp.poll_at()) {
                let timer = schedule.timer.map(crate::tcp::micros);
                assert!(timer.is_some_and(|at| at <= due), "{timer:?} for {due}");
            }
        }
    });
}

/// Checks that nothing is left of any connection.
fn assert_empty(stack: &Stack) {
    assert_eq!(stack.connections(), crate::ConnectionCounts::default());
    stack.with(|inner| {
        assert_eq!(inner.connections.len(), 0);
        assert!(inner.flows.names().next().is_none() && inner.time_wait.is_empty());
        assert!(inner.waiting.is_empty());
        assert!(inner.listeners.values().all(|backlog| backlog.len() == 0));
        assert!(
            inner
                .timers
                .iter()
                .all(|(_, work)| !matches!(work, crate::connection::Work::Tcp(_)))
        );
    });
}

async fn echo(socket: &mut TcpSocket) -> Result<(), crate::Error> {
    let mut data = [0; 1500];
    loop {
        let length = socket.read(&mut data).await?;
        if length == 0 {
            return Ok(());
        }
        socket.write_all(&data[..length]).await?;
    }
}

async fn read_exactly(socket: &mut TcpSocket, length: usize) -> Vec<u8> {
    let mut data = std::vec![0; length];
    socket.read_exact(&mut data).await.unwrap();
    data
}

/// Connects to the echo server and checks that it answers.
async fn ask(client: &Stack) -> TcpSocket {
    let mut socket = client.connect_tcp(server_address()).await.unwrap();
    socket.write_all(b"hello").await.unwrap();
    assert_eq!(read_exactly(&mut socket, 5).await, b"hello");
    socket
}

/// Runs two futures at once.
async fn join<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (core::pin::pin!(a), core::pin::pin!(b));
    let (mut done_a, mut done_b) = (None, None);
    core::future::poll_fn(|cx| {
        use core::task::Poll;
        if done_a.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            done_a = Some(value);
        }
        if done_b.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            done_b = Some(value);
        }
        if done_a.is_some() && done_b.is_some() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    (done_a.expect("just filled"), done_b.expect("just filled"))
}
