//! Small EFI programs for tests: headers like systemd-stub's, sections without code.

use outcrop_release::arch::Architecture;

use crate::boot::pe::Section;

/// An EFI program with `sections` (name and content), room for headers up to `header_bytes`.
pub(crate) fn program(architecture: Architecture, sections: &[(&str, &[u8])], header_bytes: u32) -> Vec<u8> {
    let machine: u16 = match architecture {
        Architecture::X86_64 => 0x8664,
        Architecture::Aarch64 => 0xaa64,
    };
    let mut file = vec![0; header_bytes as usize];
    let mut put = |offset: usize, field: &[u8]| file[offset..offset + field.len()].copy_from_slice(field);
    put(0, b"MZ");
    put(0x3c, &0x40_u32.to_le_bytes());
    put(0x40, b"PE\0\0");
    put(0x44, &machine.to_le_bytes());
    put(0x46, &u16::try_from(sections.len()).unwrap().to_le_bytes());
    put(0x54, &240_u16.to_le_bytes());
    put(0x56, &0x22e_u16.to_le_bytes());
    put(0x58, &0x20b_u16.to_le_bytes());
    put(0x58 + 16, &0x1000_u32.to_le_bytes());
    put(0x58 + 24, &0x1_4000_0000_u64.to_le_bytes());
    put(0x58 + 32, &0x1000_u32.to_le_bytes());
    put(0x58 + 36, &0x200_u32.to_le_bytes());
    put(0x58 + 60, &header_bytes.to_le_bytes());
    put(0x58 + 68, &10_u16.to_le_bytes());
    put(0x58 + 108, &16_u32.to_le_bytes());
    let mut address = 0x1000_u32;
    for (index, (name, content)) in sections.iter().enumerate() {
        let len = u32::try_from(content.len()).unwrap();
        let section = Section {
            name: (*name).to_owned(),
            virtual_len: len,
            address,
            file_len: len.next_multiple_of(0x200),
            file_offset: u32::try_from(file.len()).unwrap(),
            flags: Section::DATA,
        };
        address += len.next_multiple_of(0x1000);
        file[0x148 + index * 40..0x148 + (index + 1) * 40].copy_from_slice(&section.to_bytes());
        file.extend_from_slice(content);
        file.resize(file.len().next_multiple_of(0x200), 0);
    }
    file[0x58 + 56..0x58 + 60].copy_from_slice(&address.to_le_bytes());
    file
}

/// A stub that [`super::Uki`] takes.
pub(crate) fn stub(architecture: Architecture) -> Vec<u8> {
    let magic = b"#### LoaderInfo: systemd-stub 257 ####";
    program(
        architecture,
        &[(".text", &[0xcc; 700]), (".sdmagic", magic)],
        0x400,
    )
}

/// Something that passes for a kernel.
pub(crate) fn kernel(architecture: Architecture) -> Vec<u8> {
    program(architecture, &[(".text", &[0x90; 5000])], 0x400)
}
