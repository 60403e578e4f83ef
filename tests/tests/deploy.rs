//! `cargo landfall xl deploy`: to a real ssh server of this machine, whose `xl` is a stand-in.
//!
//! The stand-in is a shell script: it keeps a list of domains, and says on its console what a test has
//! written for it. It shows what the command does with files, answers and errors; that a real xl takes the
//! configuration, and that the guest boots, is for the tests with a real Xen.

#![forbid(unsafe_code)]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use landfall_tests::guest::program;
use landfall_tests::{DEADLINE, Guest, Lab, Sshd, wait_until};
use nix::sys::signal::Signal;

/// What a shell sees after Ctrl-C: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// A guest that serves until its console is left.
const SERVES: &str = "\
echo 'boot: here'
echo '[    0.013000] INFO  net: listening on TCP port 8080: http://10.0.0.9:8080/'
cat > /dev/null";

/// `xl` on the host. Its folder holds what it knows and what it was told; `guest` is the domain's console.
const XL: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >> calls
case "$1" in
info)
    cat capabilities ;;
list)
    [ ! -e list-error ] || { cat list-error >&2; exit 1; }
    echo "Name             ID   Mem VCPUs      State   Time(s)"
    for name in Domain-0 $(cat domains); do echo "$name  1  32  1  -b----  0.1"; done ;;
destroy)
    grep -vx "$2" domains > left; mv left domains ;;
create)
    for config; do :; done
    echo "Parsing config from $config" >&2
    kernel=$(sed -n 's/^kernel = "\(.*\)"$/\1/p' "$config")
    [ -f "$kernel" ] || { echo "failed to open file '$kernel'" >&2; exit 3; }
    [ ! -e create-error ] || { cat create-error >&2; exit 3; }
    sed -n 's/^name = "\(.*\)"$/\1/p' "$config" >> domains
    echo $$ > pid
    [ "$2" != -c ] || . ./guest ;;
esac
"#;

/// A machine that can be reached by ssh, with a stand-in for xl.
struct Host(Sshd);

impl Host {
    /// Starts one, or says why not.
    fn start(lab: &Lab) -> Option<Self> {
        let host = Self(Sshd::start(lab)?);
        host.write("capabilities", "xen-3.0-aarch64 xen-3.0-armv7l\n");
        host.write("domains", "");
        host.write("guest", SERVES);
        host.write("xl", XL);
        std::fs::set_permissions(host.path("bin/xl"), PermissionsExt::from_mode(0o755))
            .expect("the file is ours");
        Some(host)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// Reads a file of the stand-in's.
    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path("bin").join(name)).unwrap_or_default()
    }

    /// Writes a file for the stand-in.
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path("bin").join(name), text).expect("the folder is ours");
    }

    /// Runs the command.
    fn deploy(&self, lab: &Lab, words: &[&str]) -> Guest {
        self.deploy_with(lab, "key", words)
    }

    /// Runs the command, which logs in with another key.
    fn deploy_with(&self, lab: &Lab, key: &str, words: &[&str]) -> Guest {
        let (destination, options) = (self.0.destination(), self.0.options(key));
        let options = options.iter().flat_map(|option| ["--ssh-option", option]);
        let command = ["xl", "deploy", "hello", &destination];
        let words: Vec<&str> = command
            .into_iter()
            .chain(options)
            .chain(words.iter().copied())
            .collect();
        lab.command(&words)
    }

    /// Runs a command that must fail; returns what it printed.
    fn refuses(&self, lab: &Lab, words: &[&str]) -> String {
        let mut command = self.deploy(lab, words);
        let code = command.wait_for_exit();
        let console = command.console();
        assert!(code != 0 && !console.contains("panicked"), "{console}");
        console
    }

    /// Returns whether the stand-in was given a command that begins so.
    fn was_told_to(&self, command: &str) -> bool {
        let calls = self.read("calls");
        calls.lines().any(|call| call.starts_with(command))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("xl was told:\n{}", self.read("calls"));
        }
    }
}

#[test]
fn image_and_configuration_arrive_and_the_console_is_followed() {
    let Some(lab) = Lab::open() else { return };
    let Some(host) = Host::start(&lab) else {
        return;
    };
    let mut command = host.deploy(
        &lab,
        &["--bridge", "xenbr7", "--arg", "port=81", "--memory", "16M"],
    );
    assert_eq!(
        command.wait_for_line("open http"),
        "open http://10.0.0.9:8080/"
    );
    let console = command.console();
    assert!(console.contains("boot: here"), "{console}");
    assert!(!console.contains("tcgetattr"), "{console}");

    let folder = host.path("home/landfall/hello-xenvm");
    let folder = folder.canonicalize().expect("the command made it");
    let image = folder.join("hello.img");
    let arrived = std::fs::read(&image).expect("the image arrived");
    let built = std::fs::read(lab.image("hello", "xenvm")).expect("it was built");
    assert!(
        arrived == built,
        "{} bytes of {}",
        arrived.len(),
        built.len()
    );
    let config = folder.join("hello.xl");
    let text = std::fs::read_to_string(&config).expect("the configuration arrived");
    for line in [
        format!("kernel = \"{}\"", image.display()),
        "name = \"hello-xenvm\"".to_owned(),
        "memory = 16".to_owned(),
        "extra = \"port=81\"".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
    }
    assert!(text.contains(",bridge=xenbr7' ]\n"), "{text}");
    let create = format!("create -c {}", config.display());
    assert_eq!(host.read("calls").lines().last(), Some(&*create));
    let files = std::fs::read_dir(&folder).expect("it is a folder").count();
    assert_eq!(files, 2, "in {}", folder.display());
    command.signal(Signal::SIGTERM);
    assert_eq!(command.wait_for_exit(), INTERRUPTED);
}

#[test]
fn ctrl_c_leaves_the_domain_and_says_how_to_stop_it() {
    let Some(lab) = Lab::open() else { return };
    let Some(host) = Host::start(&lab) else {
        return;
    };
    let mut command = host.deploy(&lab, &[]);
    command.wait_for_line("open http");
    command.signal(Signal::SIGINT);
    assert_eq!(
        command.wait_for_exit(),
        INTERRUPTED,
        "{}",
        command.console()
    );
    command.wait_for_line("hello-xenvm runs on");
    let advice = command.wait_for_line("stop it:");
    assert!(
        advice.contains(&format!("-o Port={}", host.0.port())),
        "{advice}"
    );
    assert!(advice.ends_with("xl shutdown hello-xenvm"), "{advice}");
    assert_eq!(host.read("domains"), "hello-xenvm\n");
    assert!(!host.was_told_to("destroy") && !host.was_told_to("shutdown"));
    let console = host
        .read("pid")
        .trim()
        .parse()
        .expect("the stand-in wrote it");
    wait_until("the end of the console", DEADLINE, || {
        program(console).is_none().then_some(())
    });
}

#[test]
fn a_domain_of_the_same_name_is_replaced_only_when_asked() {
    let Some(lab) = Lab::open() else { return };
    let Some(host) = Host::start(&lab) else {
        return;
    };
    host.write("domains", "other\nhello-xenvm\n");
    let console = host.refuses(&lab, &[]);
    for words in ["a domain hello-xenvm already", "--replace", "--name"] {
        assert!(console.contains(words), "{words:?} is missing:\n{console}");
    }
    assert!(!host.path("home/landfall").exists(), "something was copied");

    let mut command = host.deploy(&lab, &["--replace", "--no-console"]);
    assert_eq!(command.wait_for_exit(), 0, "{}", command.console());
    command.wait_for_line("xl console hello-xenvm");
    let calls = host.read("calls");
    let end: Vec<&str> = calls.lines().rev().take(2).collect();
    assert!(
        end[0].starts_with("create /") && end[1] == "destroy hello-xenvm",
        "{calls}"
    );
    assert_eq!(host.read("domains"), "other\nhello-xenvm\n");

    let mut command = host.deploy(
        &lab,
        &["--name", "second", "--no-console", "--directory", "a b"],
    );
    assert_eq!(command.wait_for_exit(), 0, "{}", command.console());
    assert_eq!(host.read("domains"), "other\nhello-xenvm\nsecond\n");
    assert!(host.path("home/a b/hello.xl").is_file());
}

#[test]
fn what_xl_complains_of_is_shown() {
    let Some(lab) = Lab::open() else { return };
    let Some(host) = Host::start(&lab) else {
        return;
    };
    host.write("create-error", "Could not find bridge device nobr\n");
    for words in [&[][..], &["--no-console"]] {
        let console = host.refuses(&lab, words);
        for words in [
            "Could not find bridge device nobr",
            "exit status 3",
            "error: ",
        ] {
            assert!(console.contains(words), "{words:?} is missing:\n{console}");
        }
        assert!(!console.contains("open http"), "{console}");
    }
    assert_eq!(host.read("domains"), "");
    host.write("list-error", "xencall: error: Permission denied\n");
    let console = host.refuses(&lab, &[]);
    for words in ["Permission denied", "--sudo", "127.0.0.1"] {
        assert!(console.contains(words), "{words:?} is missing:\n{console}");
    }
}

#[test]
fn a_host_that_cannot_run_the_guest_is_found_out_before_the_build() {
    let Some(lab) = Lab::open() else { return };
    let Some(host) = Host::start(&lab) else {
        return;
    };
    host.write("capabilities", "xen-3.0-x86_64 hvm-3.0-x86_32\n");
    let console = host.refuses(&lab, &[]);
    assert!(
        console.contains("xen-3.0-x86_64") && console.contains("aarch64"),
        "{console}"
    );
    std::fs::remove_file(host.path("bin/xl")).expect("the file is ours");
    let console = host.refuses(&lab, &[]);
    assert!(console.contains("there is no xl on"), "{console}");
    assert!(!console.contains("Finished"), "it was built:\n{console}");
}

#[test]
fn a_login_that_fails_is_explained() {
    let Some(lab) = Lab::open() else { return };
    let Some(host) = Host::start(&lab) else {
        return;
    };
    let fails = |key: &str, words: &[&str]| {
        let mut command = host.deploy_with(&lab, key, words);
        assert_ne!(command.wait_for_exit(), 0, "{}", command.console());
        let console = command.console();
        assert!(console.contains("error: cannot log in to"), "{console}");
        assert!(console.contains("@127.0.0.1"), "{console}");
        console
    };
    let console = fails("other_key", &[]);
    assert!(console.contains("Permission denied"), "{console}");
    assert!(console.contains("ssh-copy-id"), "{console}");
    std::fs::write(host.path("known_hosts"), "").expect("the folder is ours");
    let console = fails("key", &[]);
    assert!(
        console.contains("Host key verification failed"),
        "{console}"
    );
    assert_eq!(host.read("calls"), "");
}

#[test]
fn a_guest_that_ends_badly_is_an_error() {
    let Some(lab) = Lab::open() else { return };
    let Some(host) = Host::start(&lab) else {
        return;
    };
    host.write("guest", "echo 'PANIC: index out of range'\n");
    let mut command = host.deploy(&lab, &["--replace"]);
    assert_eq!(command.wait_for_exit(), 101, "{}", command.console());
    command.wait_for_line("the guest stopped: PANIC: index out of range");
    command.wait_for_line("xl shutdown hello-xenvm");

    host.write(
        "guest",
        "echo '[    0.01] ERROR main: unknown argument \"prot\"'\n",
    );
    let console = host.refuses(&lab, &["--replace"]);
    assert!(
        console.contains("ended before it listened: main: unknown argument"),
        "{console}"
    );

    host.write(
        "guest",
        "echo 'listening on TCP port 80: http://10.0.0.9/'; echo bye\n",
    );
    let mut command = host.deploy(&lab, &["--replace"]);
    assert_eq!(command.wait_for_exit(), 0, "{}", command.console());
}

#[test]
fn wrong_values_reach_no_host() {
    let Some(lab) = Lab::open() else { return };
    let Some(host) = Host::start(&lab) else {
        return;
    };
    let cases: [(&[&str], &str); 6] = [
        (&["--bridge", "a,b"], "xenbr0"),
        (&["--mac", "01:00:00:00:00:00"], "multicast"),
        (&["--name", "2048"], "number"),
        (&["--memory", "lots"], "such as 6M"),
        (&["--arg", "a='b"], "quotes"),
        (&["--board", "virt"], "--board xenvm"),
    ];
    for (words, advice) in cases {
        let console = host.refuses(&lab, words);
        assert!(
            console.contains(advice),
            "{words:?}: {advice:?} is missing:\n{console}"
        );
    }
    assert_eq!(host.read("calls"), "");
}
