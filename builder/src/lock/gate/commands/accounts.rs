//! Accounts: adduser(8), addgroup(8), useradd(8), groupadd(8).

use super::{DONE, READS, Verdict, options::Line};
use crate::action::Action;

/// A system user without a fixed id; others are for a reviewer.
pub(super) fn user(command: &str, words: &[&str]) -> Option<Vec<Action>> {
    let flags = [
        "--system",
        "-r",
        "--group",
        "--quiet",
        "-q",
        "--no-create-home",
        "-M",
        "--disabled-login",
        "--disabled-password",
        "--force-badname",
        "--allow-bad-names",
        "--no-user-group",
        "-N",
        "--user-group",
        "-U",
    ];
    let valued = [
        "--home",
        "--home-dir",
        "-d",
        "--shell",
        "-s",
        "--ingroup",
        "--gid",
        "-g",
        "--gecos",
        "--comment",
        "-c",
        "--stdoutmsglevel",
        "--stderrmsglevel",
    ];
    let line = Line::read(words, &flags, &valued)?;
    let [name] = line.operands.as_slice() else {
        return None;
    };
    if !line.flag(&["--system", "-r"]) {
        return None;
    }
    let own = line.flag(&["--group", "--user-group", "-U"])
        || (command == "useradd" && !line.flag(&["--no-user-group", "-N"]));
    let group = line
        .value(&["--ingroup", "--gid", "-g"])
        .or((!own).then_some("nogroup"));
    if group.is_some_and(|group| group.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let text = |value: Option<&str>| value.map(str::to_owned);
    Some(vec![Action::SystemUser {
        name: (*name).to_owned(),
        group: text(group),
        home: text(line.value(&["--home", "--home-dir", "-d"])),
        shell: text(line.value(&["--shell", "-s"])),
    }])
}

/// A system group without a fixed id.
pub(super) fn group(words: &[&str]) -> Option<Vec<Action>> {
    let flags = [
        "--system",
        "-r",
        "--quiet",
        "-q",
        "--force-badname",
        "--allow-bad-names",
        "-f",
        "--force",
    ];
    let line = Line::read(words, &flags, &[])?;
    match line.operands.as_slice() {
        [name] if line.flag(&["--system", "-r"]) => Some(vec![Action::SystemGroup {
            name: (*name).to_owned(),
        }]),
        _ => None,
    }
}

/// Whether `name` is an account that base-passwd does not bring: then it is about to be made.
pub(in super::super) fn is_new(name: &str) -> bool {
    !MASTER.contains(&name)
}

/// Scripts ask before they create: the answer that leads to creating is right, for creating twice is harmless.
pub(super) fn lookup(words: &[&str]) -> Verdict {
    match words {
        ["passwd" | "group", name] if !is_new(name) => DONE,
        ["passwd" | "group", _] => Verdict::Handled(Some(false)),
        _ => READS,
    }
}

/// Accounts that base-passwd ships and scripts ask for.
const MASTER: [&str; 14] = [
    "root", "daemon", "adm", "mail", "www-data", "backup", "staff", "shadow", "utmp", "video", "audio",
    "plugdev", "nogroup", "nobody",
];
