//! The very image that is flashed, on QEMU's Raspberry Pi 3, from U-Boot on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print how long things took"
)]

use outcrop_qemu::{
    device_toml::device_toml,
    raspberry_pi::{Pi, record_of, spoil_kernel, write_record},
    update::{NEW, OLD},
};
use outcrop_release::{
    bootrec::{BadReason, MAX_STARTS, SlotState},
    slot::Slot,
};

#[test]
fn a_card_boots_from_u_boot_to_healthy_with_what_the_firmware_knows_of_the_board() {
    let mut pi = Pi::flashed();
    println!("healthy {:?} after power-on", pi.guest.uptime());
    let failed = pi.run("systemctl --failed --no-legend --plain | wc -l");
    assert_eq!(failed, "0", "failed units");
    // It is itself: what was flashed beside the image counts, and its secret is gone from the card.
    assert_eq!(pi.run("hostname"), "reef-07");
    let kept = pi.run("cat /var/lib/outcrop/device.toml");
    assert!(kept.contains("K10::s3cret"), "{kept}");
    assert!(device_toml(pi.card()).contains("token = \"***********\""));
    // What the firmware of a board would have put into its device tree, U-Boot puts into the release's own.
    let memory = pi.run("awk '/MemTotal/ { print int($2 / 1024) }' /proc/meminfo");
    assert!(memory.parse::<u32>().unwrap() > 700, "{memory} MiB of memory");
    let tree = "/proc/device-tree";
    assert!(
        pi.run(&format!("tr -d '\\0' < {tree}/model"))
            .contains("Raspberry Pi 3 Model B")
    );
    assert_eq!(pi.run(&format!("tr -d '\\0' < {tree}/serial-number")).len(), 16);
    let address = pi.run(&format!(
        "find {tree}/ -name local-mac-address | head -1 | xargs od -An -tx1 | tr -d ' \\n'"
    ));
    assert!(address.len() == 12 && address != "000000000000", "{address:?}");
}

#[test]
#[ignore = "the soak's: several boots, and installations that the emulated board takes minutes for"]
fn an_update_from_a_local_file_is_rolled_back_when_its_check_fails_and_committed_when_it_holds() {
    let mut pi = Pi::flashed();
    // The new release's health check fails.
    pi.run("mkdir -p /var/lib/unit && echo -n check > /var/lib/unit/fault");
    pi.install("");
    pi.restart();
    pi.expect("outcrop: slot b, start trial");
    pi.expect("outcrop-init: slot b is on trial");
    pi.expect("outcrop: trial failed: ");
    pi.expect("outcrop: slot a, start default");
    pi.expect_healthy(OLD, "a");
    assert_eq!(
        pi.record().slot(Slot::B).state,
        SlotState::Bad(BadReason::Deadline)
    );

    // Now it holds, and all of it is there already.
    pi.run("rm /var/lib/unit/fault");
    pi.install("--retry-failed");
    pi.restart();
    pi.expect("outcrop: slot b, start trial");
    pi.expect(&format!("outcrop: committed: unit {NEW} "));
    pi.expect_healthy(NEW, "b");
    pi.shut_down();
}

#[test]
#[ignore = "the soak's: several boots; the script itself runs in CI over records of every kind"]
fn a_trial_whose_kernel_panics_is_tried_three_times_and_the_release_before_comes_back() {
    let mut pi = Pi::on_trial("panic");
    for _ in 0..3 {
        pi.expect("outcrop: slot b, start trial");
        pi.expect("Kernel panic");
        pi.expect("outcrop: slot a, start default");
    }
    pi.expect("outcrop-init: the trial of slot b failed: ");
    pi.expect_healthy(OLD, "a");
    assert_eq!(
        pi.record().slot(Slot::B).state,
        SlotState::Bad(BadReason::TooManyTries)
    );
}

#[test]
#[ignore = "the soak's: several boots; the script itself runs in CI over records of every kind"]
fn a_record_of_which_one_copy_is_damaged_counts_and_one_that_is_lost_means_slot_a_and_is_written_anew() {
    let mut pi = Pi::on_trial("none");
    pi.expect(&format!("outcrop: committed: unit {NEW} "));
    pi.expect_healthy(NEW, "b");
    let card = pi.into_card();
    write_record(
        &card,
        |copy, newest, _| if copy == newest { vec![0xff; 512] } else { vec![] },
    );
    let mut pi = Pi::boot(card);
    pi.expect("outcrop: slot b, start ");
    pi.expect("outcrop-init: end, ");
    let card = pi.into_card();
    write_record(&card, |_, _, _| vec![0; 512]);
    let mut pi = Pi::boot(card);
    pi.expect("outcrop: slot a, start lost");
    pi.expect("both copies of the boot record are damaged");
    pi.expect_healthy(OLD, "a");
    assert_eq!(pi.record().default, Slot::A);
}

#[test]
#[ignore = "the soak's: several boots; the script itself runs in CI over records of every kind"]
fn a_committed_release_whose_kernel_is_damaged_or_never_starts_gives_way_to_the_one_before() {
    let mut pi = Pi::on_trial("none");
    pi.expect(&format!("outcrop: committed: unit {NEW} "));
    pi.expect_healthy(NEW, "b");
    let card = pi.into_card();
    // Two starts of it came to nothing.
    let counted = write_record(&card, |_, _, mut record| {
        record.slot_mut(Slot::B).starts = MAX_STARTS;
        record.encode().to_vec()
    });
    let mut pi = Pi::boot(card);
    pi.expect("outcrop: slot a, start switched");
    pi.expect("slot b didn't start, again and again");
    let card = pi.into_card();
    let after = record_of(&card);
    assert_eq!(
        after.slot(Slot::B).state,
        SlotState::Bad(BadReason::TooManyAttempts)
    );
    // The same card, but that its kernel has another byte.
    write_record(&card, |_, _, _| {
        let mut record = counted;
        record.slot_mut(Slot::B).starts = 0;
        record.encode().to_vec()
    });
    spoil_kernel(&card, Slot::B);
    let mut pi = Pi::boot(card);
    pi.expect("outcrop: slot a, start damaged");
    pi.expect_healthy(OLD, "a");
    assert_eq!(
        pi.record().slot(Slot::B).state,
        SlotState::Bad(BadReason::Damaged)
    );
}
