//! `/var`: the data partition, checked and mounted, or, when it can't be, an empty one in memory. Never reformatted.

use std::io;

/// How the check of a file system ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRun {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub output: String,
}

/// What bringing up `/var` needs from the system.
pub trait DataSystem {
    /// Runs `e2fsck -p` on the device with kernel name `device`.
    ///
    /// # Errors
    /// When it can't be started.
    fn check(&mut self, device: &str) -> io::Result<CheckRun>;

    /// Mounts the file system of `device` on `/var`.
    ///
    /// # Errors
    /// The kernel's.
    fn mount(&mut self, device: &str) -> io::Result<()>;

    /// Mounts an empty `/var` in memory.
    ///
    /// # Errors
    /// The kernel's.
    fn mount_in_memory(&mut self) -> io::Result<()>;
}

/// What `/var` is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Var {
    /// The data partition.
    Mounted {
        /// What the check repaired, if anything.
        repaired: Option<String>,
    },
    /// In memory, for this reason.
    Degraded(String),
}

/// Not even an empty `/var` could be mounted.
#[derive(Debug, thiserror::Error)]
#[error("mount an empty /var in memory")]
pub struct VarError(#[source] pub io::Error);

/// Checks and mounts the data partition `device`; none when the disk hasn't got it.
///
/// # Errors
/// When neither the partition nor memory can be mounted.
pub fn bring_up_var(system: &mut dyn DataSystem, device: Option<&str>) -> Result<Var, VarError> {
    match mount_checked(system, device) {
        Ok(repaired) => Ok(Var::Mounted { repaired }),
        Err(reason) => {
            system.mount_in_memory().map_err(VarError)?;
            Ok(Var::Degraded(reason))
        }
    }
}

fn mount_checked(system: &mut dyn DataSystem, device: Option<&str>) -> Result<Option<String>, String> {
    let device = device.ok_or("the disk has no partition outcrop-data")?;
    let run = system
        .check(device)
        .map_err(|error| format!("start e2fsck for {device}: {error}"))?;
    let repaired = judge(&run).map_err(|reason| format!("check of {device}: {reason}"))?;
    system
        .mount(device)
        .map_err(|error| format!("mount {device}: {error}"))?;
    Ok(repaired)
}

/// Whether the file system can be mounted, and what was repaired.
///
/// The exit code is a sum: 1 repaired, 2 repaired and a reboot advised (for mounted file systems, which this isn't), 4
/// left damaged, 8 and more: couldn't do its work. Source: `e2fsck(8)`, "EXIT CODE".
fn judge(run: &CheckRun) -> Result<Option<String>, String> {
    let output = run.output.trim();
    match run.code {
        Some(0) => Ok(None),
        Some(1..=3) => Ok(Some(output.to_owned())),
        Some(code) if code & 4 != 0 => Err(format!(
            "e2fsck can't repair it by itself: {}",
            last_words(output)
        )),
        Some(code) => Err(format!("e2fsck fails with {code}: {}", last_words(output))),
        None => Err("e2fsck was killed".to_owned()),
    }
}

/// The first line that says what is wrong; the others are advice for people at a keyboard.
fn last_words(output: &str) -> &str {
    output
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Fake {
        code: Option<i32>,
        mount_fails: bool,
        memory_fails: bool,
        calls: Vec<&'static str>,
    }

    impl DataSystem for Fake {
        fn check(&mut self, _: &str) -> io::Result<CheckRun> {
            self.calls.push("check");
            let output =
                "outcrop-data: Block bitmap differences\n(i.e., without -a or -p options)\n".to_owned();
            Ok(CheckRun {
                code: self.code,
                output,
            })
        }

        fn mount(&mut self, _: &str) -> io::Result<()> {
            self.calls.push("mount");
            if self.mount_fails {
                Err(io::Error::other("wrong superblock"))
            } else {
                Ok(())
            }
        }

        fn mount_in_memory(&mut self) -> io::Result<()> {
            self.calls.push("memory");
            if self.memory_fails {
                Err(io::Error::other("no memory"))
            } else {
                Ok(())
            }
        }
    }

    fn with_code(code: i32) -> Fake {
        Fake {
            code: Some(code),
            ..Fake::default()
        }
    }

    #[test]
    fn a_clean_file_system_is_mounted_after_its_check() {
        let mut fake = with_code(0);
        assert_eq!(
            bring_up_var(&mut fake, Some("vda9")).unwrap(),
            Var::Mounted { repaired: None }
        );
        assert_eq!(fake.calls, ["check", "mount"]);
    }

    #[test]
    fn a_repaired_one_is_mounted_and_told() {
        for code in [1, 2, 3] {
            let var = bring_up_var(&mut with_code(code), Some("vda9")).unwrap();
            assert!(matches!(var, Var::Mounted { repaired: Some(text) } if text.contains("bitmap")));
        }
    }

    #[test]
    fn one_that_stays_damaged_is_never_mounted() {
        for code in [4, 5, 8, 12, 16, 32, 128] {
            let mut fake = with_code(code);
            let var = bring_up_var(&mut fake, Some("vda9")).unwrap();
            assert!(
                matches!(&var, Var::Degraded(reason) if reason.contains("vda9") && reason.contains("bitmap")),
                "{var:?}"
            );
            assert_eq!(fake.calls, ["check", "memory"]);
        }
    }

    #[test]
    fn a_check_that_was_killed_counts_as_damage() {
        let var = bring_up_var(&mut Fake::default(), Some("vda9")).unwrap();
        assert_eq!(var, Var::Degraded("check of vda9: e2fsck was killed".to_owned()));
    }

    #[test]
    fn without_a_partition_nothing_is_touched() {
        let mut fake = with_code(0);
        let var = bring_up_var(&mut fake, None).unwrap();
        assert_eq!(
            var,
            Var::Degraded("the disk has no partition outcrop-data".to_owned())
        );
        assert_eq!(fake.calls, ["memory"]);
    }

    #[test]
    fn a_mount_that_fails_leads_to_memory_with_the_reason() {
        let mut fake = Fake {
            mount_fails: true,
            ..with_code(0)
        };
        let var = bring_up_var(&mut fake, Some("vda9")).unwrap();
        assert_eq!(var, Var::Degraded("mount vda9: wrong superblock".to_owned()));
    }

    #[test]
    fn without_memory_there_is_no_going_on() {
        let mut fake = Fake {
            memory_fails: true,
            ..with_code(8)
        };
        assert!(bring_up_var(&mut fake, Some("vda9")).is_err());
    }
}
