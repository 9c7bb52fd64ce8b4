//! Nothing is fetched, read or written that needn't be, and what was said before comes true.

use outcrop_release::{
    bundle::{Index, MemberName},
    plan::{ByteRange, Cost, survey::PlannedPayload},
    slot::Slot,
    trust::verify,
    verity::BLOCK_BYTES,
};
use proptest::prelude::*;

use super::{
    super::{check::NEAR_BLOCKS, *},
    BLOCK, install,
};
use crate::{
    disk::Area,
    testing::{
        bundle::{Bundle, CountingSource, Release, trust},
        sim::{Memory, SimDisk, Unwatched},
    },
};

/// Installs a bundle; what it was said to cost, and what was asked of the source.
fn installed(disk: &mut SimDisk, bundle: &Bundle) -> (Cost, CountingSource) {
    let (cost, source, _) = installed_and_read_back(disk, bundle);
    (cost, source)
}

/// The same, and how many bytes of the root's blocks that weren't in place, or lie between such blocks, are read back.
fn installed_and_read_back(disk: &mut SimDisk, bundle: &Bundle) -> (Cost, CountingSource, u64) {
    let mut source = CountingSource::new(bundle);
    let head = read_head(&mut source).unwrap();
    let release = verify(&head.manifest, &head.signatures, &trust()).unwrap();
    let mut installation = Installation {
        source: &mut source,
        disk,
        scratch: &mut Memory::default(),
        running: Slot::A,
        budget: None,
        delta: None,
        looked: Default::default(),
        memory: 0,
        watch: &Unwatched,
    };
    let prepared = installation.prepare(&head, &release).unwrap();
    let cost = prepared.cost();
    installation.carry_out(&prepared).unwrap();
    let of = |payload: &PlannedPayload| -> u64 {
        let end = u32::try_from(payload.tree.geometry().data_blocks()).unwrap();
        let runs = payload.in_place.runs_outside(end, NEAR_BLOCKS);
        runs.map(|run| u64::from(run.end - run.start)).sum()
    };
    let blocks = of(&prepared.surveyed.root);
    (cost, source, blocks * BLOCK)
}

/// What was read of a member, from its start.
fn read_of(source: &CountingSource, bundle: &Bundle, member: MemberName) -> Vec<ByteRange> {
    let mut at = 0;
    for (name, content) in &bundle.members {
        let start = at + 512;
        if *name == member {
            let end = start + content.len() as u64;
            let inside = source
                .read
                .iter()
                .filter(|range| range.start >= start && range.end <= end);
            let from_start = |range: &ByteRange| ByteRange {
                start: range.start - start,
                end: range.end - start,
            };
            return inside.map(from_start).collect();
        }
        at = (start + content.len() as u64).next_multiple_of(512);
    }
    Vec::new()
}

/// A release whose root has several blocks of leaves.
fn large(number: u64) -> Release {
    let small = Release::new(number);
    let block = |seed: usize| {
        let mut block = vec![0; BLOCK_BYTES];
        block[..8].copy_from_slice(&(seed as u64 + 1).to_le_bytes());
        block
    };
    Release {
        root: (0..300).flat_map(block).collect(),
        ..small
    }
}

#[test]
fn one_changed_block_fetches_one_frame_its_page_and_the_path_to_it() {
    let old = large(1);
    let mut new = Release {
        number: 2,
        ..old.clone()
    };
    new.root[200 * BLOCK_BYTES + 100] ^= 0xff;
    let bundle = Bundle::of(&new);
    let mut disk = SimDisk::flashed_with_room(&old, 320);
    let (cost, source) = installed(&mut disk, &bundle);
    disk.assert_holds(Slot::B, &new);
    let index = Index::decode(&bundle.members[2].1, &bundle.manifest).unwrap();
    let frame = index.root.frame_of(200).unwrap();
    let expected = ByteRange {
        start: frame.start,
        end: frame.end(),
    };
    assert_eq!(read_of(&source, &bundle, MemberName::Root), [expected]);
    assert_eq!(read_of(&source, &bundle, MemberName::Boot), []);
    // Of the tree: its top, and the leaves of blocks 128 to 255. The boot payload's two blocks come before it.
    let block = |number: u64| ByteRange {
        start: number * BLOCK,
        end: (number + 1) * BLOCK,
    };
    assert_eq!(
        read_of(&source, &bundle, MemberName::Verity),
        [block(2 + 1), block(2 + 3)]
    );
    assert_eq!(
        read_of(&source, &bundle, MemberName::Index).len(),
        1,
        "one page of two"
    );
    assert_eq!(
        (cost.fetch.tree, cost.fetch.frames),
        (2 * BLOCK, u64::from(frame.frame.bytes))
    );
    // Head, two levels of the tree, a page, a frame.
    assert_eq!(cost.requests, 5);
}

#[test]
fn a_tree_that_rots_on_the_device_is_fetched_instead() {
    let old = large(1);
    let mut new = Release {
        number: 2,
        ..old.clone()
    };
    new.root[200 * BLOCK_BYTES + 100] ^= 0xff;
    let mut disk = SimDisk::flashed_with_room(&old, 320);
    for number in 1..4 {
        disk.flip(Area::Verity(Slot::A), number * BLOCK);
    }
    disk.unreadable.insert((Area::Verity(Slot::A), 2));
    let (cost, _) = installed(&mut disk, &Bundle::of(&new));
    disk.assert_holds(Slot::B, &new);
    assert_eq!(
        cost.fetch.tree,
        3 * BLOCK,
        "its top, and the blocks of leaves that don't match"
    );
}

#[test]
fn blocks_of_the_tree_that_are_not_what_the_root_hash_demands_are_refused_before_the_disk_changes() {
    let old = large(1);
    let new = Release {
        root: large(7).root.iter().map(|byte| byte ^ 0x55).collect(),
        ..old.clone()
    };
    let bundle = Bundle::of(&new);
    // The boot payload's top (known), superblock and top of the root's, then its leaves.
    for number in 3..7 {
        let mut disk = SimDisk::flashed_with_room(&old, 320);
        let mut bundle = bundle.clone();
        bundle.members[3].1[number * BLOCK_BYTES + 77] ^= 1;
        bundle.sign();
        let error = install(&mut disk, &bundle).unwrap_err();
        assert!(matches!(error, InstallError::Tree { .. }), "{number}: {error:?}");
        assert!(disk.log.is_empty());
    }
}

#[test]
fn a_page_or_top_of_the_index_that_is_not_what_was_signed_is_refused_before_the_disk_changes() {
    let old = large(1);
    let new = Release {
        root: large(7).root.iter().map(|byte| byte ^ 0x55).collect(),
        ..old.clone()
    };
    let bundle = Bundle::of(&new);
    let len = bundle.members[2].1.len();
    for place in [0, 9, 20, 40, 70, len - 1000, len - 1] {
        let mut disk = SimDisk::flashed_with_room(&old, 320);
        let mut bundle = bundle.clone();
        bundle.members[2].1[place] ^= 1;
        bundle.pack();
        let error = install(&mut disk, &bundle).unwrap_err();
        assert!(matches!(error, InstallError::Index(_)), "{place}: {error:?}");
        assert!(disk.log.is_empty());
    }
}

#[test]
fn a_block_that_can_t_be_copied_after_all_is_fetched_with_its_frame_alone() {
    let old = large(1);
    let mut new = Release {
        number: 2,
        ..old.clone()
    };
    new.root[200 * BLOCK_BYTES + 100] ^= 0xff;
    let bundle = Bundle::of(&new);
    let mut disk = SimDisk::flashed_with_room(&old, 320);
    disk.flip(Area::Root(Slot::A), 5 * BLOCK);
    disk.unreadable.insert((Area::Root(Slot::A), 100));
    let (_, source) = installed(&mut disk, &bundle);
    disk.assert_holds(Slot::B, &new);
    let index = Index::decode(&bundle.members[2].1, &bundle.manifest).unwrap();
    let range = |block| {
        let frame = index.root.frame_of(block).unwrap();
        ByteRange {
            start: frame.start,
            end: frame.end(),
        }
    };
    assert_eq!(
        read_of(&source, &bundle, MemberName::Root),
        [range(5), range(100), range(200)]
    );
}

#[test]
fn a_frame_is_unpacked_behind_blocks_that_were_copied_kept_fetched_or_turned_out_to_be_worn() {
    let mut old = large(1);
    // What can't be compressed by itself.
    old.root[192 * BLOCK_BYTES..200 * BLOCK_BYTES].copy_from_slice(&Release::new(7).root[..8 * BLOCK_BYTES]);
    let mut new = Release {
        number: 2,
        ..old.clone()
    };
    // Blocks 200 to 207 nearly repeat those, which the running slot has.
    for at in 200..208 {
        let before = new.root[(at - 8) * BLOCK_BYTES..(at - 7) * BLOCK_BYTES].to_vec();
        new.root[at * BLOCK_BYTES..(at + 1) * BLOCK_BYTES].copy_from_slice(&before);
        new.root[at * BLOCK_BYTES + 100] ^= 0xff;
    }
    let bundle = Bundle::of(&new);
    let index = Index::decode(&bundle.members[2].1, &bundle.manifest).unwrap();
    let frame = index.root.frame_of(200).unwrap();
    let (start, end) = (
        usize::try_from(frame.start).unwrap(),
        usize::try_from(frame.end()).unwrap(),
    );
    assert!(frame.frame.bytes < 200, "{frame:?}");
    let mut alone = vec![0; 4 * BLOCK_BYTES];
    let bytes = &bundle.members[5].1[start..end];
    assert!(!outcrop_release::bundle::unpack_frame(bytes, &mut alone, 0));
    let whole = SimDisk::flashed_with_room(&old, 320);
    let mut disk = whole.clone();
    let (cost, _) = installed(&mut disk, &bundle);
    disk.assert_holds(Slot::B, &new);
    // Another block of it changes: what is before its frame is in place.
    let mut third = new.clone();
    third.root[205 * BLOCK_BYTES + 7] ^= 0xff;
    let (again, _) = installed(&mut disk, &Bundle::of(&third));
    disk.assert_holds(Slot::B, &third);
    assert!(cost.copy > 0 && again.copy == 0, "{cost:?} {again:?}");
    // Right before the frame, and where its window begins.
    for worn in [199, 200 - 32, 0] {
        let mut disk = whole.clone();
        disk.flip(Area::Root(Slot::A), worn * BLOCK);
        installed(&mut disk, &bundle);
        disk.assert_holds(Slot::B, &new);
    }
}

/// A release made of blocks by their numbers.
fn of_contents(number: u64, boot: &[u8], root: &[u8]) -> Release {
    let blocks = |contents: &[u8]| {
        contents
            .iter()
            .flat_map(|content| vec![*content; BLOCK_BYTES])
            .collect()
    };
    Release {
        number,
        boot: blocks(boot),
        root: blocks(root),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the slots hold, the release is installed, and every figure comes true.
    #[test]
    fn any_release_is_installed_over_any_other_at_the_cost_that_was_told(
        running in (proptest::collection::vec(0..9_u8, 2..12), proptest::collection::vec(0..40_u8, 2..300)),
        other in proptest::option::of((proptest::collection::vec(0..9_u8, 2..12), proptest::collection::vec(0..40_u8, 2..300))),
        new in (proptest::collection::vec(0..9_u8, 2..12), proptest::collection::vec(0..40_u8, 2..300)),
    ) {
        let new = of_contents(3, &new.0, &new.1);
        let mut disk = SimDisk::flashed_with_room(&of_contents(1, &running.0, &running.1), 320);
        // Up to where something may lie behind the boot payload.
        let mut used = disk.content(Area::Boot(Slot::B)).len() as u64;
        if let Some((boot, root)) = other {
            let other = of_contents(2, &boot, &root);
            install(&mut disk, &Bundle::of(&other)).unwrap();
            used = other.boot.len() as u64;
        }
        disk.forget_log();
        let before = disk.read_of_payloads();
        let bundle = Bundle::of(&new);
        let behind = disk.content(Area::Boot(Slot::B)).chunks(BLOCK_BYTES).skip(new.boot.len() / BLOCK_BYTES);
        let longer = behind.filter(|block| block.iter().any(|byte| *byte != 0)).count() as u64 * BLOCK;
        let (cost, source, back) = installed_and_read_back(&mut disk, &bundle);
        disk.assert_holds(Slot::B, &new);
        prop_assert_eq!((cost.fetch.total(), cost.requests), (source.bytes(), source.requests.len() as u64));
        prop_assert_eq!(cost.write + cost.keep, new.bytes());
        // Then what was written is read back, the boot payload for its sum, and what is behind it: again where that was cleared.
        let rest = used.saturating_sub(new.boot.len() as u64);
        let back = back + rest + new.boot.len() as u64 + longer;
        prop_assert_eq!(cost.read, disk.read_of_payloads() - before - back);
        let zeros = |area: Area| matches!(area, Area::Root(_));
        prop_assert!(disk.written(zeros) <= cost.write);
    }
}
