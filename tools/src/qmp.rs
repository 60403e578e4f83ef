//! QEMU's control socket (QMP): JSON lines, one answer for each command, events in between.

use std::io::{BufRead, BufReader, IoSlice, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::{Value, json};

/// How long QEMU may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a running QEMU.
pub(crate) struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// QEMU's words for a socket at `path`.
    pub(crate) fn words(path: &Path) -> [String; 2] {
        [
            "-qmp".to_owned(),
            format!("unix:{},server=on,wait=off", path.display()),
        ]
    }

    /// Connects to the socket, which QEMU makes soon after its start.
    pub(crate) fn connect(path: &Path) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() >= deadline => {
                    return Err(error).context("QEMU does not open its control socket");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut qmp = Self {
            stream: BufReader::new(stream),
        };
        qmp.line()?;
        qmp.execute("qmp_capabilities")?;
        Ok(qmp)
    }

    /// Runs a command without arguments and returns its result.
    pub(crate) fn execute(&mut self, command: &str) -> Result<Value> {
        self.request(command, &json!({ "execute": command }))
    }

    /// Runs a command with `arguments`, an object, and returns its result.
    pub(crate) fn execute_with(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        self.request(command, &request)
    }

    /// Gives QEMU a file, which later commands call `name`.
    pub(crate) fn hand_over(&mut self, file: BorrowedFd<'_>, name: &str) -> Result<()> {
        const COMMAND: &str = "getfd";
        let request = json!({ "execute": COMMAND, "arguments": { "fdname": name } });
        let line = format!("{request}\n");
        // The file comes with the bytes that ask for it (unix(7), SCM_RIGHTS): they are few, and go at once.
        let sent = sendmsg::<()>(
            self.stream.get_ref().as_raw_fd(),
            &[IoSlice::new(line.as_bytes())],
            &[ControlMessage::ScmRights(&[file.as_raw_fd()])],
            MsgFlags::empty(),
            None,
        )?;
        ensure!(sent == line.len(), "QEMU's control socket is full");
        self.answer(COMMAND).map(drop)
    }

    /// Runs a line of QEMU's monitor for humans, for what QMP itself has no command; returns what it prints.
    pub(crate) fn monitor(&mut self, line: &str) -> Result<String> {
        let arguments = json!({ "command-line": line });
        let answer = self.execute_with("human-monitor-command", &arguments)?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    fn request(&mut self, command: &str, request: &Value) -> Result<Value> {
        writeln!(self.stream.get_mut(), "{request}")?;
        self.answer(command)
    }

    /// Waits for the answer to a command.
    fn answer(&mut self, command: &str) -> Result<Value> {
        loop {
            let mut answer = self.line()?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU refuses {command}: {error}");
            }
            // Anything else is an event.
            if let Some(result) = answer.get_mut("return") {
                return Ok(result.take());
            }
        }
    }

    /// The number of instructions that the guest has executed, under `-icount`. Time that it sleeps is
    /// not in it, unlike in its clock.
    pub(crate) fn instructions(&mut self) -> Result<u64> {
        let replay = self.execute("query-replay")?;
        replay
            .get("icount")
            .and_then(Value::as_u64)
            .context("QEMU does not count instructions")
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.stream
            .read_line(&mut line)
            .context("QEMU does not answer on its control socket")?;
        serde_json::from_str(&line)
            .with_context(|| format!("no JSON on QEMU's control socket: {line:?}"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn events_between_answers_are_passed_over() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("qmp");
        let listener = UnixListener::bind(&path).expect("a socket");
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client");
            let mut requests = BufReader::new(stream.try_clone().expect("a copy")).lines();
            let say = |text: &str| writeln!(&stream, "{text}").expect("the client reads");
            say(r#"{"QMP": {}}"#);
            requests.next();
            say(r#"{"return": {}}"#);
            requests.next();
            say(r#"{"event": "STOP"}"#);
            say(r#"{"return": {"icount": 42, "mode": "none"}}"#);
            requests.next();
            say(r#"{"error": {"class": "CommandNotFound"}}"#);
        });
        let mut qmp = Qmp::connect(&path).expect("the greeting");
        assert_eq!(qmp.instructions().expect("a count"), 42);
        assert!(qmp.execute("nonsense").is_err());
        server.join().expect("the server ends");
    }
}
