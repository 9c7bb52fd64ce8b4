//! `outcrop-updater install-to-disk`

use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use outcrop_release::device_config::FILE_NAME;

use super::{CommandError, OnlyOne, say, signals::Stop};
use crate::{
    block_disk::{Access, BlockDisk},
    device::Device,
    durable,
    init::disk::SysBlock,
    install_to_disk::{Listen, ToDisk, ToDiskError, ToDiskReport},
    record,
};

/// Bytes of a megabyte, as disks are sold.
const MEGABYTE: u64 = 1_000_000;

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ToDiskOptions {
    /// The disk, as a path: /dev/nvme0n1. Everything on it is lost.
    pub disk: PathBuf,
    /// Yes, everything on it may be lost.
    #[arg(long)]
    pub yes: bool,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
    /// Says nothing while it works.
    #[arg(long)]
    pub quiet: bool,
}

/// Makes another disk a device with the release that runs.
///
/// # Errors
/// See [`CommandError`].
pub fn install_to_disk(root: &Path, options: &ToDiskOptions) -> Result<(), CommandError> {
    let device = Device::read(root)?;
    let _only = OnlyOne::new(&device)?;
    let to = fs::canonicalize(&options.disk).map_err(|source| ToDiskError::Io {
        doing: "find",
        path: options.disk.clone(),
        source,
    })?;
    let name = to.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let found = SysBlock::new("/sys", "/dev").disk(name).ok().flatten();
    let shape = match found {
        Some(disk) if to == Path::new("/dev").join(name) => disk.shape,
        _ => return Err(ToDiskError::NoDisk(options.disk.clone()).into()),
    };
    if to == device.disk() {
        return Err(ToDiskError::Itself(options.disk.clone()).into());
    }
    if !options.yes {
        return Err(ToDiskError::Unconfirmed(options.disk.clone()).into());
    }
    let record = record::load(&BlockDisk::open(device.disk(), Access::Read)?)?;
    let kept = durable::read(&device.state_folder().join(FILE_NAME))?;
    let kept = kept.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let scratch = device.run_folder();
    let work = ToDisk {
        from: device.disk(),
        to: &to,
        slot: device.slot(),
        record: &record,
        configuration: kept.as_deref(),
        scratch: &scratch,
    };
    let mut told = Told::new(options)?;
    let report = work.run(shape, &mut told)?;
    told.end();
    if options.json {
        // Texts and numbers: nothing here can fail to be JSON.
        say(&serde_json::to_string(&report).unwrap_or_default());
    } else {
        say(&summary(&report));
    }
    Ok(())
}

fn summary(report: &ToDiskReport) -> String {
    format!(
        "{} is a device of its own now: {} MB copied and read back, {} MB for data\nswitch off, take this medium out, and switch on",
        report.disk,
        report.copied / MEGABYTE,
        report.data / MEGABYTE
    )
}

/// Tells how far it is: a line that changes on a terminal, tenths elsewhere.
struct Told {
    stop: Stop,
    is_terminal: bool,
    is_quiet: bool,
    last: Option<(&'static str, u64)>,
}

impl Told {
    fn new(options: &ToDiskOptions) -> Result<Self, CommandError> {
        Ok(Self {
            stop: Stop::on_signals().map_err(CommandError::Signals)?,
            is_terminal: io::stderr().is_terminal(),
            is_quiet: options.quiet || options.json,
            last: None,
        })
    }

    fn end(&self) {
        if self.is_terminal && self.last.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Listen for Told {
    fn advance(&mut self, doing: &'static str, done: u64, total: u64) -> bool {
        let steps = if self.is_terminal { 100 } else { 10 };
        let step = done.saturating_mul(steps).checked_div(total).unwrap_or(steps);
        if !self.is_quiet && self.last != Some((doing, step)) {
            self.last = Some((doing, step));
            let percent = step * 100 / steps;
            // Where standard error is closed, nobody reads.
            let _ = if self.is_terminal {
                write!(io::stderr(), "\r{doing}: {percent} %\x1b[K")
            } else {
                writeln!(io::stderr(), "{doing}: {percent} %")
            };
        }
        !self.stop.is_asked()
    }
}
