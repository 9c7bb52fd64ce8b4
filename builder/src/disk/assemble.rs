//! Puts an image together, in the order in which its parts come to be: root file system, its tree, boot payload, the rest.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use outcrop_release::{
    board::Board,
    bootrec::{BootRecord, COPY_OFFSETS, Payload, SlotRecord, SlotState},
    device_config::{self, template},
    digest::{FileDigest, RootHash},
    fat::{FatPlan, FileSpec, Volume},
    loader::{Enroll, LOADER_CONF_PATH, LoaderConf},
    partition::Partition,
    slot::Slot,
    verity::{HashTree, TreeBuilder},
};

use super::{
    error::DiskError,
    ext4::{DataFileSystem, Part},
    gpt::{BACKUP_BYTES, Gpt},
    identity::Identity,
    image::{BLOCK_BYTES, BlockMap, ImageStream, Written},
    layout::Layout,
    units::Extent,
};
use crate::output::{PendingFile, replace_file};

/// Bytes of the root file system that are hashed and written at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// So much of an empty boot slot is zero on the medium: an older installation's program there must not start.
const EMPTY_SLOT_BYTES: u64 = 64 * 1024;
const ESP_LABEL: &str = "OUTCROP";

/// The first stage: takes the root file system's bytes, in order, and hashes and writes them.
#[derive(Debug)]
pub struct RootWriter {
    parts: Parts,
    tree: TreeBuilder,
    buffer: Vec<u8>,
    written: u64,
    planned: u64,
}

/// The second stage: the root hash is known, the boot payload is awaited.
#[derive(Debug)]
pub struct BootStage {
    parts: Parts,
    tree: HashTree,
}

/// What every stage needs.
#[derive(Debug)]
struct Parts {
    stream: ImageStream,
    layout: Layout,
    identity: Identity,
    target: PathBuf,
}

/// What starts the release.
#[derive(Debug, Clone, Copy)]
pub struct BootFiles<'a> {
    /// Files of partition 1, what the firmware starts and what that needs: paths and contents. Nothing of it is written again.
    pub loaders: &'a [(String, Vec<u8>)],
    /// The release's boot payload: a UKI, or on board `rpi` the start of a FAT32 as long as a boot partition.
    pub payload: &'a [u8],
    /// Bytes of the payload that aren't room left for later releases: all of it, but where a signature ends the file.
    pub payload_content: u64,
    /// What the boot record says of it.
    pub parts: Payload,
    /// When the loader puts the owner's keys into a machine. Only for board `efi`.
    pub enroll: Enroll,
}

/// A complete image that has no name yet.
#[derive(Debug)]
pub struct FinishedImage {
    pending: PendingFile,
    map_path: PathBuf,
    map: String,
    facts: DiskFacts,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFacts {
    /// The image.
    pub image: PathBuf,
    /// Its length, in bytes, holes included.
    pub image_bytes: u64,
    /// SHA-256 of all of it.
    pub image_digest: FileDigest,
    /// The block map: the image's name with `.bmap` for its extension.
    pub block_map: PathBuf,
    /// SHA-256 of the block map.
    pub block_map_digest: FileDigest,
    /// How much of the image a medium must get, in bytes.
    pub mapped_bytes: u64,
    /// Hash of the root file system.
    pub root_hash: RootHash,
    /// Where the boot payloads lie in the image, slot A's first.
    pub boot_slots: [Extent; 2],
}

impl RootWriter {
    /// Begins an image that will be called `target`, for a root file system of `root_bytes` bytes.
    ///
    /// # Errors
    /// When the root file system leaves its slot too little room, or the file can't be made.
    pub fn begin(
        target: &Path,
        identity: Identity,
        layout: Layout,
        root_bytes: u64,
    ) -> Result<Self, DiskError> {
        layout.check_root(root_bytes)?;
        let tree = TreeBuilder::new(identity.verity(), identity.salt());
        let mut stream = ImageStream::create(target, layout.image_bytes())?;
        stream.write(0, Gpt::new(&layout, &identity).primary())?;
        let parts = Parts {
            stream,
            layout,
            identity,
            target: target.to_owned(),
        };
        Ok(Self {
            parts,
            tree,
            buffer: Vec::with_capacity(CHUNK_BYTES),
            written: 0,
            planned: root_bytes,
        })
    }

    /// Ends the root file system and writes its tree.
    ///
    /// # Errors
    /// When it isn't as long as planned, or can't be written.
    pub fn finish(mut self) -> Result<BootStage, DiskError> {
        self.write_buffer()?;
        if self.written != self.planned {
            return Err(DiskError::RootLength {
                expected: self.planned,
                found: self.written,
            });
        }
        let tree = self.tree.finish()?;
        let mut parts = self.parts;
        let verity = |slot| parts.layout.extent(Partition::Verity(slot)).start;
        let (own, other) = (verity(Slot::A), verity(Slot::B));
        parts.stream.write(own, tree.to_bytes())?;
        // The empty slot says so: no superblock.
        parts.stream.zeros(Extent {
            start: other,
            len: BLOCK_BYTES,
        })?;
        Ok(BootStage { parts, tree })
    }

    fn write_buffer(&mut self) -> Result<(), DiskError> {
        let found = self.written + self.buffer.len() as u64;
        if found > self.planned {
            return Err(DiskError::RootLength {
                expected: self.planned,
                found,
            });
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES));
        self.tree.push(&bytes);
        let at = self.parts.layout.extent(Partition::Root(Slot::A)).start + self.written;
        self.written = found;
        self.parts.stream.write(at, bytes)
    }
}

impl io::Write for RootWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK_BYTES - self.buffer.len());
        let (now, _) = bytes.split_at(count);
        self.buffer.extend_from_slice(now);
        if self.buffer.len() == CHUNK_BYTES {
            self.write_buffer().map_err(io::Error::other)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BootStage {
    /// Hash of the root file system: the boot payload's command line names it.
    #[must_use]
    pub const fn root_hash(&self) -> RootHash {
        self.tree.root_hash()
    }

    /// The tree of the root file system.
    #[must_use]
    pub const fn tree(&self) -> &HashTree {
        &self.tree
    }

    /// Brings what is written so far to the medium, so that little is left to wait for at the end.
    ///
    /// # Errors
    /// When that fails.
    pub fn sync(&self) -> Result<(), DiskError> {
        self.parts.stream.sync()
    }

    /// Makes the data partition's file system, in a temporary file beside the image.
    ///
    /// # Errors
    /// When `mke2fs` is missing or fails, or there is no room.
    pub fn make_data(&self) -> Result<DataFileSystem, DiskError> {
        let data = self.parts.layout.extent(Partition::Data);
        let folder = self.parts.target.parent();
        let folder = folder.filter(|parent| !parent.as_os_str().is_empty());
        DataFileSystem::make(&self.parts.identity, data.len, folder.unwrap_or(Path::new(".")))
    }

    /// Writes everything else. The image is complete, but has no name before [`FinishedImage::publish`].
    ///
    /// # Errors
    /// When the boot payload leaves its slot too little room, or writing fails.
    pub fn finish(self, boot: &BootFiles<'_>, data: DataFileSystem) -> Result<FinishedImage, DiskError> {
        let Self { mut parts, tree } = self;
        parts.layout.check_boot(boot.payload_content)?;
        let boot_slots = match parts.layout.board() {
            Board::Efi => parts.write_esp_with_slots(boot)?,
            Board::Rpi => {
                let slots = parts.write_boot_partitions(boot.payload)?;
                parts.write_esp(boot.loaders)?;
                slots
            }
        };
        parts.write_boot_record(boot.parts)?;
        parts.write_data(data)?;
        let backup = Gpt::new(&parts.layout, &parts.identity).backup();
        let end = parts.layout.image_bytes();
        let padding = backup.len().next_multiple_of(4096) - BACKUP_BYTES;
        let bytes = [vec![0; padding], backup].concat();
        parts.stream.write(end - bytes.len() as u64, bytes)?;
        let written = parts.stream.finish()?;
        Ok(FinishedImage::new(
            written,
            parts.target,
            tree.root_hash(),
            boot_slots,
        ))
    }
}

impl Parts {
    /// Writes partition 1 of board `efi`; where both boot slots lie in the image.
    fn write_esp_with_slots(&mut self, boot: &BootFiles<'_>) -> Result<[Extent; 2], DiskError> {
        let esp = self.layout.extent(Partition::Esp);
        let slots = Slot::ALL.map(|slot| format!("EFI/Linux/{}", slot.uki_file_name()));
        let slot = u32::try_from(self.layout.boot_slot_bytes()).unwrap_or(u32::MAX);
        let mut files = boot.loaders.to_vec();
        let conf = LoaderConf {
            default: Slot::A,
            enroll: boot.enroll,
        };
        files.push((LOADER_CONF_PATH.to_owned(), conf.to_bytes().to_vec()));
        let preallocated: Vec<_> = slots.iter().map(|path| (path.clone(), slot)).collect();
        let plan = self.write_fat(&files, &preallocated)?;
        let extents = slots.map(|path| {
            let extent = plan.extent(&path).unwrap_or(Extent { start: 0, len: 0 });
            Extent {
                start: esp.start + extent.start,
                ..extent
            }
        });
        self.write_boot_slots(extents, boot.payload)
    }

    /// Writes partition 1 of board `rpi`.
    fn write_esp(&mut self, files: &[(String, Vec<u8>)]) -> Result<(), DiskError> {
        self.write_fat(files, &[]).map(drop)
    }

    /// Writes both boot partitions; where they lie.
    fn write_boot_partitions(&mut self, payload: &[u8]) -> Result<[Extent; 2], DiskError> {
        let extents = Slot::ALL.map(|slot| self.layout.extent(Partition::Boot(slot)));
        self.write_boot_slots(extents, payload)
    }

    /// Writes slot A's boot payload, and that slot B has none.
    fn write_boot_slots(&mut self, extents: [Extent; 2], payload: &[u8]) -> Result<[Extent; 2], DiskError> {
        self.write_padded(extents[0], payload)?;
        self.stream.zeros(Extent {
            start: extents[1].start,
            len: EMPTY_SLOT_BYTES.min(extents[1].len),
        })?;
        Ok(extents)
    }

    /// Writes the file system of partition 1 with `files`, the device's configuration, and room for the `preallocated` ones behind them.
    fn write_fat(
        &mut self,
        files: &[(String, Vec<u8>)],
        preallocated: &[(String, u32)],
    ) -> Result<FatPlan, DiskError> {
        let esp = self.layout.extent(Partition::Esp);
        let device = (device_config::FILE_NAME.to_owned(), template(true).into_bytes());
        let files = &[files, &[device]].concat();
        let plan = self.plan_fat(files, preallocated)?;
        for (offset, bytes) in plan.metadata() {
            self.write_after_zeros(esp.start, esp.start + offset, bytes)?;
        }
        self.zeros_to(esp.start + plan.metadata_end())?;
        for (path, bytes) in files {
            let extent = plan.extent(path).unwrap_or(Extent { start: 0, len: 0 });
            self.stream.write(esp.start + extent.start, bytes.clone())?;
        }
        Ok(plan)
    }

    /// Writes both copies of a record that says: slot A holds a good release, started by `payload`, slot B none.
    fn write_boot_record(&mut self, payload: Payload) -> Result<(), DiskError> {
        let extent = self.layout.extent(Partition::BootRecord);
        let record = BootRecord::fresh(SlotRecord {
            state: SlotState::Good,
            payload,
            ..SlotRecord::EMPTY
        });
        for offset in COPY_OFFSETS {
            self.write_after_zeros(extent.start, extent.start + offset, record.encode().to_vec())?;
        }
        self.zeros_to(extent.end())
    }

    /// Places the files of partition 1. Only the loaders' lengths are open: the rest was laid out.
    fn plan_fat(
        &self,
        files: &[(String, Vec<u8>)],
        preallocated: &[(String, u32)],
    ) -> Result<FatPlan, DiskError> {
        let esp = self.layout.extent(Partition::Esp);
        let loader = |(path, bytes): &'_ (String, Vec<u8>)| {
            let len = bytes.len();
            u32::try_from(len).map_or(Err(DiskError::Loader(len as u64)), |len| Ok((path.clone(), len)))
        };
        let mut files = files.iter().map(loader).collect::<Result<Vec<_>, _>>()?;
        files.extend_from_slice(preallocated);
        let files: Vec<_> = files
            .iter()
            .map(|(path, len)| FileSpec { path, len: *len })
            .collect();
        let volume = Volume {
            bytes: esp.len,
            serial: self.identity.fat_serial(),
            label: ESP_LABEL,
            disk_offset: esp.start,
        };
        FatPlan::new(&volume, &files).map_err(|source| DiskError::Fat { source })
    }

    /// Writes `bytes` at `start` and zeros behind them, up to the end of `extent`: all of it matters.
    fn write_padded(&mut self, extent: Extent, bytes: &[u8]) -> Result<(), DiskError> {
        for (chunk, at) in bytes
            .chunks(CHUNK_BYTES)
            .zip((extent.start..).step_by(CHUNK_BYTES))
        {
            self.stream.write(at, chunk.to_vec())?;
        }
        self.zeros_to(extent.end())
    }

    /// Writes `bytes` at `at`; from the end of what was written, but not before `start`, zeros up to there matter.
    fn write_after_zeros(&mut self, start: u64, at: u64, bytes: Vec<u8>) -> Result<(), DiskError> {
        let from = self.stream.position().max(start);
        if from < at {
            self.stream.zeros(Extent {
                start: from,
                len: at - from,
            })?;
        }
        self.stream.write(at, bytes)
    }

    /// Zeros that matter, from the end of what was written up to `end`.
    fn zeros_to(&mut self, end: u64) -> Result<(), DiskError> {
        let start = self.stream.position();
        self.stream.zeros(Extent {
            start,
            len: end.saturating_sub(start),
        })
    }

    fn write_data(&mut self, made: DataFileSystem) -> Result<(), DiskError> {
        let mut at = self.layout.extent(Partition::Data).start;
        made.read(|part| match part {
            Part::Data(bytes) => {
                let start = at;
                at += bytes.len() as u64;
                self.stream.write(start, bytes)
            }
            Part::Unused(len) => {
                at += len;
                Ok(())
            }
        })
    }
}

impl FinishedImage {
    fn new(written: Written, image: PathBuf, root_hash: RootHash, boot_slots: [Extent; 2]) -> Self {
        let map = written.map.to_xml();
        let facts = DiskFacts {
            image_bytes: written.map.image_bytes,
            image_digest: written.digest,
            block_map: image.with_extension("bmap"),
            block_map_digest: FileDigest::of(map.as_bytes()),
            mapped_bytes: BlockMap::mapped_bytes(&written.map),
            root_hash,
            boot_slots,
            image,
        };
        Self {
            pending: written.pending,
            map_path: facts.block_map.clone(),
            map,
            facts,
        }
    }

    /// What was made.
    #[must_use]
    pub const fn facts(&self) -> &DiskFacts {
        &self.facts
    }

    /// The image, for reading.
    #[must_use]
    pub fn file(&self) -> &File {
        self.pending.file()
    }

    /// Gives image and block map their names, replacing older ones; the image first.
    ///
    /// # Errors
    /// When that fails; what has no name yet is gone.
    pub fn publish(self) -> Result<DiskFacts, DiskError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DiskError::Io {
                doing: "publish",
                path,
                source,
            }
        };
        self.pending.publish().map_err(failed(&self.facts.image))?;
        replace_file(&self.map_path, self.map.as_bytes()).map_err(failed(&self.map_path))?;
        Ok(self.facts)
    }
}
