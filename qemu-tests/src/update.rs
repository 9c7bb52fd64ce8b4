//! What update scenarios share: a device that runs the first release, and the second one on a web server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness for tests, which fail by panicking"
)]

use std::{
    env,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use outcrop_builder::{
    disk::read::DiskImage,
    run::{board_files::BoardFiles, firmware::FirmwareKind},
};
use outcrop_release::{
    arch::Architecture, loader::LOADER_CONF_PATH, partition::Partition, slot::Slot, units::Extent,
};

use crate::{
    Disk, Guest, Shell, Start,
    guest::VARIABLES,
    prepared::{CLOCK, DISK, armed, committed},
    scenario::{boot_time, place_of_boot_file, place_of_partition, wait_healthy},
    web::WebServer,
};

/// The product that `cargo xtask test` builds releases of.
pub(crate) const PRODUCT: &str = "unit";
/// What devices run at first.
pub const OLD: &str = "1.0.0";
/// What they are updated to: it can be told to fail.
pub const NEW: &str = "1.1.0";

/// The control group that installations run in, and its memory.
const MEMORY_GROUP: &str = "/sys/fs/cgroup/limited";
const MEMORY_BYTES: u32 = 32 << 20;

/// A device, and the server of its updates.
pub struct Device {
    /// The machine.
    pub guest: Guest,
    /// Where the new release is.
    pub server: WebServer,
    pub(crate) disk: Disk,
    architecture: Architecture,
    firmware: FirmwareKind,
    options: Vec<String>,
}

/// The folder of releases.
///
/// # Panics
/// When `cargo xtask test` hasn't set it.
#[must_use]
pub fn releases() -> PathBuf {
    env::var_os("OUTCROP_RELEASES")
        .expect("OUTCROP_RELEASES isn't set: `cargo xtask test` sets it")
        .into()
}

impl Device {
    /// A device that runs the first release and is healthy.
    ///
    /// # Panics
    /// When it doesn't come up.
    #[must_use]
    pub fn start(architecture: Architecture) -> Self {
        Self::start_before_fault(architecture, "none")
    }

    /// The same; once it is updated, the new release fails as `fault` tells it to.
    ///
    /// # Panics
    /// When it doesn't come up.
    #[must_use]
    pub fn start_before_fault(architecture: Architecture, fault: &str) -> Self {
        Self::start_with(architecture, fault, &[])
    }

    /// The same on a machine with more in it.
    ///
    /// # Panics
    /// When it doesn't come up.
    #[must_use]
    pub fn start_with(architecture: Architecture, fault: &str, options: &[&str]) -> Self {
        let disk = Disk::copy(&image_of(OLD, architecture)).unwrap();
        let told = told_to_fail(fault);
        let mut all = vec!["-fw_cfg", told.as_str()];
        all.extend(options);
        let mut device = Self::boot(architecture, disk, &all);
        wait_healthy(&mut device.guest).unwrap();
        device
    }

    /// A device whose next boot is the trial of the new release, switched on. `fault` tells that release how to fail.
    ///
    /// The installation is made once for all scenarios, and kept beside the releases.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn on_trial(architecture: Architecture, fault: &str, options: &[&str]) -> Self {
        Self::on_damaged_trial(architecture, fault, options, |_| {})
    }

    /// The same with a disk that `damage` has changed before the machine is switched on.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn on_damaged_trial(
        architecture: Architecture,
        fault: &str,
        options: &[&str],
        damage: impl FnOnce(&Disk),
    ) -> Self {
        let armed = armed(architecture);
        let told = told_to_fail(fault);
        let mut all = vec!["-fw_cfg", told.as_str()];
        all.extend(options);
        Self::boot_prepared(&armed, architecture, &all, damage)
    }

    /// The date that the clock of a prepared device had when it installed the new release.
    ///
    /// # Panics
    /// When it can't be prepared.
    #[must_use]
    pub fn clock_when_it_installed(architecture: Architecture) -> String {
        let clock = fs::read_to_string(armed(architecture).join(CLOCK)).unwrap();
        clock.trim().to_owned()
    }

    /// A device that has committed the new release, and whose disk `damage` has changed while it was off; switched on.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn on_damaged_default(
        architecture: Architecture,
        options: &[&str],
        damage: impl FnOnce(&Disk),
    ) -> Self {
        let committed = committed(architecture);
        Self::boot_prepared(&committed, architecture, options, damage)
    }

    fn boot_prepared(
        prepared: &Path,
        architecture: Architecture,
        options: &[&str],
        damage: impl FnOnce(&Disk),
    ) -> Self {
        let disk = Disk::copy(&prepared.join(DISK)).unwrap();
        damage(&disk);
        fs::copy(prepared.join(VARIABLES), disk.folder().join(VARIABLES)).unwrap();
        Self::boot(architecture, disk, options)
    }

    fn boot(architecture: Architecture, disk: Disk, options: &[&str]) -> Self {
        Self::switch_on(architecture, FirmwareKind::Open, disk, options, &releases())
    }

    /// A device with this firmware, switched on; its updates are those of `folder`.
    pub(crate) fn switch_on(
        architecture: Architecture,
        firmware: FirmwareKind,
        disk: Disk,
        options: &[&str],
        folder: &Path,
    ) -> Self {
        Self {
            guest: boot(architecture, firmware, &disk, options),
            server: WebServer::start(folder).unwrap(),
            disk,
            architecture,
            firmware,
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        }
    }

    /// Its shell.
    ///
    /// # Panics
    /// When nobody answers.
    pub fn shell(&mut self) -> Shell<'_> {
        Shell::open(&mut self.guest.console, boot_time(self.architecture)).unwrap()
    }

    /// The address of a release.
    #[must_use]
    pub fn url(&self, version: &str) -> String {
        self.server
            .url(&format!("{PRODUCT}-{version}-{}-efi.outcrop", self.architecture))
    }

    /// Installs a release: its trial is the next boot. Returns what the updater printed.
    ///
    /// # Panics
    /// When it can't be installed.
    pub fn install(&mut self, version: &str) -> String {
        let (status, output) = self.try_install(version, "");
        assert_eq!(status, 0, "{output}");
        output
    }

    /// Tries to install a release, in 32 MiB of memory; exit code and output.
    ///
    /// # Panics
    /// When the shell doesn't answer.
    pub fn try_install(&mut self, version: &str, options: &str) -> (i32, String) {
        // Into a file, so that no progress bar is drawn over the serial line: it would take longer than the installation. In a group
        // that has no more memory than an installation may take.
        let command = format!(
            "mkdir -p {MEMORY_GROUP} && echo {MEMORY_BYTES} > {MEMORY_GROUP}/memory.max && sh -c 'echo $$ > {MEMORY_GROUP}/cgroup.procs; \
             exec outcrop-updater install {} {options}' > /run/told 2>&1; (code=$?; cat /run/told; exit $code)",
            self.url(version)
        );
        let limit = Duration::from_secs(600);
        self.shell().status(&command, limit).unwrap()
    }

    /// Restarts it in order. Returns when the machine has reset.
    ///
    /// # Panics
    /// When it doesn't.
    pub fn restart(&mut self) {
        let mut shell = self.shell();
        // The shell goes away before it can say how that ended.
        let _ = shell.status("systemctl reboot", Duration::from_secs(2));
        self.guest.wait_reset(Duration::from_secs(180)).unwrap();
    }

    /// Waits until a line with `text` is on the console.
    ///
    /// # Panics
    /// When it doesn't come.
    pub fn expect(&mut self, text: &str) -> String {
        let limit = boot_time(self.architecture) * 2;
        self.guest.console.expect(text, limit).unwrap()
    }

    /// Waits until a line with one of `texts` is on the console; that one.
    ///
    /// # Panics
    /// When none comes.
    pub fn expect_one_of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        let limit = boot_time(self.architecture) * 2;
        let (index, _) = self.guest.console.expect_any(texts, limit).unwrap();
        texts[index]
    }

    /// Waits until `version` is healthy in `slot`; how long that took.
    ///
    /// # Panics
    /// When another release comes up, or none.
    pub fn expect_healthy(&mut self, version: &str, slot: &str) -> Duration {
        let begin = Instant::now();
        let line = self.expect("outcrop: healthy: ");
        assert!(
            line.contains(&format!("{PRODUCT} {version} ")) && line.contains(&format!("slot {slot}")),
            "{line}\n{}",
            self.guest.console.text()
        );
        begin.elapsed()
    }

    /// What `outcrop-updater status` says.
    ///
    /// # Panics
    /// When it fails.
    pub fn status(&mut self) -> String {
        self.shell().run("outcrop-updater status").unwrap()
    }

    /// What the releases wrote into their datastore: a version a boot.
    ///
    /// # Panics
    /// When it can't be read.
    pub fn datastore(&mut self) -> Vec<String> {
        let written = self.shell().run("cat /var/lib/datastore/written").unwrap();
        written.lines().map(str::to_owned).collect()
    }

    /// Starts a command of the updater and doesn't wait for it.
    ///
    /// # Panics
    /// When the shell doesn't answer.
    pub fn start_updater(&mut self, arguments: &str) {
        let command = format!("outcrop-updater {arguments} > /dev/null 2>&1 &");
        self.shell().run(&command).unwrap();
    }

    /// Waits until the device is healthy with either release; its version.
    ///
    /// # Panics
    /// When none comes up.
    pub fn expect_any_release(&mut self) -> String {
        let line = self.expect("outcrop: healthy: ");
        let version = [OLD, NEW]
            .into_iter()
            .find(|version| line.contains(&format!("{PRODUCT} {version} ")));
        version
            .unwrap_or_else(|| panic!("{line}\n{}", self.guest.console.text()))
            .to_owned()
    }

    /// Cuts the power and switches it on again.
    ///
    /// # Panics
    /// When the machine can't be started.
    #[must_use]
    pub fn power_cycle(self) -> Self {
        let Self {
            guest,
            server,
            disk,
            architecture,
            firmware,
            options,
        } = self;
        guest.power_cut();
        let words: Vec<&str> = options.iter().map(String::as_str).collect();
        let guest = boot(architecture, firmware, &disk, &words);
        Self {
            guest,
            server,
            disk,
            architecture,
            firmware,
            options,
        }
    }

    /// The disk as a file.
    ///
    /// # Panics
    /// Never: it is a copy.
    #[must_use]
    pub fn disk(&self) -> &Path {
        self.disk.raw().unwrap()
    }
}

/// U-Boot and the device tree of the emulated board, out of the image of a Raspberry Pi's release: names and contents.
///
/// # Panics
/// When `cargo xtask test` hasn't built it.
#[must_use]
pub fn board_files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let image = DiskImage::open(&raspberry_pi_image(OLD)).unwrap();
    let files = BoardFiles::take(&image, folder).unwrap();
    [files.u_boot, files.device_tree]
        .into_iter()
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                fs::read(&path).unwrap(),
            )
        })
        .collect()
}

/// The image of a Raspberry Pi's release.
///
/// # Panics
/// When `cargo xtask test` hasn't built it.
#[must_use]
pub fn raspberry_pi_image(version: &str) -> PathBuf {
    let image = releases().join(format!("{PRODUCT}-{version}-aarch64-rpi.img"));
    assert!(
        image.exists(),
        "{} isn't there: `cargo xtask test` builds it",
        image.display()
    );
    image
}

/// The image of a release.
///
/// # Panics
/// When `cargo xtask test` hasn't built it.
#[must_use]
pub fn image_of(version: &str, architecture: Architecture) -> PathBuf {
    let image = releases().join(format!("{PRODUCT}-{version}-{architecture}-efi.img"));
    assert!(
        image.exists(),
        "{} isn't there: `cargo xtask test` builds it",
        image.display()
    );
    image
}

/// Makes of a prepared device's disk that of one that was flashed with `[boot] watchdog` in its recipe: partition 1 is that of such
/// an image, with the device's boot payloads and its loader.conf in it. Only for x86_64.
///
/// # Panics
/// When that can't be done.
pub fn start_with_boot_guard(disk: &Disk) {
    let image = releases().join("watched/unit-1.0.0-x86_64-efi.img");
    assert!(
        image.exists(),
        "{} isn't there: `cargo xtask test` builds it",
        image.display()
    );
    let own = disk.raw().unwrap();
    let paths: Vec<String> = Slot::ALL
        .map(|slot| format!("EFI/Linux/{}", slot.uki_file_name()))
        .into_iter()
        .chain([LOADER_CONF_PATH.to_owned()])
        .collect();
    let read = |place: Extent| {
        disk.read(place.start, usize::try_from(place.len).unwrap())
            .unwrap()
    };
    let kept: Vec<_> = paths
        .iter()
        .map(|path| read(place_of_boot_file(own, path).unwrap()))
        .collect();
    let partition = |image| place_of_partition(image, Partition::Esp).unwrap();
    let (from, to) = (partition(&image), partition(own));
    assert_eq!(from, to, "both recipes have one layout");
    let mut bytes = vec![0; usize::try_from(from.len).unwrap()];
    let read = File::open(&image).unwrap().read_exact_at(&mut bytes, from.start);
    read.unwrap();
    disk.write(to.start, &bytes).unwrap();
    for (path, bytes) in paths.iter().zip(kept) {
        let place = place_of_boot_file(own, path).unwrap();
        disk.write(place.start, &bytes).unwrap();
    }
}

/// What of QEMU's `-fw_cfg` tells the new release how to fail.
pub(crate) fn told_to_fail(fault: &str) -> String {
    format!("name=opt/outcrop/fault,string={fault}")
}

fn boot(architecture: Architecture, firmware: FirmwareKind, disk: &Disk, options: &[&str]) -> Guest {
    let start = Start::new(architecture, disk).firmware(firmware);
    start.option(options).boot().unwrap()
}
