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
    /// The answer isn't understood.
    #[error("device-mapper: device {NAME} isn't a verity device with a root hash")]
    NoRootHash,
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

/// Root hash in the table of the device [`NAME`], in hexadecimal digits: what the kernel verifies by, whatever the command line says.
///
/// # Errors
/// When there is no such device.
/// Source: Linux, `Documentation/admin-guide/device-mapper/verity.rst`, "Construction Parameters".
pub fn root_hash(control: &Path) -> Result<String, DmError> {
    let control = File::options()
        .read(true)
        .write(true)
        .open(control)
        .map_err(|source| DmError::Open {
            path: control.to_owned(),
            source,
        })?;
    let command = Command::TableStatus;
    let mut message = Message::new(NAME, "", command, None)?;
    ioctl::send(&control, command, message.bytes_mut()).map_err(|errno| DmError::Refused {
        what: "ask for the table of",
        source: errno.into(),
    })?;
    let table = message.table().filter(|(kind, _)| *kind == "verity");
    let hash = table.and_then(|(_, parameters)| parameters.split(' ').nth(8));
    hash.map(str::to_owned).ok_or(DmError::NoRootHash)
}
