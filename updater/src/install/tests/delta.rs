//! Deltas: good ones save what they should, and no other does harm.

use ed25519_dalek::SigningKey;
use outcrop_release::{
    bootrec::SlotState, bundle::Head, digest::RootHash, plan::Cost, slot::Slot, trust::VerifiedRelease,
};

use super::{super::*, verified};
use crate::{
    disk::Area,
    testing::{
        bundle::{Bundle, MemorySource, Release, trust},
        delta::{Delta, Plain},
        sim::{Memory, SimDisk, Unwatched},
    },
};

/// What a delta came to: the cost, and why deltas were skipped.
#[derive(Debug)]
pub(super) struct Installed {
    pub(super) cost: Cost,
    /// What it cost in the end.
    pub(super) spent: Cost,
    pub(super) skipped: Vec<String>,
}

/// Looks for a delta in the bundle's bytes and in a file beside it, and installs with what was found.
pub(super) fn install_with(
    disk: &mut SimDisk,
    bundle: &[u8],
    beside: Option<(Option<RootHash>, Vec<u8>)>,
    (head, release): &(Head, VerifiedRelease),
    budget: Option<u64>,
) -> Result<Installed, InstallError> {
    let mut source = MemorySource(bundle.to_vec());
    let mut skipped = Vec::new();
    let running = root_hash_of(disk, Slot::A).unwrap();
    let search = Search {
        bundle: &mut source,
        layout: head.layout(&release.manifest().members),
        release,
        trust: &trust(),
        running,
        beside: &mut |from| {
            let (there, bytes) = beside.as_ref()?;
            (there.as_ref() == from).then(|| MemorySource(bytes.clone()))
        },
    };
    let (mut delta, looked) = search.find(&mut |error| skipped.push(error.to_string()))?;
    let mut installation = Installation {
        source: &mut source,
        disk,
        scratch: &mut Memory::default(),
        running: Slot::A,
        budget,
        delta: delta.as_mut(),
        looked,
        memory: 0,
        watch: &Unwatched,
    };
    let prepared = installation.prepare(head, release)?;
    let cost = prepared.cost();
    let spent = installation.carry_out(&prepared)?;
    Ok(Installed { cost, spent, skipped })
}

/// A disk that runs the first release, and the second with its bundle.
fn ready() -> (SimDisk, Release, Release, Bundle) {
    let old = Release::new(1);
    let new = old.changed(2);
    let bundle = Bundle::of(&new);
    (SimDisk::flashed(&old), old, new, bundle)
}

fn beside(delta: &Delta) -> Option<(Option<RootHash>, Vec<u8>)> {
    Some((delta.starts_from(), delta.file()))
}

/// Installs with this delta, whatever it is; the release must be there whole in the end.
fn installed_all_the_same(delta: &Delta) -> Installed {
    let (mut disk, _, new, bundle) = ready();
    let before = disk.clone();
    let installed = install_with(&mut disk, &bundle.bytes, beside(delta), &verified(&bundle), None).unwrap();
    disk.assert_holds(Slot::B, &new);
    for area in [Area::Boot(Slot::A), Area::Root(Slot::A), Area::Verity(Slot::A)] {
        assert!(disk.content(area) == before.content(area), "{area}");
    }
    installed
}

#[test]
fn with_a_delta_in_the_bundle_or_beside_it_neither_frames_nor_trees_nor_index_are_fetched() {
    let (_, old, new, bundle) = ready();
    let delta = Delta::of(Some(&old), &new, &bundle);
    let (mut first, mut second) = (SimDisk::flashed(&old), SimDisk::flashed(&old));
    let verified = verified(&bundle);
    let inside = install_with(&mut first, &delta.inside(&bundle), None, &verified, None).unwrap();
    let outside = install_with(&mut second, &bundle.bytes, beside(&delta), &verified, None).unwrap();
    for (disk, installed) in [(first, inside), (second, outside)] {
        disk.assert_holds(Slot::B, &new);
        let fetch = installed.cost.fetch;
        assert_eq!((fetch.frames, fetch.tree, fetch.index), (0, 0, 0));
        assert!(fetch.delta > 0 && installed.skipped.is_empty());
    }
}

#[test]
fn what_the_inactive_slot_has_of_patched_groups_is_not_written_again() {
    let (mut disk, old, new, bundle) = ready();
    let delta = Delta::of(Some(&old), &new, &bundle);
    let verified = verified(&bundle);
    install_with(&mut disk, &bundle.bytes, beside(&delta), &verified, None).unwrap();
    disk.flip(Area::Root(Slot::B), 4096 * 7);
    disk.forget_log();
    let again = install_with(&mut disk, &bundle.bytes, beside(&delta), &verified, None).unwrap();
    disk.assert_holds(Slot::B, &new);
    assert_eq!(disk.written(|area| matches!(area, Area::Root(_))), 4096);
    assert!(again.cost.fetch.tree == 0);
}

#[test]
fn what_both_slots_have_of_patched_groups_is_read_once_and_where_the_other_one_rots_the_running_one_heals_it()
{
    let old = Release::new(1);
    let mut new = Release {
        number: 2,
        ..old.clone()
    };
    new.root[3 * 4096 + 1] ^= 1;
    new.boot[1] ^= 1;
    let bundle = Bundle::of(&new);
    let delta = Delta::of(Some(&old), &new, &bundle);
    let verified = verified(&bundle);
    let kept = 7;
    for rots in [false, true] {
        let mut disk = SimDisk::flashed(&old);
        super::install(&mut disk, &Bundle::of(&old)).unwrap();
        if rots {
            disk.flip(Area::Root(Slot::B), kept * 4096 + 5);
        }
        disk.forget_log();
        let before = disk.read_of_payloads();
        let installed = install_with(&mut disk, &bundle.bytes, beside(&delta), &verified, None).unwrap();
        disk.assert_holds(Slot::B, &new);
        assert_eq!(installed.spent, installed.cost, "the bundle wasn't needed");
        let changed = new
            .root
            .chunks(4096)
            .zip(old.root.chunks(4096))
            .filter(|(new, old)| new != old);
        let changed = changed.count() as u64 + u64::from(rots);
        assert_eq!(disk.written(|area| matches!(area, Area::Root(_))), changed * 4096);
        let read = disk.read_of_payloads() - before;
        let most = 2 * new.bytes() + 3 * disk.content(Area::Boot(Slot::B)).len() as u64;
        assert!(rots || read < most, "{read} of {most}");
    }
}

/// What is wrong with streams, and how they get so.
type Change<'a> = (&'a str, &'a dyn Fn(&mut Plain));

#[test]
fn a_delta_of_streams_that_lie_is_made_good_by_the_bundle() {
    let (_, old, new, bundle) = ready();
    let changes: [Change; 6] = [
        ("steps before the old bytes", &|plain| {
            plain.control = vec![0xff, 0xff, 0x03, 0x80, 0x20, 0];
        }),
        ("steps behind the old bytes", &|plain| {
            plain.control = vec![0xfe, 0xff, 0xff, 0xff, 0x0f, 0x80, 0x20, 0];
        }),
        ("steps of nothing, for ever", &|plain| {
            plain.control = vec![0; 1 << 20];
        }),
        ("streams that expand without end", &|plain| {
            plain.control = vec![0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f];
            plain.extra = vec![0; 64 << 20];
        }),
        ("differences that are cut", &|plain| {
            let len = plain.difference.len();
            plain.difference.truncate(len - 1);
        }),
        ("other bytes", &|plain| plain.difference[100] ^= 1),
    ];
    for (what, change) in changes {
        let delta = Delta::made_with(Some(&old), &new, &bundle, change);
        let installed = installed_all_the_same(&delta);
        assert!(installed.cost.fetch.delta > 0, "{what}: it was tried");
        assert!(installed.spent.fetch.frames > 0, "{what}: the bundle helped");
    }
}

#[test]
fn a_frame_whose_digest_is_another_never_meets_a_decompressor_and_the_bundle_helps() {
    let (_, old, new, bundle) = ready();
    let mut delta = Delta::of(Some(&old), &new, &bundle);
    let middle = delta.data.len() / 2;
    delta.data[middle] ^= 1;
    installed_all_the_same(&delta);
}

#[test]
fn a_delta_that_nobody_trusted_has_signed_or_that_is_for_others_is_told_and_left_alone() {
    let (_, old, new, bundle) = ready();
    let good = Delta::of(Some(&old), &new, &bundle);
    let mut stranger = good.clone();
    stranger.key = SigningKey::from_bytes(&[4; 32]);
    let other = Bundle::of(&old.changed(9));
    let for_another = Delta::of(Some(&old), &new, &other);
    let mut wrong_source = good.clone();
    wrong_source.manifest.from.as_mut().unwrap().root.root_hash = RootHash::of(b"other");
    for (delta, why) in [
        (stranger, "signed"),
        (for_another, "another"),
        (wrong_source, "another"),
    ] {
        let (mut disk, _, new, bundle) = ready();
        let file = Some((good.starts_from(), delta.file()));
        let installed = install_with(&mut disk, &bundle.bytes, file, &verified(&bundle), None).unwrap();
        disk.assert_holds(Slot::B, &new);
        assert!(
            installed.skipped.iter().any(|reason| reason.contains(why)),
            "{:?}",
            installed.skipped
        );
        assert!(installed.cost.fetch.frames > 0);
    }
}

#[test]
fn a_delta_that_is_cut_anywhere_is_left_alone() {
    let (_, old, new, bundle) = ready();
    let delta = Delta::of(Some(&old), &new, &bundle);
    let file = delta.file();
    for len in (0..file.len()).step_by(1499) {
        let (mut disk, _, new, bundle) = ready();
        let file = Some((delta.starts_from(), file[..len].to_vec()));
        install_with(&mut disk, &bundle.bytes, file, &verified(&bundle), None).unwrap();
        disk.assert_holds(Slot::B, &new);
    }
}

#[test]
fn a_worn_block_that_a_patch_needs_makes_the_bundle_help() {
    let (_, old, new, bundle) = ready();
    let delta = Delta::of(Some(&old), &new, &bundle);
    for worn in [true, false] {
        let (mut disk, ..) = ready();
        for block in [5, 9, 20] {
            match worn {
                true => drop(disk.unreadable.insert((Area::Root(Slot::A), block))),
                false => disk.flip(Area::Root(Slot::A), block * 4096 + 17),
            }
        }
        install_with(&mut disk, &bundle.bytes, beside(&delta), &verified(&bundle), None).unwrap();
        disk.assert_holds(Slot::B, &new);
    }
}

#[test]
fn what_a_delta_costs_counts_against_the_budget_before_its_frames_are_fetched() {
    let (mut disk, old, new, bundle) = ready();
    let delta = Delta::of(Some(&old), &new, &bundle);
    let verified = verified(&bundle);
    let needed = install_with(&mut disk.clone(), &bundle.bytes, beside(&delta), &verified, None).unwrap();
    let needed = needed.cost.fetch.total();
    let error = install_with(
        &mut disk,
        &bundle.bytes,
        beside(&delta),
        &verified,
        Some(needed - 1),
    )
    .unwrap_err();
    assert!(error.to_string().contains("allowed"), "{error:?}");
    assert!(disk.log.events().is_empty());
    install_with(&mut disk, &bundle.bytes, beside(&delta), &verified, Some(needed)).unwrap();
    disk.assert_holds(Slot::B, &new);
}

#[test]
fn what_the_bundle_must_replace_counts_against_the_budget_too() {
    let (_, old, new, bundle) = ready();
    let delta = Delta::made_with(Some(&old), &new, &bundle, &|plain| plain.difference[100] ^= 1);
    let verified = verified(&bundle);
    let run = |budget| {
        let (mut disk, ..) = ready();
        let done = install_with(&mut disk, &bundle.bytes, beside(&delta), &verified, budget);
        (disk, done)
    };
    let installed = run(None).1.unwrap();
    let (planned, spent) = (installed.cost.fetch.total(), installed.spent.fetch.total());
    assert!(spent > planned);
    let (disk, done) = run(Some(spent - 1));
    assert!(done.unwrap_err().to_string().contains("allowed"));
    assert_eq!(
        crate::record::load(&disk).unwrap().slot(Slot::B).state,
        SlotState::Empty
    );
    let (disk, done) = run(Some(spent));
    done.unwrap();
    disk.assert_holds(Slot::B, &new);
}

#[test]
fn a_delta_from_nothing_makes_a_release_that_the_device_has_nothing_of() {
    let (mut disk, ..) = ready();
    let new = Release::new(7);
    let bundle = Bundle::of(&new);
    let delta = Delta::of(None, &new, &bundle);
    install_with(&mut disk, &bundle.bytes, beside(&delta), &verified(&bundle), None).unwrap();
    disk.assert_holds(Slot::B, &new);
}

#[test]
fn a_bundle_without_deltas_costs_one_small_look() {
    let (mut disk, _, new, bundle) = ready();
    let installed = install_with(&mut disk, &bundle.bytes, None, &verified(&bundle), None).unwrap();
    disk.assert_holds(Slot::B, &new);
    assert_eq!(installed.cost.fetch.delta, 1024);
}
