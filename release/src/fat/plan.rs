//! Plans a FAT32 that holds given files, each in one piece.

use std::collections::BTreeMap;

use super::{
    boot_sector::{self, LABEL_BYTES, Labels, ROOT_CLUSTER},
    directory::{FOLDER, Item, LABEL},
    error::FatError,
    geometry::Geometry,
    name::{ShortName, is_good, short_name},
};
use crate::units::{Extent, MIB, SECTOR};

/// Marks the last cluster of a file.
const END: u32 = 0x0fff_ffff;

/// A file system to make.
#[derive(Debug, Clone, Copy)]
pub struct Volume<'a> {
    /// Length, in bytes.
    pub bytes: u64,
    /// Serial number.
    pub serial: u32,
    /// Label: at most eleven capitals, digits and hyphens.
    pub label: &'a str,
    /// Where the partition begins on the disk, in bytes.
    pub disk_offset: u64,
}

/// A file to hold.
#[derive(Debug, Clone, Copy)]
pub struct FileSpec<'a> {
    /// Path with slashes, without a leading one.
    pub path: &'a str,
    /// Length, in bytes.
    pub len: u32,
}

/// Where everything in the file system lies. Same volume and files, same plan.
#[derive(Debug, Clone)]
pub struct FatPlan {
    geometry: Geometry,
    labels: Labels,
    /// Next cluster of each cluster, from cluster 0 to the last one in use.
    table: Vec<u32>,
    /// Content of each folder, one cluster each.
    folders: Vec<(u32, Vec<u8>)>,
    files: BTreeMap<String, Extent>,
}

impl FatPlan {
    /// Places `files`, in their order, behind their folders. A file of 1 MiB or more begins on a MiB.
    ///
    /// # Errors
    /// When a name is no good or there twice, or the files don't fit.
    pub fn new(volume: &Volume<'_>, files: &[FileSpec<'_>]) -> Result<Self, FatError> {
        let geometry = Geometry::new(volume.bytes)?;
        let mut label = [b' '; LABEL_BYTES];
        if volume.label.len() > LABEL_BYTES || !is_good(volume.label) {
            return Err(FatError::Name(volume.label.to_owned()));
        }
        label[..volume.label.len()].copy_from_slice(volume.label.as_bytes());
        let hidden_sectors = u32::try_from(volume.disk_offset / SECTOR).unwrap_or(u32::MAX);
        let mut builder = Builder::new(geometry, label);
        for path in files.iter().flat_map(|file| parents(file.path)) {
            builder.folder(path)?;
        }
        for file in files {
            builder.file(file)?;
        }
        let labels = Labels {
            serial: volume.serial,
            label,
            hidden_sectors,
        };
        builder.finish(labels)
    }

    /// Where the content of `path` lies, from the start of the file system.
    #[must_use]
    pub fn extent(&self, path: &str) -> Option<Extent> {
        self.files.get(path).copied()
    }

    /// Boot sectors, tables and folders, with their places in ascending order: all but the files' contents. Between the
    /// pieces up to [`FatPlan::metadata_end`] everything is zero.
    #[must_use]
    pub fn metadata(&self) -> Vec<(u64, Vec<u8>)> {
        let used =
            u32::try_from(self.table.iter().filter(|&&next| next != 0).count() - 2).unwrap_or(u32::MAX);
        let clusters = u32::try_from(self.geometry.clusters()).unwrap_or(u32::MAX);
        let next_free = u32::try_from(self.table.len()).unwrap_or(u32::MAX);
        let table: Vec<u8> = self.table.iter().flat_map(|next| next.to_le_bytes()).collect();
        let mut pieces = vec![(
            0,
            boot_sector::encode(self.geometry, &self.labels, clusters - used, next_free),
        )];
        pieces.extend((0..2).map(|index| (self.geometry.table(index).start, table.clone())));
        pieces.extend(
            self.folders
                .iter()
                .filter_map(|(cluster, bytes)| Some((self.geometry.cluster(*cluster)?.start, bytes.clone()))),
        );
        pieces
    }

    /// Where the folders end and the files begin.
    #[must_use]
    pub fn metadata_end(&self) -> u64 {
        self.geometry.data_start() + self.folders.len() as u64 * self.geometry.cluster_bytes()
    }
}

/// The folders above a path, outermost first.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
}

/// A file system on its way.
struct Builder {
    geometry: Geometry,
    table: Vec<u32>,
    /// Path to first cluster and items; the root is the empty path.
    folders: BTreeMap<String, (u32, Vec<Item>)>,
    files: BTreeMap<String, Extent>,
}

impl Builder {
    fn new(geometry: Geometry, label: ShortName) -> Self {
        let label = Item {
            short: label,
            long: None,
            attributes: LABEL,
            cluster: 0,
            len: 0,
        };
        Self {
            geometry,
            table: vec![0x0fff_fff8, END, END],
            folders: BTreeMap::from([(String::new(), (ROOT_CLUSTER, vec![label]))]),
            files: BTreeMap::new(),
        }
    }

    /// Adds a folder, unless it is there. Its parent is there.
    fn folder(&mut self, path: &str) -> Result<(), FatError> {
        if self.folders.contains_key(path) {
            return Ok(());
        }
        let cluster = self.allocate(path, 1)?;
        let parent = self.add(path, FOLDER, cluster, 0)?;
        let above = if parent == ROOT_CLUSTER { 0 } else { parent };
        let dot = |short: &ShortName, cluster| Item {
            short: *short,
            long: None,
            attributes: FOLDER,
            cluster,
            len: 0,
        };
        let items = vec![dot(b".          ", cluster), dot(b"..         ", above)];
        self.folders.insert(path.to_owned(), (cluster, items));
        Ok(())
    }

    fn file(&mut self, file: &FileSpec<'_>) -> Result<(), FatError> {
        if self.folders.contains_key(file.path) {
            return Err(FatError::Duplicate(file.path.to_owned()));
        }
        let len = u64::from(file.len);
        if len >= MIB {
            let next =
                self.geometry.data_start() + (self.table.len() as u64 - 2) * self.geometry.cluster_bytes();
            let skip = (next.next_multiple_of(MIB) - next) / self.geometry.cluster_bytes();
            self.table
                .resize(self.table.len() + usize::try_from(skip).unwrap_or(0), 0);
        }
        let clusters = len.div_ceil(self.geometry.cluster_bytes());
        let cluster = if clusters == 0 {
            0
        } else {
            self.allocate(file.path, clusters)?
        };
        self.add(file.path, 0, cluster, file.len)?;
        let start = self.geometry.cluster(cluster).map_or(0, |extent| extent.start);
        match self.files.insert(file.path.to_owned(), Extent { start, len }) {
            None => Ok(()),
            Some(_) => Err(FatError::Duplicate(file.path.to_owned())),
        }
    }

    /// Takes the next `count` (at least one) clusters, as one chain; the first one's number.
    fn allocate(&mut self, path: &str, count: u64) -> Result<u32, FatError> {
        let full = || FatError::Full(path.to_owned());
        let first = self.table.len() as u64;
        let last = first + count - 1;
        self.geometry
            .cluster(u32::try_from(last).map_err(|_| full())?)
            .ok_or_else(full)?;
        let next = (first + 1..=last).map(|cluster| u32::try_from(cluster).unwrap_or(END));
        self.table.extend(next.chain([END]));
        u32::try_from(first).map_err(|_| full())
    }

    /// Adds an item to the folder of `path`; that folder's first cluster.
    fn add(&mut self, path: &str, attributes: u8, cluster: u32, len: u32) -> Result<u32, FatError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if !is_good(name) {
            return Err(FatError::Name(path.to_owned()));
        }
        let (own, items) = self
            .folders
            .get_mut(folder)
            .ok_or_else(|| FatError::NoFolder(folder.to_owned()))?;
        if items.iter().any(|item| item.name().eq_ignore_ascii_case(name)) {
            return Err(FatError::Duplicate(path.to_owned()));
        }
        let candidates = (1..=9999).map(|number| short_name(name, number));
        let mut free = candidates.filter(|(short, _)| items.iter().all(|item| item.short != *short));
        let (short, has_long) = free.next().ok_or(FatError::Folder)?;
        let long = has_long.then(|| name.to_owned());
        items.push(Item {
            short,
            long,
            attributes,
            cluster,
            len,
        });
        Ok(*own)
    }

    fn finish(self, labels: Labels) -> Result<FatPlan, FatError> {
        let bytes = |items: Vec<Item>| {
            let bytes: Vec<u8> = items.iter().flat_map(Item::to_bytes).collect();
            // At least one free entry ends the folder.
            if (bytes.len() as u64) < self.geometry.cluster_bytes() {
                Ok(bytes)
            } else {
                Err(FatError::Folder)
            }
        };
        let folders = self
            .folders
            .into_values()
            .map(|(cluster, items)| Ok((cluster, bytes(items)?)));
        let mut folders = folders.collect::<Result<Vec<_>, FatError>>()?;
        folders.sort_unstable_by_key(|(cluster, _)| *cluster);
        Ok(FatPlan {
            geometry: self.geometry,
            labels,
            table: self.table,
            folders,
            files: self.files,
        })
    }
}
