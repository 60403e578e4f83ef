//! The exception vectors, and what each exception says before the image stops.
//!
//! Interrupts are masked for good, so an exception is a fault: the handler prints what happened
//! where, with registers and a backtrace, and ends the image. The one that it returns from is the
//! probe for a semihosting host (see `semihosting.rs`).

use crate::{
    console::Console,
    crash,
    image::{self, Place},
};
use core::{
    arch::{asm, global_asm},
    fmt::{self, Write},
};

/// The registers at the moment of the exception, as the vectors store them on the exception's stack.
#[repr(C)]
struct Frame {
    r: [u32; 13],
    /// Of the mode that was interrupted.
    sp: u32,
    /// Of the mode that was interrupted.
    lr: u32,
    /// The exception's link register: the address of the instruction and a little more, by its kind.
    link: u32,
    spsr: u32,
}

/// The exceptions, by their places among the vectors (Arm ARM DDI 0406C, B1.8.1).
mod kind {
    pub(super) const UNDEFINED: u32 = 1;
    pub(super) const SUPERVISOR_CALL: u32 = 2;
    pub(super) const PREFETCH_ABORT: u32 = 3;
    pub(super) const DATA_ABORT: u32 = 4;
}

global_asm!(
    r#"
    .pushsection .text.vectors, "ax"
    .arm
    .balign 32
    .global exception_vectors
exception_vectors:
    b       vector_0
    b       vector_1
    b       vector_2
    b       vector_3
    b       vector_4
    b       vector_5
    b       vector_6
    b       vector_7

    .macro vector kind
vector_\kind:
    sub     sp, sp, #72             // Frame, and four bytes that align it
    stm     sp, {{r0 - r12}}
    mov     r0, #\kind
    b       save_and_handle
    .endm
    vector  0
    vector  1
    vector  3
    vector  4
    vector  5
    vector  6
    vector  7

    // A supervisor call comes from SVC mode, whose stack pointer and link register it shares.
vector_2:
    sub     sp, sp, #72
    stm     sp, {{r0 - r12}}
    mov     r0, #2

save_and_handle:
    mrs     r2, spsr
    str     lr, [sp, #60]
    str     r2, [sp, #64]
    // The stack pointer and link register of the mode that was interrupted, by a visit there.
    mov     r1, sp
    mrs     r3, cpsr
    orr     r4, r2, #0xc0           // masked, whatever it was
    bic     r4, r4, #0x20           // in A32
    msr     cpsr_c, r4
    mov     r5, sp
    mov     r6, lr
    msr     cpsr_c, r3
    cmp     r0, #2
    addeq   r5, r5, #72
    str     r5, [r1, #52]
    str     r6, [r1, #56]
    bl      handle_exception

    // Only the semihosting probe comes back, with what the handler changed in the frame.
    ldr     lr, [sp, #60]
    ldr     r1, [sp, #64]
    msr     spsr_cxsf, r1
    ldm     sp, {{r0 - r12}}
    add     sp, sp, #72
    movs    pc, lr
    .popsection
    "#
);

const _: () = assert!(size_of::<Frame>() == 68);

/// From the vectors: `kind` as numbered there, `frame` on the exception's stack.
#[unsafe(no_mangle)]
extern "C" fn handle_exception(kind: u32, frame: &mut Frame) {
    if kind == kind::SUPERVISOR_CALL
        && super::semihosting::skip_missing_host(frame.link, &mut frame.r[0])
    {
        return;
    }
    report(kind, frame)
}

/// DFSR and DFAR, or IFSR and IFAR (Arm ARM DDI 0406C, B4.1.51 ff.).
fn fault(kind: u32) -> (u32, u32) {
    let (status, address): (u32, u32);
    // SAFETY: Reads registers; touches neither memory nor flags.
    unsafe {
        if kind == kind::DATA_ABORT {
            asm!(
                "mrc p15, 0, {}, c5, c0, 0",
                "mrc p15, 0, {}, c6, c0, 0",
                out(reg) status, out(reg) address,
                options(nomem, nostack, preserves_flags)
            );
        } else {
            asm!(
                "mrc p15, 0, {}, c5, c0, 1",
                "mrc p15, 0, {}, c6, c0, 2",
                out(reg) status, out(reg) address,
                options(nomem, nostack, preserves_flags)
            );
        }
    }
    (status, address)
}

/// Returns a fault status as it is with long descriptors (DDI 0406C, tables B3-23 and B3-24), of those faults that
/// [`Place`] tells apart.
fn in_long_format(status: u32) -> u32 {
    /// DFSR.LPAE, IFSR.LPAE
    const LONG: u32 = 1 << 9;
    if !cfg!(feature = "short-descriptors") || status & LONG != 0 {
        return status;
    }
    match status & (1 << 10 | 0xf) {
        0b00001 => 0b100001,           // alignment
        0b00101 | 0b00111 => 0b000100, // translation, of a section and of a page
        0b01101 | 0b01111 => 0b001100, // permission
        0b01000 => 0b010000,           // synchronous external abort
        _ => 0b111111,
    }
}

fn report(kind: u32, frame: &Frame) -> ! {
    /// DFSR.WnR
    const WRITE: u32 = 1 << 11;
    /// SPSR.T
    const T32: u32 = 1 << 5;
    let layout = image::layout();
    let (status, address) = fault(kind);
    crash::begin();
    let _ = write!(Console, "\nEXCEPTION: ");
    let place = Place {
        address: address.into(),
        status: in_long_format(status).into(),
        layout: &layout,
    };
    let in_t32 = frame.spsr & T32 != 0;
    // By how much the link register is past the instruction (Arm ARM DDI 0406C, B1.8.3).
    let past = match kind {
        kind::DATA_ABORT => 8,
        kind::UNDEFINED | kind::SUPERVISOR_CALL if in_t32 => 2,
        _ => 4,
    };
    let _ = match kind {
        kind::UNDEFINED => writeln!(Console, "undefined instruction"),
        kind::SUPERVISOR_CALL => writeln!(Console, "supervisor call"),
        kind::PREFETCH_ABORT => writeln!(Console, "jump to {place}"),
        kind::DATA_ABORT if status & WRITE != 0 => writeln!(Console, "write to {place}"),
        kind::DATA_ABORT => writeln!(Console, "read of {place}"),
        _ => writeln!(Console, "an interrupt while interrupts are masked"),
    };
    let instruction = frame.link.wrapping_sub(past);
    let _ = print_registers(frame, instruction, status, address);
    crash::print_backtrace(Some(instruction.into()), frame.r[11].into());
    crash::end()
}

fn print_registers(frame: &Frame, instruction: u32, status: u32, address: u32) -> fmt::Result {
    writeln!(
        Console,
        "  FSR {status:#010x}  FAR {address:#010x}  PC {instruction:#010x}  SPSR {:#010x}",
        frame.spsr
    )?;
    for (number, value) in frame.r.iter().enumerate() {
        let end = if number % 4 == 3 { "\n" } else { "" };
        write!(Console, "  r{number:<2} {value:#010x}{end}")?;
    }
    writeln!(Console, "  sp  {:#010x}  lr  {:#010x}", frame.sp, frame.lr)
}
