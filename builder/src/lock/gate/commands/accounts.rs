//! Accounts: adduser(8), addgroup(8), useradd(8), groupadd(8).

use std::collections::BTreeSet;

use super::{Context, READS, Verdict, options::Line};
use crate::action::Action;

/// Options without a value that adduser and useradd share or have.
const USER_FLAGS: [&str; 15] = [
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
/// Options with a value.
const USER_VALUES: [&str; 13] = [
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

/// A system user without a fixed id; others are for a reviewer.
pub(super) fn user(command: &str, words: &[&str]) -> Option<Vec<Action>> {
    let line = Line::read(words, &USER_FLAGS, &USER_VALUES)?;
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
    let useradd = command == "useradd";
    let home = line.value(&["--home", "--home-dir", "-d"]);
    let shell = line.value(&["--shell", "-s"]);
    let user = Action::SystemUser {
        name: (*name).to_owned(),
        group: group.map(str::to_owned),
        // useradd(8): the defaults of /etc/default/useradd.
        home: home
            .map(str::to_owned)
            .or_else(|| useradd.then(|| format!("/home/{name}"))),
        shell: shell.or(useradd.then_some("/bin/sh")).map(str::to_owned),
    };
    let makes_home = !useradd && !line.flag(&["--no-create-home", "-M"]);
    let made = home.filter(|home| makes_home && !home.starts_with("/nonexistent"));
    let folder = made.map(|home| Action::Directory {
        path: home.trim_end_matches('/').to_owned(),
        mode: HOME_MODE.to_owned(),
        user: (*name).to_owned(),
        group: group.unwrap_or(name).to_owned(),
    });
    Some([user].into_iter().chain(folder).collect())
}

/// Permissions of a system user's home. Source: adduser 3.152, adduser.conf(5), `SYS_DIR_MODE`.
const HOME_MODE: &str = "0755";

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

/// An account that a script may ask for or make.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Account {
    User(String),
    Group(String),
}

impl Account {
    /// What actions make.
    pub(in super::super) fn made_by(actions: &[Action]) -> BTreeSet<Self> {
        let mut made = BTreeSet::new();
        for action in actions {
            match action {
                Action::SystemUser { name, group, .. } => {
                    made.insert(Self::User(name.clone()));
                    if group.is_none() {
                        made.insert(Self::Group(name.clone()));
                    }
                }
                Action::SystemGroup { name } => {
                    made.insert(Self::Group(name.clone()));
                }
                _ => {}
            }
        }
        made
    }

    fn of_master(&self) -> bool {
        match self {
            Self::User(name) => MASTER_USERS.contains(&name.as_str()),
            Self::Group(name) => MASTER_GROUPS.contains(&name.as_str()),
        }
    }

    /// Whether it is there; none when nobody knows: another package, or sysusers.d, may have made it.
    fn exists(&self, context: &Context, actions: &[Action]) -> Option<bool> {
        if self.of_master() || context.made.contains(self) || Self::made_by(actions).contains(self) {
            return Some(true);
        }
        let absent = context.absent.as_ref();
        absent.is_none_or(|absent| absent.contains(self)).then_some(false)
    }
}

/// `getent passwd NAME`, `getent group NAME`: scripts ask before they create, and for what they then create themselves
/// the answer that leads to creating is right.
pub(super) fn getent(words: &[&str], context: &Context, actions: &[Action]) -> Verdict {
    let name = |name: &&str| (*name).to_owned();
    let account = match words {
        ["passwd", user] => Account::User(name(user)),
        ["group", group] => Account::Group(name(group)),
        _ => return READS,
    };
    Verdict::Handled(account.exists(context, actions))
}

/// `id NAME`
pub(super) fn id(words: &[&str], context: &Context, actions: &[Action]) -> Verdict {
    match words {
        [name] | ["-u" | "-g", name] if !name.starts_with('-') => {
            Verdict::Handled(Account::User((*name).to_owned()).exists(context, actions))
        }
        _ => READS,
    }
}

/// Users of base-passwd 3.6.7, `passwd.master`.
const MASTER_USERS: [&str; 18] = [
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy",
    "www-data", "backup", "list", "irc", "_apt", "nobody",
];

/// Groups of base-passwd 3.6.7, `group.master`.
const MASTER_GROUPS: [&str; 38] = [
    "root", "daemon", "bin", "sys", "adm", "tty", "disk", "lp", "mail", "news", "uucp", "man", "proxy",
    "kmem", "dialout", "fax", "voice", "cdrom", "floppy", "tape", "sudo", "audio", "dip", "www-data",
    "backup", "operator", "list", "irc", "src", "shadow", "utmp", "video", "sasl", "plugdev", "staff",
    "games", "users", "nogroup",
];
