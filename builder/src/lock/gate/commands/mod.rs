//! The commands of maintainer scripts that are known: what each comes to in an image that is built without them.
//!
//! Three kinds: those that only read or print; those whose work a finish step or the device does (each says which); and
//! those that become an [`Action`]. Anything else is unknown.

mod accounts;
mod alternatives;
mod files;
mod known;
mod options;
mod reading;
mod units;

use std::collections::BTreeSet;

pub(super) use self::{
    accounts::Account,
    known::{is_library, is_present},
};
use super::condition;
use crate::{action::Action, lock::format::ScriptKind};

/// What is known where a command stands.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// Whose script it is.
    pub(super) package: String,
    pub(super) kind: ScriptKind,
    /// Accounts that count as absent before the script makes them. None: every one that base-passwd doesn't bring.
    pub(super) absent: Option<BTreeSet<Account>>,
    /// Accounts that the script has made.
    pub(super) made: BTreeSet<Account>,
}

impl Context {
    /// At the beginning of a script.
    pub(super) fn new(package: &str, kind: ScriptKind) -> Self {
        let package = package.to_owned();
        let (absent, made) = (None, BTreeSet::new());
        Self {
            package,
            kind,
            absent,
            made,
        }
    }
}

/// A command's name without the usual folders.
pub(super) fn base_name(name: &str) -> &str {
    ["/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"]
        .iter()
        .find_map(|folder| name.strip_prefix(folder))
        .unwrap_or(name)
}

/// What a command comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is lost by not running it. Whether it would have succeeded, when that is known.
    Handled(Option<bool>),
    /// Nobody handles it.
    Unknown,
}

const DONE: Verdict = Verdict::Handled(Some(true));
const READS: Verdict = Verdict::Handled(None);

/// Judges `name` (a [`base_name`]) with its arguments (none: unknown); what it becomes is added to `actions`.
pub(super) fn judge(
    name: &str,
    arguments: &[Option<String>],
    context: &Context,
    actions: &mut Vec<Action>,
) -> Verdict {
    let known: Option<Vec<&str>> = arguments.iter().map(Option::as_deref).collect();
    let made = match (name, known.as_deref()) {
        ("[", _) => return bracket(arguments),
        ("test", _) => return Verdict::Handled(condition::test(arguments)),
        ("dpkg" | "dpkg-query", _) => return dpkg(arguments),
        ("deb-systemd-helper" | "systemctl", Some(words)) => return units::judge(name, words, actions),
        ("update-alternatives", Some(words)) => alternatives::judge(words),
        ("adduser" | "useradd", Some(words)) => accounts::user(name, words),
        ("addgroup" | "groupadd", Some(words)) => accounts::group(words),
        ("getent", Some(words)) => return accounts::getent(words, context, actions),
        ("id", Some(words)) => return accounts::id(words, context, actions),
        ("chown", Some(words)) => files::chown(words),
        ("chgrp", Some(words)) => files::chgrp(words),
        ("rm", Some(words)) => files::rm(words, context.kind),
        ("chmod", Some(words)) => return files::chmod(words, actions),
        ("dpkg-statoverride", Some(words)) => return files::statoverride(words, actions),
        ("dpkg-divert", _) if asks_diversion(arguments) => return READS,
        ("dpkg-divert", Some(words)) => files::divert(words, &context.package),
        ("mkdir", Some(words)) => files::mkdir(words),
        ("install", Some(words)) => files::install(words),
        ("ln", Some(words)) => files::symlink(words),
        ("setcap", Some(words)) => files::setcap(words),
        ("add-shell", Some(words)) => files::shell(words),
        ("ucf", Some(words)) => files::ucf(words),
        _ => return known::judge(name, arguments),
    };
    match made {
        Some(made) => {
            actions.extend(made);
            DONE
        }
        None => Verdict::Unknown,
    }
}

fn asks_diversion(arguments: &[Option<String>]) -> bool {
    let asks = |word: &str| matches!(word, "--list" | "--listpackage" | "--truename");
    arguments.iter().any(|word| word.as_deref().is_some_and(asks))
}

fn bracket(arguments: &[Option<String>]) -> Verdict {
    match arguments.split_last() {
        Some((Some(end), words)) if end == "]" => Verdict::Handled(condition::test(words)),
        _ => Verdict::Unknown,
    }
}

/// Questions to the package database; on a first installation the version compared with is empty.
fn dpkg(arguments: &[Option<String>]) -> Verdict {
    match arguments.first().and_then(Option::as_deref) {
        Some("--compare-versions") => Verdict::Handled(condition::compare_versions(&arguments[1..])),
        Some(
            "-s"
            | "--status"
            | "-l"
            | "--list"
            | "-L"
            | "--listfiles"
            | "-S"
            | "--search"
            | "-W"
            | "--show"
            | "-f"
            | "--print-architecture"
            | "--assert-multi-arch",
        ) => READS,
        Some(option) if option.starts_with("--showformat") || option.starts_with("-f=") => READS,
        _ => Verdict::Unknown,
    }
}
