//! Whether the firmware checks what it starts.

use std::io;

use super::{GLOBAL_VENDOR, Variables};

/// The firmware's variable: one byte, 1 while what it starts must be signed, else 0. Source: UEFI specification 2.10, section 3.3.
const SECURE_BOOT: &str = "SecureBoot";

/// Whether the firmware starts only programs that a certificate of its db has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecureBoot {
    /// It starts anything. So does firmware that knows no Secure Boot, or is being set up, and U-Boot.
    #[default]
    Off,
    /// It does.
    On,
}

/// The firmware doesn't say whether it checks what it starts.
#[derive(Debug, thiserror::Error)]
pub enum SecureBootError {
    /// The variable can't be read.
    #[error("read the EFI variable {SECURE_BOOT}")]
    Read(#[source] io::Error),
    /// It is no byte, or one that means nothing.
    #[error("the EFI variable {SECURE_BOOT} is {0:?}, which means nothing")]
    Value(Vec<u8>),
}

/// What the firmware says.
///
/// # Errors
/// See [`SecureBootError`]. A machine without such a variable has no Secure Boot: that is no error.
pub fn read_secure_boot(variables: &dyn Variables) -> Result<SecureBoot, SecureBootError> {
    let value = variables
        .read(GLOBAL_VENDOR, SECURE_BOOT)
        .map_err(SecureBootError::Read)?;
    match value.as_deref() {
        None | Some([0]) => Ok(SecureBoot::Off),
        Some([1]) => Ok(SecureBoot::On),
        Some(other) => Err(SecureBootError::Value(other.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::init::efi::EfiVariables;

    /// A machine whose firmware says one thing, or nothing.
    enum Fake {
        Says(Option<Vec<u8>>),
        Fails,
    }

    impl Variables for Fake {
        fn read(&self, vendor: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
            assert_eq!((vendor, name), (GLOBAL_VENDOR, "SecureBoot"));
            match self {
                Self::Says(value) => Ok(value.clone()),
                Self::Fails => Err(io::Error::other("Input/output error")),
            }
        }
    }

    #[test]
    fn the_firmware_says_on_or_off_and_who_has_no_such_variable_has_no_secure_boot() {
        for (value, expected) in [
            (Some(vec![1]), SecureBoot::On),
            (Some(vec![0]), SecureBoot::Off),
            (None, SecureBoot::Off),
        ] {
            assert_eq!(read_secure_boot(&Fake::Says(value)).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_flag_or_cannot_be_read_is_told() {
        for value in [vec![], vec![2], vec![1, 0]] {
            let error = read_secure_boot(&Fake::Says(Some(value))).unwrap_err();
            assert!(matches!(error, SecureBootError::Value(_)), "{error}");
        }
        assert!(matches!(
            read_secure_boot(&Fake::Fails),
            Err(SecureBootError::Read(_))
        ));
    }

    #[test]
    fn in_the_kernel_s_file_system_the_flag_stands_behind_four_bytes_of_attributes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(format!("SecureBoot-{GLOBAL_VENDOR}"));
        let read = || read_secure_boot(&EfiVariables::new(folder.path()));
        fs::write(&file, [6, 0, 0, 0, 1]).unwrap();
        assert_eq!(read().unwrap(), SecureBoot::On);
        fs::write(&file, [6, 0, 0, 0, 0]).unwrap();
        assert_eq!(read().unwrap(), SecureBoot::Off);
        fs::write(&file, [6, 0, 0, 0]).unwrap();
        assert!(matches!(read(), Err(SecureBootError::Value(value)) if value.is_empty()));
        fs::remove_file(&file).unwrap();
        assert_eq!(read().unwrap(), SecureBoot::Off);
    }
}
