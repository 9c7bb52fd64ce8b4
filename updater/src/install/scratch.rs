//! The new release's hash trees: fetched once, proven block by block, kept until they are written to their place.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use outcrop_release::{
    bundle::{MemberName, Place},
    digest::{FileDigest, FileHasher, RootHash},
    manifest::{Manifest, Target},
    plan::ByteRange,
    verity::{BLOCK_BYTES, BlockHash, Geometry, HASH_BYTES, HASHES_PER_BLOCK, Salt, TreeVerifier},
};

use super::{error::InstallError, source::Source};

/// A place for the trees: about 1/127 of the release.
pub trait Scratch {
    /// Writes bytes, in any order.
    ///
    /// # Errors
    /// When there is no room.
    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads what was written.
    ///
    /// # Errors
    /// When it can't be read.
    fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl Scratch for File {
    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, at)
    }
}

/// A proven tree in the scratch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tree {
    /// Where it begins in the scratch.
    start: u64,
    geometry: Geometry,
    root: RootHash,
    salt: Salt,
}

/// Both trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trees {
    pub(super) boot: Tree,
    pub(super) root: Tree,
}

/// Fetches both trees of `manifest`, proves them, and keeps them in `scratch`.
pub(super) fn fetch<S: Source, C: Scratch>(
    source: &mut S,
    place: Place,
    manifest: &Manifest,
    scratch: &mut C,
    checkpoint: &dyn Fn() -> Result<(), InstallError>,
) -> Result<Trees, InstallError> {
    let geometry = |target: &Target| Geometry::new(target.bytes / BLOCK_BYTES as u64);
    let (boot, root) = (geometry(&manifest.boot)?, geometry(&manifest.root)?);
    let expected = boot.partition_bytes() + root.partition_bytes();
    if place.bytes != expected {
        return Err(InstallError::TreeLength {
            expected,
            found: place.bytes,
        });
    }
    let mut verifiers = [
        (MemberName::Boot, TreeVerifier::new(boot, manifest.boot.root_hash)),
        (MemberName::Root, TreeVerifier::new(root, manifest.root.root_hash)),
    ];
    let mut hash = FileHasher::default();
    let (mut blocks, mut at) = (Blocks::default(), 0);
    let range = ByteRange {
        start: place.start,
        end: place.start + place.bytes,
    };
    source.read::<InstallError>(range, &mut |piece| {
        checkpoint()?;
        hash.update(piece);
        blocks.push(piece, &mut |block| {
            prove(&mut verifiers, block)?;
            let kept = scratch.write(at, block);
            kept.map_err(|source| InstallError::Scratch {
                bytes: expected,
                source,
            })?;
            at += BLOCK_BYTES as u64;
            Ok(())
        })
    })?;
    let (found, expected) = (hash.finish(), manifest.members.verity.sha256);
    check_digest(MemberName::Verity, expected, found)?;
    let tree =
        |(payload, verifier): &(MemberName, TreeVerifier), geometry: Geometry, start: u64, root: RootHash| {
            let superblock = verifier.superblock().filter(|_| verifier.is_complete());
            superblock
                .map(|superblock| Tree {
                    start,
                    geometry,
                    root,
                    salt: superblock.salt,
                })
                .ok_or(InstallError::Member {
                    member: *payload,
                    expected,
                    found,
                })
        };
    let [first, second] = &verifiers;
    Ok(Trees {
        boot: tree(first, boot, 0, manifest.boot.root_hash)?,
        root: tree(second, root, boot.partition_bytes(), manifest.root.root_hash)?,
    })
}

/// Cuts bytes into blocks.
struct Blocks {
    block: [u8; BLOCK_BYTES],
    filled: usize,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            block: [0; BLOCK_BYTES],
            filled: 0,
        }
    }
}

impl Blocks {
    fn push(
        &mut self,
        mut piece: &[u8],
        take: &mut dyn FnMut(&[u8; BLOCK_BYTES]) -> Result<(), InstallError>,
    ) -> Result<(), InstallError> {
        while !piece.is_empty() {
            let (now, rest) = piece.split_at(piece.len().min(BLOCK_BYTES - self.filled));
            if let Some(free) = self.block.get_mut(self.filled..self.filled + now.len()) {
                free.copy_from_slice(now);
            }
            self.filled += now.len();
            piece = rest;
            if self.filled == BLOCK_BYTES {
                take(&self.block)?;
                self.filled = 0;
            }
        }
        Ok(())
    }
}

fn prove(
    verifiers: &mut [(MemberName, TreeVerifier); 2],
    block: &[u8; BLOCK_BYTES],
) -> Result<(), InstallError> {
    let next = verifiers.iter_mut().find(|(_, verifier)| !verifier.is_complete());
    let Some((payload, verifier)) = next else {
        return Ok(());
    };
    let payload = *payload;
    verifier
        .push(block)
        .map(drop)
        .map_err(|source| InstallError::Tree { payload, source })
}

pub(super) fn check_digest(
    member: MemberName,
    expected: FileDigest,
    found: FileDigest,
) -> Result<(), InstallError> {
    if found == expected {
        Ok(())
    } else {
        Err(InstallError::Member {
            member,
            expected,
            found,
        })
    }
}

impl Tree {
    /// Salt of its hashes.
    pub(super) const fn salt(&self) -> &Salt {
        &self.salt
    }

    /// Blocks of the tree with its superblock's.
    pub(super) fn blocks(&self) -> u64 {
        self.geometry.partition_bytes() / BLOCK_BYTES as u64
    }

    /// A verifier of the same tree, for a copy of it.
    pub(super) fn verifier(&self) -> TreeVerifier {
        TreeVerifier::new(self.geometry, self.root)
    }

    /// A block of the tree; 0 is the superblock's.
    pub(super) fn block(
        &self,
        scratch: &impl Scratch,
        number: u64,
    ) -> Result<[u8; BLOCK_BYTES], InstallError> {
        let mut block = [0; BLOCK_BYTES];
        let at = self.start + number * BLOCK_BYTES as u64;
        scratch
            .read(at, &mut block)
            .map_err(|source| InstallError::Scratch {
                bytes: self.geometry.partition_bytes(),
                source,
            })?;
        Ok(block)
    }

    /// The hashes of the data blocks.
    pub(super) const fn leaves<'a, C>(&self, scratch: &'a C) -> Leaves<'a, C> {
        Leaves {
            tree: *self,
            scratch,
            cached: None,
        }
    }
}

/// Hashes of data blocks, read from the scratch a block at a time.
pub(super) struct Leaves<'a, C> {
    tree: Tree,
    scratch: &'a C,
    cached: Option<(u64, [u8; BLOCK_BYTES])>,
}

impl<C: Scratch> Leaves<'_, C> {
    /// How many there are.
    pub(super) const fn count(&self) -> u64 {
        self.tree.geometry.data_blocks()
    }

    /// The hash of a data block.
    pub(super) fn get(&mut self, index: u64) -> Result<BlockHash, InstallError> {
        let wanted = self.tree.geometry.leaves_offset() / BLOCK_BYTES as u64 + index / HASHES_PER_BLOCK;
        let block = match &self.cached {
            Some((number, block)) if *number == wanted => block,
            _ => {
                let block = self.tree.block(self.scratch, wanted)?;
                &self.cached.insert((wanted, block)).1
            }
        };
        let place = usize::try_from(index % HASHES_PER_BLOCK).unwrap_or_default();
        let hashes = block.as_chunks::<HASH_BYTES>().0;
        Ok(hashes.get(place).copied().unwrap_or_default())
    }
}
