//! Accesses to devices, each a plain load or store.
//!
//! A hypervisor that emulates a device is told by the CPU which register an access was of, but only for loads
//! and stores of one register without write-back (Arm ARM DDI 0406C, B3.13.6, "ISV"). Xen ends a guest that
//! uses any other. `read_volatile` and `write_volatile` leave the choice to the compiler, so the drivers'
//! crate is given these instead. A section of the ELF file, which is not in the image, lists where they are: a
//! test disassembles each.

use core::arch::asm;
use safe_mmio::MmioOps;

struct SingleAccess;

safe_mmio::set_mmio_ops!(SingleAccess);

/// An instruction, and its address in the list.
macro_rules! access {
    ($instruction:literal) => {
        concat!(
            "8900: ",
            $instruction,
            " {}, [{}]\n",
            ".pushsection .mmio_accesses, \"\", %progbits\n",
            ".4byte 8900b\n",
            ".popsection"
        )
    };
}

macro_rules! load {
    ($instruction:literal, $from:expr) => {{
        let value: u32;
        // SAFETY: The caller says that the register can be read.
        unsafe {
            asm!(
                access!($instruction),
                out(reg) value, in(reg) $from,
                options(nostack, preserves_flags)
            );
        }
        value
    }};
}

macro_rules! store {
    ($instruction:literal, $to:expr, $value:expr) => {
        // SAFETY: The caller says that the register can be written.
        unsafe {
            asm!(
                access!($instruction),
                in(reg) $value, in(reg) $to,
                options(nostack, preserves_flags)
            );
        }
    };
}

impl MmioOps for SingleAccess {
    unsafe fn read_u8(src: *const u8) -> u8 {
        load!("ldrb", src) as u8
    }

    unsafe fn read_u16(src: *const u16) -> u16 {
        load!("ldrh", src) as u16
    }

    unsafe fn read_u32(src: *const u32) -> u32 {
        load!("ldr", src)
    }

    /// In two halves, the lower first: no single access is of 64 bits.
    unsafe fn read_u64(src: *const u64) -> u64 {
        let half = src.cast::<u32>();
        let low = load!("ldr", half);
        let high = load!("ldr", half.wrapping_add(1));
        u64::from(high) << 32 | u64::from(low)
    }

    unsafe fn write_u8(dst: *mut u8, value: u8) {
        store!("strb", dst, u32::from(value));
    }

    unsafe fn write_u16(dst: *mut u16, value: u16) {
        store!("strh", dst, u32::from(value));
    }

    unsafe fn write_u32(dst: *mut u32, value: u32) {
        store!("str", dst, value);
    }

    /// In two halves, the lower first.
    unsafe fn write_u64(dst: *mut u64, value: u64) {
        let half = dst.cast::<u32>();
        store!("str", half, value as u32);
        store!("str", half.wrapping_add(1), (value >> 32) as u32);
    }
}
