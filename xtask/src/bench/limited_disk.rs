//! A file as a disk of limited speed: a loop device that the kernel's block layer holds back.
//!
//! Source: Linux, `Documentation/admin-guide/cgroup-v1/blkio-controller.rst`, "Throttling/Upper Limit policy". The limits are set for
//! the root group: they hold for the device, whoever reads and writes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{error::Error, host::as_root, shell};

/// Where limits are set: the device's number and bytes per second; 0 for none.
const LIMITS: [&str; 2] = [
    "/sys/fs/cgroup/blkio/blkio.throttle.read_bps_device",
    "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device",
];

/// The disk; gone when dropped.
#[derive(Debug)]
pub(super) struct LimitedDisk {
    device: PathBuf,
    /// Its number, once that is known: `7:0`.
    number: Option<String>,
}

impl LimitedDisk {
    /// Whether this machine can limit disks: control groups of version 2 limit processes instead.
    pub(super) fn possible() -> bool {
        LIMITS.iter().all(|path| Path::new(path).exists())
    }

    /// The content of `file` as a disk that reads and writes `rate` bytes a second, each.
    pub(super) fn new(file: &Path, rate: u64) -> Result<Self, Error> {
        let mut losetup = as_root("losetup")?;
        losetup.args(["--find", "--show", "--direct-io=on"]).arg(file);
        let mut disk = Self {
            device: PathBuf::from(shell::output(&mut losetup)?.trim()),
            number: None,
        };
        let name = disk.device.file_name().unwrap_or_default();
        let path = Path::new("/sys/class/block").join(name).join("dev");
        let number = fs::read_to_string(&path).map_err(|source| Error::File {
            doing: "read",
            path,
            source,
        })?;
        disk.number = Some(number.trim().to_owned());
        disk.limit(rate)?;
        Ok(disk)
    }

    /// Its path.
    pub(super) fn device(&self) -> &Path {
        &self.device
    }

    fn limit(&self, rate: u64) -> Result<(), Error> {
        let Some(number) = &self.number else {
            return Ok(());
        };
        for path in LIMITS {
            let script = format!("echo '{number} {rate}' > {path}");
            shell::run(as_root("sh")?.args(["-c", &script]))?;
        }
        Ok(())
    }
}

impl Drop for LimitedDisk {
    fn drop(&mut self) {
        let _ = self.limit(0);
        if let Ok(mut losetup) = as_root("losetup") {
            let _ = losetup.arg("--detach").arg(&self.device).status();
        }
    }
}
