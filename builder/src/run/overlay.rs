//! The files that one machine writes, so that the image and the firmware's template stay as they are.

use std::{fs, path::Path, process::Command};

use super::{RunError, firmware::Firmware};

/// Makes `overlay` a qcow2 file that reads as `image` (raw) until it is written to.
///
/// # Errors
/// When `qemu-img` is missing or fails.
pub fn create(image: &Path, overlay: &Path) -> Result<(), RunError> {
    create_with(image, overlay, None)
}

/// The same for a card: longer than the image, as long as the next power of two.
///
/// # Errors
/// When `qemu-img` is missing or fails.
pub fn create_card(image: &Path, image_bytes: u64, overlay: &Path) -> Result<(), RunError> {
    create_with(image, overlay, Some(image_bytes.next_power_of_two()))
}

fn create_with(image: &Path, overlay: &Path, bytes: Option<u64>) -> Result<(), RunError> {
    let prepare = |source| RunError::Prepare {
        path: overlay.to_owned(),
        source,
    };
    let image = image.canonicalize().map_err(|source| RunError::Prepare {
        path: image.to_owned(),
        source,
    })?;
    let output = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .args([image.as_path(), overlay])
        .args(bytes.map(|bytes| bytes.to_string()))
        .output()
        .map_err(|source| RunError::Start {
            program: "qemu-img".to_owned(),
            package: "qemu-utils",
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(prepare(std::io::Error::other(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    )))
}

/// Copies the firmware's template of variables to `variables`, writable.
///
/// # Errors
/// When it can't be read or written.
pub fn copy_variables(firmware: &Firmware, variables: &Path) -> Result<(), RunError> {
    let prepare = |source| RunError::Prepare {
        path: variables.to_owned(),
        source,
    };
    fs::read(&firmware.variables)
        .and_then(|bytes| fs::write(variables, bytes))
        .map_err(prepare)
}
