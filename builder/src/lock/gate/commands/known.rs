//! Commands that come to nothing, by name, each group with its reason.

use super::{DONE, READS, Verdict, options::Line, reading};

/// They print, set shell variables, or do nothing at all, and succeed.
const SHELL: [&str; 9] = [
    ":", "true", "set", "shift", "unset", "echo", "printf", "break", "continue",
];

/// Their output or status may matter, but only to something that is judged itself.
const READING: [&str; 34] = [
    "aa-enabled",
    "aa-status",
    "basename",
    "cat",
    "cd",
    "cmp",
    "cut",
    "diff",
    "dirname",
    "dpkg-realpath",
    "egrep",
    "expr",
    "fgrep",
    "getcap",
    "getopts",
    "grep",
    "head",
    "id",
    "ischroot",
    "ls",
    "md5sum",
    "mountpoint",
    "pgrep",
    "pidof",
    "read",
    "readlink",
    "realpath",
    "seq",
    "sha256sum",
    "stat",
    "tail",
    "tr",
    "uname",
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

/// They act on a running system, and none runs. AppArmor's profiles are loaded by its unit at each boot. Whether they
/// would succeed in a tree that doesn't run, nobody knows.
const RUNNING: [&str; 15] = [
    "/usr/lib/systemd/systemd-sysctl",
    "apparmor_parser",
    "busctl",
    "dbus-send",
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

/// They ask policy-rc.d(8) first, whose answer in a tree that is being built is no, and then succeed without doing
/// anything.
const BY_POLICY: [&str; 2] = ["deb-systemd-invoke", "invoke-rc.d"];

/// They matter to upgrades: dpkg-maintscript-helper(1) does nothing on a first installation, and the registry of ucf
/// serves its next run.
const UPGRADE: [&str; 2] = ["dpkg-maintscript-helper", "ucfr"];

/// The device does it at each boot (systemd-tmpfiles; finish where the path is part of the read-only root), or finish for
/// all packages at once: accounts, libraries, kernel, certificates, shells. Only with arguments that ask for just that.
const ELSEWHERE: [Elsewhere; 6] = [
    Elsewhere {
        name: "depmod",
        flags: &["-a", "--all"],
        values: &["-F", "--filesyms"],
        operand: |_| true,
    },
    Elsewhere {
        name: "ldconfig",
        flags: &["-v", "--verbose"],
        values: &["-r"],
        operand: |_| false,
    },
    Elsewhere {
        name: "systemd-sysusers",
        flags: &[],
        values: &["--replace", "--root"],
        operand: |file| is_drop_in(file, "sysusers.d"),
    },
    Elsewhere {
        name: "systemd-tmpfiles",
        flags: &["--create"],
        values: &["--exclude-prefix", "--prefix", "--replace", "--root"],
        operand: |file| is_drop_in(file, "tmpfiles.d"),
    },
    Elsewhere {
        name: "update-ca-certificates",
        flags: &["-f", "--fresh", "-v", "--verbose"],
        values: &["--hooksdir"],
        operand: |_| false,
    },
    Elsewhere {
        name: "update-shells",
        flags: &["--verbose"],
        values: &["--root"],
        operand: |_| false,
    },
];

/// A command whose work is done elsewhere, and its known arguments.
struct Elsewhere {
    name: &'static str,
    flags: &'static [&'static str],
    values: &'static [&'static str],
    operand: fn(&str) -> bool,
}

impl Elsewhere {
    fn covers(&self, arguments: &[Option<String>]) -> bool {
        let words: Option<Vec<_>> = arguments.iter().map(Option::as_deref).collect();
        let Some(line) = words.and_then(|words| Line::read(&words, self.flags, self.values)) else {
            return false;
        };
        let root = line.value(&["--root", "-r"]).unwrap_or_default();
        ["", "/"].contains(&root) && line.operands.iter().all(|operand| (self.operand)(operand))
    }
}

/// Whether `file` is one that finish and the device read: a name, or a path in the usual folders. Not `-`: that is text
/// which only the script has.
fn is_drop_in(file: &str, folder: &str) -> bool {
    let name = ["/etc/", "/usr/lib/"].iter().find_map(|parent| {
        let rest = file.strip_prefix(parent)?.strip_prefix(folder)?;
        rest.strip_prefix('/')
    });
    let name = name.unwrap_or(file);
    name.ends_with(".conf") && !name.contains('/')
}

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

/// Whether a file that is sourced is known.
pub(in super::super) fn is_library(file: &str) -> bool {
    LIBRARIES.contains(&file)
}

/// Judges a command that becomes no action.
pub(super) fn judge(name: &str, arguments: &[Option<String>]) -> Verdict {
    let first = arguments.first().and_then(Option::as_deref);
    let last = arguments.last().and_then(Option::as_deref);
    match reading::only_reads(name, arguments) {
        Some(true) if name == "umask" => return DONE,
        Some(true) => return READS,
        Some(false) => return Verdict::Unknown,
        None => {}
    }
    match name {
        "false" => Verdict::Handled(Some(false)),
        "command" if first == Some("-v") => present(arguments.get(1)),
        "which" | "type" => present(arguments.first()),
        "pam-auth-update" if only_enables_defaults(arguments) => DONE,
        // Units stand in place of init scripts: see `reduce` for scripts without a unit.
        "update-rc.d" if enables_by_default(arguments) => DONE,
        "." | "source" if first.is_some_and(is_library) => DONE,
        "dpkg-trigger" if last.is_some_and(|trigger| TRIGGERS.contains(&trigger)) => DONE,
        // The catalog of messages is not kept in images.
        "journalctl" if arguments.iter().flatten().any(|word| word == "--update-catalog") => DONE,
        "systemd" if first == Some("--help") => READS,
        // Folders that an older version left are not there; whether another package has brought the folder is unknown.
        "rmdir" => READS,
        _ if [&READING[..], &DEBCONF, &RUNNING]
            .iter()
            .any(|group| group.contains(&name)) =>
        {
            READS
        }
        _ => {
            let groups: [&[&str]; 4] = [&SHELL, &BY_POLICY, &UPGRADE, &ABSENT];
            let elsewhere = ELSEWHERE.iter().find(|command| command.name == name);
            if elsewhere.is_some_and(|command| command.covers(arguments))
                || groups.iter().any(|group| group.contains(&name))
            {
                DONE
            } else {
                Verdict::Unknown
            }
        }
    }
}

/// Enabling what profiles enable by themselves is what finish (pam) does.
fn only_enables_defaults(arguments: &[Option<String>]) -> bool {
    let words: Option<Vec<_>> = arguments.iter().map(Option::as_deref).collect();
    let Some(line) = words
        .as_deref()
        .and_then(|words| Line::read(words, &["--package", "--force"], &["--root"]))
    else {
        return false;
    };
    line.operands.is_empty() && line.values.iter().all(|(_, root)| root.is_empty())
}

/// `update-rc.d NAME defaults`, `defaults-disabled` and `remove`. `disable` would be a wish against the unit.
fn enables_by_default(arguments: &[Option<String>]) -> bool {
    let mut words = arguments
        .iter()
        .map(Option::as_deref)
        .filter(|word| *word != Some("-f"));
    let (_name, verb) = (words.next(), words.next().flatten());
    verb.is_some_and(|verb| ["defaults", "defaults-disabled", "remove"].contains(&verb))
}

fn present(program: Option<&Option<String>>) -> Verdict {
    match program {
        Some(Some(program)) if is_present(program) => DONE,
        _ => READS,
    }
}
