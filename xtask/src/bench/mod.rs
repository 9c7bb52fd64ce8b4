//! Benches: each compares with real peers, prints ratios, and writes JSON.

pub(crate) mod boot;
pub(crate) mod build;
pub(crate) mod delta;
pub(crate) mod flash;
pub(crate) mod fleet;
pub(crate) mod kubernetes;
mod limited_disk;
pub(crate) mod measure;
pub(crate) mod peers;
pub(crate) mod update;

use std::{fs, path::PathBuf};

use serde::Serialize;

use crate::{error::Error, project};

/// Writes a bench's figures to `target/bench/NAME.json`.
fn save(name: &str, figures: &impl Serialize) -> Result<PathBuf, Error> {
    let folder = project::target().join("bench");
    let path = folder.join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(figures).map_err(|error| Error::Unexpected(error.to_string()))?;
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&path, text + "\n"))
        .map_err(|source| Error::File {
            doing: "write figures",
            path: path.clone(),
            source,
        })?;
    Ok(path)
}
