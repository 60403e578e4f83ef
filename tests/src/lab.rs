//! What the tests find around them: images, the tool, free ports, folders for a while.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

/// The images under test and the tool that starts them.
#[derive(Clone, Debug)]
pub struct Lab {
    images: PathBuf,
    tool: PathBuf,
}

impl Lab {
    /// Returns what `cargo landfall test` has prepared, or `None`, having said so, where it has not.
    pub fn open() -> Option<Self> {
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        let Some((images, tool)) = path("LANDFALL_IMAGES").zip(path("LANDFALL_TOOL")) else {
            skip("there are no images; `cargo landfall test` builds them and runs these tests");
            return None;
        };
        Some(Self { images, tool })
    }

    /// The same with other images, each in a folder for its board.
    #[must_use]
    pub fn with_images(&self, images: PathBuf) -> Self {
        Self {
            images,
            tool: self.tool.clone(),
        }
    }

    /// The same with the images that log by defmt: `hello` for the boards that are QEMU's.
    #[must_use]
    pub fn with_defmt(&self) -> Self {
        self.with_images(self.images.join("defmt"))
    }

    /// Cargo's target folder for copies of the workspace, which stays: what all have in common is built once. It is not
    /// the workspace's, for the names of their packages are the same.
    pub fn target_of_copies(&self) -> PathBuf {
        self.images.join("copies")
    }

    /// The executable of `cargo landfall`.
    pub fn tool(&self) -> &Path {
        &self.tool
    }

    /// The flat image of an app for a board that is a machine.
    pub fn image(&self, app: &str, board: &str) -> PathBuf {
        let [img, zimage] =
            ["img", "zimage"].map(|ending| self.images.join(board).join(format!("{app}.{ending}")));
        let path = if zimage.is_file() { zimage } else { img };
        assert!(path.is_file(), "there is no image {}", path.display());
        path
    }

    /// The ELF file that the image was made from.
    pub fn elf(&self, app: &str, board: &str) -> PathBuf {
        self.images.join(board).join(format!("{app}.elf"))
    }

    /// The same in `folder`, for the tool writes the image beside it: every guest has its own.
    pub fn elf_in(&self, folder: &Folder, app: &str, board: &str) -> PathBuf {
        let path = folder.path().join(format!("{app}.elf"));
        std::os::unix::fs::symlink(self.elf(app, board), &path).expect("the folder is empty");
        path
    }

    /// The executable of an app for board `unix`.
    pub fn executable(&self, app: &str) -> PathBuf {
        self.images.join("unix").join(app)
    }

    /// The folder around the images, where what is worth keeping goes.
    pub fn keepsakes(&self) -> &Path {
        self.images.parent().unwrap_or(&self.images)
    }

    /// Has the tool write a card with `hello` for a machine to `path`; returns what it says.
    pub fn card(&self, machine: &str, path: &Path, more: &[&str]) -> String {
        let output = path.display().to_string();
        let words = ["image", "hello", "--board", "sunxi", "--machine", machine];
        let mut tool = self.command(&[&words[..], &["--output", &output], more].concat());
        assert_eq!(tool.wait_for_exit(), 0, "{}", tool.console());
        tool.console()
    }

    /// An empty folder that is removed with the returned value.
    pub fn folder(&self) -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self
            .images
            .join(format!("test-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("the folder of the images can be written to");
        Folder(path)
    }
}

/// A folder that is removed with this value.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// An empty folder outside of the workspace: cargo has no settings there.
    pub fn elsewhere() -> Self {
        let name = format!("landfall-test-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("the folder for temporary files can be written to");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} is left over: {error}", self.0.display());
        }
    }
}

/// Says why a test does not run here.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let line = format!("skipped: {reason} ({test})\n");
    // Not `eprintln!`: what tests that pass print in that way is not shown.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Returns whether `program` can be started.
pub fn has_program(program: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok()
}

/// Returns a port of this machine that nobody listens on, each time another.
pub fn free_port() -> u16 {
    /// Below the ports that Linux hands out by itself: no client takes one by chance.
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run at the same time begin at different places.
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    let free = (0..COUNT).find_map(|_| {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
            .is_ok()
            .then_some(port)
    });
    free.expect("some port is free")
}

/// Copies the workspace, without what was built, into `folder`.
pub fn copy_of_workspace(folder: &Path) {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut copy = Command::new("sh");
    let script = "cd \"$0\" && tar -c --exclude=./target --exclude=./.git . | tar -x -C \"$1\"";
    copy.args(["-c", script, root]).arg(folder);
    assert!(copy.status().expect("a shell").success());
}
