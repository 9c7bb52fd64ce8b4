//! Which file of an older release a file of a newer one comes from, told by their names alone.
//!
//! Most files keep their paths. Those of a kernel move with its version (`usr/lib/modules/6.12.48+deb13-amd64/…`), and
//! libraries, Python packages and the like carry versions in their names. Who wants to know what a file was before (the
//! writer that keeps files where they were, the maker of patches) asks here. A partner is a hint: it may have nothing
//! in common with the file but its name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::tree::TreePath;

/// Where kernels have their modules: one folder for each version.
const MODULES: &str = "usr/lib/modules/";

/// The partners of a newer tree's paths in an older one. Every path is the partner of at most one.
#[derive(Debug)]
pub(crate) struct Partners<'p> {
    /// Only looked up, never iterated.
    old_of: HashMap<&'p TreePath, &'p TreePath>,
}

impl<'p> Partners<'p> {
    /// Finds the partners: first the same paths; then those that differ in a kernel's version; then those that differ in
    /// numbers, where exactly one path of each tree would do.
    pub(crate) fn new(
        old: impl Iterator<Item = &'p TreePath>,
        new: impl Iterator<Item = &'p TreePath>,
    ) -> Self {
        let mut search = Search::new(old, new);
        search.kernels();
        search.versions();
        Self {
            old_of: search.old_of,
        }
    }

    /// The partner of a path of the newer tree; none when nothing there goes by its name.
    pub(crate) fn partner(&self, new: &TreePath) -> Option<&'p TreePath> {
        self.old_of.get(new).copied()
    }
}

/// What is found, and what still has no partner.
struct Search<'p> {
    old_of: HashMap<&'p TreePath, &'p TreePath>,
    old: BTreeMap<&'p str, &'p TreePath>,
    new: BTreeMap<&'p str, &'p TreePath>,
    /// Versions of kernels that only the older tree has, and those that only the newer one has.
    kernels: (BTreeSet<&'p str>, BTreeSet<&'p str>),
}

impl<'p> Search<'p> {
    fn new(old: impl Iterator<Item = &'p TreePath>, new: impl Iterator<Item = &'p TreePath>) -> Self {
        let by_text = |path: &'p TreePath| (path.as_str(), path);
        let mut old: BTreeMap<_, _> = old.map(by_text).collect();
        let mut new: BTreeMap<_, _> = new.map(by_text).collect();
        let (before, after) = (kernel_versions(&old), kernel_versions(&new));
        let mut old_of = HashMap::new();
        new.retain(|text, path| match old.remove(text) {
            Some(partner) => old_of.insert(*path, partner).is_some(),
            None => true,
        });
        Self {
            old_of,
            old,
            new,
            kernels: (
                before.difference(&after).copied().collect(),
                after.difference(&before).copied().collect(),
            ),
        }
    }

    /// Pairs what differs in nothing but a kernel's version.
    fn kernels(&mut self) {
        for (before, after) in pair_kernels(&self.kernels.0, &self.kernels.1) {
            let renamed: Vec<(&'p TreePath, String)> = self
                .new
                .iter()
                .filter(|(text, _)| text.contains(after))
                .map(|(text, path)| (*path, text.replace(after, before)))
                .collect();
            for (new, text) in renamed {
                if let Some(old) = self.old.get(text.as_str()).copied() {
                    self.pair(old, new);
                }
            }
        }
    }

    /// Pairs what differs in nothing but numbers, where that leaves no choice.
    fn versions(&mut self) {
        let (old, new) = (by_skeleton(&self.old), by_skeleton(&self.new));
        for (skeleton, found) in new {
            if let (Some(new), Some(Some(old))) = (found, old.get(&skeleton)) {
                self.pair(old, new);
            }
        }
    }

    fn pair(&mut self, old: &'p TreePath, new: &'p TreePath) {
        self.old.remove(old.as_str());
        self.new.remove(new.as_str());
        self.old_of.insert(new, old);
    }
}

/// The kernels that have modules among `paths`.
fn kernel_versions<'p>(paths: &BTreeMap<&'p str, &'p TreePath>) -> BTreeSet<&'p str> {
    paths
        .range(MODULES..)
        .map_while(|(text, _)| text.strip_prefix(MODULES))
        .filter_map(|rest| rest.split('/').next())
        .collect()
}

/// Which kernel became which: by their names without numbers, or because there is only one of each.
fn pair_kernels<'p>(old: &BTreeSet<&'p str>, new: &BTreeSet<&'p str>) -> Vec<(&'p str, &'p str)> {
    if let (Some(before), 1, Some(after), 1) = (old.first(), old.len(), new.first(), new.len()) {
        return vec![(before, after)];
    }
    let only = |kernels: &BTreeSet<&'p str>, name: &str| {
        let mut found = kernels.iter().filter(|kernel| skeleton(kernel) == name);
        found.next().copied().filter(|_| found.next().is_none())
    };
    let unique = |after: &&'p str| {
        let name = skeleton(after);
        Some((only(old, &name)?, only(new, &name)?))
    };
    new.iter().filter_map(unique).collect()
}

/// Paths by what is left of them without numbers; none where several have that in common.
fn by_skeleton<'p>(paths: &BTreeMap<&'p str, &'p TreePath>) -> BTreeMap<String, Option<&'p TreePath>> {
    let mut found = BTreeMap::new();
    for (text, path) in paths {
        found
            .entry(skeleton(text))
            .and_modify(|only| *only = None)
            .or_insert(Some(*path));
    }
    found
}

/// `text` with one `#` for each number, `1.2.3` being one.
fn skeleton(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let within = out.ends_with('#');
        let digit_follows = rest.peek().is_some_and(char::is_ascii_digit);
        match c {
            '0'..='9' if within => {}
            '0'..='9' => out.push('#'),
            '.' if within && digit_follows => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(texts: &[&str]) -> Vec<TreePath> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// The pairs, as `old -> new`, in the order of `new`.
    fn pairs(old: &[&str], new: &[&str]) -> Vec<String> {
        let (old, new) = (paths(old), paths(new));
        let partners = Partners::new(old.iter(), new.iter());
        let pair = |new: &TreePath| Some(format!("{} -> {new}", partners.partner(new)?));
        new.iter().filter_map(pair).collect()
    }

    #[test]
    fn the_same_path_is_the_partner_whatever_else_looks_like_it() {
        let both = ["usr/lib/libx.so.1", "usr/lib/libx.so.2"];
        assert_eq!(
            pairs(&both, &both),
            [
                "/usr/lib/libx.so.1 -> /usr/lib/libx.so.1",
                "/usr/lib/libx.so.2 -> /usr/lib/libx.so.2"
            ]
        );
    }

    #[test]
    fn a_kernel_s_files_move_with_its_version_also_where_they_have_numbers_of_their_own() {
        let files = [
            "boot/config-6.12.48+deb13-amd64",
            "usr/lib/modules/6.12.48+deb13-amd64",
            "usr/lib/modules/6.12.48+deb13-amd64/kernel/crc16.ko",
            "usr/lib/modules/6.12.48+deb13-amd64/kernel/crc32.ko",
        ];
        let renamed = files.map(|file| file.replace("6.12.48", "6.12.57"));
        let renamed: Vec<&str> = renamed.iter().map(String::as_str).collect();
        let wanted: Vec<String> = files
            .iter()
            .zip(&renamed)
            .map(|(old, new)| format!("/{old} -> /{new}"))
            .collect();
        assert_eq!(pairs(&files, &renamed), wanted);
    }

    #[test]
    fn two_kernels_are_told_apart_by_their_flavour() {
        let old = [
            "usr/lib/modules/6.1-amd64/a.ko",
            "usr/lib/modules/6.1-rt-amd64/a.ko",
        ];
        let new = [
            "usr/lib/modules/6.2-amd64/a.ko",
            "usr/lib/modules/6.2-rt-amd64/a.ko",
        ];
        let found = pairs(&old, &new);
        assert_eq!(found.len(), 2);
        assert!(
            found.iter().all(|pair| pair.matches("-rt-").count() != 1),
            "{found:?}"
        );
    }

    #[test]
    fn a_version_in_a_name_may_differ_when_that_leaves_no_choice() {
        let old = [
            "lib/libfoo.so.1.2.3",
            "py/six-1.16.dist-info/METADATA",
            "lib/libbar.so.1",
            "lib/libbar.so.2",
        ];
        let new = [
            "lib/libfoo.so.1.2.14",
            "py/six-1.17.0.dist-info/METADATA",
            "lib/libbar.so.3",
        ];
        assert_eq!(
            pairs(&old, &new),
            [
                "/lib/libfoo.so.1.2.3 -> /lib/libfoo.so.1.2.14",
                "/py/six-1.16.dist-info/METADATA -> /py/six-1.17.0.dist-info/METADATA"
            ]
        );
    }

    #[test]
    fn no_path_has_two_partners() {
        assert_eq!(pairs(&["a1"], &["a2", "a3"]), Vec::<String>::new());
        assert_eq!(pairs(&["a1", "a2"], &["a2", "a3"]), ["/a2 -> /a2", "/a1 -> /a3"]);
    }
}
