//! The commands of maintainer scripts that are known: what each comes to in an image that is built without them.
//!
//! Three kinds: those that only read or print; those whose work a finish step or the device does (each says which); and
//! those that become an [`Action`]. Anything else is unknown.

mod accounts;
mod alternatives;
mod files;
mod options;
mod units;

use super::condition;
use crate::action::Action;

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

/// Programs that Debian's scripts ask for before they use them; in an image their work is done, so they count as there.
const PRESENT: [&str; 12] = [
    "adduser",
    "addgroup",
    "deb-systemd-helper",
    "dpkg-divert",
    "dpkg-statoverride",
    "groupadd",
    "setcap",
    "systemd-sysusers",
    "systemd-tmpfiles",
    "update-alternatives",
    "update-rc.d",
    "useradd",
];

/// Judges `name` with its arguments (none: unknown); what it becomes is added to `actions`.
pub(super) fn judge(name: &str, arguments: &[Option<String>], actions: &mut Vec<Action>) -> Verdict {
    let name = ["/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"]
        .iter()
        .find_map(|folder| name.strip_prefix(folder))
        .unwrap_or(name);
    let known: Option<Vec<&str>> = arguments.iter().map(Option::as_deref).collect();
    let made = match (name, known.as_deref()) {
        ("[", _) => return bracket(arguments),
        ("test", _) => return Verdict::Handled(condition::test(arguments)),
        ("dpkg" | "dpkg-query", _) => return dpkg(arguments),
        ("deb-systemd-helper" | "systemctl", Some(words)) => return units::judge(name, words, actions),
        ("update-alternatives", Some(words)) => alternatives::judge(words),
        ("adduser" | "useradd", Some(words)) => accounts::user(name, words),
        ("addgroup" | "groupadd", Some(words)) => accounts::group(words),
        ("getent", Some(words)) => return accounts::lookup(words),
        ("chown", Some(words)) => files::chown(words),
        ("chmod", Some(words)) => return files::chmod(words, actions),
        ("dpkg-statoverride", Some(words)) => return files::statoverride(words, actions),
        ("dpkg-divert", _) if asks_diversion(arguments) => return READS,
        ("dpkg-divert", Some(words)) => files::divert(words),
        ("mkdir", Some(words)) => files::mkdir(words),
        ("install", Some(words)) => files::install(words),
        ("ln", Some(words)) => files::symlink(words),
        ("setcap", Some(words)) => files::setcap(words),
        ("add-shell", Some(words)) => files::shell(words),
        ("ucf", Some(words)) => files::ucf(words),
        _ => return without_action(name, arguments),
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

fn without_action(name: &str, arguments: &[Option<String>]) -> Verdict {
    let first = arguments.first().and_then(Option::as_deref);
    match name {
        ":" | "true" | "set" | "shift" | "umask" | "read" | "unset" | "echo" | "printf" | "break"
        | "continue" | "cd" => DONE,
        "false" => Verdict::Handled(Some(false)),
        "command" if first == Some("-v") => present(arguments.get(1)),
        "which" | "type" => present(arguments.first()),
        // Their output may matter, but only to something that is judged itself.
        "cat" | "grep" | "egrep" | "fgrep" | "cut" | "tr" | "head" | "tail" | "sort" | "uniq" | "wc"
        | "basename" | "dirname" | "readlink" | "realpath" | "dpkg-realpath" | "ls" | "stat" | "md5sum"
        | "sha256sum" | "cmp" | "expr" | "id" | "uname" | "hostname" | "pidof" | "pgrep" | "ischroot"
        | "mountpoint" | "seq" | "date" => READS,
        "sed"
            if !arguments.iter().any(|word| {
                word.as_deref()
                    .is_none_or(|word| word.starts_with("-i") || word == "--in-place")
            }) =>
        {
            READS
        }
        // The answers of debconf are its defaults: finish writes what follows from them.
        "." | "source"
            if matches!(
                first,
                Some("/usr/share/debconf/confmodule" | "/usr/share/dpkg/sh/dpkg-error.sh")
            ) =>
        {
            DONE
        }
        "db_version" | "db_capb" | "db_stop" | "db_go" | "db_input" | "db_title" | "db_beginblock"
        | "db_endblock" | "db_purge" | "db_fset" | "db_subst" | "db_metaget" | "db_unregister"
        | "db_reset" => READS,
        // They act on a running system, and none runs.
        "deb-systemd-invoke" | "invoke-rc.d" | "service" | "udevadm" | "dbus-send" | "busctl" | "kill"
        | "killall" | "sysctl" | "restorecon" | "telinit" | "sleep" => DONE,
        // Conffiles and folders that an upgrade moves: dpkg-maintscript-helper(1) does nothing on a first installation.
        "dpkg-maintscript-helper" if first != Some("supports") => DONE,
        "dpkg-maintscript-helper" => Verdict::Handled(Some(true)),
        // systemd-tmpfiles runs on the device at each boot; sysusers.d is read by finish (accounts).
        "systemd-tmpfiles" | "systemd-sysusers" => DONE,
        // systemd starts the unit that stands for the init script; without one it is residue: see `reduce`.
        "update-rc.d" => DONE,
        // Finish makes these once, for all packages: the loader's cache, module dependencies, certificates, PAM, hwdb,
        // message catalogue, shells. The initramfs is Outcrop's own; byte code is not kept in an image.
        "ldconfig"
        | "depmod"
        | "update-ca-certificates"
        | "pam-auth-update"
        | "systemd-hwdb"
        | "update-shells"
        | "update-initramfs"
        | "py3compile"
        | "py3clean"
        | "pycompile"
        | "pyclean" => DONE,
        "journalctl"
            if arguments
                .iter()
                .any(|word| word.as_deref() == Some("--update-catalog")) =>
        {
            DONE
        }
        // The registry of ucf belongs to upgrades by packages; a trigger only asks for the steps above.
        "ucfr" => DONE,
        "dpkg-trigger" => trigger(arguments),
        // There are no desktop menus; systemd is the only supervisor, and prints its options at most.
        "update-menus" | "/usr/lib/runit-helper/runit-helper" => DONE,
        "systemd" if first == Some("--help") => READS,
        // Profiles are loaded at boot, by AppArmor's own unit.
        "aa-enabled" | "aa-status" => READS,
        "apparmor_parser" => DONE,
        _ => Verdict::Unknown,
    }
}

fn present(program: Option<&Option<String>>) -> Verdict {
    match program {
        Some(Some(program)) if PRESENT.contains(&program.as_str()) => DONE,
        _ => READS,
    }
}

/// Triggers whose work finish does for all packages.
fn trigger(arguments: &[Option<String>]) -> Verdict {
    let name = arguments.last().and_then(Option::as_deref);
    let known = [
        "ldconfig",
        "libc-upgrade",
        "libc-major-upgrade",
        "update-ca-certificates",
        "update-initramfs",
    ];
    if name.is_some_and(|name| known.contains(&name)) {
        DONE
    } else {
        Verdict::Unknown
    }
}
