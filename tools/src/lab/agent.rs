//! The host's half of the channel into dom0: runs commands there, with their standard streams and exit codes.
//!
//! The other half is `dom0/agent`. A command has two connections: `watch` (standard error, then the exit
//! code; while it is open the command may live) and `run` (standard input and output).

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process;
use crate::qemu::shell_word;

/// How long dom0 may take to accept a command: it is emulated, and may be busy with other guests.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a wait looks whether the user ended it.
const TICK: Duration = Duration::from_millis(100);

/// The exit code when nobody reads the output any more, as shells count it: 128 + SIGPIPE.
const READER_GONE: u8 = 141;

/// A way to dom0.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    port: u16,
    token: String,
}

/// A command that runs in dom0. It ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct Job {
    watch: TcpStream,
    data: TcpStream,
    name: String,
}

/// What a command left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// Its exit code.
    pub(crate) code: u8,
    /// Its standard output.
    pub(crate) output: Vec<u8>,
    /// Its standard error.
    pub(crate) errors: Vec<u8>,
}

/// Returns 16 hexadecimal digits that nobody can guess.
pub(crate) fn secret() -> Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Words as a line of shell script.
pub(crate) fn script(words: &[impl AsRef<str>]) -> String {
    words
        .iter()
        .map(|word| shell_word(word.as_ref()))
        .collect::<Vec<_>>()
        .join(" ")
}

impl Agent {
    /// The agent behind `port` of this machine.
    pub(crate) fn new(port: u16, token: &str) -> Self {
        Self {
            port,
            token: token.to_owned(),
        }
    }

    /// Starts a shell script in dom0.
    pub(crate) fn start(&self, script: &str) -> Result<Job> {
        let name = secret()?;
        let mut watch = self.connect(&format!("watch {name}"))?;
        let mut answer = [0; 6];
        watch
            .read_exact(&mut answer)
            .context("dom0 does not answer; `cargo landfall lab xen logs` shows its console")?;
        ensure!(&answer == b"ready\n", "dom0's agent answers {answer:?}");
        let mut data = self.connect(&format!("run {name} {}", script.len()))?;
        data.write_all(script.as_bytes())?;
        Ok(Job { watch, data, name })
    }

    fn connect(&self, request: &str) -> Result<TcpStream> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .context("dom0 cannot be reached; is the lab still up?")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        writeln!(stream, "{} {request}", self.token)?;
        Ok(stream)
    }

    /// Runs a shell script to its end, with nothing as its input.
    pub(crate) fn run(&self, script: &str) -> Result<Finished> {
        let job = self.start(script)?;
        job.data.shutdown(Shutdown::Write)?;
        let mut finished = Finished {
            code: 0,
            output: Vec::new(),
            errors: Vec::new(),
        };
        finished.code = job.pass_on(&mut finished.output, &mut finished.errors)?;
        Ok(finished)
    }

    /// Runs a shell script that must succeed; returns its output.
    pub(crate) fn output(&self, script: &str) -> Result<String> {
        let Finished {
            code,
            output,
            errors,
        } = self.run(script)?;
        ensure!(
            code == 0,
            "`{script}` failed in dom0 with exit code {code}: {}",
            String::from_utf8_lossy(&errors).trim()
        );
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// Runs a shell script with this process's standard streams; returns its exit code.
    pub(crate) fn attach(&self, script: &str) -> Result<u8> {
        self.attach_with(script, &mut std::io::stdout())
    }

    /// The same, with the script's output written to `output`.
    pub(crate) fn attach_with(&self, script: &str, output: &mut (impl Write + Send)) -> Result<u8> {
        let job = self.start(script)?;
        let mut input = job.data.try_clone()?;
        // It may wait for the user for ever; the process ends without it.
        std::thread::spawn(move || {
            let _closed = std::io::copy(&mut std::io::stdin().lock(), &mut input);
            let _closed = input.shutdown(Shutdown::Write);
        });
        job.pass_on(output, &mut std::io::stderr())
    }

    /// Writes `data` to a file of dom0.
    pub(crate) fn put(&self, mut data: impl Read, path: &str) -> Result<()> {
        let quoted = shell_word(path);
        let mut job = self.start(&format!("cat >{quoted}"))?;
        // If the file cannot be written, dom0 closes the connection and says why.
        let copied = std::io::copy(&mut data, &mut job.data);
        job.data.shutdown(Shutdown::Write).ok();
        let mut errors = Vec::new();
        let code = job.pass_on(&mut std::io::sink(), &mut errors)?;
        ensure!(
            code == 0,
            "dom0 cannot write {path}: {}",
            String::from_utf8_lossy(&errors).trim()
        );
        copied.with_context(|| format!("cannot copy to {path} of dom0"))?;
        Ok(())
    }
}

impl Job {
    /// Copies output and errors to the end; returns the exit code.
    fn pass_on(self, output: &mut (impl Write + Send), errors: &mut impl Write) -> Result<u8> {
        let Self { watch, data, name } = self;
        for stream in [&watch, &data] {
            stream.set_read_timeout(Some(TICK))?;
        }
        std::thread::scope(|scope| {
            let copying = scope.spawn(|| {
                let copied = copy(&data, output);
                if copied.is_err() {
                    // The command ends by that, and the wait for its exit code.
                    let _closed = watch.shutdown(Shutdown::Both);
                }
                copied
            });
            let code = read_errors(&watch, &name, errors);
            if code.is_err() {
                // Nothing more will come.
                let _closed = data.shutdown(Shutdown::Both);
            }
            match copying.join() {
                Ok(copied) => copied.and(code),
                Err(_) => bail!("copying dom0's output panicked"),
            }
        })
        .or_else(reader_is_gone)
    }
}

/// The end of whoever reads this process's output, as in `… | head`, is no error of its own.
fn reader_is_gone(error: anyhow::Error) -> Result<u8> {
    match error.downcast_ref::<std::io::Error>() {
        Some(cause) if cause.kind() == ErrorKind::BrokenPipe => Ok(READER_GONE),
        _ => Err(error),
    }
}

/// What a wait for dom0 brought.
fn read(mut stream: &TcpStream, buffer: &mut [u8]) -> Result<usize> {
    loop {
        process::check_stopped()?;
        match stream.read(buffer) {
            Ok(length) => return Ok(length),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error).context("the connection to dom0 broke"),
        }
    }
}

fn copy(from: &TcpStream, to: &mut impl Write) -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match read(from, &mut buffer)? {
            0 => return Ok(()),
            length => {
                to.write_all(&buffer[..length])?;
                to.flush()?;
            }
        }
    }
}

/// Passes on what comes before the line with which the agent ends: a zero byte, the job's name, the exit code.
fn read_errors(from: &TcpStream, name: &str, to: &mut impl Write) -> Result<u8> {
    let mut held = Vec::new();
    let mut buffer = vec![0; 1 << 12];
    loop {
        let length = read(from, &mut buffer)?;
        held.extend_from_slice(&buffer[..length]);
        let (passed, code) = split_errors(&held, name);
        to.write_all(&held[..passed])?;
        to.flush()?;
        held.drain(..passed);
        if let Some(code) = code {
            return Ok(code);
        }
        if length == 0 {
            bail!("dom0 ended the command without an exit code");
        }
    }
}

/// Returns how many bytes of standard error are at the front, and the exit code if it has come.
fn split_errors(bytes: &[u8], name: &str) -> (usize, Option<u8>) {
    let mark = format!("\0{name} ");
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == 0) {
        let rest = &bytes[at..];
        if let Some(code) = rest.strip_prefix(mark.as_bytes()) {
            let line = code
                .split_last()
                .filter(|(last, _)| **last == b'\n')
                .map(|(_, digits)| digits);
            let code =
                line.map(|digits| String::from_utf8_lossy(digits).parse().unwrap_or(u8::MAX));
            return (at, code);
        }
        if mark.as_bytes().starts_with(rest) {
            // The mark may go on in what comes next.
            return (at, None);
        }
    }
    (bytes.len(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_follows_the_errors() {
        assert_eq!(split_errors(b"oh no\n", "job"), (6, None));
        assert_eq!(split_errors(b"oh no\n\0job 3\n", "job"), (6, Some(3)));
        assert_eq!(split_errors(b"\0job 0\n", "job"), (0, Some(0)));
    }

    #[test]
    fn a_mark_in_pieces_is_held_back() {
        for cut in 1..b"\0job 12".len() {
            assert_eq!(
                split_errors(&b"x\0job 12\n"[..=cut], "job"),
                (1, None),
                "{cut}"
            );
        }
    }

    #[test]
    fn zero_bytes_of_others_are_passed_on() {
        assert_eq!(split_errors(b"a\0b\0job 1\n", "job"), (3, Some(1)));
        assert_eq!(split_errors(b"a\0job", "other"), (5, None));
    }

    #[test]
    fn scripts_quote_their_words() {
        assert_eq!(script(&["xl", "create", "a b.xl"]), "xl create 'a b.xl'");
    }

    #[test]
    fn secrets_differ() {
        assert_ne!(secret().expect("a secret"), secret().expect("another"));
    }
}
