//! What a CPU in AArch32 state finds behind the image's header: code for it, which says that it is the wrong
//! one. Nothing else of the image could.
//!
//! The header's first word takes it here: to AArch32 it is a branch, to AArch64 an AND. The console is the first
//! PL011 that the device tree names, as QEMU's `virt` does: the code looks for a node `pl011@ADDRESS` by
//! its name (nodes' names are aligned to words: Devicetree Specification v0.4, 5.4.1).

use core::arch::global_asm;

global_asm!(
    r#"
    .pushsection .image_header.other_cpu, "ax"
    .global other_cpu
other_cpu:
    .inst   0xe59f304c              //    ldr   r3, name        r2 is the device tree
    .inst   0xe4920004              // 1: ldr   r0, [r2], #4
    .inst   0xe1500003              //    cmp   r0, r3
    .inst   0x1afffffc              //    bne   1b
    .inst   0xe2822002              //    add   r2, r2, #2      behind "1@"
    .inst   0xe3a01000              //    mov   r1, #0
    .inst   0xe4d20001              // 2: ldrb  r0, [r2], #1    hexadecimal digits
    .inst   0xe3500000              //    cmp   r0, #0
    .inst   0x0a000004              //    beq   3f
    .inst   0xe3500061              //    cmp   r0, #'a'
    .inst   0x22400027              //    subhs r0, r0, #'a' - 10 - '0'
    .inst   0xe2400030              //    sub   r0, r0, #'0'
    .inst   0xe1801201              //    orr   r1, r0, r1, lsl #4
    .inst   0xeafffff7              //    b     2b
    .inst   0xe28f2018              // 3: adr   r2, text
    .inst   0xe4d20001              // 4: ldrb  r0, [r2], #1
    .inst   0xe3500000              //    cmp   r0, #0
    .inst   0x15810000              //    strne r0, [r1]        UARTDR (Arm DDI 0183, 3.3.1)
    .inst   0x1afffffb              //    bne   4b
    .inst   0xe320f003              // 5: wfi
    .inst   0xeafffffd              //    b     5b
    .ascii  "pl01"                  // name
    .asciz  "boot: this image is for aarch64, and this CPU runs ARMv7 code; start it on a 64-bit CPU (qemu-system-aarch64), or build the app for an ARMv7 board\r\n"
    .balign 4
    .popsection
    "#
);
