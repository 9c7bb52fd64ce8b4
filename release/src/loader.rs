//! `loader/loader.conf` on partition 1: what systemd-boot starts when no variable says otherwise.
//!
//! It fills one sector, so that changing the default is one sector's write: old or new, never neither.
//! Source: loader.conf(5).

use crate::slot::Slot;

/// Path of the file in partition 1.
pub const LOADER_CONF_PATH: &str = "loader/loader.conf";
/// Its length, in bytes: one sector.
pub const LOADER_CONF_BYTES: usize = 512;

/// Settings that never change. Nothing that comes in on a serial line may stop a boot: `menu-disabled` ignores keys, where
/// a timeout of 0 would open the menu at the first byte of noise and wait. No editor and no entries but the slots'.
const FIXED: &str = "timeout menu-disabled
editor no
auto-entries no
auto-firmware no
auto-reboot no
auto-poweroff no
beep no
console-mode keep
secure-boot-enroll off
";

/// The file that makes `slot` the default, padded with a comment.
#[must_use]
pub fn loader_conf(slot: Slot) -> [u8; LOADER_CONF_BYTES] {
    let text = format!("default {}\n{FIXED}", slot.uki_file_name());
    let mut bytes = [b'#'; LOADER_CONF_BYTES];
    for (place, byte) in bytes.iter_mut().zip(text.bytes()) {
        *place = byte;
    }
    bytes[LOADER_CONF_BYTES - 1] = b'\n';
    bytes
}

/// The slot that the file makes the default; none when [`loader_conf`] didn't write it.
#[must_use]
pub fn default_slot(bytes: &[u8]) -> Option<Slot> {
    Slot::ALL.into_iter().find(|slot| bytes == loader_conf(*slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_one_sector_of_whole_lines_and_names_one_slot() {
        for slot in Slot::ALL {
            let bytes = loader_conf(slot);
            let text = std::str::from_utf8(&bytes).unwrap();
            assert_eq!(
                text.lines().next(),
                Some(format!("default {}", slot.uki_file_name()).as_str())
            );
            assert!(!text.contains(slot.other().uki_file_name()));
            assert!(text.ends_with("#\n") && text.contains("\nsecure-boot-enroll off\n#"));
            assert_eq!(default_slot(&bytes), Some(slot));
        }
        assert_eq!(default_slot(&[0; 512]), None);
    }

    #[test]
    fn both_files_differ_in_one_byte() {
        let (a, b) = (loader_conf(Slot::A), loader_conf(Slot::B));
        assert_eq!(a.iter().zip(b).filter(|(a, b)| **a != *b).count(), 1);
    }
}
