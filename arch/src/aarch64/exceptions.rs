//! The exception vectors, and what each exception says before the image stops.
//!
//! Interrupts are masked for good, so an exception is a fault: the handler prints what happened
//! where, with registers and a backtrace, and ends the image. The one that it returns from is the
//! probe for a semihosting host (see `semihosting.rs`).

use crate::{
    console::Console,
    crash,
    image::{self, Layout, Place},
};
use aarch64_cpu::registers::ESR_EL1;
use core::{
    arch::global_asm,
    fmt::{self, Write},
};
use tock_registers::LocalRegisterCopy;

/// The registers at the moment of the exception, as the vectors store them on SP_EL1.
#[repr(C)]
struct Frame {
    x: [u64; 31],
    sp: u64,
    elr: u64,
    spsr: u64,
    esr: u64,
    far: u64,
}

global_asm!(
    r#"
    .pushsection .text.vectors, "ax"
    .macro vector kind
    .balign 0x80
    sub     sp, sp, #288
    stp     x0, x1, [sp]
    mov     x0, #\kind
    b       save_and_handle
    .endm

    // Arm ARM DDI 0487, D1.4.1 "Exception vectors". Groups: SP_EL0, SP_ELx, lower EL AArch64,
    // lower EL AArch32; in each: synchronous, IRQ, FIQ, SError. Kind: 4 * group + type.
    .balign 0x800
    .global exception_vectors
exception_vectors:
    .altmacro
    .set    kind, 0
    .rept   16
    vector  %kind
    .set    kind, kind + 1
    .endr
    .noaltmacro

save_and_handle:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x1, sp_el0
    stp     x30, x1, [sp, #240]
    mrs     x1, elr_el1
    mrs     x2, spsr_el1
    stp     x1, x2, [sp, #256]
    mrs     x1, esr_el1
    mrs     x2, far_el1
    stp     x1, x2, [sp, #272]
    mov     x1, sp
    bl      handle_exception

    // Only the semihosting probe comes back, with what the handler changed in the frame.
    ldr     x1, [sp, #256]
    msr     elr_el1, x1
    ldp     x0, x1, [sp]
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldr     x30, [sp, #240]
    add     sp, sp, #288
    eret
    .popsection
    "#
);

const _: () = assert!(size_of::<Frame>() == 288);

/// From the vectors: `kind` as numbered there, `frame` on the exception stack.
#[unsafe(no_mangle)]
extern "C" fn handle_exception(kind: u64, frame: &mut Frame) {
    if super::semihosting::skip_missing_host(&mut frame.elr, &mut frame.x[0]) {
        return;
    }
    report(kind, frame)
}

fn report(kind: u64, frame: &Frame) -> ! {
    let layout = image::layout();
    let esr = LocalRegisterCopy::<u64, ESR_EL1::Register>::new(frame.esr);
    crash::begin();
    let _ = write!(Console, "\nEXCEPTION: ");
    match (kind % 4, kind / 4) {
        (0, 0) => sentence(&esr, frame, &layout),
        (0, _) => {
            let _ = write!(Console, "a fault in the exception handler itself: ");
            sentence(&esr, frame, &layout);
        }
        (3, _) => {
            let _ = writeln!(
                Console,
                "SError, an asynchronous fault of the memory system"
            );
        }
        _ => {
            let _ = writeln!(Console, "an interrupt while interrupts are masked");
        }
    }
    let _ = print_registers(frame);
    crash::print_backtrace(Some(frame.elr), frame.x[29]);
    crash::end()
}

/// Says in one line what a synchronous exception was (ESR_EL1: Arm ARM DDI 0487, D24.2).
fn sentence(esr: &LocalRegisterCopy<u64, ESR_EL1::Register>, frame: &Frame, layout: &Layout) {
    use ESR_EL1::EC::Value;
    let iss = esr.read(ESR_EL1::ISS);
    let place = Place {
        address: frame.far,
        status: iss,
        layout,
    };
    let _ = match esr.read_as_enum::<Value>(ESR_EL1::EC) {
        Some(Value::DataAbortCurrentEL) => {
            let access = if iss & (1 << 6) != 0 {
                "write to"
            } else {
                "read of"
            };
            writeln!(Console, "{access} {place}")
        }
        Some(Value::InstrAbortCurrentEL) => {
            writeln!(Console, "jump to {place}")
        }
        Some(Value::Unknown) => writeln!(Console, "undefined instruction"),
        Some(Value::PCAlignmentFault) => writeln!(Console, "misaligned program counter"),
        Some(Value::SPAlignmentFault) => writeln!(Console, "misaligned stack pointer"),
        Some(Value::Brk64) => writeln!(Console, "breakpoint instruction {:#x}", iss & 0xffff),
        _ => writeln!(Console, "exception class {:#x}", esr.read(ESR_EL1::EC)),
    };
}

fn print_registers(frame: &Frame) -> fmt::Result {
    writeln!(
        Console,
        "  ESR {:#010x}  FAR {:#x}  ELR {:#x}  SPSR {:#x}",
        frame.esr, frame.far, frame.elr, frame.spsr
    )?;
    for (number, value) in frame.x.iter().enumerate() {
        let end = if number % 4 == 3 { "\n" } else { "" };
        write!(Console, "  x{number:<2} {value:#018x}{end}")?;
    }
    writeln!(Console, "  sp  {:#018x}", frame.sp)
}
