//! Images whose log lines leave them as defmt frames.

#![forbid(unsafe_code)]

use landfall_tests::{DEADLINE, Lab, http, wait_until};

const BOARDS: [(&str, &str, &str); 2] = [
    ("virt", "qemu-system-aarch64", "cortex-a57"),
    ("virt-armv7", "qemu-system-arm", "cortex-a7"),
];

/// A text that is in a log line, and so is not in the image.
const TEXT: &str = "listening on TCP port";
const LINE: &str = "INFO  net: listening on TCP port 8080: http://10.0.2.15:8080/";

fn has(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[test]
fn the_texts_are_in_the_elf_file_and_not_in_the_image() {
    let Some(lab) = Lab::open() else { return };
    for (board, ..) in BOARDS {
        let read = |path| std::fs::read(path).expect("it was built");
        let usual = read(lab.image("hello", board));
        let lab = lab.with_defmt();
        let (image, elf) = (
            read(lab.image("hello", board)),
            read(lab.elf("hello", board)),
        );
        let found = [usual, image, elf].map(|file| has(&file, TEXT));
        assert_eq!(found, [true, false, true], "{board}");
    }
}

#[test]
fn the_tool_shows_frames_as_text_while_the_guest_runs() {
    let Some(lab) = Lab::open() else { return };
    for (board, ..) in BOARDS {
        let lab = lab.with_defmt();
        let machine = lab.machine("hello").board(board).argument("log=http=debug");
        let mut guest = machine.start();
        let address = guest.wait_until_it_listens();
        assert_eq!(http::get(address, "/").text(), "hello\n");
        guest.wait_for_line("GET / 200 OK");
        guest.assert_well();
        let console = guest.console();
        let mut rest = console.as_str();
        for words in ["boot: starting the app\n[", LINE, "DEBUG http: 10.0.2.2:"] {
            let at = rest.find(words);
            rest = &rest[at.unwrap_or_else(|| panic!("{words:?} is missing:\n{console}"))..];
        }
        assert!(!console.contains("does not explain"), "{console}");
    }
}

#[test]
fn wrong_arguments_are_said_in_frames_too() {
    let Some(lab) = Lab::open() else { return };
    let (board, program, _) = BOARDS[0];
    let lab = lab.with_defmt();
    let folder = lab.folder();
    let console = folder.path().join("console");
    let mut guest = start(&lab, board, program, &console, "prot=80");
    assert_eq!(guest.wait_for_exit(), 2);
    let text = decoded(&lab, board, &console);
    assert!(
        text.contains("ERROR boot: unknown boot argument `prot`; known are: port"),
        "{text}"
    );
}

#[test]
fn what_a_console_has_kept_is_decoded_afterwards() {
    let Some(lab) = Lab::open() else { return };
    for (board, program, _) in BOARDS {
        let lab = lab.with_defmt();
        let folder = lab.folder();
        let console = folder.path().join("console");
        let _guest = start(&lab, board, program, &console, "log=info");
        let text = wait_until("the address on the console", DEADLINE, || {
            // QEMU makes the file when it starts.
            let text = console.is_file().then(|| decoded(&lab, board, &console))?;
            text.contains(LINE).then_some(text)
        });
        assert!(text.contains("boot: starting the app"), "{text}");
        let bytes = std::fs::read(&console).expect("QEMU writes it");
        assert!(!has(&bytes, TEXT), "{board}");
    }
}

/// Starts QEMU with its console in a file.
fn start(
    lab: &Lab,
    board: &str,
    program: &str,
    console: &std::path::Path,
    line: &str,
) -> landfall_tests::Guest {
    let cpu = BOARDS
        .iter()
        .find(|it| it.0 == board)
        .expect("one of them")
        .2;
    let image = lab.image("hello", board).display().to_string();
    let console = format!("file:{}", console.display());
    let words = [
        ["-M", "virt"],
        ["-cpu", cpu],
        ["-m", "64M"],
        ["-semihosting-config", "enable=on,target=native"],
        ["-kernel", &image],
        ["-append", line],
        ["-serial", &console],
        ["-netdev", "user,id=net0"],
        ["-device", "virtio-net-device,netdev=net0"],
        ["-global", "virtio-mmio.force-legacy=false"],
    ];
    lab.qemu(program, words.as_flattened())
}

/// What `decode` makes of a console.
fn decoded(lab: &Lab, board: &str, console: &std::path::Path) -> String {
    let elf = lab.elf("hello", board).display().to_string();
    let mut decode = lab.command(&["decode", &elf, &console.display().to_string()]);
    assert_eq!(decode.wait_for_exit(), 0, "{}", decode.console());
    decode.console()
}
