//! Which package owns what.

use std::collections::BTreeMap;

use crate::{store::PackageTree, tree::TreePath};

/// Which package owns which path of a composed tree. Paths are the image's, after usr-merge and diversions.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    packages: Vec<String>,
    by_path: BTreeMap<TreePath, Vec<usize>>,
}

impl Owners {
    pub(super) fn new(packages: &[&PackageTree]) -> Self {
        let name = |package: &&PackageTree| package.control.package().to_owned();
        Self {
            packages: packages.iter().map(name).collect(),
            by_path: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, path: &TreePath, owners: &[usize]) {
        let mut owners = owners.to_vec();
        owners.dedup(); // a package may ship `lib/x` and `usr/lib/x`
        self.by_path.insert(path.clone(), owners);
    }

    /// The packages that own `path`: several for folders and shared files, none for what no package ships.
    pub fn of(&self, path: &str) -> impl Iterator<Item = &str> {
        let owners = self.by_path.get(path).map(Vec::as_slice).unwrap_or_default();
        owners
            .iter()
            .filter_map(|&index| self.packages.get(index))
            .map(String::as_str)
    }

    /// All paths with their owners, by bytes of the path.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, Vec<&str>)> {
        self.by_path
            .keys()
            .map(|path| (path, self.of(path.as_str()).collect()))
    }

    /// Per package name, the paths that it owns, folders included, by bytes of the path. The root isn't among them.
    #[must_use]
    pub fn by_package(&self) -> BTreeMap<&str, Vec<&TreePath>> {
        let mut lists: BTreeMap<&str, Vec<&TreePath>> = self
            .packages
            .iter()
            .map(|name| (name.as_str(), Vec::new()))
            .collect();
        for path in self.by_path.keys().filter(|path| !path.is_root()) {
            for package in self.of(path.as_str()) {
                lists.entry(package).or_default().push(path);
            }
        }
        lists
    }
}
