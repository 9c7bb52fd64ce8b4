//! `outcrop-updater status`

use std::path::Path;

use outcrop_release::{
    bootrec::{BootRecord, SlotState, TrialStage},
    report::Standing,
    slot::Slot,
};
use serde::Serialize;

use super::{CommandError, Opened, say};
use crate::{
    agent::{self, Memory},
    block_disk::Access,
    chain,
    device::Device,
    device_key::KeptIn,
    history::{self, History, Outcome},
    status::{Status, read_status},
};

/// Everything that is known. Its JSON form is what `status --json` prints.
#[derive(Debug, Serialize)]
struct Full {
    #[serde(flatten)]
    running: Status,
    slots: Vec<SlotStatus>,
    /// The slot that is started by itself.
    default: Option<String>,
    /// The trial, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    trial: Option<TrialStatus>,
    /// The last thing that happened to a release.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Outcome>,
    /// How the device's own key is kept; none before it is needed first, or where it is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<KeptIn>,
    /// How the agent stood the last time, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<Standing>,
    /// What is wrong with the boot record, the loader or the history.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trouble: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SlotStatus {
    slot: String,
    /// Its release's version, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// `empty`, `written`, `good` or `bad`.
    state: &'static str,
    /// Why it is bad.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    running: bool,
    default: bool,
}

#[derive(Debug, Serialize)]
struct TrialStatus {
    slot: String,
    /// `arming`, `armed` or `running`.
    stage: &'static str,
    /// How often it was started.
    tries: u8,
}

/// Prints the state of the device.
///
/// # Errors
/// See [`CommandError`].
pub fn status(root: &Path, json: bool) -> Result<(), CommandError> {
    let full = Full::read(root)?;
    if json {
        // Texts and numbers: nothing here can fail to be JSON.
        say(&serde_json::to_string_pretty(&full).unwrap_or_default());
    } else {
        say(full.to_text().trim_end());
    }
    Ok(())
}

impl Full {
    fn read(root: &Path) -> Result<Self, CommandError> {
        let device = Device::read(root)?;
        let mut full = Self {
            running: read_status(root)?,
            slots: Vec::new(),
            default: None,
            trial: None,
            last: None,
            key: None,
            // What is damaged is the agent's to tell.
            agent: Memory::load(&device.state_folder())
                .ok()
                .and_then(|memory| memory.standing),
            trouble: Vec::new(),
        };
        let history = match History::load(&device.state_folder()) {
            Ok(loaded) => {
                full.trouble.extend(loaded.set_aside.map(|path| {
                    format!(
                        "what was remembered of earlier releases is damaged, now in {}",
                        path.display()
                    )
                }));
                loaded.history
            }
            Err(error) => {
                full.trouble.push(chain::describe(&error));
                History::default()
            }
        };
        full.last.clone_from(&history.last);
        full.look_at_key(&device);
        // Whatever is wrong with the disk: which release runs is told all the same.
        let record = Opened::open(&device, Access::Read).and_then(|mut opened| {
            let lifecycle = opened.lifecycle(&device);
            let record = lifecycle.record()?;
            let told = lifecycle.is_told(&record);
            Ok((record, told))
        });
        match record {
            Ok((record, told)) => {
                full.fill(&device, &record, &history);
                match told {
                    Ok(true) => {}
                    // A trial, or one that was just committed, has its own order.
                    Ok(false) if record.trial.is_some() => {}
                    Ok(false) => full
                        .trouble
                        .push("the boot loader starts another slot than the boot record says".to_owned()),
                    Err(error) => full.trouble.push(chain::describe(&error)),
                }
            }
            Err(error) => full.trouble.push(chain::describe(&error)),
        }
        Ok(full)
    }

    fn look_at_key(&mut self, device: &Device) {
        match device.look_at_key() {
            Ok(None) => {}
            Ok(Some((kept_in, trouble))) => {
                self.key = Some(kept_in);
                self.trouble
                    .extend(trouble.map(|trouble| chain::describe(&trouble)));
            }
            Err(error) => self.trouble.push(chain::describe(&error)),
        }
    }

    fn fill(&mut self, device: &Device, record: &BootRecord, history: &History) {
        self.default = Some(record.default.to_string());
        self.trial = record.trial.map(|trial| TrialStatus {
            slot: trial.slot.to_string(),
            stage: match trial.stage {
                TrialStage::Arming => "arming",
                TrialStage::Armed => "armed",
                TrialStage::Running => "running",
            },
            tries: trial.tries,
        });
        self.slots = Slot::ALL
            .into_iter()
            .map(|slot| slot_status(device, record, history, slot))
            .collect();
    }

    fn to_text(&self) -> String {
        let mut text = self.running.to_text();
        for slot in &self.slots {
            let version = slot.version.as_deref().unwrap_or("-");
            let marks: String = [(slot.running, ", running"), (slot.default, ", default")]
                .into_iter()
                .filter_map(|(is_so, mark)| is_so.then_some(mark))
                .collect();
            let reason = slot
                .reason
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            text += &format!(
                "slot {}       {version}, {}{reason}{marks}\n",
                slot.slot, slot.state
            );
        }
        if let Some(trial) = &self.trial {
            text += &format!(
                "trial        slot {}, {}, started {} times\n",
                trial.slot, trial.stage, trial.tries
            );
        }
        if let Some(last) = &self.last {
            let reason = last
                .reason
                .as_ref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            text += &format!(
                "last         {} {} in slot {}{reason}\n",
                last.version, last.fate, last.slot
            );
        }
        if let Some(key) = self.key {
            let how = match key {
                KeptIn::File => "in a file",
                KeptIn::Tpm => "sealed with the TPM",
            };
            text += &format!("key          {how}\n");
        }
        if let Some(agent) = &self.agent {
            text += &format!("agent        {}\n", agent::describe(agent));
        }
        for trouble in &self.trouble {
            text += &format!("trouble      {trouble}\n");
        }
        text
    }
}

fn slot_status(device: &Device, record: &BootRecord, history: &History, slot: Slot) -> SlotStatus {
    let state = record.slot(slot).state;
    let version = if slot == device.slot() {
        Some(device.release.release.version.to_string())
    } else {
        let known = history.release(slot, &record.slot(slot).release);
        known.map(|known| known.version.clone())
    };
    SlotStatus {
        slot: slot.to_string(),
        version: version.filter(|_| state != SlotState::Empty),
        state: match state {
            SlotState::Empty => "empty",
            SlotState::Written => "written",
            SlotState::Good => "good",
            SlotState::Bad(_) => "bad",
        },
        reason: match state {
            SlotState::Bad(reason) => Some(history::describe(reason)),
            _ => None,
        },
        running: slot == device.slot(),
        default: slot == record.default,
    }
}
