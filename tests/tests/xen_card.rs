//! The SD card that starts Xen, as `image` writes it, on an emulated board with a Cortex-A7: Debian's U-Boot runs its
//! script, Xen starts dom0, and dom0 creates the guests that lie on the card.

#![forbid(unsafe_code)]

use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fatfs::{FileSystem, FsOptions};
use fdt::Fdt;
use fdt::parsing::{Panic, unaligned::UnalignedParser};
use landfall_tests::http::{get, info};
use landfall_tests::lab::Folder;
use landfall_tests::network::TAP;
use landfall_tests::{DEADLINE, Dnsmasq, Guest, Lab, Namespace, Prompt, skip, wait_until};
use nix::sys::signal::Signal;

/// An emulated board with Xen, Linux and guests on it needs some 20 s on a machine with nothing else to do.
const PATIENCE: Duration = Duration::from_secs(240);

/// Where the first partition and that for logs begin.
const BOOT: usize = 1 << 20;
const LOGS: usize = 48 << 20;

type Partition<'a> = FileSystem<Cursor<&'a mut [u8]>>;

/// Writes a card with `image`.
fn card(lab: &Lab, path: &Path, words: &[&str]) -> String {
    let output = path.display().to_string();
    let words = [&["image"], words, &["--output", &output]].concat();
    let mut tool = lab.command(&words);
    assert_eq!(tool.wait_for_exit(), 0, "{}", tool.console());
    tool.console()
}

/// Looks at, or changes, what is on a partition of a card.
fn on_partition<T>(card: &Path, start: usize, job: impl FnOnce(&Partition<'_>) -> T) -> T {
    let mut bytes = std::fs::read(card).expect("a card");
    let end = if start == BOOT { LOGS } else { bytes.len() };
    let partition = FileSystem::new(Cursor::new(&mut bytes[start..end]), FsOptions::new());
    let partition = partition.expect("a file system");
    let result = job(&partition);
    partition.unmount().expect("memory has no errors");
    std::fs::write(card, bytes).expect("the card is ours");
    result
}

fn read(partition: &Partition<'_>, path: &str) -> Vec<u8> {
    let mut data = Vec::new();
    let mut file = partition
        .root_dir()
        .open_file(path)
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    file.read_to_end(&mut data).expect("it can be read");
    data
}

fn text(partition: &Partition<'_>, path: &str) -> String {
    String::from_utf8_lossy(&read(partition, path)).into_owned()
}

fn write(partition: &Partition<'_>, path: &str, data: &[u8]) {
    let file = partition.root_dir().create_file(path);
    let mut file = file.expect("there is room");
    file.truncate().expect("there is room");
    file.write_all(data).expect("there is room");
}

/// Starts a card in QEMU.
fn start(lab: &Lab, namespace: &Namespace, card: &Path) -> Guest {
    let card = format!("--card={}", card.display());
    let words = ["run", "2048", "--board", "cubieboard2", &card];
    let more = ["--tap", TAP, "--timeout", "0"];
    lab.command_on(namespace, &[&words[..], &more].concat())
}

/// The power is cut.
fn cut(mut guest: Guest) {
    guest.signal(Signal::SIGINT);
    assert_eq!(guest.wait_for_exit(), 130, "{}", guest.console());
}

/// A key pair for ssh.
fn key(folder: &Folder) -> PathBuf {
    let path = folder.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(&path)
        .status();
    assert!(made.is_ok_and(|status| status.success()), "ssh-keygen");
    path
}

/// What is said on the way, in this order.
const STEPS: [&str; 12] = [
    "Found U-Boot script /boot.scr",
    "Landfall: loading Xen, Linux and the device tree from ",
    "Starting kernel",
    "(XEN) Brought up 2 CPUs",
    "(XEN) *** LOADING DOMAIN 0 ***",
    "landfall: loading modules",
    "landfall: logs are kept on the card, in start-000001",
    "landfall: setting up bridge xenbr0",
    "landfall: starting xenstored",
    "landfall: creating guest 2048-cubieboard2 of 2048.xl",
    "landfall: failed: broken.xl: ",
    "landfall: ready: 2 of 4 guests created",
];

#[test]
fn a_card_creates_its_guests_and_keeps_what_they_say() {
    let Some(lab) = Lab::open() else { return };
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(why) => return skip(why),
    };
    let mut server = match Dnsmasq::new(&lab, &namespace) {
        Ok(server) => server,
        Err(why) => return skip(why),
    };
    server.start();
    let folder = lab.folder();
    let key = key(&folder);
    let public = key.with_extension("pub").display().to_string();
    let path = folder.path().join("sd.img");
    let words = ["2048", "--board", "cubieboard2", "--add", "hello"];
    let more = ["--hostname", "kitchen", "--ssh-key", &public];
    let mac = ["--mac", "02:00:00:00:00:07"];
    card(&lab, &path, &[&words[..], &more, &mac].concat());
    on_partition(&path, BOOT, |boot| {
        // Neither stops the others.
        write(boot, "guests/broken.xl", b"name = \"broken\nkernel = [\n");
        let lost = "name = \"lost\"\nkernel = \"/card/guests/lost.zimage\"\nmemory = 8\n";
        write(boot, "guests/lost.xl", lost.as_bytes());
    });

    let mut guest = start(&lab, &namespace, &path);
    guest.wait_for_line_within("landfall: ready: ", PATIENCE);
    guest.assert_said(&STEPS);
    let lost = guest.wait_for_line("landfall: failed: lost.xl: ");
    assert!(!lost.ends_with("lost.xl: "), "{lost}");
    let listens = guest.wait_for_line_within("2048-cubieboard2: [", PATIENCE);
    assert!(listens.contains("clock"), "{listens}");
    guest.wait_for_line_within("hello-cubieboard2: boot: starting the app", PATIENCE);
    let address = {
        let line = |guest: &Guest| {
            let console = guest.console();
            let mut lines = console.lines().map(str::to_owned);
            lines.find(|line| {
                line.starts_with("2048-cubieboard2") && line.contains("listening on TCP port")
            })
        };
        let line = wait_until("2048 listens", DEADLINE, || line(&guest));
        let (_, url) = line.split_once("http://").expect("an address");
        url.trim_end_matches('/').parse().expect("an address")
    };
    namespace.run(|| {
        assert!(get(address, "/").text().contains("<title>2048"));
        assert_eq!(info(address)["board"], "cubieboard2");
    });
    // dom0 has a lease under its name and address, and lets in who has the key.
    let lease = server.wait_for_line("02:00:00:00:00:07 kitchen");
    let dom0 = lease
        .split_whitespace()
        .find(|word| word.starts_with("10.77.0."))
        .expect("an address");
    let said = ssh(&lab, &namespace, &folder, &key, dom0, "xl list");
    for name in ["Domain-0", "2048-cubieboard2", "hello-cubieboard2"] {
        assert!(said.contains(name), "{said}");
    }
    guest.assert_well();
    cut(guest);

    on_partition(&path, LOGS, |logs| {
        let said = text(logs, "start-000001/dom0.log");
        assert!(said.contains("failed: broken.xl"), "{said}");
        assert!(said.contains("ready: 2 of 4"), "{said}");
        let said = text(logs, "start-000001/2048-cubieboard2.log");
        assert!(said.contains("listening on TCP port 8080"), "{said}");
        assert!(!text(logs, "start-000001/kernel.log").is_empty());
        assert!(!read(logs, "ssh/dropbear_ed25519_host_key").is_empty());
    });
}

/// Runs a command in dom0.
fn ssh(
    lab: &Lab,
    namespace: &Namespace,
    folder: &Folder,
    key: &Path,
    host: &str,
    words: &str,
) -> String {
    let known = folder.path().join("known_hosts").display().to_string();
    let mut command = namespace.command(lab, "ssh");
    for option in [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "StrictHostKeyChecking=accept-new",
        &format!("UserKnownHostsFile={known}"),
    ] {
        command.args(["-o", option]);
    }
    command.arg("-F").arg("none").arg("-i").arg(key);
    let output = command.arg(format!("root@{host}")).arg(words).output();
    let output = output.expect("ssh starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    said
}

#[test]
fn a_card_that_dom0_does_not_know_starts_nothing_and_says_so() {
    let Some(lab) = Lab::open() else { return };
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(why) => return skip(why),
    };
    let folder = lab.folder();
    let path = folder.path().join("sd.img");
    card(&lab, &path, &["hello", "--board", "cubieboard2"]);
    on_partition(&path, BOOT, |boot| {
        let settings = text(boot, "board.txt");
        assert!(settings.contains("layout=1"), "{settings}");
        // As other computers end lines.
        let older = settings
            .replace("layout=1", "layout=0")
            .replace('\n', "\r\n");
        write(boot, "board.txt", older.as_bytes());
    });
    let mut guest = start(&lab, &namespace, &path);
    let line = guest.wait_for_line_within("landfall: failed: ", PATIENCE);
    assert!(line.contains("layout '0'"), "{line}");
    assert!(line.contains("write the whole card again"), "{line}");
    guest.wait_for_line("press Enter on this console for a shell");
    assert!(!guest.console().contains("creating guest"));
    cut(guest);
}

/// What the board's own tree becomes, which QEMU has no machine for: U-Boot as on a board without a tree of its own, run
/// up to where it would start Xen.
#[test]
fn u_boot_tells_xen_in_the_boards_tree_where_dom0_is() {
    let Some(lab) = Lab::open() else { return };
    let Some(u_boot) = std::env::var_os("LANDFALL_U_BOOT") else {
        return skip("there is no U-Boot; `cargo landfall test` fetches it");
    };
    for (board, model) in [
        ("cubieboard2", "Cubietech Cubieboard2"),
        ("cubietruck", "Cubietech Cubietruck"),
    ] {
        let folder = lab.folder();
        let path = folder.path().join("sd.img");
        card(&lab, &path, &["hello", "--board", board]);
        let (linux, initramfs) = on_partition(&path, BOOT, |boot| {
            boot.root_dir().remove("xen").expect("it was there");
            (read(boot, "linux").len(), read(boot, "initramfs").len())
        });
        let drive = format!("file={},format=raw,if=none,id=card", path.display());
        let u_boot = u_boot.to_string_lossy();
        let machine = ["-M", "virt,highmem=off", "-cpu", "cortex-a7", "-m", "1G"];
        let devices = ["-bios", &u_boot, "-drive", &drive, "-nic", "none"];
        let disk = ["-device", "virtio-blk-device,drive=card"];
        let words = [&machine[..], &devices, &disk].concat();
        let mut prompt = Prompt::start(&lab, &folder, &words);
        prompt.run("setenv fdt_addr");
        let said = prompt.run("run bootcmd");
        let complaint = "Landfall: cannot load xen: write the card again";
        assert!(said.contains(complaint), "{said}");
        let tree = prompt.memory("${tree_at}", 0x10000);
        let tree = Fdt::new_unaligned(&tree).expect("a device tree");
        let name = text_of(&tree, "/", "model").expect("a model");
        assert!(name.starts_with(model), "{name}");
        check_tree(&tree, linux, initramfs);
    }
}

type Tree<'a> = Fdt<'a, (UnalignedParser<'a>, Panic)>;

/// The bytes of a property.
fn property<'a>(tree: &Tree<'a>, node: &str, name: &str) -> Option<&'a [u8]> {
    let property = tree.find_node(node)?.raw_property(name)?;
    Some(property.value)
}

/// A property that is text.
fn text_of<'a>(tree: &Tree<'a>, node: &str, name: &str) -> Option<&'a str> {
    let bytes = property(tree, node, name)?;
    std::str::from_utf8(bytes).ok()?.strip_suffix('\0')
}

/// A property that is numbers of 32 bits.
fn cells(tree: &Tree<'_>, node: &str, name: &str) -> Option<Vec<usize>> {
    let words = property(tree, node, name)?.chunks_exact(4);
    let word = |word: &[u8]| u32::from_be_bytes(word.try_into().expect("four bytes")) as usize;
    Some(words.map(word).collect())
}

/// Xen's docs/misc/arm/device-tree/booting.txt: modules with an address and a length, in cells as /chosen says.
fn check_tree(tree: &Tree<'_>, linux: usize, initramfs: usize) {
    for name in ["#address-cells", "#size-cells"] {
        assert_eq!(cells(tree, "/chosen", name), Some(vec![1]), "{name}");
    }
    let line = |name: &str| text_of(tree, "/chosen", name);
    let xen = line("xen,xen-bootargs").expect("Xen's arguments");
    assert!(xen.contains("console=dtuart dom0_mem=192M"), "{xen}");
    let dom0 = line("xen,dom0-bootargs").expect("Linux' arguments");
    assert!(dom0.contains("console=hvc0 rdinit=/init"), "{dom0}");
    // By which Xen finds its console.
    assert_eq!(line("stdout-path"), Some("serial0:115200n8"));
    let place = |node: &str, kinds: &str| {
        assert_eq!(text_of(tree, node, "compatible"), Some(kinds));
        let reg = cells(tree, node, "reg").unwrap_or_default();
        let [at, size] = reg[..] else {
            panic!("{node}: {reg:x?}")
        };
        at..at + size
    };
    let places = [
        place("/chosen/module@0", "multiboot,kernel\0multiboot,module"),
        place("/chosen/module@1", "multiboot,ramdisk\0multiboot,module"),
    ];
    assert_eq!(places.each_ref().map(|it| it.len()), [linux, initramfs]);
    // In the board's RAM, and clear of each other.
    let ram = 0x4000_0000..0x8000_0000;
    assert!(
        places
            .iter()
            .all(|it| ram.contains(&it.start) && ram.contains(&it.end))
    );
    assert!(places[0].end <= places[1].start, "{places:x?}");
}

#[test]
fn a_card_has_what_it_says_and_is_the_same_each_time() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let place = |name: &str| folder.path().join(name);
    let words = ["hello", "--board", "cubietruck", "--arg", "port=81"];
    let said = card(&lab, &place("one.img"), &words);
    assert!(said.contains("for cubietruck"), "{said}");
    card(&lab, &place("two.img"), &words);
    let one = std::fs::read(place("one.img")).expect("a card");
    assert!(one == std::fs::read(place("two.img")).expect("a card"));
    // The boot ROM's mark (linux-sunxi.org, "EGON").
    assert_eq!(&one[8196..8204], b"eGON.BT0");
    on_partition(&place("one.img"), BOOT, |boot| {
        assert!(text(boot, "guests/hello.xl").contains("extra = \"port=81\""));
        assert!(text(boot, "boot.cmd").contains("/sun7i-a20-cubietruck.dtb"));
        assert!(text(boot, "board.txt").contains("\nhostname=cubietruck\nmac=\n"));
        assert!(!read(boot, "sun7i-a20-cubietruck.dtb").is_empty());
        assert!(boot.root_dir().open_file("authorized_keys").is_err());
    });
    // The first partition's sectors.
    let sectors = u32::from_le_bytes(one[458..462].try_into().expect("four bytes"));
    assert_eq!(sectors as usize * 512, LOGS - BOOT);
}

#[test]
fn mistakes_are_named_before_anything_is_built() {
    let Some(lab) = Lab::open() else { return };
    let folder = lab.folder();
    let output = folder.path().join("sd.img");
    let key = key(&folder).display().to_string();
    for (words, hint) in [
        (
            &["--machine", "nanopi-neo"][..],
            "cubieboard2 is the machine",
        ),
        (&["--hostname", "my board"], "cannot be a host's name"),
        (&["--mac", "01:00:00:00:00:01"], "multicast"),
        (&["--ssh-key", &key], "private key"),
        (&["--ssh-key", "/dev/null"], "no public key"),
        (&["--add", "2049"], "did you mean"),
        (&["--add", "hello"], "name each app once"),
        (&["--arg", "prot=81"], "port"),
    ] {
        let shown = output.display().to_string();
        let image = ["image", "hello", "--board", "cubieboard2"];
        let mut tool = lab.command(&[&image, words, &["--output", &shown]].concat());
        assert_ne!(tool.wait_for_exit(), 0, "{words:?}");
        assert!(tool.console().contains(hint), "{}", tool.console());
        assert!(!output.exists(), "{words:?}");
    }
    for (words, hint) in [
        (["--board", "xenvm", "--card"], "add --board cubieboard2"),
        (["--board", "cubieboard2", "--card=/no/card"], "no card"),
    ] {
        let words = [&["run", "hello", "--port", "0"], &words[..]].concat();
        let mut tool = lab.command(&words);
        assert_ne!(tool.wait_for_exit(), 0, "{words:?}");
        assert!(tool.console().contains(hint), "{}", tool.console());
    }
}
