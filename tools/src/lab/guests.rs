//! Guests of a lab: created from the files of this machine, forwarded to its ports, heard on their consoles.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddrV4;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Lab;
use super::agent::{Finished, script};
use super::platform::Architecture;
use crate::console::Console;
use crate::image::Cpu;
use crate::process;

/// The settings of a configuration that name files of this machine.
const FILES: [&str; 2] = ["kernel", "ramdisk"];

/// How often a guest's console is read while its address is awaited.
const TICK: Duration = Duration::from_millis(250);

/// A configuration for `xl`, as it is read here: lines `key = "value"` (xl.cfg(5)).
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    /// The guest's name.
    pub(crate) name: String,
    /// The text for dom0, with paths of dom0.
    text: String,
    /// Files of this machine, and their paths in dom0.
    files: Vec<(PathBuf, String)>,
}

impl Configuration {
    /// Reads a configuration file. Paths of files in it are relative to its folder.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, folder)
            .with_context(|| format!("{} is no configuration for a guest", path.display()))
    }

    /// Reads a configuration whose files are relative to `folder`.
    pub(crate) fn parse(text: &str, folder: &Path) -> Result<Self> {
        let name = text
            .lines()
            .find_map(|line| setting(line, "name"))
            .context("it has no line name = \"…\"")?;
        let mut configuration = Self {
            name: name.to_owned(),
            text: String::new(),
            files: Vec::new(),
        };
        for line in text.lines() {
            let line = configuration.for_dom0(line, folder);
            configuration.text.push_str(&line);
            configuration.text.push('\n');
        }
        if configuration.files.is_empty() {
            bail!("it has no line kernel = \"…\"");
        }
        Ok(configuration)
    }

    /// Refuses a kernel for a CPU of which a host runs no guests. xl would not name the CPU.
    fn check(&self, host: Architecture) -> Result<()> {
        for (file, _) in &self.files {
            let mut header = [0; 64];
            let read = File::open(file).and_then(|mut file| file.read_exact(&mut header));
            // What cannot be read, or has no header, is for xl to judge.
            if let (Ok(()), Some(cpu)) = (read, Cpu::of_image(&header)) {
                let platform = host.platform();
                ensure!(
                    platform.guests.contains(&cpu),
                    "{} is an image for {cpu}, and a Xen host of {} does not run such guests",
                    file.display(),
                    platform.debian
                );
            }
        }
        Ok(())
    }

    /// A line with paths of dom0; the files are noted.
    fn for_dom0(&mut self, line: &str, folder: &Path) -> String {
        for key in FILES {
            if let Some(file) = setting(line, key) {
                let path = format!("{}/{key}", self.folder());
                let line = format!("{key} = \"{path}\"");
                self.files.push((folder.join(file), path));
                return line;
            }
        }
        line.to_owned()
    }

    /// Its folder in dom0.
    fn folder(&self) -> String {
        format!("/root/guests/{}", self.name)
    }
}

/// The value in a line `key = "value"`, with either kind of quotes.
fn setting<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let value = line
        .trim_start()
        .strip_prefix(key)?
        .trim_start()
        .strip_prefix('=')?
        .trim_start();
    let quote = value
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''))?;
    value[1..].split(quote).next()
}

impl Lab {
    /// Copies a guest's files into dom0, creates it and lets it run.
    pub(crate) fn create(&self, configuration: &Configuration) -> Result<()> {
        self.create_with(configuration, &["xl", "create"])
    }

    /// The same, but [`Self::unpause`] is what lets it run.
    pub(crate) fn create_paused(&self, configuration: &Configuration) -> Result<()> {
        self.create_with(configuration, &["xl", "create", "-p"])
    }

    /// Lets a guest run.
    pub(crate) fn unpause(&self, guest: &str) -> Result<()> {
        self.agent()
            .output(&script(&["xl", "unpause", guest]))
            .map(drop)
    }

    /// Ends a guest, if it is there.
    pub(crate) fn destroy(&self, guest: &str) {
        // A process of its own: this one may have been told to stop, and waits for nothing then.
        let _ended = Command::new("/proc/self/exe")
            .args(self.record.architecture.lab(&["xl", "destroy", guest]))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .status();
    }

    /// A command that shows a guest's console and ends with the guest.
    pub(crate) fn console(&self, guest: &str) -> Command {
        let mut command = process::supervised("/proc/self/exe");
        let words = ["logs", "--until-end", guest];
        command.args(self.record.architecture.lab(&words));
        command
    }

    fn create_with(&self, configuration: &Configuration, command: &[&str]) -> Result<()> {
        configuration.check(self.record.architecture)?;
        let agent = self.agent();
        let folder = configuration.folder();
        let exists = script(&["xl", "domid", &configuration.name]);
        let make = script(&["mkdir", "-p", &folder]);
        // What an earlier guest of the same name has printed is not this one's.
        agent.output(&format!(
            "{make}; {exists} 2>/dev/null || rm -f {}",
            log(&configuration.name)
        ))?;
        for (file, path) in &configuration.files {
            let data =
                File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
            agent.put(data, path)?;
        }
        let path = format!("{folder}/config.xl");
        agent.put(configuration.text.as_bytes(), &path)?;
        let Finished { code, errors, .. } = agent.run(&script(&[command, &[&path]].concat()))?;
        let errors = String::from_utf8_lossy(&errors);
        let errors = errors
            .trim_start_matches(&format!("Parsing config from {path}"))
            .trim();
        if code != 0 {
            bail!(
                "xl cannot create {}: {errors}{}",
                configuration.name,
                advice(errors)
            );
        }
        if !errors.is_empty() {
            eprintln!("{errors}");
        }
        Ok(())
    }

    /// Waits until a guest says on its console where it listens; returns that.
    pub(crate) fn address(&self, guest: &str, patience: Duration) -> Result<SocketAddrV4> {
        let deadline = Instant::now() + patience;
        loop {
            process::check_stopped()?;
            let console = self.printed(guest)?;
            if let Some(address) = console.url().and_then(address_in) {
                return Ok(address);
            }
            if Instant::now() >= deadline {
                let last = console.last_line().unwrap_or("nothing");
                bail!(
                    "{guest} does not say where it listens; the last line of its console: {last}"
                );
            }
            std::thread::sleep(TICK);
        }
    }

    /// What a guest has printed so far.
    fn printed(&self, guest: &str) -> Result<Console> {
        let exists = script(&["xl", "domid", guest]);
        let Finished { code, output, .. } = self
            .agent()
            .run(&format!("cat {}; {exists} >/dev/null", log(guest)))?;
        let mut console = Console::default();
        console.feed(&output);
        console.finish();
        if code != 0 {
            let last = console
                .death()
                .or(console.error())
                .or(console.last_line())
                .unwrap_or("nothing");
            bail!("{guest} has ended; the last words on its console: {last}");
        }
        Ok(console)
    }
}

/// What to do about complaints of Xen's tools that do not say it.
fn advice(errors: &str) -> &'static str {
    if errors.contains("segment boundary too low") {
        "\nthe guest has too little memory for its image: give it some MiB more"
    } else if errors.contains("can't allocate low memory") {
        "\nthe guest has too little memory, or the host has not so much left (xl info free_memory)"
    } else {
        ""
    }
}

/// Where xenconsoled writes what a guest prints.
pub(crate) fn log(guest: &str) -> String {
    script(&[format!("/var/log/xen/console/guest-{guest}.log")])
}

/// The address in `http://10.0.2.15:8080/`.
pub(crate) fn address_in(url: &str) -> Option<SocketAddrV4> {
    url.strip_prefix("http://")?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_with_either_quotes() {
        assert_eq!(
            setting("kernel = \"a.img\" # that", "kernel"),
            Some("a.img")
        );
        assert_eq!(setting("name='a b'", "name"), Some("a b"));
        assert_eq!(setting("kernel_extra = \"a\"", "kernel"), None);
        assert_eq!(setting("# kernel = \"a\"", "kernel"), None);
        assert_eq!(setting("memory = 64", "memory"), None);
    }

    #[test]
    fn files_get_paths_of_dom0() {
        let text =
            "name = \"hello\"\nkernel = \"hello.img\"\nramdisk = '/abs/initrd'\nmemory = 64\n";
        let read = Configuration::parse(text, Path::new("/images")).expect("a configuration");
        assert_eq!(
            read.text,
            "name = \"hello\"\nkernel = \"/root/guests/hello/kernel\"\n\
             ramdisk = \"/root/guests/hello/ramdisk\"\nmemory = 64\n"
        );
        let files = [("/images/hello.img", "kernel"), ("/abs/initrd", "ramdisk")];
        let files =
            files.map(|(file, name)| (PathBuf::from(file), format!("/root/guests/hello/{name}")));
        assert_eq!(read.files, files);
    }

    #[test]
    fn complaints_about_memory_are_explained() {
        for complaint in [
            "xc_dom_alloc_pad: segment boundary too low (0x40007000 < 0x40050000)",
            "xc_dom_boot_mem_init: can't allocate low memory for domain: Out of memory",
        ] {
            assert!(
                advice(complaint).contains("too little memory"),
                "{complaint}"
            );
        }
        assert_eq!(advice("Invalid kernel"), "");
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |text: &str| {
            Configuration::parse(text, Path::new("."))
                .expect_err("incomplete")
                .to_string()
        };
        assert!(error("kernel = \"a\"").contains("name"));
        assert!(error("name = \"a\"").contains("kernel"));
    }

    #[test]
    fn addresses_are_read_from_urls() {
        assert_eq!(
            address_in("http://10.0.2.15:8080/"),
            Some("10.0.2.15:8080".parse().expect("an address"))
        );
        assert_eq!(address_in("http://[fe80::1]:8080/"), None);
        assert_eq!(address_in("10.0.2.15:8080"), None);
    }
}
