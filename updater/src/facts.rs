//! What `outcrop-init` leaves in `/run/outcrop` for the programs that come after it.
//!
//! * `boot.env`: `KEY=value` lines, fit for systemd's `EnvironmentFile=`. No value has spaces or quotes.
//! * `degraded`: only when something is wrong: one reason a line.
//! * `trial`: empty, only when what runs is on trial.
//! * `grow-data`: empty, only when the disk goes on after the data partition.

use std::{fs, io, path::Path};

use outcrop_release::{digest::RootHash, slot::Slot};

/// Where the files are.
pub const FOLDER: &str = "/run/outcrop";
/// Name of the file with [`BootFacts`].
pub const BOOT_FILE: &str = "boot.env";
/// Name of the file with reasons.
pub const DEGRADED_FILE: &str = "degraded";
/// Name of the file whose presence asks for the data partition to be grown.
pub const GROW_FILE: &str = "grow-data";

/// Name of the file whose presence says that this boot is a trial.
pub const TRIAL_FILE: &str = "trial";
/// The file that says that the last boot ended on purpose, below the root.
pub const ORDERLY: &str = "var/lib/outcrop/shut-down-in-order";

/// How this boot came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFacts {
    /// The running slot.
    pub slot: Slot,
    /// The running release.
    pub root_hash: RootHash,
    /// The disk, as a path: `/dev/nvme0n1`.
    pub disk: String,
    /// The data partition, as a path; none when it isn't mounted.
    pub data: Option<String>,
    /// Time since the kernel's start at which `outcrop-init` began and ended, in milliseconds.
    pub init_milliseconds: (u64, u64),
}

/// `boot.env` isn't what `outcrop-init` writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{BOOT_FILE}: {0} is missing or has no legal value")]
pub struct FactsError(&'static str);

const SLOT: &str = "OUTCROP_SLOT";
const ROOT_HASH: &str = "OUTCROP_ROOT_HASH";
const DISK: &str = "OUTCROP_DISK";
const DATA: &str = "OUTCROP_DATA";
const BEGIN: &str = "OUTCROP_INIT_BEGIN_MS";
const END: &str = "OUTCROP_INIT_END_MS";

impl BootFacts {
    /// The text of `boot.env`.
    #[must_use]
    pub fn to_env(&self) -> String {
        let (begin, end) = self.init_milliseconds;
        format!(
            "{SLOT}={}\n{ROOT_HASH}={}\n{DISK}={}\n{DATA}={}\n{BEGIN}={begin}\n{END}={end}\n",
            self.slot,
            self.root_hash,
            self.disk,
            self.data.as_deref().unwrap_or_default()
        )
    }

    /// Reads the text of `boot.env`; other keys are passed over.
    ///
    /// # Errors
    /// When a key is missing or has no legal value.
    pub fn parse(text: &str) -> Result<Self, FactsError> {
        let value = |key: &'static str| {
            let mut values = text
                .lines()
                .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            values.next().ok_or(FactsError(key))
        };
        let number = |key| value(key)?.parse().map_err(|_| FactsError(key));
        Ok(Self {
            slot: value(SLOT)?.parse().map_err(|_| FactsError(SLOT))?,
            root_hash: value(ROOT_HASH)?.parse().map_err(|_| FactsError(ROOT_HASH))?,
            disk: value(DISK)?.to_owned(),
            data: Some(value(DATA)?)
                .filter(|path| !path.is_empty())
                .map(str::to_owned),
            init_milliseconds: (number(BEGIN)?, number(END)?),
        })
    }
}

/// The reasons in the file `degraded` of `folder`; none when all is well.
///
/// # Errors
/// When it is there and can't be read.
pub fn degraded_reasons(folder: &Path) -> io::Result<Vec<String>> {
    match fs::read_to_string(folder.join(DEGRADED_FILE)) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Writes `degraded`: each reason on one line.
///
/// # Errors
/// When the file can't be written.
pub fn write_degraded(folder: &Path, reasons: &[String]) -> io::Result<()> {
    let lines = reasons.iter().map(|reason| reason.replace('\n', " ") + "\n");
    fs::write(folder.join(DEGRADED_FILE), lines.collect::<String>())
}

/// Adds a reason to the file `degraded`, unless it is there.
///
/// # Errors
/// When the file can't be read or written.
pub fn add_degraded_reason(folder: &Path, reason: &str) -> io::Result<()> {
    let mut reasons = degraded_reasons(folder)?;
    let reason = reason.replace('\n', " ");
    if !reasons.contains(&reason) {
        reasons.push(reason);
        write_degraded(folder, &reasons)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(data: Option<&str>) -> BootFacts {
        BootFacts {
            slot: Slot::B,
            root_hash: RootHash::of(b"x"),
            disk: "/dev/nvme0n1".to_owned(),
            data: data.map(str::to_owned),
            init_milliseconds: (1000, 2500),
        }
    }

    #[test]
    fn what_init_writes_the_updater_reads() {
        for facts in [facts(Some("/dev/nvme0n1p9")), facts(None)] {
            assert_eq!(BootFacts::parse(&facts.to_env()), Ok(facts));
        }
    }

    #[test]
    fn a_missing_or_broken_value_is_named() {
        let text = facts(None).to_env();
        for (key, broken) in [(SLOT, "c"), (ROOT_HASH, "12"), (BEGIN, "-1"), (END, "x")] {
            let without: String = text
                .lines()
                .filter(|line| !line.starts_with(key))
                .map(|line| line.to_owned() + "\n")
                .collect();
            assert_eq!(BootFacts::parse(&without), Err(FactsError(key)));
            assert_eq!(
                BootFacts::parse(&format!("{without}{key}={broken}\n")),
                Err(FactsError(key))
            );
        }
    }

    #[test]
    fn each_reason_is_one_line_and_no_file_means_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(degraded_reasons(folder.path()).unwrap(), [] as [&str; 0]);
        write_degraded(folder.path(), &["a\nb".to_owned(), "c".to_owned()]).unwrap();
        assert_eq!(degraded_reasons(folder.path()).unwrap(), ["a b", "c"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = BootFacts::parse(&text);
        }
    }
}
