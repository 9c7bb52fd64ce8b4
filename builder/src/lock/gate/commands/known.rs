//! Commands that come to nothing, by name, each group with its reason.

use super::{DONE, READS, Verdict};

/// They print, set shell variables, or do nothing at all.
const SHELL: [&str; 14] = [
    ":", "true", "set", "shift", "umask", "read", "unset", "echo", "printf", "break", "continue", "cd",
    "local", "export",
];

/// Their output or status may matter, but only to something that is judged itself.
const READING: [&str; 35] = [
    "aa-enabled",
    "aa-status",
    "basename",
    "cat",
    "cmp",
    "cut",
    "date",
    "diff",
    "dirname",
    "dpkg-realpath",
    "egrep",
    "expr",
    "fgrep",
    "getcap",
    "grep",
    "head",
    "hostname",
    "id",
    "ischroot",
    "ls",
    "md5sum",
    "mountpoint",
    "pgrep",
    "pidof",
    "readlink",
    "realpath",
    "seq",
    "sha256sum",
    "sort",
    "stat",
    "tail",
    "tr",
    "uname",
    "uniq",
    "wc",
];

/// debconf: nobody is asked, and finish writes what follows from the default answers. `db_get` is not here: its answer
/// decides what a script does.
const DEBCONF: [&str; 14] = [
    "db_beginblock",
    "db_capb",
    "db_endblock",
    "db_fset",
    "db_go",
    "db_input",
    "db_metaget",
    "db_purge",
    "db_reset",
    "db_stop",
    "db_subst",
    "db_title",
    "db_unregister",
    "db_version",
];

/// They act on a running system, and none runs. AppArmor's profiles are loaded by its unit at each boot.
const RUNNING: [&str; 17] = [
    "/usr/lib/systemd/systemd-sysctl",
    "apparmor_parser",
    "busctl",
    "dbus-send",
    "deb-systemd-invoke",
    "invoke-rc.d",
    "kill",
    "killall",
    "modprobe",
    "restorecon",
    "service",
    "sleep",
    "start-stop-daemon",
    "sysctl",
    "telinit",
    "udevadm",
    "vgcfgbackup",
];

/// They matter to upgrades: dpkg-maintscript-helper(1) does nothing on a first installation, folders that an older
/// version left are not there, and the registry of ucf serves its next run.
const UPGRADE: [&str; 3] = ["dpkg-maintscript-helper", "rmdir", "ucfr"];

/// The device does it at each boot (systemd-tmpfiles; units in place of init scripts: see `reduce` for scripts without
/// a unit), or finish for all packages at once: accounts, libraries, kernel, certificates, pam, shells.
const ELSEWHERE: [&str; 8] = [
    "depmod",
    "ldconfig",
    "pam-auth-update",
    "systemd-sysusers",
    "systemd-tmpfiles",
    "update-ca-certificates",
    "update-rc.d",
    "update-shells",
];

/// Images have none of what these make: an initramfs of Debian's, byte code, the hardware database, help indices, icon
/// caches, menus; and systemd is the only supervisor.
const ABSENT: [&str; 12] = [
    "/usr/lib/runit-helper/runit-helper",
    "helpztags",
    "py3clean",
    "py3compile",
    "pyclean",
    "pycompile",
    "pypy3compile",
    "pypycompile",
    "systemd-hwdb",
    "update-icon-caches",
    "update-initramfs",
    "update-menus",
];

/// Triggers that ask for the work of [`ELSEWHERE`] or [`ABSENT`].
const TRIGGERS: [&str; 5] = [
    "ldconfig",
    "libc-major-upgrade",
    "libc-upgrade",
    "update-ca-certificates",
    "update-initramfs",
];

/// Programs that Debian's scripts ask for before they use them; in an image their work is done, so they count as there.
const PRESENT: [&str; 14] = [
    "addgroup",
    "adduser",
    "deb-systemd-helper",
    "dpkg-divert",
    "dpkg-statoverride",
    "groupadd",
    "setcap",
    "systemd-sysusers",
    "systemd-tmpfiles",
    "ucf",
    "ucfr",
    "update-alternatives",
    "update-rc.d",
    "useradd",
];

/// Files that scripts source for functions that are judged by name.
const LIBRARIES: [&str; 2] = [
    "/usr/share/debconf/confmodule",
    "/usr/share/dpkg/sh/dpkg-error.sh",
];

/// Whether a program counts as installed.
pub(in super::super) fn is_present(program: &str) -> bool {
    PRESENT.contains(&program)
}

/// Judges a command that becomes no action.
pub(super) fn judge(name: &str, arguments: &[Option<String>]) -> Verdict {
    let first = arguments.first().and_then(Option::as_deref);
    let last = arguments.last().and_then(Option::as_deref);
    let any = |test: fn(&str) -> bool| arguments.iter().any(|word| word.as_deref().is_none_or(test));
    match name {
        "false" => Verdict::Handled(Some(false)),
        "command" if first == Some("-v") => present(arguments.get(1)),
        "which" | "type" => present(arguments.first()),
        "sed" if !any(|word| word.starts_with("-i") || word.starts_with("--in-place")) => READS,
        "." | "source" if first.is_some_and(|file| LIBRARIES.contains(&file)) => DONE,
        "dpkg-trigger" if last.is_some_and(|trigger| TRIGGERS.contains(&trigger)) => DONE,
        // The catalog of messages is not kept in images.
        "journalctl" if arguments.iter().flatten().any(|word| word == "--update-catalog") => DONE,
        "systemd" if first == Some("--help") => READS,
        _ if READING.contains(&name) || DEBCONF.contains(&name) => READS,
        _ => {
            let groups: [&[&str]; 5] = [&SHELL, &RUNNING, &UPGRADE, &ELSEWHERE, &ABSENT];
            if groups.iter().any(|group| group.contains(&name)) {
                DONE
            } else {
                Verdict::Unknown
            }
        }
    }
}

fn present(program: Option<&Option<String>>) -> Verdict {
    match program {
        Some(Some(program)) if is_present(program) => DONE,
        _ => READS,
    }
}
