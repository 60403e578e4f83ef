//! From ELF to the flat image that QEMU, Xen and boot loaders load.
//!
//! The image is the loadable segments laid out by address, the lowest first; what is only reserved
//! (`.bss`) is not in the file. It starts with the header by which its loaders know it: on aarch64 the Linux
//! arm64 Image header (Linux Documentation/arch/arm64/booting.rst), on ARMv7 that of a zImage (Linux
//! arch/arm/boot/compressed/head.S).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use object::{Architecture, Object, ObjectSection, ObjectSegment, SectionFlags, elf};
use serde::Serialize;

/// The CPU that an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cpu {
    Aarch64,
    Armv7,
}

impl std::fmt::Display for Cpu {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Cpu::Aarch64 => "aarch64",
            Cpu::Armv7 => "ARMv7",
        })
    }
}

impl Cpu {
    /// The CPU of the images of a compiler's target.
    pub(crate) fn of_target(target: &str) -> Option<Self> {
        match target.split_once('-')?.0 {
            "aarch64" => Some(Cpu::Aarch64),
            "armv7a" => Some(Cpu::Armv7),
            _ => None,
        }
    }

    /// The CPU of an image, by its header.
    pub(crate) fn of_image(image: &[u8]) -> Option<Self> {
        [Cpu::Aarch64, Cpu::Armv7]
            .into_iter()
            .find(|cpu| cpu.heads(image))
    }

    /// Returns whether an image has its header.
    fn heads(self, image: &[u8]) -> bool {
        let (offset, magic) = self.magic();
        image
            .get(offset..)
            .is_some_and(|rest| rest.starts_with(&magic))
    }

    /// The ending of its images' names: an ARMv7 image is a zImage.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Cpu::Aarch64 => "img",
            Cpu::Armv7 => "zimage",
        }
    }

    /// Where its header has its magic number, and the number.
    fn magic(self) -> (usize, [u8; 4]) {
        match self {
            Cpu::Aarch64 => (56, *b"ARM\x64"),
            Cpu::Armv7 => (0x24, 0x016f_2818_u32.to_le_bytes()),
        }
    }
}

/// More than any image has; a larger span means that the link went wrong.
const LARGEST: u64 = 256 << 20;

/// A part of an image, as the linker named it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Section {
    /// The linker's name, ".text".
    pub(crate) name: String,
    /// Offset from the start of the image in memory.
    pub(crate) address: u64,
    /// Size in memory.
    pub(crate) bytes: u64,
}

/// An ELF file in memory.
pub(crate) struct Elf<'data> {
    file: object::File<'data>,
    cpu: Cpu,
}

impl<'data> Elf<'data> {
    /// Reads the headers of an ELF file for one of our CPUs.
    pub(crate) fn parse(data: &'data [u8]) -> Result<Self> {
        let file = object::File::parse(data).context("this is no ELF file, or a damaged one")?;
        let cpu = match file.architecture() {
            Architecture::Aarch64 => Cpu::Aarch64,
            Architecture::Arm => Cpu::Armv7,
            other => bail!("this is an ELF file for {other:?}, and images are for Aarch64 or Arm"),
        };
        Ok(Self { file, cpu })
    }

    /// Lays the loadable segments out as one flat image.
    pub(crate) fn flatten(&self) -> Result<Vec<u8>> {
        let mut segments = Vec::new();
        for segment in self.file.segments() {
            let bytes = segment
                .data()
                .ok()
                .context("a segment lies outside of the file")?;
            if !bytes.is_empty() {
                segments.push((segment.address(), bytes));
            }
        }
        segments.sort_by_key(|(address, _)| *address);
        let Some((base, _)) = segments.first().copied() else {
            bail!("the ELF file has nothing to load");
        };
        let mut image = Vec::new();
        for (address, bytes) in segments {
            let offset = address - base;
            ensure!(
                offset < LARGEST,
                "the image would span {offset:#x} bytes: was it linked with the board's script?"
            );
            let offset = usize::try_from(offset).context("the image is larger than memory")?;
            ensure!(
                offset >= image.len(),
                "two segments overlap at {address:#x}"
            );
            image.resize(offset, 0);
            image.extend_from_slice(bytes);
        }
        Ok(image)
    }

    /// The sections that are in memory when the image runs.
    pub(crate) fn sections(&self) -> Vec<Section> {
        self.file
            .sections()
            .filter(is_in_memory)
            .map(|section| Section {
                name: section.name().unwrap_or("?").to_owned(),
                address: section.address(),
                bytes: section.size(),
            })
            .filter(|section| section.bytes > 0)
            .collect()
    }
}

/// Returns whether a section is in memory when the image runs.
pub(crate) fn is_in_memory(section: &object::Section<'_, '_>) -> bool {
    matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(elf::SHF_ALLOC))
}

/// A flat image that was written.
pub(crate) struct Flat {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its size.
    pub(crate) bytes: u64,
    /// What it is for.
    pub(crate) cpu: Cpu,
    /// What is in it.
    pub(crate) sections: Vec<Section>,
}

/// Writes the flat image of the ELF file at `path` beside it.
pub(crate) fn write_flat(path: &Path) -> Result<Flat> {
    let data = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (flat, elf) = flatten_bootable(&data)
        .with_context(|| format!("cannot make an image of {}", path.display()))?;
    let path = path.with_extension(elf.cpu.ending());
    std::fs::write(&path, &flat).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Flat {
        path,
        bytes: flat.len() as u64,
        cpu: elf.cpu,
        sections: elf.sections(),
    })
}

fn flatten_bootable(data: &[u8]) -> Result<(Vec<u8>, Elf<'_>)> {
    let elf = Elf::parse(data)?;
    let image = elf.flatten()?;
    ensure!(
        elf.cpu.heads(&image),
        "the image does not start with the header of a Linux kernel for its CPU: no loader would take it"
    );
    Ok((image, elf))
}

#[cfg(test)]
mod tests {
    use object::Endianness;
    use object::write::elf::{FileHeader, ProgramHeader, Writer};

    use super::*;

    /// A segment of a test file: its address, its bytes, and its size in memory.
    type Segment<'a> = (u64, &'a [u8], u64);

    /// An ELF file with these segments and no sections.
    fn elf_with(machine: elf::Machine, segments: &[Segment<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(Endianness::Little, machine != elf::EM_ARM, &mut bytes);
        writer.reserve_file_header();
        writer.reserve_program_headers(u32::try_from(segments.len()).expect("few segments"));
        let offsets: Vec<u64> = segments
            .iter()
            .map(|(_, data, _)| writer.reserve(data.len() as u64, 1))
            .collect();
        let header = FileHeader {
            os_abi: elf::OsAbi(0),
            abi_version: 0,
            e_type: elf::ET_DYN,
            e_machine: machine,
            e_entry: 0,
            e_flags: elf::FileFlags(0),
        };
        writer
            .write_file_header(&header)
            .expect("the header is written");
        for ((address, data, memory), offset) in segments.iter().zip(&offsets) {
            writer.write_program_header(&ProgramHeader {
                p_type: elf::PT_LOAD,
                p_flags: elf::PF_R,
                p_offset: *offset,
                p_vaddr: *address,
                p_paddr: *address,
                p_filesz: data.len() as u64,
                p_memsz: *memory,
                p_align: 1,
            });
        }
        for ((_, data, _), offset) in segments.iter().zip(&offsets) {
            writer.pad_until(*offset);
            writer.write(data);
        }
        bytes
    }

    fn flat(segments: &[Segment<'_>]) -> Result<Vec<u8>> {
        let data = elf_with(elf::EM_AARCH64, segments);
        Elf::parse(&data)?.flatten()
    }

    #[test]
    fn segments_are_laid_out_by_address_with_gaps_filled() {
        let image = flat(&[(8, b"data", 64), (0, b"text", 4)]).expect("a sound file");
        assert_eq!(image, b"text\0\0\0\0data");
    }

    #[test]
    fn what_is_only_reserved_is_not_in_the_file() {
        let image = flat(&[(0, b"text", 4), (0x1000, b"", 0x10_0000)]).expect("a sound file");
        assert_eq!(image, b"text");
    }

    #[test]
    fn overlapping_segments_are_refused() {
        let error = flat(&[(0, b"text", 4), (2, b"data", 4)]).expect_err("they overlap");
        assert!(error.to_string().contains("overlap"), "{error}");
    }

    #[test]
    fn a_span_beyond_any_image_is_refused() {
        let error = flat(&[(0, b"text", 4), (0x4000_0000, b"data", 4)]).expect_err("1 GiB");
        assert!(error.to_string().contains("span"), "{error}");
    }

    #[test]
    fn other_machines_and_other_files_are_refused() {
        let x86 = elf_with(elf::EM_X86_64, &[(0, b"text", 4)]);
        assert!(
            Elf::parse(&x86)
                .err()
                .is_some_and(|error| error.to_string().contains("X86_64"))
        );
        assert!(Elf::parse(b"#!/bin/sh").is_err());
        assert!(Elf::parse(&[]).is_err());
    }

    #[test]
    fn damaged_files_are_refused() {
        let mut data = elf_with(elf::EM_AARCH64, &[(0, &[0; 100], 100)]);
        data.truncate(data.len() - 50);
        assert!(Elf::parse(&data).and_then(|elf| elf.flatten()).is_err());
    }

    #[test]
    fn an_image_needs_the_header_of_its_cpu() {
        for (machine, cpu, other) in [
            (elf::EM_AARCH64, Cpu::Aarch64, Cpu::Armv7),
            (elf::EM_ARM, Cpu::Armv7, Cpu::Aarch64),
        ] {
            let with_header = |cpu: Option<Cpu>| {
                let mut text = [0; 64];
                if let Some((offset, magic)) = cpu.map(Cpu::magic) {
                    text[offset..offset + 4].copy_from_slice(&magic);
                }
                elf_with(machine, &[(0, &text, 64)])
            };
            assert!(flatten_bootable(&with_header(None)).is_err());
            assert!(flatten_bootable(&with_header(Some(other))).is_err());
            let right = with_header(Some(cpu));
            let (_, elf) = flatten_bootable(&right).expect("a sound file");
            assert_eq!(elf.cpu, cpu);
        }
    }
}
