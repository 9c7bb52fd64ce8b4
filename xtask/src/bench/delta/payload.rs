//! What an update brings to a device: the bytes of an image's root and boot payloads, taken out of the disk image.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::lock_text::hex;
use crate::{bench::delta::failed, error::Error, shell};

/// Of dm-verity, of EROFS, and of RAUC's block-hash-index.
pub(super) const BLOCK_BYTES: usize = 4096;
/// Where `outcrop build` puts slot A's boot payload on partition 1: docs/formats.md, "Boot loader configuration".
const BOOT_FILE: &str = "::/EFI/Linux/outcrop-a.efi";
const ESP: u32 = 1;
const ROOT_A: u32 = 5;

/// The payloads of a release, as files.
#[derive(Debug)]
pub(super) struct Payload {
    /// The root file system with its hash tree.
    pub(super) root: PathBuf,
    /// The boot payload, up to a whole block.
    pub(super) boot: PathBuf,
    /// Both, in this order: what the peers get.
    pub(super) whole: PathBuf,
    /// Length of `whole`.
    pub(super) bytes: u64,
    /// SHA-256 of `whole`.
    pub(super) digest: String,
}

/// What `outcrop inspect --json` says of it.
#[derive(Deserialize)]
struct Inspected {
    partitions: Vec<Partition>,
    slots: Vec<Slot>,
}

#[derive(Deserialize)]
struct Partition {
    number: u32,
    start: u64,
}

#[derive(Deserialize)]
struct Slot {
    root: Usage,
    boot: Option<Usage>,
}

#[derive(Deserialize)]
struct Usage {
    used: u64,
}

impl Inspected {
    fn of(outcrop: &Path, image: &Path) -> Result<Self, Error> {
        let told = shell::output(Command::new(outcrop).args(["inspect", "--json"]).arg(image))?;
        serde_json::from_str(&told).map_err(|error| Error::Unexpected(format!("{error}: {told}")))
    }

    fn start(&self, number: u32) -> Result<u64, Error> {
        let found = self
            .partitions
            .iter()
            .find(|partition| partition.number == number);
        found
            .map(|partition| partition.start)
            .ok_or_else(|| Error::Unexpected(format!("an image has no partition {number}")))
    }
}

/// First byte of slot A's root in an image.
pub(super) fn root_start(outcrop: &Path, image: &Path) -> Result<u64, Error> {
    Inspected::of(outcrop, image)?.start(ROOT_A)
}

impl Payload {
    /// Takes the payloads out of slot A of `image`, into `folder`.
    pub(super) fn take(outcrop: &Path, image: &Path, folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(failed("create folder", folder))?;
        let told = Inspected::of(outcrop, image)?;
        let empty = || Error::Unexpected(format!("{}: slot A is empty", image.display()));
        let slot = told.slots.first().ok_or_else(empty)?;
        let boot_bytes = slot.boot.as_ref().ok_or_else(empty)?.used;
        let [root, boot, whole] = ["root", "boot", "whole"].map(|name| folder.join(name));
        copy_range(image, told.start(ROOT_A)?, slot.root.used, &root)?;
        let mut mcopy = Command::new("mcopy");
        mcopy.args(["-n", "-o", "-i"]);
        mcopy.arg(format!("{}@@{}", image.display(), told.start(ESP)?));
        shell::run(mcopy.arg(BOOT_FILE).arg(&boot))?;
        // The file is as long as its slot; zeros follow the payload.
        let file = File::options()
            .write(true)
            .open(&boot)
            .map_err(failed("open", &boot))?;
        file.set_len(boot_bytes.next_multiple_of(BLOCK_BYTES as u64))
            .map_err(failed("shorten", &boot))?;
        let (bytes, digest) = concatenate(&[&root, &boot], &whole).map_err(failed("write", &whole))?;
        Ok(Self {
            root,
            boot,
            whole,
            bytes,
            digest,
        })
    }
}

fn copy_range(from: &Path, start: u64, bytes: u64, to: &Path) -> Result<(), Error> {
    let copy = || -> io::Result<()> {
        let mut source = File::open(from)?;
        source.seek(SeekFrom::Start(start))?;
        io::copy(&mut source.take(bytes), &mut File::create(to)?).map(drop)
    };
    copy().map_err(failed("copy a payload to", to))
}

/// Length and SHA-256 of all.
fn concatenate(parts: &[&Path], to: &Path) -> io::Result<(u64, String)> {
    let mut file = File::create(to)?;
    for part in parts {
        io::copy(&mut File::open(part)?, &mut file)?;
    }
    let bytes = file.metadata()?.len();
    Ok((bytes, digest_of(to)?))
}

/// SHA-256 of a file.
pub(super) fn digest_of(path: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut piece) = (File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(piece.get(..read).unwrap_or_default()),
        }
    }
}

/// Calls `take` with each block of a file; the last one may be short.
pub(super) fn each_block(
    path: &Path,
    mut take: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> Result<(), Error> {
    let mut read = || -> io::Result<()> {
        let mut file = io::BufReader::with_capacity(1 << 20, File::open(path)?);
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        for index in 0.. {
            block.clear();
            if file.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block)? == 0 {
                break;
            }
            take(index, &block)?;
        }
        Ok(())
    };
    read().map_err(failed("read", path))
}

/// The SHA-256 of every block of a file.
pub(super) fn blocks(path: &Path) -> Result<Vec<[u8; 32]>, Error> {
    let mut digests = Vec::new();
    each_block(path, |_, block| {
        digests.push(Sha256::digest(block).into());
        Ok(())
    })?;
    Ok(digests)
}

/// Bytes of blocks of `new` that `old` doesn't have at their place: what has to be written over it.
pub(super) fn changed_bytes(old: &Payload, new: &Payload) -> Result<u64, Error> {
    let mut changed = 0;
    for (old, new) in [(&old.root, &new.root), (&old.boot, &new.boot)] {
        let (old, new) = (blocks(old)?, blocks(new)?);
        let differ = |(index, block): &(usize, &[u8; 32])| old.get(*index) != Some(*block);
        changed += new.iter().enumerate().filter(differ).count();
    }
    Ok((changed * BLOCK_BYTES) as u64)
}

/// The places of the blocks of `new` that `old` has nowhere, each content once, at its first place.
pub(super) fn missing(old: &HashSet<[u8; 32]>, new: &[[u8; 32]]) -> Vec<u64> {
    let mut seen = HashSet::new();
    let is_missing = |block: &[u8; 32]| !old.contains(block);
    let places = (0..).zip(new).filter(|(_, block)| is_missing(block));
    places
        .filter(|(_, block)| seen.insert(**block))
        .map(|(place, _)| place)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_block_counts_once_and_one_that_is_elsewhere_does_not() {
        let old = HashSet::from([[1; 32], [2; 32]]);
        assert_eq!(
            missing(&old, &[[2; 32], [3; 32], [1; 32], [3; 32], [4; 32]]),
            [1, 4]
        );
    }

    #[test]
    fn the_last_block_may_be_short() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, vec![7; BLOCK_BYTES + 1]).unwrap();
        let mut seen = Vec::new();
        each_block(file.path(), |index, block| {
            seen.push((index, block.len()));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(0, BLOCK_BYTES), (1, 1)]);
        assert_eq!(digest_of(file.path()).unwrap().len(), 64);
    }
}
