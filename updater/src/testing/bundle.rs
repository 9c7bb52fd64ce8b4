//! Small releases, and bundles of them.

use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use outcrop_release::{
    bundle::{ARCHIVE_BLOCK_BYTES, Frame, FrameTable, Index, MemberName, PREFIX_BYTES, header},
    digest::FileDigest,
    manifest::{Manifest, Member, Members, RollbackIndex, Target, VerityParameters},
    name::ReleaseName,
    plan::{ByteRange, Overheads, requests},
    trust::{PublicKey, Purpose, Signature, Signatures, Trust, signed_message},
    verity::{BLOCK_BYTES, HashTree, Salt, TreeBuilder},
};
use semver::Version;

use crate::install::{Source, SourceError, Take};

/// Blocks in a frame of these bundles.
const FRAME_BLOCKS: usize = 4;

/// What a release installs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) number: u64,
    pub(crate) boot: Vec<u8>,
    pub(crate) root: Vec<u8>,
}

fn block(seed: u64) -> Vec<u8> {
    let word = |at: u64| (at ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    (0..BLOCK_BYTES as u64 / 8).flat_map(word).collect()
}

impl Release {
    /// A release whose blocks all differ.
    pub(crate) fn new(number: u64) -> Self {
        let blocks =
            |from: u64, count: u64| (from..from + count).flat_map(|seed| block(seed << 20)).collect();
        Self {
            number,
            boot: blocks(1000 * number, 6),
            root: blocks(5000 * number, 40),
        }
    }

    /// The next one: some blocks are new, some have moved, the rest is the same.
    pub(crate) fn changed(&self, number: u64) -> Self {
        let other = Self::new(number);
        let mut new = Self {
            number,
            ..self.clone()
        };
        for at in [0, 9, 10, 31] {
            let range = at * BLOCK_BYTES..(at + 1) * BLOCK_BYTES;
            new.root[range.clone()].copy_from_slice(&other.root[range]);
        }
        new.root.rotate_left(2 * BLOCK_BYTES);
        new.boot[..2 * BLOCK_BYTES].copy_from_slice(&other.boot[..2 * BLOCK_BYTES]);
        new
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.boot.len() + self.root.len()) as u64
    }

    pub(crate) fn root_tree(&self) -> HashTree {
        tree(&self.root)
    }
}

/// What the trees are made with.
const VERITY: VerityParameters = VerityParameters {
    salt: Salt::from_bytes([5; 32]),
    uuid: uuid::Uuid::from_u128(7),
};

pub(crate) fn tree(bytes: &[u8]) -> HashTree {
    let mut builder = TreeBuilder::new(VERITY.uuid, VERITY.salt);
    builder.push(bytes);
    builder.finish().unwrap()
}

pub(crate) fn key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

pub(crate) fn trust() -> Trust {
    let public = PublicKey::from_bytes(key().verifying_key().as_bytes()).unwrap();
    Trust::new(1, vec![("test".to_owned(), public)]).unwrap()
}

/// A bundle, and its members, to be tampered with.
#[derive(Debug, Clone)]
pub(crate) struct Bundle {
    pub(crate) manifest: Manifest,
    pub(crate) members: Vec<(MemberName, Vec<u8>)>,
    pub(crate) bytes: Vec<u8>,
}

impl Bundle {
    pub(crate) fn of(release: &Release) -> Self {
        let ((boot_frames, boot), (root_frames, root)) = (frames(&release.boot), frames(&release.root));
        let (boot_tree, root_tree) = (tree(&release.boot), tree(&release.root));
        let index = Index {
            boot: boot_frames,
            root: root_frames,
        };
        let encoded = index.encode();
        let (index, index_top) = encoded.members();
        let verity = [boot_tree.to_bytes(), root_tree.to_bytes()].concat();
        let member = |bytes: &[u8]| Member {
            bytes: bytes.len() as u64,
            sha256: FileDigest::of(bytes),
        };
        let target = |bytes: &[u8], tree: &HashTree| Target {
            bytes: bytes.len() as u64,
            root_hash: tree.root_hash(),
        };
        let manifest = Manifest {
            release: ReleaseName {
                image: "edge".parse().unwrap(),
                version: Version::new(1, release.number, 0),
                architecture: "x86_64".parse().unwrap(),
                board: "efi".parse().unwrap(),
            },
            rollback_index: RollbackIndex(0),
            minimum_updater: Version::new(0, 1, 0),
            health_deadline: Duration::from_secs(600),
            kubernetes: None,
            layout_of: None,
            secure_boot: None,
            root: target(&release.root, &root_tree),
            boot: target(&release.boot, &boot_tree),
            verity: VERITY,
            members: Members {
                index,
                index_top,
                verity: member(&verity),
                boot: member(&boot),
                root: member(&root),
            },
        };
        let members = vec![
            (MemberName::Manifest, Vec::new()),
            (MemberName::Signatures, Vec::new()),
            (MemberName::Index, encoded.bytes),
            (MemberName::Verity, verity),
            (MemberName::Boot, boot),
            (MemberName::Root, root),
        ];
        let mut bundle = Self {
            manifest,
            members,
            bytes: Vec::new(),
        };
        bundle.sign();
        bundle
    }

    /// Makes the digests of the manifest those of the members, signs it, and puts the archive together.
    pub(crate) fn sign(&mut self) {
        let member = |place: usize| Member {
            bytes: self.members[place].1.len() as u64,
            sha256: FileDigest::of(&self.members[place].1),
        };
        let top = usize::try_from(self.manifest.members.index_top.bytes).unwrap();
        let top = top.min(self.members[2].1.len());
        self.manifest.members = Members {
            index: member(2),
            index_top: Member {
                bytes: top as u64,
                sha256: FileDigest::of(&self.members[2].1[..top]),
            },
            verity: member(3),
            boot: member(4),
            root: member(5),
        };
        self.seal();
    }

    /// Signs the manifest as it is, whatever the members are.
    pub(crate) fn seal(&mut self) {
        let manifest = self.manifest.to_bytes();
        let mut signatures = Signatures::default();
        let signature = key().sign(&signed_message(Purpose::Release, &manifest));
        signatures
            .add(Signature {
                key: PublicKey::from_bytes(key().verifying_key().as_bytes()).unwrap(),
                bytes: signature.to_bytes(),
            })
            .unwrap();
        self.members[0].1 = manifest;
        self.members[1].1 = signatures.to_bytes();
        self.pack();
    }

    /// Puts the archive together as the members are.
    pub(crate) fn pack(&mut self) {
        self.bytes.clear();
        for (name, content) in &self.members {
            self.bytes.extend(header(*name, content.len() as u64).unwrap());
            self.bytes.extend(content);
            let end = self.bytes.len().next_multiple_of(ARCHIVE_BLOCK_BYTES);
            self.bytes.resize(end, 0);
        }
        self.bytes.extend([0; 2 * ARCHIVE_BLOCK_BYTES]);
    }
}

fn frames(payload: &[u8]) -> (FrameTable, Vec<u8>) {
    let (mut frames, mut bytes) = (Vec::new(), Vec::new());
    for (number, plain) in payload.chunks(FRAME_BLOCKS * BLOCK_BYTES).enumerate() {
        let start = number * FRAME_BLOCKS * BLOCK_BYTES;
        let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
        let before = &payload[start.saturating_sub(PREFIX_BYTES)..start];
        compressor.context_mut().ref_prefix(before).unwrap();
        let packed = compressor.compress(plain).unwrap();
        frames.push(Frame {
            blocks: u32::try_from(plain.len() / BLOCK_BYTES).unwrap(),
            bytes: u32::try_from(packed.len()).unwrap(),
            sha256: FileDigest::of(&packed),
        });
        bytes.extend(packed);
    }
    (FrameTable::new(frames).unwrap(), bytes)
}

/// A bundle in memory, handed over in odd pieces.
#[derive(Debug, Clone)]
pub(crate) struct MemorySource(pub(crate) Vec<u8>);

impl Source for MemorySource {
    fn read<E: From<SourceError>>(&mut self, range: ByteRange, take: Take<'_, E>) -> Result<(), E> {
        let whole = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .and_then(|(start, end)| self.0.get(start..end));
        let Some(bytes) = whole else {
            let short = SourceError::Short {
                end: self.0.len() as u64,
                wanted: range.end,
            };
            return Err(short.into());
        };
        bytes.chunks(1009).try_for_each(take)
    }
}

/// A bundle in memory that remembers what was read of it, as a web server would: by the requests for what was announced.
#[derive(Debug)]
pub(crate) struct CountingSource {
    inner: MemorySource,
    /// Requests for what was announced last.
    planned: Vec<Vec<ByteRange>>,
    /// Requests so far.
    pub(crate) requests: Vec<Vec<ByteRange>>,
    /// What was read.
    pub(crate) read: Vec<ByteRange>,
}

impl CountingSource {
    pub(crate) fn new(bundle: &Bundle) -> Self {
        Self {
            inner: MemorySource(bundle.bytes.clone()),
            planned: Vec::new(),
            requests: Vec::new(),
            read: Vec::new(),
        }
    }

    /// Bytes of all requests.
    pub(crate) fn bytes(&self) -> u64 {
        self.requests.iter().flatten().map(ByteRange::bytes).sum()
    }
}

impl Source for CountingSource {
    fn announce(&mut self, ranges: &[ByteRange]) {
        self.planned = requests(ranges, &Overheads::SEVERAL);
    }

    fn read<E: From<SourceError>>(&mut self, range: ByteRange, take: Take<'_, E>) -> Result<(), E> {
        let covers = |asked: &ByteRange| asked.start <= range.start && range.end <= asked.end;
        let planned = self.planned.iter().find(|request| request.iter().any(covers));
        let request = planned.cloned().unwrap_or_else(|| vec![range]);
        if self.requests.last() != Some(&request) {
            self.requests.push(request);
        }
        self.read.push(range);
        self.inner.read(range, take)
    }
}
