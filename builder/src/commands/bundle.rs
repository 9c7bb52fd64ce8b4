//! `outcrop bundle`: what a bundle is, whether it is whole and trusted, signatures for it, and what installing it costs.

use std::path::PathBuf;

use outcrop_release::{manifest::Manifest, plan::Link};
use serde_json::json;

use super::{Context, build::read_keys};
use crate::{
    bundle::{Bundle, Installed, OtherSlot, add_signatures},
    error::Error,
    keys::{KeySource, read_trust},
};

/// `outcrop bundle inspect`'s arguments.
#[derive(Debug, Clone)]
pub struct Inspect {
    /// The bundle.
    pub bundle: PathBuf,
    /// For a program.
    pub json: bool,
}

/// Tells what the bundle says of itself.
///
/// # Errors
/// When it is none.
pub fn inspect(options: &Inspect, context: &Context) -> Result<(), Error> {
    let bundle = Bundle::open(&options.bundle)?;
    if options.json {
        let text = serde_json::to_string_pretty(&facts(&bundle)).unwrap_or_default();
        return context.print(text + "\n");
    }
    context.print(describe(&bundle))
}

fn facts(bundle: &Bundle) -> serde_json::Value {
    // The manifest was read already: it is JSON.
    let manifest: serde_json::Value = serde_json::from_slice(bundle.manifest_bytes()).unwrap_or_default();
    let signers: Vec<String> = bundle
        .signatures()
        .iter()
        .map(|one| one.key.to_string())
        .collect();
    json!({
        "bytes": bundle.bytes(),
        "manifest": manifest,
        "signatures": { "keys": signers, "foreign": bundle.signatures().foreign() },
    })
}

fn describe(bundle: &Bundle) -> String {
    let manifest = bundle.manifest();
    let Manifest {
        release,
        rollback_index,
        health_deadline,
        layout_of,
        secure_boot,
        root,
        boot,
        members,
        ..
    } = manifest;
    let mut text = format!(
        "release         {release}\nrollback index  {}\nhealth deadline {} s\nroot            {} bytes, {} compressed, root hash \
         {}\nboot payload    {} bytes, {} compressed, root hash {}\nbundle          {} bytes\n",
        rollback_index.0,
        health_deadline.as_secs(),
        root.bytes,
        members.root.bytes,
        root.root_hash,
        boot.bytes,
        members.boot.bytes,
        boot.root_hash,
        bundle.bytes(),
    );
    if let Some(before) = layout_of {
        text += &format!("laid out after  the release with root hash {before}\n");
    }
    if let Some(certificate) = secure_boot {
        text += &format!("secure boot     signed by the certificate with SHA-256 {certificate}\n");
    }
    for signature in bundle.signatures().iter() {
        text += &format!("signed by       {}\n", signature.key);
    }
    if bundle.signatures().iter().next().is_none() {
        text += "signed by       nobody\n";
    }
    text + "nothing was checked: `outcrop bundle verify` does that\n"
}

/// `outcrop bundle verify`'s arguments.
#[derive(Debug, Clone)]
pub struct Verify {
    /// The bundle.
    pub bundle: PathBuf,
    /// The trust file.
    pub trust: PathBuf,
}

/// Checks who signed the bundle, then every byte of it, then the boot payload's signature for Secure Boot if it has one.
///
/// # Errors
/// When it isn't trusted, or anything of it is damaged.
pub fn verify(options: &Verify, context: &Context) -> Result<(), Error> {
    let trust = read_trust(&options.trust)?;
    let bundle = Bundle::open(&options.bundle)?;
    let verified = bundle.verify(&trust)?;
    let checked = bundle.check(context.progress.as_ref())?;
    let secure_boot = checked.secure_boot.map_or_else(String::new, |certificate| {
        format!(
            "secure boot: the boot payload's signature holds, of the certificate with SHA-256 {certificate}\n"
        )
    });
    context.summarize(format_args!(
        "{} is whole: {} blocks in {} frames\nsigned by {} ({} of {} needed)\n{secure_boot}",
        verified.manifest().release,
        checked.blocks,
        checked.frames,
        verified.signers().join(", "),
        verified.signers().len(),
        trust.release().threshold(),
    ))
}

/// `outcrop bundle sign`'s arguments.
#[derive(Debug, Clone)]
pub struct Sign {
    /// The bundle.
    pub bundle: PathBuf,
    /// Whose signatures are added.
    pub keys: Vec<KeySource>,
}

/// Adds signatures. Who signs answers for the release: the bundle is checked whole before.
///
/// # Errors
/// When the bundle is damaged, a key can't be read or has signed already, or the bundle can't be written.
pub fn sign(options: &Sign, context: &Context) -> Result<(), Error> {
    let bundle = Bundle::open(&options.bundle)?;
    bundle.check(context.progress.as_ref())?;
    let keys = read_keys(&options.keys, context)?;
    if keys.is_empty() {
        return Ok(());
    }
    add_signatures(&bundle, &keys)?;
    let signatures = Bundle::open(&options.bundle)?;
    context.summarize(format_args!(
        "{}: {} signatures now\n",
        options.bundle.display(),
        signatures.signatures().iter().count()
    ))
}

/// `outcrop bundle cost`'s arguments.
#[derive(Debug, Clone)]
pub struct Cost {
    /// What the device runs: a bundle or an image.
    pub from: PathBuf,
    /// The bundle.
    pub bundle: PathBuf,
    /// What the device's other slot holds.
    pub other: OtherSlot,
    /// Memory that the device has for packing a kernel, in bytes.
    pub memory: u64,
    /// What the time is told for.
    pub link: Link,
    /// For a program.
    pub json: bool,
}

/// Tells what a device would be told by `outcrop-updater install --dry-run`. Nobody's signature is looked at.
///
/// # Errors
/// When a file can't be read, or isn't what its manifest says.
pub fn cost(options: &Cost, context: &Context) -> Result<(), Error> {
    let old = Installed::read(&options.from)?;
    let bundle = Bundle::open(&options.bundle)?;
    let cost = crate::bundle::cost(&bundle, &old, options.other, options.memory)?;
    if options.json {
        let text = serde_json::to_string_pretty(&cost.to_json(&options.link)).unwrap_or_default();
        return context.print(text + "\n");
    }
    let release = &bundle.manifest().release;
    context.print(format!("{release}: {}\n", cost.describe(&options.link)))
}
