//! The script that U-Boot runs: its text, and the header that U-Boot wants in front of it (U-Boot's
//! `include/image.h`, "legacy image").

/// The text, with `@IMAGE@` for the image's file name.
const TEXT: &str = include_str!("boot.cmd");

/// The script that starts the image of this name.
pub(super) fn text(image: &str) -> String {
    TEXT.replace("@IMAGE@", image)
}

/// The same as U-Boot's `source` takes it, as `mkimage -T script -A arm -C none` makes it.
pub(super) fn with_header(text: &str) -> Vec<u8> {
    // A list of lengths, which has one, and the text.
    let mut data = Vec::new();
    data.extend((text.len() as u32).to_be_bytes());
    data.extend([0; 4]);
    data.extend(text.as_bytes());
    let mut header = header(&data, 0);
    header = self::header(&data, crc32fast::hash(&header));
    [&header, &data[..]].concat()
}

fn header(data: &[u8], header_sum: u32) -> Vec<u8> {
    const MAGIC: u32 = 0x2705_1956;
    const LINUX: u8 = 5;
    const ARM: u8 = 2;
    const SCRIPT: u8 = 6;
    const NOT_COMPRESSED: u8 = 0;
    const NAME: &[u8; 32] = b"Landfall\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let time = 0;
    let (load, entry) = (0, 0);
    let words = [
        MAGIC,
        header_sum,
        time,
        data.len() as u32,
        load,
        entry,
        crc32fast::hash(data),
    ];
    let mut header: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
    header.extend([LINUX, ARM, SCRIPT, NOT_COMPRESSED]);
    header.extend(NAME);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_the_sums_of_itself_and_of_the_script() {
        let script = with_header("echo hello\n");
        let word = |at: usize| u32::from_be_bytes(script[at..at + 4].try_into().expect("four"));
        assert_eq!(script.len(), 64 + 8 + 11);
        assert_eq!(word(0), 0x2705_1956);
        assert_eq!(word(12) as usize, script.len() - 64);
        assert_eq!(word(24), crc32fast::hash(&script[64..]));
        let mut header = script[..64].to_vec();
        header[4..8].fill(0);
        assert_eq!(word(4), crc32fast::hash(&header));
        assert_eq!((word(64), word(68)), (11, 0));
        assert_eq!(&script[72..], b"echo hello\n");
    }

    #[test]
    fn the_script_names_the_image() {
        let text = text("2048.zimage");
        assert!(
            text.contains("/2048.zimage") && !text.contains('@'),
            "{text}"
        );
    }
}
