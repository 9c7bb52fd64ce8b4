//! Is the device as it should be? Checks are files of the release and of greenboot's folders; each is looked at again and
//! again, by itself, until all required ones hold or time is up.

mod board;
mod definition;
mod look;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

pub use board::{Board, CheckState, Look, Verdict};
pub use definition::{Check, DefinitionError, Kind, KubernetesQuestion, Need};
pub use look::look;

/// Folders of checks; a file in a later one replaces that of the same name in an earlier one.
const FOLDERS: [&str; 2] = ["usr/lib/outcrop/health.d", "etc/outcrop/health.d"];
/// Folders of greenboot's scripts.
const SCRIPTS: [(&str, Need); 4] = [
    ("usr/lib/greenboot/check/required.d", Need::Required),
    ("etc/greenboot/check/required.d", Need::Required),
    ("usr/lib/greenboot/check/wanted.d", Need::Wanted),
    ("etc/greenboot/check/wanted.d", Need::Wanted),
];

/// Checks can't be read. A release that can't say what healthy means isn't.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// A file or folder.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that defines no check.
    #[error("understand the health check {}", path.display())]
    Definition {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DefinitionError,
    },
}

/// All checks of the system whose root is `root`.
///
/// # Errors
/// When one can't be read.
pub fn checks(root: &Path) -> Result<Vec<Check>, HealthError> {
    let mut files = BTreeMap::new();
    for folder in FOLDERS {
        for path in list(&root.join(folder), "toml")? {
            files.insert(stem(&path), path);
        }
    }
    let mut checks = files.into_values().map(read).collect::<Result<Vec<_>, _>>()?;
    for (folder, need) in SCRIPTS {
        for path in list(&root.join(folder), "sh")? {
            checks.push(Check::script(&stem(&path), &path.display().to_string(), need));
        }
    }
    Ok(checks)
}

/// The checks in one folder of definitions; none when it isn't there.
///
/// # Errors
/// When one can't be read.
pub fn checks_in(folder: &Path) -> Result<Vec<Check>, HealthError> {
    list(folder, "toml")?.into_iter().map(read).collect()
}

fn read(path: PathBuf) -> Result<Check, HealthError> {
    match fs::read_to_string(&path) {
        Ok(text) => {
            Check::parse(&stem(&path), &text).map_err(|source| HealthError::Definition { path, source })
        }
        Err(source) => Err(HealthError::Read { path, source }),
    }
}

/// Files of a folder with this ending, in order; none when there is no folder.
fn list(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, HealthError> {
    let failed = |source| HealthError::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|found| found == ending) {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// How watching ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All required checks have held long enough.
    Healthy,
    /// A required check won't hold.
    Failed(String),
    /// Time was up; what didn't hold.
    TooLate(String),
}

/// Looks at all checks until all required ones hold, one of them never will, or `limit` is over. A look that never ends holds
/// up nobody but itself. Returns how each check stood at the end, too.
///
/// `look` is [`look()`] but in tests.
pub fn watch(
    checks: &[Check],
    limit: Duration,
    look: impl Fn(&Check) -> Look + Clone + Send + 'static,
) -> (Ended, Vec<CheckState>) {
    let begin = Instant::now();
    let mut board = Board::new(checks);
    let (sender, looks) = mpsc::channel();
    for (index, check) in checks.iter().cloned().enumerate() {
        let (sender, look) = (sender.clone(), look.clone());
        thread::spawn(move || {
            // Until nobody listens any more.
            while sender.send((index, look(&check))).is_ok() {
                if matches!(check.kind, Kind::Script(_)) {
                    break; // greenboot asks once
                }
                thread::sleep(check.interval);
            }
        });
    }
    drop(sender);
    loop {
        let now = begin.elapsed();
        let ended = match board.verdict(now) {
            Verdict::Healthy => Some(Ended::Healthy),
            Verdict::Failed(why) => Some(Ended::Failed(why)),
            Verdict::Pending if now >= limit => Some(Ended::TooLate(board.missing(now))),
            Verdict::Pending => None,
        };
        if let Some(ended) = ended {
            return (ended, board.states(now));
        }
        // A second at most: holding long enough is nobody's message.
        let wait = limit.saturating_sub(now).min(Duration::from_secs(1));
        match looks.recv_timeout(wait) {
            Ok((index, look)) => board.note(index, look, begin.elapsed()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => thread::sleep(wait),
        }
    }
}

/// Looks at every check once, at the same time, each within its own limit.
#[must_use]
pub fn look_once(checks: &[Check]) -> Vec<CheckState> {
    let mut board = Board::new(checks);
    thread::scope(|scope| {
        let looks: Vec<_> = checks.iter().map(|check| scope.spawn(|| look(check))).collect();
        for (index, look) in looks.into_iter().enumerate() {
            let look = look
                .join()
                .unwrap_or_else(|_| Look::Not("the look at it panicked".to_owned()));
            board.note(index, look, Duration::ZERO);
        }
    });
    // What holds now counts: how long is for a trial to ask.
    board.states(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn check(text: &str) -> Check {
        Check::parse("x", text).unwrap()
    }

    #[test]
    fn checks_come_from_the_release_the_device_and_greenboot() {
        let root = root(&[
            (
                "usr/lib/outcrop/health.d/ssh.toml",
                "kind = 'tcp'\naddress = 'localhost:22'",
            ),
            ("usr/lib/outcrop/health.d/README", "no check"),
            ("etc/outcrop/health.d/ssh.toml", "kind = 'clock'"),
            ("usr/lib/greenboot/check/required.d/10-a.sh", ""),
            ("etc/greenboot/check/wanted.d/20-b.sh", ""),
        ]);
        let checks = checks(root.path()).unwrap();
        let seen: Vec<(&str, Need)> = checks
            .iter()
            .map(|check| (check.name.as_str(), check.need))
            .collect();
        assert_eq!(
            seen,
            [
                ("ssh", Need::Required),
                ("10-a", Need::Required),
                ("20-b", Need::Wanted)
            ]
        );
        assert_eq!(checks[0].kind, Kind::Clock, "the device's own file wins");
    }

    #[test]
    fn a_file_that_cant_be_understood_is_named() {
        let root = root(&[("usr/lib/outcrop/health.d/a.toml", "kind = 'moon'")]);
        let error = checks(root.path()).unwrap_err();
        assert!(error.to_string().contains("health.d/a.toml"), "{error}");
    }

    #[test]
    fn no_folder_means_no_check() {
        assert_eq!(checks(tempfile::tempdir().unwrap().path()).unwrap(), []);
    }

    #[test]
    fn watching_ends_when_all_required_checks_have_held() {
        let checks = [
            check("kind = 'clock'\nhold = '1s'\ninterval = '1s'"),
            check("kind = 'clock'\nneed = 'wanted'"),
        ];
        let (ended, states) = watch(&checks, Duration::from_secs(60), |check| match check.need {
            Need::Required => Look::Holds,
            Need::Wanted => Look::Not("no".to_owned()),
        });
        assert_eq!(ended, Ended::Healthy);
        assert!(states[0].holds && !states[1].holds);
    }

    #[test]
    fn a_look_that_never_ends_is_not_waited_for_past_the_deadline() {
        let checks = [check("kind = 'clock'")];
        let begin = Instant::now();
        let (ended, _) = watch(&checks, Duration::from_secs(1), |_| {
            loop {
                thread::park();
            }
        });
        assert_eq!(ended, Ended::TooLate("x: no look at it has ended yet".to_owned()));
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_check_that_never_will_hold_ends_it_at_once() {
        let checks = [check("kind = 'clock'")];
        let never = |_: &Check| Look::Never("gone".to_owned());
        let (ended, _) = watch(&checks, Duration::from_secs(600), never);
        assert_eq!(ended, Ended::Failed("x: gone".to_owned()));
    }
}
