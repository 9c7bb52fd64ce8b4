//! The tables that `depmod` writes: which file a module is, what it needs first, and which devices it is for.

use std::collections::{BTreeMap, BTreeSet};

use super::pattern;

/// Name of a module with `_` for every `-`, as the kernel shows it in `/proc/modules`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleName(String);

impl ModuleName {
    /// The name as `modules.dep`, a file name without `.ko`, or a person writes it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.replace('-', "_"))
    }

    /// Name of the module in the file `path`, if that ends in `.ko`.
    fn of_file(path: &str) -> Option<Self> {
        let file = path.rsplit('/').next()?;
        Some(Self::new(file.strip_suffix(".ko")?))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ModuleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One module to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The module.
    pub name: ModuleName,
    /// Its file, relative to the modules' folder.
    pub path: String,
    /// Whether what was asked for can't work without it. Soft dependencies may fail: most are faster versions for
    /// processors that this one may not be.
    pub needed: bool,
}

#[derive(Debug)]
struct File {
    path: String,
    /// In the order in which `modules.dep` has them: the last one is loaded first.
    needs: Vec<ModuleName>,
}

/// All tables of one kernel's modules. Lines that don't have the form of their file are passed over, as modprobe does.
/// Source: kmod, `modules.dep(5)`, `modprobe.d(5)`.
#[derive(Debug, Default)]
pub struct ModuleIndex {
    files: BTreeMap<ModuleName, File>,
    aliases: Vec<(String, ModuleName)>,
    soft: BTreeMap<ModuleName, Vec<String>>,
    builtin: BTreeSet<ModuleName>,
}

impl ModuleIndex {
    /// Reads the texts of `modules.dep`, `modules.alias`, `modules.softdep` and `modules.builtin`.
    #[must_use]
    pub fn parse(dep: &str, alias: &str, softdep: &str, builtin: &str) -> Self {
        Self {
            files: dep.lines().filter_map(parse_dep).collect(),
            aliases: alias.lines().filter_map(parse_alias).collect(),
            soft: softdep.lines().filter_map(parse_soft).collect(),
            builtin: builtin.lines().filter_map(ModuleName::of_file).collect(),
        }
    }

    /// Whether the kernel has the module inside it.
    #[must_use]
    pub fn is_builtin(&self, name: &ModuleName) -> bool {
        self.builtin.contains(name)
    }

    /// The modules for a device, or for another alias such as `crypto-crc32c`, in the order of `modules.alias`.
    #[must_use]
    pub fn for_alias(&self, modalias: &str) -> Vec<ModuleName> {
        let mut found = Vec::new();
        for (pattern, name) in &self.aliases {
            if pattern::matches(pattern, modalias) && !found.contains(name) {
                found.push(name.clone());
            }
        }
        found
    }

    /// What has to be loaded for `name`, itself last; nothing when it is unknown or built in.
    ///
    /// Dependencies that call each other in a circle are each named once.
    #[must_use]
    pub fn closure(&self, name: &ModuleName) -> Vec<Load> {
        let mut order = Vec::new();
        self.visit(name, true, &mut BTreeSet::new(), &mut order);
        order
    }

    fn visit(&self, name: &ModuleName, needed: bool, seen: &mut BTreeSet<ModuleName>, order: &mut Vec<Load>) {
        let Some(file) = self.files.get(name) else { return };
        if !seen.insert(name.clone()) {
            return;
        }
        for soft in self.soft.get(name).into_iter().flatten() {
            for target in self.named_or_alias(soft) {
                self.visit(&target, false, seen, order);
            }
        }
        for dependency in file.needs.iter().rev() {
            self.visit(dependency, needed, seen, order);
        }
        order.push(Load {
            name: name.clone(),
            path: file.path.clone(),
            needed,
        });
    }

    /// What a soft dependency means: aliases first, as for modprobe, then the module of that name.
    fn named_or_alias(&self, text: &str) -> Vec<ModuleName> {
        let found = self.for_alias(text);
        if found.is_empty() {
            vec![ModuleName::new(text)]
        } else {
            found
        }
    }
}

/// `PATH: PATH...`
fn parse_dep(line: &str) -> Option<(ModuleName, File)> {
    let (path, needs) = line.split_once(':')?;
    let needs = needs
        .split_ascii_whitespace()
        .filter_map(ModuleName::of_file)
        .collect();
    let path = path.to_owned();
    Some((ModuleName::of_file(&path)?, File { path, needs }))
}

/// `alias PATTERN MODULE`
fn parse_alias(line: &str) -> Option<(String, ModuleName)> {
    let mut words = line.strip_prefix("alias ")?.split_ascii_whitespace();
    let (pattern, module) = (words.next()?, words.next()?);
    Some((pattern.to_owned(), ModuleName::new(module)))
}

/// `softdep MODULE [pre: NAME...] [post: NAME...]`; only `pre:` counts here.
fn parse_soft(line: &str) -> Option<(ModuleName, Vec<String>)> {
    let (module, rest) = line.strip_prefix("softdep ")?.split_once(' ')?;
    let pre = rest.split_once("pre:")?.1;
    let pre = pre.split("post:").next()?.split_ascii_whitespace();
    Some((ModuleName::new(module), pre.map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEP: &str = "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko\n\
        kernel/fs/jbd2/jbd2.ko:\n\
        kernel/lib/crc16.ko:\n\
        kernel/crypto/crc32c_generic.ko:\n\
        kernel/arch/x86/crypto/crc32c-intel.ko:\n\
        kernel/drivers/block/virtio_blk.ko:\n\
        kernel/a.ko: kernel/b.ko\n\
        kernel/b.ko: kernel/a.ko\n";
    const ALIAS: &str = "# Aliases\nalias virtio:d00000002v* virtio_blk\n\
        alias crypto-crc32c crc32c_intel\nalias crypto-crc32c crc32c_generic\nalias broken\n";
    const SOFT: &str = "softdep ext4 pre: crypto-crc32c post: b\nsoftdep cifs gcm\n";

    fn index() -> ModuleIndex {
        ModuleIndex::parse(DEP, ALIAS, SOFT, "kernel/drivers/virtio/virtio-pci.ko\n")
    }

    fn names(loads: &[Load]) -> Vec<(&str, bool)> {
        loads
            .iter()
            .map(|load| (load.name.as_str(), load.needed))
            .collect()
    }

    #[test]
    fn soft_dependencies_come_first_and_may_fail_hard_ones_may_not() {
        let loads = index().closure(&ModuleName::new("ext4"));
        assert_eq!(
            names(&loads),
            [
                ("crc32c_intel", false),
                ("crc32c_generic", false),
                ("crc16", true),
                ("jbd2", true),
                ("ext4", true)
            ]
        );
        assert_eq!(loads[0].path, "kernel/arch/x86/crypto/crc32c-intel.ko");
    }

    #[test]
    fn a_circle_of_dependencies_ends() {
        assert_eq!(
            names(&index().closure(&ModuleName::new("a"))),
            [("b", true), ("a", true)]
        );
    }

    #[test]
    fn a_device_finds_its_module_and_an_unknown_one_finds_none() {
        let index = index();
        assert_eq!(
            index.for_alias("virtio:d00000002v00001AF4"),
            [ModuleName::new("virtio_blk")]
        );
        assert!(index.for_alias("pci:v0d0").is_empty());
        assert!(index.closure(&ModuleName::new("nothing")).is_empty());
    }

    #[test]
    fn dashes_and_underscores_are_one_in_names() {
        assert!(index().is_builtin(&ModuleName::new("virtio_pci")));
        assert!(!index().is_builtin(&ModuleName::new("ext4")));
    }

    proptest! {
        #[test]
        fn no_table_makes_the_reader_panic_or_loop(
            dep in "([a-c]\\.ko: ?([a-c]\\.ko ?){0,3}\n){0,6}", soft in "(softdep [a-c] pre: [a-c] [a-c]\n){0,4}", junk: String,
        ) {
            let index = ModuleIndex::parse(&(dep + &junk), &junk, &(soft + &junk), &junk);
            for name in ["a", "b", "c"] {
                let loads = index.closure(&ModuleName::new(name));
                prop_assert!(loads.len() <= 3);
            }
        }
    }
}
