//! What U-Boot reads: the boot script, and a slot's kernel arguments.
//!
//! U-Boot has no program of ours, only this script. It does what [`BootRecord::loader_start`](crate::bootrec::BootRecord::loader_start)
//! says, which is its model: tests run both over the same records.

mod arguments;
mod script;
mod script_image;

pub use arguments::{arguments_file, arguments_of};
pub use script::{boot_script, decision_script};
pub use script_image::script_image;

/// Names of the files in a slot's boot partition.
pub mod file {
    /// The kernel, as `booti` starts it.
    pub const KERNEL: &str = "kernel";
    /// The initramfs.
    pub const INITRAMFS: &str = "initramfs";
    /// The release's kernel arguments: see [`arguments_file`](super::arguments_file).
    pub const ARGUMENTS: &str = "arguments.env";
    /// Folder of the device trees; below it U-Boot's variable `fdtfile` has the path.
    pub const DEVICE_TREES: &str = "dtbs";
    /// The boot script on partition 1, where U-Boot looks for it by itself.
    pub const SCRIPT: &str = "boot.scr";
}
