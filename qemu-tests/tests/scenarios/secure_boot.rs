//! Secure Boot: machines that start nothing but what their owner has signed. All on x86_64, whose firmware Debian has.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print how long things took"
)]

use std::{fs, process::Command, time::Duration};

use outcrop_builder::{disk::read::DiskImage, read_at::ReadAt as _};
use outcrop_qemu::{
    Disk,
    channel::publish,
    secure_boot::{
        enrolled, in_setup_mode_with, is_enforced, on_trial, sign_by_a_stranger, signed_bundle, signed_image,
        signed_releases, take_off_signature,
    },
    update::{Device, NEW, OLD},
    web::WebServer,
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
fn a_new_machine_takes_its_owner_s_keys_from_the_image_then_a_signed_update_from_the_web_and_goes_back() {
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
    updates_itself_through_a_proxy(&mut device);
    let time = device.expect_healthy(NEW, "b");
    println!("healthy {time:?} after its commit");
    assert!(is_enforced(&mut device));
    let status = device.status();
    assert!(
        status.contains(&format!("slot b       {NEW}, good, running, default")),
        "{status}"
    );
    device.start_updater("rollback --reboot");
    device.guest.wait_reset(Duration::from_secs(180)).unwrap();
    device.expect_healthy(OLD, "a");
    assert!(is_enforced(&mut device));
    let status = device.status();
    assert!(
        status.contains(&format!("slot a       {OLD}, good, running, default")),
        "{status}"
    );
}

/// The agent fetches the release that a channel on the web offers, of which only a proxy knows where it is. It restarts when nobody objects.
fn updates_itself_through_a_proxy(device: &mut Device) {
    let tree = tempfile::tempdir().unwrap();
    publish(tree.path(), &signed_bundle());
    let web = WebServer::start(tree.path()).unwrap();
    let told = "channel = \"stable\"\nupdate-url = \"http://releases.invalid\"\n";
    let mut shell = device.shell();
    shell
        .run(&format!(
            "cat > /var/lib/outcrop/device.toml <<'END'\n{told}END\nsystemctl set-environment http_proxy={}; touch /run/till-is-open",
            web.url("")
        ))
        .unwrap();
    shell.run("systemctl start outcrop-agent.service").unwrap();
    let status = shell.run("outcrop-updater status").unwrap();
    assert!(status.contains("till-is-open"), "{status}");
    assert!(
        web.served() > fs::metadata(signed_bundle()).unwrap().len() / 100,
        "{} bytes were fetched",
        web.served()
    );
    let led = web.led();
    assert!(
        led.len() > 1 && led.iter().all(|name| name == "releases.invalid:80"),
        "{led:?}"
    );
    shell
        .run("rm /run/till-is-open; systemctl start --no-block outcrop-agent.service")
        .unwrap();
    device.guest.wait_reset(Duration::from_secs(180)).unwrap();
    device.expect(&format!("outcrop: committed: unit {NEW} "));
}

#[test]
fn a_boot_payload_that_nobody_signed_isn_t_started() {
    is_refused(|disk| take_off_signature(disk, Slot::A));
}

#[test]
fn a_boot_payload_that_a_stranger_signed_isn_t_started() {
    is_refused(|disk| sign_by_a_stranger(disk, Slot::A));
}

/// A new machine with such a payload enrols its owner's keys, and then refuses it.
fn is_refused(damage: impl FnOnce(&Disk)) {
    let mut device = in_setup_mode_with(damage);
    device.expect("Enrolling secure boot keys from directory");
    device.expect("Error loading");
    let console = device.guest.console.text();
    assert!(!console.contains("outcrop-init"), "{console}");
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
