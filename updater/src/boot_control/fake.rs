//! A boot loader as tests see it: what it was told lies in memory, and on the simulated disk.

use outcrop_release::{
    loader::{LOADER_CONF_BYTES, default_slot, loader_conf},
    slot::Slot,
};

use super::{BootControl, ControlError};
use crate::disk::{Area, Disk};

/// The firmware's memory, which a power cut leaves as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FakeBootControl {
    /// What is started next, and then no more.
    pub(crate) one_shot: Option<Slot>,
    /// Variables can't be set.
    pub(crate) refuses: bool,
}

impl BootControl for FakeBootControl {
    fn probe(&mut self) -> Result<(), ControlError> {
        if self.refuses {
            return Err(ControlError::Forgotten("fake"));
        }
        Ok(())
    }

    fn armed(&self) -> Result<Option<Slot>, ControlError> {
        Ok(self.one_shot)
    }

    fn arm(&mut self, slot: Slot) -> Result<(), ControlError> {
        self.probe()?;
        self.one_shot = Some(slot);
        Ok(())
    }

    fn disarm(&mut self) -> Result<(), ControlError> {
        self.one_shot = None;
        Ok(())
    }

    fn default_slot(&self, disk: &impl Disk) -> Result<Option<Slot>, ControlError> {
        let mut sector = [0; LOADER_CONF_BYTES];
        disk.read_medium(Area::LoaderConfig, 0, &mut sector)?;
        Ok(default_slot(&sector))
    }

    fn set_default(&mut self, disk: &mut impl Disk, slot: Slot) -> Result<(), ControlError> {
        disk.write(Area::LoaderConfig, 0, &loader_conf(slot))?;
        disk.flush(Area::LoaderConfig)?;
        Ok(())
    }
}
