//! deb-systemd-helper(1p) and systemctl(1).

use super::{DONE, READS, Verdict};
use crate::action::Action;

/// Options that don't change what a verb means for an image: not `--runtime`, `--root` or `--preset-mode`.
const OPTIONS: [&str; 14] = [
    "--all",
    "--full",
    "--global",
    "--no-block",
    "--no-legend",
    "--no-pager",
    "--no-reload",
    "--now",
    "--plain",
    "--quiet",
    "--system",
    "--user",
    "-a",
    "-q",
];

/// Enabling becomes an action. What acts on a running manager has nothing to act on.
pub(super) fn judge(command: &str, words: &[&str], actions: &mut Vec<Action>) -> Verdict {
    let user = ["--user", "--global"].iter().any(|option| words.contains(option));
    let plain = |word: &&str| !word.starts_with('-') || OPTIONS.contains(word);
    if !words.iter().all(plain) {
        return Verdict::Unknown;
    }
    let mut words = words.iter().filter(|word| !word.starts_with('-'));
    let verb = words.next().copied();
    match (command, verb) {
        (_, Some("enable")) => {
            actions.extend(words.map(|unit| enable(unit, user)));
            DONE
        }
        // Before the first installation nothing is masked, and the record of what Debian enabled is empty: then
        // was-enabled says yes, so that new units become enabled, and debian-installed says no.
        ("deb-systemd-helper", Some("unmask" | "update-state" | "purge" | "was-enabled")) => DONE,
        ("deb-systemd-helper", Some("debian-installed")) => Verdict::Handled(Some(false)),
        (
            "systemctl",
            Some(
                "daemon-reload"
                | "daemon-reexec"
                | "start"
                | "stop"
                | "restart"
                | "try-restart"
                | "reload"
                | "reload-or-restart"
                | "try-reload-or-restart"
                | "kill"
                | "reset-failed"
                | "unmask",
            ),
        ) => READS,
        ("systemctl", Some("is-active" | "is-enabled" | "is-system-running" | "show" | "status")) => READS,
        _ => Verdict::Unknown,
    }
}

fn enable(unit: &str, user: bool) -> Action {
    let unit = unit.to_owned();
    if user {
        Action::EnableUserUnit { unit }
    } else {
        Action::EnableUnit { unit }
    }
}
