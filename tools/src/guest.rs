//! A guest that runs: its console is shown, its first answer announced, its end explained.
//!
//! The guest is a child process: QEMU for a bare-metal board, the app itself for `unix`.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::console::Console;
use crate::http;
use crate::process::{self, ChildGuard};

/// How often the loop looks at the child and the clock when nothing is printed.
const TICK: Duration = Duration::from_millis(50);

/// How long a guest that has panicked may take to end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How many bytes of error output are kept.
const COMPLAINTS: usize = 4096;

/// The exit code for a panic when the machine could not hand one on.
pub(crate) const PANICKED: u8 = 101;

/// A guest ended with a failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest stopped: {reason}")]
pub(crate) struct GuestStopped {
    /// The panic or exception line, or how the process ended.
    pub(crate) reason: String,
    /// The guest's exit code.
    pub(crate) code: u8,
}

/// How to tell that the guest serves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// It answers HTTP here.
    At(SocketAddr),
    /// It says on the console where it listens.
    OnConsole,
}

enum Event {
    Output(Vec<u8>),
    Error(Vec<u8>),
    Answered,
}

/// A started guest.
pub(crate) struct Guest {
    guard: ChildGuard,
    events: Receiver<Event>,
    sender: Sender<Event>,
    started: Instant,
    done: Arc<AtomicBool>,
    /// What it printed.
    pub(crate) console: Console,
    complaints: String,
    quiet: bool,
}

impl Guest {
    /// Starts the guest; what it prints is shown unless it is `quiet`.
    pub(crate) fn start(command: &mut Command, console: Console, quiet: bool) -> Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut guard = ChildGuard::spawn(command)?;
        let (sender, events) = channel();
        let child = guard.child();
        forward(
            child.stdout.take().context("the output is a pipe")?,
            sender.clone(),
            Event::Output,
        );
        forward(
            child.stderr.take().context("the error output is a pipe")?,
            sender.clone(),
            Event::Error,
        );
        let done = Arc::new(AtomicBool::new(false));
        Ok(Self {
            guard,
            events,
            sender,
            started: Instant::now(),
            done,
            console,
            complaints: String::new(),
            quiet,
        })
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.guard.id()
    }

    /// Shows the console until the guest ends or the user stops it. The guest must have answered
    /// `deadline` after its start; then `announce` is told the URL.
    pub(crate) fn serve(
        &mut self,
        answer: Answer,
        deadline: Option<Duration>,
        announce: impl Fn(&str),
    ) -> Result<()> {
        let deadline = deadline.map(|deadline| self.started + deadline);
        if let Answer::At(address) = answer {
            self.poll(address);
        }
        let mut served = false;
        let mut dead_since = None;
        loop {
            process::check_stopped()?;
            let answered = self.pump(TICK);
            if !served && let Some(url) = self.url(answer, answered) {
                announce(&url);
                served = true;
            }
            if let Some(status) = self.ended()? {
                return self.verdict(status);
            }
            if let Some(code) = self.console.stopped() {
                self.guard.stop();
                return match code {
                    0 => Ok(()),
                    code => Err(self
                        .stopped(code, &format!("it stopped with code {code}"))
                        .into()),
                };
            }
            if self.console.death().is_some() {
                let since = *dead_since.get_or_insert_with(Instant::now);
                if since.elapsed() > LAST_WORDS {
                    self.guard.stop();
                    return Err(self
                        .stopped(PANICKED, "no exit after its last words")
                        .into());
                }
            }
            if !served && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                bail!("{}", self.silence());
            }
        }
    }

    fn url(&self, answer: Answer, answered: bool) -> Option<String> {
        match answer {
            Answer::At(address) => answered.then(|| format!("http://{address}/")),
            Answer::OnConsole => self.console.url().map(str::to_owned),
        }
    }

    /// Asks `address` in the background until it answers.
    fn poll(&self, address: SocketAddr) {
        let (sender, done) = (self.sender.clone(), Arc::clone(&self.done));
        std::thread::spawn(move || {
            if http::poll(address, None, || done.load(Ordering::Relaxed)).is_some() {
                // The guest may have ended meanwhile, and nobody listens.
                let _gone = sender.send(Event::Answered);
            }
        });
    }

    /// Takes what the guest printed within `patience`; returns whether it has answered.
    pub(crate) fn pump(&mut self, patience: Duration) -> bool {
        let mut answered = false;
        let mut next = match self.events.recv_timeout(patience) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let rest = self.console.flush();
                self.show(&rest);
                None
            }
        };
        while let Some(event) = next {
            match event {
                Event::Output(bytes) => {
                    let text = self.console.feed(&bytes);
                    self.show(&text);
                }
                Event::Error(bytes) => self.complain(&bytes),
                Event::Answered => answered = true,
            }
            next = self.events.try_recv().ok();
        }
        answered
    }

    fn show(&self, text: &str) {
        if !self.quiet && !text.is_empty() {
            print!("{text}");
        }
    }

    fn complain(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if !self.quiet {
            eprint!("{text}");
        }
        // Only the first are of use: they tell why QEMU does not start.
        if self.complaints.len() < COMPLAINTS {
            self.complaints.push_str(&text);
        }
    }

    /// Returns the status of a guest that has ended, after the rest of its output was taken.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(status) = self.guard.try_wait()? else {
            return Ok(None);
        };
        self.done.store(true, Ordering::Relaxed);
        // The pipes may still hold its last words.
        while let Ok(event) = self.events.recv_timeout(TICK) {
            match event {
                Event::Output(bytes) => {
                    let text = self.console.feed(&bytes);
                    self.show(&text);
                }
                Event::Error(bytes) => self.complain(&bytes),
                Event::Answered => {}
            }
        }
        let rest = self.console.finish();
        self.show(&rest);
        Ok(Some(status))
    }

    /// Says whether an ended guest ended well, and else why not.
    pub(crate) fn verdict(&self, status: ExitStatus) -> Result<()> {
        if status.success() && self.console.death().is_none() {
            return Ok(());
        }
        if self.console.is_silent()
            && status.code() == Some(1)
            && let Some(complaint) = self
                .complaints
                .lines()
                .rfind(|line| !line.trim().is_empty())
        {
            // What QEMU says when image and device tree do not fit.
            let advice = match complaint.contains("Not enough space") {
                true => "; try more --memory",
                false => "",
            };
            bail!("the guest could not be started: {complaint}{advice}");
        }
        let code = status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .filter(|code| *code != 0);
        let fallback = if self.console.death().is_some() {
            PANICKED
        } else {
            1
        };
        Err(self
            .stopped(code.unwrap_or(fallback), &process::describe(status))
            .into())
    }

    fn stopped(&self, code: u8, how: &str) -> GuestStopped {
        let reason = match (self.console.death(), self.console.error()) {
            (Some(death), _) => death.to_owned(),
            (None, Some(error)) => format!("{how}: {error}"),
            (None, None) => how.to_owned(),
        };
        GuestStopped { reason, code }
    }

    /// Explains a deadline that has passed.
    fn silence(&self) -> String {
        let seconds = self.started.elapsed().as_secs();
        let seen = match (self.console.last_line(), self.console.url()) {
            (None, _) => {
                "it has printed nothing; try --cpu or --gic 2, or see with cargo landfall debug where it is".to_owned()
            }
            (Some(_), Some(url)) => format!(
                "its console says that it listens at {url}; try boot argument log=debug to see whether requests arrive"
            ),
            (Some(line), None) => format!(
                "its last line was {line:?}; try boot argument log=debug, more --memory, or a longer --timeout"
            ),
        };
        format!("the guest did not answer within {seconds} s: {seen}")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
    }
}

/// Sends what `pipe` yields as events.
fn forward(
    mut pipe: impl Read + Send + 'static,
    sender: Sender<Event>,
    event: fn(Vec<u8>) -> Event,
) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            if sender.send(event(buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, deadline: Option<Duration>) -> Result<()> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Guest::start(&mut command, Console::default(), true)?.serve(
            Answer::OnConsole,
            deadline,
            |_| {},
        )
    }

    fn stopped(script: &str) -> GuestStopped {
        let error = run(script, None).expect_err("the guest fails");
        error
            .downcast_ref::<GuestStopped>()
            .unwrap_or_else(|| panic!("not that: {error:#}"))
            .clone()
    }

    #[test]
    fn a_guest_that_ends_well_is_no_error() {
        run("echo done", None).expect("it ends well");
    }

    #[test]
    fn a_panic_is_the_reason_whatever_the_exit_code() {
        let expected = |code| GuestStopped {
            reason: "PANIC: oh no".to_owned(),
            code,
        };
        assert_eq!(stopped("echo PANIC: oh no; exit 0"), expected(101));
        assert_eq!(stopped("echo PANIC: oh no; exit 7"), expected(7));
    }

    #[test]
    fn a_bad_argument_is_reported_with_its_message() {
        let stopped = stopped("echo '[ 0.1] ERROR boot: unknown key \"prot\"'; exit 2");
        assert_eq!(stopped.reason, "exit status 2: boot: unknown key \"prot\"");
        assert_eq!(stopped.code, 2);
    }

    #[test]
    fn a_program_that_cannot_start_is_quoted() {
        let error = run("echo 'qemu: bad machine' >&2; exit 1", None).expect_err("it fails");
        assert_eq!(
            error.to_string(),
            "the guest could not be started: qemu: bad machine"
        );
    }

    #[test]
    fn silence_is_an_error_after_the_deadline() {
        let error = run(
            "echo boot: here; exec sleep 60",
            Some(Duration::from_millis(300)),
        )
        .expect_err("no answer");
        assert!(
            error
                .to_string()
                .contains("its last line was \"boot: here\""),
            "{error}"
        );
    }
}
