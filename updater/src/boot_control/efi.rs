//! systemd-boot on UEFI.
//!
//! * Once: the variable `LoaderEntryOneShot`, which the loader deletes when it reads it.
//!   Source: systemd, "The Boot Loader Interface".
//! * By itself: `default` in `loader/loader.conf`, one sector, overwritten in place.

use outcrop_release::{
    loader::{Enroll, LOADER_CONF_BYTES, LoaderConf},
    slot::Slot,
};

use super::{BootControl, ControlError};
use crate::{
    disk::{Area, Disk},
    init::efi::{LOADER_VENDOR, VariableStore, text_of, text_value},
};

const ONE_SHOT: &str = "LoaderEntryOneShot";
/// What the loader prefers to its configuration. Nobody on the device sets it; a person with `bootctl` may have.
const OVERRIDE: &str = "LoaderEntryDefault";

/// systemd-boot, told through `variables`.
#[derive(Debug)]
pub struct EfiBootControl<V> {
    variables: V,
}

impl<V: VariableStore> EfiBootControl<V> {
    /// Controls the boot loader of this machine.
    pub const fn new(variables: V) -> Self {
        Self { variables }
    }

    fn one_shot(&self) -> Result<Option<String>, ControlError> {
        let value = self
            .variables
            .read(LOADER_VENDOR, ONE_SHOT)
            .map_err(failed("read"))?;
        Ok(value.map(|bytes| text_of(&bytes)))
    }

    /// Sets the variable and reads it back.
    fn set(&mut self, entry: &str) -> Result<(), ControlError> {
        self.variables
            .write(LOADER_VENDOR, ONE_SHOT, &text_value(entry))
            .map_err(failed("set"))?;
        if self.one_shot()?.as_deref() == Some(entry) {
            Ok(())
        } else {
            Err(ControlError::Forgotten(ONE_SHOT))
        }
    }
}

fn failed(doing: &'static str) -> impl FnOnce(std::io::Error) -> ControlError {
    move |source| ControlError::Variable {
        doing,
        name: ONE_SHOT,
        source,
    }
}

impl<V: VariableStore> BootControl for EfiBootControl<V> {
    fn probe(&mut self) -> Result<(), ControlError> {
        let before = self.one_shot()?;
        // An entry that isn't there: were the power to go now, the loader would pass it over and start the default.
        self.set("outcrop-probe.efi")?;
        match before {
            Some(entry) => self.set(&entry),
            None => self.disarm(),
        }
    }

    fn armed(&self) -> Result<Option<Slot>, ControlError> {
        let entry = self.one_shot()?;
        let is_entry = |slot: &Slot| {
            entry
                .as_ref()
                .is_some_and(|entry| entry.eq_ignore_ascii_case(slot.uki_file_name()))
        };
        Ok(Slot::ALL.into_iter().find(is_entry))
    }

    fn arm(&mut self, slot: Slot) -> Result<(), ControlError> {
        self.set(slot.uki_file_name())
    }

    fn disarm(&mut self) -> Result<(), ControlError> {
        self.variables
            .delete(LOADER_VENDOR, ONE_SHOT)
            .map_err(failed("delete"))?;
        match self.one_shot()? {
            None => Ok(()),
            Some(_) => Err(ControlError::Forgotten(ONE_SHOT)),
        }
    }

    fn default_slot(&self, disk: &impl Disk) -> Result<Option<Slot>, ControlError> {
        let overridden = self
            .variables
            .read(LOADER_VENDOR, OVERRIDE)
            .map_err(failed("read"))?;
        if overridden.is_some() {
            return Ok(None);
        }
        configured_slot(disk)
    }

    fn set_default(&mut self, disk: &mut impl Disk, slot: Slot) -> Result<(), ControlError> {
        self.variables
            .delete(LOADER_VENDOR, OVERRIDE)
            .map_err(failed("delete"))?;
        configure_slot(disk, slot)
    }
}

/// The slot that `loader.conf` names; none when it isn't one of Outcrop's.
pub(crate) fn configured_slot(disk: &impl Disk) -> Result<Option<Slot>, ControlError> {
    Ok(configuration(disk)?.map(|conf| conf.default))
}

/// What `loader.conf` says; none when it isn't one of Outcrop's.
fn configuration(disk: &impl Disk) -> Result<Option<LoaderConf>, ControlError> {
    let mut sector = [0; LOADER_CONF_BYTES];
    disk.read_medium(Area::LoaderConfig, 0, &mut sector)?;
    Ok(LoaderConf::parse(&sector))
}

/// Has `loader.conf` name `slot`, unless it does so already, or the disk has none: then the loader reads the boot record itself.
pub(crate) fn ensure_configured(disk: &mut impl Disk, slot: Slot) -> Result<(), ControlError> {
    if disk.bytes(Area::LoaderConfig) == 0 || configured_slot(disk)? == Some(slot) {
        return Ok(());
    }
    configure_slot(disk, slot)
}

/// Has `loader.conf` name `slot`: one sector's write, flushed and read back. What the image says about the owner's keys stays; a file that
/// isn't one of Outcrop's becomes one that enrols none.
pub(crate) fn configure_slot(disk: &mut impl Disk, slot: Slot) -> Result<(), ControlError> {
    let enroll = configuration(disk)?.map_or(Enroll::Off, |conf| conf.enroll);
    let conf = LoaderConf {
        default: slot,
        enroll,
    };
    disk.write(Area::LoaderConfig, 0, &conf.to_bytes())?;
    disk.flush(Area::LoaderConfig)?;
    if configured_slot(disk)? == Some(slot) {
        Ok(())
    } else {
        Err(ControlError::Medium)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io};

    use super::*;
    use crate::{
        init::efi::Variables,
        testing::{bundle::Release, sim::SimDisk},
    };

    #[derive(Default)]
    struct Firmware {
        variables: BTreeMap<String, Vec<u8>>,
        read_only: bool,
        forgets: bool,
    }

    impl Variables for Firmware {
        fn read(&self, _: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
            Ok(self.variables.get(name).cloned())
        }
    }

    impl VariableStore for Firmware {
        fn write(&mut self, _: &str, name: &str, value: &[u8]) -> io::Result<()> {
            if self.read_only {
                return Err(io::ErrorKind::ReadOnlyFilesystem.into());
            }
            if !self.forgets {
                self.variables.insert(name.to_owned(), value.to_vec());
            }
            Ok(())
        }

        fn delete(&mut self, _: &str, name: &str) -> io::Result<()> {
            self.variables.remove(name);
            Ok(())
        }
    }

    /// A disk whose `loader.conf` is `sector`.
    fn configured(sector: &[u8]) -> SimDisk {
        let mut disk = SimDisk::flashed(&Release::new(1));
        disk.write(Area::LoaderConfig, 0, sector).unwrap();
        disk.flush(Area::LoaderConfig).unwrap();
        disk
    }

    #[test]
    fn another_default_leaves_what_the_image_says_about_keys() {
        for enroll in Enroll::ALL {
            let conf = |default| LoaderConf { default, enroll };
            let mut disk = configured(&conf(Slot::A).to_bytes());
            configure_slot(&mut disk, Slot::B).unwrap();
            assert_eq!(configuration(&disk).unwrap(), Some(conf(Slot::B)));
        }
        let mut disk = configured(&[b'x'; LOADER_CONF_BYTES]);
        configure_slot(&mut disk, Slot::A).unwrap();
        assert_eq!(configuration(&disk).unwrap(), Some(LoaderConf::plain(Slot::A)));
    }

    #[test]
    fn the_variable_names_the_slot_s_entry_in_utf_16_with_its_zero() {
        let mut control = EfiBootControl::new(Firmware::default());
        control.arm(Slot::B).unwrap();
        let expected: Vec<u8> = "outcrop-b.efi\0"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(control.variables.variables[ONE_SHOT], expected);
        assert_eq!(control.armed().unwrap(), Some(Slot::B));
        control.disarm().unwrap();
        assert_eq!(control.armed().unwrap(), None);
        control.disarm().unwrap();
    }

    #[test]
    fn a_probe_leaves_nothing_behind() {
        let mut control = EfiBootControl::new(Firmware::default());
        control.probe().unwrap();
        assert!(control.variables.variables.is_empty());
        control.arm(Slot::B).unwrap();
        control.probe().unwrap();
        assert_eq!(control.armed().unwrap(), Some(Slot::B));
    }

    #[test]
    fn firmware_that_refuses_or_forgets_variables_is_found_out() {
        let read_only = Firmware {
            read_only: true,
            ..Firmware::default()
        };
        let error = EfiBootControl::new(read_only).probe().unwrap_err();
        assert!(
            matches!(error, ControlError::Variable { doing: "set", .. }),
            "{error}"
        );
        let forgets = Firmware {
            forgets: true,
            ..Firmware::default()
        };
        let error = EfiBootControl::new(forgets).probe().unwrap_err();
        assert!(matches!(error, ControlError::Forgotten(_)), "{error}");
    }
}
