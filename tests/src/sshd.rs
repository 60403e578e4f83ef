//! An ssh server of this machine: for this user, with keys and settings of its own, and a home to spoil.
//!
//! Nothing of the system's own server or of the user's own keys is read or changed.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::unistd::{User, getuid};

use crate::lab::{Folder, Lab, free_port, skip};
use crate::{DEADLINE, wait_until};

/// A server that root starts wants a user and a folder of its own, and lets nobody in whose password is
/// locked, not even with a key. In a mount namespace it finds everything as it should be.
const AS_ROOT: &str = "\
mount -t tmpfs tmpfs /run && mkdir /run/sshd && mount --bind passwd /etc/passwd \
&& mount --bind shadow /etc/shadow && exec \"$@\"";

/// A server that runs. It ends with this value.
#[derive(Debug)]
pub struct Sshd {
    server: Child,
    port: u16,
    folder: Folder,
}

impl Sshd {
    /// Starts one, or returns `None`, having said why, where that cannot be.
    pub fn start(lab: &Lab) -> Option<Self> {
        let Some(sshd) = std::env::var_os("LANDFALL_SSHD").map(PathBuf::from) else {
            skip("there is no sshd; `cargo landfall doctor --fix` fetches it");
            return None;
        };
        if let Some(reason) = hindrance() {
            skip(reason);
            return None;
        }
        let (folder, port) = (lab.folder(), free_port());
        furnish(folder.path(), port);
        let server = command(lab, &sshd, folder.path())
            .spawn()
            .expect("the tool can be started");
        let server = Self {
            server,
            port,
            folder,
        };
        wait_until("an ssh server", DEADLINE, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        });
        Some(server)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What is in the folder around it: `home` is the user's home, `bin` comes first in the path, `key`
    /// is let in and `other_key` is not, and `known_hosts` knows the server.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The user and the machine, as ssh takes them.
    pub fn destination(&self) -> String {
        format!("{}@127.0.0.1", user())
    }

    /// The options for `ssh -o` with which ssh finds it, and nothing of the user's own, by the key in a
    /// file of the folder.
    pub fn options(&self, key: &str) -> Vec<String> {
        let words = |name: &str, value: &dyn std::fmt::Display| format!("{name}={value}");
        vec![
            words("Port", &self.port),
            words("IdentityFile", &self.path(key).display()),
            words("UserKnownHostsFile", &self.path("known_hosts").display()),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
        ]
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
            eprintln!("sshd:\n{log}");
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn user() -> String {
    let user = User::from_uid(getuid()).ok().flatten();
    user.expect("this user has a name").name
}

/// Why sshd could not serve this user here.
fn hindrance() -> Option<&'static str> {
    if !getuid().is_root() {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let usual = |line: &str| line.contains(" devpts ") && line.contains("gid=");
        return (!mounts.lines().any(usual)).then_some(
            "terminals do not belong to the group tty here, and only root could change that",
        );
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "true"]).stderr(Stdio::null());
    let allowed = command.status().is_ok_and(|status| status.success());
    (!allowed).then_some("sshd as root needs a mount namespace, which is not allowed here")
}

/// The server, for a furnished folder.
fn command(lab: &Lab, sshd: &Path, folder: &Path) -> Command {
    let mut command = if getuid().is_root() {
        let mut command = lab.supervised("unshare");
        let words = ["--mount", "sh", "-c", AS_ROOT, "sh"];
        command.args(words).arg(sshd);
        command
    } else {
        lab.supervised(sshd)
    };
    let log = std::fs::File::create(folder.join("log")).expect("the folder is ours");
    command.args(["-D", "-e", "-f"]);
    command.arg(folder.join("sshd_config")).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(log);
    command
}

/// Fills a folder with keys, users and settings.
fn furnish(folder: &Path, port: u16) {
    for name in ["bin", "home"] {
        std::fs::create_dir(folder.join(name)).expect("the folder is ours");
    }
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("the folder is ours");
    };
    let host = make_key(&folder.join("host_key"));
    make_key(&folder.join("other_key"));
    write("authorized_keys", &make_key(&folder.join("key")));
    write("known_hosts", &format!("[127.0.0.1]:{port} {host}"));
    write("passwd", &passwd());
    write("shadow", &format!("{}:*:::::::\n", user()));
    write("sshd_config", &settings(folder, port));
}

/// Makes a key and returns its public half.
fn make_key(path: &Path) -> String {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
    let status = command.arg(path).status();
    assert!(status.expect("ssh-keygen starts").success());
    std::fs::read_to_string(path.with_extension("pub")).expect("ssh-keygen wrote it")
}

/// This machine's users, with the one that sshd wants.
fn passwd() -> String {
    let users = std::fs::read_to_string("/etc/passwd").expect("there are users");
    let others = users.lines().filter(|line| !line.starts_with("sshd:"));
    let sshd = "sshd:x:65534:65534::/run/sshd:/bin/false";
    let all = others.chain([sshd]);
    all.map(|line| format!("{line}\n")).collect()
}

fn settings(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "Port {port}\n\
         ListenAddress 127.0.0.1\n\
         HostKey {folder}/host_key\n\
         AuthorizedKeysFile {folder}/authorized_keys\n\
         PidFile none\n\
         StrictModes no\n\
         UsePAM no\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         SetEnv HOME={folder}/home PATH={folder}/bin:/usr/bin:/bin\n"
    )
}
