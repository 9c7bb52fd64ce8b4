//! What the firmware and the boot loader left in EFI variables: which disk and which slot they started.

mod boot_option;
mod device_path;
mod secure_boot;
mod variable;

pub use boot_option::{BootOptionError, device_path_of_option};
pub use device_path::{DevicePath, DevicePathError, Node};
pub use secure_boot::{SecureBoot, SecureBootError, read_secure_boot};
pub use variable::{
    EfiVariables, FirmwareFacts, GLOBAL_VENDOR, LOADER_VENDOR, VariableStore, Variables, read_firmware_facts,
    text_of, text_value,
};
