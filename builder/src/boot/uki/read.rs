//! Reads a UKI back.

use std::io;

use outcrop_release::arch::Architecture;

use crate::{
    boot::pe::{MAX_HEADER_BYTES, PeError, PeHeaders, Section},
    read_at::ReadAt,
};

/// Longest text section that is read: `os-release`, command line and kernel release are far shorter.
const MAX_TEXT_BYTES: u64 = 64 * 1024;

/// What a UKI says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UkiFacts {
    /// What it runs on.
    pub architecture: Architecture,
    /// All sections, in the order of the table.
    pub sections: Vec<Section>,
    /// Content of `.osrel`.
    pub os_release: String,
    /// Content of `.cmdline`.
    pub command_line: String,
    /// Content of `.uname`: the kernel's release.
    pub uname: String,
    /// Length without padding at the end of the file, in bytes.
    pub len: u64,
}

/// A file is no UKI that Outcrop could have made.
#[derive(Debug, thiserror::Error)]
pub enum UkiReadError {
    /// It can't be read.
    #[error("read a UKI")]
    Io(#[from] io::Error),
    /// It is no EFI program.
    #[error("a UKI's headers can't be read")]
    Pe(#[from] PeError),
    /// A section is missing, or there are two.
    #[error("no UKI: there isn't exactly one section {0}")]
    Section(&'static str),
    /// A text section that is too long or no UTF-8.
    #[error("UKI: section {0} is no text of at most {MAX_TEXT_BYTES} bytes")]
    Text(&'static str),
}

impl UkiFacts {
    /// Reads headers and text sections of `file`, which may be padded behind its end.
    ///
    /// # Errors
    /// When it can't be read or is no UKI.
    pub fn read(file: &(impl ReadAt + ?Sized)) -> Result<Self, UkiReadError> {
        let head_len = file.len().min(MAX_HEADER_BYTES as u64);
        let head = file.read_vec(0, usize::try_from(head_len).unwrap_or(MAX_HEADER_BYTES))?;
        let headers = PeHeaders::parse(&head, file.len())?;
        for name in [".linux", ".initrd"] {
            headers.section(name).ok_or(UkiReadError::Section(name))?;
        }
        let text = |name| read_text(file, &headers, name);
        Ok(Self {
            architecture: headers.architecture,
            os_release: text(".osrel")?,
            command_line: text(".cmdline")?,
            uname: text(".uname")?,
            len: headers
                .sections
                .iter()
                .map(|section| section.ends().1)
                .max()
                .unwrap_or(0),
            sections: headers.sections,
        })
    }
}

fn read_text(
    file: &(impl ReadAt + ?Sized),
    headers: &PeHeaders,
    name: &'static str,
) -> Result<String, UkiReadError> {
    let section = headers.section(name).ok_or(UkiReadError::Section(name))?;
    let range = section.content();
    let len = range.end - range.start;
    if len > MAX_TEXT_BYTES {
        return Err(UkiReadError::Text(name));
    }
    let bytes = file.read_vec(
        range.start,
        usize::try_from(len).map_err(|_| UkiReadError::Text(name))?,
    )?;
    String::from_utf8(bytes).map_err(|_| UkiReadError::Text(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::boot::uki::{Uki, fixture};

    fn uki() -> Vec<u8> {
        let arch = Architecture::Aarch64;
        let (stub, linux) = (fixture::stub(arch), fixture::kernel(arch));
        let uki = Uki {
            stub: &stub,
            architecture: arch,
            os_release: "ID=outcrop\n",
            command_line: "ro",
            uname: "6.12",
            initrd: &[7; 100],
            linux: &linux,
        };
        uki.build().unwrap()
    }

    #[test]
    fn padding_to_the_slots_size_changes_nothing() {
        let plain = UkiFacts::read(&uki()).unwrap();
        let mut padded = uki();
        padded.resize(1 << 20, 0);
        assert_eq!(UkiFacts::read(&padded).unwrap(), plain);
    }

    #[test]
    fn a_program_without_a_kernel_is_no_uki() {
        let error = UkiFacts::read(&fixture::stub(Architecture::X86_64)).unwrap_err();
        assert!(matches!(error, UkiReadError::Section(".linux")));
        assert!(matches!(
            UkiFacts::read(&vec![0; 70_000]),
            Err(UkiReadError::Pe(PeError::Signature("MZ")))
        ));
    }

    proptest! {
        #[test]
        fn damaged_and_shortened_files_never_panic(
            changes in proptest::collection::vec((0..0x400_usize, any::<u8>()), 1..20),
            len in 0..9000_usize,
        ) {
            let mut file = uki();
            for (offset, byte) in changes {
                file[offset] = byte;
            }
            let _ = UkiFacts::read(&file);
            file.truncate(len);
            let _ = UkiFacts::read(&file);
        }
    }
}
