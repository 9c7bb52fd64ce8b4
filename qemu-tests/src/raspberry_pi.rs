//! What scenarios of the Raspberry Pi share: a card with a release, and the next release as a file on its data partition.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness for tests, which fail by panicking"
)]

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use outcrop_builder::disk::{gpt::Gpt, read::DiskImage};
use outcrop_release::{
    bootrec::{BootRecord, COPY_OFFSETS, Copies, RECORD_BYTES},
    digest::FileDigest,
    partition::Partition,
    slot::Slot,
    uboot::file,
};
use rustix::fs::{FlockOperation, flock};

use crate::{
    Disk, Guest, Shell, Start,
    scenario::{DEGRADED, HEALTHY, place_of_partition},
    update::{NEW, OLD, raspberry_pi_image, releases},
};

/// A card as long as a power of two, as QEMU wants it.
const CARD_BYTES: u64 = 4 << 30;
/// QEMU's Raspberry Pi has one processor that runs and a slow card: a boot takes some 100 s where nothing else runs.
const PATIENCE: Duration = Duration::from_secs(900);
/// Where the next release lies, for the guest.
const BUNDLE: &str = "/var/next.outcrop";
/// Debian has it where only root looks by itself.
const DEBUGFS: &str = "/usr/sbin/debugfs";
/// Names of files of a prepared device.
const CARD: &str = "card.img";
const STAMP: &str = "stamp";

/// What makes the device itself.
const CONFIGURATION: &str =
    "hostname = \"reef-07\"\nblank-secrets = true\n[kubernetes]\ntoken = \"K10::s3cret\"\n";

/// A Raspberry Pi that runs.
pub struct Pi {
    /// The machine.
    pub guest: Guest,
    card: Disk,
}

impl Pi {
    /// A new card, switched on and healthy.
    ///
    /// # Panics
    /// When it doesn't come up.
    #[must_use]
    pub fn flashed() -> Self {
        let card = Disk::flashed(&raspberry_pi_image(OLD), CONFIGURATION, CARD_BYTES).unwrap();
        copy_bundle(&card);
        let mut pi = Self::boot(card);
        pi.expect("outcrop: slot a, start default");
        pi.expect_healthy(OLD, "a");
        pi
    }

    /// A device whose next boot is the trial of the new release, which fails as `fault` says; switched on. The installation is made once
    /// for all scenarios.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn on_trial(fault: &str) -> Self {
        let card = Disk::copy(&armed().join(CARD)).unwrap();
        let file = card.folder().join("fault");
        fs::write(&file, fault).unwrap();
        debugfs(&card, &format!("cd lib/unit\nwrite {} fault\n", file.display()));
        Self::boot(card)
    }

    /// Switches on a device with this card.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn boot(card: Disk) -> Self {
        let guest = Start::raspberry_pi(&card).boot().unwrap();
        Self { guest, card }
    }

    /// Its card.
    #[must_use]
    pub const fn card(&self) -> &Disk {
        &self.card
    }

    /// Takes the card out of a device that loses its power.
    #[must_use]
    pub fn into_card(self) -> Disk {
        self.guest.power_cut();
        self.card
    }

    /// Waits for a line with `text` on the console.
    ///
    /// # Panics
    /// When it doesn't come.
    pub fn expect(&mut self, text: &str) -> String {
        self.guest.console.expect(text, PATIENCE).unwrap()
    }

    /// Waits until `version` is healthy in `slot`.
    ///
    /// # Panics
    /// When another release comes up, or none.
    pub fn expect_healthy(&mut self, version: &str, slot: &str) {
        let (which, line) = self
            .guest
            .console
            .expect_any(&[HEALTHY, DEGRADED], PATIENCE)
            .unwrap();
        let is_wanted = line.contains(&format!("unit {version} ")) && line.contains(&format!("slot {slot}"));
        assert!(which == 0 && is_wanted, "{line}\n{}", self.guest.console.text());
    }

    /// Runs a command; what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&mut self, command: &str) -> String {
        let mut shell = Shell::open(&mut self.guest.console, PATIENCE).unwrap();
        let (status, output) = shell.status(command, PATIENCE).unwrap();
        assert_eq!(status, 0, "{command}: {output}");
        output.trim().to_owned()
    }

    /// Installs the next release.
    ///
    /// # Panics
    /// When it can't be installed.
    pub fn install(&mut self, options: &str) {
        self.run(&format!("outcrop-updater install --quiet {options} {BUNDLE}"));
    }

    /// Restarts it in order. Returns when the machine has reset.
    ///
    /// # Panics
    /// When it doesn't.
    pub fn restart(&mut self) {
        let mut shell = Shell::open(&mut self.guest.console, PATIENCE).unwrap();
        // The shell goes away before it can say how that ended.
        let _ = shell.status("systemctl reboot", Duration::from_secs(5));
        self.guest.wait_reset(PATIENCE).unwrap();
    }

    /// The boot record on its card.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn record(&self) -> BootRecord {
        record_of(&self.card)
    }

    /// Shuts it down. The emulated board has no power that could be switched off: it stops.
    ///
    /// # Panics
    /// When it doesn't.
    pub fn shut_down(mut self) -> Disk {
        let mut shell = Shell::open(&mut self.guest.console, PATIENCE).unwrap();
        let _ = shell.status("systemctl poweroff", Duration::from_secs(5));
        self.expect("reboot: Power down");
        self.into_card()
    }
}

/// The boot record on a card.
///
/// # Panics
/// When it has none.
#[must_use]
pub fn record_of(card: &Disk) -> BootRecord {
    let sectors = sectors(card);
    Copies::read([&sectors[0], &sectors[1]]).newest().unwrap().record
}

/// Changes both copies of a card's boot record: `change` is given the copy's number, the newest one's, and the record that counts, and returns
/// what that copy becomes; nothing leaves it as it is. Returns the record that counted.
///
/// # Panics
/// When the card has no record.
pub fn write_record(card: &Disk, change: impl Fn(usize, usize, BootRecord) -> Vec<u8>) -> BootRecord {
    let sectors = sectors(card);
    let found = Copies::read([&sectors[0], &sectors[1]]).newest().unwrap();
    let start = place_of_partition(card.raw().unwrap(), Partition::BootRecord)
        .unwrap()
        .start;
    for (copy, offset) in COPY_OFFSETS.into_iter().enumerate() {
        card.write(start + offset, &change(copy, found.copy, found.record))
            .unwrap();
    }
    found.record
}

fn sectors(card: &Disk) -> [[u8; RECORD_BYTES]; 2] {
    let start = place_of_partition(card.raw().unwrap(), Partition::BootRecord)
        .unwrap()
        .start;
    COPY_OFFSETS.map(|offset| {
        card.read(start + offset, RECORD_BYTES)
            .unwrap()
            .try_into()
            .unwrap()
    })
}

/// Changes a byte in the middle of a slot's kernel.
///
/// # Panics
/// When the slot has none.
pub fn spoil_kernel(card: &Disk, slot: Slot) {
    let image = DiskImage::open(card.raw().unwrap()).unwrap();
    let partition = Partition::Boot(slot);
    let fat = outcrop_release::fat::FatReader::open(image.partition(partition).unwrap()).unwrap();
    let kernel = fat.find(file::KERNEL).unwrap().unwrap();
    let place = fat.extents(&kernel).unwrap()[0];
    let start = place_of_partition(card.raw().unwrap(), partition).unwrap().start;
    let at = start + place.start + place.len / 2;
    let byte = card.read(at, 1).unwrap()[0];
    card.write(at, &[byte ^ 0x10]).unwrap();
}

/// Puts the next release onto the data partition, where a person would have copied it.
fn copy_bundle(card: &Disk) {
    debugfs(card, &format!("write {} next.outcrop", bundle().display()));
}

fn bundle() -> PathBuf {
    releases().join(format!("unit-{NEW}-aarch64-rpi.outcrop"))
}

/// Changes the data partition's file system, which nobody has mounted.
fn debugfs(card: &Disk, commands: &str) {
    let script = card.folder().join("debugfs");
    fs::write(&script, commands).unwrap();
    let path = card.raw().unwrap();
    let extent = Gpt::read(&outcrop_builder::read_at::FileSource::new(File::open(path).unwrap()).unwrap())
        .unwrap()
        .entry(Partition::Data.number())
        .unwrap()
        .extent;
    let output = Command::new(DEBUGFS)
        .args(["-w", "-f"])
        .arg(&script)
        .arg(format!("{}?offset={}", path.display(), extent.start))
        .output()
        .unwrap();
    // It says what fails, and ends well all the same.
    let told = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<&str> = told.lines().filter(|line| !line.starts_with("debugfs")).collect();
    assert!(
        output.status.success() && complaints.is_empty(),
        "{commands}: {told}"
    );
}

/// The folder with the card of a device that has just installed the new release, and was switched off.
fn armed() -> PathBuf {
    let folder = releases().join("armed-rpi");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let times =
        [raspberry_pi_image(OLD), bundle()].map(|path| fs::metadata(path).unwrap().modified().unwrap());
    let recipe = FileDigest::of(include_bytes!("raspberry_pi.rs"));
    let stamp = format!("{times:?} {recipe}");
    if fs::read_to_string(folder.join(STAMP)).is_ok_and(|found| found == stamp) {
        return folder;
    }
    let mut pi = Pi::flashed();
    pi.run("mkdir -p /var/lib/unit");
    pi.install("");
    let card = pi.shut_down();
    let status = Command::new("cp")
        .arg("--sparse=always")
        .args([card.raw().unwrap(), &folder.join(CARD)])
        .status()
        .unwrap();
    assert!(status.success(), "copy the card");
    fs::write(folder.join(STAMP), stamp).unwrap();
    folder
}
