//! Builds a UKI.

use miette::Diagnostic;
use outcrop_release::arch::Architecture;

use super::checksum::pe_checksum;
use crate::{
    boot::pe::{PeError, PeHeaders, Section, at, put},
    failure::FailureClass,
};

/// What goes into a UKI. [`Uki::build`] joins it.
#[derive(Debug, Clone, Copy)]
pub struct Uki<'a> {
    /// systemd-stub of the architecture: `linux{x64,aa64}.efi.stub`.
    pub stub: &'a [u8],
    /// What it must run on.
    pub architecture: Architecture,
    /// Content of `os-release`: the loader's menu and `ukify inspect` show it.
    pub os_release: &'a str,
    /// Kernel command line, without a line end.
    pub command_line: &'a str,
    /// Kernel release, as `uname -r` prints it.
    pub uname: &'a str,
    /// Initramfs, compressed.
    pub initrd: &'a [u8],
    /// Kernel, with its own EFI entry point.
    pub linux: &'a [u8],
}

/// A UKI can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum UkiError {
    /// The stub can't be read.
    #[error("systemd-stub can't be read as an EFI program")]
    Stub(#[source] PeError),
    /// The kernel can't be read.
    #[error("the kernel can't be read as an EFI program")]
    #[diagnostic(help("the kernel package must hold a kernel with CONFIG_EFI_STUB, as Debian's do"))]
    Kernel(#[source] PeError),
    /// A stub or kernel of another architecture.
    #[error("the {part} is for {found}, the image is for {wanted}")]
    Architecture {
        /// Stub or kernel.
        part: &'static str,
        /// Its architecture.
        found: Architecture,
        /// The image's.
        wanted: Architecture,
    },
    /// An EFI program, but not systemd-stub as it comes.
    #[error("the stub isn't a plain systemd-stub: {0}")]
    #[diagnostic(help("take linux*.efi.stub of the package systemd-boot-efi as it is"))]
    NotPlain(&'static str),
    /// The section table can't grow.
    #[error("the stub has no room for {0} more section headers")]
    #[diagnostic(help("take the stub of a newer systemd-boot-efi: 252 and later have room"))]
    NoRoom(usize),
    /// Behind 4 GiB.
    #[error("the UKI would be longer than the format's 4 GiB")]
    TooLong,
}

impl UkiError {
    /// What the user can do about it.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        FailureClass::Package
    }
}

impl Uki<'_> {
    /// The UKI: the stub with five more sections, the kernel last. The same parts give the same bytes.
    ///
    /// # Errors
    /// When stub or kernel isn't what it should be, or the sections don't fit.
    pub fn build(&self) -> Result<Vec<u8>, UkiError> {
        let headers = self.check()?;
        let contents = self.contents();
        let sections = place(&headers, &contents)?;
        let len = sections.last().map_or(0, |section| section.ends().1);
        let len = u32::try_from(len).map_err(|_| UkiError::TooLong)? as usize;
        let mut file = Vec::with_capacity(len);
        file.extend_from_slice(self.stub);
        for (section, (_, content)) in sections.iter().zip(contents) {
            file.resize(section.file_offset as usize, 0);
            file.extend_from_slice(content);
        }
        file.resize(len, 0);
        patch(&mut file, &headers, &sections).ok_or(UkiError::NoRoom(sections.len()))?;
        Ok(file)
    }

    /// The sections to add, in order. The kernel is last: older stubs unpack it in place, over what follows.
    fn contents(&self) -> [(&'static str, &[u8]); 5] {
        [
            (".osrel", self.os_release.as_bytes()),
            (".cmdline", self.command_line.as_bytes()),
            (".uname", self.uname.as_bytes()),
            (".initrd", self.initrd),
            (".linux", self.linux),
        ]
    }

    /// The stub's headers, if stub and kernel are what they should be.
    fn check(&self) -> Result<PeHeaders, UkiError> {
        let stub = PeHeaders::parse(self.stub, self.stub.len() as u64).map_err(UkiError::Stub)?;
        let kernel = PeHeaders::parse(self.linux, self.linux.len() as u64).map_err(UkiError::Kernel)?;
        for (part, found) in [("stub", stub.architecture), ("kernel", kernel.architecture)] {
            if found != self.architecture {
                return Err(UkiError::Architecture {
                    part,
                    found,
                    wanted: self.architecture,
                });
            }
        }
        if stub.signed {
            return Err(UkiError::NotPlain(
                "it is signed, and adding sections would break that",
            ));
        }
        if stub.section(".sdmagic").is_none() {
            return Err(UkiError::NotPlain("it has no section .sdmagic"));
        }
        if self
            .contents()
            .iter()
            .any(|(name, _)| stub.section(name).is_some())
        {
            return Err(UkiError::NotPlain("it carries a kernel already"));
        }
        let end = stub
            .sections
            .iter()
            .map(|section| section.ends().1)
            .max()
            .unwrap_or(0);
        if self.stub.len() as u64 > end.next_multiple_of(u64::from(stub.file_alignment)) {
            return Err(UkiError::NotPlain("bytes follow its last section"));
        }
        Ok(stub)
    }
}

/// Gives each content its place behind the stub's sections, in memory and in the file.
fn place(headers: &PeHeaders, contents: &[(&str, &[u8])]) -> Result<Vec<Section>, UkiError> {
    let ends = headers.sections.iter().map(Section::ends);
    let (mut memory, mut file) = ends.fold((0, 0), |(a, b), (memory, file)| (a.max(memory), b.max(file)));
    let aligned = |value: u64, alignment: u32| {
        u32::try_from(value.next_multiple_of(u64::from(alignment))).map_err(|_| UkiError::TooLong)
    };
    let mut sections = Vec::with_capacity(contents.len());
    for (name, content) in contents {
        let len = u32::try_from(content.len()).map_err(|_| UkiError::TooLong)?;
        let section = Section {
            name: (*name).to_owned(),
            virtual_len: len,
            address: aligned(memory, headers.section_alignment)?,
            file_len: aligned(u64::from(len), headers.file_alignment)?,
            file_offset: aligned(file, headers.file_alignment)?,
            flags: if *name == ".linux" {
                Section::CODE
            } else {
                Section::DATA
            },
        };
        (memory, file) = section.ends();
        sections.push(section);
    }
    Ok(sections)
}

/// Writes the new section headers and the fields that sum up all sections; none when the table has no room.
fn patch(file: &mut [u8], headers: &PeHeaders, added: &[Section]) -> Option<()> {
    let old = headers.sections.len();
    let table = headers.table + old * 40;
    let end = table + added.len() * 40;
    let first = headers
        .sections
        .iter()
        .filter(|section| section.file_len > 0)
        .map(|section| section.file_offset);
    let room = first
        .min()
        .unwrap_or(headers.header_bytes)
        .min(headers.header_bytes) as usize;
    let free = end <= room && file.get(table..end)?.iter().all(|&byte| byte == 0);
    if !free {
        return None;
    }
    for (index, section) in added.iter().enumerate() {
        put(file, table + index * 40, &section.to_bytes()).then_some(())?;
    }
    let count = u16::try_from(old + added.len()).ok()?;
    put(file, headers.pe + at::COFF_SECTIONS, &count.to_le_bytes()).then_some(())?;
    patch_sizes(file, headers, added)?;
    let sum = pe_checksum(file);
    put(file, headers.pe + at::OPTIONAL + at::CHECKSUM, &sum.to_le_bytes()).then_some(())
}

/// Updates length of code, of data and of the whole image in memory; clears the checksum.
fn patch_sizes(file: &mut [u8], headers: &PeHeaders, added: &[Section]) -> Option<()> {
    let optional = headers.pe + at::OPTIONAL;
    let total = |flags| {
        added
            .iter()
            .filter(|section| section.flags == flags)
            .map(|section| section.virtual_len)
            .sum()
    };
    let grow = |file: &mut [u8], offset: usize, by: u32| {
        let old = file
            .get(optional + offset..)?
            .first_chunk()
            .copied()
            .map(u32::from_le_bytes)?;
        put(file, optional + offset, &old.checked_add(by)?.to_le_bytes()).then_some(())
    };
    grow(file, at::CODE_BYTES, total(Section::CODE))?;
    grow(file, at::DATA_BYTES, total(Section::DATA))?;
    let end = added
        .last()?
        .ends()
        .0
        .next_multiple_of(u64::from(headers.section_alignment));
    let image = u32::try_from(end).ok()?;
    put(file, optional + at::IMAGE_BYTES, &image.to_le_bytes()).then_some(())?;
    put(file, optional + at::CHECKSUM, &[0; 4]).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        boot::uki::{
            UkiFacts,
            fixture::{kernel, program, stub},
        },
        read_at::ReadAt as _,
    };

    fn build(architecture: Architecture, stub: &[u8], initrd: &[u8]) -> Result<Vec<u8>, UkiError> {
        let linux = kernel(architecture);
        let uki = Uki {
            stub,
            architecture,
            os_release: "NAME=Outcrop\n",
            command_line: "ro quiet",
            uname: "6.12.0-test",
            initrd,
            linux: &linux,
        };
        uki.build()
    }

    #[test]
    fn what_goes_in_is_read_back_on_both_architectures() {
        for architecture in Architecture::ALL {
            let initrd = vec![0x28; 10_001];
            let file = build(architecture, &stub(architecture), &initrd).unwrap();
            let facts = UkiFacts::read(&file).unwrap();
            assert_eq!(facts.architecture, architecture);
            assert_eq!(facts.os_release, "NAME=Outcrop\n");
            assert_eq!(
                (facts.command_line.as_str(), facts.uname.as_str()),
                ("ro quiet", "6.12.0-test")
            );
            assert_eq!(facts.len, file.len() as u64);
            for (name, content) in [(".initrd", &initrd), (".linux", &kernel(architecture))] {
                let section = facts
                    .sections
                    .iter()
                    .find(|section| section.name == name)
                    .unwrap();
                let range = section.content();
                let found = file.read_vec(range.start, content.len()).unwrap();
                assert_eq!(range.end - range.start, content.len() as u64);
                assert!(found == *content, "{name}");
            }
        }
    }

    #[test]
    fn sections_overlap_neither_in_memory_nor_in_the_file_and_the_image_covers_them() {
        let file = build(Architecture::X86_64, &stub(Architecture::X86_64), &[1; 4097]).unwrap();
        let sections = UkiFacts::read(&file).unwrap().sections;
        for pair in sections.windows(2) {
            let (memory, in_file) = pair[0].ends();
            assert!(
                memory <= u64::from(pair[1].address) && in_file <= u64::from(pair[1].file_offset),
                "{pair:?}"
            );
            assert!(pair[1].address % 4096 == 0 && pair[1].file_offset % 512 == 0);
        }
        let image = u32::from_le_bytes(file[0x58 + 56..0x58 + 60].try_into().unwrap());
        assert_eq!(
            u64::from(image),
            sections.last().unwrap().ends().0.next_multiple_of(4096)
        );
    }

    #[test]
    fn a_stub_without_room_for_headers_is_refused() {
        let magic: &[u8] = b"#### LoaderInfo: systemd-stub 257 ####";
        let tight = program(
            Architecture::X86_64,
            &[(".text", &[0; 9]), (".sdmagic", magic)],
            0x200,
        );
        assert_eq!(build(Architecture::X86_64, &tight, &[]), Err(UkiError::NoRoom(5)));
    }

    #[test]
    fn a_file_that_isnt_a_plain_stub_of_the_architecture_is_refused() {
        let arch = Architecture::X86_64;
        assert!(matches!(
            build(arch, b"#!/bin/sh", &[]),
            Err(UkiError::Stub(PeError::Signature("MZ")))
        ));
        assert!(matches!(
            build(arch, &kernel(arch), &[]),
            Err(UkiError::NotPlain(_))
        ));
        let other = build(arch, &stub(Architecture::Aarch64), &[]);
        assert!(matches!(
            other,
            Err(UkiError::Architecture {
                part: "stub",
                found: Architecture::Aarch64,
                ..
            })
        ));
        let twice = build(arch, &build(arch, &stub(arch), &[]).unwrap(), &[]);
        assert!(matches!(twice, Err(UkiError::NotPlain(_))));
        let mut longer = stub(arch);
        longer.extend([1; 600]);
        assert!(matches!(build(arch, &longer, &[]), Err(UkiError::NotPlain(_))));
        let mut signed = stub(arch);
        signed[0x58 + 144] = 1;
        assert!(matches!(build(arch, &signed, &[]), Err(UkiError::NotPlain(_))));
    }
}
