//! How it went, for `status` and the console.

use std::{collections::BTreeMap, fs, io, path::Path};

use outcrop_release::device_config::{DeviceConfig, render::Rendered};
use serde::{Deserialize, Serialize};

/// Name of the file in `outcrop-init`'s folder.
const FILE: &str = "configuration.json";

/// What became of the device's configuration at this boot. Its JSON form is part of what `status --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConfigReport {
    /// Whether this boot took over another one.
    pub is_new: bool,
    /// SHA-256 of what is in force. Secrets are in it as present or absent only.
    pub digest: String,
    /// The device's name, if the configuration has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hostname: Option<String>,
    /// The channel, if the configuration has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channel: Option<String>,
    /// Its labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub labels: BTreeMap<String, String>,
    /// What is wrong; the last configuration that was right is in force.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub problems: Vec<String>,
    /// What it became in `/etc`.
    #[serde(skip)]
    pub rendered: Rendered,
}

impl ConfigReport {
    pub(super) fn tell(&mut self, config: &DeviceConfig) {
        self.digest = config.digest().to_string();
        self.hostname.clone_from(&config.hostname);
        self.channel.clone_from(&config.channel);
        self.labels.clone_from(&config.labels);
    }

    /// Leaves it in `folder` for later programs.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn save(&self, folder: &Path) -> io::Result<()> {
        // Texts and a flag: nothing here can fail to be JSON.
        fs::write(
            folder.join(FILE),
            serde_json::to_vec_pretty(self).unwrap_or_default(),
        )
    }

    /// What this boot left in `folder`; none when it left nothing that can be read.
    #[must_use]
    pub fn load(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(FILE)).ok()?).ok()
    }

    /// For people, behind the word `device`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{:<13}{}\n",
            "device",
            self.hostname.as_deref().unwrap_or("no name of its own")
        );
        if let Some(channel) = &self.channel {
            text += &format!("{:<13}{channel}\n", "channel");
        }
        if !self.labels.is_empty() {
            let labels: Vec<String> = self
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            text += &format!("{:<13}{}\n", "labels", labels.join(" "));
        }
        for problem in &self.problems {
            text += &format!("{:<13}{problem}\n", "trouble");
        }
        text
    }
}
