//! What the code in ARMv7 images is, instruction by instruction.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use landfall_tests::Lab;
use object::{Object, ObjectSection, ObjectSymbol};
use yaxpeax_arch::{Decoder, U8Reader};
use yaxpeax_arm::armv7::{InstDecoder, Instruction, Opcode, Operand};

const IMAGES: [(&str, &[&str]); 3] = [
    ("virt-armv7", &["2048", "hello", "crash", "network"]),
    ("cubieboard2", &["2048", "hello", "crash", "share"]),
    ("sunxi", &["2048", "hello", "crash"]),
];

/// The address of an access in a function that is not part of the image (`.cargo/config.toml`).
const LEFT_OUT: u32 = u32::MAX;

fn each_image(mut check: impl FnMut(&str, &object::File<'_>)) {
    let Some(lab) = Lab::open() else { return };
    for (board, apps) in IMAGES {
        for app in apps {
            let data = std::fs::read(lab.elf(app, board)).expect("it was built");
            let file = object::File::parse(&*data).expect("an ELF file");
            check(&format!("{app} for {board}"), &file);
        }
    }
}

/// The code of an image. It is linked at 0, so an address is an index.
fn text<'data>(file: &object::File<'data>) -> &'data [u8] {
    let text = file.section_by_name(".text").expect("it has code");
    assert_eq!(text.address(), 0);
    text.data().expect("it is in the file")
}

fn decoded(code: &[u8], is_t32: bool) -> Result<Instruction, String> {
    // The virtualization extensions are Cortex-A7's, and with them UDIV and SDIV.
    let decoder = if is_t32 {
        InstDecoder::default_thumb()
    } else {
        InstDecoder::default()
    };
    let decoded = decoder.decode(&mut U8Reader::new(code));
    decoded.map_err(|error| format!("{error:?}"))
}

/// Returns whether it loads or stores one register without write-back: then the CPU says which, and a
/// hypervisor can emulate the device (Arm ARM DDI 0406C, B3.13.6, "ISV").
fn is_decodable_by_a_hypervisor(instruction: &Instruction) -> bool {
    use Opcode::{LDR, LDRB, LDRH, STR, STRB, STRH};
    let one = matches!(instruction.opcode, LDR | LDRB | LDRH | STR | STRB | STRH);
    let plain = match instruction.operands[1] {
        Operand::RegDeref(_) => true,
        Operand::RegDerefPreindexOffset(_, _, _, writes_back)
        | Operand::RegDerefPreindexReg(_, _, _, writes_back) => !writes_back,
        _ => false,
    };
    one && plain
}

#[test]
fn each_access_to_a_device_is_one_that_a_hypervisor_can_emulate() {
    each_image(|what, file| {
        let accesses = file
            .section_by_name(".mmio_accesses")
            .expect("it lists them");
        let accesses = accesses.data().expect("they are in the file");
        let addresses: Vec<u32> = accesses
            .chunks_exact(4)
            .map(|address| u32::from_le_bytes(address.try_into().expect("four bytes")))
            .filter(|address| *address != LEFT_OUT)
            .collect();
        // The interrupt controller alone has a dozen.
        let count = addresses.len();
        assert!(count > 12, "{what} lists {count} accesses to devices");
        for address in addresses {
            let code = &text(file)[address as usize..];
            let instruction = decoded(code, true).expect("an instruction");
            assert!(
                is_decodable_by_a_hypervisor(&instruction),
                "{what}, at {address:#x}: {instruction}"
            );
        }
    });
}

#[test]
fn accesses_that_a_hypervisor_cannot_emulate_are_told_apart() {
    let judged = |code: &[u8], is_t32| {
        let instruction = decoded(code, is_t32).expect("an instruction");
        is_decodable_by_a_hypervisor(&instruction)
    };
    // ldr r0, [r1]; str r0, [r1, #4]; ldrh r0, [r1]
    for good in [0x6808_u16, 0x6048, 0x8808] {
        assert!(judged(&good.to_le_bytes(), true), "{good:#x}");
    }
    // ldr r3, [r0, r3]!; ldr r0, [r1], #4; ldm r0!, {r1, r2}; ldrd r0, r1, [r2]
    for bad in [0xe7b0_3003_u32, 0xe491_0004, 0xe8b0_0006, 0xe1c2_00d0] {
        assert!(!judged(&bad.to_le_bytes(), false), "{bad:#x}");
    }
}

/// How many instructions of T32 are divisions. Mapping symbols say where code begins and ends (Arm IHI 0044, 5.5.5).
fn divisions(file: &object::File<'_>) -> usize {
    let mut marks: Vec<(u64, bool)> = file
        .symbols()
        .filter_map(|symbol| {
            let name = symbol.name().ok()?;
            let kind = name.get(..2)?;
            ["$t", "$a", "$d"]
                .contains(&kind)
                .then(|| (symbol.address(), kind == "$t"))
        })
        .collect();
    marks.sort_unstable();
    let text = text(file);
    let end = |index: usize| {
        let next = marks.get(index + 1).map_or(u64::MAX, |mark| mark.0);
        text.len().min(next as usize)
    };
    let pieces = marks.iter().enumerate().filter(|(_, mark)| mark.1);
    let pieces = pieces.filter_map(|(index, mark)| text.get(mark.0 as usize..end(index)));
    pieces.map(divisions_in).sum()
}

fn divisions_in(mut code: &[u8]) -> usize {
    let mut count = 0;
    while let [low, high, ..] = *code {
        // Those of two halves begin so (Arm ARM DDI 0406C, A6.1), and divisions are among them (A8.8.165, A8.8.248).
        let first = u16::from_le_bytes([low, high]);
        let is_wide = first >= 0xe800;
        if is_wide && let Some(bytes) = code.get(..4) {
            let second = u16::from_le_bytes([bytes[2], bytes[3]]);
            let is_division =
                matches!(first & 0xfff0, 0xfb90 | 0xfbb0) && second & 0xf0f0 == 0xf0f0;
            count += usize::from(is_division);
        }
        code = code.get(if is_wide { 4 } else { 2 }..).unwrap_or_default();
    }
    count
}

/// A Cortex-A8 has no instruction that divides, and a Cortex-A7 has.
#[test]
fn images_for_an_a10_leave_divisions_to_functions() {
    each_image(|what, file| {
        let count = divisions(file);
        assert_eq!(count == 0, what.ends_with("sunxi"), "{what}: {count}");
    });
}

#[test]
fn divisions_are_told_apart() {
    // sdiv r0, r1, r2; nop; udiv r0, r1, r2
    let code = [0xfb91_u16, 0xf0f2, 0xbf00, 0xfbb1, 0xf0f2].map(u16::to_le_bytes);
    assert_eq!(divisions_in(code.as_flattened()), 2);
    // umull r0, r1, r2, r3; bl
    let code = [0xfba2_u16, 0x0103, 0xf000, 0xf8f0].map(u16::to_le_bytes);
    assert_eq!(divisions_in(code.as_flattened()), 0);
}

/// The list above has what goes through safe-mmio, so nothing may go another way.
#[test]
fn no_access_to_a_device_is_left_to_the_compiler() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders: Vec<PathBuf> = ["arch", "boards", "drivers", "runtime", "xen-arm"]
        .map(|folder| root.join(folder))
        .into();
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the workspace") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files += 1;
                let source = std::fs::read_to_string(&path).expect("it is text");
                let volatile = source.lines().find(|line| {
                    !line.trim_start().starts_with("//") && line.contains("_volatile(")
                });
                assert_eq!(volatile, None, "{}: use safe-mmio", path.display());
            }
        }
    }
    assert!(files > 50, "only {files} files were looked at");
}
