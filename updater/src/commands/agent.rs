//! `outcrop-updater agent`: the device looks after its own updates.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, Zoned, tz::TimeZone};
use outcrop_release::{
    agent::{AgentDefinition, Mode},
    bootrec::{BootRecord, TakenBackBy},
    channel::{Accepted, ChannelDefinition, ChannelName, Offer},
    device_config::DeviceConfig,
    digest::FileDigest,
    journal::Event,
    report::Standing,
    slot::Slot,
    trust::Trust,
};
use serde_json::json;

use super::{
    CommandError, NoChannel, OnlyOne, Opened,
    check::{self, CHANNELS, TreePlace},
    install, key, record as record_event, remembered, report, say,
    signals::Stop,
    warn,
};
use crate::{
    agent::{self, Site, StageEnd, Trouble, Visit, Who},
    block_disk::Access,
    chain,
    channel::{FetchError, Fetched, FolderSource, FollowError, Followed, Follower, ListSource, WebList},
    clock::site_zone,
    device::Device,
    device_config,
    install::{Limits, Meter},
    lock_file::{Held, hold},
    process, recorder, release_file, reports,
    stick::{self, Mounted},
};

/// How long a program that is asked before a restart may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
/// Where the kernel tells which partition is whose.
const BLOCK_DEVICES: &str = "/sys/class/block";

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct AgentOptions {
    /// Looks at this stick, or folder, instead of the web: at once, whatever the time is.
    #[arg(long, value_name = "DEVICE|DIR")]
    pub stick: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// Takes the steps that can be taken now: asks the channel, fetches, restarts. What keeps the device is told, and is no error.
///
/// # Errors
/// See [`CommandError`]; only where nothing could even be tried.
pub fn agent(root: &Path, options: &AgentOptions) -> Result<(), CommandError> {
    let device = Device::read(root)?;
    let Some(definition) = definition(&device)? else {
        say("this release follows no channel: its trust file has no channel keys");
        return Ok(());
    };
    let config = device_config::kept(&device.state_folder())?;
    let definition = definition.with(&config.update);
    if definition.mode == Mode::Off {
        say("the agent is off, as recipe or device.toml say");
        return Ok(());
    }
    let release = check::definition(&device)?;
    let Some(channel) = check::channel(None, release.as_ref(), &config) else {
        say("neither the recipe nor device.toml names a channel to follow");
        return Ok(());
    };
    let held = match options.stick {
        Some(_) => Held::Wait,
        None => Held::GiveWay,
    };
    let Some(_only_one) = only_one(&device, held)? else {
        return Ok(());
    };
    let (visit, mounted, folder) = match &options.stick {
        None => (Visit::Timer, None, None),
        Some(path) if path.is_dir() => (Visit::Stick, None, Some(path.clone())),
        Some(path) => {
            if !definition.sticks {
                say("sticks aren't looked at: the recipe doesn't say [update] sticks = true");
                return Ok(());
            }
            if stick::is_of_disk(path, device.disk(), Path::new(BLOCK_DEVICES)) {
                return Ok(());
            }
            let mounted = Mounted::new(path, &device.run_folder().join("stick"))?;
            let folder = mounted.folder().to_owned();
            (Visit::Stick, Some(mounted), Some(folder))
        }
    };
    let tree = match folder {
        Some(folder) => Some(TreePlace::Folder(stick::tree(&folder, &channel)?)),
        None => check::web_tree(release.as_ref(), &config).map(TreePlace::Web),
    };
    let mut site = RealSite::new(root, device, config, definition, tree)?;
    let outcome = agent::run(&mut site, visit);
    drop(mounted);
    if options.json {
        let told = json!({"standing": outcome.standing, "restarting": outcome.restarting});
        say(&serde_json::to_string_pretty(&told).unwrap_or_default());
    }
    Ok(())
}

/// What the release says about looking after updates; nothing when it can't follow a channel.
pub(super) fn definition(device: &Device) -> Result<Option<AgentDefinition>, CommandError> {
    let root = device.path("/");
    Ok(release_file::read(
        &root,
        AgentDefinition::PATH,
        AgentDefinition::parse,
    )?)
}

/// One agent at a time: the timer's gives way, a stick's waits.
pub(super) fn only_one(device: &Device, held: Held) -> Result<Option<File>, CommandError> {
    Ok(hold(&device.run_folder().join("agent.lock"), held)?)
}

/// This device.
pub(super) struct RealSite {
    root: PathBuf,
    device: Device,
    config: DeviceConfig,
    definition: AgentDefinition,
    channel: ChannelName,
    tree: Option<TreePlace>,
    trust: Trust,
    built: Timestamp,
    zone: TimeZone,
    stop: Stop,
}

impl RealSite {
    /// The device, and the publish tree that is asked, if any is.
    pub(super) fn new(
        root: &Path,
        device: Device,
        config: DeviceConfig,
        definition: AgentDefinition,
        tree: Option<TreePlace>,
    ) -> Result<Self, CommandError> {
        let release: Option<ChannelDefinition> = check::definition(&device)?;
        let channel = check::channel(None, release.as_ref(), &config).ok_or(NoChannel::Channel)?;
        let zone = site_zone(root).unwrap_or_else(|error| {
            warn(&format!("going by UTC: {}", chain::describe(&error)));
            TimeZone::UTC
        });
        Ok(Self {
            root: root.to_owned(),
            trust: device.trust()?,
            built: check::built(&device, release.as_ref()),
            stop: Stop::on_signals().map_err(CommandError::Signals)?,
            device,
            config,
            definition,
            channel,
            tree,
            zone,
        })
    }

    pub(super) fn who_is(&self) -> Result<Who, CommandError> {
        let (record, slot) = self.boot_record()?;
        let history = remembered(&self.device)?;
        Ok(Who {
            device: key(&self.device)?.device(),
            labels: self.config.labels.clone(),
            running: self.device.release.release.clone(),
            manifest: record.slot(slot).release,
            failed: history.unwanted(&record),
            given_up: history.unwanted_by_somebody(&record),
            fates: history.fates(),
        })
    }

    fn boot_record(&self) -> Result<(BootRecord, Slot), CommandError> {
        let record = Opened::open(&self.device, Access::Read)?
            .lifecycle(&self.device)
            .record()?;
        Ok((record, self.device.slot()))
    }

    fn follow(&self, source: &mut impl ListSource) -> Result<Followed, FollowError> {
        let follower = Follower {
            trust: &self.trust,
            channel: &self.channel,
            folder: &self.device.state_folder().join(CHANNELS),
            now: Timestamp::now(),
            built: self.built,
        };
        follower.look(source)
    }
}

/// Nobody is asked: what is remembered is held against the clock again.
struct Nobody;

impl ListSource for Nobody {
    fn fetch(&mut self, _: &ChannelName, _: Option<&str>) -> Result<Fetched, FetchError> {
        Ok(Fetched::Same)
    }
}

impl Site for RealSite {
    fn now(&self) -> Zoned {
        Timestamp::now().to_zoned(self.zone.clone())
    }

    fn definition(&self) -> &AgentDefinition {
        &self.definition
    }

    fn state(&self) -> PathBuf {
        self.device.state_folder()
    }

    fn run_folder(&self) -> PathBuf {
        self.device.run_folder()
    }

    fn who(&mut self) -> Result<Who, Trouble> {
        self.who_is().map_err(|error| error.trouble())
    }

    fn record(&mut self) -> Result<(BootRecord, Slot), Trouble> {
        self.boot_record().map_err(|error| error.trouble())
    }

    fn has_tree(&self) -> bool {
        self.tree.is_some()
    }

    fn ask(&mut self) -> Result<Followed, FollowError> {
        match self.tree.clone() {
            Some(TreePlace::Folder(folder)) => self.follow(&mut FolderSource::new(&folder)),
            Some(TreePlace::Web(url)) => match WebList::new(&url) {
                Ok(mut list) => self.follow(&mut list),
                Err(source) => Err(FollowError::Fetch {
                    channel: self.channel.clone(),
                    source: FetchError::Unreachable { url, source },
                }),
            },
            None => self.follow(&mut Nobody),
        }
    }

    fn recall(&mut self) -> Option<Accepted> {
        let follower = Follower {
            trust: &self.trust,
            channel: &self.channel,
            folder: &self.device.state_folder().join(CHANNELS),
            now: Timestamp::now(),
            built: self.built,
        };
        follower.recall()
    }

    fn is_free(&self) -> bool {
        matches!(self.tree, Some(TreePlace::Folder(_)))
    }

    fn stage(&mut self, offer: &Offer, limits: Limits) -> (u64, Result<(), StageEnd>) {
        let Some(bundle) = self.tree.as_ref().map(|tree| tree.bundle(offer)) else {
            return (0, Err(StageEnd::Stopped));
        };
        self.tell(&format!("fetching {}", offer.release));
        let meter = Meter::default();
        let done = install::stage(&self.device, bundle, offer.manifest, limits, &meter, &self.stop);
        if done.is_ok() {
            self.tell(&format!(
                "{} is written, {} bytes were fetched",
                offer.release,
                meter.bytes()
            ));
        }
        (meter.bytes(), done.map_err(|error| error.stage_end()))
    }

    fn objection(&mut self) -> Option<String> {
        self.definition.inhibitors.iter().find_map(|words| {
            let why = process::succeed(words, PATIENCE).err()?;
            Some(format!("{}: {why}", words.join(" ")))
        })
    }

    fn restart(&mut self) -> Result<(), Trouble> {
        install::restart_into_trial(&self.device).map_err(|error| error.trouble())
    }

    fn disarm(&mut self) -> Result<(), Trouble> {
        let disarm = || {
            let mut opened = Opened::open(&self.device, Access::Write)?;
            Ok::<_, CommandError>(opened.lifecycle(&self.device).disarm(TakenBackBy::Agent)?)
        };
        disarm().map_err(|error| error.trouble())
    }

    fn take_up(&mut self, release: FileDigest) -> Result<(), Trouble> {
        let take_up = || {
            let _only_one = OnlyOne::new(&self.device)?;
            let mut opened = Opened::open(&self.device, Access::Write)?;
            let mut lifecycle = opened.lifecycle(&self.device);
            agent::take_up(&mut lifecycle, &self.device.state_folder(), release)?;
            Ok::<_, CommandError>(())
        };
        take_up().map_err(|error| error.trouble())
    }

    fn note(&mut self, event: Event) {
        record_event(&self.device, event);
    }

    fn newest_event(&self) -> u64 {
        recorder::newest(&self.device.state_folder(), key(&self.device))
    }

    fn has_noted(&self, after: u64, event: &Event) -> bool {
        recorder::has_since(&self.device.state_folder(), key(&self.device), after, event)
    }

    fn report(&mut self, standing: &Standing) -> Result<(), Trouble> {
        let make = || {
            let key = key(&self.device)?;
            let report = report::gather(&self.root, &self.device, key, Some(standing.clone()))?;
            let kept = reports::keep(&self.device.state_folder(), key, report)?;
            if let Some(url) = &self.definition.report_url {
                let sent =
                    reports::send_with(&self.device.state_folder(), &kept, report::sink(url)?.as_mut())?;
                sent.dropped.iter().for_each(|line| say(line));
            }
            Ok::<_, CommandError>(())
        };
        make().map_err(|error| error.trouble())
    }

    fn send(&mut self) -> Result<(), Trouble> {
        let send = || {
            let Some(url) = &self.definition.report_url else {
                return Ok(());
            };
            let sent = reports::send_all(&self.device.state_folder(), report::sink(url)?.as_mut())?;
            sent.dropped.iter().for_each(|line| say(line));
            Ok::<_, CommandError>(())
        };
        send().map_err(|error| error.trouble())
    }

    fn tell(&mut self, line: &str) {
        say(line);
    }
}
