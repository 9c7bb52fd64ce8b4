//! Small deltas, good ones and such as nobody honest makes.

use std::collections::HashMap;

use ed25519_dalek::{Signer as _, SigningKey};
use outcrop_release::{
    bundle::{ARCHIVE_BLOCK_BYTES, MemberName, header},
    delta::{
        BareBoot, Code, Control, DeltaIndex, DeltaManifest, Effort, FrameStreams, OldRelease, PackedFrame,
        Part, PatchFrame, PayloadDelta, SpanSource, Spans, compress, directory,
    },
    digest::{FileDigest, RootHash},
    manifest::{Member, Target},
    trust::{PublicKey, Purpose, Signature, Signatures, signed_message},
    verity::{BLOCK_BYTES, BlockHash, HashTree},
};
use semver::Version;

use super::bundle::{Bundle, Release, key, tree};

/// The streams of a frame before they are compressed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plain {
    pub(crate) control: Vec<u8>,
    pub(crate) difference: Vec<u8>,
    pub(crate) extra: Vec<u8>,
}

/// A delta, to be tampered with.
#[derive(Debug, Clone)]
pub(crate) struct Delta {
    pub(crate) manifest: DeltaManifest,
    pub(crate) index: DeltaIndex,
    pub(crate) data: Vec<u8>,
    pub(crate) key: SigningKey,
}

impl Delta {
    /// From one release to another; from nothing without one.
    pub(crate) fn of(old: Option<&Release>, new: &Release, bundle: &Bundle) -> Self {
        Self::made_with(old, new, bundle, &|_| {})
    }

    /// The same, with the streams changed before they are compressed.
    pub(crate) fn made_with(
        old: Option<&Release>,
        new: &Release,
        bundle: &Bundle,
        change: &dyn Fn(&mut Plain),
    ) -> Self {
        let nothing = Vec::new();
        let (old_root, old_boot) = old.map_or((&nothing, &nothing), |old| (&old.root, &old.boot));
        let (root, mut data) = payload(old_root, &new.root, change);
        let (boot, boot_data) = payload(old_boot, &new.boot, change);
        data.extend(boot_data);
        let target = |bytes: &Vec<u8>| Target {
            bytes: bytes.len() as u64,
            root_hash: tree(bytes).root_hash(),
        };
        let from = old.map(|old| OldRelease {
            version: Version::new(1, old.number, 0),
            root: target(&old.root),
            boot: target(&old.boot),
        });
        let nothing = Member {
            bytes: 1,
            sha256: FileDigest::of(b""),
        };
        Self {
            manifest: DeltaManifest {
                release: bundle.manifest.release.clone(),
                manifest: FileDigest::of(&bundle.manifest.to_bytes()),
                from,
                index: nothing,
                data: nothing,
            },
            index: DeltaIndex {
                root,
                boot,
                packed: None,
                bare: None,
            },
            data,
            key: key(),
        }
    }

    /// The same with the boot payload by way of the bare form, made of the expanded form `old`.
    pub(crate) fn with_bare(
        mut self,
        boot: BareBoot,
        (old, new): (&[u8], &[u8]),
        change: &dyn Fn(&mut Plain),
    ) -> Self {
        let mut plain = copied(old, new);
        change(&mut plain);
        let (frame, data) = frame(&plain);
        self.data.extend(data);
        self.index.bare = Some(BareBoot {
            frames: vec![PackedFrame {
                plain: u32::try_from(new.len()).unwrap(),
                streams: frame.streams,
                sha256: frame.sha256,
            }],
            ..boot
        });
        self
    }

    pub(crate) fn starts_from(&self) -> Option<RootHash> {
        self.manifest.from.as_ref().map(|old| old.root.root_hash)
    }

    /// The file, signed as it is now.
    pub(crate) fn file(&self) -> Vec<u8> {
        let index = self.index.encode();
        let member = |bytes: &[u8]| Member {
            bytes: bytes.len() as u64,
            sha256: FileDigest::of(bytes),
        };
        let manifest = DeltaManifest {
            index: member(&index),
            data: member(&self.data),
            ..self.manifest.clone()
        };
        let manifest = manifest.to_bytes();
        let mut signatures = Signatures::default();
        let signature = self.key.sign(&signed_message(Purpose::Delta, &manifest));
        signatures
            .add(Signature {
                key: PublicKey::from_bytes(self.key.verifying_key().as_bytes()).unwrap(),
                bytes: signature.to_bytes(),
            })
            .unwrap();
        let mut file = Vec::new();
        let members = [&manifest, &signatures.to_bytes(), &index, &self.data];
        for (name, content) in MemberName::OF_DELTA.into_iter().zip(members) {
            push(&mut file, name, content);
        }
        file.extend([0; 2 * ARCHIVE_BLOCK_BYTES]);
        file
    }

    /// The bundle with the delta in it.
    pub(crate) fn inside(&self, bundle: &Bundle) -> Vec<u8> {
        let file = self.file();
        let mut content = directory(&[(self.starts_from(), file.len() as u64)])
            .unwrap()
            .to_vec();
        content.extend(file);
        let mut bytes = bundle.bytes[..bundle.bytes.len() - 2 * ARCHIVE_BLOCK_BYTES].to_vec();
        push(&mut bytes, MemberName::Deltas, &content);
        bytes.extend([0; 2 * ARCHIVE_BLOCK_BYTES]);
        bytes
    }
}

fn push(file: &mut Vec<u8>, name: MemberName, content: &[u8]) {
    file.extend(header(name, content.len() as u64).unwrap());
    file.extend(content);
    file.resize(file.len().next_multiple_of(ARCHIVE_BLOCK_BYTES), 0);
}

/// Every block that the old payload has at the same place comes from there; of the others each second byte is what the old one's is.
fn payload(old: &[u8], new: &[u8], change: &dyn Fn(&mut Plain)) -> (PayloadDelta, Vec<u8>) {
    let (old_blocks, new_blocks) = (old.as_chunks::<BLOCK_BYTES>().0, new.as_chunks::<BLOCK_BYTES>().0);
    let (mut spans, mut plain, mut at) = (Spans::default(), Plain::default(), 0);
    for (number, block) in (0_u32..).zip(new_blocks) {
        let place = usize::try_from(number).unwrap();
        match old_blocks.get(place) {
            Some(there) if there == block => spans.push(SpanSource::Old(number)),
            Some(there) => {
                spans.push(SpanSource::Patch);
                let start = i64::from(number) * 4096;
                step(&mut plain, start - at, 4096, 0);
                at = start + 4096;
                plain
                    .difference
                    .extend(block.iter().zip(there).map(|(new, old)| new.wrapping_sub(*old)));
            }
            None => {
                spans.push(SpanSource::Patch);
                step(&mut plain, 0, 0, 4096);
                plain.extra.extend(block);
            }
        }
    }
    change(&mut plain);
    let has_patches = spans.patched(0, spans.blocks()) > 0;
    let (frame, data) = frame(&plain);
    let before = if old.is_empty() {
        Vec::new()
    } else {
        tree(old).leaf_block_hashes()
    };
    let delta = PayloadDelta {
        spans,
        frames: if has_patches { vec![frame] } else { Vec::new() },
        hashes: changed(&before, &tree(new)),
    };
    (delta, if has_patches { data } else { Vec::new() })
}

/// New bytes of old ones that are the same, at least 16 in a row.
fn copied(old: &[u8], new: &[u8]) -> Plain {
    const LEAST: usize = 16;
    let places: HashMap<&[u8], usize> = old.windows(LEAST).zip(0..).collect();
    let (mut plain, mut at, mut new_at) = (Plain::default(), 0, 0);
    while new_at < new.len() {
        let rest = &new[new_at..];
        let from = rest.get(..LEAST).and_then(|bytes| places.get(bytes));
        let Some(from) = from else {
            step(&mut plain, 0, 0, 1);
            plain.extra.push(rest[0]);
            new_at += 1;
            continue;
        };
        let len = rest.iter().zip(&old[*from..]).take_while(|(new, old)| new == old);
        let len = len.count();
        let start = i64::try_from(*from).unwrap();
        step(&mut plain, start - at, len as u64, 0);
        plain.difference.resize(plain.difference.len() + len, 0);
        at = start + i64::try_from(len).unwrap();
        new_at += len;
    }
    plain
}

fn step(plain: &mut Plain, seek: i64, add: u64, copy: u64) {
    let step = Control {
        seek,
        add,
        copy,
        is_code: false,
    };
    step.encode(Code::None, &mut plain.control);
}

fn frame(plain: &Plain) -> (PatchFrame, Vec<u8>) {
    let streams = [
        compress(Part::Control, Effort::Thorough, &plain.control).unwrap(),
        compress(Part::Difference, Effort::Thorough, &plain.difference).unwrap(),
        compress(Part::Extra, Effort::Thorough, &plain.extra).unwrap(),
    ];
    let len = |place: usize| u32::try_from(streams[place].len()).unwrap();
    let bytes = streams.concat();
    let frame = PatchFrame {
        first_group: 0,
        groups: 1,
        streams: FrameStreams {
            control: len(0),
            difference: len(1),
            extra: len(2),
            code: Code::None,
        },
        sha256: FileDigest::of(&bytes),
    };
    (frame, bytes)
}

fn changed(before: &[BlockHash], new: &HashTree) -> Vec<(u32, BlockHash)> {
    let after = new.leaf_block_hashes();
    if after.len() < 2 {
        return Vec::new();
    }
    let differs =
        |(group, hash): &(u32, BlockHash)| before.get(usize::try_from(*group).unwrap()) != Some(hash);
    (0..).zip(after).filter(differs).collect()
}
