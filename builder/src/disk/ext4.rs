//! The data file system: an empty ext4, made by `mke2fs`, with features and times that no build machine decides.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::NamedTempFile;

use super::{error::DiskError, identity::Identity};

/// Label of the file system.
const LABEL: &str = "outcrop-data";
/// The features, none left to a version's defaults. `resize_inode` keeps room for the group descriptors of a larger
/// file system, so that it grows while it is mounted; `orphan_file` and `metadata_csum_seed`, new defaults, stay out: older
/// rescue systems can't check them.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,\
                        large_file,huge_file,dir_nlink,extra_isize,metadata_csum";
/// The whole configuration: what the command line leaves open.
const CONFIG: &str = "[defaults]
\tbase_features = none
\tdefault_mntopts = acl,user_xattr
\tenable_periodic_fsck = 0
\tblocksize = 4096
\tinode_ratio = 16384
\tflex_bg_size = 16
[fs_types]
\text4 = {
\t\tinode_size = 256
\t}
\toutcrop = {
\t\tinode_size = 256
\t}
";
/// Journal, in MiB. It doesn't grow with the file system: enough for a disk, small beside the image.
const JOURNAL_MIB: u32 = 32;
/// Length, in blocks, up to which descriptors have room: 4 TiB. Beyond, the kernel moves to `meta_bg` by itself.
const RESIZE_BLOCKS: u64 = 1 << 30;
/// 1980-01-01, as everywhere in an image that needs a date.
const TIME: &str = "315532800";
/// What is read and written at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// A part of the file system, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Bytes that belong to the file system, whole blocks.
    Data(Vec<u8>),
    /// As many bytes that don't.
    Unused(u64),
}

/// A file system in a temporary file.
///
/// The file was filled with a pattern before `mke2fs` wrote to it. What still shows the pattern isn't part of the file
/// system (unused blocks, inode tables that the kernel initialises later): it needn't be written to a medium. What `mke2fs`
/// wrote must be, zeros too: old bytes in the journal could be replayed.
#[derive(Debug)]
pub struct DataFileSystem {
    file: NamedTempFile,
    pattern: [u8; SECTOR],
}

const SECTOR: usize = 512;
const BLOCK: usize = 4096;

impl DataFileSystem {
    /// Makes a file system of `bytes` bytes (whole MiB) in the folder `scratch`.
    pub(super) fn make(identity: &Identity, bytes: u64, scratch: &Path) -> Result<Self, DiskError> {
        let failed = |source| DiskError::Io {
            doing: "write",
            path: scratch.to_owned(),
            source,
        };
        let named = |prefix| tempfile::Builder::new().prefix(prefix).tempfile_in(scratch);
        let pattern = pattern();
        let mut file = named(".outcrop-data-").map_err(failed)?;
        fill(file.as_file_mut(), &pattern, bytes).map_err(failed)?;
        let mut config = named(".outcrop-mke2fs-").map_err(failed)?;
        config.write_all(CONFIG.as_bytes()).map_err(failed)?;
        mke2fs(identity, file.path(), config.path(), bytes / BLOCK as u64)?;
        Ok(Self { file, pattern })
    }

    /// Hands each part to `take`, in order.
    pub(super) fn read(self, mut take: impl FnMut(Part) -> Result<(), DiskError>) -> Result<(), DiskError> {
        let failed = |source| DiskError::Io {
            doing: "read",
            path: self.file.path().to_owned(),
            source,
        };
        let mut file = self.file.as_file();
        file.rewind().map_err(failed)?;
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            match file.read_exact(&mut buffer) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
            for part in split(&mut buffer, &self.pattern) {
                take(part)?;
            }
        }
    }
}

/// Cuts a chunk into used and unused blocks. In a used block, sectors that nobody wrote become zero.
fn split(chunk: &mut [u8], pattern: &[u8; SECTOR]) -> Vec<Part> {
    let mut parts = Vec::new();
    for block in chunk.as_chunks_mut::<BLOCK>().0 {
        let sectors = block.as_chunks_mut::<SECTOR>().0;
        if sectors.iter().all(|sector| sector == pattern) {
            match parts.last_mut() {
                Some(Part::Unused(len)) => *len += BLOCK as u64,
                _ => parts.push(Part::Unused(BLOCK as u64)),
            }
            continue;
        }
        sectors
            .iter_mut()
            .filter(|sector| *sector == pattern)
            .for_each(|sector| sector.fill(0));
        match parts.last_mut() {
            Some(Part::Data(bytes)) => bytes.extend_from_slice(block),
            _ => parts.push(Part::Data(block.to_vec())),
        }
    }
    parts
}

/// Bytes that no file system has in a sector: a linear congruential sequence.
fn pattern() -> [u8; SECTOR] {
    let mut state = 0x006f_7574_6372_6f70_u64;
    std::array::from_fn(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
}

fn fill(file: &mut File, pattern: &[u8; SECTOR], bytes: u64) -> io::Result<()> {
    let chunk = pattern.repeat(CHUNK_BYTES / SECTOR);
    (0..bytes / CHUNK_BYTES as u64).try_for_each(|_| file.write_all(&chunk))
}

fn mke2fs(identity: &Identity, file: &Path, config: &Path, blocks: u64) -> Result<(), DiskError> {
    let (uuid, seed) = (identity.data_file_system(), identity.directory_hash_seed());
    let extended = format!(
        "hash_seed={seed},root_owner=0:0,nodiscard,lazy_itable_init=1,lazy_journal_init=0,resize={RESIZE_BLOCKS}"
    );
    let mut command = Command::new(find_tool()?);
    command
        .env_clear()
        .envs([
            ("LC_ALL", "C"),
            ("TZ", "UTC"),
            ("E2FSPROGS_FAKE_TIME", TIME),
            ("SOURCE_DATE_EPOCH", TIME),
        ])
        .env("MKE2FS_CONFIG", config)
        .args([
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "4096",
            "-I",
            "256",
            "-i",
            "16384",
            "-m",
            "1",
            "-e",
            "remount-ro",
        ])
        .args([
            "-O",
            FEATURES,
            "-L",
            LABEL,
            "-U",
            &uuid.to_string(),
            "-E",
            &extended,
        ])
        .args(["-J", &format!("size={JOURNAL_MIB}")])
        .arg(file)
        .arg(blocks.to_string());
    let output = command.output().map_err(|source| DiskError::Io {
        doing: "run mke2fs on",
        path: file.to_owned(),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(DiskError::Tool {
        tool: "mke2fs",
        message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Whether what an image needs from the build machine is there: `mke2fs`. To be asked before a long build.
///
/// # Errors
/// [`DiskError::MissingTool`], which names the package.
pub fn check_tools() -> Result<(), DiskError> {
    find_tool().map(|_| ())
}

/// What `mke2fs` calls itself: its version decides over bytes of the file system.
///
/// # Errors
/// When it is missing or can't be run.
pub fn mke2fs_version() -> Result<String, DiskError> {
    let program = find_tool()?;
    let output = Command::new(&program).arg("-V").output();
    let output = output.map_err(|source| DiskError::Io {
        doing: "run",
        path: program,
        source,
    })?;
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Where `mke2fs` is: on the PATH, or where Debian has it, which isn't on an ordinary user's PATH.
fn find_tool() -> Result<PathBuf, DiskError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let mut candidates = folders.map(|folder| folder.join("mke2fs"));
    let found = candidates.find(|candidate| candidate.is_file());
    found.ok_or(DiskError::MissingTool {
        tool: "mke2fs",
        package: "e2fsprogs",
    })
}

#[cfg(test)]
mod tests {
    use outcrop_release::arch::Architecture;

    use super::*;
    use crate::disk::identity::tests::identity;

    fn parts() -> Vec<Part> {
        let folder = tempfile::tempdir().unwrap();
        let made = DataFileSystem::make(&identity(Architecture::X86_64), 128 << 20, folder.path()).unwrap();
        let mut parts = Vec::new();
        made.read(|part| {
            parts.push(part);
            Ok(())
        })
        .unwrap();
        assert_eq!(
            folder.path().read_dir().unwrap().count(),
            0,
            "nothing stays behind"
        );
        parts
    }

    #[test]
    fn the_same_file_system_comes_out_at_another_time() {
        let first = parts();
        std::thread::sleep(std::time::Duration::from_millis(1100));
        assert!(first == parts());
    }

    #[test]
    fn what_mke2fs_wrote_is_data_and_the_rest_is_not() {
        let parts = parts();
        let used: usize = parts
            .iter()
            .map(|part| {
                if let Part::Data(bytes) = part {
                    bytes.len()
                } else {
                    0
                }
            })
            .sum();
        let unused: u64 = parts
            .iter()
            .map(|part| if let Part::Unused(len) = part { *len } else { 0 })
            .sum();
        assert_eq!(used as u64 + unused, 128 << 20);
        let journal = JOURNAL_MIB as usize * (1 << 20);
        assert!(used >= journal && used < journal + (8 << 20), "{used}");
        let Some(Part::Data(first)) = parts.first() else {
            panic!("the superblock comes first")
        };
        assert_eq!(first[1024 + 56..1024 + 58], [0x53, 0xef]);
        assert!(first[..1024].iter().all(|&byte| byte == 0));
    }
}
