//! The accounts step: who exists in the image, with the same numbers in every release.
//!
//! In this order: base-passwd's masters, sysusers.d of all packages and layers, the accounts that reviewed maintainer
//! scripts ask for, the recipe's people.

pub mod database;
pub mod numbers;
mod people;
pub mod sysusers;

use std::collections::{BTreeMap, BTreeSet};

pub use database::{Accounts, Group, Lock, User};
use sysusers::{GroupId, Id, Line, Specifiers};

use super::{
    edit,
    error::{AccountError, FinishError},
    inputs::Inputs,
    os_release,
};
use crate::{
    action::Action,
    tree::{Tree, TreePath},
};

/// Where base-passwd keeps what every Debian starts from.
const MASTERS: &str = "usr/share/base-passwd";
/// Where sysusers.d files lie; a name in the earlier folder hides the same name in the later one.
const SYSUSERS: [&str; 2] = ["etc/sysusers.d", "usr/lib/sysusers.d"];
/// Who may not log in.
const NOLOGIN: &str = "/usr/sbin/nologin";

/// Works out all accounts and writes the four files.
///
/// # Errors
/// When base-passwd is missing, a sysusers.d line is malformed, or two names claim one number.
pub fn run(tree: &mut Tree, inputs: &Inputs<'_>) -> Result<Accounts, FinishError> {
    let mut accounts = Accounts::from_masters(&master(tree, "passwd")?, &master(tree, "group")?)?;
    apply_sysusers(tree, &mut accounts, &sysusers_lines(tree, inputs)?)?;
    for action in inputs.packages.iter().flat_map(|package| &package.actions) {
        apply_action(&mut accounts, action)?;
    }
    people::add(tree, &mut accounts, &inputs.recipe.users)?;
    write(tree, &accounts)?;
    Ok(accounts)
}

/// Every account's and group's number, by name.
#[must_use]
pub fn numbers_by_name(accounts: &Accounts) -> BTreeMap<String, u32> {
    let groups = accounts
        .groups()
        .iter()
        .map(|group| (group.name.clone(), group.gid));
    groups
        .chain(accounts.users().iter().map(|user| (user.name.clone(), user.uid)))
        .collect()
}

fn master(tree: &Tree, name: &str) -> Result<String, FinishError> {
    let path: TreePath = format!("{MASTERS}/{name}.master")
        .parse()
        .map_err(FinishError::Path)?;
    edit::read_text(tree, &path)?.ok_or(FinishError::Missing {
        path,
        package: "base-passwd",
    })
}

fn sysusers_lines(tree: &Tree, inputs: &Inputs<'_>) -> Result<Vec<Line>, FinishError> {
    let specifiers = Specifiers::new(inputs.architecture, os_release::identity(tree, inputs)?);
    let mut lines = Vec::new();
    for path in edit::drop_ins(tree, &SYSUSERS, ".conf") {
        let text = edit::read_text(tree, &path)?.unwrap_or_default();
        lines.extend(sysusers::parse(&text, &specifiers)?);
    }
    Ok(lines)
}

/// Groups come before users and users before members, whatever the order of the files; the first line for a name wins.
fn apply_sysusers(tree: &Tree, accounts: &mut Accounts, lines: &[Line]) -> Result<(), FinishError> {
    for line in lines {
        if let Line::Group { name, id } = line {
            ensure_group(accounts, name, id_number(tree, id, |owner| owner.1)?)?;
        }
    }
    let mut seen = BTreeSet::new();
    for line in lines {
        if let Line::User { name, .. } = line
            && seen.insert(name)
            && accounts.user(name).is_none()
        {
            add_user(tree, accounts, line)?;
        }
    }
    for line in lines {
        if let Line::Member { user, group } = line {
            ensure_group(accounts, group, None)?;
            ensure_system_user(accounts, user, None, None, None)?;
            accounts.add_member(user, group)?;
        }
    }
    Ok(())
}

fn add_user(tree: &Tree, accounts: &mut Accounts, line: &Line) -> Result<(), FinishError> {
    let Line::User {
        name,
        id,
        group,
        gecos,
        home,
        shell,
        locked,
    } = line
    else {
        return Ok(());
    };
    let fixed = id_number(tree, id, |owner| owner.0)?;
    let gid = match group {
        Some(GroupId::Number(gid)) => *gid,
        Some(GroupId::Name(group)) => ensure_group(accounts, group, None)?,
        None => ensure_group(accounts, name, fixed)?,
    };
    let user = User {
        name: name.clone(),
        uid: fixed.unwrap_or_else(|| numbers::system(name)),
        gid,
        gecos: gecos.clone().unwrap_or_default(),
        home: home.clone().unwrap_or_else(|| "/".to_owned()),
        shell: shell.clone().unwrap_or_else(|| NOLOGIN.to_owned()),
        lock: if *locked { Lock::Expired } else { Lock::Locked },
    };
    Ok(accounts.add_user(user)?)
}

fn id_number(tree: &Tree, id: &Id, pick: impl Fn((u32, u32)) -> u32) -> Result<Option<u32>, FinishError> {
    match id {
        Id::Automatic => Ok(None),
        Id::Number(number) => Ok(Some(*number)),
        Id::OwnerOf(path) => {
            let path = edit::tree_path(path)?;
            let metadata = tree.get(path.as_str()).map(|entry| &entry.metadata);
            Ok(metadata.map(|metadata| pick((metadata.uid, metadata.gid))))
        }
    }
}

fn ensure_group(accounts: &mut Accounts, name: &str, fixed: Option<u32>) -> Result<u32, AccountError> {
    if let Some(group) = accounts.group(name) {
        return Ok(group.gid);
    }
    let gid = fixed.unwrap_or_else(|| numbers::system(name));
    accounts.add_group(name, gid)?;
    Ok(gid)
}

fn ensure_system_user(
    accounts: &mut Accounts,
    name: &str,
    group: Option<&str>,
    home: Option<&str>,
    shell: Option<&str>,
) -> Result<(), AccountError> {
    if accounts.user(name).is_some() {
        return Ok(());
    }
    let gid = ensure_group(accounts, group.unwrap_or(name), None)?;
    accounts.add_user(User {
        name: name.to_owned(),
        uid: numbers::system(name),
        gid,
        gecos: String::new(),
        home: home.unwrap_or("/nonexistent").to_owned(),
        shell: shell.unwrap_or(NOLOGIN).to_owned(),
        lock: Lock::Locked,
    })
}

fn apply_action(accounts: &mut Accounts, action: &Action) -> Result<(), AccountError> {
    match action {
        Action::SystemGroup { name } => ensure_group(accounts, name, None).map(|_| ()),
        Action::SystemUser {
            name,
            group,
            home,
            shell,
        } => ensure_system_user(
            accounts,
            name,
            group.as_deref(),
            home.as_deref(),
            shell.as_deref(),
        ),
        _ => Ok(()),
    }
}

fn write(tree: &mut Tree, accounts: &Accounts) -> Result<(), FinishError> {
    let shadow = accounts.group("shadow").map_or(0, |group| group.gid);
    edit::write_text(tree, "etc/passwd", &accounts.passwd())?;
    edit::write_text(tree, "etc/group", &accounts.group_file())?;
    // base-passwd's postinst makes them: nobody has further numbers.
    edit::write_text_if_missing(tree, "etc/subuid", "")?;
    edit::write_text_if_missing(tree, "etc/subgid", "")?;
    for (path, text) in [
        ("etc/shadow", accounts.shadow()),
        ("etc/gshadow", accounts.gshadow()),
    ] {
        let mut entry = crate::tree::Entry::file(0o640, text.as_str());
        entry.metadata.gid = shadow;
        edit::put(tree, path, entry)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
