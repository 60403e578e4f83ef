//! Started images: [`Machine`] says how, [`Guest`] is one that runs.
//!
//! A guest is a child process of the test: the tool that starts QEMU, QEMU itself where the tool has
//! no option for what is tested, or the executable of board `unix`. It ends with the test.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::{Folder, Lab, free_port};
use crate::network::{GUEST_MAC, TAP};
use crate::{DEADLINE, Namespace, wait_until};

/// The folder of the workspace.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// How an image is started by the tool.
#[derive(Debug)]
pub struct Machine<'a> {
    lab: &'a Lab,
    app: &'a str,
    board: &'a str,
    options: Vec<String>,
    namespace: Option<&'a Namespace>,
    by_dhcp: bool,
}

impl Lab {
    /// The image of `app` in the machine that users get when they ask for no other.
    pub fn machine<'a>(&'a self, app: &'a str) -> Machine<'a> {
        Machine {
            lab: self,
            app,
            board: "virt",
            options: Vec::new(),
            namespace: None,
            by_dhcp: false,
        }
    }

    /// Starts the executable of `app` for board `unix`.
    pub fn process(&self, app: &str, arguments: &[&str]) -> Guest {
        self.process_at((Ipv4Addr::LOCALHOST, free_port()).into(), app, arguments)
    }

    /// The same where another one was before.
    pub fn process_at(&self, address: SocketAddr, app: &str, arguments: &[&str]) -> Guest {
        let mut command = self.supervised(self.executable(app));
        command
            .arg(format!("port={}", address.port()))
            .args(arguments);
        Guest::start(command, Some(address), None)
    }

    /// The same with an IP stack of its own, on the namespace's tap.
    pub fn process_on(&self, namespace: &Namespace, app: &str, arguments: &[&str]) -> Guest {
        let mut command = namespace.command(self, self.executable(app));
        let mac = GUEST_MAC.map(|byte| format!("{byte:02x}")).join(":");
        command.args([format!("tap={TAP}"), format!("mac={mac}")]);
        command.args(arguments);
        Guest::start(command, Some(namespace.guest()), None)
    }

    /// QEMU's `virt` machine without a network, for an image, its command line and more options.
    pub fn bare(&self, board: &str, app: &str, line: &str, more: &[&str]) -> Guest {
        self.virt(
            board,
            app,
            &[&["-nic", "none", "-append", line], more].concat(),
        )
    }

    /// QEMU's `virt` machine for an image, with more options.
    pub fn virt(&self, board: &str, app: &str, more: &[&str]) -> Guest {
        let image = self.image(app, board).display().to_string();
        let (program, cpu) = match board {
            "virt-armv7" | "cubieboard2" => ("qemu-system-arm", "cortex-a7"),
            _ => ("qemu-system-aarch64", "cortex-a57"),
        };
        let machine = ["-M", "virt", "-cpu", cpu, "-m", "64M"];
        self.qemu(
            program,
            &[&machine[..], &["-kernel", &image], more].concat(),
        )
    }

    /// Starts QEMU itself.
    pub fn qemu(&self, program: &str, words: &[&str]) -> Guest {
        let mut command = self.supervised(program);
        command.args(["-nographic", "-no-reboot"]).args(words);
        Guest::start(command, None, None)
    }

    /// Starts the tool, in the workspace.
    pub fn command(&self, words: &[&str]) -> Guest {
        self.in_workspace(self.tool().as_os_str(), words)
    }

    /// Starts the tool in the workspace, with the namespace's network.
    pub fn command_on(&self, namespace: &Namespace, words: &[&str]) -> Guest {
        let mut command = namespace.command(self, self.tool());
        command.args(words).current_dir(WORKSPACE);
        Guest::start(command, None, None)
    }

    /// Starts cargo, in the workspace.
    pub fn cargo(&self, words: &[&str]) -> Guest {
        self.in_workspace(OsStr::new("cargo"), words)
    }

    fn in_workspace(&self, program: &OsStr, words: &[&str]) -> Guest {
        let mut command = self.supervised(program);
        command.args(words).current_dir(WORKSPACE);
        Guest::start(command, None, None)
    }

    /// A command that dies with the thread that starts it, however that ends.
    pub fn supervised(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(self.tool());
        command
            .args(["supervise", &std::process::id().to_string(), "--"])
            .arg(program);
        command
    }
}

impl<'a> Machine<'a> {
    /// Gives the tool more options.
    #[must_use]
    pub fn options(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(ToString::to_string));
        self
    }

    /// Takes the image for this board instead of `virt`.
    #[must_use]
    pub fn board(mut self, board: &'a str) -> Self {
        self.board = board;
        self
    }

    /// Gives the guest a boot argument.
    #[must_use]
    pub fn argument(self, argument: &str) -> Self {
        self.options(&["--arg", argument])
    }

    /// Connects the guest to the namespace's tap, with an address of its own there.
    #[must_use]
    pub fn network(mut self, namespace: &'a Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Connects the guest to the namespace's tap, where it asks for an address.
    #[must_use]
    pub fn dhcp(mut self, namespace: &'a Namespace) -> Self {
        self.by_dhcp = true;
        self.network(namespace)
    }

    /// Starts it.
    pub fn start(self) -> Guest {
        let folder = self.lab.folder();
        let elf = self.lab.elf_in(&folder, self.app, self.board);
        let (mut command, address) = match self.namespace {
            Some(namespace) => (
                namespace.command(self.lab, self.lab.tool()),
                namespace.guest(),
            ),
            None => (
                self.lab.supervised(self.lab.tool()),
                (Ipv4Addr::LOCALHOST, free_port()).into(),
            ),
        };
        command.arg("run-image").arg(&elf);
        match self.namespace {
            Some(_) => command.args(["--tap", TAP]),
            None => command.args(["--port", &address.port().to_string()]),
        };
        if let (Some(namespace), false) = (self.namespace, self.by_dhcp) {
            let place = namespace.place();
            command.args(place.iter().flat_map(|argument| ["--arg", argument]));
        }
        command.args(&self.options);
        Guest::start(command, Some(address), Some(folder))
    }
}

/// An image that runs, or has run.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    console: Arc<Mutex<Vec<String>>>,
    readers: Vec<std::thread::JoinHandle<()>>,
    address: Option<SocketAddr>,
    folder: Option<Folder>,
}

impl Guest {
    /// Starts any command that dies with the thread that starts it.
    pub fn of(command: Command) -> Self {
        Self::start(command, None, None)
    }

    pub(crate) fn start(
        mut command: Command,
        address: Option<SocketAddr>,
        folder: Option<Folder>,
    ) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the tool can be started");
        let console = Arc::default();
        let readers = vec![
            collect(
                child.stdout.take().expect("it is a pipe"),
                Arc::clone(&console),
            ),
            collect(
                child.stderr.take().expect("it is a pipe"),
                Arc::clone(&console),
            ),
        ];
        Self {
            child,
            console,
            readers,
            address,
            folder,
        }
    }

    /// Everything that it and the tool have printed.
    pub fn console(&self) -> String {
        self.lines().join("\n")
    }

    fn lines(&self) -> Vec<String> {
        self.console
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the first line with `needle` in it, as soon as there is one.
    ///
    /// # Panics
    /// When there is none within the deadline or the guest ends without.
    pub fn wait_for_line(&mut self, needle: &str) -> String {
        self.wait_for_line_within(needle, DEADLINE)
    }

    /// The same, with another deadline.
    pub fn wait_for_line_within(&mut self, needle: &str, deadline: Duration) -> String {
        let what = format!("a line with {needle:?}");
        self.wait(&what, deadline, |guest| {
            let ended = guest.has_ended();
            let found = guest.lines().into_iter().find(|line| line.contains(needle));
            assert!(
                found.is_some() || !ended,
                "no {what} before the end:\n{}",
                guest.console()
            );
            found
        })
    }

    /// Waits until it says where it listens; returns the address at which this machine reaches it.
    pub fn wait_until_it_listens(&mut self) -> SocketAddr {
        self.wait_for_line("listening on TCP port");
        self.address()
    }

    /// Waits until it says where it listens; returns that address, which it may have by DHCP.
    pub fn wait_for_its_address(&mut self) -> SocketAddr {
        address_in(&self.wait_for_line("listening on TCP port"))
    }

    /// Waits until the tool says where it can be opened; returns that address.
    pub fn wait_until_open(&mut self) -> SocketAddr {
        address_in(&self.wait_for_line("open http://"))
    }

    /// Where this machine reaches it.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("a guest with a network")
    }

    /// Waits for the end; returns the exit code.
    ///
    /// # Panics
    /// When it does not end within the deadline, or by a signal.
    pub fn wait_for_exit(&mut self) -> i32 {
        let status = self.wait_for_status();
        status
            .code()
            .unwrap_or_else(|| panic!("{status}:\n{}", self.console()))
    }

    /// Waits for the end.
    pub fn wait_for_status(&mut self) -> ExitStatus {
        let status = self.wait("its end", DEADLINE, |guest| {
            guest.child.try_wait().expect("it is our child")
        });
        for reader in self.readers.drain(..) {
            reader
                .join()
                .expect("the reader of the console does not panic");
        }
        status
    }

    /// Returns whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        // Its last lines may be on their way until the pipes end.
        let ended = self.child.try_wait().expect("it is our child").is_some();
        ended
            && self
                .readers
                .iter()
                .all(std::thread::JoinHandle::is_finished)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where the tool has put the image.
    pub fn folder(&self) -> &Folder {
        self.folder
            .as_ref()
            .expect("a guest that the tool has made an image for")
    }

    /// Sends a signal to its process.
    pub fn signal(&self, signal: Signal) {
        kill(pid(self.pid()), signal).expect("it runs");
    }

    /// Fails unless it has said all of these, in this order.
    pub fn assert_said(&self, steps: &[&str]) {
        let console = self.console();
        let mut rest = console.as_str();
        for step in steps {
            let Some(at) = rest.find(step) else {
                panic!("{step:?} is missing or late:\n{console}");
            };
            rest = &rest[at..];
        }
    }

    /// Fails if it has panicked, ended or met an exception.
    pub fn assert_well(&mut self) {
        let console = self.console();
        let bad = ["PANIC", "EXCEPTION", "crashed"]
            .iter()
            .any(|word| console.contains(word));
        assert!(
            !bad && !self.has_ended(),
            "the guest is not well:\n{console}"
        );
    }

    fn wait<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut ready: impl FnMut(&mut Self) -> Option<T>,
    ) -> T {
        let end = std::time::Instant::now() + deadline;
        wait_until(what, deadline + Duration::from_secs(1), || {
            let value = ready(self);
            let late = value.is_none() && std::time::Instant::now() >= end;
            assert!(
                !late,
                "waited {deadline:?} in vain: {what}; console:\n{}",
                self.console()
            );
            value
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("console:\n{}", self.console());
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            // The tool ends QEMU; killed, it takes it along.
            let _ = kill(pid(self.pid()), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// The address in a line that ends with a URL.
fn address_in(line: &str) -> SocketAddr {
    let url = line.split_once("http://").map(|(_, rest)| rest);
    let address = url.and_then(|rest| rest.trim_end_matches('/').parse().ok());
    address.unwrap_or_else(|| panic!("no address: {line}"))
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed())
}

/// Appends the lines that `pipe` yields to `console`.
fn collect(
    pipe: impl Read + Send + 'static,
    console: Arc<Mutex<Vec<String>>>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            console
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
        }
    })
}

/// The processes whose parent is `parent`.
pub fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("Linux has /proc");
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    let processes = processes.filter_map(|entry| number(entry.ok()?));
    processes
        .filter(|process| parent_of(*process) == Some(parent))
        .collect()
}

/// The words by which `name` was started, of the processes below `parent`; `None` where there is none of that name.
pub fn words_of(name: &str, parent: u32) -> Option<Vec<String>> {
    children(parent).into_iter().find_map(|child| {
        if program(child)? != name {
            return words_of(name, child);
        }
        let line = std::fs::read(format!("/proc/{child}/cmdline")).ok()?;
        let words = line.split(|byte| *byte == 0);
        let words = words.map(|it| String::from_utf8_lossy(it).into_owned());
        Some(words.collect())
    })
}

fn parent_of(process: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

/// The program that a process runs; `None` where there is no such process or only its remains.
pub fn program(process: u32) -> Option<String> {
    let path = std::fs::read_link(format!("/proc/{process}/exe")).ok()?;
    Some(path.file_name()?.to_string_lossy().into_owned())
}
