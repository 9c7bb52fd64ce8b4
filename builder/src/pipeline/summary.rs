//! What a build tells about an image when it is done.

use serde::{Deserialize, Serialize};

/// An image in figures. Sizes are in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSummary {
    /// `NAME-VERSION-ARCH-BOARD`.
    pub release: String,
    /// Name of the disk image in the output folder.
    pub image: String,
    /// Length of the disk image.
    pub image_bytes: u64,
    /// What of it holds data.
    pub mapped_bytes: u64,
    /// Top hash of the root file system's verity tree.
    pub root_hash: String,
    /// The root file system.
    pub root_bytes: u64,
    /// Its slot.
    pub root_slot_bytes: u64,
    /// The boot payload (UKI).
    pub boot_bytes: u64,
    /// Its slot.
    pub boot_slot_bytes: u64,
    /// The compressed initramfs within the boot payload.
    pub initramfs_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
    /// How many packages the root file system is made of.
    pub packages: usize,
    /// The release's bundle, when it was signed.
    #[serde(default)]
    pub bundle: Option<BundleSummary>,
    /// The packages that take most of the root file system, largest first.
    pub largest_packages: Vec<(String, u64)>,
}

/// A bundle in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleSummary {
    /// Its name in the output folder.
    pub name: String,
    /// Its length, in bytes.
    pub bytes: u64,
}

impl ImageSummary {
    /// The last lines of a build: what was made, its size, its root hash.
    #[must_use]
    pub fn text(&self, folder: &str) -> String {
        let largest = self
            .largest_packages
            .iter()
            .map(|(name, bytes)| format!("{name} {}", mib(*bytes)));
        let largest = largest.collect::<Vec<_>>().join(", ");
        let bundle = self.bundle.as_ref().map_or_else(String::new, |bundle| {
            format!("{folder}{}\n  size          {}\n", bundle.name, mib(bundle.bytes))
        });
        format!(
            "{folder}{image}\n  size          {size}, of which {mapped} hold data\n  root          {root} of {root_slot}, \
             {packages} packages\n  boot payload  {boot} of {boot_slot} (initramfs {initramfs}), Linux {kernel}\n  \
             largest       {largest}\n  root hash     {hash}\n{bundle}",
            image = self.image,
            size = mib(self.image_bytes),
            mapped = mib(self.mapped_bytes),
            root = mib(self.root_bytes),
            root_slot = mib(self.root_slot_bytes),
            packages = self.packages,
            boot = mib(self.boot_bytes),
            boot_slot = mib(self.boot_slot_bytes),
            initramfs = mib(self.initramfs_bytes),
            kernel = self.kernel,
            hash = self.root_hash,
        )
    }
}

/// A size in MiB with one digit after the point.
fn mib(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10 + (1 << 19)) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_tenths_of_a_mebibyte_without_overflow() {
        assert_eq!(
            (mib(0), mib(1 << 20), mib(1_624_244)),
            ("0.0 MiB".into(), "1.0 MiB".into(), "1.5 MiB".into())
        );
        assert_eq!(mib(u64::MAX), "17592186044416.0 MiB");
    }
}
