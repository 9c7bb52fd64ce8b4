//! The story of an update, told while it happens: a device takes a good release over HTTP and keeps it, takes a broken one, and
//! goes back by itself. `cargo xtask demo` builds the releases and starts this.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Instant,
};

use outcrop_qemu::update::Device;
use outcrop_release::arch::Architecture;

const ARCHITECTURE: Architecture = Architecture::X86_64;
/// What is flashed, what is good, and what is broken.
const RELEASES: [&str; 3] = ["1.0.0", "1.1.0", "1.2.0"];

/// The story so far.
struct Timeline(Instant);

impl Timeline {
    fn tell(&self, text: &str) {
        // Where nobody listens, the exit code tells.
        let _ = writeln!(io::stdout(), "[{:4} s] {text}", self.0.elapsed().as_secs());
    }

    /// Installs a release; what that cost, in the updater's words.
    fn install(&self, device: &mut Device, version: &str) {
        self.tell(&format!(
            "{version}: outcrop-updater install {}",
            device.url(version)
        ));
        let before = device.server.served();
        let output = device.install(version);
        // The progress bar is rewritten on its line: what comes behind its last state is the message.
        let messages = output.lines().filter_map(|line| line.rsplit("\u{1b}[K").next());
        for line in messages.filter(|line| line.contains("MiB")) {
            self.tell(&format!("{version}: {}", line.trim()));
        }
        let served = (device.server.served() - before) >> 20;
        self.tell(&format!(
            "{version}: the web server sent {served} MiB; restart into the trial"
        ));
        device.restart();
    }
}

fn main() -> ExitCode {
    let [old, good, broken] = RELEASES;
    let timeline = Timeline(Instant::now());
    timeline.tell(&format!("power on: {old} boots from slot a"));
    let mut device = Device::start(ARCHITECTURE);
    timeline.tell(&format!("{old} is healthy"));

    timeline.install(&mut device, good);
    device.expect("outcrop-init: slot b is on trial");
    timeline.tell(&format!("{good} starts from slot b, on trial"));
    device.expect(&format!("outcrop: committed: unit {good} "));
    timeline.tell(&format!("{good}: all health checks hold; committed"));
    device.expect_healthy(good, "b");

    timeline.install(&mut device, broken);
    device.expect("outcrop-init: slot a is on trial");
    timeline.tell(&format!("{broken} starts from slot a, on trial"));
    let line = device.expect("outcrop: trial failed: ");
    let why = line.split("outcrop: ").nth(1).unwrap_or(&line);
    timeline.tell(why.trim());
    device.expect_healthy(good, "b");
    timeline.tell(&format!("{good} is healthy again, from slot b"));

    let status = device.status();
    timeline.tell("outcrop-updater status:");
    for line in status.lines() {
        timeline.tell(&format!("    {line}"));
    }
    let told = format!("last         {broken} failed in slot a");
    if status.contains(&told) {
        ExitCode::SUCCESS
    } else {
        timeline.tell(&format!("the device doesn't say {told:?}"));
        ExitCode::FAILURE
    }
}
