//! The boot payload: `outcrop-init` and the modules that lead to the disk as an initramfs, with the kernel in a UKI.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use include_dir::{Dir, include_dir};
use outcrop_release::{arch::Architecture, uboot};

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

/// The initramfs: `/init` and the files of `modules`.
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
    Ok(archive.to_bytes()?)
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

/// Static files of partition 1 of board `rpi`.
static RPI: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../images/rpi/partition-1");
/// Firmware files of board `rpi`, from the package `raspi-firmware`: the first boot loader (Pi 3), and program and memory layout of the
/// GPU for Pi 3 and Pi 4. Source: Raspberry Pi documentation, "Boot folder contents".
const RPI_FIRMWARE: [&str; 5] = [
    "bootcode.bin",
    "start.elf",
    "fixup.dat",
    "start4.elf",
    "fixup4.dat",
];
/// Where that package has them.
const RPI_FIRMWARE_FOLDER: &str = "usr/lib/raspi-firmware";
/// U-Boot for all 64-bit Raspberry Pis.
const RPI_U_BOOT: &str = "usr/lib/u-boot/rpi_arm64/u-boot.bin";
/// What `config.txt` calls it.
const RPI_U_BOOT_NAME: &str = "u-boot.bin";
/// Device trees of the boards, below the kernel's own folder: one path a line.
const RPI_DEVICE_TREES: &str = include_str!("../../../images/rpi/device-trees.txt");

/// The device trees that board `rpi` wants, of those that came with the kernel.
pub(super) fn rpi_device_trees(found: &BTreeMap<String, Content>) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let names = RPI_DEVICE_TREES.lines().map(str::trim);
    let wanted = names.filter(|name| !name.is_empty() && !name.starts_with('#'));
    wanted
        .map(|name| {
            let bytes = found
                .get(name)
                .map_or_else(|| Err(io::ErrorKind::NotFound.into()), Content::read);
            let bytes = bytes.map_err(|source| PipelineError::Loader {
                path: name.to_owned(),
                package: "linux-image",
                source,
            })?;
            Ok((name.to_owned(), bytes))
        })
        .collect()
}

/// The files of partition 1 of board `rpi`.
pub(super) fn rpi_loaders(
    tree: &Tree,
    device_trees: &[(String, Vec<u8>)],
) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut files = Vec::new();
    for name in RPI_FIRMWARE {
        let path = format!("{RPI_FIRMWARE_FOLDER}/{name}");
        files.push((name.to_owned(), boot_file(tree, "raspi-firmware", path)?));
    }
    files.push((
        RPI_U_BOOT_NAME.to_owned(),
        boot_file(tree, "u-boot-rpi", RPI_U_BOOT.to_owned())?,
    ));
    // The firmware looks for its board's among all of them, and hands it to U-Boot.
    files.extend(device_trees.iter().map(|(path, bytes)| {
        let name = path.rsplit('/').next().unwrap_or(path);
        (name.to_owned(), bytes.clone())
    }));
    let script = uboot::script_image("Outcrop", &uboot::boot_script());
    files.push((uboot::file::SCRIPT.to_owned(), script));
    files.extend(RPI.files().map(|file| {
        let name = file.path().to_string_lossy().into_owned();
        (name, file.contents().to_vec())
    }));
    Ok(files)
}

/// A file of a package that is locked for booting.
fn boot_file(tree: &Tree, package: &'static str, path: String) -> Result<Vec<u8>, Error> {
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
}

/// What is taken from the packages that are locked for booting board `efi`: systemd's loader and stub, EFI Boot Guard.
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
        let file = |package, path| boot_file(tree, package, path);
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
