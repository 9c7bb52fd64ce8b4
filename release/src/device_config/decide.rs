//! What a device does with the `device.toml` that it finds, given the one it keeps.

use std::ops::Range;

use super::{
    DeviceConfig, Import,
    problem::{ConfigProblems, Problem},
    read::{Document, text_of},
    secret,
};

/// What lies on partition 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No such file.
    Missing,
    /// The file's bytes.
    File(Vec<u8>),
}

/// What is done. Nothing here fails: a device starts with what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is in force.
    pub config: DeviceConfig,
    /// Text to keep from now on; none when the kept one stays.
    pub keep: Option<String>,
    /// Bytes of the file on partition 1 to overwrite with asterisks, once the text is kept. In the file's order.
    pub blank: Vec<Range<usize>>,
    /// What is wrong with the file on partition 1.
    pub problems: Option<ConfigProblems>,
    /// What of the kept text this release doesn't know.
    pub unknown: Vec<Problem>,
}

/// Decides. `kept` is the text that was kept last.
#[must_use]
pub fn decide(found: &Found, kept: Option<&str>, import: Import) -> Decision {
    let (in_force, unknown) = kept.map_or_else(Default::default, |kept| match Document::read_text(kept) {
        Ok(document) => (document.config, document.unknown),
        // An older release wrote what this one refuses: it says so, and starts without.
        Err(problems) => (DeviceConfig::default(), problems.as_slice().to_vec()),
    });
    let stay = |problems| Decision {
        config: in_force.clone(),
        keep: None,
        blank: Vec::new(),
        problems,
        unknown: unknown.clone(),
    };
    let bytes = match found {
        Found::File(bytes) if import == Import::Always || kept.is_none() => bytes,
        Found::File(_) | Found::Missing => return stay(None),
    };
    match adopt(bytes, kept) {
        Ok(adopted) => {
            let blank = if adopted.config.blank_secrets {
                secret::to_blank(adopted.found)
            } else {
                Vec::new()
            };
            Decision {
                keep: (kept != Some(adopted.text.as_str())).then_some(adopted.text),
                config: adopted.config,
                blank,
                problems: None,
                unknown: Vec::new(),
            }
        }
        Err(problems) => stay(Some(problems)),
    }
}

/// A file that is taken over.
struct Adopted<'a> {
    config: DeviceConfig,
    /// As it is kept: with the secrets that the file has no longer.
    text: String,
    /// As it lies on partition 1.
    found: &'a str,
}

fn adopt<'a>(bytes: &'a [u8], kept: Option<&str>) -> Result<Adopted<'a>, ConfigProblems> {
    let found = text_of(bytes)?;
    let lost = |problems| ConfigProblems::new(problems).unwrap_or_else(|| ConfigProblems::whole(""));
    // What pads the file to its length isn't kept.
    let text = secret::fill(found, kept).map_err(lost)?;
    let config = Document::read_text(&text)?.strict()?;
    let text = format!("{}\n", text.trim_end());
    Ok(Adopted { config, text, found })
}
