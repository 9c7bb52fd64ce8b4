//! A device that looks after its own updates: from a stick that somebody plugs in, and with reports to a server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print what they measure"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use outcrop_qemu::{
    channel::publish,
    update::{Device, NEW, OLD, releases},
    web::WebServer,
};
use outcrop_release::{
    agent::Waits,
    arch::Architecture,
    channel::RELEASES_FOLDER,
    report::{Report, verify_report},
};
use serde_json::json;

const ARCH: Architecture = Architecture::X86_64;
/// How long a report may take.
const REPORT_TIME: Duration = Duration::from_secs(120);
/// Memory of an agent that has nothing to do, its program's pages and the files that it reads included.
const IDLE_BYTES: u32 = 8 << 20;
/// What a poll without news may take, in both directions, without what TCP adds.
const IDLE_POLL_BYTES: u64 = 1024;
/// Beyond what lies on it, a stick has room for that.
const ROOM_KIB: u64 = 8 << 10;

fn bundle() -> PathBuf {
    releases().join(format!("unit-{NEW}-{ARCH}-efi.outcrop"))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A stick as people have them, FAT32 and all, with the publish tree on it.
fn stick(folder: &Path) -> PathBuf {
    let stick = folder.join("stick.img");
    let kib = fs::metadata(bundle()).unwrap().len() / 1024 + ROOM_KIB;
    run(Command::new("mkfs.vfat")
        .args(["-F", "32", "-C"])
        .arg(&stick)
        .arg(kib.to_string()));
    let on_stick = |program: &str| {
        let mut command = Command::new(program);
        command.arg("-i").arg(&stick);
        command
    };
    run(on_stick("mcopy")
        .arg(folder.join("tree/stable.channel"))
        .arg("::/"));
    run(on_stick("mmd").arg(format!("::/{RELEASES_FOLDER}")));
    run(on_stick("mcopy")
        .arg(bundle())
        .arg(format!("::/{RELEASES_FOLDER}/")));
    stick
}

/// The newest report that came.
fn report(server: &WebServer, is_it: impl Fn(&Report) -> bool) -> Report {
    let begin = Instant::now();
    loop {
        let received = server.received();
        let reports: Vec<Report> = received
            .iter()
            .map(|bytes| verify_report(bytes).unwrap().into_report())
            .collect();
        if let Some(report) = reports.iter().rev().find(|report| is_it(report)) {
            return report.clone();
        }
        assert!(begin.elapsed() < REPORT_TIME, "{reports:?}");
        thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn a_stick_that_is_plugged_in_updates_the_device_by_itself_and_the_new_release_reports_it() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    publish(&tree, &bundle());
    let stick = stick(folder.path());
    let server = WebServer::start(&tree).unwrap();

    let mut device = Device::start_with(ARCH, "none", &["-device", "qemu-xhci,id=usb"]);
    let timer = device
        .shell()
        .run("systemctl is-active outcrop-agent.timer")
        .unwrap();
    assert_eq!(timer.trim(), "active");
    let told = format!(
        "channel = \"stable\"\nupdate-url = \"{}\"\n[update]\nreport-url = \"{}\"\n",
        server.url(""),
        server.url("reports"),
    );
    let write = format!("cat > /var/lib/outcrop/device.toml <<'END'\n{told}END\nsync");
    device.shell().run(&write).unwrap();

    let drive = json!({"node-name": "stick", "driver": "file", "filename": stick, "read-only": true});
    device.guest.monitor.execute("blockdev-add", &drive).unwrap();
    let plug = json!({"driver": "usb-storage", "id": "plugged", "bus": "usb.0", "drive": "stick"});
    device.guest.monitor.execute("device_add", &plug).unwrap();
    // It is read twice, from an emulated stick.
    device.guest.wait_reset(Duration::from_secs(600)).unwrap();
    device.expect(&format!("outcrop: committed: unit {NEW} "));
    device.expect_healthy(NEW, "b");
    // At each boot what is on partition 1 counts again.
    device.shell().run(&write).unwrap();

    device
        .shell()
        .run("systemctl start outcrop-agent.service")
        .unwrap();
    let report = report(&server, |report| report.running.version.to_string() == NEW);
    let standing = report.agent.unwrap();
    assert_eq!((standing.waits, standing.reason), (Waits::News, None));
    assert_eq!(report.drift.unwrap().differences, 0);
    assert_eq!(report.last.unwrap().version, NEW);
    let history = device.shell().run("outcrop-updater history").unwrap();
    for told in [
        format!("{NEW} installed in slot b"),
        format!("{NEW} restarted into"),
        format!("{NEW} committed in slot b"),
    ] {
        assert!(history.contains(&told), "{told}: {history}");
    }
    let status = device.status();
    assert!(status.contains(&format!("slot a       {OLD}, good")), "{status}");
    let failed = device
        .shell()
        .run("systemctl list-units --state=failed --no-legend --no-pager | cat")
        .unwrap();
    assert!(!failed.contains(".service"), "{failed}");
    an_idle_agent_is_small(&mut device, &server);
}

/// A poll that brings nothing new, in a group that has no more memory than an idle agent may take.
fn an_idle_agent_is_small(device: &mut Device, server: &WebServer) {
    let group = "/sys/fs/cgroup/idle";
    let before = server.traffic();
    // Without what it kept, the agent asks at once; the list that it knows stays known.
    let command = format!(
        "rm /var/lib/outcrop/agent.json; sed -i '/report-url/d' /var/lib/outcrop/device.toml; mkdir -p {group} && echo {IDLE_BYTES} > {group}/memory.max && \
         sh -c 'echo $$ > {group}/cgroup.procs; exec outcrop-updater agent' && cat {group}/memory.peak {group}/memory.stat | grep -E '^([0-9]+|anon .*)$'"
    );
    let told = device.shell().run(&command).unwrap();
    assert!(told.contains("up to date"), "{told}");
    let bytes = server.traffic() - before;
    println!("a poll without news: {bytes} bytes; memory (peak of the group, bytes): {told}");
    assert!((1..IDLE_POLL_BYTES).contains(&bytes), "{bytes} bytes for a poll");
}
