//! The mounts that `outcrop-init` makes, each with its options and their reason.

use std::{
    ffi::CStr,
    fs, io,
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    mount::{MountFlags, mount, mount_move},
};

/// A mount that can't be made.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The folder to mount on.
    #[error("make folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The mount itself.
    #[error("mount {what} ({kind}) on {at}")]
    Mount {
        /// Device, or name of a file system without one.
        what: String,
        /// Type of the file system.
        kind: &'static str,
        /// Where.
        at: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Taking a mount along.
    #[error("move the mount of {from} to {to}")]
    Move {
        /// From.
        from: PathBuf,
        /// To.
        to: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl MountError {
    /// The kernel's or file system's answer.
    #[must_use]
    pub fn into_io(self) -> io::Error {
        match self {
            Self::Folder { source, .. } | Self::Mount { source, .. } | Self::Move { source, .. } => source,
        }
    }
}

/// One mount.
#[derive(Debug)]
pub struct Mount<'a> {
    /// Device, or name of a file system without one.
    pub what: &'a str,
    /// Type of the file system.
    pub kind: &'static str,
    /// Where; made if it is missing.
    pub at: &'a Path,
    /// Options that every file system has.
    pub flags: MountFlags,
    /// Options of this type.
    pub options: &'a CStr,
}

impl Mount<'_> {
    /// Mounts it.
    ///
    /// # Errors
    /// The kernel's answer, with what was to be mounted where.
    pub fn make(&self) -> Result<(), MountError> {
        if !self.at.is_dir() {
            fs::create_dir_all(self.at).map_err(|source| MountError::Folder {
                path: self.at.to_owned(),
                source,
            })?;
        }
        mount(self.what, self.at, self.kind, self.flags, self.options).map_err(|errno| MountError::Mount {
            what: self.what.to_owned(),
            kind: self.kind,
            at: self.at.to_owned(),
            source: errno.into(),
        })
    }
}

/// File systems that the kernel makes, in the order in which they are mounted. The options are systemd's, which finds
/// them in place. Source: systemd, `src/shared/mount-setup.c`.
const KERNEL_FILE_SYSTEMS: [(&str, &str, &CStr); 4] = [
    ("proc", "/proc", c""),
    ("sysfs", "/sys", c""),
    ("devtmpfs", "/dev", c"mode=0755"),
    ("tmpfs", "/run", c"mode=0755,size=20%"),
];

/// Mounts `/proc`, `/sys`, `/dev` and `/run`. What is there already (the kernel may mount `/dev` itself) stays.
///
/// # Errors
/// The first that fails.
pub fn mount_kernel_file_systems() -> Result<(), MountError> {
    for (kind, at, options) in KERNEL_FILE_SYSTEMS {
        let no_exec = if kind == "devtmpfs" {
            MountFlags::empty()
        } else {
            MountFlags::NOEXEC
        };
        let no_dev = if kind == "devtmpfs" {
            MountFlags::empty()
        } else {
            MountFlags::NODEV
        };
        let no_exec = if kind == "tmpfs" {
            MountFlags::empty()
        } else {
            no_exec
        };
        let made = Mount {
            what: kind,
            kind,
            at: Path::new(at),
            flags: MountFlags::NOSUID | no_exec | no_dev,
            options,
        }
        .make();
        match made {
            Err(MountError::Mount { source, .. })
                if source.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Takes the kernel's file systems along into `root`.
///
/// # Errors
/// The first that fails.
pub fn move_kernel_file_systems(root: &Path) -> Result<(), MountError> {
    for (_, from, _) in KERNEL_FILE_SYSTEMS {
        let to = root.join(from.trim_start_matches('/'));
        mount_move(from, &to).map_err(|errno| MountError::Move {
            from: from.into(),
            to,
            source: errno.into(),
        })?;
    }
    Ok(())
}

/// Mounts the kernel's file system of EFI variables.
///
/// # Errors
/// The kernel's answer.
pub fn mount_efi_variables(at: &Path) -> Result<(), MountError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let kind = "efivarfs";
    Mount {
        what: kind,
        kind,
        at,
        flags,
        options: c"",
    }
    .make()
}

/// Mounts the kernel's persistent store: logs of panics.
///
/// # Errors
/// The kernel's answer.
pub fn mount_pstore(at: &Path) -> Result<(), MountError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let kind = "pstore";
    Mount {
        what: kind,
        kind,
        at,
        flags,
        options: c"",
    }
    .make()
}

/// Mounts the verified root, read-only. Device nodes in it don't count: `/dev` has them.
///
/// # Errors
/// The kernel's answer.
pub fn mount_root(device: &str, at: &Path) -> Result<(), MountError> {
    let flags = MountFlags::RDONLY | MountFlags::NODEV;
    Mount {
        what: device,
        kind: "erofs",
        at,
        flags,
        options: c"",
    }
    .make()
}

/// Mounts the data partition on `/var`.
///
/// `nodev` and `nosuid`: nothing of the system's own lies here, and containers get their files through overlays, which
/// have flags of their own. Programs must run from it: container images and Kubernetes' own are kept here. `noatime`:
/// reading must not write to flash. Errors make it read-only rather than worse. The journal's commit interval stays at
/// the kernel's five seconds: programs that must not lose more than that call fsync.
///
/// # Errors
/// The kernel's answer.
pub fn mount_data(device: &str) -> Result<(), MountError> {
    let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOATIME;
    let options = c"errors=remount-ro";
    Mount {
        what: device,
        kind: "ext4",
        at: Path::new("/var"),
        flags,
        options,
    }
    .make()
}

/// Mounts an empty `/var` in memory, at most half of it.
///
/// # Errors
/// The kernel's answer.
pub fn mount_var_in_memory() -> Result<(), MountError> {
    let flags = MountFlags::NODEV | MountFlags::NOSUID;
    let options = c"mode=0755,size=50%";
    Mount {
        what: "tmpfs",
        kind: "tmpfs",
        at: Path::new("/var"),
        flags,
        options,
    }
    .make()
}

/// Lays a folder in memory over `/etc`: it can be written and forgets everything at the next boot.
///
/// # Errors
/// When the folders for it can't be made, or the kernel's answer.
pub fn mount_etc_overlay() -> Result<(), MountError> {
    for folder in ["/run/outcrop/etc/upper", "/run/outcrop/etc/work"] {
        fs::create_dir_all(folder).map_err(|source| MountError::Folder {
            path: folder.into(),
            source,
        })?;
    }
    let flags = MountFlags::NODEV | MountFlags::NOSUID;
    let options = c"lowerdir=/etc,upperdir=/run/outcrop/etc/upper,workdir=/run/outcrop/etc/work";
    Mount {
        what: "overlay",
        kind: "overlay",
        at: Path::new("/etc"),
        flags,
        options,
    }
    .make()
}
