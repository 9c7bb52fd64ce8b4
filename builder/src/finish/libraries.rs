//! Shared libraries outside the folders that ld.so knows by itself.
//!
//! glibc's ld.so searches the multiarch folders and /usr/lib without a cache, and `ldconfig` would have to run. So no
//! image has /etc/ld.so.cache; a package that relies on a folder of its own in /etc/ld.so.conf.d is refused, because
//! its programs would not start.

use outcrop_release::arch::Architecture;

use super::{edit, error::FinishError};
use crate::tree::{Tree, TreePath};

/// Checks that every configured folder is one of ld.so's own, absent or without libraries; removes stale caches.
///
/// # Errors
/// When a folder with libraries would need the cache.
pub(super) fn run(tree: &mut Tree, architecture: Architecture) -> Result<(), FinishError> {
    edit::remove(tree, "etc/ld.so.cache")?;
    edit::remove(tree, "var/cache/ldconfig")?;
    for path in edit::names_in(tree, "etc/ld.so.conf.d", ".conf") {
        let path: TreePath = format!("etc/ld.so.conf.d/{path}")
            .parse()
            .map_err(FinishError::Path)?;
        let text = edit::read_text(tree, &path)?.unwrap_or_default();
        for folder in text.lines().map(str::trim).filter(|line| line.starts_with('/')) {
            let folder = edit::tree_path(folder)?;
            if !built_in(folder.as_str(), architecture) && has_libraries(tree, &folder) {
                return Err(FinishError::Check(format!(
                    "{path} adds the library folder {folder}, which needs an ld.so cache; images have none"
                )));
            }
        }
    }
    Ok(())
}

fn built_in(folder: &str, architecture: Architecture) -> bool {
    let multiarch = architecture.multiarch();
    ["lib", "usr/lib", "lib64", "usr/lib64"].contains(&folder)
        || folder == format!("usr/lib/{multiarch}")
        || folder == format!("lib/{multiarch}")
}

fn has_libraries(tree: &Tree, folder: &TreePath) -> bool {
    tree.children(folder)
        .any(|(path, _)| path.file_name().is_some_and(|name| name.contains(".so")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    #[test]
    fn debians_own_configuration_needs_no_cache() {
        let mut tree = testing::tree(&[
            ("etc/ld.so.conf.d/libc.conf", "# x\n/usr/local/lib\n"),
            (
                "etc/ld.so.conf.d/x86_64-linux-gnu.conf",
                "/usr/local/lib/x86_64-linux-gnu\n/lib/x86_64-linux-gnu\n",
            ),
            ("usr/lib/x86_64-linux-gnu/libc.so.6", ""),
            ("var/cache/ldconfig/aux-cache", "stale"),
        ]);
        run(&mut tree, Architecture::X86_64).unwrap();
        assert!(!tree.contains("var/cache/ldconfig"));
    }

    #[test]
    fn a_folder_that_needs_the_cache_is_refused_by_its_path() {
        let mut tree = testing::tree(&[
            ("etc/ld.so.conf.d/x.conf", "/usr/lib/x\n"),
            ("usr/lib/x/libx.so.1", ""),
        ]);
        let error = run(&mut tree, Architecture::X86_64).unwrap_err().to_string();
        assert!(
            error.contains("/etc/ld.so.conf.d/x.conf adds the library folder /usr/lib/x"),
            "{error}"
        );
    }
}
