//! Installs a bundle into slot B of a disk image that runs slot A, with the code that devices run, and prints what that cost as JSON.
//! `cargo xtask bench update` measures with it.
//!
//! ```text
//! install-to-image DISK.img BUNDLE.outcrop trust.toml [no-delta | MEMORY]
//! ```
//! `no-delta` takes no delta; MEMORY is how many bytes packing a kernel may take, none without it.

use std::{error::Error, fs, path::Path, time::Instant};

use outcrop_release::{
    delta,
    plan::Link,
    slot::Slot,
    trust::{Trust, verify},
};
use outcrop_updater::{
    block_disk::{Access, BlockDisk},
    install::{FileSource, InstallError, Installation, Search, Stage, Watch, read_head, root_hash_of},
};

/// Nobody is told.
struct Unwatched;

impl Watch for Unwatched {
    fn advance(&self, _: Stage, _: u64) {}

    fn checkpoint(&self) -> Result<(), InstallError> {
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "its output is the measurement")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [disk, bundle, trust, rest @ ..] = arguments.as_slice() else {
        return Err("usage: install-to-image DISK.img BUNDLE.outcrop trust.toml [no-delta | MEMORY]".into());
    };
    let (with_delta, memory) = match rest {
        [] => (true, 0),
        [word] if word == "no-delta" => (false, 0),
        [bytes, ..] => (true, bytes.parse()?),
    };
    let begin = Instant::now();
    let trust = Trust::parse(&fs::read_to_string(trust)?)?;
    let mut source = FileSource::open(Path::new(bundle))?;
    let head = read_head(&mut source)?;
    let release = verify(&head.manifest, &head.signatures, &trust)?;
    let mut disk = BlockDisk::open(Path::new(disk), Access::Write)?;
    let mut scratch = tempfile::tempfile()?;
    let search = Search {
        bundle: &mut source,
        layout: head.layout(&release.manifest().members),
        release: &release,
        trust: &trust,
        running: root_hash_of(&disk, Slot::A).ok_or("slot A holds no release")?,
        beside: &mut |from| {
            let path = delta::file_name(bundle, from).filter(|_| with_delta)?;
            FileSource::open(Path::new(&path)).ok()
        },
    };
    let mut skipped = Vec::new();
    let (mut found, looked) = search.find(&mut |error| skipped.push(error.to_string()))?;
    found = found.filter(|_| with_delta);
    let mut installation = Installation {
        source: &mut source,
        disk: &mut disk,
        scratch: &mut scratch,
        running: Slot::A,
        budget: None,
        delta: found.as_mut(),
        looked,
        memory,
        watch: &Unwatched,
    };
    let prepared = installation.prepare(&head, &release)?;
    let cost = prepared.cost();
    installation.carry_out(&prepared)?;
    let mut told = cost.to_json(&Link::default());
    told["seconds"] = begin.elapsed().as_secs_f64().into();
    told["skipped"] = skipped.into();
    told["root"] = release.manifest().root.bytes.into();
    println!("{told}");
    Ok(())
}
