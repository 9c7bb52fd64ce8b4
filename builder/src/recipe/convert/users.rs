//! `[users.NAME]`

use std::collections::BTreeMap;

use outcrop_release::device_config::ssh_key;

use super::{
    super::{
        located::Item,
        node::{Member, Value},
        problem::Problem,
        schema::{AccountName, User},
        source::Location,
        value::{account_name, image_path},
    },
    reader::{Reader, Section},
};

/// Ids for people's accounts. Source: Debian Policy, section 9.2.2.
const UIDS: std::ops::RangeInclusive<i64> = 1000..=59999;

pub(super) fn users(reader: &mut Reader<'_>, top: Section<'_>) -> BTreeMap<AccountName, User> {
    let mut users = BTreeMap::new();
    let mut uids: BTreeMap<u32, &Location> = BTreeMap::new();
    let Some(Value::Table(table)) = top.get("users").map(|member| &member.node.value) else {
        return users;
    };
    for (name, member) in table {
        if let Err(message) = account_name(name) {
            reader.report(Problem::new(message).at(member.key.clone()));
            continue;
        }
        reader.locate(Item::User(name.clone()), &member.key);
        let Value::Table(table) = &member.node.value else {
            continue;
        };
        let section = Section {
            name: "users.NAME",
            table: Some(table),
            place: Some(&member.key),
        };
        if name == "root" {
            root_has_keys_only(reader, section);
        }
        let user = user(reader, section);
        if let (Some(uid), Some(uid_member)) = (user.uid, section.get("uid")) {
            unique(reader, &mut uids, uid, uid_member);
        }
        users.insert(name.clone(), user);
    }
    users
}

fn user(reader: &mut Reader<'_>, section: Section<'_>) -> User {
    let groups = reader.list(section, "groups", account_name);
    for (group, place) in &groups {
        reader.locate(Item::Group(group.clone()), place);
    }
    let mut groups: Vec<AccountName> = groups.into_iter().map(|(group, _)| group).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut ssh_keys = Vec::new();
    for (key, _) in reader.list(section, "ssh-keys", ssh_key) {
        if !ssh_keys.contains(&key) {
            ssh_keys.push(key);
        }
    }
    User {
        uid: uid(reader, section),
        groups,
        shell: reader.optional(section, "shell", |text| {
            let legal = |c: char| c.is_ascii_graphic() && c != ':';
            match image_path(text) {
                Ok(_) if text.chars().all(legal) => Ok(text.to_owned()),
                _ => Err(format!("{text:?} can't be a shell: write its absolute path")),
            }
        }),
        ssh_keys,
    }
}

fn uid(reader: &mut Reader<'_>, section: Section<'_>) -> Option<u32> {
    let member = section.get("uid")?;
    let Value::Integer(number) = member.node.value else {
        return None;
    };
    let uid = u32::try_from(number).ok().filter(|_| UIDS.contains(&number));
    if uid.is_none() {
        let message = format!("uid {number} is outside of {} to {}", UIDS.start(), UIDS.end());
        reader.report(Problem::new(message).at(member.node.place.clone()));
    }
    uid
}

fn unique<'a>(reader: &mut Reader<'_>, uids: &mut BTreeMap<u32, &'a Location>, uid: u32, member: &'a Member) {
    if let Some(first) = uids.insert(uid, &member.node.place) {
        let message = format!("two users with the uid {uid}; the other is at {first}");
        reader.report(Problem::new(message).at(member.node.place.clone()));
    }
}

fn root_has_keys_only(reader: &mut Reader<'_>, section: Section<'_>) {
    for key in ["uid", "groups", "shell"] {
        if let Some(member) = section.get(key) {
            reader.report(
                Problem::new(format!("`{key}` of root can't be changed"))
                    .at(member.key.clone())
                    .help("[users.root] may only have `ssh-keys`"),
            );
        }
    }
}
