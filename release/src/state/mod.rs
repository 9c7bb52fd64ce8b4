//! Which data of a device is bound to the release that runs: what is kept before a trial, and brought back after one that failed.
//!
//! The builder writes it to [`StateDefinition::PATH`]; the updater acts on it. Nothing signs it: it lies under the root hash.

mod path;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::definition::{self, BadDefinition};

pub use path::{BadStatePath, StatePath};

/// Most snapshots that can be kept.
pub const MAX_KEEP: u32 = 100;
/// Longest that a hook may take: a day.
pub const MAX_HOOK_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// The recipe's `[state]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDefinition {
    /// Files and folders; none lies in another.
    pub paths: Vec<StatePath>,
    /// How many snapshots and replaced states are kept.
    pub keep: u32,
    /// Run before Kubernetes starts for the first time under a release, after the snapshot.
    pub pre_start: Option<Hook>,
    /// Run after a snapshot was brought back, before Kubernetes starts.
    pub post_rollback: Option<Hook>,
}

/// A program that the recipe has run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its absolute path and its arguments.
    pub command: Vec<String>,
    /// How long it may take.
    pub deadline: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Json {
    paths: Vec<StatePath>,
    keep: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pre_start: Option<JsonHook>,
    #[serde(skip_serializing_if = "Option::is_none")]
    post_rollback: Option<JsonHook>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct JsonHook {
    command: Vec<String>,
    deadline_seconds: u64,
}

impl StateDefinition {
    /// Where it lies in the root file system.
    pub const PATH: &str = "usr/lib/outcrop/state.json";

    /// Its JSON form: one field a line, a line break at the end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let hook = |hook: &Option<Hook>| {
            hook.as_ref().map(|hook| JsonHook {
                command: hook.command.clone(),
                deadline_seconds: hook.deadline.as_secs(),
            })
        };
        definition::write(&Json {
            paths: self.paths.clone(),
            keep: self.keep,
            pre_start: hook(&self.pre_start),
            post_rollback: hook(&self.post_rollback),
        })
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// See [`BadDefinition`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BadDefinition> {
        let json: Json = definition::read(bytes)?;
        let wrong = |field, value: String| BadDefinition::Value { field, value };
        if !(1..=MAX_KEEP).contains(&json.keep) {
            return Err(wrong("number of kept states", json.keep.to_string()));
        }
        if let Some((one, _)) = path::nested(&json.paths) {
            return Err(wrong("list of state paths", one.to_string()));
        }
        let hook = |field, hook: Option<JsonHook>| {
            hook.map(
                |JsonHook {
                     command,
                     deadline_seconds,
                 }| {
                    let deadline = Duration::from_secs(deadline_seconds);
                    let is_program = command.first().is_some_and(|program| program.starts_with('/'));
                    if !is_program || deadline.is_zero() || deadline > MAX_HOOK_DEADLINE {
                        return Err(wrong(
                            field,
                            format!("{} ({deadline_seconds} s)", command.join(" ")),
                        ));
                    }
                    Ok(Hook { command, deadline })
                },
            )
            .transpose()
        };
        Ok(Self {
            pre_start: hook("pre-start hook", json.pre_start)?,
            post_rollback: hook("post-rollback hook", json.post_rollback)?,
            paths: json.paths,
            keep: json.keep,
        })
    }

    /// Two paths of which the second lies in the first, or is the same; none when all is well.
    #[must_use]
    pub fn nested(paths: &[StatePath]) -> Option<(&StatePath, &StatePath)> {
        path::nested(paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> StateDefinition {
        StateDefinition {
            paths: ["/var/lib/etcd", "/var/lib/kube"]
                .map(|path| path.parse().unwrap())
                .into(),
            keep: 3,
            pre_start: Some(Hook {
                command: vec!["/usr/libexec/migrate".to_owned(), "up".to_owned()],
                deadline: Duration::from_secs(60),
            }),
            post_rollback: None,
        }
    }

    #[test]
    fn a_definition_survives_being_written_and_read() {
        let bytes = definition().to_bytes();
        assert_eq!(StateDefinition::parse(&bytes).unwrap(), definition());
    }

    #[test]
    fn a_definition_that_makes_no_sense_is_refused() {
        let text = String::from_utf8(definition().to_bytes()).unwrap();
        for (from, to) in [
            ("\"format\": 1", "\"format\": 2"),
            ("\"keep\": 3", "\"keep\": 0"),
            ("\"keep\": 3", "\"keep\": 101"),
            ("/var/lib/etcd", "/etc"),
            ("/var/lib/etcd", "/var/lib/kube/x"),
            ("/usr/libexec/migrate", "migrate"),
            ("\"deadline-seconds\": 60", "\"deadline-seconds\": 0"),
            ("\"paths\"", "\"path\""),
        ] {
            assert!(text.contains(from), "{from}");
            let changed = text.replacen(from, to, 1);
            assert!(StateDefinition::parse(changed.as_bytes()).is_err(), "{to}");
        }
    }
}
