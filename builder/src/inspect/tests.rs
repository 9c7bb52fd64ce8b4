//! Images made by the disk code, read back.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use outcrop_release::{
    arch::Architecture, board::Board, bootrec::Payload, cmdline, loader::Enroll, partition::Partition,
    slot::Slot,
};

use super::{Fault, ImageError, Inspection, Wanted, files::Kind, inspect};
use crate::{
    boot::uki::{Uki, fixture},
    commands::{self, testing},
    disk::{
        assemble::{BootFiles, RootWriter},
        identity::Identity,
        layout::Layout,
        units::MIB,
    },
    erofs::{Options, Plan},
    failure::FailureClass,
    progress::Silent,
    recipe::schema::Disk,
    secure_boot::{self, key_set::testing::signer},
    tree::{Content, Entry, LinkGroup, Metadata, Node, Tree},
};

const DISK: Disk = Disk {
    root_slot: 16 * MIB,
    boot_slot: 8 * MIB,
    data: 128 * MIB,
};
const STATUS: &str = "Package: small\nStatus: install ok installed\nArchitecture: all\nVersion: 1.0-1\n\n\
    Package: large\nStatus: install ok installed\nArchitecture: arm64\nMulti-Arch: same\nVersion: 2:3.4+b1\n";
const OS_RELEASE: &str =
    "PRETTY_NAME=\"edge 0.1.0 (Debian)\"\nIMAGE_ID=edge\nIMAGE_VERSION=\"0.1.0\"\nID=debian\n";

pub(crate) fn root() -> Tree {
    let database = "usr/lib/sysimage/dpkg";
    let mut tree = Tree::new();
    let mut put = |path: &str, entry| tree.insert_all(path.parse().unwrap(), entry).unwrap();
    put("usr/lib/os-release", Entry::file(0o644, OS_RELEASE));
    put(&format!("{database}/status"), Entry::file(0o644, STATUS));
    put(
        &format!("{database}/info/small.list"),
        Entry::file(0o644, "/.\n/usr\n/usr/bin/s\n"),
    );
    put(
        &format!("{database}/info/large:arm64.list"),
        Entry::file(0o644, "/.\n/usr/bin/l\n/usr/bin/hard\n/usr/bin/s\n"),
    );
    put("usr/bin/s", Entry::file(0o4755, vec![1; 100]));
    for name in ["usr/bin/hard", "usr/bin/l"] {
        let node = Node::File(Content::from(vec![2; 5000]), Some(LinkGroup(1)));
        let metadata = Metadata {
            uid: 7,
            xattrs: [("user.x".to_owned(), vec![0xab])].into(),
            ..Metadata::root(0o640)
        };
        put(name, Entry { metadata, node });
    }
    put("etc/evil", Entry::symlink("a\u{1b}[31m"));
    tree
}

/// Makes an image of aarch64 in `folder`; `named` is the root hash on its command line, its own when none.
pub(crate) fn image(folder: &Path, named: Option<[u8; 32]>) -> (PathBuf, Layout) {
    image_of(&root(), folder, named)
}

/// Like [`image`], with another tree.
pub(crate) fn image_of(tree: &Tree, folder: &Path, named: Option<[u8; 32]>) -> (PathBuf, Layout) {
    image_with(tree, folder, named, |uki, _| uki)
}

/// Like [`image_of`]; `finish` makes the boot payload of the UKI and its slot's length.
fn image_with(
    tree: &Tree,
    folder: &Path,
    named: Option<[u8; 32]>,
    finish: impl FnOnce(Vec<u8>, usize) -> Vec<u8>,
) -> (PathBuf, Layout) {
    let arch = Architecture::Aarch64;
    let identity = Identity {
        image: "edge".parse().unwrap(),
        architecture: arch,
        board: Board::Efi,
    };
    let layout = Layout::plan(&DISK, arch, Board::Efi).unwrap();
    let options = Options {
        uuid: uuid::Uuid::nil(),
        time: 1,
        label: None,
    };
    let plan = Plan::new(tree, &options).unwrap();
    let target = folder.join("edge.img");
    let mut writer = RootWriter::begin(&target, identity, layout.clone(), plan.size_bytes()).unwrap();
    plan.write(&mut writer, &Silent).unwrap();
    let stage = writer.finish().unwrap();
    let hash = named.map_or(stage.root_hash(), outcrop_release::digest::RootHash::from_bytes);
    let command_line = cmdline::build::<&str>(&hash, Board::Efi, arch, &[]).unwrap();
    let (stub, linux) = (fixture::stub(arch), fixture::kernel(arch));
    let uki = Uki {
        stub: &stub,
        architecture: arch,
        os_release: OS_RELEASE,
        command_line: &command_line,
        uname: "6.12.1-arm64",
        initrd: &[7; 100],
        linux: &linux,
    };
    let uki = uki.build().unwrap();
    let content = uki.len() as u64;
    let uki = finish(uki, usize::try_from(layout.boot_slot_bytes()).unwrap());
    let boot = BootFiles {
        loaders: &[("EFI/BOOT/BOOTX64.EFI".to_owned(), b"MZ".to_vec())],
        payload: &uki,
        parts: Payload::of_uki(&uki),
        payload_content: content,
        enroll: Enroll::Off,
    };
    let data = stage.make_data().unwrap();
    stage.finish(&boot, data).unwrap().publish().unwrap();
    (target, layout)
}

const ALL: Wanted = Wanted {
    files: true,
    digests: true,
};

fn read(path: &Path) -> Inspection {
    inspect(path, ALL, &Silent).unwrap()
}

#[test]
fn a_signed_image_says_by_whom_and_a_changed_one_that_the_signature_is_of_other_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let signed = |uki, slot| secure_boot::sign(uki, Some(slot), &signer()).unwrap();
    let (path, _) = image_with(&root(), folder.path(), None, signed);
    let found = read(&path);
    assert_eq!(found.problems, Vec::<String>::new());
    let told = found.release.secure_boot.clone().unwrap();
    assert_eq!(told.subject, "CN=Test db");
    assert_eq!(told.sha256, signer().certificate().fingerprint().to_string());
    assert!(
        found.to_string().contains("signed by  CN=Test db (Secure Boot;"),
        "{found}"
    );
    assert!(
        found.slots[0].boot.unwrap().used < 1 << 20,
        "padding isn't counted"
    );
    let changed = |uki, slot| {
        let mut file = signed(uki, slot);
        file[slot - 8192] = 1;
        file
    };
    let (path, _) = image_with(&root(), folder.path(), None, changed);
    let found = read(&path);
    assert_eq!(found.release.secure_boot, None);
    assert!(
        found.problems[0].contains("its signature is of other bytes"),
        "{:?}",
        found.problems
    );
}

#[test]
fn an_image_says_what_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let (path, layout) = image(folder.path(), None);
    let found = read(&path);
    assert_eq!(found.problems, Vec::<String>::new());
    let release = &found.release;
    let told = [
        &release.name,
        &release.version,
        &release.architecture,
        &release.kernel,
    ];
    assert_eq!(told, ["edge", "0.1.0", "aarch64", "6.12.1-arm64"]);
    assert!(
        release
            .command_line
            .contains(&format!("roothash={}", release.root_hash))
    );
    assert_eq!(found.bytes, layout.image_bytes());
    let labels: Vec<_> = found
        .partitions
        .iter()
        .map(|partition| partition.label.as_str())
        .collect();
    assert_eq!(
        labels,
        Partition::of(Board::Efi)
            .map(Partition::label)
            .collect::<Vec<_>>()
    );
    // Slot A holds the release, slot B nothing
    assert_eq!(found.slots[0].root_hash.as_ref(), Some(&release.root_hash));
    assert_eq!(found.slots[0].boot.unwrap().total, DISK.boot_slot);
    assert_eq!(found.slots[0].root.total, DISK.root_slot);
    assert_eq!(
        (found.slots[1].root_hash.as_ref(), found.slots[1].boot),
        (None, None)
    );
}

#[test]
fn packages_weigh_what_they_have_in_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let found = read(&image(folder.path(), None).0);
    let told: Vec<_> = found
        .packages
        .iter()
        .map(|package| (package.name.as_str(), package.version.as_str(), package.bytes))
        .collect();
    // A hard link counts once, a file that two packages list for the first of them
    assert_eq!(told, [("large", "2:3.4+b1", 5000), ("small", "1.0-1", 100)]);
}

#[test]
fn every_file_is_told_with_mode_owner_attributes_links_and_digest() {
    let folder = tempfile::tempdir().unwrap();
    let files = read(&image(folder.path(), None).0).files.unwrap();
    assert!(files.is_sorted_by(|a, b| a.path < b.path));
    let file = |path: &str| files.iter().find(|file| file.path == path).unwrap();
    let hard = file("/usr/bin/hard");
    assert_eq!(
        (hard.mode.as_str(), hard.uid, hard.size, hard.links),
        ("0640", 7, Some(5000), Some(2))
    );
    assert_eq!(hard.xattrs["user.x"], "ab");
    assert_eq!(hard.sha256, file("/usr/bin/l").sha256);
    assert_eq!(file("/usr/bin/s").mode, "4755");
    let digest = outcrop_release::digest::FileDigest::of(&[1; 100]).to_string();
    assert_eq!(file("/usr/bin/s").sha256.as_ref(), Some(&digest));
    assert_eq!(file("/usr/bin").kind, Kind::Directory);
    let plain = inspect(&image(folder.path(), None).0, Wanted::default(), &Silent).unwrap();
    assert_eq!(plain.files, None);
}

#[test]
fn the_command_prints_text_without_terminal_codes_or_json() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = image(folder.path(), None);
    let print = |json| {
        let (context, written) = testing::context();
        let options = commands::inspect::Options {
            image: path.clone(),
            wanted: ALL,
            json,
        };
        commands::inspect::run(&options, &context).unwrap();
        written.text()
    };
    let text = print(false);
    for line in [
        "edge 0.1.0 (aarch64)",
        "  9  outcrop-data",
        "4.8 KiB  large  2:3.4+b1",
        "  b  empty",
    ] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    assert!(
        text.contains("/etc/evil -> a\\u{1b}[31m") && !text.contains('\u{1b}'),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_str(&print(true)).unwrap();
    assert_eq!(json["packages"][0]["bytes"], 5000);
    assert_eq!(json["files"][0]["path"], "/etc");
}

#[test]
fn a_payload_that_names_another_root_hash_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let found = read(&image(folder.path(), Some([0x11; 32])).0);
    assert_eq!(found.problems.len(), 1);
    assert!(
        found.problems[0].contains(&"11".repeat(32)),
        "{:?}",
        found.problems
    );
    assert!(found.to_string().contains("PROBLEM"));
}

#[test]
fn an_emptied_slot_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let (path, layout) = image(folder.path(), None);
    let file = fs::File::options().write(true).open(&path).unwrap();
    let verity = layout.extent(Partition::Verity(Slot::A));
    file.write_all_at(&[0; 4096], verity.start).unwrap();
    let found = read(&path);
    assert!(found.problems[0].contains("no hash tree"), "{:?}", found.problems);
}

#[test]
fn what_is_no_image_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.img");
    for bytes in [vec![], vec![0; 100_000], vec![0xff; 100_000]] {
        fs::write(&path, bytes).unwrap();
        let error = inspect(&path, ALL, &Silent).unwrap_err();
        assert!(matches!(error, ImageError::Disk(_)) && error.class() == FailureClass::Input);
        assert!(error.to_string().contains("x.img"), "{error}");
    }
}

#[test]
fn a_root_that_is_no_file_system_is_told_as_that() {
    let folder = tempfile::tempdir().unwrap();
    let (path, layout) = image(folder.path(), None);
    let file = fs::File::options().write(true).open(&path).unwrap();
    let root = layout.extent(Partition::Root(Slot::A));
    file.write_all_at(&[0xee; 4096], root.start).unwrap();
    let error = inspect(&path, ALL, &Silent).unwrap_err();
    assert_eq!(error.class(), FailureClass::Input);
    assert!(matches!(error, ImageError::Release { source, .. } if matches!(*source, Fault::Root(_))));
}
