//! What `outcrop bundle cost` tells is what a device is told by `install --dry-run`.

#![cfg(test)]

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use outcrop_builder::{
    bundle::{Bundle, Contents, Installed, OtherSlot, Payload, cost, write},
    keys::PrivateKey,
    progress::Silent,
};
use outcrop_release::{
    arch::Architecture,
    board::Board,
    bootrec,
    bundle::HEAD_BYTES,
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
    install::{FileSource, InstallError, Installation, Stage, Watch, read_head},
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

/// A disk that is only looked at.
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

    fn write(&mut self, area: Area, at: u64, _: &[u8]) -> Result<(), DiskError> {
        Err(DiskError {
            doing: "write",
            area,
            at,
            source: io::Error::other("it is only looked at"),
        })
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

/// What a device is told.
fn told(slots: &mut Slots, bundle: &Path) -> Cost {
    let public = PrivateKey::from_seed(&KEY).public().unwrap();
    let trust = Trust::new(1, vec![("test".to_owned(), public)]).unwrap();
    let mut source = FileSource::open(bundle).unwrap();
    let head = read_head(&mut source).unwrap();
    let release = verify(&head.manifest, &head.signatures, &trust).unwrap();
    let mut scratch = tempfile::tempfile().unwrap();
    let mut installation = Installation {
        source: &mut source,
        disk: slots,
        scratch: &mut scratch,
        running: Slot::A,
        budget: None,
        delta: None,
        looked: Default::default(),
        memory: 0,
        watch: &Unwatched,
    };
    installation.prepare(&head, &release).unwrap().cost()
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
        assert_eq!(figures, told(&mut slots, &new_path), "{other:?}");
        assert!(
            figures.fetch.frames > 0 && figures.copy > 0 && figures.requests > 4,
            "{figures:?}"
        );
        assert_eq!(
            figures.write + figures.keep,
            (new.boot.len() + new.root.len()) as u64
        );
    }
    // What is installed already costs nothing but the head.
    let again = Bundle::open(&old_path).unwrap();
    let nothing = cost(&again, &installed, OtherSlot::Old, 0).unwrap();
    assert_eq!(
        (nothing.fetch.total(), nothing.requests, nothing.write),
        (HEAD_BYTES, 1, 0)
    );
}
