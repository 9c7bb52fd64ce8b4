//! Bundles that are wrong in every way, and disks that fail.

use outcrop_release::{
    bootrec::SlotState,
    bundle::{Frame, FrameTable, Index},
    digest::FileDigest,
    slot::Slot,
    verity::BLOCK_BYTES,
};

use super::{super::*, install, verified};
use crate::{
    disk::Area,
    record,
    testing::{
        bundle::{Bundle, MemorySource, Release, trust},
        sim::{Event, Memory, SimDisk, Unwatched},
    },
};

/// A release to install, and a disk that runs the one before and has another one, good, in slot B.
fn ready() -> (SimDisk, Release, Bundle) {
    let old = Release::new(1);
    let new = old.changed(2);
    let bundle = Bundle::of(&new);
    let mut disk = SimDisk::flashed(&old);
    install(&mut disk, &Bundle::of(&old.changed(5))).unwrap();
    let mut record = record::load(&disk).unwrap();
    record.slot_mut(Slot::B).state = SlotState::Good;
    record::store(&mut disk, &record).unwrap();
    disk.forget_log();
    (disk, new, bundle)
}

/// Slot B may be started only if it is whole: then it is what it was, or the new release.
fn assert_never_half(disk: &SimDisk, new: &Release) {
    let state = record::load(disk).unwrap().slot(Slot::B).state;
    let before = Release::new(1).changed(5);
    let is_whole = disk.holds(Slot::B, new) || disk.holds(Slot::B, &before);
    assert!(state == SlotState::Empty || is_whole, "{state:?}");
}

fn is_untouched(disk: &SimDisk) -> bool {
    disk.log.is_empty()
}

#[test]
fn a_changed_member_is_refused_before_the_disk_changes_or_at_least_before_its_blocks_are_written() {
    for number in 2..6 {
        let (mut disk, _, _) = ready();
        let mut bundle = Bundle::of(&Release::new(9)); // nothing of it is on the device: every frame is fetched
        let member = &mut bundle.members[number].1;
        // In the middle of the trees is a superblock, which isn't fetched.
        let place = if number == 3 {
            member.len() - 1
        } else {
            member.len() / 2
        };
        member[place] ^= 1;
        bundle.pack(); // and not signed again
        let error = install(&mut disk, &bundle).unwrap_err();
        let head_only = number < 4;
        assert_eq!(is_untouched(&disk), head_only, "{error}");
        assert_never_half(&disk, &Release::new(9));
    }
}

#[test]
fn a_changed_manifest_has_no_valid_signature() {
    let (_, _, mut bundle) = ready();
    let text = String::from_utf8(bundle.members[0].1.clone()).unwrap();
    bundle.members[0].1 = text.replace("1.2.0", "1.3.0").into_bytes();
    bundle.pack();
    let head = read_head(&mut MemorySource(bundle.bytes)).unwrap();
    assert!(outcrop_release::trust::verify(&head.manifest, &head.signatures, &trust()).is_err());
}

#[test]
fn a_bundle_that_is_cut_off_anywhere_is_refused_and_never_marked_written() {
    let (disk, _, bundle) = ready();
    for len in (0..bundle.bytes.len()).step_by(4093) {
        let mut disk = disk.clone();
        let (head, release) = verified(&bundle);
        let mut source = MemorySource(bundle.bytes[..len].to_vec());
        let mut scratch = Memory::default();
        let mut installation = Installation {
            source: &mut source,
            disk: &mut disk,
            scratch: &mut scratch,
            running: Slot::A,
            budget: None,
            delta: None,
            looked: Default::default(),
            memory: 0,
            watch: &Unwatched,
        };
        let done = installation
            .prepare(&head, &release)
            .and_then(|prepared| installation.carry_out(&prepared));
        let state = record::load(&disk).unwrap().slot(Slot::B).state;
        // Only the padding at the very end is nobody's.
        let is_complete = len + 1024 + 512 > bundle.bytes.len();
        assert!(
            is_complete || (done.is_err() && state != SlotState::Written),
            "{len}"
        );
        assert_never_half(&disk, &Release::new(1).changed(2));
    }
}

#[test]
fn members_in_another_order_are_refused() {
    let (mut disk, _, mut bundle) = ready();
    bundle.members.swap(2, 3);
    bundle.pack();
    assert!(install(&mut disk, &bundle).is_err() && is_untouched(&disk));
    let (_, _, mut bundle) = ready();
    bundle.members.swap(0, 1);
    bundle.pack();
    assert!(read_head(&mut MemorySource(bundle.bytes)).is_err());
}

#[test]
fn a_signed_tree_of_other_data_is_refused_by_the_root_hash() {
    let (mut disk, new, mut bundle) = ready();
    bundle.members[3].1 = Bundle::of(&new.changed(9)).members[3].1.clone();
    bundle.sign();
    let error = install(&mut disk, &bundle).unwrap_err();
    assert!(matches!(error, InstallError::Tree { .. }), "{error:?}");
    assert!(is_untouched(&disk));
}

#[test]
fn a_signed_frame_of_other_blocks_or_of_more_is_refused_before_it_is_written() {
    let frames = |release: &Release| Bundle::of(release).members;
    let (disk, new, bundle) = ready();
    let mut bomb = new.clone();
    bomb.boot = vec![0; 512 * BLOCK_BYTES];
    for (other, index) in [(new.changed(9), 2), (bomb, 4)] {
        let (mut disk, mut bundle) = (disk.clone(), bundle.clone());
        let members = frames(&other);
        if index == 4 {
            // A frame whose digest is right and that gives far more than its blocks.
            let huge = zstd::bulk::compress(&other.boot, 19).unwrap();
            let mut table = Index::decode(&bundle.members[2].1, &bundle.manifest).unwrap();
            let rest = usize::try_from(table.boot.frames()[1].start).unwrap();
            let mut list: Vec<Frame> = table.boot.frames().iter().map(|placed| placed.frame).collect();
            list[0].bytes = u32::try_from(huge.len()).unwrap();
            list[0].sha256 = FileDigest::of(&huge);
            let tail = bundle.members[4].1[rest..].to_vec();
            bundle.members[4].1 = [huge, tail].concat();
            table.boot = FrameTable::new(list).unwrap();
            bundle.members[2].1 = table.encode().bytes;
        } else {
            bundle.members[2] = members[2].clone();
            bundle.members[4] = members[4].clone();
            bundle.members[5] = members[5].clone();
        }
        bundle.sign();
        let error = install(&mut disk, &bundle).unwrap_err();
        assert!(matches!(error, InstallError::Frame { .. }), "{error:?}");
        let record = record::load(&disk).unwrap();
        assert_eq!(record.slot(Slot::B).state, SlotState::Empty);
    }
}

#[test]
fn a_disk_that_fails_at_any_write_never_has_half_a_release_that_may_be_started() {
    let (disk, new, bundle) = ready();
    let mut whole = disk.clone();
    install(&mut whole, &bundle).unwrap();
    let writes = whole
        .log
        .events()
        .iter()
        .filter(|event| matches!(event, Event::Write { .. }))
        .count();
    let already = disk.writes();
    for first in 0..writes {
        let mut disk = disk.clone();
        disk.failing_write = Some(first + already);
        install(&mut disk, &bundle).unwrap_err();
        assert_never_half(&disk, &new);
        assert_eq!(record::load(&disk).unwrap().default, Slot::A, "{first}");
        disk.failing_write = None;
        install(&mut disk, &bundle).unwrap();
        disk.assert_holds(Slot::B, &new);
    }
}

#[test]
fn a_flush_that_fails_is_made_good_by_the_next_run() {
    let (disk, new, bundle) = ready();
    let mut whole = disk.clone();
    install(&mut whole, &bundle).unwrap();
    for number in disk.flushes()..whole.flushes() {
        let mut disk = disk.clone();
        disk.failing_flush = Some(number);
        install(&mut disk, &bundle).unwrap_err();
        assert_never_half(&disk, &new);
        install(&mut disk, &bundle).unwrap();
        disk.assert_holds(Slot::B, &new);
    }
}

#[test]
fn a_medium_that_keeps_something_else_is_found_out_before_the_record_says_written() {
    for area in [Area::Root(Slot::B), Area::Boot(Slot::B), Area::Verity(Slot::B)] {
        let (mut disk, _, bundle) = ready();
        disk.rotten = Some((area, 4097));
        let error = install(&mut disk, &bundle).unwrap_err();
        assert!(
            matches!(error, InstallError::Medium { area: found, block: 1 } if found == area),
            "{error:?}"
        );
        assert_eq!(record::load(&disk).unwrap().slot(Slot::B).state, SlotState::Empty);
    }
}

#[test]
fn without_room_for_the_trees_nothing_is_changed() {
    let (mut disk, _, bundle) = ready();
    let (head, release) = verified(&bundle);
    let mut scratch = Memory::default();
    scratch.full = true;
    let mut installation = Installation {
        source: &mut MemorySource(bundle.bytes.clone()),
        disk: &mut disk,
        scratch: &mut scratch,
        running: Slot::A,
        budget: None,
        delta: None,
        looked: Default::default(),
        memory: 0,
        watch: &Unwatched,
    };
    let error = installation.prepare(&head, &release).map(drop).unwrap_err();
    assert!(matches!(error, InstallError::Scratch { .. }), "{error:?}");
    assert!(is_untouched(&disk));
}

#[test]
fn absurd_lengths_are_refused_before_they_are_allocated() {
    let (mut disk, _, mut bundle) = ready();
    bundle.manifest.members.index_top.bytes = (8 << 30) - 1;
    bundle.seal();
    let error = install(&mut disk, &bundle).unwrap_err();
    assert!(matches!(error, InstallError::Index(_)), "{error:?}");
    let (_, _, mut bundle) = ready();
    bundle.manifest.members.verity.bytes = (8 << 30) - 1;
    bundle.seal();
    let error = install(&mut disk, &bundle).unwrap_err();
    assert!(matches!(error, InstallError::TreeLength { .. }), "{error:?}");
    let (_, _, mut bundle) = ready();
    bundle.members[2].1.truncate(100);
    bundle.sign();
    let error = install(&mut disk, &bundle).unwrap_err();
    assert!(matches!(error, InstallError::Index(_)), "{error:?}");
    assert!(is_untouched(&disk));
}
