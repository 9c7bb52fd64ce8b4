//! `Boot####` variables: what the firmware's boot manager starts.

use super::{DevicePath, DevicePathError};

/// Bytes that are no boot option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootOptionError {
    /// Shorter than its header, its description or its path list.
    #[error("the boot option ends early")]
    Truncated,
    /// The device path in it is broken.
    #[error("device path of the boot option")]
    Path(#[source] DevicePathError),
}

/// The device path in an `EFI_LOAD_OPTION`: attributes (4 bytes), length of the path list (2 bytes), description (UTF-16
/// to a zero), path list, optional data. Source: UEFI specification 2.10, section 3.1.3.
///
/// # Errors
/// When the bytes don't have that form.
pub fn device_path_of_option(bytes: &[u8]) -> Result<DevicePath, BootOptionError> {
    let len = bytes.get(4..6).and_then(<[u8]>::first_chunk).copied();
    let len = usize::from(u16::from_le_bytes(len.ok_or(BootOptionError::Truncated)?));
    let (description, _) = bytes.get(6..).unwrap_or_default().as_chunks::<2>();
    let end = description.iter().position(|&unit| unit == [0, 0]);
    let start = 6 + (end.ok_or(BootOptionError::Truncated)? + 1) * 2;
    let path = bytes.get(start..start.saturating_add(len));
    DevicePath::parse(path.ok_or(BootOptionError::Truncated)?).map_err(BootOptionError::Path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::init::efi::Node;

    #[test]
    fn the_path_is_found_behind_a_description_of_any_length() {
        let mut option = vec![1, 0, 0, 0, 10, 0];
        option.extend("UEFI Disk\0".encode_utf16().flat_map(u16::to_le_bytes));
        option.extend([1, 1, 6, 0, 3, 9, 0x7f, 0xff, 4, 0]);
        option.extend(b"optional data");
        assert_eq!(
            device_path_of_option(&option).unwrap().nodes(),
            [Node::Pci {
                device: 9,
                function: 3
            }]
        );
    }

    #[test]
    fn an_option_cut_anywhere_is_refused() {
        let mut option = vec![1, 0, 0, 0, 10, 0];
        option.extend("UEFI\0".encode_utf16().flat_map(u16::to_le_bytes));
        option.extend([1, 1, 6, 0, 3, 9, 0x7f, 0xff, 4, 0]);
        for len in 0..option.len() {
            assert_eq!(
                device_path_of_option(&option[..len]),
                Err(BootOptionError::Truncated),
                "{len}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = device_path_of_option(&bytes);
        }
    }
}
