//! Why a boot ends in the initramfs.

use std::io;

use outcrop_release::cmdline::ReadError;

use super::{
    data::VarError,
    dm::DmError,
    hardware::DiskError,
    kmod::{ModuleError, ModuleFolderError},
    machine_id::MachineIdError,
    mounts::MountError,
    slot::NoSlot,
    switch_root::SwitchError,
};

/// PID 1 of the system.
pub(super) const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// Why the boot ends.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each text says what was being done to what")]
pub enum InitError {
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("{what} {path}")]
    File {
        what: &'static str,
        path: String,
        source: io::Error,
    },
    #[error(transparent)]
    CommandLine(#[from] ReadError),
    #[error("listen to the kernel's device messages")]
    Uevents(#[source] io::Error),
    #[error("find the kernel's modules")]
    ModuleFolder(#[from] ModuleFolderError),
    #[error("load what every machine needs")]
    Modules(#[from] ModuleError),
    #[error("the thread that loads kernel modules panicked")]
    Thread,
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Slot(#[from] NoSlot),
    #[error("set up the verified root")]
    Verity(#[from] DmError),
    #[error("leave the initramfs")]
    Switch(#[from] SwitchError),
    #[error(transparent)]
    Var(#[from] VarError),
    #[error("keep the machine's identity")]
    MachineId(#[from] MachineIdError),
    #[error("get random bytes for the machine's identity")]
    Random(#[source] io::Error),
    #[error("restart the machine")]
    Restart(#[source] io::Error),
    #[error("start {SYSTEMD}")]
    Exec(#[source] io::Error),
}
