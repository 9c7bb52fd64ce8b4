//! Secure Boot: machines that start nothing but what their owner has signed. All on x86_64, whose firmware Debian has.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print how long things took"
)]

use std::{fs, process::Command};

use outcrop_builder::{disk::read::DiskImage, read_at::ReadAt as _};
use outcrop_qemu::{
    Disk,
    secure_boot::{
        enrolled, is_enforced, on_trial, sign_by_a_stranger, signed_image, signed_releases,
        take_off_signature,
    },
    update::{Device, NEW, OLD},
};
use outcrop_release::{arch::Architecture, slot::Slot};

#[test]
fn sbverify_takes_loader_and_boot_payload_of_both_architectures_and_refuses_changed_ones() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = signed_releases().join("keys/db.crt");
    let holds = |program: &[u8]| {
        let file = folder.path().join("program.efi");
        fs::write(&file, program).unwrap();
        let mut command = Command::new("sbverify");
        let output = command.arg("--cert").arg(&certificate).arg(&file).output();
        output
            .expect("sbverify is needed: apt-get install sbsigntool")
            .status
            .success()
    };
    for architecture in Architecture::ALL {
        let image = DiskImage::open(&signed_image(OLD, architecture)).unwrap();
        let esp = image.esp().unwrap();
        let loader = format!("EFI/BOOT/BOOT{}.EFI", architecture.efi().to_uppercase());
        for path in [loader, format!("EFI/Linux/{}", Slot::A.uki_file_name())] {
            let file = esp.find(&path).unwrap().unwrap();
            let content = esp.contiguous(&file).unwrap().unwrap();
            let len = usize::try_from(content.len()).unwrap();
            let mut program = content.read_vec(0, len).unwrap();
            assert!(holds(&program), "{path}");
            program[len / 2] ^= 1;
            assert!(!holds(&program), "{path}");
        }
    }
}

#[test]
fn a_new_machine_takes_its_owner_s_keys_from_the_image_and_then_a_signed_update() {
    let mut device = enrolled();
    assert!(is_enforced(&mut device), "{}", device.guest.console.text());
    let mut shell = device.shell();
    let lockdown = shell.run("cat /sys/kernel/security/lockdown").unwrap();
    assert!(lockdown.contains("[integrity]"), "{lockdown}");
    // Every module that runs was taken with its maker's signature: the kernel takes no other now.
    let modules = shell
        .run("grep -c . /proc/modules; cat /proc/sys/kernel/tainted")
        .unwrap();
    let numbers: Vec<u64> = modules
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    assert!(numbers[0] > 5 && numbers[1] & (1 << 13) == 0, "{modules}");
    device.install(NEW);
    device.restart();
    device.expect(&format!("outcrop: committed: unit {NEW} "));
    let time = device.expect_healthy(NEW, "b");
    println!("healthy {time:?} after its commit");
    assert!(is_enforced(&mut device));
    let status = device.status();
    assert!(
        status.contains(&format!("slot b       {NEW}, good, running, default")),
        "{status}"
    );
}

#[test]
#[ignore = "the soak's: it boots five times"]
fn an_unsigned_release_doesn_t_start_and_the_one_before_comes_back() {
    never_starts(|disk| take_off_signature(disk, Slot::B));
}

#[test]
#[ignore = "the soak's: it boots five times"]
fn a_release_that_a_stranger_signed_doesn_t_start_and_the_one_before_comes_back() {
    never_starts(|disk| sign_by_a_stranger(disk, Slot::B));
}

#[test]
#[ignore = "the soak's: without Secure Boot, the same goes the same way back for every change"]
fn a_signed_release_whose_check_fails_is_given_up() {
    let mut device = on_trial("greenboot", |_| {});
    device.expect("outcrop: trial failed: ");
    device.expect_healthy(OLD, "a");
    assert!(is_enforced(&mut device));
    let status = device.status();
    assert!(
        status.contains(&format!("slot b       {NEW}, bad: a health check failed")),
        "{status}"
    );
}

/// Tries a release that the firmware refuses: the release before runs in the end, and knows that the other failed.
fn never_starts(damage: impl FnOnce(&Disk)) {
    let mut device: Device = on_trial("none", damage);
    device.expect("outcrop-init: the trial of slot b failed: its trial ended three times without a verdict");
    device.expect_healthy(OLD, "a");
    let console = device.guest.console.text();
    assert!(!console.contains("outcrop-init: slot b is on trial"), "{console}");
    assert!(
        console.contains("Error loading"),
        "the boot loader says that it was refused: {console}"
    );
    assert!(is_enforced(&mut device));
    let status = device.status();
    assert!(status.contains(&format!("slot b       {NEW}, bad: ")), "{status}");
}
