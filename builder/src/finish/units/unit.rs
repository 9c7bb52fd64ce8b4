//! Unit files: where they lie and what their `[Install]` section says.
//!
//! Sources: systemd.unit(5), "Unit File Load Path" and "[Install] Section Options".

use crate::{
    finish::{edit, error::FinishError},
    tree::{Entry, Node, Tree, TreePath},
};

/// The system manager's units or those of users' managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    System,
    User,
}

impl Scope {
    /// The folder that enablement, aliases and masks go to.
    pub(super) const fn config(self) -> &'static str {
        match self {
            Self::System => "etc/systemd/system",
            Self::User => "etc/systemd/user",
        }
    }

    /// Where packages put unit files.
    pub(super) const fn vendor(self) -> &'static str {
        match self {
            Self::System => "usr/lib/systemd/system",
            Self::User => "usr/lib/systemd/user",
        }
    }

    /// Preset folders, the strongest first.
    pub(super) const fn presets(self) -> [&'static str; 2] {
        match self {
            Self::System => ["etc/systemd/system-preset", "usr/lib/systemd/system-preset"],
            Self::User => ["etc/systemd/user-preset", "usr/lib/systemd/user-preset"],
        }
    }
}

/// What a unit's name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// A link to /dev/null, or an empty file.
    Masked,
    /// A unit file, with the path that a link to it should name.
    File(TreePath),
}

/// Looks up the file of `unit`; an instance (`a@b.service`) has its template's unless it has its own.
pub(super) fn find(tree: &Tree, scope: Scope, unit: &str) -> Found {
    let names = [Some(unit.to_owned()), template(unit)];
    for name in names.into_iter().flatten() {
        for folder in [scope.config(), scope.vendor()] {
            match look(tree, &format!("{folder}/{name}")) {
                Found::Nothing => {}
                found => return found,
            }
        }
    }
    Found::Nothing
}

/// A link to /dev/null, or an empty file, which systemd takes for one.
fn is_mask(entry: &Entry) -> bool {
    match &entry.node {
        Node::Symlink(target) => target == "/dev/null",
        Node::File(content, _) => content.is_empty(),
        Node::Directory => false,
    }
}

/// Names of the units that the configuration folder masks.
pub(super) fn masked(tree: &Tree, scope: Scope) -> Vec<String> {
    let folder: Option<TreePath> = scope.config().parse().ok();
    let entries = folder.iter().flat_map(|folder| tree.children(folder));
    entries
        .filter(|(_, entry)| is_mask(entry))
        .filter_map(|(path, _)| path.file_name().map(str::to_owned))
        .collect()
}

fn look(tree: &Tree, path: &str) -> Found {
    let Some(entry) = tree.get(path) else {
        return Found::Nothing;
    };
    if is_mask(entry) {
        return Found::Masked;
    }
    let resolved = path.parse().ok().and_then(|path| edit::resolve(tree, &path));
    resolved.map_or(Found::Nothing, Found::File)
}

/// `a@.service` for `a@b.service`; none for anything else.
pub(super) fn template(unit: &str) -> Option<String> {
    let (prefix, instance) = unit.split_once('@')?;
    let (instance, suffix) = instance.rsplit_once('.')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.{suffix}"))
}

/// Whether `unit` is a template itself.
pub(super) fn is_template(unit: &str) -> bool {
    unit.contains("@.")
}

/// An `[Install]` section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Install {
    pub(super) wanted_by: Vec<String>,
    pub(super) required_by: Vec<String>,
    pub(super) upheld_by: Vec<String>,
    pub(super) alias: Vec<String>,
    pub(super) also: Vec<String>,
    pub(super) default_instance: Option<String>,
}

impl Install {
    /// Whether there is nothing to do for enabling the unit.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads a unit file's text; what other sections say doesn't matter.
    pub(super) fn parse(text: &str) -> Self {
        let mut install = Self::default();
        let mut inside = false;
        for line in joined_lines(text) {
            let line = line.trim();
            if line.starts_with('[') {
                inside = line == "[Install]";
            } else if let Some((key, value)) = line.split_once('=').filter(|_| inside) {
                install.set(key.trim(), value.trim());
            }
        }
        install
    }

    fn set(&mut self, key: &str, value: &str) {
        let list = match key {
            "WantedBy" => &mut self.wanted_by,
            "RequiredBy" => &mut self.required_by,
            "UpheldBy" => &mut self.upheld_by,
            "Alias" => &mut self.alias,
            "Also" => &mut self.also,
            "DefaultInstance" => {
                self.default_instance = Some(value.to_owned()).filter(|value| !value.is_empty());
                return;
            }
            _ => return,
        };
        if value.is_empty() {
            list.clear();
        }
        list.extend(value.split_whitespace().map(str::to_owned));
    }
}

/// Lines without comments, with `\` at the end continued. Source: systemd.syntax(7).
fn joined_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let (body, continues) = line.strip_suffix('\\').map_or((line, false), |body| (body, true));
        match lines.last_mut().filter(|_| open) {
            Some(last) => *last = format!("{last} {body}"),
            None => lines.push(body.to_owned()),
        }
        open = continues;
    }
    lines
}

/// Reads the `[Install]` section of the unit file at `path`.
pub(super) fn install(tree: &Tree, path: &TreePath) -> Result<Install, FinishError> {
    Ok(Install::parse(&edit::read_text(tree, path)?.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    #[test]
    fn only_the_install_section_counts_and_an_empty_value_forgets() {
        let text = "[Unit]\nWantedBy=no\n[Install]\n# WantedBy=no\nWantedBy=a.target \\\n  b.target\nAlias=x.service\nAlias=\n\
                    DefaultInstance=tty1\n[Service]\nAlso=no\n";
        let install = Install::parse(text);
        assert_eq!(install.wanted_by, ["a.target", "b.target"]);
        assert!(install.alias.is_empty() && install.also.is_empty());
        assert_eq!(install.default_instance.as_deref(), Some("tty1"));
    }

    #[test]
    fn instances_have_their_templates_file_and_nothing_is_a_mask() {
        let mut tree = testing::tree(&[
            ("usr/lib/systemd/system/a@.service", "[Unit]"),
            ("usr/lib/systemd/system/b.service", "[Unit]"),
            ("usr/lib/systemd/system/d.service", "[Unit]"),
            ("etc/systemd/system/d.service", ""),
        ]);
        edit::link(&mut tree, "etc/systemd/system/b.service", "/dev/null").unwrap();
        let path = "usr/lib/systemd/system/a@.service".parse().unwrap();
        assert_eq!(find(&tree, Scope::System, "a@x.y.service"), Found::File(path));
        for unit in ["b.service", "d.service"] {
            assert_eq!(find(&tree, Scope::System, unit), Found::Masked);
        }
        assert_eq!(masked(&tree, Scope::System), ["b.service", "d.service"]);
        assert_eq!(find(&tree, Scope::System, "c.service"), Found::Nothing);
    }
}
