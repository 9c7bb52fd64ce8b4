//! A disk image against tools that nobody here wrote. Debian has them in gdisk, dosfstools, mtools, e2fsprogs,
//! cryptsetup-bin, erofs-utils, bmap-tools and systemd-container; one that is missing fails its test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use outcrop_builder::{
    disk::{
        assemble::{BootFiles, DiskFacts, RootWriter},
        identity::Identity,
        layout::Layout,
        units::Extent,
    },
    recipe::schema::Disk,
};
use outcrop_release::{
    arch::Architecture,
    board::Board,
    bootrec::Payload,
    loader::{Enroll, LoaderConf},
    partition::Partition,
    slot::Slot,
};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
const DISK: Disk = Disk {
    root_slot: 32 * MIB,
    boot_slot: 8 * MIB,
    data: 128 * MIB,
};

/// An image with made-up content, shared by the tests, which only read it.
static IMAGE: LazyLock<(TempDir, DiskFacts, Layout)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let (facts, layout) = build(folder.path());
    (folder, facts, layout)
});

/// Bytes that look like nothing, the same for the same `seed`.
fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// An EROFS that holds noise and zeros.
fn root() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let mut content = noise(1, 20 << 20);
    content[5 << 20..6 << 20].fill(0);
    fs::write(tree.join("file"), content).unwrap();
    let image = folder.path().join("root");
    let uuid = "-U7d1b0c2e-52f0-4d0a-9f0e-6f7574637270";
    run(
        "erofs-utils",
        "mkfs.erofs",
        &["-T0", "--all-root", uuid, text(&image), text(&tree)],
    );
    fs::read(image).unwrap()
}

fn build(folder: &Path) -> (DiskFacts, Layout) {
    let identity = Identity {
        image: "edge".parse().unwrap(),
        architecture: Architecture::X86_64,
        board: Board::Efi,
    };
    let layout = Layout::plan(&DISK, Architecture::X86_64, Board::Efi).unwrap();
    let root = root();
    let target = folder.join("edge.img");
    let mut writer = RootWriter::begin(&target, identity, layout.clone(), root.len() as u64).unwrap();
    // Pieces of odd lengths, as a file system writer makes them.
    root.chunks(333_333)
        .for_each(|piece| writer.write_all(piece).unwrap());
    let boot = writer.finish().unwrap();
    let (loader, uki) = (noise(2, 120_001), noise(3, 5_000_000));
    let data = boot.make_data().unwrap();
    let loaders = [
        ("EFI/BOOT/BOOTX64.EFI".to_owned(), loader),
        ("BGENV.DAT".to_owned(), noise(4, 132_104)),
        ("EFI/systemd/systemd-bootx64.efi".to_owned(), noise(5, 90_000)),
    ];
    let files = BootFiles {
        loaders: &loaders,
        payload: &uki,
        parts: Payload::of_uki(&uki),
        payload_content: uki.len() as u64,
        enroll: Enroll::Off,
    };
    let image = boot.finish(&files, data).unwrap();
    (image.publish().unwrap(), layout)
}

/// What `program` prints; it must succeed.
fn run(package: &str, program: &str, args: &[&str]) -> String {
    let mut command = Command::new(program);
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = command
        .args(args)
        .env("LC_ALL", "C")
        .env("PATH", path)
        .env("MTOOLS_SKIP_CHECK", "1")
        .output();
    let output = output.unwrap_or_else(|error| panic!("{program} (Debian package {package}): {error}"));
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {text}");
    text
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Copies a part of the image to a file of its own, for tools that take no offset.
fn cut(image: &Path, extent: Extent, name: &str) -> PathBuf {
    let path = image.with_extension(name);
    let mut from = File::open(image).unwrap();
    from.seek(SeekFrom::Start(extent.start)).unwrap();
    std::io::copy(&mut from.take(extent.len), &mut File::create(&path).unwrap()).unwrap();
    path
}

#[test]
fn sgdisk_finds_no_problem_and_the_fixed_numbers_and_labels() {
    let (_, facts, layout) = &*IMAGE;
    let verdict = run("gdisk", "sgdisk", &["-v", text(&facts.image)]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    let table = run("gdisk", "sgdisk", &["-p", text(&facts.image)]);
    for (partition, extent) in layout.partitions() {
        let line = table
            .lines()
            .find(|line| line.ends_with(partition.label()))
            .unwrap_or_else(|| panic!("{}", partition.label()));
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], partition.number().to_string());
        assert_eq!(words[1], (extent.start / 512).to_string());
        assert_eq!(words[2], (extent.end() / 512 - 1).to_string());
    }
}

#[test]
fn fsck_finds_the_fat_clean_and_mtools_reads_its_files() {
    let (_, facts, layout) = &*IMAGE;
    let esp = cut(&facts.image, layout.extent(Partition::Esp), "fsck-esp");
    let verdict = run("dosfstools", "fsck.vfat", &["-n", "-v", text(&esp)]);
    assert!(
        !verdict.contains("differ") && !verdict.contains("Dirty"),
        "{verdict}"
    );
    let start = layout.extent(Partition::Esp).start;
    let drive = format!("{}@@{start}", text(&facts.image));
    let read = |path: &str| {
        let copy = facts.image.with_extension("mcopy");
        run(
            "mtools",
            "mcopy",
            &["-n", "-o", "-i", &drive, &format!("::{path}"), text(&copy)],
        );
        fs::read(copy).unwrap()
    };
    assert!(read("EFI/BOOT/BOOTX64.EFI") == noise(2, 120_001));
    assert!(read("BGENV.DAT") == noise(4, 132_104));
    assert!(read("EFI/systemd/systemd-bootx64.efi") == noise(5, 90_000));
    assert_eq!(read("loader/loader.conf"), LoaderConf::plain(Slot::A).to_bytes());
    let slot = read("EFI/Linux/outcrop-a.efi");
    assert!(slot[..5_000_000] == noise(3, 5_000_000) && slot[5_000_000..].iter().all(|&byte| byte == 0));
    assert_eq!(slot.len() as u64, DISK.boot_slot);
    assert!(read("EFI/Linux/outcrop-b.efi").iter().all(|&byte| byte == 0));
    let listing = run("mtools", "mdir", &["-i", &drive, "-/", "-b", "::"]);
    assert!(
        listing.contains("::/EFI/Linux/outcrop-a.efi") && listing.contains("::/loader/loader.conf"),
        "{listing}"
    );
}

#[test]
fn e2fsck_finds_the_data_file_system_clean_with_its_pinned_features() {
    let (_, facts, layout) = &*IMAGE;
    let data = cut(&facts.image, layout.extent(Partition::Data), "data");
    run("e2fsprogs", "e2fsck", &["-f", "-n", text(&data)]);
    let facts = run("e2fsprogs", "dumpe2fs", &["-h", text(&data)]);
    let value = |name: &str| {
        let line = facts
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{name} in {facts}"))
            .trim()
            .to_owned()
    };
    assert_eq!(value("Filesystem volume name"), "outcrop-data");
    assert_eq!(
        (value("Block size"), value("Inode size")),
        ("4096".to_owned(), "256".to_owned())
    );
    // 4 TiB of group descriptors: 512 blocks, less the one in use.
    assert!(value("Reserved GDT blocks").parse::<u32>().unwrap() >= 511);
    let features = value("Filesystem features");
    assert!(
        features.contains("resize_inode") && features.contains("metadata_csum"),
        "{features}"
    );
    assert!(
        !features.contains("orphan_file") && !features.contains("metadata_csum_seed"),
        "{features}"
    );
}

#[test]
fn veritysetup_verifies_slot_a_and_finds_nothing_in_slot_b() {
    let (_, facts, layout) = &*IMAGE;
    let part = |partition: Partition| {
        cut(
            &facts.image,
            layout.extent(partition),
            &format!("{}-cut", partition.label()),
        )
    };
    let (root, verity) = (part(Partition::Root(Slot::A)), part(Partition::Verity(Slot::A)));
    let hash = facts.root_hash.to_string();
    run(
        "cryptsetup-bin",
        "veritysetup",
        &["verify", text(&root), text(&verity), &hash],
    );
    let empty = part(Partition::Verity(Slot::B));
    let mut block = [1; 4096];
    File::open(empty).unwrap().read_exact(&mut block).unwrap();
    assert_eq!(block, [0; 4096]);
}

#[test]
fn bmaptool_onto_a_used_medium_gives_a_disk_that_every_tool_finds_clean() {
    let (folder, facts, layout) = &*IMAGE;
    let medium = folder.path().join("medium");
    // Old bytes everywhere: what the map leaves out must not matter.
    let mut file = File::create(&medium).unwrap();
    let old = noise(7, 1 << 20);
    (0..facts.image_bytes / MIB).for_each(|_| file.write_all(&old).unwrap());
    let map = text(&facts.block_map);
    run(
        "bmap-tools",
        "bmaptool",
        &["-q", "copy", "--bmap", map, text(&facts.image), text(&medium)],
    );
    assert!(run("gdisk", "sgdisk", &["-v", text(&medium)]).contains("No problems found"));
    let esp = cut(&medium, layout.extent(Partition::Esp), "medium-esp");
    run("dosfstools", "fsck.vfat", &["-n", text(&esp)]);
    let data = cut(&medium, layout.extent(Partition::Data), "medium-data");
    run("e2fsprogs", "e2fsck", &["-f", "-n", text(&data)]);
    let root = cut(&medium, layout.extent(Partition::Root(Slot::A)), "medium-root");
    let verity = cut(
        &medium,
        layout.extent(Partition::Verity(Slot::A)),
        "medium-verity",
    );
    let hash = facts.root_hash.to_string();
    run(
        "cryptsetup-bin",
        "veritysetup",
        &["verify", text(&root), text(&verity), &hash],
    );
}

#[test]
fn two_builds_in_two_places_give_the_same_bytes() {
    let (_, facts, _) = &*IMAGE;
    let other = tempfile::tempdir().unwrap();
    let (again, _) = build(other.path());
    assert_eq!(again.image_digest, facts.image_digest);
    assert!(fs::read(&again.block_map).unwrap() == fs::read(&facts.block_map).unwrap());
    let sum = run("coreutils", "sha256sum", &[text(&facts.image)]);
    assert!(sum.starts_with(&facts.image_digest.to_string()), "{sum}");
    let names: Vec<_> = other
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn systemd_dissect_finds_slot_a_its_tree_and_the_esp_and_nothing_else() {
    let (_, facts, _) = &*IMAGE;
    // It wants a loop device, and so root.
    let program = ["sudo", "-n", "systemd-dissect"];
    let program = if rustix::process::geteuid().is_root() {
        &program[2..]
    } else {
        &program[..]
    };
    let args = [&program[1..], &["--json=short", text(&facts.image)]].concat();
    let found = run("systemd-container", program[0], &args);
    let json = found
        .lines()
        .find(|line| line.starts_with('{'))
        .expect("one line of JSON");
    let found: serde_json::Value = serde_json::from_str(json).unwrap();
    let mut mounts: Vec<String> = found["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| {
            let field = |name: &str| mount[name].as_str().unwrap_or("-").to_owned();
            [
                field("designator"),
                field("partition_label"),
                field("fstype"),
                field("architecture"),
            ]
            .join(" ")
        })
        .collect();
    mounts.sort();
    assert_eq!(
        mounts,
        [
            "esp outcrop-esp vfat -",
            "root outcrop-root-a erofs x86-64",
            "root-verity outcrop-verity-a DM_verity_hash x86-64",
        ]
    );
    assert_eq!(found["useBootableUefi"], true);
}
