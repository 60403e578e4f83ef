//! This process's terminal, handed to a command in dom0.

use std::io::{IsTerminal, stderr, stdin, stdout};

use anyhow::{Context, Result};
use rustix::termios::{OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr};

use super::agent::{Agent, script};

/// A terminal that passes on each key as it is pressed, Ctrl-C among them. Dropped, it is as before.
struct Raw {
    before: Termios,
}

impl Raw {
    fn set() -> Result<Self> {
        let before = tcgetattr(stdin()).context("cannot read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).context("cannot set the terminal")?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing is left to do about a terminal that is gone.
        let _gone = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

/// Runs `words` in dom0, or a shell for none, with this process's standard streams; returns the exit code.
/// Where they are a terminal, the command has one too.
pub(crate) fn attach(agent: &Agent, words: &[String]) -> Result<u8> {
    let command = if words.is_empty() {
        "exec bash -l".to_owned()
    } else {
        script(words)
    };
    if !(stdin().is_terminal() && stdout().is_terminal() && stderr().is_terminal()) {
        return agent.attach(&command);
    }
    let command = with_terminal(&command, tcgetwinsize(stdout()).ok());
    let _raw = Raw::set()?;
    agent.attach(&command)
}

/// A script that gives `command` a terminal of this size, and ends with its exit code.
fn with_terminal(command: &str, size: Option<Winsize>) -> String {
    let resize = size.map_or_else(String::new, |size| {
        format!("stty rows {} columns {}; ", size.ws_row, size.ws_col)
    });
    let inner = format!("{resize}{command}");
    script(&[
        "exec",
        "script",
        "--quiet",
        "--return",
        "--echo",
        "always",
        "--command",
        &inner,
        "/dev/null",
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_gets_the_size_of_ours() {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        assert_eq!(
            with_terminal("xl top", Some(size)),
            "exec script --quiet --return --echo always --command 'stty rows 24 columns 80; xl top' /dev/null"
        );
        assert!(with_terminal("xl top", None).contains("--command 'xl top'"));
    }
}
