//! `outcrop-updater attest`

use std::path::Path;

use serde::Serialize;

use super::{CommandError, say};
use crate::attest::{Attestation, Difference};

/// What `attest --json` prints.
#[derive(Serialize)]
struct Full<'a> {
    fingerprint: String,
    #[serde(flatten)]
    attestation: &'a Attestation,
}

/// Tells what runs; whether nothing differs.
///
/// # Errors
/// See [`CommandError`].
pub fn attest(root: &Path, json: bool) -> Result<bool, CommandError> {
    let attestation = Attestation::of(root)?;
    if json {
        let full = Full {
            fingerprint: attestation.fingerprint().to_string(),
            attestation: &attestation,
        };
        // Texts and lists of them: nothing here can fail to be JSON.
        say(&serde_json::to_string_pretty(&full).unwrap_or_default());
    } else {
        say(text(&attestation).trim_end());
    }
    Ok(attestation.differences.is_empty())
}

fn text(attestation: &Attestation) -> String {
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let lines = [
        ("fingerprint", attestation.fingerprint().to_string()),
        ("release", attestation.release.clone()),
        ("root hash", attestation.root_hash.clone()),
        ("boot payload", known(&attestation.boot_payload)),
        ("configuration", known(&attestation.configuration)),
        ("command line", attestation.command_line.clone()),
    ];
    let mut text: String = lines
        .iter()
        .map(|(name, value)| format!("{name:<14}{value}\n"))
        .collect();
    for Difference { path, what, .. } in &attestation.differences {
        text += &format!("difference    {path} {}\n", what.describe());
    }
    if attestation.differences.is_empty() {
        text += "difference    none\n";
    }
    for path in &attestation.not_looked_into {
        text += &format!("not looked at {path}\n");
    }
    text
}
