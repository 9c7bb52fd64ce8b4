//! `cargo xtask bench flash`: an image on a medium, against `dd` and `bmaptool`, on the same loop device over a preallocated file.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{FallocateFlags, fallocate};
use serde::Serialize;

use crate::{
    bench::{
        limited_disk::LimitedDisk,
        measure::{Cost, measure, median},
        save,
    },
    device,
    error::Error,
    host::{Arch, as_root},
    images::{self, Profile},
    packages::{self, Install, Needs},
    project, shell,
};

/// How often each is done, in turns; the median counts.
const RUNS: usize = 3;
/// The default product.
const RECIPE: &str = "edge.toml";
const PRODUCT: &str = "edge";
/// How fast `outcrop flash` must be at least, as a multiple of a peer's time.
const TIMES_BMAPTOOL: f64 = 1.0;
const TIMES_DD: f64 = 3.0;
/// Most that may be written, as a multiple of what the map names.
const TIMES_MAPPED: f64 = 1.01;
/// A card: bytes that it writes and reads a second.
const CARD_RATE: u64 = 100_000_000;

#[derive(Debug, Serialize)]
struct Figures {
    image_bytes: u64,
    mapped_bytes: u64,
    written_bytes: u64,
    /// This machine's own disk.
    disk: Times,
    /// A disk that the kernel holds back to a card's speed; none where this machine can't.
    card: Option<Times>,
}

#[derive(Debug, Serialize)]
struct Times {
    outcrop: Cost,
    bmaptool: Cost,
    dd: Cost,
}

impl Times {
    fn tell(&self, what: &str) -> bool {
        let (bmaptool, dd) = (
            self.bmaptool.seconds / self.outcrop.seconds,
            self.dd.seconds / self.outcrop.seconds,
        );
        eprintln!(
            "{what}: outcrop flash {:.2} s ({:.0} MiB), bmaptool copy {:.2} s, dd bs=4M conv=fsync {:.2} s: {bmaptool:.2} times as fast as bmaptool (bar \
             {TIMES_BMAPTOOL}), {dd:.2} times as fast as dd (bar {TIMES_DD})",
            self.outcrop.seconds, self.outcrop.peak_mib, self.bmaptool.seconds, self.dd.seconds
        );
        bmaptool >= TIMES_BMAPTOOL && dd >= TIMES_DD
    }
}

/// Measures, prints ratios, and fails when a bar is missed.
pub(crate) fn run(install: Install) -> Result<(), Error> {
    packages::ensure(Needs::Bench, install)?;
    device::build(install)?;
    let outcrop = images::builder(Profile::Release)?;
    let folder = images::build(&outcrop, RECIPE, &[Arch::X86_64])?;
    let bench = Bench {
        image: images::find(&folder, PRODUCT, Arch::X86_64)?,
        outcrop,
        folder: project::target().join("bench/flash"),
    };
    let failed = |source| Error::File {
        doing: "create folder",
        path: bench.folder.clone(),
        source,
    };
    fs::create_dir_all(&bench.folder).map_err(failed)?;
    let (mapped, written) = bench.written()?;
    let disk = bench.times(0)?;
    let card = match LimitedDisk::possible() {
        true => Some(bench.times(CARD_RATE)?),
        false => None,
    };
    let figures = Figures {
        image_bytes: bench.image_bytes()?,
        mapped_bytes: mapped,
        written_bytes: written,
        disk,
        card,
    };
    let mut good = figures.disk.tell("this machine's disk");
    good &= figures
        .card
        .as_ref()
        .is_none_or(|times| times.tell("a card of 100 MB/s"));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let share = written as f64 / mapped as f64;
    eprintln!("written: {written} bytes, {share:.4} times what the map names (bar {TIMES_MAPPED})");
    eprintln!("figures: {}", save("flash", &figures)?.display());
    if good && share <= TIMES_MAPPED {
        return Ok(());
    }
    Err(Error::Unexpected("a bar is missed".to_owned()))
}

struct Bench {
    outcrop: PathBuf,
    image: PathBuf,
    folder: PathBuf,
}

impl Bench {
    fn image_bytes(&self) -> Result<u64, Error> {
        let facts = fs::metadata(&self.image).map_err(|source| Error::File {
            doing: "look at",
            path: self.image.clone(),
            source,
        })?;
        Ok(facts.len())
    }

    /// A file with room for the image, none of it a hole.
    fn medium(&self) -> Result<PathBuf, Error> {
        let path = self.folder.join("medium");
        let bytes = self.image_bytes()?;
        let make = || {
            let file = File::create(&path)?;
            fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
            file.sync_all()
        };
        make().map_err(|source| Error::File {
            doing: "make room in",
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }

    /// Bytes that the map names, and bytes that reach a medium whose every write is counted: the disk's own count of a loop device.
    fn written(&self) -> Result<(u64, u64), Error> {
        let medium = self.medium()?;
        let disk = LimitedDisk::new(&medium, 0)?;
        let before = sectors_written(disk.device())?;
        let told = shell::output(self.flash(disk.device())?.arg("--json"))?;
        let written = (sectors_written(disk.device())? - before) * 512;
        let report: serde_json::Value =
            serde_json::from_str(&told).map_err(|error| Error::Unexpected(format!("{error}: {told}")))?;
        let mapped = report.get("written").and_then(serde_json::Value::as_u64);
        mapped
            .map(|mapped| (mapped, written))
            .ok_or_else(|| Error::Unexpected(format!("outcrop flash said {told}")))
    }

    fn flash(&self, device: &Path) -> Result<Command, Error> {
        let mut command = as_root(&self.outcrop.display().to_string())?;
        command.arg("flash").arg(&self.image).arg(device);
        command.args(["--unsigned", "--yes", "--quiet"]);
        Ok(command)
    }

    /// Each on a disk of that speed; 0 is as fast as it goes.
    fn times(&self, rate: u64) -> Result<Times, Error> {
        let medium = self.medium()?;
        let (mut outcrop, mut bmaptool, mut dd) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let disk = LimitedDisk::new(&medium, rate)?;
            outcrop.push(measure(&self.flash(disk.device())?)?);
            let mut peer = as_root("bmaptool")?;
            peer.args(["--quiet", "copy"]).arg(&self.image).arg(disk.device());
            bmaptool.push(measure(&peer)?);
            let mut peer = as_root("dd")?;
            peer.arg(format!("if={}", self.image.display()));
            peer.arg(format!("of={}", disk.device().display()));
            dd.push(measure(peer.args(["bs=4M", "conv=fsync", "status=none"]))?);
        }
        Ok(Times {
            outcrop: median(outcrop)?,
            bmaptool: median(bmaptool)?,
            dd: median(dd)?,
        })
    }
}

/// Sectors written to a device since it is there. Source: Linux, `Documentation/block/stat.rst`.
fn sectors_written(device: &Path) -> Result<u64, Error> {
    let name = device.file_name().unwrap_or_default();
    let path = Path::new("/sys/class/block").join(name).join("stat");
    let text = fs::read_to_string(&path).map_err(|source| Error::File {
        doing: "read",
        path,
        source,
    })?;
    let sectors = text.split_whitespace().nth(6).and_then(|word| word.parse().ok());
    sectors.ok_or_else(|| Error::Unexpected(format!("a device's statistics are {text:?}")))
}
