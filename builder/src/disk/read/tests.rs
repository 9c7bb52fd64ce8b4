//! An image that was just made, read back.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use outcrop_release::{
    arch::Architecture, board::Board, bootrec::Payload, cmdline, fat::FatError, loader::Enroll,
    partition::Partition, slot::Slot,
};

use super::{DiskImage, DiskReadError};
use crate::{
    boot::uki::{Uki, fixture},
    disk::{
        assemble::{BootFiles, RootWriter},
        identity::tests::identity,
        layout::Layout,
        units::MIB,
    },
    read_at::ReadAt as _,
    recipe::schema::Disk,
};

const ARCH: Architecture = Architecture::Aarch64;

fn image(folder: &Path) -> PathBuf {
    let disk = Disk {
        root_slot: 16 * MIB,
        boot_slot: 8 * MIB,
        data: 128 * MIB,
    };
    let layout = Layout::plan(&disk, ARCH, Board::Efi).unwrap();
    let path = folder.join("edge.img");
    let mut root = RootWriter::begin(&path, identity(ARCH), layout, 8192).unwrap();
    root.write_all(&[9; 8192]).unwrap();
    let boot = root.finish().unwrap();
    let (stub, linux) = (fixture::stub(ARCH), fixture::kernel(ARCH));
    let command_line = cmdline::build::<&str>(&boot.root_hash(), Board::Efi, ARCH, &[]).unwrap();
    let uki = Uki {
        stub: &stub,
        architecture: ARCH,
        os_release: "ID=edge\n",
        command_line: &command_line,
        uname: "6.12",
        initrd: &[1; 100],
        linux: &linux,
    };
    let uki = uki.build().unwrap();
    let data = boot.make_data().unwrap();
    let files = BootFiles {
        loaders: &[("EFI/BOOT/BOOTX64.EFI".to_owned(), b"MZ".to_vec())],
        payload: &uki,
        parts: Payload::of_uki(&uki),
        payload_content: uki.len() as u64,
        enroll: Enroll::Off,
    };
    boot.finish(&files, data).unwrap().publish().unwrap().image
}

#[test]
fn a_fresh_image_is_complete_in_slot_a_and_empty_in_slot_b() {
    let folder = tempfile::tempdir().unwrap();
    let image = DiskImage::open(&image(folder.path())).unwrap();
    assert_eq!(image.architecture(), ARCH);
    let slot = image.slot(Slot::A).unwrap();
    assert!(slot.is_complete());
    let (root, boot) = (slot.root.unwrap(), slot.boot.unwrap());
    assert_eq!(
        (root.superblock.geometry.data_blocks(), root.slot_bytes),
        (2, 16 * MIB)
    );
    assert_eq!((boot.payload.uname.as_str(), boot.slot_bytes), ("6.12", 8 * MIB));
    let empty = image.slot(Slot::B).unwrap();
    assert!(empty.root.is_none() && empty.boot.is_none() && !empty.is_complete());
    let root = image.partition(Partition::Root(Slot::A)).unwrap();
    assert_eq!(root.read_vec(8190, 4).unwrap(), [9, 9, 0, 0]);
}

#[test]
fn what_is_no_image_or_a_damaged_one_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = image(folder.path());
    let extent = |partition| {
        let image = DiskImage::open(&path).unwrap();
        image.table().entry(Partition::number(partition)).unwrap().extent
    };
    let (esp, verity) = (extent(Partition::Esp), extent(Partition::Verity(Slot::B)));
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"verity\0\0\x02", verity.start).unwrap();
    let broken = DiskImage::open(&path).unwrap();
    assert!(matches!(
        broken.slot(Slot::B),
        Err(DiskReadError::Verity { slot: Slot::B, .. })
    ));
    file.write_all_at(&[0; 512], esp.start).unwrap();
    let broken = DiskImage::open(&path).unwrap().slot(Slot::A);
    assert!(matches!(
        broken,
        Err(DiskReadError::Esp {
            source: FatError::BootSector(_),
            ..
        })
    ));
    file.set_len(esp.start).unwrap();
    assert!(matches!(DiskImage::open(&path), Err(DiskReadError::Table { .. })));
    let absent = DiskImage::open(&folder.path().join("absent"));
    assert!(matches!(absent, Err(DiskReadError::Io { .. })));
}
