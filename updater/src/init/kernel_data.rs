//! The system behind the data partition: `e2fsck` and the kernel's mounts.

use std::{
    io,
    process::{Command, Stdio},
};

use super::{
    data::{CheckRun, DataSystem},
    mounts::{self, MountError},
    steps::device_path,
};

/// The system behind [`bring_up_var`].
pub(super) struct Kernel;

impl DataSystem for Kernel {
    fn check(&mut self, device: &str) -> io::Result<CheckRun> {
        let run = Command::new("/usr/sbin/e2fsck")
            .arg("-p")
            .arg(device_path(device))
            .stdin(Stdio::null())
            .output()?;
        let output = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
        Ok(CheckRun {
            code: run.status.code(),
            output,
        })
    }

    fn mount(&mut self, device: &str) -> io::Result<()> {
        mounts::mount_data(&device_path(device)).map_err(MountError::into_io)
    }

    fn mount_in_memory(&mut self) -> io::Result<()> {
        mounts::mount_var_in_memory().map_err(MountError::into_io)
    }
}
