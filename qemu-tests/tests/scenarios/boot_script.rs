//! The boot script in the U-Boot that images carry, against its model in Rust, over records of every kind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print how long things took"
)]

use std::{collections::BTreeMap, time::Duration};

use outcrop_builder::{
    boot::partition::{BootPartition, fat_image},
    disk::{gpt::Gpt, identity::Identity, layout::Layout},
    recipe::schema,
};
use outcrop_qemu::{Disk, Start, update};
use outcrop_release::{
    arch::Architecture,
    board::Board,
    bootrec::{
        BadReason, BootRecord, COPY_OFFSETS, Copies, LoaderStart, Payload, RECORD_BYTES, SlotRecord,
        SlotState, StartReason, Trial, TrialStage,
    },
    digest::FileDigest,
    fat::Volume,
    partition::Partition,
    slot::Slot,
    uboot,
};

const MIB: u64 = 1 << 20;
const SECTOR: u64 = 512;
/// The smallest card that holds everything, as long as a power of two.
const CARD_BYTES: u64 = 1 << 30;
/// How many records are tried.
const CASES: u64 = 400;
/// Where the script's copy and what is read and written lie in memory, as U-Boot takes numbers.
const SCRIPT_ADDRESS: &str = "9000000";
const BUFFER: &str = "9100000";
const SECOND_SECTOR: &str = "9100200";

/// What a slot's boot partition holds.
const PAYLOADS: [(&[u8], &[u8]); 2] = [
    (b"kernel of a", b"initramfs of a"),
    (b"kernel of b, longer", b"and its initramfs"),
];

#[test]
fn the_boot_script_does_what_its_model_does_with_records_of_every_kind() {
    let layout = layout();
    let cases: Vec<[[u8; RECORD_BYTES]; 2]> = (0..CASES).map(|seed| Dice(seed + 1).sectors()).collect();
    let card = card(&layout, &cases);
    let mut guest = Start::raspberry_pi(&card).boot().unwrap();
    guest
        .console
        .expect("every case is done", Duration::from_secs(900))
        .unwrap();
    let console = guest.console.text();
    println!("{CASES} records in {:?} after power-on", guest.uptime());
    guest.power_cut();
    let mut reasons: BTreeMap<&str, u32> = BTreeMap::new();
    for (number, sectors) in cases.iter().enumerate() {
        let start = model(sectors);
        let said = format!("case {number:x}: {} {}", start.slot, start.reason);
        let beginning = format!("case {number:x}: ");
        let line = console.lines().find(|line| line.starts_with(&beginning));
        assert_eq!(
            line.map(str::trim),
            Some(said.as_str()),
            "{:#?}",
            Copies::read([&sectors[0], &sectors[1]])
        );
        *reasons.entry(start.reason.as_str()).or_default() += 1;
        let at = results(&layout) + number as u64 * 2 * SECTOR;
        let written = card.read(at, 2 * RECORD_BYTES).unwrap();
        let halves = written.as_chunks::<RECORD_BYTES>().0;
        let after = Copies::read([&halves[0], &halves[1]]);
        match start.reason {
            StartReason::Lost | StartReason::Unwritten => {
                assert_eq!(halves, sectors, "case {number:x}: the record was changed");
            }
            _ => assert_eq!(
                after.newest().map(|found| found.record),
                Some(start.record),
                "case {number:x}"
            ),
        }
    }
    println!("{reasons:?}");
    assert_eq!(
        reasons.len(),
        StartReason::ALL.len(),
        "every reason occurs: {reasons:?}"
    );
}

/// What the model does with both sectors.
fn model(sectors: &[[u8; RECORD_BYTES]; 2]) -> LoaderStart {
    let copies = Copies::read([&sectors[0], &sectors[1]]);
    let Some(found) = copies.newest() else {
        // Both slots' superblocks are there, and both can be loaded.
        return LoaderStart {
            slot: Slot::A,
            reason: StartReason::Lost,
            record: BootRecord::fresh(SlotRecord::EMPTY),
        };
    };
    let is_whole = |slot: Slot| {
        let wanted = found.record.slot(slot).payload;
        wanted.kernel.len == 0 || wanted == payload(slot)
    };
    match copies.next_copy() {
        Ok(_) => found.record.loader_start(is_whole),
        Err(_) => LoaderStart::unwritten(found.record),
    }
}

fn payload(slot: Slot) -> Payload {
    let (kernel, initramfs) = PAYLOADS[usize::from(slot == Slot::B)];
    Payload::of_files(kernel, initramfs)
}

fn layout() -> Layout {
    let sizes = schema::Disk {
        root_slot: 64 * MIB,
        boot_slot: 66 * MIB,
        data: 128 * MIB,
    };
    Layout::plan(&sizes, Architecture::Aarch64, Board::Rpi).unwrap()
}

/// Where the cases lie on the card, in bytes: two sectors each.
fn inputs(layout: &Layout) -> u64 {
    layout.extent(Partition::Data).start
}

/// Where the sectors go that the script leaves.
fn results(layout: &Layout) -> u64 {
    inputs(layout) + 16 * MIB
}

/// A card with the script, two boot partitions with small files, and the cases.
fn card(layout: &Layout, cases: &[[[u8; RECORD_BYTES]; 2]]) -> Disk {
    let identity = Identity {
        image: "script".parse().unwrap(),
        architecture: Architecture::Aarch64,
        board: Board::Rpi,
    };
    let table = Gpt::new(layout, &identity);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("card.img");
    std::fs::write(&file, table.primary()).unwrap();
    let card = Disk::copy(&file).unwrap();
    card.grow(CARD_BYTES).unwrap();
    // U-Boot and the device tree are those of a real image.
    let board_files = update::board_files(folder.path());
    let outer = uboot::script_image("cases", &outer_script(layout));
    let decide = uboot::script_image("decide", &uboot::decision_script());
    let mut files: Vec<(String, &[u8])> = vec![
        ("boot.scr".to_owned(), &outer),
        ("decide.scr".to_owned(), &decide),
    ];
    files.extend(
        board_files
            .iter()
            .map(|(name, bytes)| (name.clone(), bytes.as_slice())),
    );
    let esp = layout.extent(Partition::Esp);
    let volume = Volume {
        bytes: esp.len,
        serial: 1,
        label: "TEST",
        disk_offset: esp.start,
    };
    card.write(esp.start, &fat_image(&volume, &files).unwrap())
        .unwrap();
    for (slot, (linux, initrd)) in Slot::ALL.into_iter().zip(PAYLOADS) {
        let partition = BootPartition {
            linux,
            initrd,
            command_line: "ro",
            os_release: "",
            uname: "6.12",
            device_trees: &[],
        };
        let extent = layout.extent(Partition::Boot(slot));
        card.write(extent.start, &partition.build(extent.len, 2).unwrap())
            .unwrap();
        card.write(layout.extent(Partition::Verity(slot)).start, b"verity\0\0")
            .unwrap();
    }
    let bytes: Vec<u8> = cases.iter().flatten().flatten().copied().collect();
    card.write(inputs(layout), &bytes).unwrap();
    card
}

/// Runs the decision over every case.
fn outer_script(layout: &Layout) -> String {
    let record = layout.extent(Partition::BootRecord).start;
    let [first, second] = COPY_OFFSETS.map(|offset| (record + offset) / SECTOR);
    let (inputs, results) = (inputs(layout) / SECTOR, results(layout) / SECTOR);
    let numbers: Vec<String> = (0..CASES).map(|number| format!("{number:x}")).collect();
    format!(
        "load ${{devtype}} ${{devnum}}:1 {SCRIPT_ADDRESS} decide.scr\n\
         for test_case in {}; do\n\
           setexpr test_offset ${{test_case}} * 2\n\
           setexpr test_input ${{test_offset}} + {inputs:x}\n\
           setexpr test_result ${{test_offset}} + {results:x}\n\
           ${{devtype}} read {BUFFER} ${{test_input}} 2\n\
           ${{devtype}} write {BUFFER} {first:x} 1\n\
           ${{devtype}} write {SECOND_SECTOR} {second:x} 1\n\
           source {SCRIPT_ADDRESS}\n\
           echo case ${{test_case}}: ${{outcrop_slot}} ${{outcrop_start}}\n\
           ${{devtype}} read {BUFFER} {first:x} 1\n\
           ${{devtype}} read {SECOND_SECTOR} {second:x} 1\n\
           ${{devtype}} write {BUFFER} ${{test_result}} 2\n\
         done\n\
         echo every case is do\"\"ne\n",
        numbers.join(" ")
    )
}

/// Random numbers that are the same in every run. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
struct Dice(u64);

impl Dice {
    const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let count = choices.len() as u64;
        choices[usize::try_from(self.roll() % count).unwrap()]
    }

    fn byte(&mut self) -> u8 {
        self.one_of(&[0, 1, 2, 3, 5, 6, 7, 0x7f, 0x80, 0xfe, 0xff])
    }

    fn slot_record(&mut self, slot: Slot) -> SlotRecord {
        let state = match self.roll() % 8 {
            0 => SlotState::Empty,
            1 => SlotState::Written,
            2 => SlotState::Bad(self.one_of(&BadReason::ALL)),
            _ => SlotState::Good,
        };
        let mut payload = payload(slot);
        match self.roll() % 6 {
            0 => payload = Payload::default(),
            1 => payload.kernel.crc32 ^= 0x8000_0000,
            2 => payload.initramfs.crc32 ^= 1,
            3 => payload.initramfs.len += 1,
            _ => {}
        }
        SlotRecord {
            state,
            attempts: self.byte(),
            starts: self.byte(),
            release: FileDigest::of(&self.roll().to_le_bytes()),
            payload,
        }
    }

    fn record(&mut self) -> BootRecord {
        let mut record = BootRecord::fresh(self.slot_record(Slot::A));
        *record.slot_mut(Slot::B) = self.slot_record(Slot::B);
        record.default = self.one_of(&Slot::ALL);
        record.sequence.0 = self.one_of(&[0, 1, 2, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX]);
        record.switched = self.roll().is_multiple_of(4);
        record.trial = self.roll().is_multiple_of(2).then(|| Trial {
            slot: self.one_of(&Slot::ALL),
            stage: self.one_of(&[
                TrialStage::Arming,
                TrialStage::Armed,
                TrialStage::Armed,
                TrialStage::Running,
            ]),
            tries: self.byte(),
        });
        record
    }

    /// Both copies: related, unrelated, damaged, of a newer program.
    fn sectors(&mut self) -> [[u8; RECORD_BYTES]; 2] {
        let mut sectors = [self.record().encode(), self.record().encode()];
        for sector in &mut sectors {
            match self.roll() % 8 {
                0 => sector.fill(0),
                1 => sector[usize::try_from(self.roll() % 512).unwrap()] ^= 1 << (self.roll() % 8),
                2 if self.roll().is_multiple_of(2) => {
                    // A record of a later version.
                    sector[8] = 2;
                    let sum = crc32fast::hash(&sector[..508]);
                    sector[508..].copy_from_slice(&sum.to_le_bytes());
                }
                _ => {}
            }
        }
        sectors
    }
}
