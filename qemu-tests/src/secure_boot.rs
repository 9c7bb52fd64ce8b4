//! What scenarios of Secure Boot share: releases that are signed, machines whose firmware checks signatures, payloads that it must refuse.
//! All of x86_64: Debian has no firmware for aarch64 whose variables are safe from the guest.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness for tests, which fail by panicking"
)]

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use outcrop_builder::{
    boot::{
        pe::{MAX_HEADER_BYTES, PeHeaders},
        uki::UkiFacts,
    },
    run::firmware::FirmwareKind,
    secure_boot::{Certificate, RsaKey, Signer, sign},
};
use outcrop_release::{arch::Architecture, pe::at, slot::Slot};

use crate::{
    Disk,
    guest::VARIABLES,
    prepared::{DISK, prepared},
    scenario::{place_of_boot_file, wait_healthy},
    update::{Device, NEW, OLD, PRODUCT, releases, told_to_fail},
};

const ARCH: Architecture = Architecture::X86_64;

/// The folder of signed releases.
///
/// # Panics
/// When `cargo xtask test` hasn't built them.
#[must_use]
pub fn signed_releases() -> PathBuf {
    let folder = releases().join("secure-boot");
    assert!(
        folder.join("keys/db.crt").exists(),
        "{} isn't there: `cargo xtask test` builds it",
        folder.display()
    );
    folder
}

/// The image of a signed release.
#[must_use]
pub fn signed_image(version: &str, architecture: Architecture) -> PathBuf {
    signed_releases().join(format!("{PRODUCT}-{version}-{architecture}-efi.img"))
}

/// A new machine whose firmware has no keys, switched on with the first release.
///
/// # Panics
/// When it can't be started.
#[must_use]
pub fn in_setup_mode() -> Device {
    in_setup_mode_with(|_| {})
}

/// The same with a disk that `damage` has changed before.
///
/// # Panics
/// When it can't be started.
#[must_use]
pub fn in_setup_mode_with(damage: impl FnOnce(&Disk)) -> Device {
    let disk = Disk::copy(&signed_image(OLD, ARCH)).unwrap();
    damage(&disk);
    switch_on(disk, "none")
}

/// The bundle of the new signed release.
#[must_use]
pub fn signed_bundle() -> PathBuf {
    signed_releases().join(format!("{PRODUCT}-{NEW}-{ARCH}-efi.outcrop"))
}

/// The same once it has enrolled its owner's keys, has started again by itself, and is healthy.
///
/// # Panics
/// When it doesn't come up.
#[must_use]
pub fn enrolled() -> Device {
    let mut device = in_setup_mode();
    device.expect("Enrolling secure boot keys from directory");
    wait_healthy(&mut device.guest).unwrap();
    device
}

/// A device with Secure Boot whose next boot is the trial of the new release, switched on. `fault` tells that release how to fail, `damage`
/// has changed the disk before.
///
/// # Panics
/// When that fails.
#[must_use]
pub fn on_trial(fault: &str, damage: impl FnOnce(&Disk)) -> Device {
    let armed = prepared(&signed_releases(), "armed", ARCH, |_| {
        let mut device = enrolled();
        device.install(NEW);
        device
    });
    let disk = Disk::copy(&armed.join(DISK)).unwrap();
    damage(&disk);
    fs::copy(armed.join(VARIABLES), disk.folder().join(VARIABLES)).unwrap();
    switch_on(disk, fault)
}

fn switch_on(disk: Disk, fault: &str) -> Device {
    let told = told_to_fail(fault);
    Device::switch_on(
        ARCH,
        FirmwareKind::SecureBoot,
        disk,
        &["-fw_cfg", &told],
        &signed_releases(),
    )
}

/// Whether the kernel says that the firmware checks what it starts.
///
/// # Panics
/// When nobody answers.
pub fn is_enforced(device: &mut Device) -> bool {
    let variable = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    let value = device.shell().run(&format!("od -An -tu1 {variable}")).unwrap();
    // Four bytes of attributes, then the value.
    value.split_whitespace().last() == Some("1")
}

/// Takes the signature off a slot's boot payload: otherwise it is the release's.
///
/// # Panics
/// When it can't be read or written.
pub fn take_off_signature(disk: &Disk, slot: Slot) {
    let unsigned = unsigned_payload(disk, slot);
    write_payload(disk, slot, unsigned);
}

/// Has a slot's boot payload signed by somebody whom no machine trusts.
///
/// # Panics
/// When it can't be read or written.
pub fn sign_by_a_stranger(disk: &Disk, slot: Slot) {
    let (key, _) = RsaKey::generate().unwrap();
    let now = Duration::from_secs(1_767_323_045);
    let certificate = Certificate::self_signed(&key, "Stranger", now).unwrap();
    let signer = Signer::new(Arc::new(key), certificate).unwrap();
    let length = usize::try_from(place(disk, slot).1).unwrap();
    let signed = sign(unsigned_payload(disk, slot), Some(length), &signer).unwrap();
    write_payload(disk, slot, signed);
}

/// Where a slot's boot payload lies: its start and length in bytes.
fn place(disk: &Disk, slot: Slot) -> (u64, u64) {
    let path = format!("EFI/Linux/{}", slot.uki_file_name());
    let place = place_of_boot_file(disk.raw().unwrap(), &path).unwrap();
    (place.start, place.len)
}

/// A slot's boot payload as it was before it was signed, without padding.
fn unsigned_payload(disk: &Disk, slot: Slot) -> Vec<u8> {
    let (start, len) = place(disk, slot);
    let mut payload = disk.read(start, usize::try_from(len).unwrap()).unwrap();
    payload.truncate(usize::try_from(UkiFacts::read(payload.as_slice()).unwrap().len).unwrap());
    let head = &payload[..payload.len().min(MAX_HEADER_BYTES)];
    let headers = PeHeaders::parse(head, payload.len() as u64).unwrap();
    assert!(headers.signed, "slot {slot:?} is signed");
    let entry = headers.pe + at::OPTIONAL + at::SIGNATURE_DIRECTORY;
    payload[entry..entry + 8].fill(0);
    payload
}

fn write_payload(disk: &Disk, slot: Slot, mut payload: Vec<u8>) {
    let (start, len) = place(disk, slot);
    payload.resize(usize::try_from(len).unwrap(), 0);
    disk.write(start, &payload).unwrap();
}
