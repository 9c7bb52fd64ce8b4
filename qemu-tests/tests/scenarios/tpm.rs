//! A device with a TPM: its own key is sealed with it, and what becomes of a device whose TPM is another one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use outcrop_qemu::update::{Device, NEW, OLD};
use outcrop_release::{
    arch::Architecture,
    device_id::DeviceId,
    report::{Report, verify_report},
};
use serde_json::Value;

const ARCH: Architecture = Architecture::X86_64;
/// How long an emulated TPM may take to listen.
const START_TIME: Duration = Duration::from_secs(30);
/// How long a command in the guest may take.
const PATIENCE: Duration = Duration::from_secs(120);
const KEY: &str = "/var/lib/outcrop/device.key";

/// An emulated TPM. Its end is that of the TPM: there is no other with its secrets.
struct Swtpm {
    child: Child,
    _secrets: tempfile::TempDir,
}

impl Swtpm {
    /// A new one, at a socket.
    fn start(socket: &Path) -> Self {
        let secrets = tempfile::tempdir().unwrap();
        // One that another left: whoever connects must find the new one.
        let _ = std::fs::remove_file(socket);
        let child = Command::new("swtpm")
            .args(["socket", "--tpm2", "--tpmstate"])
            .arg(format!("dir={}", secrets.path().display()))
            .arg("--ctrl")
            .arg(format!("type=unixio,path={}", socket.display()))
            .spawn()
            .expect("start swtpm, of Debian's package swtpm");
        let begin = Instant::now();
        while !socket.exists() {
            assert!(begin.elapsed() < START_TIME, "swtpm makes no socket");
            thread::sleep(Duration::from_millis(20));
        }
        Self {
            child,
            _secrets: secrets,
        }
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        // It hasn't been waited for, so its id still names it; both calls fail only when it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn options(socket: &Path) -> [String; 6] {
    [
        "-chardev".to_owned(),
        format!("socket,id=chrtpm,path={}", socket.display()),
        "-tpmdev".to_owned(),
        "emulator,id=tpm0,chardev=chrtpm".to_owned(),
        "-device".to_owned(),
        "tpm-tis,tpmdev=tpm0".to_owned(),
    ]
}

/// What the device is called.
fn name(device: &mut Device) -> String {
    let told = device.shell().run("outcrop-updater history --json").unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    told["device"].as_str().unwrap().to_owned()
}

fn signed_report(device: &mut Device) -> Report {
    let report = device.shell().run("outcrop-updater report").unwrap();
    verify_report(report.trim_end().as_bytes()).unwrap().into_report()
}

fn status(device: &mut Device) -> Value {
    let told = device.shell().run("outcrop-updater status --json").unwrap();
    serde_json::from_str(&told).unwrap()
}

#[test]
#[ignore = "the soak's: four boots; the unit tests have a TPM that goes wrong in every way"]
fn a_key_sealed_with_the_tpm_signs_over_updates_and_without_that_tpm_only_signing_fails() {
    let folder = tempfile::tempdir().unwrap();
    let socket: PathBuf = folder.path().join("tpm");
    let tpm = Swtpm::start(&socket);
    let options = options(&socket);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut device = Device::start_with(ARCH, "none", &options);

    let first = name(&mut device);
    let file = device.shell().run(&format!("cat {KEY}")).unwrap();
    assert!(file.starts_with("tpm2-sealed:ed25519:"), "{file}");
    assert_eq!(status(&mut device)["key"], "tpm");
    let report = signed_report(&mut device);
    assert!(file.contains(&report.key.to_string()));

    device.install(NEW);
    device.restart();
    device.expect_healthy(NEW, "b");
    assert_eq!(name(&mut device), first);
    let whole = device.shell().run("outcrop-updater history --verify").unwrap();
    assert!(whole.contains(&first), "{whole}");
    let events = device.shell().run("outcrop-updater history").unwrap();
    assert!(events.contains(&format!("{NEW} committed in slot b")), "{events}");

    with_another_tpm(device, tpm, &socket, &first);
}

/// The disk in another machine.
fn with_another_tpm(device: Device, tpm: Swtpm, socket: &Path, first: &str) {
    drop(tpm);
    let _other = Swtpm::start(socket);
    let mut device = device.power_cycle();
    device.expect_healthy(NEW, "b");
    assert_eq!(name(&mut device), first);
    let (code, told) = device.shell().status("outcrop-updater report", PATIENCE).unwrap();
    assert_eq!(code, 63, "{told}");
    assert!(
        told.contains("another TPM has sealed that") && told.contains("remove the file"),
        "{told}"
    );
    let trouble = status(&mut device)["trouble"].to_string();
    assert!(trouble.contains("device.key can't be unsealed"), "{trouble}");
    let whole = device.shell().run("outcrop-updater history --verify").unwrap();
    assert!(whole.contains(first), "{whole}");

    // Going back isn't held up.
    device.start_updater("rollback --reboot");
    device.guest.wait_reset(Duration::from_secs(300)).unwrap();
    device.expect_healthy(OLD, "a");
    assert_eq!(name(&mut device), first);

    device.shell().run(&format!("rm {KEY}")).unwrap();
    // The history of the old key is set aside.
    let report = signed_report(&mut device);
    let second = name(&mut device);
    assert!(second != first && second == DeviceId::of(&report.key).to_string());
    assert_eq!(status(&mut device)["key"], "tpm");
}
