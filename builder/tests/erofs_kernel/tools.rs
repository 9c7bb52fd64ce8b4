//! `fsck.erofs`, `dump.erofs` and `mkfs.erofs`.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use outcrop_builder::{
    erofs::{Node, Reader},
    read_at::FileSource,
};

use crate::sample;

/// Runs a tool of erofs-utils; returns what it printed.
fn erofs_utils(tool: &str, arguments: &[&str], image: &Path) -> String {
    let output = match Command::new(tool).args(arguments).arg(image).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("{tool} is missing: install the package erofs-utils")
        }
        other => other.unwrap(),
    };
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{tool} {arguments:?}: {text}");
    text
}

#[test]
fn fsck_erofs_finds_no_fault_and_extracts_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    for tree in (0..10).map(sample::random).chain([sample::limits()]) {
        sample::write_image(&tree, &image);
        let text = erofs_utils("fsck.erofs", &["-d3", "--extract"], &image);
        assert!(text.contains("No errors found"), "{text}");
        assert!(!text.contains("<W>") && !text.contains("<E>"), "{text}");
    }
}

#[test]
fn fsck_erofs_finds_no_fault_in_images_laid_out_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    sample::write_image(&sample::random(100), &image);
    for tree in (101..106).map(sample::random).chain([sample::limits()]) {
        sample::write_image_after(&tree, &image);
        let text = erofs_utils("fsck.erofs", &["-d3", "--extract"], &image);
        assert!(text.contains("No errors found"), "{text}");
        assert!(!text.contains("<W>") && !text.contains("<E>"), "{text}");
    }
}

#[test]
fn an_image_can_be_laid_out_after_one_of_mkfs_erofs() {
    let folder = tempfile::tempdir().unwrap();
    let (source, image) = (folder.path().join("source"), folder.path().join("image"));
    fs::create_dir_all(source.join("sizes")).unwrap();
    for size in [0, 100, 4096, 5000, 70_001] {
        fs::write(source.join(format!("sizes/{size}")), vec![size as u8 | 1; size]).unwrap();
    }
    let output = Command::new("mkfs.erofs").args([&image, &source]).output();
    let output = output.expect("mkfs.erofs: install the package erofs-utils");
    assert!(output.status.success());
    sample::write_image_after(&sample::limits(), &image);
    let text = erofs_utils("fsck.erofs", &["-d3", "--extract"], &image);
    assert!(text.contains("No errors found"), "{text}");
}

#[test]
fn fsck_erofs_misses_the_checksum_of_a_superblock_that_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    sample::write_image(&sample::limits(), &image);
    let mut bytes = fs::read(&image).unwrap();
    bytes[1024 + 24] ^= 1; // the time
    fs::write(&image, bytes).unwrap();
    let output = Command::new("fsck.erofs").arg(&image).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    // Its exit code is 0 all the same, in 1.5: so the other tests look for "No errors found".
    assert!(
        text.contains("chksum doesn't match") && !text.contains("No errors found"),
        "{text}"
    );
}

#[test]
fn dump_erofs_shows_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let tree = sample::limits();
    sample::write_image(&tree, &image);
    let text = erofs_utils("dump.erofs", &["-s"], &image);
    let field = |name: &str| {
        let line = text.lines().find(|line| line.contains(name)).unwrap_or_default();
        line.split_once(": ")
            .map_or("", |(_, value)| value.trim())
            .to_owned()
    };
    let blocks = fs::metadata(&image).unwrap().len() / 4096;
    assert_eq!(field("magic number"), "0xE0F5E1E2", "{text}");
    assert_eq!(field("blocks"), blocks.to_string(), "{text}");
    assert_eq!(field("inode count"), (tree.len() - 4).to_string(), "{text}"); // two files have three names each
    assert_eq!(field("UUID"), "01234567-89ab-cdef-0123-456789abcdef", "{text}");
    assert!(field("features").contains("sb_csum"), "{text}");
    let file = erofs_utils("dump.erofs", &["--path=/sizes/70001", "-e"], &image);
    assert!(file.contains("Size: 70001"), "{file}");
}

#[test]
fn an_image_of_mkfs_erofs_reads_as_the_folder_it_was_made_of() {
    // Given a folder with files of all sizes, links and a large folder
    let folder = tempfile::tempdir().unwrap();
    let (source, image) = (folder.path().join("source"), folder.path().join("image"));
    fs::create_dir_all(source.join("many/deep/er")).unwrap();
    for size in [0, 1, 100, 4000, 4096, 5000, 12_288, 300_000] {
        fs::write(source.join(format!("{size}")), vec![size as u8 | 1; size]).unwrap();
    }
    for number in 0..700 {
        symlink("target", source.join(format!("many/{number}"))).unwrap();
    }
    fs::hard_link(source.join("5000"), source.join("many/deep/er/5000")).unwrap();
    fs::set_permissions(source.join("100"), fs::Permissions::from_mode(0o4711)).unwrap();
    // When mkfs.erofs makes an image of it
    let output = Command::new("mkfs.erofs").args([&image, &source]).output();
    let output = output.expect("mkfs.erofs: install the package erofs-utils");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Then our reader finds exactly what is in the folder
    let reader = Reader::open(FileSource::new(fs::File::open(&image).unwrap()).unwrap()).unwrap();
    let mut inodes = BTreeMap::new();
    let mut count = 0;
    for entry in reader.walk() {
        let entry = entry.unwrap();
        let file = source.join(entry.path.as_str());
        let meta = fs::symlink_metadata(&file).unwrap();
        assert_eq!(
            u32::from(entry.metadata.mode),
            meta.mode() & 0o7777,
            "{}",
            entry.path
        );
        assert_eq!((entry.metadata.uid, entry.metadata.gid), (meta.uid(), meta.gid()));
        assert_eq!(u64::from(entry.links), meta.nlink());
        assert_eq!(*inodes.entry(entry.inode).or_insert(meta.ino()), meta.ino());
        match &entry.node {
            Node::Directory => assert!(meta.is_dir()),
            Node::Symlink(target) => assert_eq!(Path::new(target), fs::read_link(&file).unwrap()),
            Node::File { .. } => {
                assert!(reader.read_entry(&entry, 1 << 20).unwrap() == fs::read(&file).unwrap());
            }
            Node::Special(kind) => panic!("{}: {kind:?}", entry.path),
        }
        count += 1;
    }
    assert_eq!(count, 4 + 8 + 700 + 1);
}
