//! Tasks, a client and a daemon, until the tasks are done.
//!
//! Nothing goes on without a reason: a task is polled only when it was woken, the daemon looks at the
//! rings only when it was notified. So a wake-up or a notification that is missing shows as tasks that
//! wait while nobody has anything to do.

use super::model::Model;
use crate::{
    events::EventChannels,
    hypercall::{host, number},
    memory::SharedMemory,
    shared_info::tests::raise,
    xenstore::{
        Xenstore,
        hostile::{Daemon, Message, PORT, connect},
    },
};
use alloc::{boxed::Box, rc::Rc, sync::Arc, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Waker},
};
use std::task::Wake;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Flag>,
}

impl Task {
    fn new(future: impl Future<Output = ()> + 'static) -> Self {
        Self {
            future: Box::pin(future),
            woken: Arc::new(Flag(AtomicBool::new(true))),
        }
    }

    fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::Relaxed)
    }

    /// Polls it when it was woken; returns whether it is done.
    fn go_on(&mut self) -> bool {
        if !self.woken.0.swap(false, Ordering::Relaxed) {
            return false;
        }
        let waker = Waker::from(self.woken.clone());
        let poll = self.future.as_mut().poll(&mut Context::from_waker(&waker));
        poll.is_ready()
    }
}

pub(crate) struct World {
    pub(crate) store: Xenstore,
    pub(crate) model: Rc<RefCell<Model>>,
    pub(crate) daemon: Daemon,
    pub(crate) channels: EventChannels,
    /// What is done when another than the store's port is notified.
    pub(crate) on_notify: Rc<RefCell<Option<Notified>>>,
    info: SharedMemory,
    mover: Task,
    tasks: Vec<Task>,
    /// Messages that the daemon has yet to send.
    held: Vec<Message>,
    /// The daemon was notified.
    notified: Rc<Cell<bool>>,
    /// The daemon waits for room in the ring.
    blocked: bool,
    random: u32,
    /// Bytes that the daemon writes at a time, at most.
    piece: usize,
}

impl World {
    /// `seed` decides in which order the daemon answers.
    pub(crate) fn new(seed: u32, piece: usize) -> Self {
        let (store, daemon, channels, info) = connect();
        let (notified, on_notify) = xen();
        let moving = store.clone();
        let mut world = Self {
            mover: Task::new(async move { moving.run().await }),
            store,
            model: Rc::default(),
            daemon,
            channels,
            on_notify,
            info,
            tasks: Vec::new(),
            held: Vec::new(),
            notified,
            blocked: false,
            random: seed,
            piece,
        };
        world.mover.go_on();
        world
    }

    /// Returns a number below `limit`.
    fn random(&mut self, limit: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        (self.random >> 8) as usize % limit
    }

    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + 'static) {
        self.tasks.push(Task::new(task));
    }

    /// Runs one task to its end; returns its result.
    pub(crate) fn run<R: 'static>(&mut self, task: impl Future<Output = R> + 'static) -> R {
        let result = Rc::new(RefCell::new(None));
        let place = result.clone();
        self.spawn(async move {
            let value = task.await;
            place.borrow_mut().replace(value);
        });
        self.run_all();
        result.take().expect("the task was run to its end")
    }

    /// Runs everything until the tasks are done.
    pub(crate) fn run_all(&mut self) {
        while !self.tasks.is_empty() {
            assert!(self.go_on(), "all wait for each other");
        }
    }

    /// Runs everything until nobody has anything to do.
    pub(crate) fn settle(&mut self) {
        while self.go_on() {}
    }

    /// Changes a key as the toolstack would.
    pub(crate) fn set(&mut self, path: &str, value: &str) {
        let events = self.model.borrow_mut().set(path, value);
        self.held.extend(events);
    }

    /// Lets everybody go on; returns whether somebody did.
    fn go_on(&mut self) -> bool {
        let woken = self.mover.is_woken() || self.tasks.iter().any(Task::is_woken);
        self.mover.go_on();
        self.tasks.retain_mut(|task| !task.go_on());
        self.serve() || woken
    }

    fn serve(&mut self) -> bool {
        let notified = self.notified.take();
        if notified {
            self.blocked = false;
            let requests = self.daemon.requests().expect("the client is honest");
            for request in requests {
                self.held.extend(self.model.borrow_mut().handle(&request));
            }
            // There is room again.
            self.notify();
        }
        self.send() || notified
    }

    /// Sends what the daemon holds, in any order.
    fn send(&mut self) -> bool {
        if !self.held.is_empty() {
            let pick = self.random(self.held.len());
            let message = self.held.swap_remove(pick);
            self.daemon.waiting.extend(message.bytes());
        }
        let wanted = (1 + self.random(self.piece)).min(self.daemon.waiting.len());
        if self.blocked || wanted == 0 {
            return false;
        }
        let sent = self.daemon.send(wanted).expect("the client is honest");
        self.blocked = sent < wanted;
        if sent > 0 {
            self.notify();
        }
        true
    }

    fn notify(&self) {
        self.raise(PORT as u32);
    }

    /// Notifies a port of the client's domain.
    pub(crate) fn raise(&self, port: u32) {
        raise(&self.info, port as usize);
        self.channels.dispatch();
    }
}

/// Takes a port that was notified.
pub(crate) type Notified = Box<dyn FnMut(u32)>;

/// Installs a Xen that has event channels; returns whether the store's was notified, and what is done
/// with others.
fn xen() -> (Rc<Cell<bool>>, Rc<RefCell<Option<Notified>>>) {
    let (notified, on_notify) = <(Rc<Cell<bool>>, Rc<RefCell<Option<Notified>>>)>::default();
    let result = (notified.clone(), on_notify.clone());
    let mut last_port = PORT as u32;
    host::install(Box::new(move |call, [command, structure, _]| {
        match (call, command) {
            (number::EVENT_CHANNEL_OP, 4) => {
                // SAFETY: `struct evtchn_send`: the port.
                let port = unsafe { (structure as *const u32).read() };
                match &mut *on_notify.borrow_mut() {
                    _ if port == PORT as u32 => notified.set(true),
                    Some(act) => act(port),
                    None => {}
                }
            }
            (number::EVENT_CHANNEL_OP, 6) => {
                last_port += 1;
                // SAFETY: `struct evtchn_alloc_unbound`: the port is at offset 4.
                unsafe { ((structure + 4) as *mut u32).write(last_port) };
            }
            _ => {}
        }
        0
    }));
    result
}
