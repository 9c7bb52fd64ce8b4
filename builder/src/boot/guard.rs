//! EFI Boot Guard's environment: which program it starts, and how long the watchdog waits meanwhile.
//!
//! EFI Boot Guard starts the machine's watchdog before anything else of Outcrop's runs, then the boot loader. Its own A/B
//! update isn't used: there is one environment, and nothing ever writes it again.
//!
//! Source: EFI Boot Guard, `include/envdata.h` (the layout), `env/fatvars.c` (how it is read).

use std::time::Duration;

/// The environment's name on partition 1. Source: `include/envdata.h`, `FAT_ENV_FILENAME`.
pub const ENVIRONMENT_PATH: &str = "BGENV.DAT";

/// UTF-16 code units of each of the two texts, the terminating zero included.
const TEXT_UNITS: usize = 255;
/// Bytes of variables of the user's own, all unused. Source: `ENV_MEM_USERVARS`.
const VARIABLES_BYTES: usize = 128 << 10;
/// Nothing is being tried: EFI Boot Guard has no part in that. Source: `USTATE_OK`.
const STATE_OK: u8 = 0;
/// Any but 0, which stands for an environment that failed.
const REVISION: u32 = 1;

/// How long the watchdog waits, from its start in EFI Boot Guard until the initramfs has taken it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchdogLimit(u16);

impl WatchdogLimit {
    /// The least: slow firmware and a slow disk must not be taken for a kernel that hangs.
    pub const LEAST: Duration = Duration::from_secs(30);
    /// The most: what every watchdog that EFI Boot Guard knows can count to (TCO version 2: 613 s).
    pub const MOST: Duration = Duration::from_secs(600);

    /// `limit`, cut to whole seconds; none when it isn't from [`Self::LEAST`] to [`Self::MOST`].
    #[must_use]
    pub fn new(limit: Duration) -> Option<Self> {
        let fits = (Self::LEAST..=Self::MOST).contains(&limit);
        fits.then(|| u16::try_from(limit.as_secs()).ok().map(Self))?
    }

    /// In seconds.
    #[must_use]
    pub const fn seconds(self) -> u16 {
        self.0
    }
}

/// The environment that starts the watchdog and then the program at `path` of the same partition (`/` between folders; plain
/// ASCII of less than 255 characters, which the caller's constant is).
#[must_use]
pub fn environment(path: &str, limit: WatchdogLimit) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * TEXT_UNITS + 8 + VARIABLES_BYTES + 4);
    bytes.extend(text(path));
    bytes.extend(text("")); // the program's command line
    bytes.extend([0, STATE_OK]); // the first: no write is in progress
    bytes.extend(limit.0.to_le_bytes());
    bytes.extend(REVISION.to_le_bytes());
    bytes.resize(bytes.len() + VARIABLES_BYTES, 0);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// A text as the firmware writes it: UTF-16, little-endian, `\` between folders, zeros behind it.
fn text(path: &str) -> Vec<u8> {
    let units = path.encode_utf16().map(|unit| match unit {
        0x2f => 0x5c,
        other => other,
    });
    let mut bytes: Vec<u8> = units.take(TEXT_UNITS - 1).flat_map(u16::to_le_bytes).collect();
    bytes.resize(2 * TEXT_UNITS, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_has_every_field_where_efi_boot_guard_reads_it() {
        let limit = WatchdogLimit::new(Duration::from_secs(300)).unwrap();
        let bytes = environment("EFI/a.efi", limit);
        assert_eq!(bytes.len(), 510 + 510 + 1 + 1 + 2 + 4 + 131_072 + 4);
        assert_eq!(&bytes[..20], b"E\0F\0I\0\\\0a\0.\0e\0f\0i\0\0\0");
        assert_eq!(&bytes[1020..1028], [0, 0, 0x2c, 0x01, 1, 0, 0, 0]);
        let (body, sum) = bytes.split_at(bytes.len() - 4);
        assert_eq!(sum, crc32fast::hash(body).to_le_bytes());
    }

    #[test]
    fn a_limit_is_from_half_a_minute_to_ten() {
        let limit = |seconds| WatchdogLimit::new(Duration::from_secs(seconds)).map(WatchdogLimit::seconds);
        assert_eq!(
            [29, 30, 600, 601, 65_566].map(limit),
            [None, Some(30), Some(600), None, None]
        );
    }

    #[test]
    fn a_path_that_is_too_long_is_cut_and_still_ends() {
        let bytes = text(&"x".repeat(300));
        assert_eq!(bytes.len(), 510);
        assert_eq!(&bytes[506..], [b'x', 0, 0, 0]);
    }
}
