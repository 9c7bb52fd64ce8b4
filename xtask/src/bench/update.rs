//! `cargo xtask bench update`: installing a release, against `dd` writing the same bytes and reading them once.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use serde::{Deserialize, Serialize};

use crate::{
    bench::{limited_disk::LimitedDisk, measure, save},
    device,
    error::Error,
    host::{Arch, as_root},
    images::{self, Profile},
    packages::{self, Install, Needs},
    project, releases, shell,
};

/// Numbers of the slots' root partitions: docs/formats.md, "Disk".
const ROOT_A: u32 = 5;
const ROOT_B: u32 = 7;
/// Most that an installation may take of what `dd` takes.
const MOST_TIMES_DD: f64 = 1.3;
/// Most that is written of what has changed.
const MOST_TIMES_CHANGED: f64 = 1.05;
/// Most memory, in MiB, for a release of any size.
const MOST_MIB: f64 = 32.0;
/// The same in KiB, for `ulimit -d`: whatever the program asks the kernel for beyond that, it doesn't get.
const MOST_KIB: u32 = 32 << 10;
/// Longest updater, in MiB.
const MOST_PROGRAM_MIB: f64 = 6.0;
/// Every so many-th block is changed: 5 %.
const EVERY: u64 = 20;
const BLOCK_BYTES: usize = 4096;
const RUNS: usize = 3;
/// Disks that devices have, by what they read and write, in bytes a second: eMMC, and an SSD behind SATA.
const RATES: [u64; 2] = [100_000_000, 400_000_000];
/// Bytes of the large release's one file.
const LARGE_BYTES: u64 = 2 << 30;

/// What the updater's example prints.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Installed {
    seconds: f64,
    fetch: u64,
    copy: u64,
    write: u64,
    keep: u64,
    root: u64,
}

#[derive(Debug, Serialize)]
struct Figures {
    full: Installed,
    full_peak_mib: f64,
    large: Installed,
    large_peak_mib: f64,
    dd_seconds: f64,
    times_dd: f64,
    /// On disks of [`RATES`]; none where this machine can't limit disks.
    limited: Vec<Limited>,
    changed_bytes: u64,
    five_percent: Installed,
    times_changed: f64,
    updater_mib: Vec<(&'static str, f64)>,
}

/// A full image on a disk of limited speed.
#[derive(Debug, Clone, Copy, Serialize)]
struct Limited {
    /// Bytes a second that the disk reads, and writes.
    rate: u64,
    seconds: f64,
    dd_seconds: f64,
}

impl Limited {
    fn times_dd(self) -> f64 {
        self.seconds / self.dd_seconds
    }
}

/// Measures, prints ratios, and fails when a bar is missed.
pub(crate) fn run(install: Install) -> Result<(), Error> {
    packages::ensure(Needs::Bench, install)?;
    device::build(install)?;
    let outcrop = images::builder(Profile::Release)?;
    let folder = releases::build(&outcrop, releases::For::Scenarios, &[Arch::X86_64])?;
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
    let bench = Bench::new(&folder)?;
    let mut full = Vec::new();
    for _ in 0..RUNS {
        bench.fresh_disk()?;
        full.push(bench.install()?);
    }
    full.sort_by(|a, b| a.0.seconds.total_cmp(&b.0.seconds));
    let (full, full_peak_mib) = full.get(RUNS / 2).copied().ok_or_else(nothing)?;
    let dd_seconds = bench.dd(full.root)?;
    let limited = if LimitedDisk::possible() {
        RATES
            .into_iter()
            .map(|rate| bench.limited(rate))
            .collect::<Result<_, _>>()?
    } else {
        eprintln!(
            "not measured: disks of limited speed need the blkio controller of control groups, version 1"
        );
        Vec::new()
    };
    bench.fresh_disk()?;
    bench.install()?;
    let changed_bytes = bench.change_blocks(full.root)?;
    let (five_percent, _) = bench.install()?;
    let (large, large_peak_mib) = large(&outcrop, &bench)?;
    let figures = Figures {
        large,
        large_peak_mib,
        times_dd: full.seconds / dd_seconds,
        times_changed: ratio(five_percent.write, changed_bytes),
        full,
        full_peak_mib,
        dd_seconds,
        limited,
        changed_bytes,
        five_percent,
        updater_mib: sizes()?,
    };
    figures.print();
    eprintln!("figures: {}", save("update", &figures)?.display());
    figures.check()
}

/// Installs a release of 2 GiB, in no more memory than it may have: what a block of it is in the running slot is copied, and a
/// tenth of that is worn, so that the bundle is asked too.
fn large(outcrop: &Path, bench: &Bench) -> Result<(Installed, f64), Error> {
    let folder = project::target().join("bench/large");
    let files = folder.join("files/usr/share/large");
    fs::create_dir_all(&files).map_err(failed("create folder", &files))?;
    write_large(&files.join("content"))?;
    releases::build_large(outcrop, &folder, &folder.join("files"))?;
    let name = format!("large-{}-x86_64-efi", releases::FLASHED);
    let bench = Bench {
        disk: folder.join(format!("{name}.img")),
        bundle: folder.join(format!("{name}.outcrop")),
        trust: bench.trust.clone(),
        image: bench.image.clone(),
        program: bench.program.clone(),
    };
    bench.overwrite(bench.start_of(ROOT_A)?, LARGE_BYTES, 10)?;
    let measured = bench.install()?;
    fs::remove_dir_all(&folder).map_err(failed("remove", &folder))?;
    Ok(measured)
}

/// A file whose blocks all differ, and compress well.
fn write_large(path: &Path) -> Result<(), Error> {
    let mut chunk = vec![0; 1 << 20];
    let file = File::create(path).map_err(failed("create", path))?;
    for at in (0..LARGE_BYTES).step_by(chunk.len()) {
        for (block, offset) in chunk.chunks_mut(BLOCK_BYTES).zip((at..).step_by(BLOCK_BYTES)) {
            if let Some(number) = block.first_chunk_mut() {
                *number = (offset + 1).to_le_bytes();
            }
        }
        file.write_all_at(&chunk, at).map_err(failed("write", path))?;
    }
    Ok(())
}

fn nothing() -> Error {
    Error::Unexpected("no runs were measured".to_owned())
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a disk fit")]
fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other.max(1) as f64
}

/// Files of the bench.
struct Bench {
    image: PathBuf,
    bundle: PathBuf,
    trust: PathBuf,
    disk: PathBuf,
    program: PathBuf,
}

impl Bench {
    fn new(releases: &Path) -> Result<Self, Error> {
        let folder = project::target().join("bench");
        fs::create_dir_all(&folder).map_err(failed("create folder", &folder))?;
        let file = |version: &str, ending: &str| {
            releases.join(format!("{}-{version}-x86_64-efi.{ending}", releases::PRODUCT))
        };
        Ok(Self {
            image: file(releases::FLASHED, "img"),
            bundle: file(releases::GOOD, "outcrop"),
            trust: releases.join("trust.toml"),
            disk: folder.join("disk.img"),
            program: project::target().join("release/examples/install-to-image"),
        })
    }

    /// A disk whose blocks are all there: a hole would be read for nothing.
    fn fresh_disk(&self) -> Result<(), Error> {
        let mut dd = Command::new("dd");
        dd.arg(format!("if={}", self.image.display()));
        dd.arg(format!("of={}", self.disk.display()));
        shell::run(dd.args(["bs=4M", "conv=fsync", "status=none"]))
    }

    /// A full image on a disk that reads and writes `rate` bytes a second, against `dd` from one slot to the other and one read.
    fn limited(&self, rate: u64) -> Result<Limited, Error> {
        self.fresh_disk()?;
        let (from, to) = (self.start_of(ROOT_A)?, self.start_of(ROOT_B)?);
        let disk = LimitedDisk::new(&self.disk, rate)?;
        let (installed, _) = self.install_to(as_root("sh")?, disk.device())?;
        let device = disk.device().display();
        let count = format!("count={}", installed.root >> 20);
        let begin = Instant::now();
        let mut write = as_root("dd")?;
        write.args([format!("if={device}"), format!("of={device}"), count.clone()]);
        write.args([format!("skip={}", from >> 20), format!("seek={}", to >> 20)]);
        shell::run(write.args(["bs=1M", "iflag=direct", "conv=fsync,notrunc", "status=none"]))?;
        let mut read = as_root("dd")?;
        read.args([format!("if={device}"), format!("skip={}", to >> 20), count]);
        shell::run(read.args(["of=/dev/null", "bs=1M", "iflag=direct", "status=none"]))?;
        Ok(Limited {
            rate,
            seconds: installed.seconds,
            dd_seconds: begin.elapsed().as_secs_f64(),
        })
    }

    /// Installs the bundle: what that cost, and the most memory.
    fn install(&self) -> Result<(Installed, f64), Error> {
        self.install_to(Command::new("sh"), &self.disk)
    }

    fn install_to(&self, mut shell: Command, disk: &Path) -> Result<(Installed, f64), Error> {
        let output = project::target().join("bench/installed.json");
        let script = format!(
            "ulimit -d {MOST_KIB}; exec {} {} {} {} > {}",
            self.program.display(),
            disk.display(),
            self.bundle.display(),
            self.trust.display(),
            output.display()
        );
        let cost = measure::measure(shell.args(["-c", &script]))?;
        let text = fs::read_to_string(&output).map_err(failed("read", &output))?;
        let installed = serde_json::from_str(&text).map_err(|error| Error::Unexpected(error.to_string()))?;
        Ok((installed, cost.peak_mib))
    }

    /// Seconds that `dd` takes to write `bytes` to the medium and to read them back from it: the median of [`RUNS`]. Over a file
    /// that is there, as a slot is.
    fn dd(&self, bytes: u64) -> Result<f64, Error> {
        let copy = self.disk.with_extension("dd");
        let count = format!("count={}", bytes >> 20);
        let mut seconds = Vec::new();
        for run in 0..=RUNS {
            let begin = Instant::now();
            let mut write = Command::new("dd");
            write.arg(format!("if={}", self.disk.display()));
            write.arg(format!("of={}", copy.display()));
            shell::run(write.args(["bs=1M", "conv=fsync,notrunc", "status=none", &count]))?;
            let mut read = Command::new("dd");
            read.arg(format!("if={}", copy.display())).arg("of=/dev/null");
            shell::run(read.args(["bs=1M", "iflag=direct", "status=none"]))?;
            // The first run makes the file.
            if run > 0 {
                seconds.push(begin.elapsed().as_secs_f64());
            }
        }
        fs::remove_file(&copy).map_err(failed("remove", &copy))?;
        seconds.sort_by(f64::total_cmp);
        seconds.get(RUNS / 2).copied().ok_or_else(nothing)
    }

    /// Overwrites every [`EVERY`]-th block of slot B's root: bytes that differ from the release now.
    fn change_blocks(&self, root: u64) -> Result<u64, Error> {
        self.overwrite(self.start_of(ROOT_B)?, root, EVERY)
    }

    /// Overwrites every `every`-th of the blocks from `start` on; how many bytes.
    fn overwrite(&self, start: u64, bytes: u64, every: u64) -> Result<u64, Error> {
        let disk = File::options().write(true).open(&self.disk);
        let disk = disk.map_err(failed("open", &self.disk))?;
        let blocks = bytes / BLOCK_BYTES as u64;
        let mut changed = 0;
        for block in (0..blocks).step_by(usize::try_from(every).unwrap_or(1)) {
            let at = start + block * BLOCK_BYTES as u64;
            disk.write_all_at(&[0xa5; BLOCK_BYTES], at)
                .map_err(failed("write", &self.disk))?;
            changed += BLOCK_BYTES as u64;
        }
        disk.sync_all().map_err(failed("flush", &self.disk))?;
        Ok(changed)
    }

    /// Where a partition begins, in bytes.
    fn start_of(&self, number: u32) -> Result<u64, Error> {
        let told = shell::output(
            Command::new("sgdisk")
                .arg(format!("--info={number}"))
                .arg(&self.disk),
        )?;
        let first = told.lines().find_map(|line| {
            line.strip_prefix("First sector: ")?
                .split(' ')
                .next()?
                .parse::<u64>()
                .ok()
        });
        first
            .map(|sector| sector * 512)
            .ok_or_else(|| Error::Unexpected(format!("sgdisk said {told:?}")))
    }
}

/// The updater's length on each architecture, in MiB.
fn sizes() -> Result<Vec<(&'static str, f64)>, Error> {
    Arch::ALL
        .into_iter()
        .map(|arch| {
            let path = project::device_programs()
                .join(arch.as_str())
                .join("outcrop-updater");
            let found = fs::metadata(&path).map_err(failed("look at", &path))?;
            Ok((arch.as_str(), ratio(found.len(), 1 << 20)))
        })
        .collect()
}

impl Figures {
    fn print(&self) {
        eprintln!(
            "full: {:.1} s, dd and one read {:.1} s: {:.2} times (bar {MOST_TIMES_DD}); peak {:.1} MiB (bar {MOST_MIB})",
            self.full.seconds, self.dd_seconds, self.times_dd, self.full_peak_mib
        );
        for limited in &self.limited {
            eprintln!(
                "full, disk of {} MB/s: {:.1} s, dd and one read {:.1} s: {:.2} times (bar {MOST_TIMES_DD})",
                limited.rate / 1_000_000,
                limited.seconds,
                limited.dd_seconds,
                limited.times_dd()
            );
        }
        eprintln!(
            "2 GiB: {:.1} s, {} bytes fetched, {} copied; peak {:.1} MiB (bar {MOST_MIB})",
            self.large.seconds, self.large.fetch, self.large.copy, self.large_peak_mib
        );
        eprintln!(
            "5 % changed: {:.1} s, {} bytes written of {} changed: {:.3} times (bar {MOST_TIMES_CHANGED})",
            self.five_percent.seconds, self.five_percent.write, self.changed_bytes, self.times_changed
        );
        for (arch, mib) in &self.updater_mib {
            eprintln!("outcrop-updater {arch}: {mib:.2} MiB (bar {MOST_PROGRAM_MIB})");
        }
    }

    fn check(&self) -> Result<(), Error> {
        let bars = [
            ("an installation's time", self.times_dd, MOST_TIMES_DD),
            (
                "what 5 % changed blocks write",
                self.times_changed,
                MOST_TIMES_CHANGED,
            ),
            ("memory", self.full_peak_mib, MOST_MIB),
            ("memory for 2 GiB", self.large_peak_mib, MOST_MIB),
        ];
        let programs = self
            .updater_mib
            .iter()
            .map(|(_, mib)| ("the updater", *mib, MOST_PROGRAM_MIB));
        let limited = self.limited.iter().map(|limited| {
            (
                "an installation's time on a limited disk",
                limited.times_dd(),
                MOST_TIMES_DD,
            )
        });
        let missed: Vec<String> = bars
            .into_iter()
            .chain(programs)
            .chain(limited)
            .filter(|(_, found, bar)| found > bar)
            .map(|(what, found, bar)| format!("{what}: {found:.2}, the bar is {bar}"))
            .collect();
        if missed.is_empty() {
            Ok(())
        } else {
            Err(Error::Unexpected(format!("bars missed: {}", missed.join("; "))))
        }
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { doing, path, source }
}
