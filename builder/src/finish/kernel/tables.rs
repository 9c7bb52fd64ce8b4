//! The tables that depmod makes: dependencies, aliases, soft dependencies, symbols, device nodes.
//!
//! Sources: depmod(8), modules.dep(5). The text forms of dependencies, aliases and soft dependencies are kept because
//! the initramfs is selected from them; libkmod reads the binary ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::{
    index::Index,
    module::{ModuleInfo, name_of, normalized_alias},
};
use crate::finish::error::KernelError;

/// A module for the tables.
#[derive(Debug, Clone)]
pub(super) struct Listed<'a> {
    /// Path below the version's folder: `kernel/drivers/...`.
    pub(super) path: &'a str,
    /// What it says about itself.
    pub(super) info: &'a ModuleInfo,
}

/// What the kernel's package ships beside the modules.
#[derive(Debug, Clone, Default)]
pub(super) struct Shipped {
    /// `modules.order`.
    pub(super) order: String,
    /// `modules.builtin`.
    pub(super) builtin: String,
    /// `modules.builtin.modinfo`: NUL-terminated `module.key=value`.
    pub(super) builtin_info: Vec<u8>,
}

struct Module<'a> {
    name: String,
    path: &'a str,
    info: &'a ModuleInfo,
    /// Everything that it needs, the last to be loaded first.
    needs: Vec<usize>,
}

/// All tables, as file name and content.
///
/// # Errors
/// When modules need each other in a circle.
pub(super) fn tables(
    modules: &[Listed<'_>],
    shipped: &Shipped,
) -> Result<Vec<(&'static str, Vec<u8>)>, KernelError> {
    let modules = resolved(modules, &shipped.order)?;
    let mut files = vec![
        ("modules.dep", dependencies(&modules).into_bytes()),
        ("modules.alias", aliases(&modules).into_bytes()),
        (
            "modules.softdep",
            soft(&modules, "softdep", |info| &info.softdeps).into_bytes(),
        ),
        (
            "modules.weakdep",
            soft(&modules, "weakdep", |info| &info.weakdeps).into_bytes(),
        ),
        ("modules.devname", device_nodes(&modules).into_bytes()),
    ];
    for (name, index) in indexes(&modules, shipped) {
        let too_large = || KernelError::Store(std::io::ErrorKind::FileTooLarge.into());
        files.push((name, index.into_bytes().ok_or_else(too_large)?));
    }
    Ok(files)
}

/// The modules in the order of modules.order, those that it doesn't list last, with what each needs.
fn resolved<'a>(modules: &[Listed<'a>], order: &str) -> Result<Vec<Module<'a>>, KernelError> {
    let rank: BTreeMap<&str, usize> = order
        .lines()
        .enumerate()
        .map(|(rank, path)| (path, rank))
        .collect();
    let mut listed: Vec<&Listed<'a>> = modules.iter().collect();
    listed.sort_by_key(|module| (rank.get(module.path).copied().unwrap_or(usize::MAX), module.path));
    let names: Vec<String> = listed.iter().map(|module| name_of(module.path)).collect();
    let positions: BTreeMap<&str, usize> = names
        .iter()
        .enumerate()
        .map(|(position, name)| (name.as_str(), position))
        .collect();
    let direct: Vec<Vec<usize>> = listed
        .iter()
        .map(|module| {
            module
                .info
                .depends
                .iter()
                .filter_map(|name| positions.get(name.as_str()))
                .copied()
                .collect()
        })
        .collect();
    let depth = depths(&direct, &names)?;
    let resolved = listed.iter().enumerate().map(|(position, module)| {
        let mut needs: Vec<usize> = everything_below(&direct, position).into_iter().collect();
        needs.sort_by_key(|other| (std::cmp::Reverse(depth.get(*other).copied()), *other));
        Module {
            name: name_of(module.path),
            path: module.path,
            info: module.info,
            needs,
        }
    });
    Ok(resolved.collect())
}

/// For every module the length of the longest chain below it.
fn depths(direct: &[Vec<usize>], names: &[String]) -> Result<Vec<usize>, KernelError> {
    let mut depth: Vec<Option<usize>> = vec![None; direct.len()];
    let mut open: Vec<usize> = (0..direct.len()).collect();
    while !open.is_empty() {
        let before = open.len();
        open.retain(|module| {
            let below = direct.get(*module).into_iter().flatten();
            let known: Option<Vec<usize>> = below.map(|other| depth.get(*other).copied().flatten()).collect();
            let value = known.map(|known| known.into_iter().max().map_or(0, |deepest| deepest + 1));
            if let Some(slot) = depth.get_mut(*module) {
                *slot = value;
            }
            value.is_none()
        });
        if open.len() == before {
            let names = open
                .iter()
                .filter_map(|module| names.get(*module).cloned())
                .collect();
            return Err(KernelError::Cycle(names));
        }
    }
    Ok(depth.into_iter().map(Option::unwrap_or_default).collect())
}

fn everything_below(direct: &[Vec<usize>], from: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut todo = vec![from];
    while let Some(next) = todo.pop() {
        for other in direct.get(next).into_iter().flatten() {
            if found.insert(*other) {
                todo.push(*other);
            }
        }
    }
    found
}

fn dependency_line(modules: &[Module<'_>], module: &Module<'_>) -> String {
    let needs = module.needs.iter().filter_map(|other| modules.get(*other));
    let needs: String = needs.map(|other| format!(" {}", other.path)).collect();
    format!("{}:{needs}", module.path)
}

fn dependencies(modules: &[Module<'_>]) -> String {
    modules
        .iter()
        .map(|module| dependency_line(modules, module) + "\n")
        .collect()
}

fn aliases(modules: &[Module<'_>]) -> String {
    let mut text = "# Aliases extracted from modules themselves.\n".to_owned();
    for module in modules {
        for alias in &module.info.aliases {
            writeln!(text, "alias {alias} {}", module.name).unwrap_or_default();
        }
    }
    text
}

fn soft(modules: &[Module<'_>], keyword: &str, values: impl Fn(&ModuleInfo) -> &[String]) -> String {
    let mut text = format!("# {keyword}: extracted from modules themselves.\n");
    for module in modules {
        for value in values(module.info) {
            writeln!(text, "{keyword} {} {value}", module.name).unwrap_or_default();
        }
    }
    text
}

/// Device nodes whose first opening loads a module: those with a `devname:` alias and a fixed number.
fn device_nodes(modules: &[Module<'_>]) -> String {
    let lines: String = modules.iter().filter_map(device_node).collect();
    if lines.is_empty() {
        return lines;
    }
    format!("# Device nodes to trigger on-demand module loading.\n{lines}")
}

fn device_node(module: &Module<'_>) -> Option<String> {
    let aliases = &module.info.aliases;
    let node = aliases.iter().find_map(|alias| alias.strip_prefix("devname:"))?;
    let (kind, major, minor) = aliases.iter().find_map(|alias| {
        let (kind, numbers) = alias
            .strip_prefix("char-major-")
            .map(|numbers| ('c', numbers))
            .or_else(|| alias.strip_prefix("block-major-").map(|numbers| ('b', numbers)))?;
        let (major, minor) = numbers.split_once('-')?;
        Some((kind, major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    })?;
    Some(format!("{} {node} {kind}{major}:{minor}\n", module.name))
}

fn indexes(modules: &[Module<'_>], shipped: &Shipped) -> Vec<(&'static str, Index)> {
    let (mut dep, mut alias, mut symbols) = (Index::default(), Index::default(), Index::default());
    for (priority, module) in (0..).zip(modules) {
        dep.insert(&module.name, &dependency_line(modules, module), priority);
        for name in module
            .info
            .aliases
            .iter()
            .filter_map(|alias| normalized_alias(alias))
        {
            alias.insert(&name, &module.name, priority);
        }
        for symbol in &module.info.symbols {
            symbols.insert(&format!("symbol:{symbol}"), &module.name, priority);
        }
    }
    let mut builtin = Index::default();
    for path in shipped.builtin.lines().filter(|line| !line.is_empty()) {
        builtin.insert(&name_of(path), "", 0);
    }
    vec![
        ("modules.dep.bin", dep),
        ("modules.alias.bin", alias),
        ("modules.symbols.bin", symbols),
        ("modules.builtin.bin", builtin),
        (
            "modules.builtin.alias.bin",
            builtin_aliases(&shipped.builtin_info),
        ),
    ]
}

fn builtin_aliases(info: &[u8]) -> Index {
    let mut index = Index::default();
    for text in info.split(|byte| *byte == 0) {
        let text = std::str::from_utf8(text).unwrap_or_default();
        let alias = text.split_once(".alias=");
        if let Some((module, alias)) =
            alias.and_then(|(module, alias)| Some((module, normalized_alias(alias)?)))
        {
            index.insert(&alias, module, 0);
        }
    }
    index
}
