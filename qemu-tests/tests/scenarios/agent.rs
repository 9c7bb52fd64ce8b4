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
    report::{Reason, Report, verify_report},
};
use serde_json::json;

const ARCH: Architecture = Architecture::X86_64;
/// How long a report may take.
const REPORT_TIME: Duration = Duration::from_secs(120);
/// Memory of an agent that has nothing to do, its program's pages and the files that it reads included.
const IDLE_BYTES: u64 = 8 << 20;
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
    // The web has the list, and not what it offers.
    fs::remove_dir_all(tree.join(RELEASES_FOLDER)).unwrap();
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
    is_pulled_out_midway(&mut device);
    let kept = |report: &Report| report.agent.as_ref().and_then(|agent| agent.reason);
    let pulled_out = report(&server, |report| kept(report) == Some(Reason::Storage));
    let detail = pulled_out.agent.unwrap().detail.unwrap();
    assert!(detail.contains("Input/output error"), "{detail}");
    plug_in(&mut device, "again");
    // It is read twice, from an emulated stick.
    device.guest.wait_reset(Duration::from_secs(600)).unwrap();
    device.expect(&format!("outcrop: committed: unit {NEW} "));
    device.expect_healthy(NEW, "b");
    // At each boot what is on partition 1 counts again.
    device.shell().run(&write).unwrap();

    // A quarter of an hour later: reports go out every ten minutes at most.
    let command = "date --set '+15 minutes'; systemctl start outcrop-agent.service";
    device.shell().run(command).unwrap();
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

fn plug_in(device: &mut Device, name: &str) {
    let plug = json!({"driver": "usb-storage", "id": name, "bus": "usb.0", "drive": "stick"});
    device.guest.monitor.execute("device_add", &plug).unwrap();
}

/// The stick is pulled out while it is read: the device is as it was, and says why.
fn is_pulled_out_midway(device: &mut Device) {
    plug_in(device, "first");
    let units = "'outcrop-stick@*.service'";
    wait_for(
        device,
        &format!("journalctl -b -o cat --no-pager -u {units} | grep fetching"),
    );
    let first = json!({"id": "first"});
    device.guest.monitor.execute("device_del", &first).unwrap();
    let is_over =
        format!("! systemctl list-units --no-legend --no-pager --state=activating {units} | grep stick");
    wait_for(device, &is_over);
    let told = device
        .shell()
        .run(&format!("outcrop-updater status; journalctl -b -o cat --no-pager -u {units}; systemctl list-units --state=failed --no-legend --no-pager | cat"))
        .unwrap();
    println!("pulled out: {told}");
    let as_before = format!("slot a       {OLD}, good, running, default\nslot b       -, empty\n");
    assert!(
        told.replace("\r", "").contains(&as_before) && !told.contains("is written"),
        "{told}"
    );
}

/// Waits until the command succeeds.
fn wait_for(device: &mut Device, command: &str) {
    let begin = Instant::now();
    while device.shell().status(command, REPORT_TIME).unwrap().0 != 0 {
        assert!(begin.elapsed() < REPORT_TIME, "{command}");
        thread::sleep(Duration::from_millis(300));
    }
}

/// A poll that brings nothing new, whose program isn't in memory yet.
fn an_idle_agent_is_small(device: &mut Device, server: &WebServer) {
    let group = "/sys/fs/cgroup/idle";
    let before = server.traffic();
    // Without what it kept, the agent asks at once; the list that it knows stays known.
    let command = format!(
        "rm /var/lib/outcrop/agent.json; sed -i '/report-url/d' /var/lib/outcrop/device.toml; mkdir -p {group}; sync; \
         echo 3 > /proc/sys/vm/drop_caches; sh -c 'echo $$ > {group}/cgroup.procs; exec outcrop-updater agent'; \
         echo peak $(cat {group}/memory.peak)"
    );
    let told = device.shell().run(&command).unwrap();
    assert!(told.contains("up to date"), "{told}");
    let bytes = server.traffic() - before;
    println!("a poll without news: {bytes} bytes; memory (bytes): {told}");
    let peak = told.lines().find_map(|line| line.trim().strip_prefix("peak "));
    let peak: u64 = peak.unwrap().parse().unwrap();
    assert!((1..IDLE_BYTES).contains(&peak), "{peak} bytes of memory");
    assert!((1..IDLE_POLL_BYTES).contains(&bytes), "{bytes} bytes for a poll");
}
