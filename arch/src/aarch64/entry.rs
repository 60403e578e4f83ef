//! The image's header and first instructions.
//!
//! The header is the Linux arm64 one (Linux Documentation/arch/arm64/booting.rst), so whatever
//! boots Linux boots the image: QEMU, `xl`, U-Boot's `booti`. The same document's protocol is what
//! the entry relies on and what it allows for: the device tree's physical address in x0, EL1 or
//! EL2, MMU off or an identity map, any 2 MiB-aligned RAM base.
//!
//! The entry leaves the CPU at EL1 with the MMU and the data cache off, interrupts masked, FP and
//! SIMD on, the image relocated to where it runs, .bss and stacks cleared, exception vectors set; code runs on
//! SP_EL0 so that a handler, which the CPU starts on SP_EL1, has a stack of its own even when this
//! one has overflowed. Then it calls `landfall_start(device_tree)`, which does not return.

use core::arch::global_asm;

global_asm!(
    r#"
    .pushsection .image_header, "ax"
    .global image_header
image_header:
    .inst   0xea00000e              // code0: ands x14, x0, x0; in AArch32 state, b other_cpu
    b       entry                   // code1
    // text_offset: the lowest page stays free, because QEMU puts its boot stub there and would
    // otherwise move the image up by 2 MiB.
    .quad   0x1000
    .quad   __image_size            // image_size, with .bss and stacks
    .quad   0b1010                  // flags: little endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"               // magic
    .long   0
    .popsection

    .pushsection .text.entry, "ax"
entry:
    msr     daifset, #0b1111
    mov     x19, x0                 // the device tree, for landfall_start
    adrp    x20, __image_start
    add     x20, x20, :lo12:__image_start

    // Entered with a cache on: what the loader wrote may still be in it. Push it out before the
    // cache goes off.
    mrs     x1, CurrentEL
    cmp     x1, #(2 << 2)
    b.eq    0f
    mrs     x2, sctlr_el1
    b       1f
0:  mrs     x2, sctlr_el2
1:  mov     x3, #0b101              // SCTLR.M, SCTLR.C
    tst     x2, x3
    b.eq    2f
    mov     x0, x20
    adrp    x1, __image_end
    bl      clean_and_invalidate

2:  ldr     x0, =0x30d00800         // SCTLR_EL1: the RES1 bits of ARMv8.0; MMU and caches off
    mrs     x1, CurrentEL
    cmp     x1, #(2 << 2)
    b.ne    3f

    // EL2: hand everything to EL1 and go there.
    msr     sctlr_el1, x0
    mov     x0, #(1 << 31)          // HCR_EL2.RW: EL1 is AArch64
    msr     hcr_el2, x0
    mrs     x0, cnthctl_el2
    orr     x0, x0, #0b11           // EL1 may read the physical counter and timer
    msr     cnthctl_el2, x0
    msr     cntvoff_el2, xzr
    mov     x0, #0x33ff             // CPTR_EL2: RES1 bits, no traps of FP and SIMD
    msr     cptr_el2, x0
    msr     hstr_el2, xzr
    mrs     x0, midr_el1
    msr     vpidr_el2, x0
    mrs     x0, mpidr_el1
    msr     vmpidr_el2, x0
    mrs     x0, id_aa64pfr0_el1
    ubfx    x0, x0, #24, #4         // GIC: a system register interface exists
    cbz     x0, 21f
    mrs     x0, s3_4_c12_c9_5       // ICC_SRE_EL2
    mov     x1, #0b1001             // SRE, and Enable for EL1
    orr     x0, x0, x1
    msr     s3_4_c12_c9_5, x0
    isb
    msr     s3_4_c12_c11_0, xzr     // ICH_HCR_EL2: no virtual interrupts
21: mov     x0, #0b1111000101       // SPSR_EL2: EL1h, interrupts masked
    msr     spsr_el2, x0
    adr     x0, 4f
    msr     elr_el2, x0
    isb
    eret

3:  msr     sctlr_el1, x0
    isb
4:  mov     x0, #(0b11 << 20)       // CPACR_EL1.FPEN: no traps of FP and SIMD
    msr     cpacr_el1, x0
    adrp    x0, exception_vectors
    add     x0, x0, :lo12:exception_vectors
    msr     vbar_el1, x0
    isb

    // Relocate: RELR, the compact form of "add the load address to this word" (System V gABI,
    // "Relocation"). An even entry is the offset of one word; an odd one a bitmap of the next 63.
    adrp    x1, __relr_start
    add     x1, x1, :lo12:__relr_start
    adrp    x2, __relr_end
    add     x2, x2, :lo12:__relr_end
5:  cmp     x1, x2
    b.hs    9f
    ldr     x3, [x1], #8
    tbnz    x3, #0, 6f
    add     x4, x20, x3
    ldr     x5, [x4]
    add     x5, x5, x20
    str     x5, [x4], #8
    b       5b
6:  mov     x6, x4
7:  lsr     x3, x3, #1
    cbz     x3, 8f
    tbz     x3, #0, 71f
    ldr     x5, [x6]
    add     x5, x5, x20
    str     x5, [x6]
71: add     x6, x6, #8
    b       7b
8:  add     x4, x4, #(63 * 8)
    b       5b

    // The stacks too: what others have left in this memory is nobody's to find. (And an emulator that
    // has translated code there would look for it at every store to a stack.)
9:  adrp    x0, __bss_start
    add     x0, x0, :lo12:__bss_start
    adrp    x1, __image_end
    add     x1, x1, :lo12:__image_end
10: cmp     x0, x1
    b.hs    11f
    stp     xzr, xzr, [x0], #16
    b       10b

11: adrp    x0, __exception_stack_top
    add     x0, x0, :lo12:__exception_stack_top
    mov     sp, x0
    msr     spsel, #0
    adrp    x0, __stack_top
    add     x0, x0, :lo12:__stack_top
    mov     sp, x0
    mov     x29, xzr                // the end of every backtrace
    mov     x30, xzr
    mov     x0, x19
    bl      landfall_start
12: wfi                             // landfall_start does not return
    b       12b

    // Cleans and invalidates x0..x1 to the point of coherency. Clobbers x0, x3, x4.
clean_and_invalidate:
    mrs     x3, ctr_el0
    ubfx    x3, x3, #16, #4         // DminLine: log2 of words in the smallest line
    mov     x4, #4
    lsl     x4, x4, x3
    sub     x3, x4, #1
    bic     x0, x0, x3
13: dc      civac, x0
    add     x0, x0, x4
    cmp     x0, x1
    b.lo    13b
    dsb     sy
    ret
    .popsection
    "#
);
