//! A running machine.

use std::{
    io::ErrorKind,
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use outcrop_builder::{
    disk::read::DiskImage,
    run::{
        RunError,
        accel::Accelerator,
        board_files::BoardFiles,
        firmware::{Firmware, FirmwareKind},
        machine::{DiskDrive, Machine, Platform, PortForward},
        overlay,
    },
};
use outcrop_release::{arch::Architecture, board::Board};
use serde_json::json;
use tempfile::TempDir;

use crate::{console::Console, disk::Disk, error::Error, monitor::Monitor};

/// How long QEMU may take until its sockets are there.
const START_TIME: Duration = Duration::from_secs(30);
/// How long a press of the power button may take to show.
const BETWEEN_PRESSES: Duration = Duration::from_secs(20);
/// One more word for the kernel, which systemd's stub takes from the machine's firmware tables: programs lie at the same addresses in
/// every process. QEMU (before 8) translates code anew for each address that it is found at, and a boot has hundreds of processes: without
/// random addresses it translates a third as much.
const SAME_ADDRESSES: &str = "type=11,value=io.systemd.stub.kernel-cmdline-extra=norandmaps";
/// Name of the firmware's variables beside the disk: they live as long as the disk.
pub(crate) const VARIABLES: &str = "firmware-variables";

/// What to start.
#[derive(Debug)]
pub struct Start<'a> {
    board: Board,
    architecture: Architecture,
    disks: Vec<&'a Disk>,
    first_boot: usize,
    ports: Vec<PortForward>,
    addresses: Addresses,
    firmware: FirmwareKind,
    extra: Vec<String>,
}

/// Where a guest's kernel lays programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Addresses {
    /// Where it does by itself: at random.
    AsShipped,
    /// At the same in every process, where the machine is emulated.
    Same,
}

impl<'a> Start<'a> {
    /// A machine that boots `disk`.
    #[must_use]
    pub fn new(architecture: Architecture, disk: &'a Disk) -> Self {
        Self {
            board: Board::Efi,
            architecture,
            disks: vec![disk],
            first_boot: 0,
            ports: Vec::new(),
            addresses: Addresses::Same,
            firmware: FirmwareKind::Open,
            extra: Vec::new(),
        }
    }

    /// A Raspberry Pi with `card`, which [`Disk::grow`] has made as long as a power of two.
    #[must_use]
    pub fn raspberry_pi(card: &'a Disk) -> Self {
        Self {
            board: Board::Rpi,
            ..Self::new(Architecture::Aarch64, card)
        }
    }

    /// One more disk, behind the first in the boot order.
    #[must_use]
    pub fn and_disk(mut self, disk: &'a Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// One more disk, found behind the others, from which the firmware boots.
    #[must_use]
    pub fn and_boot_from(mut self, disk: &'a Disk) -> Self {
        self.first_boot = self.disks.len();
        self.and_disk(disk)
    }

    /// A port of the loopback interface that leads to the guest's `guest` port.
    #[must_use]
    pub fn port(mut self, host: u16, guest: u16) -> Self {
        self.ports.push(PortForward { host, guest });
        self
    }

    /// Nothing is told to the kernel that the image doesn't tell it, which takes an emulated machine longer.
    #[must_use]
    pub const fn as_shipped(mut self) -> Self {
        self.addresses = Addresses::AsShipped;
        self
    }

    /// The firmware is of this kind.
    #[must_use]
    pub const fn firmware(mut self, kind: FirmwareKind) -> Self {
        self.firmware = kind;
        self
    }

    /// More arguments for QEMU.
    #[must_use]
    pub fn option(mut self, words: &[&str]) -> Self {
        self.extra.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Powers it on.
    ///
    /// # Errors
    /// When QEMU or the firmware is missing, or QEMU refuses its arguments.
    pub fn boot(self) -> Result<Guest, Error> {
        let sockets = tempfile::tempdir().map_err(Error::io("create a folder for sockets"))?;
        let mut machine = match self.board {
            Board::Efi => self.machine()?,
            Board::Rpi => self.raspberry_pi_machine(sockets.path())?,
        };
        let mut extra = self.extra;
        if (machine.accelerator, self.addresses) == (Accelerator::Tcg, Addresses::Same) {
            match &mut machine.platform {
                Platform::Uefi { .. } => extra.extend(["-smbios", SAME_ADDRESSES].map(str::to_owned)),
                Platform::RaspberryPi { arguments, .. } => *arguments = format!("{arguments} norandmaps"),
            }
        }
        let child = spawn(&machine, sockets.path(), &extra)?;
        Guest::attach(child, self.architecture, sockets)
    }

    fn raspberry_pi_machine(&self, folder: &Path) -> Result<Machine, Error> {
        let card = self.disks[0]
            .raw()
            .ok_or_else(|| Error::image("a Raspberry Pi's card is a raw copy"))?;
        let image = DiskImage::open(card).map_err(Error::image)?;
        let files = BoardFiles::take(&image, folder)?;
        let mut machine = Machine::raspberry_pi(&files, self.disks[0].backend());
        machine.ports.clone_from(&self.ports);
        Ok(machine)
    }

    fn machine(&self) -> Result<Machine, Error> {
        let firmware = Firmware::find_kind(self.architecture, self.firmware)?;
        let variables = self.disks[0].folder().join(VARIABLES);
        if !variables.exists() {
            overlay::copy_variables(&firmware, &variables)?;
        }
        let mut machine = Machine::new(self.architecture, &firmware, &variables, self.disks[0].backend());
        machine.accelerator = Accelerator::probe(self.architecture);
        machine.cpus = 1; // other machines run beside it
        machine.disks.extend(self.disks[1..].iter().map(|disk| DiskDrive {
            backend: disk.backend(),
        }));
        machine.first_boot = self.first_boot;
        machine.ports.clone_from(&self.ports);
        Ok(machine)
    }
}

fn spawn(machine: &Machine, sockets: &Path, extra: &[String]) -> Result<Child, Error> {
    let mut command = Command::new(machine.program());
    command.args(machine.arguments()).args(["-display", "none"]);
    command.arg("-serial").arg(format!(
        "unix:{},server=on,wait=on",
        sockets.join("serial").display()
    ));
    command.arg("-qmp").arg(format!(
        "unix:{},server=on,wait=off",
        sockets.join("qmp").display()
    ));
    command.args(extra).stdin(Stdio::null()).stdout(Stdio::null());
    let package = Machine::package(machine.architecture);
    command.spawn().map_err(|source| {
        RunError::Start {
            program: machine.program(),
            package,
            source,
        }
        .into()
    })
}

/// A machine that runs; dropped, it is powered off at once, as by a power cut.
#[derive(Debug)]
pub struct Guest {
    /// The serial console.
    pub console: Console,
    /// QEMU's monitor.
    pub monitor: Monitor,
    /// What processor it has.
    pub architecture: Architecture,
    child: Child,
    started: Instant,
    _sockets: TempDir,
}

impl Guest {
    fn attach(mut child: Child, architecture: Architecture, sockets: TempDir) -> Result<Self, Error> {
        let connected = connect(&mut child, sockets.path());
        match connected {
            Ok((console, monitor)) => Ok(Self {
                console,
                monitor,
                architecture,
                child,
                started: Instant::now(),
                _sockets: sockets,
            }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// Time since power-on.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Pulls the network cable.
    ///
    /// # Errors
    /// When the monitor refuses.
    pub fn unplug_network(&mut self) -> Result<(), Error> {
        let link = json!({ "name": "net0", "up": false });
        self.monitor.execute("set_link", &link).map(drop)
    }

    /// Cuts the power.
    pub fn power_cut(self) {
        drop(self);
    }

    /// Presses the power button until the machine is off: while drivers are still being loaded, nobody hears it.
    ///
    /// # Errors
    /// When it doesn't go off within `limit`.
    pub fn power_off(mut self, limit: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        loop {
            self.monitor.execute("system_powerdown", &json!({}))?;
            let left = deadline.saturating_duration_since(Instant::now());
            match self.wait_off(left.min(BETWEEN_PRESSES)) {
                Err(Error::Silent { .. }) if left > BETWEEN_PRESSES => {}
                ended => return ended,
            }
        }
    }

    /// Waits until the guest has powered itself off.
    ///
    /// # Errors
    /// When it doesn't within `limit`, or QEMU failed.
    pub fn wait_off(&mut self, limit: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.exit_status()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(RunError::Failed { status }.into())
                };
            }
            thread::sleep(Duration::from_millis(50));
        }
        let wanted = "power-off".to_owned();
        Err(Error::Silent {
            wanted,
            waited: limit,
            tail: self.console.rest(),
        })
    }

    /// Waits until the guest has reset itself (reboot, panic, watchdog).
    ///
    /// # Errors
    /// When it doesn't within `limit`.
    pub fn wait_reset(&mut self, limit: Duration) -> Result<(), Error> {
        let waited = self.monitor.wait_for("RESET", limit);
        waited.map(drop).map_err(|_| Error::Silent {
            wanted: "reset".to_owned(),
            waited: limit,
            tail: self.console.rest(),
        })
    }

    fn exit_status(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child.try_wait().map_err(Error::io("wait for QEMU"))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn connect(child: &mut Child, sockets: &Path) -> Result<(Console, Monitor), Error> {
    let deadline = Instant::now() + START_TIME;
    let (serial, qmp) = (sockets.join("serial"), sockets.join("qmp"));
    // QEMU makes the monitor's socket only after a reader of the serial console has come.
    let console = Console::on(connect_to(child, &serial, deadline)?)?;
    let monitor = Monitor::on(connect_to(child, &qmp, deadline)?)?;
    Ok((console, monitor))
}

/// Connects to a socket as soon as QEMU has made it and listens: between the two it refuses.
fn connect_to(child: &mut Child, socket: &Path, deadline: Instant) -> Result<UnixStream, Error> {
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Err(Error::io("connect to QEMU")(error));
            }
            Err(_) => {}
        }
        if let Some(status) = child.try_wait().map_err(Error::io("wait for QEMU"))? {
            return Err(RunError::Failed { status }.into());
        }
        if Instant::now() > deadline {
            return Err(Error::Monitor(format!(
                "QEMU made no socket {}",
                socket.display()
            )));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Ends a QEMU of ours. It hasn't been waited for, so its id still names it; both calls fail only when it is gone.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
