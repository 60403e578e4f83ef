//! A process of this board, and the signals that ask it to end. This program starts itself as that
//! process, whose arguments are its own.

#![forbid(unsafe_code)]

use landfall::{App, System};
use std::{
    env,
    future::pending,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

/// More than a process may take to end, on a machine with much else to do.
const DEADLINE: Duration = Duration::from_secs(20);
/// How often is looked whether it has.
const TICK: Duration = Duration::from_millis(10);

/// Names, to the process, the app that it is.
const APP: &str = "TEST_APP";

landfall::arguments! {
    /// Not used
    unused: bool = false,
}

fn main() {
    match env::var(APP).as_deref() {
        Ok("listens") => landfall_unix::start(App::new(|system, _: Arguments| listens(system))),
        Ok("deaf") => landfall_unix::start(App::new(|_, _: Arguments| deaf())),
        Ok(other) => panic!("there is no app {other}"),
        Err(_) => test(),
    }
}

async fn listens(system: System) -> Result<(), &'static str> {
    landfall::log::info!("ready");
    system.shutdown_requested().await;
    landfall::log::info!("told");
    Ok(())
}

async fn deaf() -> Result<(), &'static str> {
    landfall::log::info!("ready");
    pending().await
}

fn test() {
    for signal in ["INT", "TERM"] {
        let (status, said) = Process::start("listens").end_by(&[signal]);
        assert_eq!(status.code(), Some(0), "{signal}: {said}");
        assert!(
            said.contains("told") && said.contains("app: ended"),
            "{said}"
        );

        let (status, said) = Process::start("deaf").end_by(&[signal]);
        assert_eq!(status.code(), Some(0), "{signal}: {said}");
        assert!(said.contains("is ended"), "{said}");

        let (status, said) = Process::start("deaf").end_by(&[signal, signal]);
        assert_eq!(status.code(), None, "{signal} twice: {said}");
        assert!(!said.contains("is ended"), "{said}");
    }
}

/// A process that is ready for signals.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(app: &str) -> Self {
        let mut command = Command::new(env::current_exe().expect("a program knows its file"));
        command.env(APP, app).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program starts");
        let output = child.stdout.take().expect("it is piped");
        let mut output = BufReader::new(output);
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert!(
                output.read_line(&mut line).expect("it is text") > 0,
                "{app} ended"
            );
        }
        Self { child, output }
    }

    /// Sends signals; returns how it ended and what it said meanwhile.
    fn end_by(mut self, signals: &[&str]) -> (ExitStatus, String) {
        // One shell for all, with a pause in which the process can take note of the first.
        let kills: Vec<String> = signals
            .iter()
            .map(|signal| format!("kill -s {signal} {}", self.child.id()))
            .collect();
        let mut shell = Command::new("sh");
        shell.args(["-c", &kills.join(" && sleep 0.1 && ")]);
        assert!(shell.status().expect("sh starts").success());
        let status = self.wait();
        let mut said = String::new();
        self.output.read_to_string(&mut said).expect("it is text");
        (status, said)
    }

    /// Waits for the end, and not for ever.
    fn wait(&mut self) -> ExitStatus {
        for _ in 0..DEADLINE.as_millis() / TICK.as_millis() {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            thread::sleep(TICK);
        }
        self.child.kill().expect("it runs");
        panic!("it runs {DEADLINE:?} after the signal");
    }
}
