//! `memcpy`, `memmove` and `memset` with wide accesses that need no alignment.
//!
//! The compiler's own are made for memory where a misaligned access faults, as all memory is until the MMU is
//! on, and go word by word where they can. These go byte by byte only until `mmu::enable` has set
//! `wide_accesses` (`crate::copy`). Each loads all that a store of its could overwrite before it stores, so one
//! routine serves overlapping ranges too. The names with `aeabi` are those that compilers call (Arm IHI 0043, 5.3.1.4).
//!
//! The compiler makes no use of NEON (soft-float), so its registers are free.

use core::arch::global_asm;

global_asm!(
    r#"
    .pushsection .text.memory, "ax"
    .arm
    .fpu neon

    .macro  function name
    .global \name
    .type   \name, %function
\name:
    .endm

    // r0 destination, r1 source, r2 bytes; returns r0. Clobbers r1 to r3, r12, d0 to d7, d16 to d23.
    .balign 64
    function memcpy
    function memmove
    function __aeabi_memcpy
    function __aeabi_memcpy4
    function __aeabi_memcpy8
    function __aeabi_memmove
    function __aeabi_memmove4
    function __aeabi_memmove8
    ldr     r12, 99f
98: ldrb    r12, [pc, r12]
    add     r3, r1, r2              // ends
    cmp     r12, #0
    add     r12, r0, r2
    beq     90f
    cmp     r2, #16
    bhi     2f
    cmp     r2, #8
    blo     1f
    vld1.8  {{d0}}, [r1]            // 8 to 16
    sub     r3, r3, #8
    sub     r12, r12, #8
    vld1.8  {{d1}}, [r3]
    vst1.8  {{d0}}, [r0]
    vst1.8  {{d1}}, [r12]
    bx      lr
1:  cmp     r2, #4
    blo     12f
    ldr     r1, [r1]                // 4 to 7
    ldr     r3, [r3, #-4]
    str     r1, [r0]
    str     r3, [r12, #-4]
    bx      lr
12: cmp     r2, #0                  // 1 to 3: first, middle and last byte
    bxeq    lr
    push    {{r4}}
    lsr     r2, r2, #1
    ldrb    r4, [r1]
    ldrb    r1, [r1, r2]
    ldrb    r3, [r3, #-1]
    strb    r4, [r0]
    strb    r1, [r0, r2]
    strb    r3, [r12, #-1]
    pop     {{r4}}
    bx      lr
2:  cmp     r2, #64
    bhi     4f
    cmp     r2, #32
    bhi     3f
    vld1.8  {{d0, d1}}, [r1]        // 17 to 32
    sub     r3, r3, #16
    sub     r12, r12, #16
    vld1.8  {{d2, d3}}, [r3]
    vst1.8  {{d0, d1}}, [r0]
    vst1.8  {{d2, d3}}, [r12]
    bx      lr
3:  vld1.8  {{d0 - d3}}, [r1]       // 33 to 64
    sub     r3, r3, #32
    sub     r12, r12, #32
    vld1.8  {{d4 - d7}}, [r3]
    vst1.8  {{d0 - d3}}, [r0]
    vst1.8  {{d4 - d7}}, [r12]
    bx      lr
4:  push    {{r4}}
    sub     r4, r0, r1
    cmp     r4, r2
    blo     6f                      // the destination begins inside the source
    sub     r3, r3, #64             // the last 64, before a store can reach them
    vld1.8  {{d16 - d19}}, [r3]!
    vld1.8  {{d20 - d23}}, [r3]
    sub     r12, r12, #64
    mov     r3, r0
    sub     r2, r2, #64
5:  vld1.8  {{d0 - d3}}, [r1]!
    vld1.8  {{d4 - d7}}, [r1]!
    subs    r2, r2, #64
    vst1.8  {{d0 - d3}}, [r3]!
    vst1.8  {{d4 - d7}}, [r3]!
    bhi     5b
    vst1.8  {{d16 - d19}}, [r12]!
    vst1.8  {{d20 - d23}}, [r12]
    pop     {{r4}}
    bx      lr
6:  vld1.8  {{d16 - d19}}, [r1]!    // the first 64, and then backwards
    vld1.8  {{d20 - d23}}, [r1]
    sub     r3, r3, #32
    sub     r12, r12, #32
    mvn     r4, #31                 // a step of -32
    sub     r2, r2, #64
7:  vld1.8  {{d0 - d3}}, [r3], r4
    vld1.8  {{d4 - d7}}, [r3], r4
    subs    r2, r2, #64
    vst1.8  {{d0 - d3}}, [r12], r4
    vst1.8  {{d4 - d7}}, [r12], r4
    bhi     7b
    mov     r3, r0
    vst1.8  {{d16 - d19}}, [r3]!
    vst1.8  {{d20 - d23}}, [r3]
    pop     {{r4}}
    bx      lr

    // Before the MMU: byte by byte, in the direction that overlapping needs.
90: push    {{r4, lr}}
    sub     r4, r0, r1
    cmp     r4, r2
    blo     92f
    mov     r3, r0
91: subs    r2, r2, #1
    poplo   {{r4, pc}}
    ldrb    r4, [r1], #1
    strb    r4, [r3], #1
    b       91b
92: subs    r2, r2, #1
    poplo   {{r4, pc}}
    ldrb    r4, [r1, r2]
    strb    r4, [r0, r2]
    b       92b
99: .word   wide_accesses - (98b + 8)

    // r0 destination, r1 bytes.
    function __aeabi_memclr
    function __aeabi_memclr4
    function __aeabi_memclr8
    mov     r2, r1
    mov     r1, #0
    b       memset

    // r0 destination, r1 bytes, r2 byte: the other way round.
    function __aeabi_memset
    function __aeabi_memset4
    function __aeabi_memset8
    mov     r3, r1
    mov     r1, r2
    mov     r2, r3

    // r0 destination, r1 byte, r2 bytes; returns r0. Clobbers r2, r3, r12, d0 to d3.
    function memset
    ldr     r12, 89f
88: ldrb    r12, [pc, r12]
    mov     r3, r0
    cmp     r12, #0
    beq     26f
    cmp     r2, #32
    blo     26f
    vdup.8  q0, r1
    add     r12, r0, r2
    vmov    q1, q0
    sub     r12, r12, #32
    subs    r2, r2, #32
    beq     22f
21: vst1.8  {{d0 - d3}}, [r3]!
    subs    r2, r2, #32
    bhi     21b
22: vst1.8  {{d0 - d3}}, [r12]      // the last 32, some of them again
    bx      lr
26: subs    r2, r2, #1
    bxlo    lr
    strb    r1, [r3], #1
    b       26b
89: .word   wide_accesses - (88b + 8)
    .popsection
    "#
);
