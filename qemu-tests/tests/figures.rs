//! What `outcrop bundle cost` tells is what a device is told by `install --dry-run`, and what the builder's deltas make on a device.

#![cfg(test)]

use std::{collections::BTreeMap, path::Path, time::Duration};

use outcrop_builder::{
    bundle::{Bundle, Compression, Contents, Installed, OtherSlot, Payload, cost, write},
    delta as builder_delta, erofs,
    keys::PrivateKey,
    progress::Silent,
    tree::{Entry, Tree},
};
use outcrop_release::{
    arch::Architecture,
    board::Board,
    bootrec,
    bundle::HEAD_BYTES,
    delta,
    loader::LoaderConf,
    manifest::RollbackIndex,
    name::ReleaseName,
    plan::Cost,
    slot::Slot,
    trust::{Trust, verify},
    verity::{BLOCK_BYTES, HashTree, Salt, TreeBuilder},
};
use outcrop_updater::{
    boot_partition::BootPartitionError,
    disk::{Area, Disk, DiskError},
    install::{FileSource, InstallError, Installation, Search, Stage, Watch, read_head, root_hash_of},
};
use semver::Version;

const KEY: [u8; 32] = [7; 32];
/// Room for boot payloads and roots, in blocks.
const ROOM: usize = 1000;

/// A release's two payloads.
struct Release {
    boot: Vec<u8>,
    root: Vec<u8>,
}

/// Blocks that differ, and compress a little.
fn blocks(seeds: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let word = |seed: u64, at: u64| {
        ((seed << 16) | (at / 2))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_le_bytes()
    };
    let block = |seed| (0..BLOCK_BYTES as u64 / 8).flat_map(move |at| word(seed, at));
    seeds.into_iter().flat_map(block).collect()
}

impl Release {
    fn tree(bytes: &[u8]) -> HashTree {
        let mut builder = TreeBuilder::new(uuid::Uuid::from_u128(7), Salt::from_bytes([5; 32]));
        builder.push(bytes);
        builder.finish().unwrap()
    }

    fn bundle(&self, path: &Path, version: u64) {
        let (boot, root) = (Self::tree(&self.boot), Self::tree(&self.root));
        let release = ReleaseName {
            image: "edge".parse().unwrap(),
            version: Version::new(1, version, 0),
            architecture: Architecture::X86_64,
            board: Board::Efi,
        };
        let contents = Contents {
            release: &release,
            rollback_index: RollbackIndex(0),
            health_deadline: Duration::from_secs(600),
            kubernetes: None,
            layout_of: None,
            secure_boot: None,
            compression: Compression::Best,
            boot: Payload {
                bytes: &self.boot,
                tree: &boot,
            },
            root: Payload {
                bytes: &self.root,
                tree: &root,
            },
        };
        let key = PrivateKey::from_seed(&KEY);
        write(path, &contents, &[key], &Silent)
            .unwrap()
            .publish()
            .unwrap();
    }
}

/// A disk in memory.
#[derive(Default)]
struct Slots(BTreeMap<Area, Vec<u8>>);

impl Slots {
    fn put(&mut self, slot: Slot, release: Option<&Release>) {
        let empty = Release {
            boot: Vec::new(),
            root: Vec::new(),
        };
        let tree = release.map_or_else(Vec::new, |release| Release::tree(&release.root).to_bytes());
        let release = release.unwrap_or(&empty);
        for (area, bytes) in [
            (Area::Boot(slot), &release.boot),
            (Area::Root(slot), &release.root),
            (Area::Verity(slot), &tree),
        ] {
            let mut content = bytes.clone();
            content.resize(ROOM * BLOCK_BYTES, 0);
            self.0.insert(area, content);
        }
    }
}

impl Disk for Slots {
    fn bytes(&self, area: Area) -> u64 {
        self.0.get(&area).map_or(0, |content| content.len() as u64)
    }

    fn boot_parts(&self, _: Slot) -> Result<Option<bootrec::Payload>, BootPartitionError> {
        Ok(None)
    }

    fn read(&self, area: Area, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let start = usize::try_from(at).unwrap();
        buffer.copy_from_slice(&self.0[&area][start..start + buffer.len()]);
        Ok(())
    }

    fn read_medium(&self, area: Area, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.read(area, at, buffer)
    }

    fn write(&mut self, area: Area, at: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let start = usize::try_from(at).unwrap();
        let content = self.0.get_mut(&area).unwrap();
        content[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self, _: Area) -> Result<(), DiskError> {
        Ok(())
    }
}

struct Unwatched;

impl Watch for Unwatched {
    fn advance(&self, _: Stage, _: u64) {}

    fn checkpoint(&self) -> Result<(), InstallError> {
        Ok(())
    }
}

/// Whether a device only says what an installation costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Dry,
    Whole,
}

/// What a device is told, with the delta that it finds.
fn told(slots: &mut Slots, bundle: &Path, run: Run) -> Cost {
    let public = PrivateKey::from_seed(&KEY).public().unwrap();
    let trust = Trust::new(1, vec![("test".to_owned(), public)]).unwrap();
    let mut source = FileSource::open(bundle).unwrap();
    let head = read_head(&mut source).unwrap();
    let release = verify(&head.manifest, &head.signatures, &trust).unwrap();
    let mut scratch = tempfile::tempfile().unwrap();
    let search = Search {
        bundle: &mut source,
        layout: head.layout(&release.manifest().members),
        release: &release,
        trust: &trust,
        running: root_hash_of(slots, Slot::A).unwrap(),
        beside: &mut |from| {
            let path = delta::file_name(bundle.to_str().unwrap(), from)?;
            FileSource::open(Path::new(&path)).ok()
        },
    };
    let (mut found, looked) = search.find(&mut |error| panic!("{error}")).unwrap();
    let mut installation = Installation {
        source: &mut source,
        disk: slots,
        scratch: &mut scratch,
        running: Slot::A,
        budget: None,
        delta: found.as_mut(),
        looked,
        memory: 0,
        watch: &Unwatched,
    };
    let prepared = installation.prepare(&head, &release).unwrap();
    if run == Run::Whole {
        installation.carry_out(&prepared).unwrap();
    }
    prepared.cost()
}

#[test]
fn builder_and_device_tell_the_same_figures() {
    let folder = tempfile::tempdir().unwrap();
    let (old_path, new_path) = (
        folder.path().join("old.outcrop"),
        folder.path().join("new.outcrop"),
    );
    let old = Release {
        boot: blocks(0..150),
        root: blocks(1000..1700),
    };
    // The boot payload is longer, with new blocks at both ends; of the root some blocks are new, and some have moved.
    let moved = (1000..1300)
        .chain([9000, 9001])
        .chain(1310..1500)
        .chain([9002])
        .chain(1500..1702);
    let new = Release {
        boot: blocks([8000].into_iter().chain(1..155)),
        root: blocks(moved),
    };
    old.bundle(&old_path, 1);
    new.bundle(&new_path, 2);
    let bundle = Bundle::open(&new_path).unwrap();
    let installed = Installed::read(&old_path).unwrap();
    for (other, content) in [(OtherSlot::Empty, None), (OtherSlot::Old, Some(&old))] {
        let mut slots = Slots::default();
        slots.put(Slot::A, Some(&old));
        slots.put(Slot::B, content);
        let figures = cost(&bundle, &installed, other, 0).unwrap();
        assert_eq!(figures, told(&mut slots, &new_path, Run::Dry), "{other:?}");
        assert!(
            figures.fetch.frames > 0 && figures.copy > 0 && figures.requests > 4,
            "{figures:?}"
        );
        assert_eq!(
            figures.write + figures.keep,
            (new.boot.len() + new.root.len()) as u64
        );
    }
    // What is installed already costs nothing but the head, and a look for deltas.
    let again = Bundle::open(&old_path).unwrap();
    let nothing = cost(&again, &installed, OtherSlot::Old, 0).unwrap();
    assert_eq!(
        (nothing.fetch.total(), nothing.requests, nothing.write),
        (HEAD_BYTES + 1024, 2, 0)
    );
}

/// A root file system with these files.
fn file_system(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tree = Tree::new();
    for (path, content) in files {
        let entry = Entry::file(0o644, content.clone());
        tree.insert_all(path.parse().unwrap(), entry).unwrap();
    }
    let options = erofs::Options {
        uuid: uuid::Uuid::from_u128(9),
        time: 1,
        label: None,
    };
    let mut image = Vec::new();
    erofs::Plan::new(&tree, &options)
        .unwrap()
        .write(&mut image, &Silent)
        .unwrap();
    image
}

/// A program: words that are like nothing else, some of which are addresses that all move by `shift`.
fn program(seed: u64, shift: u64, len: u64) -> Vec<u8> {
    let word = |at: u64| {
        let noise = (at ^ seed << 20).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if at.is_multiple_of(16) {
            at * 64 + shift
        } else {
            noise
        }
    };
    (0..len).flat_map(|at| word(at).to_le_bytes()).collect()
}

/// A release, and the next: a kernel's folder with another name, programs whose addresses moved, one that stays, one that is new.
fn generations() -> (Release, Release) {
    let generation = |version: &str, shift: u64, new: bool| {
        let module = |name: &str| format!("usr/lib/modules/{version}/kernel/{name}.ko");
        let names: Vec<String> = (0..20).map(|number| module(&format!("m{number}"))).collect();
        let mut files: Vec<(&str, Vec<u8>)> = names
            .iter()
            .zip(0..)
            .map(|(name, seed)| (name.as_str(), program(seed, shift, 4000 + seed * 100)))
            .collect();
        files.push(("usr/bin/same", program(77, 0, 30_000)));
        files.push(("usr/lib/os-release", format!("VERSION={version}\n").into_bytes()));
        if new {
            files.push(("usr/bin/new", program(78, 0, 3000)));
        }
        let mut boot = program(90, shift, 60_000);
        boot.resize(boot.len().next_multiple_of(BLOCK_BYTES), 0);
        Release {
            boot,
            root: file_system(&files),
        }
    };
    (generation("6.12.1", 0, false), generation("6.12.2", 4096, true))
}

#[test]
fn a_delta_makes_a_device_fetch_a_fraction_and_both_tell_the_same_figures_wherever_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (old, new) = generations();
    old.bundle(&path("old.outcrop"), 1);
    new.bundle(&path("new.outcrop"), 2);
    let (before, after) = (
        Bundle::open(&path("old.outcrop")).unwrap(),
        Bundle::open(&path("new.outcrop")).unwrap(),
    );
    let installed = Installed::read(&path("old.outcrop")).unwrap();
    let without = cost(&after, &installed, OtherSlot::Old, 0).unwrap();
    let key = [PrivateKey::from_seed(&KEY)];
    let made = builder_delta::make(Some(&before), &after, &key, folder.path(), &Silent).unwrap();
    let again = builder_delta::make(Some(&before), &after, &key, folder.path(), &Silent).unwrap();
    let (beside, _) = builder_delta::write_beside(&made, &path("new.outcrop")).unwrap();
    let first = std::fs::read(&beside).unwrap();
    builder_delta::write_beside(&again, &path("new.outcrop")).unwrap();
    assert!(
        first == std::fs::read(&beside).unwrap(),
        "the same releases give the same delta"
    );
    for inside in [false, true] {
        if inside {
            std::fs::remove_file(&beside).unwrap();
            builder_delta::add_to_bundle(&made, &after).unwrap();
        }
        let bundle = Bundle::open(&path("new.outcrop")).unwrap();
        for (other, content) in [(OtherSlot::Empty, None), (OtherSlot::Old, Some(&old))] {
            let mut slots = Slots::default();
            slots.put(Slot::A, Some(&old));
            slots.put(Slot::B, content);
            slots.0.insert(Area::BootRecord, vec![0; (4 << 20) + 4096]);
            slots
                .0
                .insert(Area::LoaderConfig, LoaderConf::plain(Slot::A).to_bytes().to_vec());
            let figures = cost(&bundle, &installed, other, 0).unwrap();
            assert_eq!(
                figures,
                told(&mut slots, &path("new.outcrop"), Run::Whole),
                "{other:?}"
            );
            assert_eq!((figures.fetch.frames, figures.fetch.tree), (0, 0));
            assert!(
                figures.fetch.total() * 5 < without.fetch.total(),
                "{figures:?} {without:?}"
            );
            for (area, wanted) in [(Area::Root(Slot::B), &new.root), (Area::Boot(Slot::B), &new.boot)] {
                assert!(slots.0[&area].starts_with(wanted), "{area}");
            }
        }
    }
}

#[test]
fn a_delta_from_nothing_is_smaller_than_all_frames_and_makes_the_whole_release() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (_, new) = generations();
    let unlike = Release {
        boot: blocks(0..150),
        root: blocks(1000..1700),
    };
    unlike.bundle(&path("old.outcrop"), 1);
    new.bundle(&path("new.outcrop"), 2);
    let after = Bundle::open(&path("new.outcrop")).unwrap();
    let installed = Installed::read(&path("old.outcrop")).unwrap();
    let without = cost(&after, &installed, OtherSlot::Old, 0).unwrap();
    let key = [PrivateKey::from_seed(&KEY)];
    let made = builder_delta::make(None, &after, &key, folder.path(), &Silent).unwrap();
    builder_delta::add_to_bundle(&made, &after).unwrap();
    let bundle = Bundle::open(&path("new.outcrop")).unwrap();
    let mut slots = Slots::default();
    slots.put(Slot::A, Some(&unlike));
    slots.put(Slot::B, None);
    slots.0.insert(Area::BootRecord, vec![0; (4 << 20) + 4096]);
    slots
        .0
        .insert(Area::LoaderConfig, LoaderConf::plain(Slot::A).to_bytes().to_vec());
    let figures = cost(&bundle, &installed, OtherSlot::Empty, 0).unwrap();
    assert_eq!(figures, told(&mut slots, &path("new.outcrop"), Run::Whole));
    assert!(
        figures.fetch.delta > 0 && figures.fetch.total() < without.fetch.total(),
        "{figures:?}"
    );
    assert!(slots.0[&Area::Root(Slot::B)].starts_with(&new.root));
    assert!(slots.0[&Area::Boot(Slot::B)].starts_with(&new.boot));
}

#[test]
fn deltas_of_releases_that_no_device_has_one_after_the_other_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (old, new) = generations();
    old.bundle(&path("old.outcrop"), 1);
    new.bundle(&path("new.outcrop"), 2);
    let bundles = ["old.outcrop", "new.outcrop"].map(|name| Bundle::open(&path(name)).unwrap());
    let key = [PrivateKey::from_seed(&KEY)];
    let refused = |old, new, key: &[PrivateKey]| {
        builder_delta::make(Some(old), new, key, folder.path(), &Silent)
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&bundles[0], &bundles[0], &key).contains("to itself"));
    assert!(refused(&bundles[0], &bundles[1], &[]).contains("must be signed"));
}
