//! Which modules stay: what the recipe doesn't exclude, what the initramfs needs, and what those need.

use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::{
    module::name_of,
    unpack::{self, Shipped, Unpacked},
};
use crate::{
    finish::{error::KernelError, inputs::ContentStore},
    progress::Phase,
};

/// The recipe's globs, matched against paths below `kernel/`.
///
/// # Errors
/// When one is no glob.
pub(super) fn globs(patterns: &[String]) -> Result<GlobSet, KernelError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let failed = |source| KernelError::Glob {
            glob: pattern.clone(),
            source,
        };
        set.add(
            GlobBuilder::new(pattern)
                .literal_separator(true)
                .build()
                .map_err(failed)?,
        );
    }
    set.build().map_err(|source| KernelError::Glob {
        glob: String::new(),
        source,
    })
}

/// What the recipe says.
#[derive(Debug)]
pub(super) struct Choice {
    /// `exclude-modules`
    pub(super) excluded: GlobSet,
    /// `keep-modules`
    pub(super) kept: GlobSet,
}

impl Choice {
    /// Whether a module stays, by its path below `kernel/`, with its ending or without.
    fn keeps(&self, path: &str) -> bool {
        let is_in = |set: &GlobSet| set.is_match(path) || set.is_match(stem(path));
        is_in(&self.kept) || !is_in(&self.excluded)
    }
}

/// Unpacks the modules that stay, in the order of `shipped`. `folder` is the path of `kernel/` with its slash.
///
/// # Errors
/// As [`unpack::unpack`].
pub(super) fn select(
    shipped: &[Shipped],
    folder: &str,
    choice: &Choice,
    needed: &BTreeSet<String>,
    store: &dyn ContentStore,
    phase: &dyn Phase,
) -> Result<Vec<Unpacked>, KernelError> {
    let positions: BTreeMap<String, usize> = shipped
        .iter()
        .enumerate()
        .map(|(position, module)| (name_of(module.path.as_str()), position))
        .collect();
    let kept = |module: &Shipped| {
        let inner = unpack::plain_path(&module.path);
        let inner = inner.as_str().strip_prefix(folder).unwrap_or(inner.as_str());
        needed.contains(&name_of(inner)) || choice.keeps(inner)
    };
    let mut todo: BTreeSet<usize> = (0..shipped.len())
        .filter(|position| shipped.get(*position).is_some_and(kept))
        .collect();
    let mut done: BTreeMap<usize, Unpacked> = BTreeMap::new();
    while !todo.is_empty() {
        let batch: Vec<Shipped> = todo
            .iter()
            .filter_map(|position| shipped.get(*position).cloned())
            .collect();
        phase.set_total((done.len() + batch.len()) as u64);
        let unpacked = unpack::unpack(&batch, store, phase)?;
        let names: Vec<String> = unpacked
            .iter()
            .flat_map(|module| module.info.depends.clone())
            .collect();
        done.extend(todo.iter().copied().zip(unpacked));
        todo = names
            .iter()
            .filter_map(|name| positions.get(name))
            .copied()
            .collect();
        todo.retain(|position| !done.contains_key(position));
    }
    Ok(done.into_values().collect())
}

/// The path without `.ko`: people write `drivers/net/dummy` or a glob over it.
fn stem(path: &str) -> &str {
    path.strip_suffix(".ko").unwrap_or(path)
}
