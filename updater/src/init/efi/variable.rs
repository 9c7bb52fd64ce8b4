//! EFI variables, and what they say about this boot.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use outcrop_release::{
    cmdline::{CommandLine, PARTITION_OPTION, SLOT_OPTION},
    slot::Slot,
};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use uuid::Uuid;

use super::{DevicePath, Node, device_path_of_option};

/// Vendor GUID of the variables that UEFI itself defines.
pub const GLOBAL_VENDOR: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Vendor GUID of the variables of boot loaders. Source: systemd, "The Boot Loader Interface".
pub const LOADER_VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Where EFI variables come from.
pub trait Variables {
    /// The value of `name`, without its attributes; none if there is no such variable.
    ///
    /// # Errors
    /// When it is there and can't be read.
    fn read(&self, vendor: &str, name: &str) -> io::Result<Option<Vec<u8>>>;
}

/// A place where EFI variables can be changed too.
pub trait VariableStore: Variables {
    /// Sets `name`, for boot services and for later boots.
    ///
    /// # Errors
    /// When the firmware refuses, or the variables are there to read only.
    fn write(&mut self, vendor: &str, name: &str, value: &[u8]) -> io::Result<()>;

    /// Deletes `name`; it is no error if it isn't there.
    ///
    /// # Errors
    /// When the firmware refuses.
    fn delete(&mut self, vendor: &str, name: &str) -> io::Result<()>;
}

/// The kernel's file system of variables.
#[derive(Debug)]
pub struct EfiVariables(PathBuf);

impl EfiVariables {
    /// Variables at `mount_point`, usually `/sys/firmware/efi/efivars`.
    pub fn new(mount_point: impl Into<PathBuf>) -> Self {
        Self(mount_point.into())
    }
}

impl Variables for EfiVariables {
    fn read(&self, vendor: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.0.join(format!("{name}-{vendor}"))) {
            Ok(bytes) => Ok(bytes.get(4..).map(<[u8]>::to_vec)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Kept over boots, and seen by boot loaders and by the system. Source: UEFI specification 2.10, section 8.2.
const NON_VOLATILE_BOOT_AND_RUN_TIME: [u8; 4] = [7, 0, 0, 0];

impl VariableStore for EfiVariables {
    fn write(&mut self, vendor: &str, name: &str, value: &[u8]) -> io::Result<()> {
        let path = self.0.join(format!("{name}-{vendor}"));
        allow_changes(&path)?;
        // The firmware takes a variable as one write.
        let bytes = [NON_VOLATILE_BOOT_AND_RUN_TIME.as_slice(), value].concat();
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        let written = file.write(&bytes)?;
        if written == bytes.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    fn delete(&mut self, vendor: &str, name: &str) -> io::Result<()> {
        let path = self.0.join(format!("{name}-{vendor}"));
        allow_changes(&path)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The kernel guards most variables against an accidental `rm`. Source: Linux, `Documentation/filesystems/efivarfs.rst`.
fn allow_changes(variable: &Path) -> io::Result<()> {
    let file = match File::open(variable) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let flags = ioctl_getflags(&file)?;
    if flags.contains(IFlags::IMMUTABLE) {
        ioctl_setflags(&file, flags - IFlags::IMMUTABLE)?;
    }
    Ok(())
}

/// A text as boot loaders write it into a variable: UTF-16 with a zero at its end.
#[must_use]
pub fn text_value(text: &str) -> Vec<u8> {
    text.encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect()
}

/// The text in a variable of a boot loader, up to the first zero; what is no UTF-16 becomes a replacement character.
#[must_use]
pub fn text_of(value: &[u8]) -> String {
    String::from_utf16_lossy(&units(value))
}

/// UTF-16 units up to the first zero.
fn units(value: &[u8]) -> Vec<u16> {
    let units = value
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&unit| u16::from_le_bytes(unit));
    units.take_while(|&unit| unit != 0).collect()
}

/// What the variables say about this boot. Each part may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirmwareFacts {
    /// The partition from which the boot loader was started.
    pub loader_partition: Option<Uuid>,
    /// The slot whose boot payload was started.
    pub slot: Option<Slot>,
    /// The disk that the firmware booted, from its boot manager's option.
    pub firmware_path: Option<DevicePath>,
    /// What was wrong with variables that are there and say nothing: to be reported.
    pub complaints: Vec<String>,
}

impl FirmwareFacts {
    /// What U-Boot's script says on the kernel command line. A broken option counts as missing and is reported.
    #[must_use]
    pub fn of_command_line(command_line: &CommandLine) -> Self {
        let mut facts = Self::default();
        match command_line.value(SLOT_OPTION).map(str::parse).transpose() {
            Ok(slot) => facts.slot = slot,
            Err(error) => facts.complaints.push(format!("{SLOT_OPTION}: {error}")),
        }
        match command_line
            .value(PARTITION_OPTION)
            .map(Uuid::try_parse)
            .transpose()
        {
            Ok(partition) => facts.loader_partition = partition,
            Err(error) => facts.complaints.push(format!("{PARTITION_OPTION}: {error}")),
        }
        facts
    }
}

/// Reads the variables that tell disk and slot. A broken one counts as missing and is reported, never believed.
#[must_use]
pub fn read_firmware_facts(variables: &dyn Variables) -> FirmwareFacts {
    let mut facts = FirmwareFacts::default();
    facts.loader_partition = text(variables, "LoaderDevicePartUUID", &mut facts).and_then(|text| {
        let parsed = Uuid::try_parse(&text);
        note(parsed, &format!("LoaderDevicePartUUID is {text:?}"), &mut facts)
    });
    facts.slot = text(variables, "StubImageIdentifier", &mut facts).and_then(|path| {
        let slot = slot_of_image(&path).ok_or("names no slot");
        note(slot, &format!("StubImageIdentifier is {path:?}"), &mut facts)
    });
    facts.firmware_path = firmware_path(variables, &mut facts);
    facts
}

/// The slot whose boot payload has the file name at the end of `path`. FAT knows no case.
fn slot_of_image(path: &str) -> Option<Slot> {
    let name = path.rsplit(['\\', '/']).next()?;
    Slot::ALL
        .into_iter()
        .find(|slot| slot.uki_file_name().eq_ignore_ascii_case(name))
}

/// The device path of the boot option that the firmware says it used, unless that is for another partition than the
/// boot loader's: then the boot manager is behind the times (a boot menu or shell was in between).
fn firmware_path(variables: &dyn Variables, facts: &mut FirmwareFacts) -> Option<DevicePath> {
    let current = bytes(variables, GLOBAL_VENDOR, "BootCurrent", facts)?;
    let number = <[u8; 2]>::try_from(current.as_slice());
    let number = u16::from_le_bytes(note(number, "BootCurrent", facts)?);
    let name = format!("Boot{number:04X}");
    let option = bytes(variables, GLOBAL_VENDOR, &name, facts)?;
    let path = note(device_path_of_option(&option), &name, facts)?;
    let partition = path.nodes().iter().find_map(|node| match node {
        Node::GptPartition(guid) => Some(*guid),
        _ => None,
    });
    match (partition, facts.loader_partition) {
        (Some(in_path), Some(loaded)) if in_path != loaded => {
            facts.complaints.push(format!(
                "{name} is for partition {in_path}, the loader came from {loaded}"
            ));
            None
        }
        _ => Some(path),
    }
}

/// The value of a variable of the boot loader that holds a text.
fn text(variables: &dyn Variables, name: &str, facts: &mut FirmwareFacts) -> Option<String> {
    let value = bytes(variables, LOADER_VENDOR, name, facts)?;
    note(String::from_utf16(&units(&value)), name, facts)
}

fn bytes(variables: &dyn Variables, vendor: &str, name: &str, facts: &mut FirmwareFacts) -> Option<Vec<u8>> {
    note(variables.read(vendor, name), name, facts)?
}

/// The value, or none and a complaint.
fn note<T, E: std::fmt::Display>(result: Result<T, E>, what: &str, facts: &mut FirmwareFacts) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            facts
                .complaints
                .push(format!("EFI variable {what}: {}", error.to_string().trim_end()));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Fake(BTreeMap<String, Vec<u8>>);

    impl Variables for Fake {
        fn read(&self, _vendor: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
            match self.0.get(name).map(Vec::as_slice) {
                Some(b"EIO") => Err(io::Error::other("Input/output error")),
                value => Ok(value.map(<[u8]>::to_vec)),
            }
        }
    }

    impl Fake {
        fn with(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
            self.0.insert(name.to_owned(), value.into());
            self
        }

        fn with_text(self, name: &str, value: &str) -> Self {
            let bytes: Vec<u8> = value
                .encode_utf16()
                .chain([0])
                .flat_map(u16::to_le_bytes)
                .collect();
            self.with(name, bytes)
        }
    }

    const GUID: Uuid = Uuid::from_u128(0x1111_2222_3333_4444_5555_6666_7777_8888);

    fn option(partition: Option<Uuid>) -> Vec<u8> {
        let mut path = vec![1, 1, 6, 0, 0, 4];
        if let Some(guid) = partition {
            path.extend([4, 1, 42, 0].into_iter().chain([0; 20]));
            path.extend(guid.to_bytes_le());
            path.extend([2, 2]);
        }
        path.extend([0x7f, 0xff, 4, 0]);
        let len = u16::try_from(path.len()).unwrap().to_le_bytes();
        [&[1, 0, 0, 0, len[0], len[1], 0, 0], path.as_slice()].concat()
    }

    #[test]
    fn loader_stub_and_firmware_tell_partition_slot_and_path() {
        let variables = Fake::default()
            .with_text("LoaderDevicePartUUID", "11112222-3333-4444-5555-666677778888")
            .with_text("StubImageIdentifier", "\\EFI\\LINUX\\OUTCROP-B.EFI")
            .with("BootCurrent", [0x0a, 0])
            .with("Boot000A", option(Some(GUID)));
        let facts = read_firmware_facts(&variables);
        assert_eq!(facts.loader_partition, Some(GUID));
        assert_eq!(facts.slot, Some(Slot::B));
        let path = facts.firmware_path.unwrap();
        assert_eq!(
            path.nodes()[0],
            Node::Pci {
                device: 4,
                function: 0
            }
        );
        assert_eq!(facts.complaints, [] as [String; 0]);
    }

    #[test]
    fn u_boot_s_options_tell_slot_and_partition_and_broken_ones_are_reported() {
        let line = "outcrop.slot=b outcrop.partition=11112222-3333-4444-5555-666677778888";
        let facts = FirmwareFacts::of_command_line(&CommandLine::parse(line));
        assert_eq!((facts.slot, facts.loader_partition), (Some(Slot::B), Some(GUID)));
        let broken = CommandLine::parse("outcrop.slot=c outcrop.partition=");
        let facts = FirmwareFacts::of_command_line(&broken);
        assert_eq!((facts.slot, facts.loader_partition), (None, None));
        assert_eq!(facts.complaints.len(), 2);
    }

    #[test]
    fn a_machine_without_variables_says_nothing_and_complains_about_nothing() {
        assert_eq!(read_firmware_facts(&Fake::default()), FirmwareFacts::default());
    }

    #[test]
    fn garbage_is_reported_and_not_believed() {
        let variables = Fake::default()
            .with_text("LoaderDevicePartUUID", "not a guid")
            .with_text("StubImageIdentifier", "\\EFI\\Linux\\other.efi")
            .with("BootCurrent", [1, 2, 3]);
        let facts = read_firmware_facts(&variables);
        assert_eq!(facts.complaints.len(), 3, "{:?}", facts.complaints);
        let complaints = std::mem::take(&mut facts.clone().complaints);
        assert!(complaints[1].contains("names no slot"));
        assert_eq!(
            FirmwareFacts {
                complaints: vec![],
                ..facts
            },
            FirmwareFacts::default()
        );
    }

    #[test]
    fn a_variable_that_cant_be_read_is_reported() {
        let facts = read_firmware_facts(&Fake::default().with("BootCurrent", *b"EIO"));
        assert_eq!(facts.complaints, ["EFI variable BootCurrent: Input/output error"]);
    }

    #[test]
    fn a_boot_option_for_another_partition_than_the_loaders_is_stale() {
        let variables = Fake::default()
            .with_text("LoaderDevicePartUUID", "11112222-3333-4444-5555-666677778888")
            .with("BootCurrent", [1, 0])
            .with("Boot0001", option(Some(Uuid::from_u128(1))));
        let facts = read_firmware_facts(&variables);
        assert_eq!(facts.firmware_path, None);
        assert_eq!(facts.complaints.len(), 1);
    }

    proptest! {
        #[test]
        fn no_bytes_in_any_variable_make_the_reader_panic(values in proptest::collection::vec(any::<Vec<u8>>(), 4)) {
            let names = ["LoaderDevicePartUUID", "StubImageIdentifier", "BootCurrent", "Boot0001"];
            let variables = names.iter().zip(values).fold(Fake::default(), |fake, (name, value)| fake.with(name, value));
            let _ = read_firmware_facts(&variables.with("BootCurrent", [1, 0]));
        }
    }
}
