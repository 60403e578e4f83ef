//! Images that halt at once, to tell xl's own time from a guest's.

use crate::image::Cpu;

/// An image that halts at once, as long as another one is: the header of Linux' boot protocol, and PSCI's
/// SYSTEM_OFF (Arm DEN 0022, 5.10) by HVC.
pub(super) fn halting(cpu: Cpu, bytes: u64) -> Vec<u8> {
    let mut image = match cpu {
        Cpu::Aarch64 => halting_aarch64(bytes),
        Cpu::Armv7 => halting_armv7(bytes),
    };
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    image.resize(image.len().max(bytes), 0);
    image
}

/// A zImage (arch/arm/boot/compressed/head.S of Linux).
fn halting_armv7(bytes: u64) -> Vec<u8> {
    const MOV_R0_R0: u32 = 0xe1a0_0000;
    const BRANCH_OVER_HEADER: u32 = 0xea00_0003;
    const MAGIC: u32 = 0x016f_2818;
    const LITTLE_ENDIAN: u32 = 0x0403_0201;
    // movw r0, #8; movt r0, #0x8400; hvc #0; b .
    const CODE: [u32; 4] = [0xe300_0008, 0xe348_0400, 0xe140_0070, 0xeaff_fffe];
    // An image has no gigabytes.
    let header = [BRANCH_OVER_HEADER, MAGIC, 0, bytes as u32, LITTLE_ENDIAN];
    let words = [MOV_R0_R0; 8].into_iter().chain(header).chain(CODE);
    words.flat_map(u32::to_le_bytes).collect()
}

/// An arm64 image (Documentation/arch/arm64/booting.rst of Linux).
fn halting_aarch64(bytes: u64) -> Vec<u8> {
    const BRANCH_OVER_HEADER: u32 = 0x1400_0010;
    const TEXT_OFFSET: u64 = 0;
    const FLAGS: u64 = 0b1010;
    // movz w0, #8; movk w0, #0x8400, lsl #16; hvc #0; b .
    const CODE: [u32; 4] = [0x5280_0100, 0x72b0_8000, 0xd400_0002, 0x1400_0000];
    let mut image = Vec::new();
    image.extend(BRANCH_OVER_HEADER.to_le_bytes());
    image.extend([0; 4]);
    for word in [TEXT_OFFSET, bytes, FLAGS, 0, 0, 0] {
        image.extend(word.to_le_bytes());
    }
    image.extend(b"ARM\x64\0\0\0\0");
    image.extend(CODE.iter().flat_map(|word| word.to_le_bytes()));
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_halts_has_the_size_that_is_asked_for() {
        for cpu in [Cpu::Aarch64, Cpu::Armv7] {
            let image = halting(cpu, 344_192);
            assert_eq!(image.len(), 344_192);
            assert_eq!(Cpu::of_image(&image), Some(cpu));
        }
        assert_eq!(
            halting(Cpu::Aarch64, 344_192)[16..24],
            344_192_u64.to_le_bytes()
        );
        assert_eq!(
            halting(Cpu::Armv7, 344_192)[0x2c..0x30],
            344_192_u32.to_le_bytes()
        );
    }
}
