//! Where the compressed kernel lies: PE file, section `.linux`, the kernel's setup header, zstd frame.
//!
//! Source: Linux, `Documentation/arch/x86/boot.rst`, "The Real-Mode Kernel Header"; `arch/x86/boot/header.S`.

use std::io;

use super::{FrameError, FrameHeader, MAX_PACKED_BYTES, PlainLen, frame::MAX_FRAME_HEADER_BYTES};
use crate::{
    arch::Architecture,
    field::{take, u16_at, u32_at},
    pe::{MAX_HEADER_BYTES, PeError, PeHeaders},
    read_at::{ReadAt, Window},
    units::Extent,
};

/// Offsets in the kernel's file. Numbers are little-endian.
mod at {
    /// Sectors of 512 bytes of setup code behind the first one; 0 means 4.
    pub(super) const SETUP_SECTORS: usize = 0x1f1;
    pub(super) const BOOT_FLAG: usize = 0x1fe;
    pub(super) const MAGIC: usize = 0x202;
    pub(super) const VERSION: usize = 0x206;
    /// From the start of the protected-mode code, that is from behind the setup code.
    pub(super) const PAYLOAD_START: usize = 0x248;
    pub(super) const PAYLOAD_BYTES: usize = 0x24c;
}

/// As many bytes of the kernel's file hold those fields.
const SETUP_HEADER_BYTES: usize = at::PAYLOAD_BYTES + 4;
const SETUP_SECTOR: u64 = 512;
/// The first version of the boot protocol that says where the payload is.
const FIRST_VERSION: u16 = 0x208;
/// The kernel's build appends the plain length, and counts it as part of the payload. Source: `scripts/Makefile.lib`, `size_append`.
const PLAIN_LEN_BYTES: u64 = 4;

/// A compressed kernel in a boot payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedKernel {
    /// Its zstd frame, in bytes from the start of the boot payload, without the plain length that follows it.
    pub frame: Extent,
    /// Length of the kernel in it, as the kernel's build wrote it behind the frame.
    pub plain_len: PlainLen,
}

/// A boot payload holds no compressed kernel that Outcrop can repack.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// It can't be read.
    #[error("read a boot payload")]
    Io(#[from] io::Error),
    /// It is no EFI program.
    #[error("look for the kernel in a boot payload")]
    Pe(#[from] PeError),
    /// For another architecture than x86_64, where kernels aren't compressed.
    #[error("kernels for {0} aren't compressed in the boot payload")]
    Architecture(Architecture),
    /// There isn't exactly one section `.linux`.
    #[error("the boot payload has no kernel: there isn't exactly one section .linux")]
    Section,
    /// The setup header is missing, or too old to say where the compressed kernel lies.
    #[error("the boot payload's kernel: {0} isn't that of an x86 kernel since 2.6.24")]
    Setup(&'static str),
    /// The compressed kernel would lie outside of its section, or is empty or too long.
    #[error("the compressed kernel would be the {len} bytes from {start} on of a kernel of {kernel} bytes")]
    Place {
        /// Its first byte, from the start of the kernel's file.
        start: u64,
        /// Its length, with the plain length behind it.
        len: u64,
        /// Length of the kernel's file.
        kernel: u64,
    },
    /// It isn't compressed by zstd, or in a way that nobody here knows.
    #[error("the compressed kernel is no zstd frame that can be repacked")]
    Frame(#[from] FrameError),
    /// The plain length behind the frame is one that no kernel has.
    #[error("the compressed kernel can't have {0} bytes when unpacked")]
    PlainLen(u32),
}

impl PackedKernel {
    /// Looks into a boot payload, which may be padded behind its end. Reads the headers only, at most some 64 KiB of it.
    ///
    /// # Errors
    /// When there is nothing in it that [`super::prove`] could prove; each case of [`FindError`].
    pub fn find(payload: &(impl ReadAt + ?Sized)) -> Result<Self, FindError> {
        let linux = linux_section(payload)?;
        let kernel = Window::new(payload, linux.start, linux.len)?;
        let place = payload_place(&kernel)?;
        let len = place.len - PLAIN_LEN_BYTES;
        let head_len =
            usize::try_from(len).map_or(MAX_FRAME_HEADER_BYTES, |len| len.min(MAX_FRAME_HEADER_BYTES));
        FrameHeader::parse(&kernel.read_vec(place.start, head_len)?)?;
        let mut plain_len = [0; 4];
        kernel.read_exact_at(&mut plain_len, place.start + len)?;
        let plain_len = u32::from_le_bytes(plain_len);
        Ok(Self {
            frame: Extent {
                start: linux.start + place.start,
                len,
            },
            plain_len: PlainLen::new(plain_len).ok_or(FindError::PlainLen(plain_len))?,
        })
    }
}

/// The kernel's file in the boot payload.
fn linux_section(payload: &(impl ReadAt + ?Sized)) -> Result<Extent, FindError> {
    let head_len = usize::try_from(payload.len()).map_or(MAX_HEADER_BYTES, |len| len.min(MAX_HEADER_BYTES));
    let headers = PeHeaders::parse(&payload.read_vec(0, head_len)?, payload.len())?;
    if headers.architecture != Architecture::X86_64 {
        return Err(FindError::Architecture(headers.architecture));
    }
    let content = headers.section(".linux").ok_or(FindError::Section)?.content();
    Ok(Extent {
        start: content.start,
        len: content.end - content.start,
    })
}

/// Where the compressed kernel and the plain length behind it lie in the kernel's file.
fn payload_place(kernel: &impl ReadAt) -> Result<Extent, FindError> {
    if kernel.len() < SETUP_HEADER_BYTES as u64 {
        return Err(FindError::Setup("the length"));
    }
    let head = kernel.read_vec(0, SETUP_HEADER_BYTES)?;
    let (setup_sectors, start, len) = setup_header(&head).map_err(FindError::Setup)?;
    // No sum here can overflow: each part has at most 32 bits.
    let start = (setup_sectors + 1) * SETUP_SECTOR + start;
    let inside = start + len <= kernel.len();
    if inside && len > PLAIN_LEN_BYTES && len - PLAIN_LEN_BYTES <= MAX_PACKED_BYTES {
        Ok(Extent { start, len })
    } else {
        let kernel = kernel.len();
        Err(FindError::Place { start, len, kernel })
    }
}

/// Sectors of setup code, start and length of the payload; or the name of the field that is wrong.
fn setup_header(head: &[u8]) -> Result<(u64, u64, u64), &'static str> {
    let word = |offset, name| u32_at(head, offset).map(u64::from).ok_or(name);
    if u16_at(head, at::BOOT_FLAG) != Some(0xaa55) {
        return Err("the boot flag");
    }
    if take(head, at::MAGIC) != Some(*b"HdrS") {
        return Err("the setup header's mark");
    }
    if u16_at(head, at::VERSION).is_none_or(|version| version < FIRST_VERSION) {
        return Err("the boot protocol's version");
    }
    let sectors = match head.get(at::SETUP_SECTORS) {
        None => return Err("the number of setup sectors"),
        Some(0) => 4,
        Some(sectors) => u64::from(*sectors),
    };
    Ok((
        sectors,
        word(at::PAYLOAD_START, "the payload's start")?,
        word(at::PAYLOAD_BYTES, "the payload's length")?,
    ))
}
