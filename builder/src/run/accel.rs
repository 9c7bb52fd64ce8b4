//! Whether hardware virtualisation really works here: only a guest that runs can tell.
//!
//! Where virtual machines are nested, `/dev/kvm` may open and every guest die at once. So a probe guest of a few
//! instructions is started, and KVM is used only when that guest ends as programmed.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use outcrop_release::arch::Architecture;

/// How QEMU executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// In hardware.
    Kvm,
    /// In software: works everywhere, some ten times slower.
    Tcg,
}

/// How long the probe guest may take; it needs a fraction of a second.
const PROBE_TIME: Duration = Duration::from_secs(10);

/// Boot sector: `mov al, 0x2a; mov dx, 0xf4; out dx, al; hlt`. Through `isa-debug-exit` QEMU ends with 2 * 42 + 1.
const X86_PROBE: [u8; 8] = [0xb0, 0x2a, 0xba, 0xf4, 0x00, 0xee, 0xf4, 0xf4];
const X86_PROBE_STATUS: i32 = 85;
/// `mov w0, #0x84000008; hvc #0; b .`: PSCI `SYSTEM_OFF` (Arm DEN 0022, section 5.10), which ends QEMU with 0.
const AARCH64_PROBE: [u32; 4] = [0x5280_0100, 0x72b0_8000, 0xd400_0002, 0x1400_0000];
const AARCH64_PROBE_STATUS: i32 = 0;

impl Accelerator {
    /// The best accelerator for guests of `architecture`. Probed once for a process.
    #[must_use]
    pub fn probe(architecture: Architecture) -> Self {
        static KVM: OnceLock<bool> = OnceLock::new();
        let same = architecture.as_str() == std::env::consts::ARCH;
        let works = || Path::new("/dev/kvm").exists() && probe_guest_runs(architecture, Self::Kvm);
        if same && *KVM.get_or_init(works) {
            Self::Kvm
        } else {
            Self::Tcg
        }
    }

    /// The value of QEMU's `-accel`.
    #[must_use]
    pub const fn option(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg,thread=multi",
        }
    }
}

/// Runs the probe guest; true when it ended by its own last instruction.
fn probe_guest_runs(architecture: Architecture, accelerator: Accelerator) -> bool {
    let Ok(folder) = tempfile::tempdir() else {
        return false;
    };
    let image = folder.path().join("probe");
    if fs::File::create(&image)
        .and_then(|mut file| file.write_all(&probe_image(architecture)))
        .is_err()
    {
        return false;
    }
    let (mut command, wanted) = probe_command(architecture, accelerator, &image);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else {
        return false;
    };
    let deadline = Instant::now() + PROBE_TIME;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => return status.code() == Some(wanted),
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            Err(_) => break,
        }
    }
    // The child is ours and has not been waited for, so its id still names it. Both can only fail when it has ended.
    let _ = child.kill();
    let _ = child.wait();
    false
}

fn probe_image(architecture: Architecture) -> Vec<u8> {
    match architecture {
        Architecture::X86_64 => {
            let mut sector = vec![0; 512];
            sector[..X86_PROBE.len()].copy_from_slice(&X86_PROBE);
            sector[510..].copy_from_slice(&[0x55, 0xaa]);
            sector
        }
        Architecture::Aarch64 => AARCH64_PROBE.iter().flat_map(|word| word.to_le_bytes()).collect(),
    }
}

fn probe_command(architecture: Architecture, accelerator: Accelerator, image: &Path) -> (Command, i32) {
    let mut command = Command::new(format!("qemu-system-{architecture}"));
    command.args([
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
        "-m",
        "64",
        "-accel",
        accelerator.option(),
    ]);
    command.args([
        "-cpu",
        if accelerator == Accelerator::Kvm {
            "host"
        } else {
            "max"
        },
    ]);
    match architecture {
        Architecture::X86_64 => {
            command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-drive"]);
            command.arg(format!("file={},format=raw,if=ide,snapshot=on", image.display()));
            (command, X86_PROBE_STATUS)
        }
        Architecture::Aarch64 => {
            command.args(["-machine", "virt", "-kernel"]).arg(image);
            (command, AARCH64_PROBE_STATUS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_guests_end_as_programmed_where_instructions_are_executed_at_all() {
        for architecture in Architecture::ALL {
            assert!(probe_guest_runs(architecture, Accelerator::Tcg), "{architecture}");
        }
    }
}
