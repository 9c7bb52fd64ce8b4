//! What update scenarios share: a device that runs the first release, and the second one on a web server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness for tests, which fail by panicking"
)]

use std::{
    env,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use outcrop_release::arch::Architecture;

use crate::{
    Disk, Guest, Shell, Start, images,
    scenario::{boot_time, wait_healthy},
    web::WebServer,
};

/// The product that `cargo xtask test` builds releases of.
const PRODUCT: &str = "unit";
/// What devices run at first.
pub const OLD: &str = "1.0.0";
/// What they are updated to: it can be told to fail.
pub const NEW: &str = "1.1.0";

/// A device, and the server of its updates.
pub struct Device {
    /// The machine.
    pub guest: Guest,
    /// Where the new release is.
    pub server: WebServer,
    disk: Disk,
    architecture: Architecture,
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
    pub fn start(architecture: Architecture, options: &[&str]) -> Self {
        let folder = releases();
        let image = folder.join(format!("{PRODUCT}-{OLD}-{architecture}-efi.img"));
        assert!(image.exists(), "{}", images::FOLDER);
        let disk = Disk::copy(&image).unwrap();
        let guest = boot(architecture, &disk, options);
        let server = WebServer::start(&folder).unwrap();
        let mut device = Self {
            guest,
            server,
            disk,
            architecture,
        };
        wait_healthy(&mut device.guest).unwrap();
        device
    }

    /// Its shell.
    ///
    /// # Panics
    /// When nobody answers.
    pub fn shell(&mut self) -> Shell<'_> {
        Shell::open(&mut self.guest.console, boot_time(self.architecture)).unwrap()
    }

    /// The address of the new release.
    #[must_use]
    pub fn url(&self) -> String {
        self.server
            .url(&format!("{PRODUCT}-{NEW}-{}-efi.outcrop", self.architecture))
    }

    /// Installs the new release and has it tried: `fault` tells it how to fail. Returns when the machine has reset.
    ///
    /// # Panics
    /// When it can't be installed.
    pub fn install(&mut self, fault: &str) {
        let url = self.url();
        let mut shell = self.shell();
        shell
            .run(&format!(
                "mkdir -p /var/lib/unit; echo {fault} > /var/lib/unit/fault; sync"
            ))
            .unwrap();
        let limit = Duration::from_secs(600);
        let (status, output) = shell
            .status(&format!("outcrop-updater install {url} 2>&1"), limit)
            .unwrap();
        assert_eq!(status, 0, "{output}");
        // Errors of the shell: it goes away.
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

    /// Cuts the power and switches it on again.
    ///
    /// # Panics
    /// When the machine can't be started.
    #[must_use]
    pub fn power_cycle(self, options: &[&str]) -> Self {
        let Self {
            guest,
            server,
            disk,
            architecture,
        } = self;
        guest.power_cut();
        let guest = boot(architecture, &disk, options);
        Self {
            guest,
            server,
            disk,
            architecture,
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

fn boot(architecture: Architecture, disk: &Disk, options: &[&str]) -> Guest {
    Start::new(architecture, disk).option(options).boot().unwrap()
}
