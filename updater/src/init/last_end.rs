//! How the boot before this one ended, from what it left behind.

use std::{fs, path::Path};

use outcrop_release::bootrec::LastEnd;

/// The status bit of a watchdog that has reset the machine. Source: Linux, `WDIOF_CARDRESET` in
/// `include/uapi/linux/watchdog.h`.
const CARD_RESET: u32 = 0x20;

/// What is known of the last boot's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traces {
    /// It was shut down or restarted on purpose.
    pub orderly: bool,
    /// Its kernel left the log of a panic.
    pub panic: bool,
    /// The watchdog says that it has reset the machine.
    pub watchdog: bool,
    /// Nothing is known of an end: `/var` can't be read, or this disk has never started before.
    pub blind: bool,
}

impl Traces {
    /// What they mean. A panic counts before anything else: a watchdog may have ended it, and a machine that shuts down can
    /// panic too.
    #[must_use]
    pub const fn last_end(self) -> LastEnd {
        match self {
            Self { panic: true, .. } => LastEnd::Panic,
            Self { orderly: true, .. } => LastEnd::Orderly,
            Self { watchdog: true, .. } => LastEnd::Watchdog,
            // A data partition that is damaged or new is no fault of the release.
            Self { blind: true, .. } => LastEnd::Orderly,
            Self { .. } => LastEnd::PowerLost,
        }
    }
}

/// Whether the kernel's persistent store, mounted at `pstore`, holds the log of a panic. systemd-pstore moves such logs to the
/// data partition once the system has started.
/// Source: Linux, `pstore_dump` in `fs/pstore/platform.c`: each part begins with `Panic#1 Part1`.
#[must_use]
pub fn has_panic(pstore: &Path) -> bool {
    let Ok(entries) = fs::read_dir(pstore) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let is_log = entry.file_name().to_string_lossy().starts_with("dmesg-");
        is_log && fs::read(entry.path()).is_ok_and(|bytes| bytes.starts_with(b"Panic#"))
    })
}

/// Whether a watchdog below `class` (`/sys/class/watchdog`) says that it has reset the machine.
#[must_use]
pub fn was_watchdog(class: &Path) -> bool {
    let Ok(entries) = fs::read_dir(class) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let status = fs::read_to_string(entry.path().join("bootstatus")).unwrap_or_default();
        status
            .trim()
            .parse::<u32>()
            .is_ok_and(|bits| bits & CARD_RESET != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_counts_before_an_orderly_end_and_that_before_the_watchdog() {
        let none = Traces::default();
        assert_eq!(none.last_end(), LastEnd::PowerLost);
        let blind = Traces { blind: true, ..none };
        assert_eq!(blind.last_end(), LastEnd::Orderly);
        let watchdog = Traces {
            watchdog: true,
            ..blind
        };
        assert_eq!(watchdog.last_end(), LastEnd::Watchdog);
        let orderly = Traces {
            orderly: true,
            ..watchdog
        };
        assert_eq!(orderly.last_end(), LastEnd::Orderly);
        let panic = Traces {
            panic: true,
            ..orderly
        };
        assert_eq!(panic.last_end(), LastEnd::Panic);
    }

    #[test]
    fn only_the_log_of_a_panic_counts() {
        let pstore = tempfile::tempdir().unwrap();
        assert!(!has_panic(pstore.path()) && !has_panic(Path::new("/nonexistent")));
        fs::write(pstore.path().join("dmesg-efi_pstore-1"), "Oops#1 Part1\n").unwrap();
        fs::write(pstore.path().join("console-ramoops-0"), "Panic#1 Part1\n").unwrap();
        assert!(!has_panic(pstore.path()));
        fs::write(pstore.path().join("dmesg-efi_pstore-2"), "Panic#2 Part1\n").unwrap();
        assert!(has_panic(pstore.path()));
    }

    #[test]
    fn a_watchdog_tells_by_one_bit_of_its_status() {
        let class = tempfile::tempdir().unwrap();
        let status = class.path().join("watchdog0");
        fs::create_dir(&status).unwrap();
        for (text, expected) in [
            ("0\n", false),
            ("32\n", true),
            ("33\n", true),
            ("1\n", false),
            ("", false),
        ] {
            fs::write(status.join("bootstatus"), text).unwrap();
            assert_eq!(was_watchdog(class.path()), expected, "{text}");
        }
        assert!(!was_watchdog(Path::new("/nonexistent")));
    }
}
