//! Log lines as defmt frames on the console, among the plain text of boot and of crashes.
//!
//! On the console a frame is a byte `START`, defmt's rzCOBS encoding with its final zero, and within that
//! some bytes escaped: consoles turn a line feed into two bytes, and serial lines know flow control. Plain
//! text has neither `START` nor zeros. `cargo landfall` reads both (tools/src/frames.rs).

use crate::platform;
use alloc::vec::Vec;
use core::cell::RefCell;
use critical_section::Mutex;
use defmt::Encoder;

/// ASCII's "start of text".
const START: u8 = 0x02;
/// ASCII's "data link escape": the next byte is another one with its bit 6 flipped.
const ESCAPE: u8 = 0x10;
const ESCAPED: [u8; 5] = [b'\n', b'\r', 0x11, 0x13, ESCAPE];
const FLIPPED: u8 = 0x40;

/// A longer frame is dropped; its time and a note would need more room than is worth it.
const LONGEST: usize = 4096;

static FRAME: Mutex<RefCell<Frame>> = Mutex::new(RefCell::new(Frame {
    depth: 0,
    encoder: Encoder::new(),
    bytes: Vec::new(),
}));

/// The frame that is being made. It goes to the console when it is whole, so that a crash within it loses
/// the frame and not its own words.
struct Frame {
    /// More than one where what is logged logs in turn: what is within is dropped.
    depth: u32,
    encoder: Encoder,
    bytes: Vec<u8>,
}

impl Frame {
    /// Encodes with `encode`, and appends what comes of it.
    fn append(&mut self, encode: impl FnOnce(&mut Encoder, &mut dyn FnMut(&[u8]))) {
        let Self { encoder, bytes, .. } = self;
        encode(encoder, &mut |encoded| {
            for &byte in encoded {
                match ESCAPED.contains(&byte) {
                    _ if bytes.len() > LONGEST => {}
                    true => bytes.extend([ESCAPE, byte ^ FLIPPED]),
                    false => bytes.push(byte),
                }
            }
        });
    }
}

fn with<R>(work: impl FnOnce(&mut Frame) -> R) -> R {
    critical_section::with(|cs| work(&mut FRAME.borrow_ref_mut(cs)))
}

#[defmt::global_logger]
struct Console;

// SAFETY: A frame is begun, written and ended by one thread: the one that runs tasks. Frames within frames
// are told apart by their depth.
#[allow(unsafe_code, reason = "defmt's interface for its one user")]
unsafe impl defmt::Logger for Console {
    fn acquire() {
        with(|frame| {
            frame.depth += 1;
            if frame.depth == 1 {
                frame.bytes.clear();
                frame.append(|encoder, write| encoder.start_frame(write));
                frame.bytes.push(START);
            }
        });
    }

    unsafe fn flush() {}

    unsafe fn release() {
        let whole = with(|frame| {
            frame.depth -= 1;
            if frame.depth > 0 {
                return Vec::new();
            }
            frame.append(|encoder, write| encoder.end_frame(write));
            core::mem::take(&mut frame.bytes)
        });
        let whole = Some(whole).filter(|bytes| bytes.len() <= LONGEST);
        if let Some((platform, whole)) = platform::get().zip(whole) {
            platform.write(&whole);
        }
    }

    unsafe fn write(bytes: &[u8]) {
        with(|frame| {
            if frame.depth == 1 {
                frame.append(|encoder, write| encoder.write(bytes, write));
            }
        });
    }
}

defmt::timestamp!("{=u64:us}", platform::get().map_or(0, |it| it.now_us()));
