use std::{fs, path::Path, process::Command, time::Duration};

use outcrop_release::{
    arch::Architecture,
    board::Board,
    bundle::{Frame, FrameTable, Index, MemberName},
    digest::FileDigest,
    manifest::{Manifest, RollbackIndex},
    name::ReleaseName,
    trust::{Purpose, Trust},
    verity::{BLOCK_BYTES, HashTree, Salt, TreeBuilder},
};
use proptest::prelude::*;
use semver::Version;

use super::{write::Archive, *};
use crate::{keys::PrivateKey, progress::Silent, read_at::ReadAt as _};

/// Blocks that compress a little.
fn payload(blocks: usize, seed: u32) -> Vec<u8> {
    let byte = |at: usize| {
        let mixed = (u32::try_from(at).unwrap() / 3).wrapping_mul(2_654_435_761 ^ seed);
        mixed.to_le_bytes()[3]
    };
    (0..blocks * BLOCK_BYTES).map(byte).collect()
}

fn tree(bytes: &[u8]) -> HashTree {
    let mut builder = TreeBuilder::new(uuid::Uuid::from_u128(7), Salt::from_bytes([5; 32]));
    builder.push(bytes);
    builder.finish().unwrap()
}

fn release() -> ReleaseName {
    ReleaseName {
        image: "edge".parse().unwrap(),
        version: Version::new(1, 2, 3),
        architecture: Architecture::X86_64,
        board: Board::Efi,
    }
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(&[seed; 32])
}

fn trust(threshold: usize, seeds: &[u8]) -> Trust {
    let named = |seed: &u8| (format!("key-{seed}"), key(*seed).public().unwrap());
    Trust::new(threshold, seeds.iter().map(named).collect()).unwrap()
}

/// Writes a small bundle to `path`.
fn write_to(path: &Path, keys: &[PrivateKey]) -> Manifest {
    let (boot, root) = (payload(5, 1), payload(70, 2));
    let (boot_tree, root_tree) = (tree(&boot), tree(&root));
    let release = release();
    let contents = Contents {
        release: &release,
        rollback_index: RollbackIndex(3),
        health_deadline: Duration::from_secs(600),
        kubernetes: None,
        layout_of: None,
        secure_boot: None,
        compression: Compression::Best,
        boot: Payload {
            bytes: &boot,
            tree: &boot_tree,
        },
        root: Payload {
            bytes: &root,
            tree: &root_tree,
        },
    };
    let written = write(path, &contents, keys, &Silent).unwrap();
    let manifest = written.manifest.clone();
    let (bytes, digest) = (written.bytes, written.digest);
    written.publish().unwrap();
    let file = fs::read(path).unwrap();
    assert_eq!((file.len() as u64, FileDigest::of(&file)), (bytes, digest));
    manifest
}

/// Everything that is ever checked of a bundle.
fn accept(path: &Path, trust: &Trust) -> Result<Checked, BundleError> {
    let bundle = Bundle::open(path)?;
    bundle.verify(trust)?;
    bundle.check(&Silent)
}

#[test]
fn a_bundle_is_whole_trusted_and_the_same_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("1.outcrop"), folder.path().join("2.outcrop"));
    let manifest = write_to(&one, &[key(1)]);
    write_to(&two, &[key(1)]);
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
    let checked = accept(&one, &trust(1, &[1])).unwrap();
    assert_eq!((checked.blocks, checked.frames), (75, 7));
    assert_eq!(*Bundle::open(&one).unwrap().manifest(), manifest);
    assert_eq!(folder.path().read_dir().unwrap().count(), 2);
}

#[test]
fn tar_lists_the_members_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.outcrop");
    write_to(&path, &[key(1)]);
    let output = Command::new("tar").arg("-tf").arg(&path).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        MemberName::ALL.map(MemberName::as_str)
    );
}

#[test]
fn a_second_signature_is_added_elsewhere_and_changes_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.outcrop");
    write_to(&path, &[key(1)]);
    let both = trust(2, &[1, 2]);
    assert!(matches!(accept(&path, &both), Err(BundleError::Untrusted(_))));
    add_signatures(&Bundle::open(&path).unwrap(), &[key(2)]).unwrap();
    accept(&path, &both).unwrap();
    let again = add_signatures(&Bundle::open(&path).unwrap(), &[key(2)]);
    assert!(matches!(again, Err(BundleError::AlreadySigned { .. })));
    // The same as if both had signed at once.
    let other = folder.path().join("y.outcrop");
    write_to(&other, &[key(1), key(2)]);
    assert_eq!(fs::read(&path).unwrap(), fs::read(&other).unwrap());
}

#[test]
fn an_unsigned_bundle_and_one_of_a_stranger_are_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.outcrop");
    for keys in [vec![], vec![key(9)]] {
        write_to(&path, &keys);
        let error = accept(&path, &trust(1, &[1])).unwrap_err();
        assert!(matches!(error, BundleError::Untrusted(_)), "{error:?}");
    }
}

#[test]
fn a_payload_that_is_not_its_tree_s_is_never_bundled() {
    let folder = tempfile::tempdir().unwrap();
    let (boot, root) = (payload(5, 1), payload(70, 2));
    let (boot_tree, other_tree) = (tree(&boot), tree(&payload(70, 3)));
    let release = release();
    let contents = Contents {
        release: &release,
        rollback_index: RollbackIndex(0),
        health_deadline: Duration::from_secs(1),
        kubernetes: None,
        layout_of: None,
        secure_boot: None,
        compression: Compression::Best,
        boot: Payload {
            bytes: &boot,
            tree: &boot_tree,
        },
        root: Payload {
            bytes: &root,
            tree: &other_tree,
        },
    };
    let error = write(&folder.path().join("x.outcrop"), &contents, &[], &Silent).unwrap_err();
    assert!(matches!(error, BundleError::Payload { .. }), "{error:?}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_frame_costs_little_whose_blocks_were_just_before_it_and_comes_out_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.outcrop");
    let noise = |seed: u64, blocks: u64| -> Vec<u8> {
        let word = |at: u64| (at ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        (0..blocks * BLOCK_BYTES as u64 / 8).flat_map(word).collect()
    };
    // 16 blocks again right behind them, but not behind 48 others. More than are compressed at a time.
    let (twice, once) = (noise(1 << 40, 16), noise(1 << 41, 48));
    let root = [&twice[..], &twice, &once, &twice, &payload(3008, 2)].concat();
    let boot = payload(5, 1);
    let (boot_tree, root_tree) = (tree(&boot), tree(&root));
    let release = release();
    let contents = Contents {
        release: &release,
        rollback_index: RollbackIndex(0),
        health_deadline: Duration::from_secs(1),
        kubernetes: None,
        layout_of: None,
        secure_boot: None,
        compression: Compression::Best,
        boot: Payload {
            bytes: &boot,
            tree: &boot_tree,
        },
        root: Payload {
            bytes: &root,
            tree: &root_tree,
        },
    };
    let written = write(&path, &contents, &[key(1)], &Silent).unwrap();
    written.publish().unwrap();
    let checked = accept(&path, &trust(1, &[1])).unwrap();
    assert_eq!(checked.blocks, 5 + 3104);
    let bundle = Bundle::open(&path).unwrap();
    let index = Index::decode(&members(&path)[2].1, bundle.manifest()).unwrap();
    let bytes = |block| index.root.frame_of(block).unwrap().frame.bytes;
    assert!(bytes(0) > 4096 && bytes(16) < 200 && bytes(80) > 4096);
    let out = fs::File::create(folder.path().join("root")).unwrap();
    bundle
        .extract(MemberName::Root, &out, Path::new("root"), &Silent)
        .unwrap();
    assert!(fs::read(folder.path().join("root")).unwrap() == root);
}

/// The members of a bundle, to be put together in another way.
fn members(path: &Path) -> Vec<(MemberName, Vec<u8>)> {
    let bundle = Bundle::open(path).unwrap();
    let read = |name: MemberName| {
        let member = bundle.member(name).unwrap();
        let len = usize::try_from(member.len()).unwrap();
        (name, member.read_vec(0, len).unwrap())
    };
    MemberName::ALL.map(read).to_vec()
}

fn put_together(path: &Path, members: &[(MemberName, Vec<u8>)]) {
    let file = fs::File::create(path).unwrap();
    let mut archive = Archive::new(&file);
    for (name, bytes) in members {
        archive.member(*name, bytes).unwrap();
    }
    archive.finish().unwrap();
}

#[test]
fn members_that_are_missing_reordered_doubled_or_too_many_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.outcrop");
    write_to(&path, &[key(1)]);
    let good = members(&path);
    put_together(&path, &good);
    accept(&path, &trust(1, &[1])).unwrap();
    for place in 0..good.len() {
        let mut missing = good.clone();
        missing.remove(place);
        let mut doubled = good.clone();
        doubled.insert(place, good[place].clone());
        let mut reordered = good.clone();
        reordered.swap(place, (place + 1) % good.len());
        for wrong in [missing, doubled, reordered] {
            put_together(&path, &wrong);
            let error = Bundle::open(&path).unwrap_err();
            assert!(
                matches!(error, BundleError::Archive { .. } | BundleError::Length { .. }),
                "{error:?}"
            );
        }
    }
    let mut more = good.clone();
    more.push(good[5].clone());
    put_together(&path, &more);
    // Nothing but deltas may follow the root.
    assert!(matches!(Bundle::open(&path), Err(BundleError::Archive { .. })));
}

#[test]
fn a_cut_bundle_is_refused_wherever_it_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.outcrop");
    write_to(&path, &[key(1)]);
    let whole = fs::read(&path).unwrap();
    for len in (0..whole.len()).step_by(509) {
        fs::write(&path, &whole[..len]).unwrap();
        assert!(Bundle::open(&path).is_err(), "{len}");
    }
    fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
    assert!(matches!(Bundle::open(&path), Err(BundleError::Length { .. })));
}

/// A bundle whose boot payload's first frame is `bytes`, with everything around it made to fit and signed.
fn with_first_frame(path: &Path, bytes: &[u8]) {
    let mut manifest = write_to(path, &[]);
    let mut members = members(path);
    let table = Index::decode(&members[2].1, &manifest).unwrap();
    let frame = Frame {
        blocks: 5,
        bytes: u32::try_from(bytes.len()).unwrap(),
        sha256: FileDigest::of(bytes),
    };
    let index = Index {
        boot: FrameTable::new([frame]).unwrap(),
        root: table.root,
    };
    let encoded = index.encode();
    (manifest.members.index, manifest.members.index_top) = encoded.members();
    members[2].1 = encoded.bytes;
    members[4].1 = bytes.to_vec();
    manifest.members.boot.sha256 = FileDigest::of(bytes);
    manifest.members.boot.bytes = bytes.len() as u64;
    members[0].1 = manifest.to_bytes();
    let mut signatures = outcrop_release::trust::Signatures::default();
    signatures
        .add(key(1).sign(Purpose::Release, &members[0].1).unwrap())
        .unwrap();
    members[1].1 = signatures.to_bytes();
    put_together(path, &members);
}

#[test]
fn a_frame_that_gives_other_blocks_more_blocks_or_nothing_is_refused_even_when_it_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.outcrop");
    let compress = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).unwrap();
    with_first_frame(&path, &compress(&payload(5, 1)));
    accept(&path, &trust(1, &[1])).unwrap();
    for (frame, expected) in [
        (compress(&payload(5, 2)), "a block doesn't match"),
        (compress(&payload(6, 1)), "doesn't give its blocks"),
        (compress(&vec![0; 64 << 20]), "doesn't give its blocks"),
        (compress(&payload(4, 1)), "doesn't give its blocks"),
        (vec![7; 100], "doesn't give its blocks"),
    ] {
        with_first_frame(&path, &frame);
        let error = accept(&path, &trust(1, &[1])).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_flipped_bit_anywhere_but_in_the_signatures_is_noticed(place: prop::sample::Index, bit in 0..8) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.outcrop");
        let manifest = write_to(&path, &[key(1)]).to_bytes();
        let mut bytes = fs::read(&path).unwrap();
        let place = place.index(bytes.len());
        bytes[place] ^= 1_u8 << bit;
        let start = 512 + manifest.len().next_multiple_of(512) + 512;
        let signatures = start..start + 512;
        let before = accept(&path, &trust(1, &[1])).is_ok();
        fs::write(&path, &bytes).unwrap();
        let accepted = accept(&path, &trust(1, &[1])).is_ok();
        // Digits of either case mean the same signature.
        prop_assert!(before && (!accepted || signatures.contains(&place)), "byte {place}");
    }
}
