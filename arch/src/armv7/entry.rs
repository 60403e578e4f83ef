//! The image's header and first instructions.
//!
//! The header is that of a Linux zImage (arch/arm/boot/compressed/head.S of Linux; the protocol is in its
//! Documentation/arch/arm/booting.rst), so whatever boots a zImage boots the image: QEMU, `xl`, U-Boot's
//! `bootz`. The same document's protocol is what the entry relies on and what it allows for: the device
//! tree's physical address in r2, SVC or HYP mode, MMU and data cache off, any RAM base.
//!
//! The vectors, the entry and what else is written in assembly is A32; the compiler makes T32.
//!
//! The entry leaves the CPU in SVC mode with the MMU and the data cache off, interrupts masked, VFP and
//! NEON on, the image relocated to where it runs, .bss and stacks cleared, exception vectors set, and the
//! modes of exceptions on a stack of their own. Then it calls `landfall_start(device_tree)`, which does not
//! return.

use core::arch::global_asm;

global_asm!(
    r#"
    .pushsection .image_header, "ax"
    .arm
    .arch_extension virt
    .arch_extension sec
    .global image_header
image_header:
    b       1f                      // in AArch64 state: ands x6, x0, x0
    .long   0x1400000c              // in AArch64 state: b other_cpu
    .rept   6
    mov     r0, r0
    .endr
1:  b       entry
    .long   0x016f2818              // magic
    .long   0                       // start address: anywhere
    .long   __image_size            // end address: the size, with .bss and stacks
    .long   0x04030201              // little endian
    .popsection

    // Sets a register to where a symbol is, wherever the image is.
    .macro  address register, symbol
    ldr     \register, 9801f
9800:
    add     \register, pc, \register
    b       9802f
9801:
    .word   \symbol - (9800b + 8)
9802:
    .endm

    .pushsection .text.entry, "ax"
    .arm
entry:
    cpsid   aif
    mov     r8, r2                  // the device tree, for landfall_start
    mrs     r0, cpsr
    and     r0, r0, #0x1f
    cmp     r0, #0x1a               // HYP
    bne     1f

    // HYP: hand everything to SVC and go there.
    mov     r0, #0
    mcr     p15, 4, r0, c1, c1, 0   // HCR: no traps, no second translation
    mcr     p15, 4, r0, c1, c1, 3   // HSTR
    mcrr    p15, 4, r0, r0, c14     // CNTVOFF
    movw    r0, #0x33ff
    mcr     p15, 4, r0, c1, c1, 2   // HCPTR: RES1 bits, no traps of VFP and NEON
    mrc     p15, 4, r0, c14, c1, 0  // CNTHCTL
    orr     r0, r0, #3              // PL1 may read the physical counter and timer
    mcr     p15, 4, r0, c14, c1, 0
    mrc     p15, 0, r0, c0, c0, 0   // MIDR
    mcr     p15, 4, r0, c0, c0, 0   // VPIDR
    mrc     p15, 0, r0, c0, c0, 5   // MPIDR
    mcr     p15, 4, r0, c0, c0, 5   // VMPIDR
    mov     r0, #0x1d3              // SVC, all masked
    msr     spsr_cxsf, r0
    adr     r0, 2f
    msr     elr_hyp, r0
    isb
    eret

1:  cps     #0x13                   // SVC
2:  mrc     p15, 0, r0, c1, c0, 0   // SCTLR
    bic     r0, r0, #0x1000         // I
    bic     r0, r0, #0x7            // C, A, M
    bic     r0, r0, #0x2000         // V: vectors where VBAR says
    bic     r0, r0, #(1 << 30)      // TE: exceptions are taken in A32
    mcr     p15, 0, r0, c1, c0, 0
    isb

    mrc     p15, 0, r0, c1, c0, 2   // CPACR: no traps of VFP and NEON
    orr     r0, r0, #(0xf << 20)
    mcr     p15, 0, r0, c1, c0, 2
    isb
    mov     r0, #(1 << 30)          // FPEXC.EN
    .fpu    neon
    vmsr    fpexc, r0

    address r9, image_header        // where the image is
    address r0, exception_vectors
    mcr     p15, 0, r0, c12, c0, 0  // VBAR
    isb

    // Relocate: RELR, the compact form of "add the load address to this word" (System V gABI,
    // "Relocation"). An even entry is the offset of one word; an odd one a bitmap of the next 31.
    address r1, __relr_start
    address r2, __relr_end
3:  cmp     r1, r2
    bhs     7f
    ldr     r3, [r1], #4
    tst     r3, #1
    bne     4f
    add     r4, r9, r3
    ldr     r5, [r4]
    add     r5, r5, r9
    str     r5, [r4], #4
    b       3b
4:  mov     r6, r4
5:  lsrs    r3, r3, #1
    beq     6f
    tst     r3, #1
    ldrne   r5, [r6]
    addne   r5, r5, r9
    strne   r5, [r6]
    add     r6, r6, #4
    b       5b
6:  add     r4, r4, #(31 * 4)
    b       3b

    // The stacks too: what others have left in this memory is nobody's to find. (And an emulator that
    // has translated code there would look for it at every store to a stack.)
7:  address r0, __bss_start
    address r1, __image_end
    mov     r2, #0
    mov     r3, #0
    mov     r4, #0
    mov     r5, #0
8:  cmp     r0, r1
    stmlo   r0!, {{r2, r3, r4, r5}}
    blo     8b

    address r0, __exception_stack_top
    cps     #0x17                   // ABT
    mov     sp, r0
    sub     r0, r0, #4096
    cps     #0x1b                   // UND
    mov     sp, r0
    sub     r0, r0, #4096
    cps     #0x12                   // IRQ
    mov     sp, r0
    cps     #0x11                   // FIQ
    mov     sp, r0
    cps     #0x13                   // SVC
    address r0, __stack_top
    mov     sp, r0
    mov     r11, #0                 // the end of every backtrace
    mov     lr, #0
    mov     r0, r8
    bl      landfall_start
9:  wfi                             // landfall_start does not return
    b       9b
    .popsection
    "#
);
