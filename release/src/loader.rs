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
secure-boot-enroll ";

/// When the loader puts the keys of `loader/keys/auto` on partition 1 into a machine that has no platform key (setup mode).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Enroll {
    /// Never.
    #[default]
    Off,
    /// In a virtual machine: a real one may need keys of its maker's to start at all, for its option ROMs.
    IfSafe,
    /// In any machine, after 15 seconds in which a key press stops it.
    Force,
}

impl Enroll {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::IfSafe, Self::Force];

    /// As loader.conf says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::IfSafe => "if-safe",
            Self::Force => "force",
        }
    }
}

/// What the file says: the default, and what else differs between images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LoaderConf {
    /// What the loader starts by itself.
    pub default: Slot,
    /// What it does about keys.
    pub enroll: Enroll,
}

impl LoaderConf {
    /// That of an image without Secure Boot.
    #[must_use]
    pub const fn plain(default: Slot) -> Self {
        Self {
            default,
            enroll: Enroll::Off,
        }
    }

    /// The file, padded with a comment.
    #[must_use]
    pub fn to_bytes(self) -> [u8; LOADER_CONF_BYTES] {
        let (entry, enroll) = (self.default.uki_file_name(), self.enroll.as_str());
        let text = format!("default {entry}\n{FIXED}{enroll}\n");
        let mut bytes = [b'#'; LOADER_CONF_BYTES];
        for (place, byte) in bytes.iter_mut().zip(text.bytes()) {
            *place = byte;
        }
        bytes[LOADER_CONF_BYTES - 1] = b'\n';
        bytes
    }

    /// What a file says; none when [`LoaderConf::to_bytes`] didn't make it.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let all = Slot::ALL
            .into_iter()
            .flat_map(|default| Enroll::ALL.map(|enroll| Self { default, enroll }));
        all.into_iter().find(|conf| bytes == conf.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = LoaderConf> {
        let of = |default| Enroll::ALL.map(|enroll| LoaderConf { default, enroll });
        Slot::ALL.into_iter().flat_map(of)
    }

    #[test]
    fn the_file_is_one_sector_of_whole_lines_and_names_one_slot() {
        for conf in all() {
            let bytes = conf.to_bytes();
            let text = std::str::from_utf8(&bytes).unwrap();
            let slot = conf.default;
            assert_eq!(
                text.lines().next(),
                Some(format!("default {}", slot.uki_file_name()).as_str())
            );
            assert!(!text.contains(slot.other().uki_file_name()));
            let last = format!("\nsecure-boot-enroll {}\n#", conf.enroll.as_str());
            assert!(text.ends_with("#\n") && text.contains(&last), "{text}");
            assert!(
                text.contains("\neditor no\n"),
                "the command line is nobody's to edit"
            );
            assert_eq!(LoaderConf::parse(&bytes), Some(conf));
        }
        assert_eq!(LoaderConf::parse(&[0; 512]), None);
    }

    #[test]
    fn files_of_two_defaults_differ_in_one_byte() {
        for enroll in Enroll::ALL {
            let [a, b] = Slot::ALL.map(|default| LoaderConf { default, enroll }.to_bytes());
            assert_eq!(a.iter().zip(b).filter(|(a, b)| **a != *b).count(), 1);
        }
    }
}
