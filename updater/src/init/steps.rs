//! The steps from the kernel's start to the system's PID 1.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use outcrop_release::{cmdline::CommandLine, digest::RootHash, partition::Partition, verity};
use rustix::{
    fs::Mode,
    process::umask,
    rand::{GetRandomFlags, getrandom},
    system::uname,
};

use super::{
    Never,
    console::Console,
    data::{Var, bring_up_var},
    disk::{Certainty, OutcropDisk, SysBlock},
    dm,
    efi::{EfiVariables, FirmwareFacts, read_firmware_facts},
    error::{InitError, SYSTEMD},
    hardware::{Search, SysModaliases},
    judge::Started,
    kernel_data::Kernel,
    kmod::{ALWAYS, ModuleError, ModuleFolder, Modules},
    last_end::{Traces, has_panic, was_watchdog},
    machine_id::{self, MachineId, Origin},
    mounts,
    slot::{ChosenSlot, choose_slot},
    switch_root::switch_root,
    uevent::KernelUevents,
    uptime,
    watchdog::Watchdog,
};
use crate::{
    attest::save_configured,
    boot_control::DeviceBootControl,
    chain,
    device_config::{self, PartitionFile},
    durable, facts,
    facts::BootFacts,
    gpt,
    lifecycle::Next,
};

/// Where the verified root is mounted before it becomes `/`.
const NEW_ROOT: &str = "/sysroot";
/// Where EFI variables are.
const EFI_VARIABLES: &str = "/sys/firmware/efi/efivars";
/// Outcrop's own state on the data partition.
const STATE: &str = "/var/lib/outcrop";
/// Where the kernel's persistent store is.
pub(super) const PSTORE: &str = "/sys/fs/pstore";
/// Option of the kernel command line that has systemd leave the watchdog alone; so does this program.
/// Source: systemd, kernel-command-line(7).
const WATCHDOG_OPTION: &str = "systemd.watchdog_sec";
/// The first watchdog.
const WATCHDOG: &str = "/dev/watchdog0";

/// The whole boot. Returns only when it failed.
///
/// # Errors
/// Each case of [`InitError`] that a step can't go on with.
pub fn boot(console: &mut Console) -> Result<Never, InitError> {
    umask(Mode::from_raw_mode(0o022));
    mounts::mount_kernel_file_systems()?;
    *console = Console::open();
    let begin = uptime();
    console.info("begin");
    let command_line = CommandLine::parse(&read("/proc/cmdline")?);
    let root_hash = command_line.root_hash()?;
    let (disk, firmware) = find_disk(console, &command_line)?;
    let mut started = Started {
        disk: &disk,
        slot: firmware.slot,
        control: DeviceBootControl::of(&command_line, EfiVariables::new(EFI_VARIABLES)),
    };
    let judged = started.count_panic(console)?;
    let entered = enter(console, &disk, &firmware, &root_hash);
    let (slot, mut state) = entered.inspect_err(|_| started.count_failure(console))?;
    // Also when that boot was judged already: what it left is about it only.
    let traces = state.traces(console);
    let next = match judged {
        Some(next) => next,
        None => started.judge(console, slot.slot, traces, Some(&state))?,
    };
    let id = state.machine_id(console)?;
    write("/etc/machine-id", &format!("{id}\n"))?;
    configure(console, &disk, &state)?;
    for reason in &state.degraded {
        console.fatal(&format!("degraded: {reason}"));
    }
    let end = uptime();
    let grow = state.device.is_some() && gpt::needs_growth(&disk.table, disk.disk.shape);
    let facts = BootFacts {
        slot: slot.slot,
        root_hash,
        disk: device_path(&disk.disk.name),
        data: state.device,
        init_milliseconds: (milliseconds(begin), milliseconds(end)),
    };
    leave_facts(&facts, &state.degraded, grow, next == Next::Trial)?;
    console.info(&format!("end, {} ms after the begin", milliseconds(end - begin)));
    Err(InitError::Exec(Command::new(SYSTEMD).arg0("/sbin/init").exec()))
}

/// Makes the device itself: its `device.toml` in `/etc`. Whatever is wrong with that is told, and stops nothing.
fn configure(console: &mut Console, disk: &OutcropDisk, state: &State) -> Result<(), InitError> {
    let partition = disk.device(Partition::Esp).map(device_path);
    let medium = PartitionFile::new(partition.map(PathBuf::from));
    let kept_in = state.device.is_some().then_some(Path::new(STATE));
    let report = device_config::apply(&medium, Path::new("/"), kept_in);
    for problem in &report.problems {
        console.fatal(problem);
    }
    if report.is_new {
        console.info("device.toml is taken over");
    }
    let folder = Path::new(facts::FOLDER);
    let saved = report
        .save(folder)
        .and_then(|()| save_configured(folder, &report.rendered));
    saved.map_err(|source| InitError::File {
        what: "write the state of the configuration to",
        path: folder.display().to_string(),
        source,
    })
}

/// Loads drivers, and waits for the disk that the firmware booted from.
fn find_disk(
    console: &mut Console,
    command_line: &CommandLine,
) -> Result<(OutcropDisk, FirmwareFacts), InitError> {
    let mut events = KernelUevents::open().map_err(InitError::Uevents)?;
    let folder = ModuleFolder::new(
        Path::new("/usr/lib/modules"),
        &uname().release().to_string_lossy(),
    );
    let index = Arc::new(folder.index()?);
    let mut modules = Modules::new(Arc::clone(&index), folder.clone());
    let mut warnings = Vec::new();
    // Two at a time: what every machine needs is loaded while disks come up.
    let always = thread::spawn(move || load_always(Modules::new(index, folder)));
    let mut search = Search {
        modules: &mut modules,
        events: &mut events,
        modaliases: &SysModaliases::new("/sys"),
        disks: &SysBlock::new("/sys", "/dev"),
        now: &uptime,
        warn: &mut |text| warnings.push(text.to_owned()),
    };
    search.load_drivers()?;
    let firmware = firmware_facts(console, command_line, search.modules);
    let found = search.boot_disk(&firmware);
    // A chip set's watchdog is a device that appears only once the chip set's driver is loaded. A boot doesn't fail for it.
    let late = if found.is_ok() && !Path::new(WATCHDOG).exists() {
        search.load_drivers()
    } else {
        Ok(())
    };
    warnings.iter().for_each(|text| console.warn(text));
    if let Err(error) = late {
        console.warn(&chain::describe(&error));
    }
    let (disk, certainty) = found?;
    tell_disk(console, &disk, certainty);
    always.join().map_err(|_| InitError::Thread)??;
    if command_line.value(WATCHDOG_OPTION) == Some("off") {
        console.warn("the watchdog is off: the kernel command line says so");
    } else {
        start_watchdog(console);
    }
    Ok((disk, firmware))
}

/// From here on a machine that hangs is reset.
fn start_watchdog(console: &mut Console) {
    match Watchdog::start(Path::new(WATCHDOG)) {
        Ok(Some(watchdog)) => {
            match watchdog.seconds {
                Some(limit) => console.info(&format!("watchdog started: {limit} s")),
                None => console.info("watchdog started, with its own limit"),
            }
            watchdog.calm_meanwhile();
        }
        Ok(None) => {}
        Err(error) => console.warn(&format!("start the watchdog: {error}")),
    }
}

/// Loads [`ALWAYS`].
fn load_always(mut modules: Modules<ModuleFolder>) -> Result<(), ModuleError> {
    ALWAYS.into_iter().try_for_each(|name| modules.require(name))
}

/// What firmware and boot loader say: in variables of UEFI, or, from U-Boot, on the command line.
fn firmware_facts(
    console: &mut Console,
    command_line: &CommandLine,
    modules: &mut Modules<ModuleFolder>,
) -> FirmwareFacts {
    if !Path::new("/sys/firmware/efi").is_dir() {
        let facts = FirmwareFacts::of_command_line(command_line);
        facts.complaints.iter().for_each(|text| console.warn(text));
        return facts;
    }
    if let Err(error) = modules.require("efivarfs") {
        console.warn(&chain::describe(&error));
    }
    if let Err(error) = mounts::mount_efi_variables(Path::new(EFI_VARIABLES)) {
        console.warn(&chain::describe(&error));
    }
    // Keeps the log of a panic where the next boot finds it. Not every firmware has room for it, and not every kernel the module.
    if let Err(error) = modules.require("efi-pstore") {
        console.info(&format!(
            "no log of a panic will be kept: {}",
            chain::describe(&error)
        ));
    }
    let facts = read_firmware_facts(&EfiVariables::new(EFI_VARIABLES));
    facts.complaints.iter().for_each(|text| console.warn(text));
    facts
}

fn tell_disk(console: &mut Console, disk: &OutcropDisk, certainty: Certainty) {
    let name = &disk.disk.name;
    match certainty {
        Certainty::FirmwarePath => console.info(&format!("boot disk {name}, where the firmware booted from")),
        Certainty::Only => console.info(&format!("boot disk {name}, the only one that has the loader's partition")),
        Certainty::OnlyElsewhere => console.warn(&format!(
            "boot disk {name}: the only one that has the loader's partition, but the firmware names another place"
        )),
    }
}

fn find_slot(
    console: &mut Console,
    disk: &OutcropDisk,
    firmware: &FirmwareFacts,
    root_hash: &RootHash,
) -> Result<ChosenSlot, InitError> {
    let slot = choose_slot(&SysBlock::new("/sys", "/dev"), disk, firmware.slot, root_hash)?;
    match firmware.slot {
        Some(started) if started != slot.slot => console.warn(&format!(
            "slot {}: the loader started slot {started}, which holds another release",
            slot.slot
        )),
        _ => console.info(&format!("slot {}, root hash {root_hash}", slot.slot)),
    }
    Ok(slot)
}

/// Mounts the slot's root behind dm-verity and makes it `/`.
fn enter_verified_root(slot: &ChosenSlot, root_hash: &RootHash) -> Result<(), InitError> {
    let (data, hash) = (device_path(&slot.root), device_path(&slot.verity));
    let superblock = &slot.superblock;
    let root = dm::create_verity(
        Path::new("/dev/mapper/control"),
        superblock.uuid,
        verity::dm_sectors(superblock),
        &verity::dm_table(superblock, root_hash, data, hash),
    )?;
    let new_root = Path::new(NEW_ROOT);
    mounts::mount_root(&device_path(&root), new_root)?;
    mounts::move_kernel_file_systems(new_root)?;
    Ok(switch_root(new_root)?)
}

/// The verified root as `/`, with `/etc` and `/var`.
fn enter(
    console: &mut Console,
    disk: &OutcropDisk,
    firmware: &FirmwareFacts,
    root_hash: &RootHash,
) -> Result<(ChosenSlot, State), InitError> {
    let slot = find_slot(console, disk, firmware, root_hash)?;
    enter_verified_root(&slot, root_hash)?;
    mounts::mount_etc_overlay()?;
    let state = State::bring_up(console, disk)?;
    Ok((slot, state))
}

/// Whether the last boot ended on purpose. The file that says so is taken away: it is about that boot only.
fn ended_in_order(console: &mut Console) -> bool {
    match durable::remove(&Path::new("/").join(facts::ORDERLY)) {
        Ok(was_there) => was_there,
        Err(error) => {
            console.warn(&chain::describe(&error));
            false
        }
    }
}

/// `/var`, and what is wrong with it.
pub(super) struct State {
    /// The mounted data partition, as a path.
    pub(super) device: Option<String>,
    degraded: Vec<String>,
}

impl State {
    fn bring_up(console: &mut Console, disk: &OutcropDisk) -> Result<Self, InitError> {
        let device = disk.device(Partition::Data);
        match bring_up_var(&mut Kernel, device)? {
            Var::Mounted { repaired } => {
                if let Some(text) = repaired {
                    console.warn(&format!("data partition repaired: {text}"));
                }
                let device = device.map(device_path);
                Ok(Self {
                    device,
                    degraded: vec![],
                })
            }
            Var::Degraded(reason) => {
                let degraded = vec![format!("/var is in memory: {reason}")];
                Ok(Self {
                    device: None,
                    degraded,
                })
            }
        }
    }

    /// What the last boot left behind.
    fn traces(&self, console: &mut Console) -> Traces {
        Traces {
            orderly: self.device.is_some() && ended_in_order(console),
            panic: has_panic(Path::new(PSTORE)),
            watchdog: was_watchdog(Path::new("/sys/class/watchdog")),
            blind: self.device.is_none() || !Path::new(STATE).join(machine_id::FILE_NAME).exists(),
        }
    }

    /// The machine's identity, kept on the data partition. When that can't be written, the device is degraded and has an
    /// identity for this boot only.
    fn machine_id(&mut self, console: &mut Console) -> Result<MachineId, InitError> {
        let mut random = [0; 16];
        getrandom(&mut random, GetRandomFlags::empty()).map_err(|errno| InitError::Random(errno.into()))?;
        match machine_id::load_or_make(Path::new(STATE), random) {
            Ok((id, origin)) => {
                match origin {
                    Origin::Kept => {}
                    Origin::Made if self.device.is_some() => console.info("first boot: machine-id made"),
                    Origin::Made => console.warn("machine-id is for this boot only"),
                    Origin::Replaced(aside) => {
                        console.warn(&format!("machine-id was damaged, now in {}", aside.display()));
                    }
                }
                Ok(id)
            }
            Err(error) => {
                self.degraded.push(format!(
                    "machine-id is for this boot only: {}",
                    chain::describe(&error)
                ));
                Ok(MachineId::from_random(random))
            }
        }
    }
}

fn leave_facts(facts: &BootFacts, degraded: &[String], grow: bool, trial: bool) -> Result<(), InitError> {
    let folder = Path::new(facts::FOLDER);
    write(folder.join(facts::BOOT_FILE), &facts.to_env())?;
    if !degraded.is_empty() {
        let path = folder.join(facts::DEGRADED_FILE).display().to_string();
        facts::write_degraded(folder, degraded).map_err(|source| InitError::File {
            what: "write",
            path,
            source,
        })?;
    }
    if trial {
        write(folder.join(facts::TRIAL_FILE), "")?;
    }
    if grow {
        write(folder.join(facts::GROW_FILE), "")?;
    }
    Ok(())
}

pub(super) fn device_path(name: &str) -> String {
    format!("/dev/{name}")
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn read(path: &str) -> Result<String, InitError> {
    fs::read_to_string(path).map_err(|source| InitError::File {
        what: "read",
        path: path.to_owned(),
        source,
    })
}

fn write(path: impl AsRef<Path>, text: &str) -> Result<(), InitError> {
    let path = path.as_ref();
    fs::write(path, text).map_err(|source| InitError::File {
        what: "write",
        path: path.display().to_string(),
        source,
    })
}
