//! The commands of the book's first hour, in its order, in a copy of the workspace.
//!
//! A block ```` ```console ```` has commands after `$ ` and lines that they are to print, in that order, in which `…`
//! stands for anything. With `,server` a command goes on until the next such block, the words "Ctrl-C ends it" or the
//! end of the page; with `,fails` it is to fail.

#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use landfall_tests::lab::Folder;
use landfall_tests::{Guest, Lab};
use nix::sys::signal::Signal;

/// The pages, as the summary orders them.
const PAGES: [&str; 5] = ["install", "run", "change", "arm", "board"];

/// What a block says of its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Succeeds,
    Fails,
    Serves,
}

/// What a page asks its reader to do.
#[derive(Debug)]
enum Act {
    Run(Step),
    /// Ctrl-C.
    Stop,
}

/// A command and what it is to print.
#[derive(Debug)]
struct Step {
    kind: Kind,
    command: String,
    prints: Vec<String>,
}

/// Reads the commands of a page.
fn acts(page: &str) -> Vec<Act> {
    let mut acts = Vec::new();
    let mut kind = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), kind) {
            (Some("console"), None) => kind = Some(Kind::Succeeds),
            (Some("console,server"), None) => kind = Some(Kind::Serves),
            (Some("console,fails"), None) => kind = Some(Kind::Fails),
            (Some(""), _) => kind = None,
            (None, Some(kind)) => match line.strip_prefix("$ ") {
                Some(command) => acts.push(Act::Run(Step {
                    kind,
                    command: command.to_owned(),
                    prints: Vec::new(),
                })),
                None => match acts.last_mut() {
                    Some(Act::Run(step)) => step.prints.push(line.to_owned()),
                    _ => panic!("a command comes first: {line}"),
                },
            },
            (None, None) if line.contains("Ctrl-C ends it") => acts.push(Act::Stop),
            _ => {}
        }
    }
    acts
}

/// Returns whether a line is what the book shows.
fn is_like(line: &str, shown: &str) -> bool {
    let mut rest = line;
    let parts: Vec<&str> = shown.split('…').collect();
    for (number, part) in parts.iter().enumerate() {
        let part = part.trim();
        let found = match number {
            0 => rest.starts_with(part).then_some(0),
            _ => rest.find(part),
        };
        let Some(at) = found else { return false };
        rest = &rest[at + part.len()..];
    }
    parts.len() > 1 || rest.trim().is_empty()
}

/// Checks that a text has the shown lines in their order, with others between.
fn check(text: &str, step: &Step) {
    let mut lines = text.lines();
    for shown in &step.prints {
        // Alone, it stands for any number of lines.
        if shown.trim() == "…" {
            continue;
        }
        let found = lines.any(|line| is_like(line.trim(), shown.trim()));
        assert!(
            found,
            "{}: no line {shown:?} in its place:\n{text}",
            step.command
        );
    }
}

/// The copy, and how commands run in it.
struct Shell<'a> {
    lab: &'a Lab,
    folder: Folder,
    server: Option<Guest>,
}

impl Shell<'_> {
    /// The command, in a shell of the system's; what is asked of `cargo landfall` is asked of the tool.
    fn command(&self, words: &str) -> Command {
        let tool = self.lab.tool().display().to_string();
        let mut command = self.lab.supervised("bash");
        command
            .arg("-c")
            .arg(words.replace("cargo landfall", &tool))
            .current_dir(self.folder.path())
            .env("CARGO_TARGET_DIR", self.lab.target_of_copies())
            .stdin(Stdio::null());
        command
    }

    fn run(&mut self, step: &Step) {
        match step.kind {
            Kind::Serves => self.serve(step),
            Kind::Succeeds | Kind::Fails => {
                let output = self.command(&step.command).output();
                let output = output.expect("bash can be started");
                let text = [output.stdout, output.stderr].concat();
                let text = String::from_utf8_lossy(&text);
                // The reader's target folder is in the workspace.
                let target = self.lab.target_of_copies().display().to_string();
                let text = text.replace(&target, "target");
                let as_said = output.status.success() == (step.kind == Kind::Succeeds);
                assert!(as_said, "{}: {}\n{text}", step.command, output.status);
                check(&text, step);
            }
        }
    }

    fn serve(&mut self, step: &Step) {
        self.stop();
        // `exec`, so that the signal reaches the tool.
        let command = self.command(&format!("exec {}", step.command));
        let mut server = Guest::of(command);
        let last = step.prints.last().expect("it says where it serves");
        server.wait_for_line_within(last, BUILD);
        check(&server.console(), step);
        self.server = Some(server);
    }

    /// Ctrl-C.
    fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.signal(Signal::SIGINT);
            server.wait_for_status();
        }
    }
}

/// How long a build may take on a busy machine.
const BUILD: std::time::Duration = std::time::Duration::from_secs(600);

#[test]
fn the_first_hour_goes_as_it_says() {
    let Some(lab) = Lab::open() else { return };
    let folder = Folder::elsewhere();
    landfall_tests::lab::copy_of_workspace(folder.path());
    let pages = folder.path().join("docs/book/src/first-hour");
    let mut shell = Shell {
        lab: &lab,
        folder,
        server: None,
    };
    for page in PAGES {
        let text = fs::read_to_string(pages.join(format!("{page}.md"))).expect("a page");
        let acts = acts(&text);
        assert!(!acts.is_empty(), "{page} has no commands");
        for act in &acts {
            match act {
                Act::Run(step) => {
                    println!("$ {}", step.command);
                    shell.run(step);
                }
                Act::Stop => shell.stop(),
            }
        }
        shell.stop();
    }
}

/// Every page is in the summary, every link of the summary is a page, and every link of a page leads somewhere.
#[test]
fn no_page_is_lost_and_no_link_is_broken() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/book/src");
    let summary = fs::read_to_string(source.join("SUMMARY.md")).expect("a summary");
    let listed: Vec<PathBuf> = links(&summary).map(|link| source.join(link)).collect();
    let mut found = 0;
    for folder in ["", "first-hour", "guide"] {
        for entry in fs::read_dir(source.join(folder)).expect("a folder") {
            let path = entry.expect("it can be read").path();
            if path.extension().is_none_or(|it| it != "md") || path.ends_with("SUMMARY.md") {
                continue;
            }
            found += 1;
            assert!(
                listed.iter().any(|it| same(it, &path)),
                "{} is not in the summary",
                path.display()
            );
            let text = fs::read_to_string(&path).expect("a page");
            for link in links(&text).filter(|link| !link.contains("://")) {
                let file = link.split('#').next().unwrap_or_default();
                let to = path.parent().expect("a folder").join(file);
                assert!(to.exists(), "{}: {link}", path.display());
            }
        }
    }
    assert_eq!(found, listed.len());
}

fn same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    real(one).is_some() && real(one) == real(other)
}

/// The targets of a page's links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
}

#[test]
fn shown_lines_match_as_they_say() {
    for (line, shown, like) in [
        ("Ahoy, you!", "Ahoy, you!", true),
        ("Ahoy, you! there", "Ahoy, you!", false),
        ("a b c", "a …c", true),
        ("a b c", "b …c", false),
        ("x a b c", "…b …", true),
        ("a", "…b", false),
    ] {
        assert_eq!(is_like(line, shown), like, "{line:?} {shown:?}");
    }
}
