//! Lock files edited as text, and sealed again: docs/lock.md, "The file". Only the bench does this.

use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// One package's table of a lock, with those of its scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) arch: String,
    pub(super) text: String,
}

impl Table {
    /// The value of a key that is a text or a number. Keys of its scripts don't count.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        let mut lines = self
            .text
            .lines()
            .skip(1)
            .take_while(|line| !line.starts_with('['));
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        value.map(|text| text.trim_matches('"'))
    }

    pub(super) fn name(&self) -> &str {
        self.value("name").unwrap_or_default()
    }

    pub(super) fn size(&self) -> u64 {
        self.value("size").and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// The packages' tables in their order.
pub(super) fn tables(lock: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in lock.split_inclusive('\n') {
        let arch = line
            .trim_end()
            .strip_prefix("[[")
            .and_then(|rest| rest.strip_suffix("]]"));
        match arch.filter(|name| !name.contains('.') && *name != "suite") {
            Some(arch) => tables.push(Table {
                arch: arch.to_owned(),
                text: line.to_owned(),
            }),
            None if line.starts_with("# end") => {}
            None => {
                if let Some(table) = tables.last_mut() {
                    table.text.push_str(line);
                }
            }
        }
    }
    tables
}

/// The lock with one table in another's place.
pub(super) fn replace(lock: &str, old: &Table, new: &Table) -> Result<String, Error> {
    let missing = || Error::Unexpected(format!("the lock has no package {} to replace", old.name()));
    let (before, after) = lock.split_once(old.text.trim_end()).ok_or_else(missing)?;
    seal(&format!("{before}{}{after}", new.text.trim_end()))
}

/// Writes the digest of every byte after its line.
fn seal(lock: &str) -> Result<String, Error> {
    let odd = || Error::Unexpected("a lock has no digest".to_owned());
    let (head, rest) = lock.split_once("digest = \"").ok_or_else(odd)?;
    let (_, body) = rest.split_once('\n').ok_or_else(odd)?;
    Ok(format!(
        "{head}digest = \"{}\"\n{body}",
        hex(&Sha256::digest(body))
    ))
}

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The packages that differ, old and new: those of both locks for `arch`, by name.
pub(super) fn changed(old: &str, new: &str, arch: &str) -> Vec<(Table, Table)> {
    let new = tables(new);
    tables(old)
        .into_iter()
        .filter(|table| table.arch == arch)
        .filter_map(|old| {
            let twin = |table: &&Table| {
                table.arch == arch
                    && table.name() == old.name()
                    && table.value("role") == old.value("role")
                    && table.value("sha256") != old.value("sha256")
            };
            let twin = new.iter().find(twin)?.clone();
            Some((old, twin))
        })
        .collect()
}

/// The smallest package of at least `least` bytes that changed and is alone with its new version: no other package of the same source changed with it.
pub(super) fn smallest_alone(changed: &[(Table, Table)], least: u64) -> Option<&(Table, Table)> {
    let alone = |(_, new): &&(Table, Table)| {
        let of_version = |(_, other): &&(Table, Table)| other.value("version") == new.value("version");
        changed.iter().filter(of_version).count() == 1
    };
    changed
        .iter()
        .filter(alone)
        .filter(|(_, new)| new.size() >= least)
        .min_by_key(|(_, new)| new.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "# x\nformat = 1\ndigest = \"00\"\nrecipe = \"r\"\n\n[[suite]]\nname = \"trixie\"\n\n\
        [[x86_64]]\nname = \"a\"\nversion = \"1\"\nsize = 9\nsha256 = \"aa\"\n\n[[x86_64.scripts]]\nsha256 = \"s\"\n\n\
        [[x86_64]]\nname = \"b\"\nversion = \"1\"\nsize = 5\nsha256 = \"bb\"\n\n[[x86_64]]\nname = \"c\"\nversion = \"1\"\nsize = 6\nsha256 = \"cc\"\n\n\
        [[aarch64]]\nname = \"a\"\nversion = \"1\"\nsha256 = \"dd\"\n# end of lock\n";

    #[test]
    fn tables_have_their_scripts_and_stand_where_they_stood() {
        let tables = tables(OLD);
        let names: Vec<_> = tables
            .iter()
            .map(|table| (table.arch.as_str(), table.name()))
            .collect();
        assert_eq!(
            names,
            [
                ("x86_64", "a"),
                ("x86_64", "b"),
                ("x86_64", "c"),
                ("aarch64", "a")
            ]
        );
        assert!(tables[0].text.contains("[[x86_64.scripts]]"));
        assert_eq!((tables[0].value("sha256"), tables[0].size()), (Some("aa"), 9));
    }

    #[test]
    fn an_edited_lock_is_sealed_over_what_follows_its_digest() {
        let tables = tables(OLD);
        let newer = Table {
            text: tables[0].text.replace("\"1\"", "\"2\""),
            ..tables[0].clone()
        };
        let edited = replace(OLD, &tables[0], &newer).unwrap();
        let body = edited
            .split_once("digest = ")
            .unwrap()
            .1
            .split_once('\n')
            .unwrap()
            .1;
        assert!(edited.contains(&format!("digest = \"{}\"\n", hex(&Sha256::digest(body)))));
        assert_eq!(
            body,
            OLD.split_once("\"00\"\n")
                .unwrap()
                .1
                .replacen("version = \"1\"", "version = \"2\"", 1)
        );
    }

    #[test]
    fn the_smallest_package_that_came_alone_is_chosen() {
        let new = OLD
            .replace(
                "version = \"1\"\nsize = 9\nsha256 = \"aa\"",
                "version = \"2\"\nsize = 9\nsha256 = \"a2\"",
            )
            .replace(
                "version = \"1\"\nsize = 5\nsha256 = \"bb\"",
                "version = \"3\"\nsize = 5\nsha256 = \"b2\"",
            )
            .replace(
                "version = \"1\"\nsize = 6\nsha256 = \"cc\"",
                "version = \"3\"\nsize = 6\nsha256 = \"c2\"",
            );
        let changed = changed(OLD, &new, "x86_64");
        assert_eq!(changed.len(), 3);
        assert_eq!(smallest_alone(&changed, 0).unwrap().1.name(), "a");
        assert!(smallest_alone(&changed, 10).is_none());
    }
}
