//! The devices that are ours: a list that the operator keeps. Without it, every device that signs its report counts.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use outcrop_release::device_id::DeviceId;

use super::FleetError;

/// The devices that are known, and what they are called.
#[derive(Debug, Clone, Default)]
pub struct Devices(Option<HashMap<DeviceId, String>>);

impl Devices {
    /// Name of the list in a folder of reports.
    pub const FILE_NAME: &str = "devices.txt";

    /// The list at `path`; nothing is known when there is none.
    ///
    /// # Errors
    /// When it can't be read, or a line is no device.
    pub fn read(path: &Path) -> Result<Self, FleetError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(FleetError::Io {
                doing: "read",
                path: path.to_owned(),
                source,
            }),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, FleetError> {
        let mut known = HashMap::new();
        for (line, text) in (1..).zip(text.lines()) {
            let words = text.split('#').next().unwrap_or_default().trim();
            if words.is_empty() {
                continue;
            }
            let (name, called) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
            let device = name.parse().map_err(|_| FleetError::Devices {
                path: PathBuf::from(path),
                line,
                text: text.to_owned(),
            })?;
            known.insert(device, called.trim().to_owned());
        }
        Ok(Self(Some(known)))
    }

    /// Whether a device is one of ours.
    #[must_use]
    pub fn knows(&self, device: &DeviceId) -> bool {
        self.0.as_ref().is_none_or(|known| known.contains_key(device))
    }

    /// Whether there is a list.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// What a device is called.
    #[must_use]
    pub fn called(&self, device: &DeviceId) -> Option<&str> {
        let called = self.0.as_ref()?.get(device)?;
        Some(called.as_str()).filter(|called| !called.is_empty())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &DeviceId> {
        self.0.iter().flat_map(HashMap::keys)
    }
}
