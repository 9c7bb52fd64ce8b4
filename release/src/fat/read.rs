//! Reads a FAT32: folders, and where a file lies. Bounds everything, since an image or disk can come from anywhere.

use super::{
    boot_sector,
    directory::{self, ENTRY_BYTES, FOLDER, Item, LABEL},
    error::FatError,
    geometry::Geometry,
};
use crate::{
    read_at::{ReadAt, Window},
    units::Extent,
};

/// Longest folder that is read, in bytes: the format's own limit is twice that.
const MAX_FOLDER_BYTES: u64 = 32_768 * ENTRY_BYTES as u64;

/// A file or folder in a FAT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Name: the long one, where there is one.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Length of a file, in bytes.
    pub len: u32,
    cluster: u32,
}

impl From<Item> for DirectoryEntry {
    fn from(item: Item) -> Self {
        Self {
            name: item.name(),
            is_folder: item.attributes & FOLDER != 0,
            len: item.len,
            cluster: item.cluster,
        }
    }
}

/// A FAT32 to read.
#[derive(Debug, Clone)]
pub struct FatReader<S> {
    source: S,
    geometry: Geometry,
    root: u32,
}

impl<S: ReadAt> FatReader<S> {
    /// Reads the boot sector of `source`.
    ///
    /// # Errors
    /// When it can't be read or isn't a FAT32.
    pub fn open(source: S) -> Result<Self, FatError> {
        let mut sector = [0; 512];
        source.read_exact_at(&mut sector, 0)?;
        let (geometry, root) = boot_sector::parse(&sector, source.len())?;
        Ok(Self {
            source,
            geometry,
            root,
        })
    }

    /// Content of the folder `path`; the root is the empty path. Upper and lower case are the same.
    ///
    /// # Errors
    /// When there is no such folder, or it is damaged.
    pub fn list(&self, path: &str) -> Result<Vec<DirectoryEntry>, FatError> {
        let mut entries = self.folder(self.root)?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let found = entries
                .into_iter()
                .find(|entry| entry.is_folder && entry.name.eq_ignore_ascii_case(part));
            let folder = found.ok_or_else(|| FatError::NoFolder(path.to_owned()))?;
            entries = self.folder(folder.cluster)?;
        }
        Ok(entries)
    }

    /// The file or folder `path`, if it is there.
    ///
    /// # Errors
    /// When a folder above it isn't there, or is damaged.
    pub fn find(&self, path: &str) -> Result<Option<DirectoryEntry>, FatError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let entries = self.list(folder)?;
        Ok(entries
            .into_iter()
            .find(|entry| entry.name.eq_ignore_ascii_case(name)))
    }

    /// Where the content of a file lies, as few pieces as possible, in the file's order.
    ///
    /// # Errors
    /// When its cluster chain is damaged or shorter than the file.
    pub fn extents(&self, file: &DirectoryEntry) -> Result<Vec<Extent>, FatError> {
        let mut left = u64::from(file.len);
        let mut extents: Vec<Extent> = Vec::new();
        let mut chain = Chain::new(self, file.cluster);
        while left > 0 {
            let cluster = chain.next()?.ok_or(FatError::Chain(file.cluster))?;
            let len = left.min(cluster.len);
            left -= len;
            match extents.last_mut() {
                Some(last) if last.end() == cluster.start => last.len += len,
                _ => extents.push(Extent {
                    start: cluster.start,
                    len,
                }),
            }
        }
        Ok(extents)
    }

    /// The content of a file that lies in one piece; none when it lies in several.
    ///
    /// # Errors
    /// As [`FatReader::extents`].
    pub fn contiguous(&self, file: &DirectoryEntry) -> Result<Option<Window<&S>>, FatError> {
        match self.extents(file)?.as_slice() {
            [] => Ok(Some(Window::new(&self.source, 0, 0)?)),
            [only] => Ok(Some(Window::new(&self.source, only.start, only.len)?)),
            _ => Ok(None),
        }
    }

    /// Reads a folder from its first cluster on, without the entries for itself, its parent and the label.
    fn folder(&self, first: u32) -> Result<Vec<DirectoryEntry>, FatError> {
        let mut bytes = Vec::new();
        let mut chain = Chain::new(self, first);
        while let Some(cluster) = chain.next()? {
            if bytes.len() as u64 + cluster.len > MAX_FOLDER_BYTES {
                return Err(FatError::Folder);
            }
            let len = usize::try_from(cluster.len).map_err(|_| FatError::Folder)?;
            bytes.extend(self.source.read_vec(cluster.start, len)?);
        }
        let shown = |item: &Item| item.attributes & LABEL == 0 && item.short[0] != b'.';
        Ok(directory::parse(&bytes)
            .into_iter()
            .filter(shown)
            .map(DirectoryEntry::from)
            .collect())
    }
}

/// Follows a chain of clusters; never longer than the file system has clusters.
struct Chain<'a, S> {
    reader: &'a FatReader<S>,
    first: u32,
    next: u32,
    left: u64,
    /// The table's sector that was read last.
    sector: Option<(u64, [u8; 512])>,
}

impl<'a, S: ReadAt> Chain<'a, S> {
    fn new(reader: &'a FatReader<S>, first: u32) -> Self {
        Self {
            reader,
            first,
            next: first,
            left: reader.geometry.clusters(),
            sector: None,
        }
    }

    /// The next cluster; none at the chain's end.
    fn next(&mut self) -> Result<Option<Extent>, FatError> {
        if self.next >= 0x0fff_fff8 {
            return Ok(None);
        }
        let damaged = FatError::Chain(self.first);
        let Some(extent) = self.reader.geometry.cluster(self.next).filter(|_| self.left > 0) else {
            return Err(damaged);
        };
        self.left -= 1;
        self.next = self.entry(self.next)?;
        Ok(Some(extent))
    }

    /// What the first table has for `cluster`, which exists.
    fn entry(&mut self, cluster: u32) -> Result<u32, FatError> {
        let offset = self.reader.geometry.table(0).start + u64::from(cluster) * 4;
        let (start, within) = (offset / 512 * 512, (offset % 512) as usize);
        let bytes = match self.sector {
            Some((at, bytes)) if at == start => bytes,
            _ => {
                let mut bytes = [0; 512];
                self.reader.source.read_exact_at(&mut bytes, start)?;
                self.sector = Some((start, bytes));
                bytes
            }
        };
        let raw = bytes[within..].first_chunk().copied().unwrap_or([0; 4]);
        Ok(u32::from_le_bytes(raw) & 0x0fff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{FatPlan, FileSpec, Volume},
        *,
    };
    use crate::units::MIB;

    const FILES: [FileSpec<'_>; 5] = [
        FileSpec {
            path: "EFI/BOOT/BOOTX64.EFI",
            len: 120_001,
        },
        FileSpec {
            path: "loader/loader.conf",
            len: 512,
        },
        FileSpec {
            path: "EFI/Linux/outcrop-a.efi",
            len: 5 << 20,
        },
        FileSpec {
            path: "EFI/Linux/outcrop-b.efi",
            len: 5 << 20,
        },
        FileSpec {
            path: "empty",
            len: 0,
        },
    ];

    /// A sparse disk: zero but for some pieces.
    #[derive(Clone)]
    struct Sparse {
        pieces: Vec<(u64, Vec<u8>)>,
        len: u64,
    }

    impl ReadAt for Sparse {
        fn len(&self) -> u64 {
            self.len
        }

        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
            let byte = |at: u64| {
                let piece = self
                    .pieces
                    .iter()
                    .find(|(start, bytes)| (*start..*start + bytes.len() as u64).contains(&at));
                piece.map_or(0, |(start, bytes)| bytes[usize::try_from(at - start).unwrap()])
            };
            buffer
                .iter_mut()
                .zip(offset..)
                .for_each(|(place, at)| *place = byte(at));
            Ok(())
        }
    }

    fn plan() -> FatPlan {
        let volume = Volume {
            bytes: 260 * MIB,
            serial: 1,
            label: "OUTCROP-ESP",
            disk_offset: MIB,
        };
        FatPlan::new(&volume, &FILES).unwrap()
    }

    fn disk() -> Sparse {
        Sparse {
            pieces: plan().metadata(),
            len: 260 * MIB,
        }
    }

    #[test]
    fn every_file_is_found_where_it_was_planned_in_one_piece() {
        let reader = FatReader::open(disk()).unwrap();
        for file in FILES {
            let entry = reader.find(file.path).unwrap().unwrap();
            assert_eq!((entry.len, entry.is_folder), (file.len, false));
            let planned = plan().extent(file.path).unwrap();
            let expected: &[Extent] = if file.len == 0 { &[] } else { &[planned] };
            assert_eq!(reader.extents(&entry).unwrap(), expected);
        }
        assert_eq!(plan().extent("EFI/Linux/outcrop-a.efi").unwrap().start % MIB, 0);
        assert!(reader.find("efi/linux/OUTCROP-B.EFI").unwrap().is_some());
        assert!(reader.find("EFI/Linux/outcrop-c.efi").unwrap().is_none());
        assert!(matches!(reader.list("EFI/Windows"), Err(FatError::NoFolder(_))));
    }

    #[test]
    fn a_chain_in_a_circle_or_shorter_than_its_file_is_damage() {
        let reader = FatReader::open(disk()).unwrap();
        let file = reader.find("EFI/Linux/outcrop-a.efi").unwrap().unwrap();
        for next in [file.cluster, 0, 1, 0x0fff_fff7, 0x0fff_ffff] {
            let mut damaged = disk();
            let at = file.cluster as usize * 4;
            damaged.pieces[1].1[at..at + 4].copy_from_slice(&next.to_le_bytes());
            let damaged = FatReader::open(damaged).unwrap();
            let endless = DirectoryEntry {
                len: u32::MAX,
                ..file.clone()
            };
            assert!(
                matches!(damaged.extents(&endless), Err(FatError::Chain(_))),
                "{next:#x}"
            );
        }
    }

    #[test]
    fn files_that_dont_fit_or_clash_are_refused() {
        let volume = Volume {
            bytes: 260 * MIB,
            serial: 1,
            label: "X",
            disk_offset: 0,
        };
        let plan = |files: &[(&'static str, u32)]| {
            let specs: Vec<_> = files.iter().map(|&(path, len)| FileSpec { path, len }).collect();
            FatPlan::new(&volume, &specs).err()
        };
        assert!(matches!(plan(&[("a", 300 << 20)]), Some(FatError::Full(path)) if path == "a"));
        assert!(matches!(
            plan(&[("a", 1), ("A", 1)]),
            Some(FatError::Duplicate(_))
        ));
        assert!(matches!(
            plan(&[("a", 1), ("a/b", 1)]),
            Some(FatError::Duplicate(_))
        ));
        assert!(matches!(plan(&[("a/../b", 1)]), Some(FatError::Name(_))));
        assert!(matches!(plan(&[("", 1)]), Some(FatError::Duplicate(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_damaged_file_system_never_makes_the_reader_panic(
            changes in proptest::collection::vec((0..7_usize, 0..600_usize, any::<u8>()), 1..40),
        ) {
            let mut disk = disk();
            for (piece, offset, byte) in changes {
                let bytes = &mut disk.pieces[piece].1;
                if let Some(place) = bytes.get_mut(offset) {
                    *place = byte;
                }
            }
            if let Ok(reader) = FatReader::open(disk) {
                for folder in ["", "EFI", "EFI/Linux", "loader"] {
                    for entry in reader.list(folder).unwrap_or_default() {
                        let _ = reader.extents(&DirectoryEntry { len: entry.len.min(1 << 20), ..entry });
                    }
                }
            }
        }
    }
}
