//! The disk of a scenario: starts as the image, keeps what the guest writes from boot to boot.

use std::{
    env,
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use outcrop_builder::run::{machine::DiskBackend, overlay};
use tempfile::TempDir;

use crate::error::Error;

/// A disk in a folder of its own, removed with it. The image that it comes from is never written to.
#[derive(Debug)]
pub struct Disk {
    folder: TempDir,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Overlay(PathBuf),
    Copy(PathBuf),
    BadSector(PathBuf, u64),
}

impl Disk {
    /// An overlay of `image`: made at once, whatever the image's size.
    ///
    /// # Errors
    /// When `qemu-img` fails.
    pub fn overlay(image: &Path) -> Result<Self, Error> {
        let folder = folder()?;
        let path = folder.path().join("disk.qcow2");
        overlay::create(image, &path)?;
        Ok(Self {
            folder,
            kind: Kind::Overlay(path),
        })
    }

    /// A raw copy of `image` (holes stay holes), for scenarios that damage or measure it from outside.
    ///
    /// # Errors
    /// When it can't be copied.
    pub fn copy(image: &Path) -> Result<Self, Error> {
        let folder = folder()?;
        let path = folder.path().join("disk.img");
        let status = Command::new("cp")
            .arg("--sparse=always")
            .args([image, &path])
            .status();
        match status.map_err(Error::io("start cp"))? {
            status if status.success() => Ok(Self {
                folder,
                kind: Kind::Copy(path),
            }),
            status => Err(Error::io("copy the image")(std::io::Error::other(
                status.to_string(),
            ))),
        }
    }

    /// A raw disk of `bytes` on which nothing is.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn empty(bytes: u64) -> Result<Self, Error> {
        let folder = folder()?;
        let path = folder.path().join("disk.img");
        File::create(&path)
            .and_then(|file| file.set_len(bytes))
            .map_err(Error::io("make an empty disk"))?;
        Ok(Self {
            folder,
            kind: Kind::Copy(path),
        })
    }

    /// A card or disk of `bytes` onto which `outcrop flash` has put `image` and a device's `configuration`.
    ///
    /// # Errors
    /// When it can't be flashed.
    pub fn flashed(image: &Path, configuration: &str, bytes: u64) -> Result<Self, Error> {
        let folder = folder()?;
        let path = folder.path().join("disk.img");
        let device = folder.path().join("device.toml");
        fs::write(&device, configuration).map_err(Error::io("write device.toml"))?;
        File::create(&path)
            .and_then(|file| file.set_len(bytes))
            .map_err(Error::io("make an empty disk"))?;
        let outcrop = env::var_os("OUTCROP").ok_or_else(|| {
            Error::io("find the program that OUTCROP names, as `cargo xtask test` sets it")(
                std::io::ErrorKind::NotFound.into(),
            )
        })?;
        let status = Command::new(outcrop)
            .args(["flash", "--quiet", "--unsigned", "--yes", "--verify"])
            .args([image, &path])
            .arg("--device")
            .arg(&device)
            .status();
        match status.map_err(Error::io("start outcrop flash"))? {
            status if status.success() => Ok(Self {
                folder,
                kind: Kind::Copy(path),
            }),
            status => Err(Error::io("flash the image")(std::io::Error::other(
                status.to_string(),
            ))),
        }
    }

    /// This raw copy with a 512-byte sector that can't be read: the guest gets EIO.
    ///
    /// # Panics
    /// When the disk is an overlay: a scenario's mistake.
    #[must_use]
    pub fn with_bad_sector(self, sector: u64) -> Self {
        let kind = match self.kind {
            Kind::Copy(path) | Kind::BadSector(path, _) => Kind::BadSector(path, sector),
            Kind::Overlay(_) => unreachable!("a bad sector needs a raw copy"),
        };
        Self {
            folder: self.folder,
            kind,
        }
    }

    /// The raw file of a copy; none for an overlay.
    #[must_use]
    pub fn raw(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Copy(path) | Kind::BadSector(path, _) => Some(path),
            Kind::Overlay(_) => None,
        }
    }

    /// Makes a raw copy longer, as a card larger than its image is.
    ///
    /// # Errors
    /// When the file can't be changed.
    pub fn grow(&self, bytes: u64) -> Result<(), Error> {
        self.file()?.set_len(bytes).map_err(Error::io("grow the disk"))
    }

    /// Overwrites bytes of a raw copy.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.file()?
            .write_all_at(bytes, offset)
            .map_err(Error::io("write to the disk"))
    }

    /// Reads bytes of a raw copy.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; length];
        self.file()?
            .read_exact_at(&mut bytes, offset)
            .map_err(Error::io("read the disk"))?;
        Ok(bytes)
    }

    fn file(&self) -> Result<File, Error> {
        let Some(path) = self.raw() else {
            return Err(Error::io("open the disk")(std::io::Error::other(
                "an overlay has no raw bytes",
            )));
        };
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(Error::io("open the disk"))
    }

    pub(crate) fn backend(&self) -> DiskBackend {
        match &self.kind {
            Kind::Overlay(path) => DiskBackend::Qcow2(path.clone()),
            Kind::Copy(path) => DiskBackend::Raw(path.clone()),
            Kind::BadSector(path, sector) => DiskBackend::RawWithBadSector(path.clone(), *sector),
        }
    }

    /// Where the scenario may put more files of this machine (firmware variables live here).
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn folder() -> Result<TempDir, Error> {
    tempfile::tempdir().map_err(Error::io("create a scenario's folder"))
}
