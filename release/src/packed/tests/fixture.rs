//! A boot payload with a compressed kernel, as small as its parsers let it be.

use std::io::Write as _;

use crate::{
    packed::{Level, Method, Packer, PlainLen, Recipe},
    pe::Section,
};

/// Where the frame begins in [`payload`]: headers, 3 sectors of setup code, 16 bytes of protected-mode code.
pub(super) const FRAME_START: u64 = 0x400 + 3 * 512 + 16;

/// Something to compress: repetitive, but not only.
pub(super) fn plain(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state
    };
    let words = std::iter::repeat_with(move || (next() >> 20 & 0x3ff).to_le_bytes());
    words.flatten().take(len).collect()
}

pub(super) fn recipe(method: Method, checksum: bool, plain: &[u8]) -> Recipe {
    let len = PlainLen::new(u32::try_from(plain.len()).unwrap()).unwrap();
    Recipe::new(Level::new(19).unwrap(), method, checksum, len)
}

pub(super) fn pack(recipe: &Recipe, plain: &[u8]) -> Vec<u8> {
    let mut packer = Packer::new(recipe, Vec::new()).unwrap();
    packer.write_all(plain).unwrap();
    packer.finish().unwrap()
}

/// A kernel's file, with the compressed kernel and its plain length in it.
pub(super) fn kernel(frame: &[u8], plain_len: u32) -> Vec<u8> {
    let mut file = vec![0; 3 * 512 + 16];
    let mut put = |offset: usize, field: &[u8]| file[offset..offset + field.len()].copy_from_slice(field);
    put(0x1f1, &[2]);
    put(0x1fe, &[0x55, 0xaa]);
    put(0x202, b"HdrS");
    put(0x206, &0x20f_u16.to_le_bytes());
    put(0x248, &16_u32.to_le_bytes());
    put(0x24c, &(u32::try_from(frame.len()).unwrap() + 4).to_le_bytes());
    file.extend_from_slice(frame);
    file.extend_from_slice(&plain_len.to_le_bytes());
    file.extend_from_slice(b"code behind it");
    file
}

/// A boot payload with that kernel.
pub(super) fn payload(machine: u16, section: &str, kernel: &[u8]) -> Vec<u8> {
    let len = u32::try_from(kernel.len()).unwrap();
    let mut file = vec![0; 0x400];
    let mut put = |offset: usize, field: &[u8]| file[offset..offset + field.len()].copy_from_slice(field);
    put(0, b"MZ");
    put(0x3c, &0x40_u32.to_le_bytes());
    put(0x40, b"PE\0\0");
    put(0x44, &machine.to_le_bytes());
    put(0x46, &1_u16.to_le_bytes());
    put(0x54, &112_u16.to_le_bytes());
    put(0x58, &0x20b_u16.to_le_bytes());
    put(0x58 + 32, &0x1000_u32.to_le_bytes());
    put(0x58 + 36, &0x200_u32.to_le_bytes());
    put(0x58 + 60, &0x400_u32.to_le_bytes());
    let section = Section {
        name: section.to_owned(),
        virtual_len: len,
        address: 0x1000,
        file_len: len.next_multiple_of(0x200),
        file_offset: 0x400,
        flags: Section::CODE,
    };
    put(0x58 + 112, &section.to_bytes());
    file.extend_from_slice(kernel);
    file.resize(file.len().next_multiple_of(0x200), 0);
    file
}

pub(super) const X86_64: u16 = 0x8664;
