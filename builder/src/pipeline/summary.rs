//! What a build tells about an image when it is done.

use outcrop_release::verity::BLOCK_BYTES;
use serde::{Deserialize, Serialize};

use crate::erofs::LayoutReport;

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
    /// How the root file system is laid out after another release's, when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<LayoutSummary>,
    /// The packages that take most of the root file system, largest first.
    pub largest_packages: Vec<(String, u64)>,
}

/// A layout after another release's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutSummary {
    /// That release: `NAME-VERSION-ARCH-BOARD`.
    pub previous: String,
    /// Its root hash.
    pub layout_of: String,
    /// What was kept of it.
    #[serde(flatten)]
    pub report: LayoutReport,
}

impl LayoutSummary {
    /// Two lines: what stayed, and what that costs.
    fn text(&self) -> String {
        let report = &self.report;
        let size = |blocks: u64| mib(blocks * BLOCK_BYTES as u64);
        let anew = if report.fresh {
            "laid out anew, for want of room: "
        } else {
            ""
        };
        let growth = i64::from(report.blocks) - i64::from(report.fresh_blocks);
        let percent = 100.0 * f64::from(report.free_blocks) / f64::from(report.blocks.max(1));
        format!(
            "  layout        {anew}after {}: {} in place, {} moved, {} new or changed\n                {} inodes of {} in \
             place; {percent:.1} % free in {} pieces, the longest {}; {growth:+} blocks against a fresh layout\n",
            self.previous,
            size(report.kept_blocks),
            size(report.moved_blocks),
            size(report.changed_blocks),
            report.kept_inodes,
            report.inodes,
            report.free_pieces,
            size(u64::from(report.longest_free)),
        )
    }
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
             largest       {largest}\n  root hash     {hash}\n{layout}{bundle}",
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
            layout = self.layout.as_ref().map(LayoutSummary::text).unwrap_or_default(),
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

    #[test]
    fn a_layout_tells_what_stayed_and_what_it_costs() {
        let mut layout = LayoutSummary {
            previous: "edge-0.1.0-x86_64-efi".to_owned(),
            layout_of: "00".repeat(32),
            report: LayoutReport {
                blocks: 1024,
                previous_blocks: 1000,
                fresh_blocks: 1030,
                kept_blocks: 512,
                moved_blocks: 256,
                changed_blocks: 128,
                kept_inodes: 9,
                inodes: 10,
                free_blocks: 32,
                free_pieces: 2,
                longest_free: 20,
                fresh: false,
            },
        };
        let text = layout.text();
        for wanted in [
            "after edge-0.1.0-x86_64-efi: 2.0 MiB in place, 1.0 MiB moved, 0.5 MiB new or changed",
            "9 inodes of 10 in place; 3.1 % free in 2 pieces, the longest 0.1 MiB; -6 blocks against a fresh layout",
        ] {
            assert!(text.contains(wanted), "{text}");
        }
        layout.report.fresh = true;
        assert!(layout.text().contains("laid out anew"));
    }
}
