//! Checks that the structure block is well-formed, before the `fdt` crate walks it: that crate
//! trusts tokens and lengths.

use crate::DeviceTreeError;

/// Tokens (Devicetree Specification 0.4, 5.4.1).
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// Deeper than any machine's tree.
const DEEPEST: usize = 32;

/// Checks that `structure` is one node with properties before nodes, names of UTF-8, lengths
/// within bounds and an end, and that each property's name lies in `strings`.
pub(crate) fn check(structure: &[u32], strings: &[u8]) -> Result<(), DeviceTreeError> {
    walk(structure, strings).ok_or(DeviceTreeError::Malformed)
}

fn walk(structure: &[u32], strings: &[u8]) -> Option<()> {
    let mut rest = Words(structure);
    let mut depth = 0;
    // Properties come before a node's children (5.4.2).
    let mut after_child = false;
    loop {
        match rest.next()? {
            NOP => {}
            BEGIN_NODE => {
                depth += 1;
                after_child = false;
                if depth > DEEPEST {
                    return None;
                }
                rest.skip_name(depth == 1)?;
            }
            END_NODE => {
                depth = usize::checked_sub(depth, 1)?;
                after_child = true;
                if depth == 0 {
                    return rest.ends();
                }
            }
            PROPERTY if depth > 0 && !after_child => {
                let length = rest.next()?;
                let name = strings.get(rest.next()? as usize..)?;
                let end = name.iter().position(|&it| it == 0)?;
                core::str::from_utf8(&name[..end]).ok()?;
                rest.skip((length as usize).div_ceil(4))?;
            }
            _ => return None,
        }
    }
}

struct Words<'a>(&'a [u32]);

impl Words<'_> {
    fn next(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(u32::from_be(*first))
    }

    fn skip(&mut self, words: usize) -> Option<()> {
        self.0 = self.0.get(words..)?;
        Some(())
    }

    /// Skips a node's name: UTF-8 with a NUL, padded to a word; only the root's is empty.
    fn skip_name(&mut self, root: bool) -> Option<()> {
        /// The specification allows 31 characters, and trees have more.
        const LONGEST: usize = 128;
        let mut name = [0; LONGEST];
        let mut length = 0;
        loop {
            for byte in self.next()?.to_be_bytes() {
                if byte == 0 {
                    core::str::from_utf8(&name[..length]).ok()?;
                    return ((length == 0) == root).then_some(());
                }
                *name.get_mut(length)? = byte;
                length += 1;
            }
        }
    }

    /// Checks that only padding is left before the end.
    fn ends(&mut self) -> Option<()> {
        loop {
            match self.next()? {
                NOP => {}
                END => return Some(()),
                _ => return None,
            }
        }
    }
}
