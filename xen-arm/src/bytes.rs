//! Rings of bytes, as console and xenstore have them: two indices that only grow, one written by
//! each side (`io/console.h`, `io/xs_wire.h`).

use crate::memory::SharedMemory;
use core::{
    fmt,
    sync::atomic::{Ordering, fence},
};

/// Where in a page a ring of bytes is.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Offset of the bytes.
    pub bytes: usize,
    /// How many there are, a power of two.
    pub size: u32,
    /// Offset of the consumer's index.
    pub consumer: usize,
    /// Offset of the producer's index.
    pub producer: usize,
}

/// The indices of a ring say that it holds more than it can.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BadIndices {
    /// How much they say it holds.
    pub holds: u32,
    /// How much it can hold.
    pub size: u32,
}

impl fmt::Display for BadIndices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a ring of {} bytes says that it holds {}",
            self.size, self.holds
        )
    }
}

impl core::error::Error for BadIndices {}

impl Place {
    /// Returns (what the producer wrote, what the consumer read), both checked.
    fn indices(&self, memory: &SharedMemory) -> Result<(u32, u32), BadIndices> {
        let produced = memory.u32(self.producer).load(Ordering::Acquire);
        let consumed = memory.u32(self.consumer).load(Ordering::Acquire);
        let holds = produced.wrapping_sub(consumed);
        if holds > self.size {
            return Err(BadIndices {
                holds,
                size: self.size,
            });
        }
        Ok((produced, consumed))
    }

    /// The longest contiguous piece at `index`, of at most `wanted` bytes: offset and length.
    fn piece(&self, index: u32, wanted: usize) -> (usize, usize) {
        let start = (index & (self.size - 1)) as usize;
        (self.bytes + start, wanted.min(self.size as usize - start))
    }

    /// Appends as much of `data` as there is room for; returns how much.
    ///
    /// # Errors
    /// [`BadIndices`].
    pub fn write(&self, memory: &SharedMemory, data: &[u8]) -> Result<usize, BadIndices> {
        let (produced, consumed) = self.indices(memory)?;
        let room = self.size - produced.wrapping_sub(consumed);
        let length = data.len().min(room as usize);
        // Not before the consumer is done with what was there.
        fence(Ordering::SeqCst);
        let (offset, first) = self.piece(produced, length);
        memory.copy_in(offset, &data[..first]);
        memory.copy_in(self.bytes, &data[first..length]);
        let index = produced.wrapping_add(length as u32);
        memory.u32(self.producer).store(index, Ordering::Release);
        Ok(length)
    }

    /// Takes as many bytes as there are, at most as many as `into` has; returns how many.
    ///
    /// # Errors
    /// [`BadIndices`].
    pub fn read(&self, memory: &SharedMemory, into: &mut [u8]) -> Result<usize, BadIndices> {
        let (produced, consumed) = self.indices(memory)?;
        let length = into.len().min(produced.wrapping_sub(consumed) as usize);
        let (offset, first) = self.piece(consumed, length);
        memory.copy_out(offset, &mut into[..first]);
        memory.copy_out(self.bytes, &mut into[first..length]);
        // The bytes are read before their place is given up.
        fence(Ordering::SeqCst);
        let index = consumed.wrapping_add(length as u32);
        memory.u32(self.consumer).store(index, Ordering::Release);
        Ok(length)
    }

    /// Returns whether everything that was written has been read, or the indices are bad.
    pub fn is_drained(&self, memory: &SharedMemory) -> bool {
        self.indices(memory)
            .map_or(true, |(produced, consumed)| produced == consumed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const PLACE: Place = Place {
        bytes: 0,
        size: 16,
        consumer: 64,
        producer: 68,
    };

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let memory = SharedMemory::allocate(1).unwrap();
        let near_the_end = u32::MAX - 20;
        memory.u32(64).store(near_the_end, Ordering::Relaxed);
        memory.u32(68).store(near_the_end, Ordering::Relaxed);
        let data: Vec<u8> = (0..200).collect();
        let (mut written, mut read) = (0, Vec::new());
        while read.len() < data.len() {
            written += PLACE.write(&memory, &data[written..]).unwrap();
            let mut piece = [0; 7];
            let length = PLACE.read(&memory, &mut piece).unwrap();
            read.extend_from_slice(&piece[..length]);
        }
        assert_eq!(read, data);
        assert!(PLACE.is_drained(&memory));
    }

    #[test]
    fn a_full_ring_takes_no_more() {
        let memory = SharedMemory::allocate(1).unwrap();
        assert_eq!(PLACE.write(&memory, &[1; 20]), Ok(16));
        assert_eq!(PLACE.write(&memory, &[1; 20]), Ok(0));
        assert!(!PLACE.is_drained(&memory));
    }

    #[test]
    fn indices_that_cannot_be_are_refused() {
        let memory = SharedMemory::allocate(1).unwrap();
        for (consumed, produced, holds) in
            [(0, 17, 17), (1, 0, u32::MAX), (5, 1 << 31, (1 << 31) - 5)]
        {
            memory.u32(64).store(consumed, Ordering::Relaxed);
            memory.u32(68).store(produced, Ordering::Relaxed);
            let bad = BadIndices { holds, size: 16 };
            assert_eq!(PLACE.write(&memory, b"x"), Err(bad));
            assert_eq!(PLACE.read(&memory, &mut [0]), Err(bad));
        }
    }
}
