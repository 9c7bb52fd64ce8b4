//! The headers of a PE32+ file for one of our architectures.

use super::section::{ENTRY_BYTES, Section};
use crate::{
    arch::Architecture,
    field::{u16_at, u32_at},
};

/// As many bytes from the start of a file hold the headers of anything that Outcrop reads.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Offsets of header fields. Those from `MAGIC` on count from the start of the optional header.
pub mod at {
    /// Where the COFF header begins, in the DOS header.
    pub const PE_OFFSET: usize = 0x3c;
    /// Processor; this and the next three count from the COFF header.
    pub const COFF_MACHINE: usize = 4;
    /// Number of sections.
    pub const COFF_SECTIONS: usize = 6;
    /// Length of the optional header.
    pub const COFF_OPTIONAL_BYTES: usize = 20;
    /// The optional header.
    pub const OPTIONAL: usize = 24;
    /// Mark of a 64-bit image.
    pub const MAGIC: usize = 0;
    /// Length of all code.
    pub const CODE_BYTES: usize = 4;
    /// Length of all initialised data.
    pub const DATA_BYTES: usize = 8;
    /// Alignment of sections in memory.
    pub const SECTION_ALIGNMENT: usize = 32;
    /// Alignment of sections in the file.
    pub const FILE_ALIGNMENT: usize = 36;
    /// Length of the whole image in memory.
    pub const IMAGE_BYTES: usize = 56;
    /// Length of all headers.
    pub const HEADER_BYTES: usize = 60;
    /// Checksum of the file.
    pub const CHECKSUM: usize = 64;
    /// Number of data directories.
    pub const DIRECTORIES: usize = 108;
    /// The directory entry of signatures.
    pub const SIGNATURE_DIRECTORY: usize = 144;
}

const PE32_PLUS: u16 = 0x20b;
const MACHINES: [(u16, Architecture); 2] = [(0x8664, Architecture::X86_64), (0xaa64, Architecture::Aarch64)];

/// Bytes that are no PE32+ file that Outcrop can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeError {
    /// A signature is missing.
    #[error("no PE file: {0} is missing")]
    Signature(&'static str),
    /// A field lies behind the end.
    #[error("PE file: its headers end early, at {0}")]
    Truncated(&'static str),
    /// Neither x86_64 nor aarch64.
    #[error("PE file: machine {0:#06x} is neither x86_64 nor aarch64")]
    Machine(u16),
    /// Alignments that the format forbids.
    #[error("PE file: section alignment {section} and file alignment {file} don't go together")]
    Alignment {
        /// Of sections in memory.
        section: u32,
        /// Of sections in the file.
        file: u32,
    },
    /// A section that lies outside of the file, has an odd name, or overlaps the headers.
    #[error("PE file: section {0} of its table is malformed")]
    Section(u16),
}

/// What the headers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeHeaders {
    /// What it runs on.
    pub architecture: Architecture,
    /// The sections, in the order of the table.
    pub sections: Vec<Section>,
    /// Alignment of sections in memory: a power of two, not less than `file_alignment`.
    pub section_alignment: u32,
    /// Alignment of sections in the file: a power of two, 512 to 65536.
    pub file_alignment: u32,
    /// Bytes set aside for headers at the start of the file.
    pub header_bytes: u32,
    /// Whether a signature is attached.
    pub signed: bool,
    /// Where the COFF header begins ("PE\0\0").
    pub pe: usize,
    /// Where the section table begins.
    pub table: usize,
}

impl PeHeaders {
    /// Reads the headers from `head`, the first bytes (up to [`MAX_HEADER_BYTES`]) of a file of `file_len` bytes.
    ///
    /// # Errors
    /// When it is no PE32+ file for one of our architectures, or a section lies outside of it.
    pub fn parse(head: &[u8], file_len: u64) -> Result<Self, PeError> {
        let pe = locate(head)?;
        let optional = pe + at::OPTIONAL;
        let word = |name, offset| u32_at(head, optional + offset).ok_or(PeError::Truncated(name));
        let directories = word("number of directories", at::DIRECTORIES)?;
        let signature = if directories > 4 {
            word("signature directory", at::SIGNATURE_DIRECTORY)?
        } else {
            0
        };
        let optional_bytes = half(
            head,
            "length of the optional header",
            pe + at::COFF_OPTIONAL_BYTES,
        )?;
        let mut headers = Self {
            architecture: machine(head, pe)?,
            sections: Vec::new(),
            section_alignment: word("section alignment", at::SECTION_ALIGNMENT)?,
            file_alignment: word("file alignment", at::FILE_ALIGNMENT)?,
            header_bytes: word("length of the headers", at::HEADER_BYTES)?,
            signed: signature != 0,
            pe,
            table: optional + usize::from(optional_bytes),
        };
        headers.check_alignment()?;
        headers.sections = headers.read_sections(head, file_len)?;
        Ok(headers)
    }

    fn check_alignment(&self) -> Result<(), PeError> {
        let (section, file) = (self.section_alignment, self.file_alignment);
        let good = section.is_power_of_two() && file.is_power_of_two();
        if good && (512..=65_536).contains(&file) && (file..=1 << 24).contains(&section) {
            Ok(())
        } else {
            Err(PeError::Alignment { section, file })
        }
    }

    fn read_sections(&self, head: &[u8], file_len: u64) -> Result<Vec<Section>, PeError> {
        let count = half(head, "number of sections", self.pe + at::COFF_SECTIONS)?;
        let read = |index: u16| {
            let entry = head.get(self.table + usize::from(index) * ENTRY_BYTES..);
            let section = entry.and_then(Section::parse).ok_or(PeError::Section(index))?;
            let inside = section.file_len == 0
                || (section.file_offset >= self.header_bytes && section.ends().1 <= file_len);
            if inside {
                Ok(section)
            } else {
                Err(PeError::Section(index))
            }
        };
        (0..count).map(read).collect()
    }

    /// The section called `name`, if there is exactly one.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        let mut found = self.sections.iter().filter(|section| section.name == name);
        found.next().filter(|_| found.next().is_none())
    }
}

/// Where the COFF header begins.
fn locate(head: &[u8]) -> Result<usize, PeError> {
    if !head.starts_with(b"MZ") {
        return Err(PeError::Signature("MZ"));
    }
    let pe = u32_at(head, at::PE_OFFSET).ok_or(PeError::Truncated("the DOS header"))? as usize;
    if pe >= MAX_HEADER_BYTES || head.get(pe..).is_none_or(|rest| !rest.starts_with(b"PE\0\0")) {
        return Err(PeError::Signature("PE"));
    }
    if half(head, "the optional header", pe + at::OPTIONAL + at::MAGIC)? != PE32_PLUS {
        return Err(PeError::Signature("the mark of a 64-bit image"));
    }
    Ok(pe)
}

fn machine(head: &[u8], pe: usize) -> Result<Architecture, PeError> {
    let machine = half(head, "machine", pe + at::COFF_MACHINE)?;
    let known = MACHINES.into_iter().find(|(number, _)| *number == machine);
    known
        .map(|(_, architecture)| architecture)
        .ok_or(PeError::Machine(machine))
}

fn half(head: &[u8], name: &'static str, offset: usize) -> Result<u16, PeError> {
    u16_at(head, offset).ok_or(PeError::Truncated(name))
}
