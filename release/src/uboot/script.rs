//! The boot script, with the record's constants put in.

use crate::{
    bootrec::{COPY_OFFSETS, MAX_ATTEMPTS, MAX_STARTS, layout as at},
    cmdline::{PARTITION_OPTION, SLOT_OPTION, START_OPTION},
    partition::Partition,
    slot::Slot,
    units::SECTOR,
};

/// Where things are loaded. The kernel begins on 2 MiB, or `booti` would move it; behind it there is room for 123 MiB, and the initramfs
/// lies above everything. U-Boot's own addresses (`kernel_addr_r` and others) lie too near each other for Debian's kernel.
mod memory {
    pub(super) const KERNEL: u32 = 0x0020_0000;
    pub(super) const DEVICE_TREE: u32 = 0x07d0_0000;
    pub(super) const COPIES: [u32; 2] = [0x07e0_0000, 0x07e0_0200];
    pub(super) const RECORD: u32 = 0x07e0_0400;
    /// What was written, read back.
    pub(super) const BACK: u32 = 0x07e0_0600;
    /// A CRC-32; `crc32` writes eight bytes.
    pub(super) const SUM: u32 = 0x07e0_0800;
    pub(super) const ARGUMENTS: u32 = 0x07e0_1000;
    pub(super) const INITRAMFS: u32 = 0x0800_0000;
}

/// `veri`, the first four bytes of a verity superblock.
const SUPERBLOCK_START: u32 = u32::from_le_bytes(*b"veri");

const DECIDE: &str = include_str!("boot.cmd");
const START: &str = include_str!("start.cmd");

/// The script that partition 1 holds: it decides, and starts what it decided on.
#[must_use]
pub fn boot_script() -> String {
    filled(&[DECIDE, START].concat())
}

/// The part that decides, writes the record and loads kernel and initramfs, for tests: it leaves its answer in the variables
/// `outcrop_slot` and `outcrop_start`.
#[must_use]
pub fn decision_script() -> String {
    filled(DECIDE)
}

/// `template` with every `@NAME` replaced by its number, in hexadecimal and without a prefix, as U-Boot takes it.
fn filled(template: &str) -> String {
    let mut names = names();
    // A name may be the beginning of another one.
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    names
        .into_iter()
        .fold(template.to_owned(), |text, (name, value)| {
            text.replace(&format!("@{name}"), &value)
        })
}

fn names() -> Vec<(String, String)> {
    let mut names: Vec<(String, String)> = texts()
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect();
    let numbers = addresses().into_iter().chain(codes());
    names.extend(numbers.map(|(name, number)| (name.to_owned(), format!("{number:x}"))));
    for (slot, base) in Slot::ALL.into_iter().zip((at::SLOTS..).step_by(at::SLOT_BYTES)) {
        for (name, offset) in [
            ("STATE", at::STATE),
            ("ATTEMPTS", at::ATTEMPTS),
            ("REASON", at::REASON),
            ("STARTS", at::STARTS),
            ("KERNEL_LEN", at::KERNEL),
            ("KERNEL_SUM", at::KERNEL + 4),
            ("INITRAMFS_LEN", at::INITRAMFS),
            ("INITRAMFS_SUM", at::INITRAMFS + 4),
        ] {
            let letter = slot.as_str().to_uppercase();
            names.push((
                format!("{letter}_{name}"),
                format!("{:x}", field(memory::RECORD, base + offset)),
            ));
        }
    }
    names
}

const fn texts() -> [(&'static str, &'static str); 4] {
    [
        ("RECORD_LABEL", Partition::BootRecord.label()),
        ("SLOT_OPTION", SLOT_OPTION),
        ("START_OPTION", START_OPTION),
        ("PARTITION_OPTION", PARTITION_OPTION),
    ]
}

/// The address of the byte at `offset` of what lies at `base`.
fn field(base: u32, offset: usize) -> u32 {
    u32::try_from(offset).map_or(base, |offset| base + offset)
}

fn addresses() -> Vec<(&'static str, u32)> {
    let [first, second] = memory::COPIES;
    vec![
        ("KERNEL", memory::KERNEL),
        ("DEVICE_TREE", memory::DEVICE_TREE),
        ("INITRAMFS", memory::INITRAMFS),
        ("ARGUMENTS", memory::ARGUMENTS),
        ("BACK", memory::BACK),
        ("SUM", memory::SUM),
        ("COPY0", first),
        ("COPY1", second),
        ("MAGIC0", field(first, 4)),
        ("MAGIC1", field(second, 4)),
        ("VERSION0", field(first, at::VERSION)),
        ("VERSION1", field(second, at::VERSION)),
        ("SEQUENCE0", field(first, at::SEQUENCE)),
        ("SEQUENCE1", field(second, at::SEQUENCE)),
        ("RECORD", memory::RECORD),
        ("SEQUENCE", field(memory::RECORD, at::SEQUENCE)),
        ("DEFAULT", field(memory::RECORD, at::DEFAULT)),
        ("TRIAL_SLOT", field(memory::RECORD, at::TRIAL)),
        ("TRIAL_STAGE", field(memory::RECORD, at::TRIAL + 1)),
        ("TRIAL_TRIES", field(memory::RECORD, at::TRIAL + 2)),
        ("SWITCHED", field(memory::RECORD, at::SWITCHED)),
        ("CRC", field(memory::RECORD, at::CRC)),
        ("CRC_OFFSET", field(0, at::CRC)),
    ]
}

fn codes() -> Vec<(&'static str, u32)> {
    let [low, high] = at::MAGIC_WORDS;
    let sectors = COPY_OFFSETS.map(|offset| offset / SECTOR);
    vec![
        ("MAGIC_LOW", low),
        ("MAGIC_HIGH", high),
        ("VERSION", at::KNOWN_VERSION),
        ("RESIDUE", at::CRC_RESIDUE),
        ("VERITY", SUPERBLOCK_START),
        ("COPY_SECTORS", u32::try_from(sectors[1]).unwrap_or(u32::MAX)),
        ("NO_SLOT", u32::from(at::NO_SLOT)),
        ("ARMED", u32::from(at::ARMED)),
        ("RUNNING", u32::from(at::RUNNING)),
        ("EMPTY", u32::from(at::EMPTY)),
        ("GOOD", u32::from(at::GOOD)),
        ("BAD", u32::from(at::BAD)),
        (
            "DAMAGED",
            u32::from(at::reason_code(crate::bootrec::BadReason::Damaged)),
        ),
        (
            "TOO_MANY_ATTEMPTS",
            u32::from(at::reason_code(crate::bootrec::BadReason::TooManyAttempts)),
        ),
        ("MAX_ATTEMPTS", u32::from(MAX_ATTEMPTS)),
        ("MAX_STARTS", u32::from(MAX_STARTS)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_put_in_and_every_name_is_used() {
        let script = boot_script();
        let left: Vec<&str> = script
            .lines()
            .filter(|line| line.contains('@') && !line.starts_with('#'))
            .collect();
        assert_eq!(left, [""; 0]);
        let template = [DECIDE, START].concat();
        for (name, _) in names() {
            assert!(template.contains(&format!("@{name}")), "{name} isn't used");
        }
    }

    #[test]
    fn quotes_and_ifs_are_balanced() {
        let script = boot_script();
        assert!(script.is_ascii());
        let code: Vec<&str> = script
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .collect();
        let quotes = code.concat().matches('\'').count();
        assert!(quotes.is_multiple_of(2), "{quotes}");
        let words = |word: &str| {
            code.iter()
                .flat_map(|line| line.split([' ', ';']))
                .filter(|found| *found == word)
                .count()
        };
        assert_eq!(words("if"), words("fi"));
        assert_eq!(words("if"), words("then"));
    }

    #[test]
    fn nothing_in_memory_overlaps() {
        let regions = [
            (memory::KERNEL, memory::DEVICE_TREE),
            (memory::DEVICE_TREE, memory::COPIES[0]),
            (memory::COPIES[0], memory::COPIES[0] + 512),
            (memory::COPIES[1], memory::COPIES[1] + 512),
            (memory::RECORD, memory::RECORD + 512),
            (memory::BACK, memory::BACK + 512),
            (memory::SUM, memory::SUM + 8),
            (memory::ARGUMENTS, memory::ARGUMENTS + 8192),
            (memory::INITRAMFS, u32::MAX),
        ];
        assert!(regions.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        assert!(memory::KERNEL.is_multiple_of(2 << 20));
    }
}
