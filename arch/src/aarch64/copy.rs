//! `memcpy`, `memmove` and `memset` with wide accesses that need no alignment.
//!
//! The compiler's own are made for memory where a misaligned access faults, as all memory is until
//! the MMU is on, and go byte by byte through whatever is not aligned: most of a packet. These go
//! byte by byte only until `mmu::enable` has set `wide_accesses`. Each loads all that a store of
//! its could overwrite before it stores, so one routine serves overlapping ranges too.

use core::arch::global_asm;

global_asm!(
    r#"
    .pushsection .text.memory, "ax"
    .global memcpy
    .global memmove
    .global memset

    // x0 destination, x1 source, x2 bytes; returns x0. Clobbers x3 to x7, q0 to q7.
    .balign 64
memcpy:
memmove:
    adrp    x3, wide_accesses
    ldrb    w3, [x3, :lo12:wide_accesses]
    cbz     w3, 90f
    add     x4, x1, x2              // ends
    add     x5, x0, x2
    cmp     x2, #16
    b.hi    2f
    tbz     x2, #3, 1f
    ldr     x6, [x1]                // 8 to 15
    ldr     x7, [x4, #-8]
    str     x6, [x0]
    str     x7, [x5, #-8]
    ret
1:  tbnz    x2, #4, 11f
    tbz     x2, #2, 12f
    ldr     w6, [x1]                // 4 to 7
    ldr     w7, [x4, #-4]
    str     w6, [x0]
    str     w7, [x5, #-4]
    ret
11: ldr     q0, [x1]                // 16
    str     q0, [x0]
9:  ret
12: cbz     x2, 9b                  // 1 to 3: first, middle and last byte
    lsr     x3, x2, #1
    ldrb    w6, [x1]
    ldrb    w7, [x1, x3]
    ldrb    w4, [x4, #-1]
    strb    w6, [x0]
    strb    w7, [x0, x3]
    strb    w4, [x5, #-1]
    ret
2:  cmp     x2, #64
    b.hi    4f
    cmp     x2, #32
    b.hi    3f
    ldr     q0, [x1]                // 17 to 32
    ldr     q1, [x4, #-16]
    str     q0, [x0]
    str     q1, [x5, #-16]
    ret
3:  ldp     q0, q1, [x1]            // 33 to 64
    ldp     q2, q3, [x4, #-32]
    stp     q0, q1, [x0]
    stp     q2, q3, [x5, #-32]
    ret
4:  sub     x3, x0, x1
    cmp     x3, x2
    b.lo    6f                      // the destination begins inside the source
    ldp     q4, q5, [x4, #-64]      // the last 64, before a store can reach them
    ldp     q6, q7, [x4, #-32]
    mov     x3, x0
    sub     x2, x2, #64
5:  ldp     q0, q1, [x1]
    ldp     q2, q3, [x1, #32]
    add     x1, x1, #64
    stp     q0, q1, [x3]
    stp     q2, q3, [x3, #32]
    add     x3, x3, #64
    subs    x2, x2, #64
    b.hi    5b
    stp     q4, q5, [x5, #-64]
    stp     q6, q7, [x5, #-32]
    ret
6:  ldp     q4, q5, [x1]            // the first 64, and then backwards
    ldp     q6, q7, [x1, #32]
    sub     x2, x2, #64
7:  ldp     q0, q1, [x4, #-64]
    ldp     q2, q3, [x4, #-32]
    sub     x4, x4, #64
    stp     q0, q1, [x5, #-64]
    stp     q2, q3, [x5, #-32]
    sub     x5, x5, #64
    subs    x2, x2, #64
    b.hi    7b
    stp     q4, q5, [x0]
    stp     q6, q7, [x0, #32]
    ret

    // Before the MMU: byte by byte, in the direction that overlapping needs.
90: sub     x3, x0, x1
    cmp     x3, x2
    b.lo    92f
    mov     x3, xzr
91: cmp     x3, x2
    b.hs    93f
    ldrb    w4, [x1, x3]
    strb    w4, [x0, x3]
    add     x3, x3, #1
    b       91b
92: cbz     x2, 93f
    sub     x2, x2, #1
    ldrb    w4, [x1, x2]
    strb    w4, [x0, x2]
    b       92b
93: ret

    // x0 destination, w1 byte, x2 bytes; returns x0. Clobbers x3 to x5, q0.
    .balign 64
memset:
    adrp    x3, wide_accesses
    ldrb    w3, [x3, :lo12:wide_accesses]
    add     x5, x0, x2
    cbz     w3, 26f
    cmp     x2, #16
    b.lo    26f
    dup     v0.16b, w1
    mov     x3, x0
    sub     x2, x2, #16
    subs    x4, x2, #48
    b.ls    22f
21: stp     q0, q0, [x3]
    stp     q0, q0, [x3, #32]
    add     x3, x3, #64
    subs    x4, x4, #64
    b.hi    21b
    add     x2, x4, #48
    cmp     x2, #0
    b.le    23f
22: str     q0, [x3], #16
    subs    x2, x2, #16
    b.gt    22b
23: str     q0, [x5, #-16]
    ret
26: mov     x3, x0
27: cmp     x3, x5
    b.hs    28f
    strb    w1, [x3], #1
    b       27b
28: ret
    .popsection
    "#
);
