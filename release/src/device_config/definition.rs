//! What a release says about `device.toml`.

use serde::{Deserialize, Serialize};

use crate::definition::{self, BadDefinition};

/// When the file on partition 1 counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Import {
    /// At each boot.
    #[default]
    Always,
    /// Until one was kept; whoever reaches the card later changes nothing with it.
    Once,
}

/// The recipe's `[device]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceDefinition {
    /// When the file counts.
    pub import: Import,
}

impl DeviceDefinition {
    /// Where it lies in the root file system.
    pub const PATH: &str = "usr/lib/outcrop/device.json";

    /// Its JSON form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        definition::write(self)
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// When it is none, or a newer Outcrop's.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadDefinition> {
        definition::read(bytes)
    }
}
