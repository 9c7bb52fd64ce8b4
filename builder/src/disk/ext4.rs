//! The data file system: an empty ext4, made by `mke2fs`, with features and times that no build machine decides.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use outcrop_release::data_file_system::{CONFIG, mke2fs_arguments};
use tempfile::NamedTempFile;

use super::{error::DiskError, identity::Identity};

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
    let extended = format!("hash_seed={seed},nodiscard");
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
        .args(mke2fs_arguments(&extended))
        .args(["-U", &uuid.to_string()])
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
    use outcrop_release::{arch::Architecture, data_file_system::JOURNAL_MIB};

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
