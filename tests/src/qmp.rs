//! QEMU's control socket (QMP), for what a test does to a machine that runs.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{DEADLINE, wait_until};

/// A connection to a QEMU that was started with [`Qmp::words`].
#[derive(Debug)]
pub struct Qmp(BufReader<UnixStream>);

impl Qmp {
    /// QEMU's words for a socket in `folder`; the machine waits for [`Qmp::go`].
    pub fn words(folder: &Path) -> [String; 3] {
        let socket = socket(folder);
        let socket = format!("unix:{},server=on,wait=off", socket.display());
        ["-S".to_owned(), "-qmp".to_owned(), socket]
    }

    /// Connects to the socket in `folder`.
    ///
    /// # Panics
    /// When QEMU does not open it.
    pub fn connect(folder: &Path) -> Self {
        let stream = wait_until("QEMU's control socket", DEADLINE, || {
            UnixStream::connect(socket(folder)).ok()
        });
        let mut qmp = Self(BufReader::new(stream));
        qmp.line();
        qmp.command("qmp_capabilities", &json!({}));
        qmp
    }

    /// Lets the machine run.
    pub fn go(&mut self) {
        self.command("cont", &json!({}));
    }

    /// Plugs the cable of the network `name` in, or pulls it.
    pub fn set_link(&mut self, name: &str, up: bool) {
        self.command("set_link", &json!({ "name": name, "up": up }));
    }

    fn command(&mut self, command: &str, arguments: &Value) {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.0.get_mut(), "{request}").expect("QEMU listens");
        // Events may come before the answer.
        let answer = std::iter::repeat_with(|| self.line())
            .find(|it| it.get("event").is_none())
            .expect("lines without end");
        assert!(answer.get("return").is_some(), "{command}: {answer}");
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("QEMU answers");
        serde_json::from_str(&line).expect("JSON")
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("qmp")
}
