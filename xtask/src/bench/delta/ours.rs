//! Outcrop's own side. This is the one place where its figures come in: everything else of the bench takes them from [`measure`].

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{failed, fixtures::Fixture, payload::root_start};
use crate::{
    bench::{
        limited_disk::LimitedDisk,
        measure::{self, Cost},
    },
    error::Error,
    host::as_root,
    project, shell,
};

/// What an update costs with Outcrop's patches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Ours {
    /// Bytes that a device fetches in all, headers, indexes and signatures included.
    pub(super) fetched: u64,
    /// `outcrop bundle delta`: seconds and largest resident set.
    pub(super) build_seconds: f64,
    pub(super) build_peak_mib: f64,
    /// The updater on a disk image: seconds and largest resident set.
    pub(super) device_seconds: f64,
    pub(super) device_peak_mib: f64,
    /// Bytes written to the slot.
    pub(super) written: u64,
    /// Of those, what belongs to content of files: not the file system's own blocks, not hashes, not the boot payload.
    pub(super) data_written: u64,
}

/// The ways that a device may have to go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ways {
    /// Patches, on a device that has no memory to pack a kernel again: it fetches that whole.
    pub(super) patched: Ours,
    /// Patches, the kernel's too: none where nothing is packed (aarch64) or nothing changed.
    pub(super) repacked: Option<Ours>,
    /// Nothing known of what the device has: its own blocks, and the rest from the whole bundle.
    pub(super) unknown: Ours,
    /// Seconds that `dd` takes to write the bytes that `patched` writes, and to read the root once.
    pub(super) dd_seconds: f64,
    /// `patched` and the same of `dd` on disks as slow as flash; none where this machine can't hold one back.
    pub(super) slow: Vec<Slow>,
}

/// Seconds on a disk of limited speed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Slow {
    /// Bytes a second that it reads, and that it writes.
    pub(super) rate: u64,
    pub(super) device_seconds: f64,
    pub(super) dd_seconds: f64,
}

/// What `outcrop bundle delta --json` says of a delta.
#[derive(Deserialize)]
struct Made {
    bytes: MadeBytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct MadeBytes {
    packed: Option<u64>,
    /// Bytes of patched blocks that belong to content of files.
    file_blocks: u64,
}

/// What the updater's example prints.
#[derive(Deserialize)]
struct Installed {
    seconds: f64,
    fetch: u64,
    write: u64,
    root: u64,
}

/// An SD card's and eMMC's, in bytes a second.
const RATES: [u64; 2] = [20_000_000, 100_000_000];
/// Memory that a device has where it packs kernels: more than any takes.
const MEMORY: u64 = 4 << 30;

/// Measures Outcrop on a pair: a device that has the old release in both slots installs the new one.
///
/// `outcrop` is the release build. The fixture has the images, their folders and the key that signs their bundles.
pub(super) fn measure(outcrop: &Path, fixture: &Fixture) -> Result<Ways, Error> {
    let bench = Bench::new(outcrop, fixture)?;
    let (old, new) = (
        fixture.old.with_extension("outcrop"),
        fixture.new.with_extension("outcrop"),
    );
    let mut delta = Command::new(outcrop);
    delta
        .args(["bundle", "delta", "--beside", "--json", "--from"])
        .arg(&old)
        .arg(&new);
    delta.arg("--key").arg(&fixture.key);
    let told = fixture.folder.join("delta.json");
    let build = measure::measure(&to_file(&delta, &told))?;
    let made: Vec<Made> = read_json(&told)?;
    let made = made
        .first()
        .ok_or_else(|| Error::Unexpected("no delta was made".to_owned()))?;
    bench.fill_both(&old)?;
    let ours = |mode: &[&str], written_data: u64| -> Result<Ours, Error> {
        let (installed, cost) = bench.install(&new, mode)?;
        Ok(Ours {
            fetched: installed.fetch,
            build_seconds: build.seconds,
            build_peak_mib: build.peak_mib,
            device_seconds: installed.seconds,
            device_peak_mib: cost.peak_mib,
            written: installed.write,
            data_written: written_data,
        })
    };
    let patched = ours(&[], made.bytes.file_blocks)?;
    let memory = MEMORY.to_string();
    let repacked = match made.bytes.packed {
        Some(_) => Some(ours(&[&memory], made.bytes.file_blocks)?),
        None => None,
    };
    let unknown = ours(&["no-delta"], made.bytes.file_blocks)?;
    let dd_seconds = bench.dd(patched.written)?;
    let mut slow = Vec::new();
    if LimitedDisk::possible() {
        for rate in RATES {
            slow.push(bench.slow(&new, patched.written, rate)?);
        }
    } else {
        eprintln!(
            "not measured: disks of limited speed need the blkio controller of control groups, version 1"
        );
    }
    bench.clear()?;
    Ok(Ways {
        patched,
        repacked,
        unknown,
        dd_seconds,
        slow,
    })
}

/// A command whose output goes to a file.
fn to_file(command: &Command, path: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "out=$1; shift; exec \"$@\" > \"$out\"", "sh"])
        .arg(path);
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read_to_string(path).map_err(failed("read", path))?;
    serde_json::from_str(&text).map_err(|error| Error::Unexpected(format!("{}: {error}", path.display())))
}

/// A device: a disk image whose slots both hold the old release.
struct Bench<'a> {
    fixture: &'a Fixture,
    trust: PathBuf,
    program: PathBuf,
    both: PathBuf,
    disk: PathBuf,
    /// First byte of slot A's root.
    root: u64,
}

impl<'a> Bench<'a> {
    fn new(outcrop: &Path, fixture: &'a Fixture) -> Result<Self, Error> {
        let mut cargo = project::cargo();
        cargo.args([
            "build",
            "--locked",
            "--release",
            "--package",
            "outcrop-updater",
            "--example",
        ]);
        shell::run(cargo.arg("install-to-image"))?;
        Ok(Self {
            fixture,
            trust: fixture.key.with_file_name("trust.toml"),
            program: project::target().join("release/examples/install-to-image"),
            both: fixture.folder.join("both.img"),
            disk: fixture.folder.join("disk.img"),
            root: root_start(outcrop, &fixture.old)?,
        })
    }

    fn copy(from: &Path, to: &Path) -> Result<(), Error> {
        shell::run(Command::new("cp").arg("--sparse=always").arg(from).arg(to))
    }

    /// Puts the old release into the other slot, too.
    fn fill_both(&self, old: &Path) -> Result<(), Error> {
        Self::copy(&self.fixture.old, &self.disk)?;
        self.run(old, &["no-delta"])?;
        fs::rename(&self.disk, &self.both).map_err(failed("rename", &self.disk))
    }

    fn install(&self, bundle: &Path, mode: &[&str]) -> Result<(Installed, Cost), Error> {
        Self::copy(&self.both, &self.disk)?;
        shell::run(Command::new("sync").arg("--file-system").arg(&self.disk))?;
        self.run(bundle, mode)
    }

    fn run(&self, bundle: &Path, mode: &[&str]) -> Result<(Installed, Cost), Error> {
        let told = self.fixture.folder.join("installed.json");
        let mut install = Command::new(&self.program);
        install.arg(&self.disk).arg(bundle).arg(&self.trust).args(mode);
        let cost = measure::measure(&to_file(&install, &told))?;
        Ok((read_json(&told)?, cost))
    }

    /// Seconds that `dd` takes to write so many bytes to the medium, and to read a root from it.
    fn dd(&self, written: u64) -> Result<f64, Error> {
        let copy = self.fixture.folder.join("dd.img");
        Self::copy(&self.disk, &copy)?;
        let seconds = self.dd_to(&copy, written, || Ok(Command::new("dd")));
        fs::remove_file(&copy).map_err(failed("remove", &copy))?;
        seconds
    }

    /// Writes into the root of slot B, and reads slot A's: neither is in the kernel's memory, and the kernel's writes are waited for.
    fn dd_to(
        &self,
        disk: &Path,
        written: u64,
        dd: impl Fn() -> Result<Command, Error>,
    ) -> Result<f64, Error> {
        let installed: Installed = read_json(&self.fixture.folder.join("installed.json"))?;
        let begin = Instant::now();
        let mut write = dd()?;
        write.arg(format!("if={}", self.fixture.folder.join("new/whole").display()));
        write.arg(format!("of={}", disk.display()));
        write.args([
            format!("seek={}", self.root >> 20),
            format!("count={}", written.div_ceil(1 << 20)),
        ]);
        shell::run(write.args(["bs=1M", "conv=fsync,notrunc", "status=none"]))?;
        let mut read = dd()?;
        read.arg(format!("if={}", disk.display())).arg("of=/dev/null");
        read.args([
            format!("skip={}", self.root >> 20),
            format!("count={}", installed.root.div_ceil(1 << 20)),
        ]);
        shell::run(read.args(["bs=1M", "iflag=direct", "status=none"]))?;
        Ok(begin.elapsed().as_secs_f64())
    }

    /// The same as a disk that is held back. A hole would be read for nothing: all blocks are there.
    fn slow(&self, bundle: &Path, written: u64, rate: u64) -> Result<Slow, Error> {
        shell::run(
            Command::new("cp")
                .arg("--sparse=never")
                .arg(&self.both)
                .arg(&self.disk),
        )?;
        shell::run(Command::new("sync").arg("--file-system").arg(&self.disk))?;
        let disk = LimitedDisk::new(&self.disk, rate)?;
        let told = self.fixture.folder.join("installed.json");
        let mut install = as_root("sh")?;
        install
            .args(["-c", "out=$1; shift; exec \"$@\" > \"$out\"", "sh"])
            .arg(&told);
        install
            .arg(&self.program)
            .arg(disk.device())
            .arg(bundle)
            .arg(&self.trust);
        shell::run(&mut install)?;
        let installed: Installed = read_json(&told)?;
        Ok(Slow {
            rate,
            device_seconds: installed.seconds,
            dd_seconds: self.dd_to(disk.device(), written, || as_root("dd"))?,
        })
    }

    fn clear(&self) -> Result<(), Error> {
        for path in [&self.both, &self.disk] {
            fs::remove_file(path).map_err(failed("remove", path))?;
        }
        Ok(())
    }
}
