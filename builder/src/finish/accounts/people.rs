//! The recipe's people: accounts with a home below /var, SSH keys and no password.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Accounts, Lock, User, numbers};
use crate::{
    finish::{
        edit,
        error::{AccountError, FinishError},
        suggest,
    },
    recipe::schema::{AccountName, User as Person},
    tree::Tree,
};

/// Where sshd looks for a user's keys: homes are in /var, which a release must not need.
const KEYS: &str = "etc/ssh/authorized_keys.d";
/// Tells sshd so.
const SSHD: &str = "etc/ssh/sshd_config.d/10-outcrop-keys.conf";
/// Lets root in with keys; sshd takes the first value that it reads, and `10-outcrop.conf` says no.
const SSHD_ROOT: &str = "etc/ssh/sshd_config.d/05-outcrop-root.conf";
/// Makes the homes on the device.
const HOMES: &str = "usr/lib/tmpfiles.d/outcrop-homes.conf";

/// Adds the recipe's people to `accounts`, their keys and homes to `tree`. `root` is an account like any other here,
/// except that it exists already and keeps its number.
///
/// # Errors
/// When a group or shell doesn't exist, or a number is taken.
pub(super) fn add(
    tree: &mut Tree,
    accounts: &mut Accounts,
    people: &BTreeMap<AccountName, Person>,
) -> Result<(), FinishError> {
    let mut homes = String::new();
    for (name, person) in people {
        if accounts.user(name).is_none() {
            add_account(accounts, name, person)?;
            writeln!(homes, "d /var/home/{name} 0700 {name} {name} -").unwrap_or_default();
        } else if let Some(uid) = person.uid {
            return Err(AccountError::Exists {
                name: name.clone(),
                uid,
            }
            .into());
        }
        check_shell(tree, accounts, name, person)?;
        join_groups(accounts, name, &person.groups)?;
        write_keys(tree, name, &person.ssh_keys)?;
    }
    if !homes.is_empty() {
        edit::write_text(tree, HOMES, &homes)?;
    }
    if tree.contains("usr/sbin/sshd") {
        let text = "AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u .ssh/authorized_keys\n";
        edit::write_text_if_missing(tree, SSHD, text)?;
        let root_has_keys = people
            .iter()
            .any(|(name, person)| name.as_str() == "root" && !person.ssh_keys.is_empty());
        if root_has_keys {
            edit::write_text(tree, SSHD_ROOT, "PermitRootLogin prohibit-password\n")?;
        }
    }
    Ok(())
}

fn add_account(accounts: &mut Accounts, name: &str, person: &Person) -> Result<(), AccountError> {
    let uid = person.uid.unwrap_or_else(|| numbers::person(name));
    accounts.add_group(name, uid)?;
    accounts.add_user(User {
        name: name.to_owned(),
        uid,
        gid: uid,
        gecos: String::new(),
        home: format!("/home/{name}"),
        shell: "/bin/bash".to_owned(),
        lock: Lock::NoPassword,
    })
}

fn check_shell(tree: &Tree, accounts: &mut Accounts, name: &str, person: &Person) -> Result<(), FinishError> {
    let Some(shell) = &person.shell else {
        return Ok(());
    };
    let exists = edit::resolve(tree, &edit::tree_path(shell)?).is_some();
    if !exists {
        let (name, shell) = (name.to_owned(), shell.clone());
        return Err(AccountError::NoShell { name, shell }.into());
    }
    accounts.change_user(name, |user| user.shell.clone_from(shell));
    Ok(())
}

fn join_groups(accounts: &mut Accounts, name: &str, groups: &[AccountName]) -> Result<(), AccountError> {
    for group in groups {
        if accounts.group(group).is_none() {
            let known = accounts.groups().iter().map(|known| known.name.as_str());
            let (name, nearest) = (name.to_owned(), suggest::nearest(group, known));
            return Err(AccountError::UnknownGroup {
                name,
                group: group.clone(),
                nearest,
            });
        }
        accounts.add_member(name, group)?;
    }
    Ok(())
}

fn write_keys(tree: &mut Tree, name: &str, keys: &[String]) -> Result<(), FinishError> {
    if keys.is_empty() {
        return Ok(());
    }
    edit::write_text(tree, &format!("{KEYS}/{name}"), &(keys.join("\n") + "\n"))
}
