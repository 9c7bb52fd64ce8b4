//! The modules of the initramfs: a list of names, with what those need and ask for.

use std::collections::{BTreeMap, BTreeSet};

use outcrop_release::arch::Architecture;

use super::{module::name_of, module_folder};
use crate::{
    finish::{
        edit,
        error::{FinishError, KernelError},
        suggest,
    },
    tree::{Content, Node, Tree, TreePath},
};

/// Names from a list such as `images/efi/initramfs-modules.txt`: one a line, `#` comments; `NAME@ARCHITECTURE` counts
/// for that architecture only.
#[must_use]
pub fn names_in_list(text: &str, architecture: Architecture) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.split('#').next())
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .filter_map(|line| match line.split_once('@') {
            Some((name, only)) => (only == architecture.as_str()).then_some(name),
            None => Some(line),
        })
        .map(name_of)
        .collect()
}

/// A kernel's text tables, read back from the finished tree.
struct Tables {
    /// Module name to its path and everything that it needs.
    modules: BTreeMap<String, (String, Vec<String>)>,
    /// Alias (normalised) to module names.
    aliases: BTreeMap<String, Vec<String>>,
    /// Module name to what it asks for before itself.
    before: BTreeMap<String, Vec<String>>,
    builtin: BTreeSet<String>,
    /// The lines of modules.alias and modules.softdep with the module that they speak of.
    alias_lines: Vec<(String, String)>,
    softdep_lines: Vec<(String, String)>,
    dep_lines: Vec<(String, String)>,
}

/// Files for the initramfs: the modules `names`, what they need (modules.dep) and ask for (`pre:` of modules.softdep,
/// by name or alias), and the four text tables, cut to these modules. Paths are those of the root file system. Names of
/// modules that are built into the kernel add nothing.
///
/// # Errors
/// When a name is neither a module of this kernel nor built in.
pub fn initramfs_modules(
    tree: &Tree,
    version: &str,
    names: &[String],
) -> Result<Vec<(TreePath, Content)>, FinishError> {
    let folder = module_folder(version)?;
    let tables = Tables::read(tree, &folder)?;
    let chosen = tables.closure(version, names)?;
    let mut files = Vec::new();
    for name in &chosen {
        let path = tables
            .modules
            .get(name)
            .map(|(path, _)| folder.join(path))
            .transpose()
            .map_err(FinishError::Path)?;
        if let Some(path) = path {
            files.push((path.clone(), content(tree, &path)?));
        }
    }
    let cut = |lines: &[(String, String)]| -> String {
        lines
            .iter()
            .filter(|(name, _)| chosen.contains(name))
            .map(|(_, line)| format!("{line}\n"))
            .collect()
    };
    for (name, text) in [
        ("modules.alias", cut(&tables.alias_lines)),
        ("modules.dep", cut(&tables.dep_lines)),
        ("modules.softdep", cut(&tables.softdep_lines)),
    ] {
        files.push((
            folder.join(name).map_err(FinishError::Path)?,
            Content::from(text.as_str()),
        ));
    }
    let builtin = folder.join("modules.builtin").map_err(FinishError::Path)?;
    files.push((builtin.clone(), content(tree, &builtin)?));
    files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(files)
}

fn content(tree: &Tree, path: &TreePath) -> Result<Content, FinishError> {
    match tree.get(path.as_str()).map(|entry| &entry.node) {
        Some(Node::File(content, _)) => Ok(content.clone()),
        _ => Err(FinishError::Missing {
            path: path.clone(),
            package: "kernel package",
        }),
    }
}

impl Tables {
    fn read(tree: &Tree, folder: &TreePath) -> Result<Self, FinishError> {
        let text = |name: &str| -> Result<String, FinishError> {
            let path = folder.join(name).map_err(FinishError::Path)?;
            Ok(edit::read_text(tree, &path)?.unwrap_or_default())
        };
        let dep_lines = keyed(&text("modules.dep")?, |line| line.split(':').next().map(name_of));
        let alias_lines = keyed(&text("modules.alias")?, |line| third(line, "alias", 2));
        let softdep_lines = keyed(&text("modules.softdep")?, |line| third(line, "softdep", 1));
        let mut aliases: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, line) in &alias_lines {
            if let Some(alias) = line.split_whitespace().nth(1) {
                aliases
                    .entry(alias.replace('-', "_"))
                    .or_default()
                    .push(name.clone());
            }
        }
        let mut before: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, line) in &softdep_lines {
            before.entry(name.clone()).or_default().extend(asked_before(line));
        }
        let builtin = text("modules.builtin")?.lines().map(name_of).collect();
        let modules = dep_lines
            .iter()
            .map(|(name, line)| (name.clone(), dependency(line)))
            .collect();
        Ok(Self {
            modules,
            aliases,
            before,
            builtin,
            alias_lines,
            softdep_lines,
            dep_lines,
        })
    }

    fn closure(&self, version: &str, names: &[String]) -> Result<BTreeSet<String>, KernelError> {
        let mut chosen = BTreeSet::new();
        let mut todo: Vec<String> = Vec::new();
        for name in names.iter().map(|name| name_of(name)) {
            if self.modules.contains_key(&name) {
                todo.push(name);
            } else if !self.builtin.contains(&name) {
                let nearest = suggest::nearest(&name, self.modules.keys().map(String::as_str));
                return Err(KernelError::NoModule {
                    version: version.to_owned(),
                    name,
                    nearest,
                });
            }
        }
        while let Some(name) = todo.pop() {
            let Some((_, needs)) = self.modules.get(&name) else {
                continue;
            };
            if chosen.insert(name.clone()) {
                todo.extend(needs.iter().cloned());
                todo.extend(
                    self.before
                        .get(&name)
                        .into_iter()
                        .flatten()
                        .flat_map(|soft| self.meant(soft)),
                );
            }
        }
        Ok(chosen)
    }

    /// The modules that a soft dependency means: those with such an alias, else the one of that name.
    fn meant(&self, soft: &str) -> Vec<String> {
        let soft = soft.replace('-', "_");
        self.aliases.get(&soft).cloned().unwrap_or_else(|| vec![soft])
    }
}

fn keyed(text: &str, key: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some((key(line)?, line.to_owned())))
        .collect()
}

/// The word at `position` of a line that begins with `keyword`.
fn third(line: &str, keyword: &str, position: usize) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    (words.first() == Some(&keyword)).then(|| words.get(position).map(|word| name_of(word)))?
}

fn dependency(line: &str) -> (String, Vec<String>) {
    let (path, needs) = line.split_once(':').unwrap_or((line, ""));
    (path.to_owned(), needs.split_whitespace().map(name_of).collect())
}

/// What follows `pre:` in a line of modules.softdep.
fn asked_before(line: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for word in line.split_whitespace().skip(2) {
        match word {
            "pre:" => inside = true,
            "post:" => inside = false,
            word if inside => found.push(word.to_owned()),
            _ => {}
        }
    }
    found
}
