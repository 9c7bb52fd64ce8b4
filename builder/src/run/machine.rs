//! A virtual machine as QEMU's command line: pure, no process.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    str::FromStr,
};

use outcrop_release::arch::Architecture;

use super::{
    accel::Accelerator,
    board_files::BoardFiles,
    firmware::{Firmware, FirmwareKind},
};

/// A machine to start.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What processor it has.
    pub architecture: Architecture,
    /// How it is executed.
    pub accelerator: Accelerator,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Processors.
    pub cpus: u32,
    /// The board, and what it starts first.
    pub platform: Platform,
    /// Disks, in the order in which the guest finds them.
    pub disks: Vec<DiskDrive>,
    /// Index of the disk that the firmware tries first; the ones behind it follow.
    pub first_boot: usize,
    /// Ports of the loopback interface that lead into the guest.
    pub ports: Vec<PortForward>,
}

/// A board, and what it starts first.
#[derive(Debug, Clone)]
pub enum Platform {
    /// A machine with UEFI.
    Uefi {
        /// What the firmware checks.
        kind: FirmwareKind,
        /// The firmware's code.
        code: PathBuf,
        /// The machine's own copy of the firmware's variables; written by the guest.
        variables: PathBuf,
    },
    /// A Raspberry Pi 3 Model B. Its firmware isn't emulated: QEMU does what that does, with files of the image's partition 1.
    RaspberryPi {
        /// U-Boot.
        u_boot: PathBuf,
        /// The board's device tree.
        device_tree: PathBuf,
        /// What the firmware would take from `cmdline.txt`.
        arguments: String,
    },
}

/// What a kernel must be told on QEMU's Raspberry Pi: its other processors hang when they are started, and its watchdog resets the machine
/// when it is started. Seen with QEMU 7.2 and Linux 6.12.
const RASPBERRY_PI_ARGUMENTS: &str = "maxcpus=1 systemd.watchdog_sec=off";

/// A disk of the machine.
#[derive(Debug, Clone)]
pub struct DiskDrive {
    /// What is behind it.
    pub backend: DiskBackend,
}

/// Where a disk's bytes come from and go to.
#[derive(Debug, Clone)]
pub enum DiskBackend {
    /// A raw image that the guest writes to.
    Raw(PathBuf),
    /// A qcow2 overlay that the guest writes to: see [`super::overlay`].
    Qcow2(PathBuf),
    /// A raw image of which one 512-byte sector can't be read.
    RawWithBadSector(PathBuf, u64),
}

/// A TCP port of the host's loopback interface, forwarded to one of the guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortForward {
    /// On 127.0.0.1.
    pub host: u16,
    /// In the guest.
    pub guest: u16,
}

/// A text that names no forwarded port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} isn't HOST:GUEST, two port numbers from 1 to 65535, as in 2222:22")]
pub struct BadPort(pub String);

impl FromStr for PortForward {
    type Err = BadPort;

    fn from_str(text: &str) -> Result<Self, BadPort> {
        let bad = || BadPort(text.to_owned());
        let port = |digits: &str| digits.parse().ok().filter(|port| *port != 0).ok_or_else(bad);
        let (host, guest) = text.split_once(':').ok_or_else(bad)?;
        Ok(Self {
            host: port(host)?,
            guest: port(guest)?,
        })
    }
}

impl Machine {
    /// A machine with one disk and the defaults of `outcrop run`: 1 GiB, two processors.
    #[must_use]
    pub fn new(architecture: Architecture, firmware: &Firmware, variables: &Path, disk: DiskBackend) -> Self {
        let platform = Platform::Uefi {
            kind: firmware.kind,
            code: firmware.code.clone(),
            variables: variables.to_owned(),
        };
        Self::on(platform, architecture, disk)
    }

    /// A Raspberry Pi with a card. The card's length must be a power of two.
    #[must_use]
    pub fn raspberry_pi(files: &BoardFiles, card: DiskBackend) -> Self {
        let platform = Platform::RaspberryPi {
            u_boot: files.u_boot.clone(),
            device_tree: files.device_tree.clone(),
            arguments: RASPBERRY_PI_ARGUMENTS.to_owned(),
        };
        Self::on(platform, Architecture::Aarch64, card)
    }

    fn on(platform: Platform, architecture: Architecture, disk: DiskBackend) -> Self {
        Self {
            architecture,
            accelerator: Accelerator::Tcg,
            memory_mib: 1024,
            cpus: 2,
            platform,
            disks: vec![DiskDrive { backend: disk }],
            first_boot: 0,
            ports: Vec::new(),
        }
    }

    /// QEMU's program for the architecture.
    #[must_use]
    pub fn program(&self) -> String {
        format!("qemu-system-{}", self.architecture)
    }

    /// Debian's package that holds [`Machine::program`].
    #[must_use]
    pub const fn package(architecture: Architecture) -> &'static str {
        match architecture {
            Architecture::X86_64 => "qemu-system-x86",
            Architecture::Aarch64 => "qemu-system-arm",
        }
    }

    /// QEMU's arguments, all but those for consoles and monitors.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let mut list = Arguments(vec!["-nodefaults".into(), "-no-user-config".into()]);
        match &self.platform {
            Platform::Uefi {
                kind,
                code,
                variables,
            } => self.uefi_machine(&mut list, *kind, code, variables),
            Platform::RaspberryPi {
                u_boot,
                device_tree,
                arguments,
            } => {
                list.pair("-machine", "raspi3b");
                // Its emulation is slower with a thread for each processor: seven seconds to U-Boot's script, or twenty.
                list.pair("-accel", "tcg,thread=single");
                list.pair("-kernel", u_boot);
                list.pair("-dtb", device_tree);
                list.pair("-append", arguments);
                for disk in &self.disks {
                    list.pair("-drive", disk.backend.card());
                }
                list.pair("-netdev", self.network());
                list.pair("-device", "usb-net,netdev=net0");
                // The console is the second serial line.
                list.pair("-serial", "null");
            }
        }
        list.0
    }

    fn uefi_machine(&self, list: &mut Arguments, kind: FirmwareKind, code: &Path, variables: &Path) {
        match kind {
            FirmwareKind::Open => list.pair("-machine", self.board()),
            // Only code in system management mode may write to the flash with the variables. Source: edk2, OvmfPkg/README.
            FirmwareKind::SecureBoot => {
                list.pair("-machine", format!("{},smm=on", self.board()));
                list.pair("-global", "driver=cfi.pflash01,property=secure,value=on");
                list.pair("-global", "ICH9-LPC.disable_s3=1");
            }
        }
        list.pair("-accel", self.accelerator.option());
        list.pair("-cpu", self.cpu());
        list.pair("-m", self.memory_mib.to_string());
        list.pair("-smp", self.cpus.to_string());
        list.pair("-drive", pflash(code, "readonly=on"));
        list.pair("-drive", pflash(variables, "readonly=off"));
        for (index, disk) in self.disks.iter().enumerate() {
            list.pair("-blockdev", disk.backend.blockdev(&format!("disk{index}")));
            let turn = (index + self.disks.len() - self.first_boot) % self.disks.len();
            list.pair(
                "-device",
                format!("virtio-blk-pci,drive=disk{index},bootindex={turn}"),
            );
        }
        list.pair("-netdev", self.network());
        list.pair("-device", "virtio-net-pci,netdev=net0,romfile=");
        list.pair("-device", "virtio-rng-pci");
    }

    const fn board(&self) -> &'static str {
        match self.architecture {
            Architecture::X86_64 => "q35",
            Architecture::Aarch64 => "virt",
        }
    }

    /// Under TCG, QEMU 7.2 emulates `cmpxchg16b` wrongly and guests die in the kernel's allocator, so the guest isn't
    /// told of it; and pointer authentication by the architected algorithm costs most of an Arm guest's time.
    const fn cpu(&self) -> &'static str {
        match (self.accelerator, self.architecture) {
            (Accelerator::Kvm, _) => "host",
            (Accelerator::Tcg, Architecture::X86_64) => "max,-cx16",
            (Accelerator::Tcg, Architecture::Aarch64) => "max,pauth-impdef=on",
        }
    }

    fn network(&self) -> String {
        let forward = |port: &PortForward| format!(",hostfwd=tcp:127.0.0.1:{}-:{}", port.host, port.guest);
        format!(
            "user,id=net0{}",
            self.ports.iter().map(forward).collect::<String>()
        )
    }
}

impl DiskBackend {
    /// The backend as a card: `-blockdev` can't be one.
    fn card(&self) -> String {
        let (format, path) = match self {
            Self::Raw(path) | Self::RawWithBadSector(path, _) => ("raw", path),
            Self::Qcow2(path) => ("qcow2", path),
        };
        format!("if=sd,format={format},file={}", doubled_commas(path))
    }

    /// The backend as JSON for `-blockdev`. Source: QEMU, `qapi/block-core.json`, `BlockdevOptions`.
    fn blockdev(&self, name: &str) -> String {
        let file = |path: &PathBuf| serde_json::json!({ "driver": "file", "filename": path });
        let raw = |path: &PathBuf| serde_json::json!({ "driver": "raw", "file": file(path) });
        let mut node = match self {
            Self::Raw(path) => raw(path),
            Self::Qcow2(path) => serde_json::json!({ "driver": "qcow2", "file": file(path) }),
            Self::RawWithBadSector(path, sector) => serde_json::json!({
                "driver": "blkdebug",
                "image": raw(path),
                "inject-error": [{ "event": "none", "iotype": "read", "errno": 5, "sector": sector }],
            }),
        };
        node["node-name"] = name.into();
        node.to_string()
    }
}

/// The option that maps a firmware file as flash.
fn pflash(path: &Path, access: &str) -> String {
    format!("if=pflash,format=raw,{access},file={}", doubled_commas(path))
}

/// A path as QEMU's option syntax wants it.
fn doubled_commas(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn pair(&mut self, option: &str, value: impl Into<OsString>) {
        self.0.push(option.into());
        self.0.push(value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(architecture: Architecture) -> Machine {
        let firmware = Firmware {
            kind: FirmwareKind::Open,
            code: "/code".into(),
            variables: "/template".into(),
        };
        Machine::new(
            architecture,
            &firmware,
            Path::new("/vars,1"),
            DiskBackend::Raw("/disk \"0\"".into()),
        )
    }

    fn text(machine: &Machine) -> String {
        machine
            .arguments()
            .iter()
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn software_emulation_hides_the_instruction_that_old_qemu_gets_wrong() {
        assert!(text(&machine(Architecture::X86_64)).contains("-cpu max,-cx16"));
        let hardware = Machine {
            accelerator: Accelerator::Kvm,
            ..machine(Architecture::X86_64)
        };
        assert!(text(&hardware).contains("-accel kvm -cpu host"));
    }

    #[test]
    fn with_secure_boot_the_guest_s_kernel_can_t_write_to_the_firmware_s_variables() {
        let mut machine = machine(Architecture::X86_64);
        assert!(!text(&machine).contains("smm=on"));
        if let Platform::Uefi { kind, .. } = &mut machine.platform {
            *kind = FirmwareKind::SecureBoot;
        }
        let text = text(&machine);
        assert!(
            text.contains("-machine q35,smm=on") && text.contains("property=secure,value=on"),
            "{text}"
        );
    }

    #[test]
    fn commas_and_quotes_in_paths_stay_in_the_path() {
        let text = text(&machine(Architecture::Aarch64));
        assert!(
            text.contains("file=/vars,,1") && text.contains(r#""filename":"/disk \"0\"""#),
            "{text}"
        );
    }

    #[test]
    fn a_raspberry_pi_starts_u_boot_with_its_device_tree_from_a_card() {
        let files = BoardFiles {
            u_boot: "/u-boot.bin".into(),
            device_tree: "/board.dtb".into(),
        };
        let text = text(&Machine::raspberry_pi(
            &files,
            DiskBackend::Qcow2("/card,1".into()),
        ));
        assert!(text.contains("-machine raspi3b") && text.contains("-kernel /u-boot.bin -dtb /board.dtb"));
        assert!(text.contains("if=sd,format=qcow2,file=/card,,1"), "{text}");
    }

    #[test]
    fn a_port_is_two_numbers_and_neither_is_zero() {
        assert_eq!(
            "2222:22".parse(),
            Ok(PortForward {
                host: 2222,
                guest: 22
            })
        );
        for text in ["22", "0:22", "2222:0", "65536:1", "a:b", "1:2:3", ""] {
            assert_eq!(text.parse::<PortForward>(), Err(BadPort(text.to_owned())));
        }
    }

    #[test]
    fn a_forwarded_port_is_open_on_the_loopback_interface_only() {
        let ports = vec![PortForward {
            host: 2222,
            guest: 22,
        }];
        let machine = Machine {
            ports,
            ..machine(Architecture::X86_64)
        };
        assert!(text(&machine).contains("user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22"));
    }
}
