//! The boot payload: `outcrop-init` and the modules that lead to the disk as an initramfs, with the kernel in a UKI.

use std::{collections::BTreeSet, io};

use outcrop_release::arch::Architecture;

use super::PipelineError;
use crate::{
    boot::{
        guard::{ENVIRONMENT_PATH, environment},
        initramfs::Initramfs,
    },
    error::Error,
    recipe::schema::Boot,
    tree::{Content, Node, Tree, TreePath},
};

/// Folders of the initramfs that `outcrop-init` mounts on.
const FOLDERS: [&str; 5] = ["dev", "proc", "run", "sys", "sysroot"];
/// The first console: major and minor number.
const CONSOLE: (u32, u32) = (5, 1);

/// The initramfs, compressed: `/init` and the files of `modules`.
pub(super) fn initramfs(init: Content, modules: &[(TreePath, Content)]) -> Result<Vec<u8>, Error> {
    let mut archive = Initramfs::new();
    for folder in FOLDERS {
        archive.directory(folder, 0o755)?;
    }
    archive.character_device("dev/console", 0o600, CONSOLE)?;
    archive.file("init", 0o755, init)?;
    archive.symlink("lib", "usr/lib")?;
    for folder in folders_of(modules) {
        archive.directory(folder.as_str(), 0o755)?;
    }
    for (path, content) in modules {
        archive.file(path.as_str(), 0o644, content.clone())?;
    }
    // One processor is busy with the image's digest meanwhile.
    Ok(archive.compress(super::threads().saturating_sub(1).max(1))?)
}

/// All folders that lead to the files, parents first.
fn folders_of(files: &[(TreePath, Content)]) -> BTreeSet<TreePath> {
    let mut folders = BTreeSet::new();
    for (path, _) in files {
        let mut next = path.parent();
        while let Some(folder) = next.filter(|folder| !folder.is_root()) {
            next = folder.parent();
            folders.insert(folder);
        }
    }
    folders
}

/// What is taken from the packages that are locked for booting: systemd's loader and stub, EFI Boot Guard.
#[derive(Debug)]
pub(super) struct LoaderFiles {
    /// What partition 1 gets beside the slots: paths and contents, the one that the firmware starts first.
    pub(super) loaders: Vec<(String, Vec<u8>)>,
    /// `linux{x64,aa64}.efi.stub`.
    pub(super) stub: Vec<u8>,
}

impl LoaderFiles {
    /// Finds them in the tree of the boot packages.
    pub(super) fn find(tree: &Tree, architecture: Architecture, boot: Boot) -> Result<Self, Error> {
        let suffix = architecture.efi();
        let file = |package, path: String| {
            let content = match tree.get(&path).map(|entry| &entry.node) {
                Some(Node::File(content, _)) => content.read(),
                _ => Err(io::ErrorKind::NotFound.into()),
            };
            content.map_err(|source| {
                Error::from(PipelineError::Loader {
                    path,
                    package,
                    source,
                })
            })
        };
        let systemd = |name| file("systemd-boot-efi", format!("usr/lib/systemd/boot/efi/{name}"));
        let first = format!("EFI/BOOT/BOOT{}.EFI", suffix.to_uppercase());
        let loader = systemd(format!("systemd-boot{suffix}.efi"))?;
        let loaders = match boot.watchdog {
            None => vec![(first, loader)],
            Some(limit) => {
                let second = format!("EFI/systemd/systemd-boot{suffix}.efi");
                let guard = format!("usr/lib/x86_64-linux-gnu/efibootguard/efibootguard{suffix}.efi");
                vec![
                    (first, file("efibootguard", guard)?),
                    (ENVIRONMENT_PATH.to_owned(), environment(&second, limit)),
                    (second, loader),
                ]
            }
        };
        Ok(Self {
            loaders,
            stub: systemd(format!("linux{suffix}.efi.stub"))?,
        })
    }
}
