//! A device that its own file makes itself, on a booted machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use outcrop_qemu::{
    Disk, Start,
    device_toml::{device_toml, write_device_toml},
    images::image,
    scenario::{healthy_shell, shut_down},
};
use outcrop_release::arch::Architecture;

const ARCHITECTURE: Architecture = Architecture::X86_64;
const DISK_BYTES: u64 = 4 << 30;
const TILL: &str = r#"
hostname = "till-7"
channel = "beta"
time-servers = ["ntp.example.org"]
blank-secrets = true
[labels]
site = "reef"
[network]
proxy = "http://joe:s3cret@proxy.example.org:3128"
[[network.interface]]
name = "e*"
addresses = ["10.0.2.77/24"]
gateways = ["10.0.2.2"]
[users.root]
ssh-keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@desk"]
[kubernetes]
token = "K10::s3cret"
"#;

/// Switches the device on, waits until it is healthy, asks what `commands` print, and switches it off.
fn asked(disk: &Disk, commands: &[(&str, &str)]) {
    let mut guest = Start::new(ARCHITECTURE, disk).boot().unwrap();
    let mut shell = healthy_shell(&mut guest).unwrap();
    for (command, wanted) in commands {
        let told = shell.run(command).unwrap();
        assert!(told.contains(wanted), "{command}: {told}");
    }
    let status = shell.run("outcrop-updater status --json").unwrap();
    assert!(!status.contains("s3cret"), "{status}");
    shut_down(guest).unwrap();
}

#[test]
fn a_device_is_what_its_file_says_and_stays_so_when_the_file_turns_bad() {
    let image = image("edge-dev", ARCHITECTURE).unwrap();
    let disk = Disk::flashed(&image, TILL, DISK_BYTES).unwrap();
    asked(
        &disk,
        &[
            ("hostname", "till-7"),
            // Nothing waits for a network here.
            (
                "timeout 60 sh -c 'until ip -4 address | grep 10.0.2.77/24; do sleep 1; done' || networkctl --no-pager status --all",
                "10.0.2.77/24",
            ),
            ("ip -color=never route", "default via 10.0.2.2"),
            (
                "timedatectl show-timesync --property=SystemNTPServers",
                "ntp.example.org",
            ),
            (
                "tr '\\0' '\\n' < /proc/$(pidof containerd)/environ",
                "HTTPS_PROXY=http://joe:s3cret@proxy.example.org:3128",
            ),
            (
                "cat /etc/ssh/sshd_config.d/05-device-root.conf",
                "prohibit-password",
            ),
            ("cat /etc/ssh/authorized_keys.d/root", "me@desk"),
            ("stat -c %a /var/lib/outcrop/device.toml", "600"),
            ("outcrop-updater status", "device       till-7"),
            ("outcrop-updater status", "labels       site=reef"),
            (
                "outcrop-updater status",
                "trouble      users: this release starts no SSH server",
            ),
            // Nothing here is anything but release and configuration, until somebody helps by hand.
            ("outcrop-updater attest; echo code $?", "difference    none"),
            (
                "mkdir -p /var/home/fix; cp /bin/true /var/home/fix/patch; echo x >> /etc/hosts; rm /etc/motd; \
                 mount --bind /bin/true /usr/bin/htop; outcrop-updater attest | grep ^diff | cut -c15- | tr '\\n' ';'",
                "/etc/hosts was added;/etc/motd was taken away;/usr/bin/htop is mounted over the release;\
                 /var/home/fix/patch is a program outside the release;",
            ),
            ("outcrop-updater attest >/dev/null; echo code $?", "code 1"),
        ],
    );
    let text = device_toml(&disk);
    let text = text.trim_end();
    assert!(
        text.contains("token = \"***********\"") && !text.contains("s3cret"),
        "{text}"
    );

    // Somebody changes it at a PC, and makes a mistake: the device says so, and stays what it was.
    write_device_toml(&disk, &text.replace("till-7", "till 7"));
    let mistake = "device.toml: line 2, column 12: \"till 7\" is no host name";
    asked(
        &disk,
        &[
            ("dmesg", &format!("outcrop-init: {mistake}")),
            ("outcrop-updater status", &format!("trouble      {mistake}")),
            ("hostname", "till-7"),
        ],
    );
    // And mends it: the blanked secrets still count.
    write_device_toml(&disk, &text.replace("till-7", "till-8"));
    asked(
        &disk,
        &[
            ("hostname", "till-8"),
            ("cat /var/lib/outcrop/device.toml", "K10::s3cret"),
        ],
    );
}
