//! The image as users get it: it boots, it is what the design says, and it keeps what it should.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::time::Duration;

use outcrop_qemu::{
    Disk, Shell, Start, images, on_both_architectures,
    scenario::{DEGRADED, differing_partitions, healthy_shell, wait_healthy},
};
use outcrop_release::arch::Architecture;

on_both_architectures! {
    the_running_system_is_as_designed_and_its_second_boot_keeps_var_and_drops_an_edit_in_etc;
    aarch64 in the soak:
    the_default_image_is_healthy_without_a_network_and_writes_to_the_data_partition_alone,
}

/// How long nobody answers on the serial line of a machine that is healthy and idle: a shell takes a second.
const SILENCE: Duration = Duration::from_secs(20);
/// A card larger than the image, as cards are.
const CARD_BYTES: u64 = 6 << 30;

fn the_default_image_is_healthy_without_a_network_and_writes_to_the_data_partition_alone(
    architecture: Architecture,
) {
    let image = images::image("edge", architecture).unwrap();
    let disk = Disk::copy(&image).unwrap();
    let mut guest = Start::new(architecture, &disk).as_shipped().boot().unwrap();
    guest.unplug_network().unwrap();
    let line = wait_healthy(&mut guest).unwrap();
    assert!(
        line.contains(architecture.as_str()) && line.contains("slot a"),
        "{line}"
    );
    assert!(
        !guest.console.has(DEGRADED) && !guest.console.has("login:"),
        "{}",
        guest.console.text()
    );
    // Nobody answers on the serial line: whatever is typed there, no shell runs it.
    guest.console.send("\n echo somebody-$((40 + 2))\n").unwrap();
    let answer = guest.console.expect("somebody-42", SILENCE);
    assert!(answer.is_err(), "{}", guest.console.text());
    guest.power_off(Duration::from_secs(300)).unwrap();
    let written = differing_partitions(&image, disk.raw().unwrap()).unwrap();
    assert_eq!(
        written,
        ["outcrop-data"],
        "partitions whose bytes differ after a boot"
    );
}

/// Commands for the root shell, each with what it must print.
const FACTS: &[(&str, &str)] = &[
    // The root is EROFS on dm-verity, read-only; damage panics.
    ("findmnt -no FSTYPE,OPTIONS / | grep -c '^erofs *ro'", "1"),
    ("cat /sys/block/dm-0/dm/name", "outcrop-root"),
    ("touch /usr/x 2>/dev/null || echo refused", "refused"),
    // /etc is writable until the next boot, /var is the data partition.
    ("findmnt -no FSTYPE /etc", "overlay"),
    ("findmnt -no FSTYPE /var", "ext4"),
    (
        "cat /proc/cmdline | grep -o systemd.gpt_auto=no",
        "systemd.gpt_auto=no",
    ),
    // Nothing was ever written to the slots, their trees, the boot record or partition 1.
    (WRITES, "0"),
    ("outcrop-updater status | head -n 1", "release      edge-dev "),
    // Nothing failed; the network came by DHCP; time is being kept; the journal is on /var, with a limit.
    ("systemctl --failed --no-legend --plain | wc -l", "0"),
    (NETWORK, "routable"),
    ("systemctl is-active systemd-timesyncd.service", "active"),
    (
        "ls -d /var/log/journal/$(cat /etc/machine-id)",
        "/var/log/journal/",
    ),
    (
        "systemd-analyze cat-config systemd/journald.conf | grep -c ^SystemMaxUse=",
        "1",
    ),
    // Nobody gets in who wasn't let in: no password anywhere, no SSH unless the recipe asks.
    ("cut -d: -f2 /etc/shadow | grep -v '^[!*]' | wc -l", "0"),
    ("systemctl is-active ssh.service; true", "inactive"),
    ("findmnt -no SOURCE /boot /efi | wc -l", "0"),
];

/// How many writes each partition but the data partition has seen: the fifth field of its statistics.
const WRITES: &str = "for label in esp bootrec root-a verity-a root-b verity-b; do disk=$(readlink -f \
                      /dev/disk/by-partlabel/outcrop-$label); awk '{print $5}' /sys/class/block/${disk##*/}/stat; done | sort -u";

/// Waits for an address by DHCP: the network comes up beside the boot, not before its end.
const NETWORK: &str =
    "for i in $(seq 90); do networkctl --no-legend list | grep -o routable && break; sleep 1; done";

fn the_running_system_is_as_designed_and_its_second_boot_keeps_var_and_drops_an_edit_in_etc(
    architecture: Architecture,
) {
    let disk = Disk::copy(&images::image("edge-dev", architecture).unwrap()).unwrap();
    disk.grow(CARD_BYTES).unwrap();
    let mut guest = Start::new(architecture, &disk).boot().unwrap();
    let mut shell = healthy_shell(&mut guest).unwrap();
    for (command, wanted) in FACTS {
        let output = shell.run(command).unwrap();
        assert!(
            output.starts_with(wanted),
            "`{command}` printed {output:?}, not {wanted:?}"
        );
    }
    assert_var_fills_the_card(&mut shell, architecture);
    if architecture == Architecture::X86_64 {
        // The chip set's, whose device appears only once the chip set has its driver. The aarch64 machine has none.
        let started = shell.run("dmesg | grep -c 'watchdog started: '").unwrap();
        assert_eq!(started, "1", "the initramfs starts the chip set's watchdog");
    }
    let machine_id = shell.run("cat /etc/machine-id").unwrap();
    assert!(
        machine_id.len() == 32 && machine_id.chars().all(|c| c.is_ascii_hexdigit()),
        "{machine_id:?}"
    );
    shell
        .run("echo kept > /var/lib/kept; echo edited > /etc/motd; echo new > /etc/new; sync")
        .unwrap();
    guest.power_off(Duration::from_secs(300)).unwrap();

    let mut guest = Start::new(architecture, &disk).boot().unwrap();
    let mut shell = healthy_shell(&mut guest).unwrap();
    let kept = shell.run("cat /etc/machine-id /var/lib/kept").unwrap();
    assert_eq!(kept.lines().collect::<Vec<_>>(), [&*machine_id, "kept"]);
    let edits = shell.run("grep -c edited /etc/motd; ls /etc/new 2>/dev/null; true");
    assert_eq!(edits.unwrap(), "0");
}

fn assert_var_fills_the_card(shell: &mut Shell<'_>, architecture: Architecture) {
    let size = shell.run("df --output=size /var | tail -n 1").unwrap();
    let kib: u64 = size.trim().parse().unwrap();
    let image = images::image("edge-dev", architecture).unwrap();
    let gained = (CARD_BYTES - std::fs::metadata(image).unwrap().len()) / 1024;
    assert!(
        kib > gained * 9 / 10,
        "/var has {kib} KiB on a card with {gained} KiB behind the image"
    );
}
