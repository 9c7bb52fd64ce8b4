//! `outcrop flash`: writes an image to a card, a disk or a plain file.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

use super::{Context, device};
use crate::{
    error::Error,
    fetch::{Http, Timeouts},
    flash::{DiskFacts, Disks, Flash, FlashError, ImageSource, OpenTarget, Report, Trusted, Verify},
    keys::read_trust,
};

/// Bytes of a megabyte, as disks are sold.
const MEGABYTE: u64 = 1_000_000;

/// `outcrop flash`'s arguments.
#[derive(Debug, Clone)]
pub struct Options {
    /// A file, an address, or `-`.
    pub image: String,
    /// The disk or file; none lists the disks.
    pub device: Option<PathBuf>,
    /// The device's own configuration.
    pub configuration: Option<PathBuf>,
    /// Who has to have signed the image.
    pub trust: Option<PathBuf>,
    /// Take it from anybody.
    pub unsigned: bool,
    /// Read all of it back.
    pub verify: bool,
    /// Don't ask.
    pub yes: bool,
    /// Print JSON.
    pub json: bool,
}

/// Flashes.
///
/// # Errors
/// When the medium mustn't be erased, nobody says yes, the image isn't trusted, or anything fails.
pub fn run(options: &Options, context: &Context) -> Result<(), Error> {
    run_with(options, &Disks::default(), context)
}

fn run_with(options: &Options, disks: &Disks, context: &Context) -> Result<(), Error> {
    let Some(device) = &options.device else {
        return Err(FlashError::NoDevice(list(disks)?).into());
    };
    let facts = disks.erasable(device)?;
    if facts.is_none() && device.exists() && !device.is_file() {
        return Err(FlashError::NoMedium(device.clone()).into());
    }
    let configuration = options.configuration.as_deref().map(device::read).transpose()?;
    let transport = Http::new(Timeouts::default(), 1);
    let source = ImageSource::new(&options.image, &transport);
    let sidecars = source.sidecars(&trusted(options)?)?;
    let mut image = source.open()?;
    confirm(options, device, facts.as_ref(), context)?;
    let mut target = OpenTarget::open(device)?;
    let flash = Flash {
        image: source.name(),
        sidecars: &sidecars,
        path: device,
        verify: if options.verify {
            Verify::ReadBack
        } else {
            Verify::Head
        },
        configuration: configuration.as_deref(),
        progress: context.progress.as_ref(),
    };
    let begin = Instant::now();
    let report = flash.run(image.as_mut(), &mut target)?;
    if options.json {
        return context.print(format_args!("{}\n", json(&report)));
    }
    let seconds = begin.elapsed().as_secs_f64();
    context.summarize(summary(&report, seconds, options))
}

fn json(report: &Report) -> String {
    // A report of texts and numbers can always be written.
    serde_json::to_string(report).unwrap_or_default()
}

fn trusted(options: &Options) -> Result<Trusted, Error> {
    Ok(match &options.trust {
        Some(path) => Trusted::By(Box::new(read_trust(path)?)),
        None if options.unsigned => Trusted::Anybody,
        None => Trusted::Nobody,
    })
}

/// The disks that can be taken out, one a line.
fn list(disks: &Disks) -> Result<String, FlashError> {
    let found = disks.removable().map_err(FlashError::Disks)?;
    let mut text = String::new();
    for disk in &found {
        // Writing to a string can't fail.
        let _ = writeln!(text, "    {}", describe(disk));
    }
    Ok(text.trim_end().to_owned())
}

fn describe(disk: &DiskFacts) -> String {
    let model = if disk.model.is_empty() {
        "no name"
    } else {
        &disk.model
    };
    format!("{}: {model}, {} MB", disk.path.display(), disk.bytes / MEGABYTE)
}

/// Asks whether a disk may be erased. A plain file that isn't there yet loses nothing.
fn confirm(
    options: &Options,
    device: &Path,
    facts: Option<&DiskFacts>,
    context: &Context,
) -> Result<(), FlashError> {
    if options.yes || (facts.is_none() && !device.exists()) {
        return Ok(());
    }
    let what = facts.map_or_else(|| device.display().to_string(), describe);
    let warning = match facts {
        Some(disk) if !disk.removable => " It is built in.",
        _ => "",
    };
    if context.confirms(&format!("Erase everything on {what}?{warning}")) {
        return Ok(());
    }
    context.progress.checkpoint()?;
    Err(FlashError::Declined(device.to_owned()))
}

fn summary(report: &Report, seconds: f64, options: &Options) -> String {
    let megabytes = report.written / MEGABYTE;
    #[expect(clippy::cast_precision_loss, reason = "megabytes are far below 2^52")]
    let rate = megabytes as f64 / seconds.max(0.001);
    let read_back = if options.verify { ", read back" } else { "" };
    let signed = match report.signers.as_slice() {
        [] => String::new(),
        signers => format!(", signed by {}", signers.join(", ")),
    };
    format!(
        "{}: {megabytes} MB written in {seconds:.1} s ({rate:.0} MB/s){read_back}{signed}\n\
         next: put it into the device and switch it on\n",
        report.device.display()
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::testing, *};
    use crate::failure::FailureClass;

    fn options(device: Option<PathBuf>) -> Options {
        Options {
            image: "/nowhere.img".to_owned(),
            device,
            configuration: None,
            trust: None,
            unsigned: true,
            verify: false,
            yes: false,
            json: false,
        }
    }

    #[test]
    fn without_a_device_the_disks_that_can_be_taken_out_are_listed() {
        let root = tempfile::tempdir().unwrap();
        let stick = root.path().join("sys/block/sdz");
        fs::create_dir_all(stick.join("device")).unwrap();
        fs::write(stick.join("size"), "62500000\n").unwrap();
        fs::write(stick.join("removable"), "1\n").unwrap();
        fs::write(stick.join("device/model"), "Ultra\n").unwrap();
        let error = run_with(&options(None), &Disks::at(root.path()), &testing::context().0).unwrap_err();
        assert_eq!(error.class(), FailureClass::Input);
        assert!(error.to_string().contains("/dev/sdz: Ultra, 32000 MB"), "{error}");
    }

    #[test]
    fn an_image_from_nobody_is_refused_before_anything_else() {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("card");
        let nobody = Options {
            unsigned: false,
            ..options(Some(card.clone()))
        };
        let error = run(&nobody, &testing::context().0).unwrap_err();
        assert!(error.to_string().contains("no trust file is named"), "{error}");
        assert!(!card.exists());
    }

    #[test]
    fn nobody_is_asked_about_a_folder_and_a_file_that_is_there_isnt_erased_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(&options(Some(folder.path().to_owned())), &testing::context().0).unwrap_err();
        assert!(
            error.to_string().contains("neither a disk nor a plain file"),
            "{error}"
        );
        let (image, card) = (folder.path().join("x.img"), folder.path().join("card"));
        fs::write(&image, "image").unwrap();
        fs::write(&card, "precious").unwrap();
        let asked = Options {
            image: image.display().to_string(),
            ..options(Some(card.clone()))
        };
        let error = run(&asked, &testing::context().0).unwrap_err();
        assert!(error.to_string().contains("nobody said yes"), "{error}");
        assert_eq!(fs::read(&card).unwrap(), b"precious");
    }
}
