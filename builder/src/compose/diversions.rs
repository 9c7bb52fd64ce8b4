//! Diversions: a package gives another package's file a new name. dpkg-divert(1).

use std::collections::BTreeMap;

use super::{ComposeError, aliases};
use crate::{
    action::Action,
    tree::{Entry, PathError, TreePath},
};

/// What other packages than `by` ship at `path` goes to `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diversion {
    /// The diverting package: its own file at `path` stays there.
    pub by: String,
    /// The diverted path.
    pub path: TreePath,
    /// The new name.
    pub to: TreePath,
}

impl Diversion {
    /// The diversions among the actions of package `by`.
    ///
    /// # Errors
    /// When an action's path is no absolute path inside an image.
    pub fn from_actions<'a>(
        by: &str,
        actions: impl IntoIterator<Item = &'a Action>,
    ) -> Result<Vec<Self>, ComposeError> {
        let mut diversions = Vec::new();
        for action in actions {
            if let Action::Divert { path, to } = action {
                diversions.push(Self {
                    by: by.to_owned(),
                    path: image_path(by, path)?,
                    to: image_path(by, to)?,
                });
            }
        }
        Ok(diversions)
    }
}

fn image_path(package: &str, text: &str) -> Result<TreePath, ComposeError> {
    let fail = |source| ComposeError::DiversionPath {
        package: package.to_owned(),
        text: text.to_owned(),
        source,
    };
    let relative = text
        .strip_prefix('/')
        .filter(|relative| !relative.is_empty())
        .ok_or_else(|| fail(PathError::Component(text.to_owned())))?;
    relative.parse().map_err(fail)
}

/// All diversions of an image.
#[derive(Debug)]
pub(super) struct Diversions<'a> {
    by_path: BTreeMap<TreePath, &'a Diversion>,
}

impl<'a> Diversions<'a> {
    pub(super) fn new(diversions: &'a [Diversion]) -> Result<Self, ComposeError> {
        let mut by_path: BTreeMap<TreePath, &Diversion> = BTreeMap::new();
        for diversion in diversions {
            match by_path.insert(aliases::canonical(&diversion.path), diversion) {
                Some(other) if other != diversion => {
                    return Err(ComposeError::DivertedTwice {
                        path: diversion.path.clone(),
                        first: other.by.clone(),
                        second: diversion.by.clone(),
                    });
                }
                _ => {}
            }
        }
        Ok(Self { by_path })
    }

    /// Where what `package` ships at the canonical path `place` goes. dpkg diverts no folders.
    pub(super) fn place(&self, package: &str, place: TreePath, entry: &Entry) -> TreePath {
        match self.by_path.get(&place) {
            Some(diversion) if diversion.by != package && !entry.is_directory() => {
                aliases::canonical(&diversion.to)
            }
            _ => place,
        }
    }
}
