//! Device-mapper: a read-only device over the root partition whose every block is checked against the tree.

mod ioctl;
mod message;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use message::{Command, Message, Target};

/// Name of the device: udev calls it `/dev/mapper/outcrop-root`.
pub const NAME: &str = "outcrop-root";

/// A mapped device couldn't be made.
#[derive(Debug, thiserror::Error)]
pub enum DmError {
    /// No device-mapper.
    #[error("open {path}")]
    Open {
        /// Its control device.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A parameter that doesn't fit into its field.
    #[error("device-mapper: {0} is too long")]
    TooLong(&'static str),
    /// The kernel refuses; its log says more.
    #[error("device-mapper: {what} device {NAME}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Makes the read-only device [`NAME`] of `sectors` 512-byte sectors with one `verity` target, and returns its kernel
/// name (`dm-0`). `uuid` names the hash device; with the prefix that cryptsetup uses, `veritysetup status` knows the device.
///
/// # Errors
/// When the kernel has no device-mapper or refuses the table.
pub fn create_verity(control: &Path, uuid: uuid::Uuid, sectors: u64, table: &str) -> Result<String, DmError> {
    let control = File::options()
        .read(true)
        .write(true)
        .open(control)
        .map_err(|source| DmError::Open {
            path: control.to_owned(),
            source,
        })?;
    let uuid = format!("CRYPT-VERITY-{}-{NAME}", uuid.simple());
    let send = |command: Command, what, target: Option<&Target<'_>>| {
        let mut message = Message::new(NAME, &uuid, command, target)?;
        ioctl::send(&control, command, message.bytes_mut()).map_err(|errno| DmError::Refused {
            what,
            source: errno.into(),
        })?;
        Ok::<_, DmError>(message.device_minor())
    };
    let target = Target {
        sectors,
        kind: "verity",
        parameters: table,
    };
    send(Command::Create, "create", None)?;
    send(Command::LoadTable, "load the table of", Some(&target))?;
    let minor = send(Command::Resume, "start", None)?;
    Ok(format!("dm-{minor}"))
}
