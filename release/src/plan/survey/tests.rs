use std::{collections::BTreeMap, ops::Range};

use uuid::Uuid;

use super::*;
use crate::{
    bundle::{ARCHIVE_BLOCK_BYTES, Frame, FrameTable, Index, MemberName, header},
    delta::{
        Code, DeltaIndex, DeltaManifest, FrameStreams, OldRelease, PatchFrame, PayloadDelta, SpanSource,
        Spans,
    },
    digest::FileDigest,
    manifest::{Member, VerityParameters, tests::manifest},
    verity::{BlockHash, HashTree, Salt, Superblock, TreeBuilder},
};

const SALT: Salt = Salt::from_bytes([5; 32]);
/// Blocks of a frame.
const FRAME: u64 = 4;

fn tree(contents: &[u64]) -> HashTree {
    let mut builder = TreeBuilder::new(Uuid::from_u128(7), SALT);
    let hash = |content: &u64| {
        let mut hash = [0xa5; 32];
        hash[..8].copy_from_slice(&content.to_le_bytes());
        hash
    };
    let hashes: Vec<BlockHash> = contents.iter().map(hash).collect();
    builder.push_hashes(&hashes).unwrap();
    builder.finish().unwrap()
}

/// A release of blocks that are only known by their hashes.
struct Release {
    manifest: Manifest,
    bytes: Vec<u8>,
    boot: HashTree,
    root: HashTree,
}

impl Release {
    fn new(boot: &[u64], root: &[u64]) -> Self {
        let table = |contents: &[u64]| {
            let frame = |blocks: &[u64]| Frame {
                blocks: u32::try_from(blocks.len()).unwrap(),
                bytes: 1000,
                sha256: FileDigest::of(b""),
            };
            FrameTable::new(contents.chunks(usize::try_from(FRAME).unwrap()).map(frame)).unwrap()
        };
        let index = Index {
            boot: table(boot),
            root: table(root),
        };
        let encoded = index.encode();
        let (boot, root) = (tree(boot), tree(root));
        let verity = [boot.to_bytes(), root.to_bytes()].concat();
        let mut manifest = manifest();
        manifest.verity = VerityParameters {
            salt: SALT,
            uuid: Uuid::from_u128(7),
        };
        let member = |bytes: u64| Member {
            bytes,
            sha256: FileDigest::of(b""),
        };
        (manifest.members.index, manifest.members.index_top) = encoded.members();
        manifest.members.verity = member(verity.len() as u64);
        (manifest.members.boot, manifest.members.root) =
            (member(index.boot.totals().1), member(index.root.totals().1));
        (manifest.boot.bytes, manifest.boot.root_hash) =
            (boot.superblock().geometry.data_bytes(), boot.root_hash());
        (manifest.root.bytes, manifest.root.root_hash) =
            (root.superblock().geometry.data_bytes(), root.root_hash());
        let mut bytes = Vec::new();
        let members = [
            (MemberName::Manifest, manifest.to_bytes()),
            (MemberName::Signatures, vec![1; 300]),
            (MemberName::Index, encoded.bytes),
            (MemberName::Verity, verity),
        ];
        for (name, content) in members {
            bytes.extend(header(name, content.len() as u64).unwrap());
            bytes.extend(content);
            bytes.resize(bytes.len().next_multiple_of(ARCHIVE_BLOCK_BYTES), 0);
        }
        Self {
            manifest,
            bytes,
            boot,
            root,
        }
    }

    fn slice(&self, range: ByteRange) -> &[u8] {
        &self.bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
    }

    fn head(&self) -> Head {
        Head::read::<crate::bundle::HeadError>(|range| Ok(self.slice(range).to_vec())).unwrap()
    }
}

impl Bundle<SurveyError> for &Release {
    fn fetch(&mut self, ranges: &[ByteRange], take: TakePart<'_, SurveyError>) -> Result<(), SurveyError> {
        let mut numbered = ranges.iter().enumerate();
        numbered.try_for_each(|(place, range)| take(place, self.slice(*range)))
    }
}

/// A device that runs a release; its other slot holds nothing.
struct Device<'a>(&'a Release);

impl Slots<SurveyError> for Device<'_> {
    fn boot_hashes(&self, side: Side, blocks: u64) -> Result<Vec<BlockHash>, SurveyError> {
        let mut hashes = match side {
            Side::Running => self.0.boot.leaves().to_vec(),
            Side::Other => Vec::new(),
        };
        hashes.resize(usize::try_from(blocks).unwrap(), [0; 32]);
        Ok(hashes)
    }

    fn root_superblock(&self, side: Side) -> Result<Option<Superblock>, SurveyError> {
        Ok((side == Side::Running).then_some(*self.0.root.superblock()))
    }

    fn root_tree_block(&self, _: Side, number: u64) -> Result<Option<Block>, SurveyError> {
        let bytes = self.0.root.to_bytes();
        Ok(bytes.as_chunks().0.get(usize::try_from(number).unwrap()).copied())
    }

    fn root_hashes(
        &self,
        _: &[Range<u64>],
        _: &mut dyn FnMut(u64, BlockHash) -> Result<(), SurveyError>,
    ) -> Result<(), SurveyError> {
        Ok(())
    }
}

/// Keeps trees in memory.
#[derive(Default)]
struct Kept {
    blocks: BTreeMap<(PayloadName, u64), Block>,
}

impl TreeStore<SurveyError> for Kept {
    fn keep(&mut self, payload: PayloadName, number: u64, block: &Block) -> Result<(), SurveyError> {
        self.blocks.insert((payload, number), *block);
        Ok(())
    }

    fn kept(&self, payload: PayloadName, number: u64) -> Result<Block, SurveyError> {
        Ok(self.blocks[&(payload, number)])
    }
}

fn survey<'a>(new: &'a mut &Release, device: &'a Device<'_>, kept: &'a mut Kept) -> Survey<'a, SurveyError> {
    let release = *new;
    Survey {
        manifest: &release.manifest,
        layout: release.head().layout(&release.manifest.members),
        bundle: new,
        slots: device,
        trees: kept,
        budget: None,
        delta: None,
        looked: Looked::default(),
    }
}

/// A delta between two releases whose boot payloads are the same: what is new is patched, by a frame for each group.
fn delta(old: &Release, new: &Release) -> (DeltaManifest, DeltaIndex) {
    let boot = PayloadDelta {
        spans: spans(&old.boot, &new.boot),
        ..PayloadDelta::default()
    };
    let spans = spans(&old.root, &new.root);
    let frames = (0..4)
        .filter(|group| spans.patched(group * 128, (group + 1) * 128) > 0)
        .map(|group| PatchFrame {
            first_group: group,
            groups: 1,
            streams: FrameStreams {
                control: 100,
                difference: 200,
                extra: 300,
                code: Code::None,
            },
            sha256: FileDigest::of(b""),
        })
        .collect();
    let before = old.root.leaf_block_hashes();
    let hashes = (0..)
        .zip(new.root.leaf_block_hashes())
        .filter(|(group, hash)| before[usize::try_from(*group).unwrap()] != *hash)
        .collect();
    let root = PayloadDelta {
        spans,
        frames,
        hashes,
    };
    let member = Member {
        bytes: 1,
        sha256: FileDigest::of(b""),
    };
    let manifest = DeltaManifest {
        release: new.manifest.release.clone(),
        manifest: FileDigest::of(b""),
        from: Some(OldRelease {
            version: old.manifest.release.version.clone(),
            root: old.manifest.root,
            boot: old.manifest.boot,
        }),
        index: member,
        data: member,
    };
    let index = DeltaIndex {
        root,
        boot,
        packed: None,
        bare: None,
    };
    (manifest, index)
}

/// Blocks that are the same at the same place come from there, the others are patched.
fn spans(old: &HashTree, new: &HashTree) -> Spans {
    let mut spans = Spans::default();
    for (block, leaf) in (0..).zip(new.leaves()) {
        let is_there = old.leaves().get(usize::try_from(block).unwrap()) == Some(leaf);
        spans.push(if is_there {
            SpanSource::Old(block)
        } else {
            SpanSource::Patch
        });
    }
    spans
}

/// What was planned with a delta.
fn planned(new: &Release, old: &Release, delta: &(DeltaManifest, DeltaIndex), kept: &mut Kept) -> Surveyed {
    let mut bundle = new;
    let device = Device(old);
    let mut survey = survey(&mut bundle, &device, kept);
    survey.delta = Some(UsableDelta {
        manifest: &delta.0,
        index: &delta.1,
        memory: 0,
    });
    survey.plan(&new.head()).unwrap()
}

/// Two releases that differ in blocks 130 and 300 of their roots, of 400.
fn pair() -> (Release, Release) {
    let boot: Vec<u64> = (1000..1010).collect();
    let old: Vec<u64> = (1..=400).collect();
    let mut new = old.clone();
    (new[130], new[300]) = (5000, 5001);
    (Release::new(&boot, &old), Release::new(&boot, &new))
}

#[test]
fn only_what_differs_is_fetched() {
    let (old, new) = pair();
    let mut kept = Kept::default();
    let found = survey(&mut &new, &Device(&old), &mut kept)
        .plan(&new.head())
        .unwrap();
    let numbers: Vec<u32> = found.root.plan.frames.iter().map(|frame| frame.number).collect();
    assert_eq!(numbers, [130 / 4, 300 / 4]);
    assert!(found.boot.plan.frames.is_empty());
    // Of the tree, the top and two of four blocks of leaves; two pages of the index.
    assert_eq!(found.cost.fetch.tree, 3 * 4096);
    assert_eq!(found.cost.fetch.frames, 2 * 1000);
    assert_eq!(
        (found.cost.copy, found.cost.write),
        ((400 - 8 + 10) * 4096, 410 * 4096)
    );
    assert!(found.root.tree.unknown().is_empty());
}

#[test]
fn with_a_delta_neither_leaves_nor_frames_are_fetched_and_what_it_fails_to_make_is_learned_later() {
    let (old, new) = pair();
    let mut kept = Kept::default();
    let mut found = planned(&new, &old, &delta(&old, &new), &mut kept);
    assert_eq!((found.cost.fetch.tree, found.cost.fetch.frames), (0, 0));
    assert_eq!(found.cost.fetch.delta, 2 * 600);
    assert_eq!(found.root.patches, Patches::Frames(vec![0, 1]));
    // Leaves of blocks 128 to 383.
    assert!(found.root.tree.unknown().iter().eq([3, 4]));
    assert!(found.root.plan.deferred.iter().eq(128..384));
    let copies = &found.root.plan.copies;
    assert!(
        copies
            .iter()
            .all(|run| run.to + run.blocks <= 128 || run.to >= 384)
    );
    assert_eq!(found.cost.write, 410 * 4096, "the other slot is empty");
    // Block 300 can't be made after all.
    let late: BlockSet = [300, 301].into_iter().collect();
    let (tree, mut spent) = (&mut found.root.tree, found.cost);
    let frames = survey(&mut &new, &Device(&old), &mut kept)
        .late_frames(found.top.as_ref(), tree, &late, &[], &mut spent)
        .unwrap();
    assert_eq!(frames.iter().map(|frame| frame.number).collect::<Vec<_>>(), [75]);
    assert_eq!((spent.fetch.tree, spent.fetch.frames), (4096, 1000));
    assert!(found.root.tree.unknown().iter().eq([3]));
    let mut leaves = Leaves::new(&found.root.tree, &kept);
    assert_eq!(leaves.get(300), Ok(Some(new.root.leaves()[300])));
}

#[test]
fn what_is_learned_late_is_proven_too() {
    let (old, mut new) = pair();
    let mut kept = Kept::default();
    let mut found = planned(&new, &old, &delta(&old, &new), &mut kept);
    let layout = new.head().layout(&new.manifest.members);
    let at = layout.verity.start + (2 + 4) * 4096 + 17;
    new.bytes[usize::try_from(at).unwrap()] ^= 1;
    let late: BlockSet = [300].into_iter().collect();
    let tree = &mut found.root.tree;
    let refused = survey(&mut &new, &Device(&old), &mut kept).late_frames(
        found.top.as_ref(),
        tree,
        &late,
        &[],
        &mut Cost::default(),
    );
    assert!(matches!(refused, Err(SurveyError::Tree { .. })), "{refused:?}");
    assert!(!kept.blocks.contains_key(&(PayloadName::Root, 4)));
    assert!(!found.root.tree.unknown().is_empty());
}

#[test]
fn a_delta_that_lies_about_hashes_or_starts_elsewhere_is_as_good_as_none() {
    let (old, new) = pair();
    let without = survey(&mut &new, &Device(&old), &mut Kept::default())
        .plan(&new.head())
        .unwrap();
    let good = delta(&old, &new);
    let mut hash = good.clone();
    hash.1.root.hashes[0].1[0] ^= 1;
    let mut missing = good.clone();
    missing.1.root.hashes.clear();
    let mut elsewhere = good.clone();
    let from = elsewhere.0.from.as_mut().unwrap();
    from.root.root_hash = new.manifest.root.root_hash;
    let mut shorter = good;
    shorter.0.from.as_mut().unwrap().root.bytes -= 4096;
    for delta in [hash, missing, elsewhere, shorter] {
        let found = planned(&new, &old, &delta, &mut Kept::default());
        assert_eq!(found.root, without.root);
        assert_eq!(found.cost.fetch, without.cost.fetch);
    }
}

#[test]
fn a_span_that_lies_about_old_blocks_changes_nothing_where_the_old_tree_knows_better() {
    let (old, new) = pair();
    let mut delta = delta(&old, &new);
    let good = planned(&new, &old, &delta, &mut Kept::default());
    let mut spans = Spans::default();
    for span in delta.1.root.spans.all() {
        for block in span.first..span.end() {
            spans.push(match span.source {
                SpanSource::Old(_) if block < 128 => SpanSource::Old(block + 1),
                SpanSource::Old(_) => SpanSource::Old(block),
                SpanSource::Patch => SpanSource::Patch,
            });
        }
    }
    delta.1.root.spans = spans;
    let found = planned(&new, &old, &delta, &mut Kept::default());
    assert_eq!((found.root, found.cost), (good.root, good.cost));
}

#[test]
fn a_delta_from_nothing_is_used_where_the_device_has_little_of_the_release() {
    let boot: Vec<u64> = (1000..1010).collect();
    let old = Release::new(&boot, &(1..=400).collect::<Vec<_>>());
    for (first, used) in [(5000, true), (2, false)] {
        let new = Release::new(&boot, &(first..first + 400).collect::<Vec<_>>());
        let nothing = Release::new(&boot, &(9000..9400).collect::<Vec<_>>());
        let mut delta = delta(&nothing, &new);
        delta.0.from = None;
        // Less than all frames, more than the leaves.
        let frames = &mut delta.1.root.frames;
        frames.iter_mut().for_each(|frame| frame.streams.extra = 20_000);
        let found = planned(&new, &old, &delta, &mut Kept::default());
        assert_eq!(found.root.patches != Patches::None, used, "{first}");
        assert_eq!(found.cost.fetch.delta > 0, used);
    }
}
