//! Flashing to a medium in memory that may fail, shrink and forget.

use std::{cell::Cell, collections::BTreeMap};

use outcrop_release::{fat::Volume, manifest::Member, read_at::ReadAt as _};
use uuid::Uuid;

use super::*;
use crate::{
    boot::partition::fat_image,
    disk::{
        gpt::Entry,
        image::{BlockMap, MappedRange},
    },
    progress::Silent,
};

const PAGE: usize = 4096;

/// Pages that were written; all others are `filler`.
struct Memory {
    len: u64,
    pages: BTreeMap<u64, Vec<u8>>,
    filler: u8,
    written: u64,
    /// Writes behind so many bytes fail.
    breaks_after: Option<u64>,
    /// Writes and reads from this byte on fail.
    shrinks_to: Option<u64>,
    /// A page that keeps something else than is written.
    rotten: Option<u64>,
    flushes: Cell<u32>,
}

impl Memory {
    fn new(len: u64) -> Self {
        Self {
            len,
            pages: BTreeMap::new(),
            filler: 0xa5,
            written: 0,
            breaks_after: None,
            shrinks_to: None,
            rotten: None,
            flushes: Cell::new(0),
        }
    }

    fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.read_pages(at, &mut bytes);
        bytes
    }

    fn read_pages(&self, at: u64, bytes: &mut [u8]) {
        for (index, byte) in bytes.iter_mut().enumerate() {
            let place = at + index as u64;
            let page = self.pages.get(&(place / PAGE as u64));
            *byte = page.map_or(self.filler, |page| {
                page[usize::try_from(place % PAGE as u64).unwrap()]
            });
        }
    }

    /// What firmware looks for.
    fn looks_bootable(&self) -> bool {
        let last = self.len / 512 * 512 - 512;
        self.bytes(512, 8) == b"EFI PART"
            || self.bytes(510, 2) == [0x55, 0xaa]
            || self.bytes(last, 8) == b"EFI PART"
    }
}

impl Target for Memory {
    fn len(&self) -> u64 {
        self.len
    }

    fn make_room(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        assert!(at.is_multiple_of(PAGE as u64) && at + bytes.len() as u64 <= self.len);
        if self.shrinks_to.is_some_and(|len| at + bytes.len() as u64 > len) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        for (index, chunk) in bytes.chunks(PAGE).enumerate() {
            if self.breaks_after.is_some_and(|most| self.written >= most) {
                return Err(io::Error::other("Input/output error"));
            }
            self.written += chunk.len() as u64;
            let number = at / PAGE as u64 + index as u64;
            let page = self
                .pages
                .entry(number)
                .or_insert_with(|| vec![self.filler; PAGE]);
            page[..chunk.len()].copy_from_slice(chunk);
            if self.rotten == Some(number) {
                page[7] ^= 1;
            }
        }
        Ok(())
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_pages(at, bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushes.set(self.flushes.get() + 1);
        Ok(())
    }

    fn reread_table(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An image that is zero but for some pieces.
#[derive(Clone)]
struct Pieces {
    len: u64,
    pieces: Vec<(u64, Vec<u8>)>,
    at: u64,
}

impl Image for Pieces {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.len - self.at).unwrap().min(buffer.len());
        buffer[..len].fill(0);
        for (start, bytes) in &self.pieces {
            let (from, to) = (
                (*start).max(self.at),
                (start + bytes.len() as u64).min(self.at + len as u64),
            );
            if from < to {
                let (at, skip) = (
                    usize::try_from(from - self.at).unwrap(),
                    usize::try_from(from - start).unwrap(),
                );
                let count = usize::try_from(to - from).unwrap();
                buffer[at..at + count].copy_from_slice(&bytes[skip..skip + count]);
            }
        }
        self.at += len as u64;
        Ok(len)
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        self.at += count;
        Ok(())
    }
}

/// A small image, and its map.
struct Made {
    image: Pieces,
    sidecars: Sidecars,
    table: Gpt,
}

impl Made {
    fn bytes(&self) -> u64 {
        self.image.len
    }

    fn extent(&self, partition: Partition) -> Extent {
        self.table.entry(partition.number()).unwrap().extent
    }
}

fn made(board: Board) -> Made {
    made_with(board, 70 * MIB)
}

/// The same with a partition 1 of that length; a short one has no file system.
#[expect(
    clippy::too_many_lines,
    reason = "an image from its table to its map, top to bottom"
)]
fn made_with(board: Board, esp_bytes: u64) -> Made {
    let mut start = MIB;
    let entry = |partition: Partition| {
        let len = if partition == Partition::Esp {
            esp_bytes
        } else {
            2 * MIB
        };
        let extent = Extent { start, len };
        start += len;
        Entry {
            number: partition.number(),
            type_guid: partition.type_guid(Architecture::Aarch64),
            guid: Uuid::from_u128(partition.number().into()),
            extent,
            attributes: 0,
            label: partition.label().to_owned(),
        }
    };
    let entries: Vec<Entry> = Partition::of(board).map(entry).collect();
    let len = start + MIB;
    let extent = |partition: Partition| {
        entries
            .iter()
            .find(|entry| entry.number == partition.number())
            .unwrap()
            .extent
    };
    let (esp, root, data) = (
        extent(Partition::Esp),
        extent(Partition::Root(Slot::A)),
        extent(Partition::Data),
    );
    let table = Gpt {
        disk: Uuid::from_u128(77),
        sectors: len / 512,
        hybrid: (board == Board::Rpi).then_some(esp),
        entries,
    };
    let volume = Volume {
        bytes: esp.len,
        serial: 1,
        label: "TEST",
        disk_offset: esp.start,
    };
    let place = vec![b'\n'; 16384];
    let fat = fat_image(&volume, &[("device.toml".to_owned(), &place)]).unwrap_or_else(|_| vec![1; PAGE]);
    let content: Vec<u8> = (0..9 * PAGE)
        .map(|index| u8::try_from(index % 251).unwrap())
        .collect();
    let mut pieces = vec![
        (0, table.primary()),
        (root.start, content),
        (esp.start, fat),
        (data.start, vec![9; PAGE]),
    ];
    pieces.sort();
    let image = Pieces { len, pieces, at: 0 };
    let ranges = image.pieces.iter().map(|(start, bytes)| {
        let len = bytes.len().next_multiple_of(PAGE);
        let mut padded = bytes.clone();
        padded.resize(len, 0);
        MappedRange {
            first: start / PAGE as u64,
            last: (start + len as u64) / PAGE as u64 - 1,
            digest: FileDigest::of(&padded),
        }
    });
    let map = BlockMap {
        image_bytes: len,
        ranges: ranges.collect(),
    };
    let sidecars = Sidecars {
        map: Some(map),
        ..Sidecars::default()
    };
    Made {
        image,
        sidecars,
        table,
    }
}

fn flash(
    made: &Made,
    target: &mut Memory,
    verify: Verify,
    configuration: Option<&[u8]>,
) -> Result<Report, FlashError> {
    let flash = Flash {
        image: "x.img",
        sidecars: &made.sidecars,
        path: Path::new("/dev/card"),
        verify,
        configuration,
        progress: &Silent,
    };
    flash.run(&mut made.image.clone(), target)
}

#[test]
fn what_the_map_names_is_written_and_no_more_and_the_card_has_names_of_its_own() {
    for board in Board::ALL {
        let made = made(board);
        let mut card = Memory::new(made.bytes() + 100 * MIB + 512);
        let report = flash(&made, &mut card, Verify::ReadBack, None).unwrap();
        for (start, bytes) in &made.image.pieces[1..] {
            assert_eq!(&card.bytes(*start, bytes.len()), bytes);
        }
        let mapped = made.sidecars.map.as_ref().unwrap().mapped_bytes();
        assert_eq!(report.written, mapped);
        assert!(card.written < mapped + 4 * MIB, "{} of {mapped}", card.written);
        let table = Gpt::read(&OnMedium(&card)).unwrap();
        let before = Gpt::read(&Head(&made.image.pieces[0].1)).unwrap();
        assert_ne!(table.disk, before.disk);
        assert_eq!(table.sectors, card.len / 512);
        let data = table.entry(9).unwrap().extent;
        assert!(data.end() > made.bytes() + 98 * MIB);
        assert_eq!(card.bytes(card.len / 512 * 512 - 512, 8), b"EFI PART");
        // A Raspberry Pi's MBR names partition 1 too; any other one's covers the disk.
        let kind = card.bytes(450, 1)[0];
        assert_eq!(kind, if board == Board::Rpi { 0x0c } else { 0xee });
    }
}

#[test]
fn whenever_it_breaks_off_the_card_does_not_look_bootable() {
    let made = made(Board::Rpi);
    let mut whole = Memory::new(made.bytes());
    flash(&made, &mut whole, Verify::Head, None).unwrap();
    // From the end of the wiping to the beginning of the last write, which is the table's.
    let (wiped, last) = (2 * MIB, whole.written - MIB);
    for after in (0..=20).map(|part| wiped + (last - wiped) * part / 20) {
        let mut card = Memory::new(made.bytes());
        // It was bootable before.
        card.pages.clone_from(&whole.pages);
        card.breaks_after = Some(after);
        let error = flash(&made, &mut card, Verify::Head, None).unwrap_err();
        assert!(matches!(error, FlashError::Target { .. }), "{error}");
        let primary = card.bytes(512, 8) == b"EFI PART";
        assert!(
            !primary && card.bytes(510, 2) != [0x55, 0xaa],
            "after {after} bytes"
        );
    }
}

#[test]
fn a_card_that_shrinks_or_forgets_is_found_out() {
    let made = made(Board::Efi);
    let mut card = Memory::new(made.bytes());
    card.shrinks_to = Some(made.extent(Partition::Esp).start);
    assert!(matches!(
        flash(&made, &mut card, Verify::Head, None),
        Err(FlashError::Target { .. })
    ));
    let mut card = Memory::new(made.bytes());
    card.rotten = Some(made.extent(Partition::Root(Slot::A)).start / PAGE as u64 + 3);
    let error = flash(&made, &mut card, Verify::ReadBack, None).unwrap_err();
    assert!(matches!(error, FlashError::Unfaithful { .. }), "{error}");
    assert!(!card.looks_bootable());
}

#[test]
fn a_card_that_is_too_small_is_left_alone() {
    let made = made(Board::Efi);
    let mut card = Memory::new(made.bytes() - 512);
    let error = flash(&made, &mut card, Verify::Head, None).unwrap_err();
    assert!(matches!(error, FlashError::TooSmall { .. }), "{error}");
    assert!(card.pages.is_empty());
}

#[test]
fn a_cut_or_changed_image_and_what_is_none_are_refused_and_leave_nothing_bootable() {
    let good = made(Board::Efi);
    let mut cut = made(Board::Efi);
    cut.image.len = cut.extent(Partition::Esp).start + 100;
    let mut changed = made(Board::Efi);
    let root = changed.extent(Partition::Root(Slot::A)).start;
    let piece = changed.image.pieces.iter_mut().find(|(start, _)| *start == root);
    piece.unwrap().1[5] ^= 1;
    for (broken, part) in [(cut, "ends after"), (changed, "block map")] {
        let mut card = Memory::new(good.bytes());
        let error = flash(&broken, &mut card, Verify::Head, None).unwrap_err();
        assert!(
            matches!(&error, FlashError::Damaged { what, .. } if what.contains(part)),
            "{error:?}"
        );
        assert!(!card.looks_bootable());
    }
    let mut other = made(Board::Efi);
    other.image.pieces.remove(0);
    let mut card = Memory::new(good.bytes());
    assert!(matches!(
        flash(&other, &mut card, Verify::Head, None),
        Err(FlashError::NoImage { .. })
    ));
    assert!(card.pages.is_empty());
}

#[test]
fn without_a_map_all_of_it_is_written_and_compared_with_the_manifest() {
    let mut made = made_with(Board::Efi, 2 * MIB);
    made.sidecars.map = None;
    let mut all = vec![0; usize::try_from(made.image.len).unwrap()];
    made.image.clone().fill(&mut all).unwrap();
    let announce = |sha256| Member {
        bytes: all.len() as u64,
        sha256,
    };
    made.sidecars.image = Some(announce(FileDigest::of(&all)));
    let mut card = Memory::new(made.bytes());
    let report = flash(&made, &mut card, Verify::ReadBack, None).unwrap();
    assert_eq!(report.written, made.bytes());
    made.sidecars.image = Some(announce(FileDigest::of(b"another")));
    let mut card = Memory::new(made.bytes());
    let error = flash(&made, &mut card, Verify::Head, None).unwrap_err();
    assert!(matches!(error, FlashError::Damaged { .. }), "{error}");
    assert!(!card.looks_bootable());
}

#[test]
fn the_device_s_configuration_goes_to_its_place_on_partition_1_and_one_that_is_too_long_is_refused() {
    let made = made(Board::Efi);
    let mut card = Memory::new(made.bytes());
    flash(&made, &mut card, Verify::Head, Some(b"hostname = \"till-7\"\n")).unwrap();
    let esp = made.extent(Partition::Esp);
    let window = Window::new(OnMedium(&card), esp.start, esp.len).unwrap();
    let fat = FatReader::open(window).unwrap();
    let entry = fat.find("device.toml").unwrap().unwrap();
    let text = fat
        .contiguous(&entry)
        .unwrap()
        .unwrap()
        .read_vec(0, 16384)
        .unwrap();
    assert_eq!(str::from_utf8(&text).unwrap().trim_end(), "hostname = \"till-7\"");
    let mut card = Memory::new(made.bytes());
    let error = flash(&made, &mut card, Verify::Head, Some(&vec![b'#'; 16385])).unwrap_err();
    assert!(matches!(error, FlashError::NoPlace { .. }), "{error}");
}
