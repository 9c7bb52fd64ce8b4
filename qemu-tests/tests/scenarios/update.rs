//! Updates: a release is installed from a web server, tried once, and kept or given up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print how long a rollback took"
)]

use std::time::Duration;

use outcrop_qemu::{
    on_both_architectures,
    update::{Device, NEW, OLD},
};
use outcrop_release::arch::Architecture;

on_both_architectures! {
    a_release_from_a_web_server_is_tried_and_committed;
    aarch64 in the soak:
    a_release_whose_check_fails_is_given_up_and_not_installed_again,
    a_release_whose_kernel_panics_is_given_up_at_once,
    a_release_that_hangs_is_reset_by_the_watchdog_and_given_up,
}

mod x86_64_only {
    use outcrop_qemu::{
        Disk,
        scenario::{
            kernel_entry, offset_of_boot_payload, offset_of_file, offset_of_partition, place_of_partition,
            section_of_boot_payload,
        },
        update::{image_of, start_with_boot_guard},
    };
    use outcrop_release::{partition::Partition, slot::Slot};

    use super::{Architecture, Device, NEW, OLD, WATCHDOG, fails, given_up};

    const ARCH: Architecture = Architecture::X86_64;
    /// Of the recipe: `[disk] boot-slot`.
    const BOOT_SLOT_BYTES: u64 = 64 << 20;
    const CHUNK_BYTES: usize = 1 << 20;

    #[test]
    #[ignore = "the soak's: in CI a kernel that hangs has three trials without a verdict"]
    fn a_release_whose_init_crashes_is_given_up() {
        fails(ARCH, "init", "its trial ended three times without a verdict");
    }

    #[test]
    #[ignore = "the soak's: it waits for four minutes; a check that fails goes the same way back for every change"]
    fn a_check_that_never_ends_is_over_at_the_deadline() {
        given_up(ARCH, "endless", "unit: it didn't end within 5 s");
    }

    #[test]
    #[ignore = "the soak's: a check that fails goes the same way back for every change"]
    fn a_unit_before_boot_complete_target_can_veto() {
        given_up(ARCH, "veto", "failed: unit-veto.service");
    }

    #[test]
    #[ignore = "the soak's: in CI a committed one stands for both"]
    fn a_boot_payload_that_is_no_program_is_tried_three_times_and_given_up() {
        trial_never_starts(no_program);
    }

    #[test]
    #[ignore = "the soak's, like one that is no program"]
    fn a_boot_payload_that_is_cut_off_is_tried_three_times_and_given_up() {
        trial_never_starts(cut_off);
    }

    #[test]
    #[ignore = "the soak's, like one that is no program"]
    fn a_kernel_of_garbage_is_tried_three_times_and_given_up() {
        trial_never_starts(garbage);
    }

    #[test]
    #[ignore = "the soak's: a flipped bit in the root shows the same for every change"]
    fn a_new_slot_that_is_damaged_on_the_disk_is_given_up_when_it_is_read() {
        let image = image_of(NEW, ARCH);
        let offset = |partition| offset_of_partition(&image, partition).unwrap();
        let file = offset_of_file(&image, "usr/lib/systemd/systemd").unwrap();
        let at = file - offset(Partition::Root(Slot::A)) + offset(Partition::Root(Slot::B));
        let spoil = |disk: &Disk| disk.write(at, &[0xa5; 512]).unwrap();
        let mut device = Device::on_damaged_trial(ARCH, "none", &[], spoil);
        device.expect("outcrop-init: the trial of slot b failed: its kernel panicked");
        device.expect_healthy(OLD, "a");
    }

    #[test]
    fn a_committed_boot_payload_that_is_no_program_gives_way_to_the_release_before() {
        default_never_starts(no_program);
    }

    #[test]
    #[ignore = "the soak's: one that is no program shows the same for every change"]
    fn a_committed_boot_payload_that_is_cut_off_gives_way_to_the_release_before() {
        default_never_starts(cut_off);
    }

    #[test]
    #[ignore = "the soak's: one that is no program shows the same for every change"]
    fn a_committed_kernel_of_garbage_gives_way_to_the_release_before() {
        default_never_starts(garbage);
    }

    #[test]
    fn a_damaged_release_before_is_told_and_nothing_is_fallen_back_to() {
        let spoil = |disk: &Disk| {
            let start = offset_of_boot_payload(disk.raw().unwrap(), Slot::A).unwrap();
            disk.write(start + 4096, &[0; 4096]).unwrap();
        };
        let mut device = Device::on_damaged_default(ARCH, &[], spoil);
        device.expect(
            "outcrop: slot a is damaged on the disk: until the next update there is no release to go back to",
        );
        device.expect_healthy(NEW, "b");
        let status = device.status();
        assert!(status.contains(&format!("slot a       {OLD}, bad: ")), "{status}");
    }

    #[test]
    #[ignore = "the soak's: `init`'s own tests have both slots of one release for every change"]
    fn a_half_written_twin_of_the_running_release_is_not_taken_for_it() {
        // Slot A has the boot payload and the hash tree of what runs in slot B, and a quarter of its root.
        let twin = |disk: &Disk| {
            let image = disk.raw().unwrap();
            let copy = |[to, from]: [u64; 2], len: u64| {
                for at in (0..len).step_by(CHUNK_BYTES) {
                    let length = usize::try_from(len - at).unwrap().min(CHUNK_BYTES);
                    disk.write(to + at, &disk.read(from + at, length).unwrap())
                        .unwrap();
                }
            };
            let starts = |partition: fn(Slot) -> Partition| {
                Slot::ALL.map(|slot| offset_of_partition(image, partition(slot)).unwrap())
            };
            let len = |partition| place_of_partition(image, partition).unwrap().len;
            let payloads = Slot::ALL.map(|slot| offset_of_boot_payload(image, slot).unwrap());
            copy(payloads, BOOT_SLOT_BYTES);
            copy(starts(Partition::Verity), len(Partition::Verity(Slot::A)));
            copy(starts(Partition::Root), len(Partition::Root(Slot::A)) / 4);
        };
        let mut device = Device::on_damaged_default(ARCH, &[], twin);
        device.expect("outcrop-init: slot b, root hash ");
        device.expect("outcrop: slot a is damaged on the disk");
        device.expect_healthy(NEW, "b");
    }

    #[test]
    fn a_device_whose_clock_is_in_1970_installs_a_release_from_a_web_server() {
        assert_eq!(Device::clock_when_it_installed(ARCH), "1970-01-02");
    }

    /// The boot payload of slot B begins with zeros.
    fn no_program(disk: &Disk) {
        let start = offset_of_boot_payload(disk.raw().unwrap(), Slot::B).unwrap();
        disk.write(start, &[0; 4096]).unwrap();
    }

    /// From the middle of slot B's kernel on, there is nothing.
    fn cut_off(disk: &Disk) {
        let image = disk.raw().unwrap();
        let start = offset_of_boot_payload(image, Slot::B).unwrap();
        let kernel = section_of_boot_payload(image, Slot::B, ".linux").unwrap();
        let from = kernel.start + kernel.len / 2;
        let end = start + BOOT_SLOT_BYTES;
        disk.write(from, &vec![0; usize::try_from(end - from).unwrap()])
            .unwrap();
    }

    /// Slot B's kernel is noise.
    fn garbage(disk: &Disk) {
        let kernel = section_of_boot_payload(disk.raw().unwrap(), Slot::B, ".linux").unwrap();
        disk.write(kernel.start, &vec![0xa5; usize::try_from(kernel.len).unwrap()])
            .unwrap();
    }

    /// Slot B's kernel stands still from its first instruction on.
    fn hangs(disk: &Disk) {
        // cli; 1: hlt; jmp 1b
        const STAND_STILL: [u8; 4] = [0xfa, 0xf4, 0xeb, 0xfd];
        let entry = kernel_entry(disk.raw().unwrap(), Slot::B).unwrap();
        disk.write(entry, &STAND_STILL).unwrap();
    }

    #[test]
    #[ignore = "the soak's: it waits for three watchdogs; one that hangs later shows the way back for every change"]
    fn a_trial_whose_kernel_hangs_is_reset_by_the_watchdog_that_boot_guard_started_and_given_up() {
        trial_with_boot_guard(hangs);
    }

    #[test]
    #[ignore = "the soak's: the trial that hangs shows the watchdog in CI"]
    fn a_committed_kernel_that_hangs_is_reset_by_the_watchdog_and_gives_way_to_the_release_before() {
        default_with_boot_guard(hangs);
    }

    #[test]
    #[ignore = "the soak's: a kernel that hangs shows the same for every change"]
    fn with_boot_guard_a_trial_never_waits_for_somebody_whatever_is_wrong_with_its_boot_payload() {
        for damage in [no_program, cut_off, garbage] {
            trial_with_boot_guard(damage);
        }
    }

    #[test]
    #[ignore = "the soak's: a kernel that hangs shows the same for every change"]
    fn with_boot_guard_a_default_gives_way_by_itself_whatever_is_wrong_with_its_boot_payload() {
        for damage in [no_program, cut_off, garbage] {
            default_with_boot_guard(damage);
        }
    }

    /// A trial doesn't come to its own code, and nobody switches the machine off.
    fn trial_with_boot_guard(damage: impl FnOnce(&Disk)) {
        let mut device = Device::on_damaged_trial(ARCH, "none", &WATCHDOG, |disk| {
            start_with_boot_guard(disk);
            damage(disk);
        });
        device.expect("outcrop-init: the trial of slot b failed: ");
        device.expect_healthy(OLD, "a");
        assert!(device.guest.console.text().contains(GUARDED));
    }

    /// The same for a release that was committed.
    fn default_with_boot_guard(damage: impl FnOnce(&Disk)) {
        let mut device = Device::on_damaged_default(ARCH, &WATCHDOG, |disk| {
            start_with_boot_guard(disk);
            damage(disk);
        });
        device.expect("slot b didn't start, again and again: slot a is the default now");
        device.expect_healthy(OLD, "a");
        assert!(device.guest.console.text().contains(GUARDED));
    }

    /// What EFI Boot Guard prints before it starts the boot loader.
    const GUARDED: &str = "with watchdog set to 90 seconds";

    /// What OVMF prints when a program crashes; then it stands still.
    const CRASH: &str = "X64 Exception";

    /// A trial doesn't come to its own code. Where the machine stands still, somebody switches it off and on.
    fn trial_never_starts(damage: impl FnOnce(&Disk)) {
        let given_up =
            "outcrop-init: the trial of slot b failed: its trial ended three times without a verdict";
        let mut device = Device::on_damaged_trial(ARCH, "none", &[], damage);
        while device.expect_one_of(&[CRASH, given_up]) == CRASH {
            device = device.power_cycle();
        }
        device.expect_healthy(OLD, "a");
    }

    /// A committed release doesn't come to its own code any more. Where the machine stands still, somebody switches it off and on.
    fn default_never_starts(damage: impl FnOnce(&Disk)) {
        let mut device = Device::on_damaged_default(ARCH, &[], damage);
        for told in [
            "outcrop-init: restart: slot b is the default and didn't start, once more",
            "slot b didn't start, again and again: slot a is the default now",
        ] {
            if device.expect_one_of(&[CRASH, told]) == CRASH {
                device = device.power_cycle();
                device.expect(told);
            }
        }
        let time = device.expect_healthy(OLD, "a");
        println!("healthy {time:?} after slot a became the default");
        let status = device.status();
        assert!(
            status.contains(&format!("slot b       {NEW}, bad: it failed again and again")),
            "{status}"
        );
    }

    #[test]
    #[ignore = "the soak's: in CI a committed release that doesn't start any more stands for it"]
    fn a_release_that_fails_after_its_commit_gives_way_to_the_one_before() {
        let mut device = Device::on_trial(ARCH, "loop", &WATCHDOG);
        device.expect(&format!("outcrop: committed: unit {NEW} "));
        // From now on it panics at every boot; each panic weighs two of six.
        device.restart();
        device.expect("slot b failed too often, slot a is the default now");
        device.expect_healthy(OLD, "a");
        let status = device.status();
        assert!(status.contains("it failed again and again"), "{status}");
        let written = device.datastore();
        assert!(
            written.iter().any(|line| line == NEW),
            "after a commit nothing comes back: {written:?}"
        );
    }
}

/// A watchdog that resets the machine.
const WATCHDOG: [&str; 4] = ["-device", "i6300esb", "-action", "watchdog=reset"];

fn a_release_from_a_web_server_is_tried_and_committed(architecture: Architecture) {
    let mut device = Device::on_trial(architecture, "none", &[]);
    device.expect(&format!("outcrop: committed: unit {NEW} "));
    let time = device.expect_healthy(NEW, "b");
    println!("healthy {time:?} after its commit");
    let status = device.status();
    assert!(status.contains(&format!("slot a       {OLD}, good")), "{status}");
    assert!(
        status.contains(&format!("slot b       {NEW}, good, running, default")),
        "{status}"
    );
    assert!(
        status.contains(&format!("last         {NEW} committed in slot b")),
        "{status}"
    );
    assert_eq!(device.datastore().last().unwrap(), NEW);
    let state = device.shell().run("outcrop-updater state list").unwrap();
    for told in [
        format!("state of release {NEW}"),
        format!("snapshot 1: release {OLD}, taken before release {NEW}"),
        format!("release {NEW} was committed: the state stays as it is"),
    ] {
        assert!(state.contains(&told), "{state}");
    }
    let history = device.shell().run("outcrop-updater history").unwrap();
    for told in [
        "the history begins",
        &format!("{NEW} installed in slot b"),
        &format!("{NEW} committed in slot b"),
        "whole: 3 events of the device ",
    ] {
        assert!(history.contains(told), "{told}: {history}");
    }
    let report = device.shell().run("outcrop-updater report").unwrap();
    for told in [
        format!("\"fate\":\"committed\",\"version\":\"{NEW}\""),
        "\"health\":\"healthy\",\"drift\":{\"differences\":0,".to_owned(),
    ] {
        assert!(report.contains(&told), "{told}: {report}");
    }
}

fn a_release_whose_check_fails_is_given_up_and_not_installed_again(architecture: Architecture) {
    let mut device = given_up(
        architecture,
        "greenboot",
        "10-unit: exit status: 1: greenboot says no",
    );
    let status = device.status();
    assert!(
        status.contains(&format!("slot b       {NEW}, bad: a health check failed")),
        "{status}"
    );
    let (code, output) = device.try_install(NEW, "");
    assert_eq!(code, 26, "{output}");
    assert!(output.contains("failed on this device before"), "{output}");
    let history = device.shell().run("outcrop-updater history").unwrap();
    assert!(
        history.contains(&format!("{NEW} failed in slot b: ")) && history.contains(" refused: "),
        "{history}"
    );
    let mut shell = device.shell();
    shell
        .run("dd if=/dev/zero of=/var/full bs=1M status=none; sync; true")
        .unwrap();
    let (code, output) = device.try_install(NEW, "--retry-failed");
    assert_eq!(code, 49, "with a full /var: {output}");
    assert!(
        output.contains("too little room for a copy of the state"),
        "{output}"
    );
    let mut shell = device.shell();
    let state = "/var/lib/outcrop";
    shell
        .run(&format!(
            "rm /var/full && mount --bind {state} {state} && mount -o remount,bind,ro {state}"
        ))
        .unwrap();
    let (code, output) = device.try_install(NEW, "--retry-failed");
    assert_eq!(code, 42, "with a read-only {state}: {output}");
    assert!(output.contains("Read-only file system"), "{output}");
}

fn a_release_whose_kernel_panics_is_given_up_at_once(architecture: Architecture) {
    fails(architecture, "panic", "its kernel panicked");
}

fn a_release_that_hangs_is_reset_by_the_watchdog_and_given_up(architecture: Architecture) {
    fails(architecture, "hang", "it hung, and the watchdog reset the device");
}

/// Tries a release that fails without a word; the next boot of the old one says why.
fn fails(architecture: Architecture, fault: &str, why: &str) {
    let mut device = Device::on_trial(architecture, fault, &WATCHDOG);
    device.expect("outcrop-init: slot b is on trial");
    device.guest.wait_reset(Duration::from_secs(400)).unwrap();
    device.expect(&format!("outcrop-init: the trial of slot b failed: {why}"));
    let time = device.expect_healthy(OLD, "a");
    println!("{fault}: old release healthy {time:?} after its initramfs");
    let status = device.status();
    assert!(
        status.contains(&format!("slot b       {NEW}, bad: {why}")),
        "{status}"
    );
    assert!(
        status.contains(&format!("last         {NEW} failed in slot b: {why}")),
        "{status}"
    );
}

/// Tries a release that is given up by itself, for this reason.
fn given_up(architecture: Architecture, fault: &str, why: &str) -> Device {
    let mut device = Device::on_trial(architecture, fault, &[]);
    device.expect("outcrop: trial failed: ");
    device.expect(why);
    let time = device.expect_healthy(OLD, "a");
    println!("{fault}: old release healthy {time:?} after the failure");
    let written = device.datastore();
    assert!(
        written.iter().all(|line| line == OLD),
        "the new release's work is undone: {written:?}"
    );
    let state = device.shell().run("outcrop-updater state list").unwrap();
    for told in [
        format!("state of release {OLD}"),
        "snapshot 1 of the state was brought back; what it replaced is snapshot 2".to_owned(),
    ] {
        assert!(state.contains(&told), "{state}");
    }
    device
}
