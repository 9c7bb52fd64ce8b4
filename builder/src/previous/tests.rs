//! Bundles, images and commits that a release is laid out after, whole and damaged.

use std::{fs, os::unix::fs::FileExt as _, path::PathBuf, time::Duration};

use outcrop_release::{
    board::Board,
    manifest::{RollbackIndex, RunningManifest},
    partition::Partition,
    slot::Slot,
    verity::{BLOCK_BYTES, HashTree, Salt, TreeBuilder},
};

use super::*;
use crate::{
    bundle::{self, BundleError, Contents, Payload},
    disk::layout::Layout,
    erofs::{Options, Plan},
    failure::FailureClass,
    inspect::tests::{image, image_of, root},
    keys::PrivateKey,
    progress::Silent,
    store::{ImageRecord, TreeStore},
    tree::{Content, Entry, Tree},
};

const OPTIONS: Options = Options {
    uuid: uuid::Uuid::nil(),
    time: 1,
    label: None,
};

fn release(image: &str, architecture: Architecture) -> ReleaseName {
    ReleaseName {
        image: image.parse().unwrap(),
        version: semver::Version::new(0, 1, 0),
        architecture,
        board: Board::Efi,
    }
}

fn edge() -> ReleaseName {
    release("edge", Architecture::Aarch64)
}

/// A tree that says which release it is.
fn tree() -> Tree {
    let mut tree = root();
    let running = RunningManifest {
        release: edge(),
        rollback_index: RollbackIndex(0),
        health_deadline: Duration::from_secs(60),
        kubernetes: None,
    };
    let mut put = |path: &str, content: Content| {
        tree.insert_all(path.parse().unwrap(), Entry::file(0o644, content))
            .unwrap();
    };
    put(RunningManifest::PATH, running.to_bytes().into());
    for number in 0..40_u8 {
        put(
            &format!("usr/lib/{number}"),
            vec![number; 3000 + 500 * usize::from(number)].into(),
        );
    }
    tree
}

/// The release after it: some files differ.
fn next() -> Tree {
    let mut tree = tree();
    tree.remove(&"usr/lib/7".parse().unwrap());
    for (path, bytes) in [("usr/lib/20", vec![99; 9000]), ("usr/new", vec![98; 70_000])] {
        tree.insert_all(path.parse().unwrap(), Entry::file(0o644, bytes))
            .unwrap();
    }
    tree
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn image(&self) -> (String, Layout) {
        let (path, layout) = image_of(&tree(), self.folder.path(), None);
        (path.display().to_string(), layout)
    }

    fn bundle(&self) -> PathBuf {
        let mut bytes = Vec::new();
        Plan::new(&tree(), &OPTIONS)
            .unwrap()
            .write(&mut bytes, &Silent)
            .unwrap();
        let boot = vec![1; 2 * BLOCK_BYTES];
        let hashes = |bytes: &[u8]| -> HashTree {
            let mut builder = TreeBuilder::new(uuid::Uuid::nil(), Salt::from_bytes([3; 32]));
            builder.push(bytes);
            builder.finish().unwrap()
        };
        let (boot_tree, root_tree) = (hashes(&boot), hashes(&bytes));
        let release = edge();
        let contents = Contents {
            release: &release,
            rollback_index: RollbackIndex(0),
            health_deadline: Duration::from_secs(60),
            kubernetes: None,
            layout_of: None,
            secure_boot: None,
            compression: bundle::Compression::Best,
            boot: Payload {
                bytes: &boot,
                tree: &boot_tree,
            },
            root: Payload {
                bytes: &bytes,
                tree: &root_tree,
            },
        };
        let path = self.folder.path().join("edge.outcrop");
        let keys = [PrivateKey::from_seed(&[1; 32])];
        bundle::write(&path, &contents, &keys, &Silent)
            .unwrap()
            .publish()
            .unwrap();
        path
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Commits the release; what names it.
    fn commit(&self, name: &str) -> String {
        let store = TreeStore::open_volatile(&self.store()).unwrap();
        let record = ImageRecord {
            name: name.parse().unwrap(),
            architecture: Architecture::Aarch64,
            version: "0.1.0".to_owned(),
            recipe: String::new(),
            lock: String::new(),
            root_hash: RootHash::of(b"root").to_string(),
            kernel: String::new(),
            command_line: Vec::new(),
            sizes: BTreeMap::new(),
            packages: Vec::new(),
        };
        let addresses = Plan::new(&tree(), &OPTIONS).unwrap().addresses();
        store.commit_image(&tree(), &record, &addresses, 1).unwrap();
        format!("image/{name}/aarch64")
    }

    fn find(&self, text: &str) -> Result<PreviousRelease, PreviousError> {
        PreviousRelease::find(text, &self.store(), &Silent)
    }

    /// The next release, laid out after what `text` names.
    fn after(&self, text: &str) -> Result<Vec<u8>, PreviousError> {
        let found = self.find(text)?;
        let checked = found.check(self.folder.path(), &Silent)?;
        let layout = checked.layout()?;
        let (plan, report) = Plan::after(&next(), &OPTIONS, &layout, &Silent).unwrap();
        assert!(report.kept_blocks > 50 && report.moved_blocks == 0, "{report:?}");
        let mut image = Vec::new();
        plan.write(&mut image, &Silent).unwrap();
        Ok(image)
    }
}

fn flip(path: &str, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

fn assert_input(error: &PreviousError) {
    assert_eq!(error.class(), FailureClass::Input, "{error:?}");
    assert!(miette::Diagnostic::help(error).is_some(), "{error:?}");
}

#[test]
fn a_release_after_a_bundle_an_image_and_a_reference_is_the_same() {
    let bench = Bench::new();
    let (image, bundle, reference) = (bench.image().0, bench.bundle(), bench.commit("edge"));
    let after_image = bench.after(&image).unwrap();
    assert!(after_image == bench.after(&bundle.display().to_string()).unwrap());
    assert!(after_image == bench.after(&reference).unwrap());
    // A bundle is known by its content, too
    let renamed = bench.folder.path().join("renamed");
    fs::rename(bundle, &renamed).unwrap();
    let found = bench.find(&renamed.display().to_string()).unwrap();
    assert_eq!(found.name(), &edge());
}

#[test]
fn what_names_nothing_or_has_no_layout_is_refused() {
    let bench = Bench::new();
    for text in ["nowhere.img", "image/edge/aarch64", "../x"] {
        let error = bench.find(text).unwrap_err();
        assert!(
            matches!(&error, PreviousError::NotFound(named) if named == text),
            "{error:?}"
        );
        assert_input(&error);
    }
    let file = |name: &str, bytes: &[u8]| {
        let path = bench.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let error = bench.find(&file("edge.lock", b"")).unwrap_err();
    assert!(matches!(error, PreviousError::Lock(_)), "{error:?}");
    for bytes in [&b""[..], &[7; 100_000]] {
        let error = bench.find(&file("noise.img", bytes)).unwrap_err();
        assert!(matches!(error, PreviousError::Image { .. }), "{error:?}");
        assert_input(&error);
    }
    let error = bench.find(&file("noise.outcrop", &[7; 100_000])).unwrap_err();
    assert!(matches!(error, PreviousError::Bundle { .. }), "{error:?}");
    assert_input(&error);
}

#[test]
fn a_damaged_block_of_an_image_is_found_and_a_damaged_tree() {
    let bench = Bench::new();
    let (image, layout) = bench.image();
    let start = |partition| layout.extent(partition).start;
    let root = start(Partition::Root(Slot::A)) + 30 * BLOCK_BYTES as u64;
    flip(&image, root);
    let error = bench.after(&image).unwrap_err();
    assert!(
        matches!(error, PreviousError::Damaged { block: 30, .. }),
        "{error:?}"
    );
    assert_input(&error);
    flip(&image, root);
    assert!(bench.after(&image).is_ok());
    flip(
        &image,
        start(Partition::Verity(Slot::A)) + 2 * BLOCK_BYTES as u64 + 5,
    );
    let error = bench.after(&image).unwrap_err();
    assert!(matches!(error, PreviousError::Tree { .. }), "{error:?}");
    assert_input(&error);
}

#[test]
fn an_image_cut_short_is_refused_wherever_it_ends() {
    let bench = Bench::new();
    let (image, layout) = bench.image();
    let root = layout.extent(Partition::Root(Slot::A)).start;
    for length in [root + 100 * BLOCK_BYTES as u64, root, 4096, 100] {
        fs::File::options()
            .write(true)
            .open(&image)
            .unwrap()
            .set_len(length)
            .unwrap();
        let error = bench.after(&image).unwrap_err();
        assert_input(&error);
    }
}

#[test]
fn an_image_whose_boot_payload_names_another_root_is_refused() {
    let bench = Bench::new();
    let (path, _) = image_of(&tree(), bench.folder.path(), Some([9; 32]));
    let error = bench.find(&path.display().to_string()).unwrap_err();
    assert!(matches!(error, PreviousError::RootHash { .. }), "{error:?}");
    assert_input(&error);
}

#[test]
fn an_image_that_does_not_say_which_release_it_is_is_refused() {
    let bench = Bench::new();
    let (path, _) = image(bench.folder.path(), None);
    let error = bench.find(&path.display().to_string()).unwrap_err();
    assert!(matches!(error, PreviousError::NoRelease { .. }), "{error:?}");
    assert_input(&error);
}

#[test]
fn a_damaged_bundle_is_found_by_its_blocks_and_a_short_one_by_its_length() {
    let bench = Bench::new();
    let path = bench.bundle();
    let (text, length) = (path.display().to_string(), fs::metadata(&path).unwrap().len());
    flip(&text, length - 1024 - 512);
    let error = bench.after(&text).unwrap_err();
    let PreviousError::Bundle { source, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(
        matches!(**source, BundleError::Frame { .. } | BundleError::Padding { .. }),
        "{source:?}"
    );
    assert_input(&error);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(length - 600)
        .unwrap();
    assert_input(&bench.after(&text).unwrap_err());
}

#[test]
fn a_commit_without_addresses_is_refused() {
    let bench = Bench::new();
    let reference = bench.commit("edge");
    let mut found = bench.find(&reference).unwrap();
    let Form::Stored(image) = &mut found.form else {
        panic!("{found:?}");
    };
    image.addresses = None;
    let error = found
        .check(bench.folder.path(), &Silent)
        .unwrap()
        .layout()
        .unwrap_err();
    assert!(matches!(error, PreviousError::NoAddresses(_)), "{error:?}");
    assert_input(&error);
}

#[test]
fn a_release_of_another_product_board_or_architecture_is_refused() {
    let bench = Bench::new();
    let found = find_all(&[bench.bundle().display().to_string()], &bench.store(), &Silent).unwrap();
    let board = ReleaseName {
        board: Board::Rpi,
        ..edge()
    };
    check_for(&found, &[&edge()]).unwrap();
    check_for(&found, &[&release("edge", Architecture::X86_64), &edge()]).unwrap();
    for (wanted, expected) in [
        (release("shop", Architecture::Aarch64), "another product"),
        (release("shop", Architecture::X86_64), "another product"),
        (board, "another board"),
        (release("edge", Architecture::X86_64), "nothing is built for it"),
    ] {
        let error = check_for(&found, &[&wanted]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_input(&error);
    }
}

#[test]
fn two_releases_for_one_architecture_are_refused() {
    let bench = Bench::new();
    let texts = [bench.commit("edge"), bench.bundle().display().to_string()];
    let error = find_all(&texts, &bench.store(), &Silent).unwrap_err();
    assert!(matches!(error, PreviousError::Twice { .. }), "{error:?}");
    assert_input(&error);
}
