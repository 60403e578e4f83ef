//! A Xen host that is up, and its domains: [`XenHost`] is dom0 by way of the tool, [`DomainOptions`] say how
//! a domain is made, [`Domain`] is one that lives.
//!
//! `cargo landfall test` brings the host up and names its folder in `LANDFALL_LAB`.

use std::fmt::Write;
use std::net::{SocketAddr, SocketAddrV4};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::lab::Folder;
use crate::network::TAP;
use crate::{DEADLINE, Guest, Lab, Namespace, skip, wait_until};

/// The pause between two questions to dom0, which is emulated and has other things to do.
const PAUSE: Duration = Duration::from_millis(300);

/// dom0 has little time for each: the tests of a program take turns.
static TURN: Mutex<()> = Mutex::new(());

/// dom0 of a Xen host.
pub struct XenHost {
    lab: Lab,
    boards: Vec<String>,
    _turn: MutexGuard<'static, ()>,
}

/// The bridge to which [`XenHost::join`] joins a tap.
pub const TAPPED: &str = "xenbr2";

/// The boards whose images the host starts; domains are of the first where a test does not say.
const BOARDS: &str = "LANDFALL_XEN_BOARDS";

impl XenHost {
    /// Returns the host that `cargo landfall test` has brought up, or `None`, having said so, where it
    /// has not.
    pub fn open() -> Option<Self> {
        let lab = Lab::open()?;
        if std::env::var_os("LANDFALL_LAB").is_none() {
            skip(
                "there is no Xen host; `cargo landfall test --only setup,images,xen` brings one up",
            );
            return None;
        }
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let boards = std::env::var(BOARDS).unwrap_or_else(|_| "xenvm,cubieboard2".to_owned());
        let boards = boards.split(',').map(str::to_owned).collect();
        Some(Self { lab, boards, _turn })
    }

    /// The board that domains are of where a test does not say.
    pub fn board(&self) -> &str {
        &self.boards[0]
    }

    /// The other boards whose images this host starts.
    pub fn other_boards(&self) -> &[String] {
        &self.boards[1..]
    }

    /// The images.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Runs a line of shell in dom0; returns what it prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn shell(&self, line: &str) -> String {
        self.must(&["lab", "xen", "shell", "bash", "-c", line])
    }

    /// Returns whether a line of shell succeeds in dom0.
    pub fn succeeds(&self, line: &str) -> bool {
        self.tool(&["lab", "xen", "shell", "bash", "-c", line]).0
    }

    /// Lets a port of this machine reach a guest on bridge `xenbr0`; returns where.
    pub fn forward(&self, guest: SocketAddrV4) -> SocketAddr {
        let output = self.must(&["lab", "xen", "forward", "0", &guest.to_string()]);
        output.trim().parse().expect("the tool prints an address")
    }

    /// Joins the namespace's tap to bridge [`TAPPED`].
    pub fn join(&self, namespace: &Namespace) -> Joined {
        let mut tool = self.lab.command_on(namespace, &["lab", "xen", "tap", TAP]);
        tool.wait_for_line(&format!("bridge {TAPPED} is on"));
        Joined(tool)
    }

    /// A domain of `app`'s image. Names are used once, for what a domain has printed is kept by its name.
    pub fn domain<'a>(&'a self, name: &'a str, app: &'a str) -> DomainOptions<'a> {
        DomainOptions {
            host: self,
            name,
            app,
            board: &self.boards[0],
            images: None,
            memory: 32,
            bridges: vec!["xenbr0"],
            mac: None,
            arguments: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// Runs the tool; returns what it prints.
    fn must(&self, words: &[&str]) -> String {
        let (ended_well, output, complaints) = self.tool(words);
        assert!(ended_well, "{}: {complaints}{output}", words.join(" "));
        output
    }

    /// Runs the tool; returns whether it ended well and what it printed on standard output and error.
    fn tool(&self, words: &[&str]) -> (bool, String, String) {
        let mut command = Command::new(self.lab.tool());
        let output = command.args(words).stdin(Stdio::null()).output();
        let output = output.expect("the tool can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }
}

/// How a domain is made.
pub struct DomainOptions<'a> {
    host: &'a XenHost,
    name: &'a str,
    app: &'a str,
    board: &'a str,
    images: Option<Lab>,
    memory: u32,
    bridges: Vec<&'a str>,
    mac: Option<[u8; 6]>,
    arguments: Vec<&'a str>,
    settings: Vec<&'a str>,
}

impl<'a> DomainOptions<'a> {
    /// Takes the image for this board instead of the host's first.
    #[must_use]
    pub fn board(mut self, board: &'a str) -> Self {
        self.board = board;
        self
    }

    /// Takes its image from another folder than that of all images.
    #[must_use]
    pub fn images(mut self, folder: PathBuf) -> Self {
        self.images = Some(self.host.lab.with_images(folder));
        self
    }

    /// Gives it this much memory, in MiB.
    #[must_use]
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.memory = mebibytes;
        self
    }

    /// Gives it a network card on each of these bridges, and no other.
    #[must_use]
    pub fn bridges(mut self, bridges: &[&'a str]) -> Self {
        self.bridges = bridges.to_vec();
        self
    }

    /// Gives its first network card this hardware address.
    #[must_use]
    pub fn mac(mut self, mac: [u8; 6]) -> Self {
        self.mac = Some(mac);
        self
    }

    /// Gives it boot arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&'a str]) -> Self {
        self.arguments = arguments.to_vec();
        self
    }

    /// Adds lines to its configuration, such as `on_crash = "preserve"`.
    #[must_use]
    pub fn settings(mut self, settings: &[&'a str]) -> Self {
        self.settings = settings.to_vec();
        self
    }

    /// Creates it and listens to its console.
    pub fn create(&self) -> Domain<'a> {
        let folder = self.write(&self.image().display().to_string());
        let config = config_in(&folder);
        self.host.must(&["lab", "xen", "create", &config]);
        self.listen()
    }

    /// Tries to create it, and returns what the tool complains about.
    pub fn complaint(&self) -> String {
        let folder = self.write(&self.image().display().to_string());
        let (ended_well, _, complaint) =
            self.host
                .tool(&["lab", "xen", "create", &config_in(&folder)]);
        assert!(!ended_well, "{} was created", self.name);
        complaint
    }

    /// Creates it, but `xl unpause` is what starts it.
    pub fn create_paused(&self) -> Domain<'a> {
        let path = |kind: &str| format!("/root/paused-{}.{kind}", self.name);
        let (image, config) = (path("img"), path("xl"));
        let folder = self.write(&image);
        let put = |file: &str, path: &str| self.host.must(&["lab", "xen", "put", file, path]);
        put(&self.image().display().to_string(), &image);
        put(&config_in(&folder), &config);
        let log = format!("/var/log/xen/console/guest-{}.log", self.name);
        self.host
            .shell(&format!("rm -f {log}; xl create -p {config}"));
        self.listen()
    }

    fn listen(&self) -> Domain<'a> {
        let words = ["lab", "xen", "logs", "--until-end", self.name];
        Domain {
            host: self.host,
            name: self.name.to_owned(),
            console: self.host.lab.command(&words),
        }
    }

    fn image(&self) -> PathBuf {
        let images = self.images.as_ref().unwrap_or(&self.host.lab);
        images.image(self.app, self.board)
    }

    /// Writes its configuration; returns the folder with it.
    fn write(&self, image: &str) -> Folder {
        let folder = self.host.lab.folder();
        std::fs::write(config_in(&folder), self.text(image)).expect("the folder can be written to");
        folder
    }

    /// Its configuration, as xl.cfg(5) has it.
    fn text(&self, image: &str) -> String {
        let mut text = format!(
            "name = \"{}\"\nkernel = \"{image}\"\nmemory = {}\nvcpus = 1\nextra = \"{}\"\nvif = [",
            self.name,
            self.memory,
            self.arguments.join(" ")
        );
        for (number, bridge) in self.bridges.iter().enumerate() {
            let mac = self.mac.filter(|_| number == 0);
            let mac = mac.unwrap_or_else(|| own_mac(self.name, number));
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            write!(text, " 'bridge={bridge},mac={mac}',").expect("a string takes all text");
        }
        text + " ]\n" + &self.settings.join("\n") + "\n"
    }
}

/// The configuration in a domain's folder.
fn config_in(folder: &Folder) -> String {
    folder.path().join("domain.xl").display().to_string()
}

/// An address for a domain's network card that no other of the tests has, of those that are Xen's.
fn own_mac(name: &str, number: usize) -> [u8; 6] {
    let hash = name.bytes().fold(5381u32, |hash, byte| {
        hash.wrapping_mul(33) ^ u32::from(byte)
    });
    let [_, _, high, low] = hash.to_be_bytes();
    [0x00, 0x16, 0x3e, number as u8, high, low]
}

/// A tap on a bridge, for as long as this value lives.
pub struct Joined(Guest);

impl Drop for Joined {
    fn drop(&mut self) {
        // Killed, it would leave the tap there.
        if !self.0.has_ended() {
            self.0.signal(Signal::SIGTERM);
            self.0.wait_for_status();
        }
    }
}

/// A domain. Dropped, it is destroyed.
pub struct Domain<'a> {
    host: &'a XenHost,
    name: String,
    console: Guest,
}

impl Domain<'_> {
    /// Waits until its console has had `needle` in `count` lines; returns the last of them.
    pub fn wait_for_lines(&mut self, needle: &str, count: usize) -> String {
        let what = format!("{needle:?} for the {count}th time");
        wait_until(&what, DEADLINE, || {
            let console = self.console();
            let mut lines = console.lines().filter(|line| line.contains(needle));
            lines.nth(count - 1).map(str::to_owned)
        })
    }

    /// Waits until it says where it listens; returns that, an address of IPv4.
    pub fn wait_until_it_listens(&mut self) -> SocketAddrV4 {
        match self.wait_for_its_address() {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(address) => panic!("{address} is of IPv6"),
        }
    }

    /// Waits until it says where it listens; returns where this machine reaches it.
    pub fn wait_until_it_is_reached(&mut self) -> SocketAddr {
        let address = self.wait_until_it_listens();
        self.host.forward(address)
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        let number = self.host.shell(&format!("xl domid {}", self.name));
        number.trim().parse().expect("xl prints a number")
    }

    /// What `xl list` shows as its state, such as `-b----`; nothing once it is gone.
    pub fn state(&self) -> String {
        let script = format!(
            "xl list {0} 2>/dev/null | awk '$1 == \"{0}\" {{ print $5 }}'",
            self.name
        );
        self.host.shell(&script).trim().to_owned()
    }

    /// Waits until `xl list` shows it with a state that has this letter.
    pub fn wait_for_state(&self, letter: char) {
        let what = format!("state {letter} of {}", self.name);
        wait_slowly(&what, || self.state().contains(letter).then_some(()));
    }

    /// Waits until `xl list` does not show it any more: `xl` removes it after its end.
    pub fn wait_until_it_is_gone(&self) {
        let what = format!("{} is gone", self.name);
        wait_slowly(&what, || self.state().is_empty().then_some(()));
    }

    /// Gives `xl` a command about it, such as `shutdown`.
    pub fn xl(&self, command: &str) {
        self.host.shell(&format!("xl {command} {}", self.name));
    }

    /// Waits until it is gone; returns Xen's reason (`SHUTDOWN_*` of Xen's `public/sched.h`): 0 for a
    /// shutdown, 1 a reboot, 3 a crash, 4 the watchdog. It is 100 where nothing ended but by `xl destroy`.
    pub fn wait_for_end(&mut self) -> i32 {
        self.console.wait_for_exit()
    }
}

/// What is heard of it: its console.
impl Deref for Domain<'_> {
    type Target = Guest;

    fn deref(&self) -> &Guest {
        &self.console
    }
}

impl DerefMut for Domain<'_> {
    fn deref_mut(&mut self) -> &mut Guest {
        &mut self.console
    }
}

impl Drop for Domain<'_> {
    fn drop(&mut self) {
        // Most have ended by themselves.
        let _ = self.host.succeeds(&format!("xl destroy {}", self.name));
    }
}

/// Like [`wait_until`], for questions to dom0.
pub fn wait_slowly<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    wait_until(what, DEADLINE, || {
        let value = ready();
        if value.is_none() {
            std::thread::sleep(PAUSE);
        }
        value
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_cards_differ_by_name_and_number() {
        assert_eq!(own_mac("one", 1)[..4], [0x00, 0x16, 0x3e, 1]);
        assert_ne!(own_mac("one", 0), own_mac("two", 0));
        assert_ne!(own_mac("one", 0), own_mac("one", 1));
    }
}
