//! Which packages want what at which path of the image.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::{ComposeError, aliases, diversions::Diversions};
use crate::{
    store::PackageTree,
    tree::{Entry, Node, TreePath},
};

/// One package's wish for one path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'a> {
    /// Index into the sorted packages.
    pub(super) package: usize,
    pub(super) entry: &'a Entry,
}

/// All wishes, by canonical path; those for one path are in the order of packages.
#[derive(Debug, Default)]
pub(super) struct Claims<'a> {
    by_path: BTreeMap<TreePath, Vec<Claim<'a>>>,
    /// Aliases below which some package ships something.
    pub(super) used_aliases: BTreeSet<&'static str>,
}

impl<'a> Claims<'a> {
    pub(super) fn collect(
        packages: &[&'a PackageTree],
        diversions: &Diversions<'_>,
    ) -> Result<Self, ComposeError> {
        let mut claims = Self::default();
        for (index, package) in packages.iter().enumerate() {
            let name = package.control.package();
            for (path, entry) in package.files.iter() {
                let place = claims.place(name, path, entry)?;
                let place = diversions.place(name, place, entry);
                let claim = Claim {
                    package: index,
                    entry,
                };
                claims.by_path.entry(place).or_default().push(claim);
            }
        }
        Ok(claims)
    }

    /// Where the entry goes after usr-merge.
    fn place(&mut self, package: &str, path: &TreePath, entry: &Entry) -> Result<TreePath, ComposeError> {
        let Some(alias) = aliases::alias_of(path) else {
            return Ok(path.clone());
        };
        if path.as_str() == alias {
            match &entry.node {
                Node::Symlink(target) if aliases::is_alias_link(alias, target) => return Ok(path.clone()),
                Node::Directory => {}
                _ => {
                    return Err(ComposeError::Alias {
                        package: package.to_owned(),
                        path: path.clone(),
                    });
                }
            }
        }
        self.used_aliases.insert(alias);
        Ok(aliases::canonical(path))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TreePath, &[Claim<'a>])> {
        self.by_path
            .iter()
            .map(|(path, claims)| (path, claims.as_slice()))
    }

    /// The first path below `folder` that anyone claims, and who.
    pub(super) fn first_below(&self, folder: &TreePath) -> Option<(&TreePath, &[Claim<'a>])> {
        let prefix = format!("{}/", folder.as_str());
        let (path, claims) = self
            .by_path
            .range::<str, _>((Bound::Excluded(prefix.as_str()), Bound::Unbounded))
            .next()?;
        path.as_str()
            .starts_with(&prefix)
            .then_some((path, claims.as_slice()))
    }
}
