//! passwd, group, shadow and gshadow: no package owns them.
//!
//! Formats: passwd(5), group(5), shadow(5), gshadow(5). Nobody has a password: every shadow entry is one that no
//! password matches.

use std::collections::BTreeSet;

use crate::finish::error::AccountError;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// Numeric id.
    pub uid: u32,
    /// Numeric id of the primary group.
    pub gid: u32,
    /// Free text.
    pub gecos: String,
    /// Home folder.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// What its shadow entry says.
    pub lock: Lock,
}

/// How an account without password is kept from passwords. None can log in with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// `*`: no password matches; keys and `su` from root work.
    NoPassword,
    /// `!*`: the same, and tools call it locked.
    Locked,
    /// `!*` and expired in 1970: nothing that asks PAM lets it in. Source: sysusers.d(5), `u!`.
    Expired,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Numeric id.
    pub gid: u32,
    /// Names of the users that have it as a supplementary group.
    pub members: BTreeSet<String>,
}

/// All accounts of an image, in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
}

impl Accounts {
    /// Reads `passwd.master` and `group.master` of base-passwd.
    ///
    /// # Errors
    /// When a line doesn't have its fields, or its numbers aren't numbers.
    pub fn from_masters(passwd: &str, group: &str) -> Result<Self, AccountError> {
        let users = lines(passwd).map(user_line).collect::<Result<_, _>>()?;
        let groups = lines(group).map(group_line).collect::<Result<_, _>>()?;
        Ok(Self { users, groups })
    }

    /// The user called `name`.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The group called `name`.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// All users.
    #[must_use]
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// All groups.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Adds a user; its name must be new.
    ///
    /// # Errors
    /// When another user has the number.
    pub fn add_user(&mut self, user: User) -> Result<(), AccountError> {
        if let Some(other) = self.users.iter().find(|other| other.uid == user.uid) {
            return Err(AccountError::same_id(&user.name, &other.name, user.uid));
        }
        self.users.push(user);
        Ok(())
    }

    /// Adds a group; its name must be new.
    ///
    /// # Errors
    /// When another group has the number.
    pub fn add_group(&mut self, name: &str, gid: u32) -> Result<(), AccountError> {
        if let Some(other) = self.groups.iter().find(|other| other.gid == gid) {
            return Err(AccountError::same_id(name, &other.name, gid));
        }
        self.groups.push(Group {
            name: name.to_owned(),
            gid,
            members: BTreeSet::new(),
        });
        Ok(())
    }

    /// Makes `user` a member of `group`.
    ///
    /// # Errors
    /// When there is no such group.
    pub fn add_member(&mut self, user: &str, group: &str) -> Result<(), AccountError> {
        let found = self.groups.iter_mut().find(|found| found.name == group);
        let found = found.ok_or_else(|| AccountError::NoGroup(group.to_owned()))?;
        found.members.insert(user.to_owned());
        Ok(())
    }

    /// Changes the user called `name`, if there is one.
    pub fn change_user(&mut self, name: &str, change: impl FnOnce(&mut User)) {
        if let Some(user) = self.users.iter_mut().find(|user| user.name == name) {
            change(user);
        }
    }

    /// `/etc/passwd`.
    #[must_use]
    pub fn passwd(&self) -> String {
        render(&self.users, |user| {
            let User {
                name,
                uid,
                gid,
                gecos,
                home,
                shell,
                ..
            } = user;
            format!("{name}:x:{uid}:{gid}:{gecos}:{home}:{shell}")
        })
    }

    /// `/etc/shadow`. No entry has the day of a change: it would be a time.
    #[must_use]
    pub fn shadow(&self) -> String {
        render(&self.users, |user| match user.lock {
            Lock::NoPassword => format!("{}:*:::::::", user.name),
            Lock::Locked => format!("{}:!*:::::::", user.name),
            Lock::Expired => format!("{}:!*::::::1:", user.name),
        })
    }

    /// `/etc/group`.
    #[must_use]
    pub fn group_file(&self) -> String {
        render(&self.groups, |group| {
            format!("{}:x:{}:{}", group.name, group.gid, members(group))
        })
    }

    /// `/etc/gshadow`.
    #[must_use]
    pub fn gshadow(&self) -> String {
        render(&self.groups, |group| {
            format!("{}:!*::{}", group.name, members(group))
        })
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn user_line(line: &str) -> Result<User, AccountError> {
    let malformed = || AccountError::Master(line.to_owned());
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, gecos, home, shell] = fields[..] else {
        return Err(malformed());
    };
    Ok(User {
        name: name.to_owned(),
        uid: uid.parse().map_err(|_| malformed())?,
        gid: gid.parse().map_err(|_| malformed())?,
        gecos: gecos.to_owned(),
        home: home.to_owned(),
        shell: shell.to_owned(),
        lock: Lock::NoPassword, // shadowconfig(8) takes the master's `*` over
    })
}

fn group_line(line: &str) -> Result<Group, AccountError> {
    let malformed = || AccountError::Master(line.to_owned());
    let mut fields = line.split(':');
    let (Some(name), Some(_), Some(gid)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(malformed());
    };
    let members = fields.next().unwrap_or_default();
    Ok(Group {
        name: name.to_owned(),
        gid: gid.parse().map_err(|_| malformed())?,
        members: members
            .split(',')
            .filter(|member| !member.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

fn members(group: &Group) -> String {
    let names: Vec<&str> = group.members.iter().map(String::as_str).collect();
    names.join(",")
}

fn render<T>(items: &[T], line: impl Fn(&T) -> String) -> String {
    items.iter().map(|item| line(item) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_a_password_and_members_are_in_both_group_files() {
        let mut accounts =
            Accounts::from_masters("root:*:0:0:root:/root:/bin/bash\n", "root:*:0:\nadm:*:4:\n").unwrap();
        accounts.add_member("root", "adm").unwrap();
        assert_eq!(accounts.passwd(), "root:x:0:0:root:/root:/bin/bash\n");
        assert_eq!(accounts.shadow(), "root:*:::::::\n");
        assert_eq!(accounts.group_file(), "root:x:0:\nadm:x:4:root\n");
        assert_eq!(accounts.gshadow(), "root:!*::\nadm:!*::root\n");
    }

    #[test]
    fn a_malformed_master_line_is_refused_by_its_text() {
        let error = Accounts::from_masters("root:*:zero:0:root:/root:/bin/bash", "").unwrap_err();
        assert_eq!(
            error,
            AccountError::Master("root:*:zero:0:root:/root:/bin/bash".to_owned())
        );
    }
}
