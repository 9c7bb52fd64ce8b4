//! Updates: a release is installed from a web server, tried once, and kept or given up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use outcrop_qemu::{
    on_both_architectures,
    update::{Device, NEW, OLD},
};
use outcrop_release::arch::Architecture;

on_both_architectures! {
    a_release_from_a_web_server_is_tried_and_committed,
    a_release_whose_check_fails_is_given_up_and_not_installed_again,
}

fn a_release_from_a_web_server_is_tried_and_committed(architecture: Architecture) {
    let mut device = Device::start(architecture, &[]);
    device.install("none");
    device.expect(&format!("outcrop: committed: unit {NEW} "));
    let time = device.expect_healthy(NEW, "b");
    println!("{} bytes served; healthy after {time:?}", device.server.served());
    let status = device.status();
    assert!(status.contains("slot a       1.0.0, good"), "{status}");
    assert!(
        status.contains(&format!("slot b       {NEW}, good, running, default")),
        "{status}"
    );
    assert!(
        status.contains(&format!("last         {NEW} committed in slot b")),
        "{status}"
    );
}

fn a_release_whose_check_fails_is_given_up_and_not_installed_again(architecture: Architecture) {
    let mut device = Device::start(architecture, &[]);
    device.install("greenboot");
    let line = device.expect("outcrop: trial failed: ");
    assert!(line.contains("greenboot says no"), "{line}");
    let time = device.expect_healthy(OLD, "a");
    println!("from failure to the old release: {time:?}");
    let status = device.status();
    assert!(
        status.contains(&format!("slot b       {NEW}, bad: a health check failed")),
        "{status}"
    );
    let url = device.url();
    let (code, output) = device
        .shell()
        .status(
            &format!("outcrop-updater install {url} 2>&1"),
            std::time::Duration::from_secs(60),
        )
        .unwrap();
    assert_eq!(code, 26, "{output}");
    assert!(output.contains("failed on this device before"), "{output}");
}
