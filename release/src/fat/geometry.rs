//! Where tables and clusters of a FAT32 lie.

use super::error::FatError;
use crate::units::{Extent, MIB, SECTOR};

/// Lengths of the clusters of the file systems that Outcrop writes, in bytes: the longest that makes a FAT32 is taken.
const CLUSTER_BYTES: [u64; 3] = [4096, 2048, 1024];
/// Below this number of clusters a driver takes the file system for FAT16.
const LEAST_CLUSTERS: u64 = 65_525;
/// From here on a cluster number is a mark.
const MOST_CLUSTERS: u64 = 0x0fff_fff5;

/// Shape of a FAT32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Length, in sectors of 512 bytes.
    pub(super) total_sectors: u32,
    /// Sectors before the first table.
    pub(super) reserved_sectors: u16,
    /// Number of tables, each a copy of the first.
    pub(super) tables: u8,
    /// Length of one table, in sectors.
    pub(super) table_sectors: u32,
    /// Sectors of a cluster.
    pub(super) cluster_sectors: u8,
}

impl Geometry {
    /// The shape of a file system of `bytes` bytes: clusters of 4 KiB, or shorter ones below 257 MiB, two tables, and clusters begin at
    /// 1 MiB (or a multiple), so that a file can be overwritten in whole flash pages. Tables begin on 4 KiB.
    ///
    /// # Errors
    /// When that makes no FAT32.
    pub fn new(bytes: u64) -> Result<Self, FatError> {
        let wrong = || FatError::Length(bytes);
        let total_sectors = u32::try_from(bytes / SECTOR).map_err(|_| wrong())?;
        let shape = |cluster_bytes: u64, mib: u64| {
            let clusters = bytes.checked_sub(mib * MIB)? / cluster_bytes;
            let table_sectors = ((clusters + 2) * 4).div_ceil(SECTOR).next_multiple_of(8);
            let reserved = (mib * MIB / SECTOR)
                .checked_sub(2 * table_sectors)
                .filter(|&sectors| sectors >= 32)?;
            let fits = (LEAST_CLUSTERS..MOST_CLUSTERS).contains(&clusters);
            let shape = Self {
                total_sectors,
                reserved_sectors: u16::try_from(reserved).ok()?,
                tables: 2,
                table_sectors: u32::try_from(table_sectors).ok()?,
                cluster_sectors: u8::try_from(cluster_bytes / SECTOR).ok()?,
            };
            fits.then_some(shape)
        };
        let each = CLUSTER_BYTES
            .into_iter()
            .flat_map(|cluster| (1..=16).map(move |mib| (cluster, mib)));
        let mut shapes = each.filter_map(|(cluster, mib)| shape(cluster, mib));
        shapes.next().ok_or_else(wrong)
    }

    /// Length of the file system, in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.total_sectors as u64 * SECTOR
    }

    /// Length of a cluster, in bytes.
    #[must_use]
    pub const fn cluster_bytes(self) -> u64 {
        self.cluster_sectors as u64 * SECTOR
    }

    /// Where table `index` lies.
    #[must_use]
    pub const fn table(self, index: u64) -> Extent {
        let len = self.table_sectors as u64 * SECTOR;
        Extent {
            start: self.reserved_sectors as u64 * SECTOR + index * len,
            len,
        }
    }

    /// Where the clusters begin.
    #[must_use]
    pub const fn data_start(self) -> u64 {
        self.table(self.tables as u64).start
    }

    /// Number of clusters; they are numbered from 2.
    #[must_use]
    pub const fn clusters(self) -> u64 {
        self.bytes().saturating_sub(self.data_start()) / self.cluster_bytes()
    }

    /// Where `cluster` lies; none when there is no such cluster.
    #[must_use]
    pub fn cluster(self, cluster: u32) -> Option<Extent> {
        let index = u64::from(cluster)
            .checked_sub(2)
            .filter(|&index| index < self.clusters())?;
        let len = self.cluster_bytes();
        Some(Extent {
            start: self.data_start() + index * len,
            len,
        })
    }

    /// Whether the fields go together: what a reader asks of a foreign boot sector.
    pub(super) fn check(self) -> Result<Self, FatError> {
        if !self.cluster_sectors.is_power_of_two() {
            return Err(FatError::BootSector("sectors per cluster"));
        }
        if !(1..=2).contains(&self.tables) || self.reserved_sectors == 0 {
            return Err(FatError::BootSector("number of tables"));
        }
        if !(LEAST_CLUSTERS..MOST_CLUSTERS).contains(&self.clusters()) {
            return Err(FatError::BootSector("number of clusters"));
        }
        if u64::from(self.table_sectors) * SECTOR < (self.clusters() + 2) * 4 {
            return Err(FatError::BootSector("length of a table"));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_begin_on_a_mib_and_the_tables_reach_all_of_them() {
        for mib in [66, 96, 130, 200, 260, 261, 320, 1000, 1024, 4096] {
            let shape = Geometry::new(mib * MIB).unwrap().check().unwrap();
            assert_eq!(shape.data_start() % MIB, 0, "{shape:?}");
            assert!(shape.table(0).start.is_multiple_of(4096) && shape.table(1).start.is_multiple_of(4096));
            assert_eq!(shape.bytes(), mib * MIB);
            let last = u32::try_from(shape.clusters() + 1).unwrap();
            assert_eq!(shape.cluster(last).unwrap().end(), mib * MIB);
            assert!(shape.cluster(last + 1).is_none() && shape.cluster(1).is_none());
        }
    }

    #[test]
    fn what_would_be_read_as_fat16_is_never_made() {
        assert!(matches!(Geometry::new(64 * MIB), Err(FatError::Length(_))));
        assert!(matches!(Geometry::new(0), Err(FatError::Length(0))));
        assert!(matches!(Geometry::new(u64::MAX), Err(FatError::Length(_))));
    }
}
