//! `outcrop bundle delta`: what devices that have older releases need of a new one.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{Context, build::read_keys};
use crate::{
    bundle::Bundle,
    delta::{self, Delta},
    error::Error,
    keys::KeySource,
};

/// `outcrop bundle delta`'s arguments.
#[derive(Debug, Clone)]
pub struct Options {
    /// The new release's bundle.
    pub bundle: PathBuf,
    /// Bundles of releases that devices have.
    pub from: Vec<PathBuf>,
    /// Also one that starts from nothing.
    pub whole: bool,
    /// Who signs.
    pub keys: Vec<KeySource>,
    /// Files beside the bundle, not members of it.
    pub beside: bool,
    /// For a program.
    pub json: bool,
}

/// Makes a delta from each older release, and adds it to the bundle or writes it beside.
///
/// # Errors
/// When the releases don't belong together, are damaged, or can't be written. What was made before stays.
pub fn run(options: &Options, context: &Context) -> Result<(), Error> {
    let keys = read_keys(&options.keys, context)?;
    let folder = folder_of(&options.bundle);
    let older = options.from.iter().map(|path| Bundle::open(path).map(Some));
    let mut text = String::new();
    let mut told = Vec::new();
    for old in older.chain(options.whole.then_some(Ok(None))) {
        let old = old?;
        // Opened anew each time: the one before may have changed it.
        let new = Bundle::open(&options.bundle)?;
        let made = delta::make(old.as_ref(), &new, &keys, folder, context.progress.as_ref())?;
        let place = if options.beside {
            let (path, _) = delta::write_beside(&made, &options.bundle)?;
            path
        } else {
            delta::add_to_bundle(&made, &new)?;
            options.bundle.clone()
        };
        let _infallible = writeln!(text, "{}", describe(&made, &place));
        told.push(facts(&made, &place));
    }
    if options.json {
        let text = serde_json::to_string_pretty(&told).unwrap_or_default();
        return context.print(text + "\n");
    }
    context.summarize(text)
}

/// Releases are unpacked beside the new bundle: where there was room for it.
fn folder_of(bundle: &Path) -> &Path {
    bundle
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn from_version(delta: &Delta) -> Option<String> {
    delta.manifest.from.as_ref().map(|old| old.version.to_string())
}

fn facts(delta: &Delta, place: &Path) -> serde_json::Value {
    json!({
        "from": from_version(delta),
        "to": delta.manifest.release.version.to_string(),
        "file": place.display().to_string(),
        "bytes": delta.summary,
    })
}

fn describe(delta: &Delta, place: &Path) -> String {
    let summary = delta.summary;
    let from = from_version(delta).unwrap_or_else(|| "nothing".to_owned());
    let packed = summary.packed.map_or_else(String::new, |bytes| {
        format!("; {bytes} instead where the device packs the kernel itself")
    });
    let bare = summary.bare.map_or_else(String::new, |bytes| {
        format!("; {bytes} instead by way of the kernel without its entropy coding")
    });
    format!(
        "{}: from {from}: index {} bytes, root {}, boot payload {}{bare}{packed}\n  in {}",
        delta.manifest.release,
        summary.index,
        summary.root,
        summary.boot,
        place.display()
    )
}
