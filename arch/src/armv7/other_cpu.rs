//! What a CPU in AArch64 state finds behind the image's header: code for it, which says that it is the wrong
//! one. Nothing else of the image could.
//!
//! The header's first words take it here: to AArch64 they are an AND and a branch, to AArch32 the first is a
//! branch to what follows the second. The console is the first PL011 that the device tree names, as
//! QEMU's `virt` does: the code looks for a node `pl011@ADDRESS` by its name (nodes' names are aligned to words:
//! Devicetree Specification v0.4, 5.4.1).

use core::arch::global_asm;

global_asm!(
    r#"
    .pushsection .image_header.other_cpu, "ax"
    .arm
    .global other_cpu
other_cpu:
    .long   0x180002a3              //    ldr   w3, name        x0 is the device tree
    .long   0xb8404404              // 1: ldr   w4, [x0], #4
    .long   0x6b03009f              //    cmp   w4, w3
    .long   0x54ffffc1              //    b.ne  1b
    .long   0x91000800              //    add   x0, x0, #2      behind "1@"
    .long   0xaa1f03e1              //    mov   x1, xzr
    .long   0x38401404              // 2: ldrb  w4, [x0], #1    hexadecimal digits
    .long   0x340000e4              //    cbz   w4, 3f
    .long   0x7101849f              //    cmp   w4, #'a'
    .long   0x54000043              //    b.lo  6f
    .long   0x51009c84              //    sub   w4, w4, #'a' - 10 - '0'
    .long   0x5100c084              // 6: sub   w4, w4, #'0'
    .long   0x8b011081              //    add   x1, x4, x1, lsl #4
    .long   0x17fffff9              //    b     2b
    .long   0x10000102              // 3: adr   x2, text
    .long   0x38401444              // 4: ldrb  w4, [x2], #1
    .long   0x34000064              //    cbz   w4, 5f
    .long   0xb9000024              //    str   w4, [x1]        UARTDR (Arm DDI 0183, 3.3.1)
    .long   0x17fffffd              //    b     4b
    .long   0xd503207f              // 5: wfi
    .long   0x17ffffff              //    b     5b
    .ascii  "pl01"                  // name
    .asciz  "boot: this image is for ARMv7, and this CPU runs aarch64 code; start it on a 32-bit CPU (qemu-system-arm), or build the app for an aarch64 board\r\n"
    .balign 4
    .popsection
    "#
);
