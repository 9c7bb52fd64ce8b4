//! What a kernel module says about itself.
//!
//! Sources: Linux `include/linux/module.h` (`MODULE_INFO`: NUL-terminated `key=value` texts in section `.modinfo`) and
//! `include/linux/export.h` (a symbol `__ksymtab_NAME` for every exported NAME).

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

/// The facts of one module that the tables are made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ModuleInfo {
    /// Names of the modules that it uses symbols of.
    pub(super) depends: Vec<String>,
    /// Names that it can be asked for by: device patterns and others.
    pub(super) aliases: Vec<String>,
    /// `pre: a b post: c`.
    pub(super) softdeps: Vec<String>,
    /// Names of modules that it may load.
    pub(super) weakdeps: Vec<String>,
    /// Symbols that it exports.
    pub(super) symbols: Vec<String>,
}

impl ModuleInfo {
    /// Reads an uncompressed module.
    ///
    /// # Errors
    /// What is wrong with it, as text.
    pub(super) fn read(elf: &[u8]) -> Result<Self, String> {
        let file = object::File::parse(elf).map_err(|error| error.to_string())?;
        let section = file
            .section_by_name(".modinfo")
            .ok_or("it has no section .modinfo")?;
        let mut info = Self::default();
        for text in section
            .data()
            .map_err(|error| error.to_string())?
            .split(|byte| *byte == 0)
        {
            let text = std::str::from_utf8(text).unwrap_or_default();
            if let Some((key, value)) = text.split_once('=') {
                info.set(key, value);
            }
        }
        let exported = file
            .symbols()
            .filter_map(|symbol| symbol.name().ok()?.strip_prefix("__ksymtab_"));
        info.symbols = exported.map(str::to_owned).collect();
        info.symbols.sort();
        info.symbols.dedup();
        Ok(info)
    }

    fn set(&mut self, key: &str, value: &str) {
        match key {
            "alias" => self.aliases.push(value.to_owned()),
            "softdep" => self.softdeps.push(value.to_owned()),
            "weakdep" => self.weakdeps.push(value.to_owned()),
            "depends" => {
                let names = value.split(',').filter(|name| !name.is_empty());
                self.depends.extend(names.map(name_of));
            }
            _ => {}
        }
    }
}

/// A module's name as the kernel says it: of a file name or a name that people write, with `_` for `-`.
pub(super) fn name_of(text: &str) -> String {
    let file = text.rsplit('/').next().unwrap_or(text);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

/// An alias in the form that it is looked up in: `_` for `-`, except inside brackets. None when brackets don't match.
pub(super) fn normalized_alias(alias: &str) -> Option<String> {
    let mut inside = false;
    let mut result = String::with_capacity(alias.len());
    for c in alias.chars() {
        match c {
            '[' if inside => return None,
            ']' if !inside => return None,
            '[' | ']' => inside = !inside,
            _ => {}
        }
        result.push(if c == '-' && !inside { '_' } else { c });
    }
    (!inside).then_some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_take_underscores_but_not_inside_brackets() {
        assert_eq!(name_of("kernel/drivers/virtio-blk.ko.xz"), "virtio_blk");
        assert_eq!(
            normalized_alias("crypto-sha-256").as_deref(),
            Some("crypto_sha_256")
        );
        assert_eq!(normalized_alias("usb:v[0-9]-x").as_deref(), Some("usb:v[0-9]_x"));
        assert_eq!((normalized_alias("a[b"), normalized_alias("a]b")), (None, None));
    }

    #[test]
    fn what_is_no_module_is_told() {
        assert!(ModuleInfo::read(b"hello").is_err());
    }
}
