//! A device that looks after its own updates, played: the agent, the formats, the installation, the boot record and the history are the real ones;
//! disk, firmware, network and clock aren't.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};
use outcrop_release::{
    agent::AgentDefinition,
    bootrec::{BootRecord, LastEnd, TakenBackBy},
    channel::{Accepted, Offer, RELEASES_FOLDER},
    device_id::DeviceId,
    digest::FileDigest,
    journal::Event,
    manifest::RollbackIndex,
    name::ReleaseName,
    plan::survey::Looked,
    report::Standing,
    slot::Slot,
    trust::{Trust, verify},
};

use super::{
    bundle::{MemorySource, Release},
    full_disk::FullDisk,
    network::{Bytes, Counting, Network, Nobody, PlayedSink},
    published::{public, trust_with_channel},
    sim::{Memory, Unwatched},
    world::World,
};
pub(crate) use super::{
    fault::{Fault, Moment},
    published::Published,
};
use crate::{
    agent::{Outcome, Site, StageEnd, Trouble, Visit, Who, run, take_up},
    channel::{FollowError, Followed, Follower},
    commands::CommandError,
    device_key::DeviceKey,
    disk::{Area, Disk as _},
    history::{History, KnownRelease},
    init::efi::SecureBoot,
    install::{
        Allowed, Installation, Limited, Limits, Meter, Refusal, Running, Source, Space, admit, read_head,
    },
    recorder::{self, Recorder, amend_on},
    reports::{FolderSink, keep_on, send_all, send_with},
    tpm::NoTpm,
};

/// A device.
pub(crate) struct PlayedSite<'p> {
    pub(crate) world: World,
    pub(crate) now: Zoned,
    pub(crate) definition: AgentDefinition,
    pub(crate) fault: Fault,
    /// Where its power goes the next time.
    pub(super) power_goes: Option<Moment>,
    /// Who objects to a restart.
    pub(crate) objection: Option<String>,
    /// How long its link takes for a piece of a bundle.
    pub(crate) time_of_a_piece: SignedDuration,
    /// Taking back a trial fails once the boot record says that it is taken back.
    pub(crate) fails_behind_disarm: bool,
    /// The restart that is asked for doesn't come.
    pub(crate) refuses_restart: bool,
    /// Whether its firmware starts only what is signed.
    pub(crate) secure_boot: SecureBoot,
    /// What was said.
    pub(crate) told: Vec<String>,
    /// Bytes of each list that was fetched.
    pub(crate) lists: Vec<usize>,
    /// A tree in a folder instead of the network's.
    pub(crate) stick: Option<PathBuf>,
    pub(crate) hostname: String,
    published: &'p Published,
    pub(crate) state: PathBuf,
    /// Where history and releases are kept.
    pub(crate) medium: FullDisk,
    /// Is gone with each boot.
    pub(crate) run: PathBuf,
    pub(crate) key: DeviceKey,
    reports: PathBuf,
    trust: Trust,
    pub(super) restarting: bool,
}

impl<'p> PlayedSite<'p> {
    /// A device that was flashed with release 1, and keeps what it knows in `state`.
    pub(crate) fn new(
        published: &'p Published,
        state: &Path,
        reports: &Path,
        number: u64,
        now: Timestamp,
    ) -> Self {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        fs::create_dir_all(state).unwrap();
        let text = format!("ed25519-private:{}\n", hex::encode(seed));
        fs::write(state.join("device.key"), text).unwrap();
        Self {
            world: World::flashed(),
            now: now.to_zoned(TimeZone::UTC),
            definition: AgentDefinition {
                report_url: Some("https://fleet.example/reports".to_owned()),
                ..AgentDefinition::default()
            },
            fault: Fault::Nothing,
            power_goes: None,
            objection: None,
            time_of_a_piece: SignedDuration::ZERO,
            fails_behind_disarm: false,
            refuses_restart: false,
            secure_boot: SecureBoot::Off,
            told: Vec::new(),
            lists: Vec::new(),
            stick: None,
            hostname: format!("shop-{number:03}"),
            published,
            state: state.to_owned(),
            medium: FullDisk::new(state),
            run: state.join("run"),
            key: DeviceKey::of(state, NoTpm).unwrap(),
            reports: reports.to_owned(),
            trust: trust_with_channel(),
            restarting: false,
        }
    }

    /// The clock goes on, and the timer runs the agent.
    pub(crate) fn tick(&mut self, minutes: i64) -> Outcome {
        self.now = self.now.checked_add(SignedDuration::from_mins(minutes)).unwrap();
        self.visit(Visit::Timer)
    }

    /// The agent runs, and the device restarts if it has asked for that.
    pub(crate) fn visit(&mut self, visit: Visit) -> Outcome {
        let outcome = run(self, visit);
        if std::mem::take(&mut self.restarting) {
            self.start(LastEnd::Orderly);
        }
        outcome
    }

    /// The version that runs.
    pub(crate) fn version(&self) -> String {
        self.running_release().version.to_string()
    }

    pub(crate) fn device(&self) -> DeviceId {
        self.key.device()
    }

    /// The kinds of events in its history, the oldest first.
    pub(crate) fn events(&self) -> Vec<Event> {
        let verified = crate::journal::verified(&self.state, &self.key).unwrap();
        verified.entries.into_iter().map(|entry| entry.event).collect()
    }

    pub(super) fn running_release(&self) -> ReleaseName {
        let payload = self.world.disk.content(Area::Boot(self.world.running()));
        let runs =
            |(number, release): (&u64, &Release)| payload.starts_with(&release.boot).then_some(*number);
        let number = self.world.releases.iter().find_map(runs).unwrap();
        ReleaseName {
            image: "edge".parse().unwrap(),
            version: semver::Version::new(1, number, 0),
            architecture: "x86_64".parse().unwrap(),
            board: "efi".parse().unwrap(),
        }
    }

    pub(super) fn known(&mut self, slot: Slot, version: String) -> KnownRelease {
        let record = self.boot_record();
        KnownRelease {
            version,
            digest: record.slot(slot).release.to_string(),
        }
    }

    pub(super) fn boot_record(&mut self) -> BootRecord {
        let running = self.world.running();
        self.world.lifecycle(running).record().unwrap()
    }

    pub(super) fn remember(&mut self, change: impl FnOnce(&mut History)) {
        let problems = Recorder::new(&self.state, Ok(&self.key), &self.medium).remember(change);
        self.hear(problems);
    }

    /// What can't be kept is told; with room there is nothing of the kind.
    fn hear(&mut self, problems: Vec<String>) {
        assert!(self.medium.is_tight() || problems.is_empty(), "{problems:?}");
        self.told.extend(problems);
    }

    pub(super) fn history(&self) -> History {
        History::load(&self.state).unwrap().history
    }

    fn is_offline(&self) -> bool {
        matches!(self.fault, Fault::OfflineUntil(until) if self.now.timestamp() < until)
    }

    /// Who takes its reports.
    fn sink(&self) -> PlayedSink {
        let now = self.now.timestamp();
        let is_silent = matches!(self.fault, Fault::SilentFrom(from) if now >= from);
        PlayedSink {
            inner: FolderSink(self.reports.clone()),
            is_down: is_silent || self.is_offline(),
        }
    }

    fn follow(&mut self, asks: bool) -> Result<Followed, FollowError> {
        let (now, offline) = (self.now.timestamp(), self.is_offline());
        let follower = Follower {
            trust: &self.trust,
            channel: &"stable".parse().unwrap(),
            folder: &self.state.join("channels"),
            now,
            built: "2026-11-01T00:00:00Z".parse().unwrap(),
        };
        if !asks {
            return follower.look_on(&mut Nobody, &self.medium);
        }
        if let Some(folder) = &self.stick {
            return follower.look_on(&mut crate::channel::FolderSource::new(folder), &self.medium);
        }
        let mut network = Network {
            published: self.published,
            now,
            offline,
            lists: &mut self.lists,
        };
        follower.look_on(&mut network, &self.medium)
    }

    /// The same steps as `outcrop-updater install`, on a disk that is played.
    fn install(&mut self, source: &mut impl Source, offer: &Offer) -> Result<(), CommandError> {
        let head = read_head(source)?;
        let trust = match self.fault {
            Fault::Untrusting => {
                let other = vec![("other".to_owned(), public([77; 32]))];
                Trust::new(1, other).unwrap()
            }
            _ => self.trust.clone(),
        };
        let release = verify(&head.manifest, &head.signatures, &trust)?;
        let version = release.manifest().release.version.clone();
        if release.digest() != offer.manifest {
            return Err(Refusal::NotOffered(version).into());
        }
        let (record, slot) = (self.boot_record(), self.world.running());
        let target = slot.other();
        let running = Running {
            release: self.running_release(),
            rollback_index: RollbackIndex(0),
            updater: semver::Version::new(0, 1, 0),
            slot,
            root_hash: self.world.releases[&self.running_release().version.minor]
                .root_tree()
                .root_hash(),
            secure_boot: self.secure_boot,
        };
        let space = Space {
            boot: self.world.disk.bytes(Area::Boot(target)),
            root: self.world.disk.bytes(Area::Root(target)),
            verity: self.world.disk.bytes(Area::Verity(target)),
        };
        let allowed = Allowed {
            downgrade: false,
            failed: false,
        };
        admit(&release, &running, &record, &space, allowed)?;
        let mut installation = Installation {
            source,
            disk: &mut self.world.disk,
            scratch: &mut Memory::default(),
            running: slot,
            budget: None,
            delta: None,
            looked: Looked::default(),
            memory: 0,
            watch: &Unwatched,
        };
        let prepared = installation.prepare(&head, &release)?;
        let known = KnownRelease {
            version: version.to_string(),
            digest: release.digest().to_string(),
        };
        let intended = known.clone();
        let _kept_or_not = amend_on(&self.state, &self.medium, |history| {
            history.will_install(target, intended);
        });
        installation.carry_out(&prepared)?;
        self.world.disk.forget_log();
        self.moment(Moment::Written);
        self.remember(|history| history.installed(target, known));
        Ok(())
    }
}

impl Site for PlayedSite<'_> {
    fn now(&self) -> Zoned {
        self.now.clone()
    }

    fn definition(&self) -> &AgentDefinition {
        &self.definition
    }

    fn state(&self) -> PathBuf {
        self.state.clone()
    }

    fn run_folder(&self) -> PathBuf {
        self.run.clone()
    }

    fn who(&mut self) -> Result<Who, Trouble> {
        let record = self.boot_record();
        let history = self.history();
        Ok(Who {
            device: self.key.device(),
            labels: BTreeMap::new(),
            running: self.running_release(),
            manifest: record.slot(self.world.running()).release,
            failed: history.unwanted(&record),
            given_up: history.unwanted_by_somebody(&record),
            fates: history.fates(),
        })
    }

    fn record(&mut self) -> Result<(BootRecord, Slot), Trouble> {
        Ok((self.boot_record(), self.world.running()))
    }

    fn has_tree(&self) -> bool {
        true
    }

    fn ask(&mut self) -> Result<Followed, FollowError> {
        self.follow(true)
    }

    fn recall(&mut self) -> Option<Accepted> {
        self.follow(false).ok().map(|followed| followed.list)
    }

    fn is_free(&self) -> bool {
        self.stick.is_some()
    }

    fn stage(&mut self, offer: &Offer, limits: Limits) -> (u64, Result<(), StageEnd>) {
        self.world.disk.failing_write =
            matches!(self.fault, Fault::BadDisk).then_some(self.world.disk.writes() + 2);
        let meter = Meter::default();
        let done = if let Some(folder) = self.stick.clone() {
            let path = folder.join(RELEASES_FOLDER).join(offer.file_name());
            crate::install::FileSource::open_in_tree(&path)
                .map_err(CommandError::from)
                .and_then(|mut file| self.install(&mut file, offer))
        } else {
            let now = self.now.timestamp();
            let there = match self.fault {
                Fault::NoBundles => false,
                Fault::NoBundlesUntil(until) => now >= until,
                _ => !self.is_offline(),
            };
            let bytes = self.published.bundles[&offer.release.version.to_string()]
                .bytes
                .clone();
            let clock = Cell::new(self.now.timestamp());
            let inner = Counting {
                inner: Bytes {
                    there,
                    inner: MemorySource(bytes),
                },
                meter: meter.clone(),
                clock: &clock,
                time_of_a_piece: self.time_of_a_piece,
            };
            let mut source = Limited::new(inner, limits, meter.clone(), || clock.get());
            let done = self.install(&mut source, offer);
            self.now = clock.get().to_zoned(TimeZone::UTC);
            done
        };
        self.world.disk.failing_write = None;
        (meter.bytes(), done.map_err(|error| error.stage_end()))
    }

    fn objection(&mut self) -> Option<String> {
        self.objection.clone()
    }

    fn restart(&mut self) -> Result<(), Trouble> {
        let record = self.boot_record();
        self.remember(|history| history.settle(&record));
        if record.trial.is_none() {
            let running = self.world.running();
            self.world.lifecycle(running).arm().unwrap();
        }
        if self.refuses_restart {
            return Err(CommandError::Reboot(std::io::ErrorKind::TimedOut.into()).trouble());
        }
        self.restarting = true;
        Ok(())
    }

    fn disarm(&mut self) -> Result<(), Trouble> {
        let running = self.world.running();
        self.world.lifecycle(running).disarm(TakenBackBy::Agent).unwrap();
        if self.fails_behind_disarm {
            let why = std::io::Error::other("the boot loader's file can't be written");
            return Err(CommandError::Reboot(why).trouble());
        }
        Ok(())
    }

    fn take_up(&mut self, release: FileDigest) -> Result<(), Trouble> {
        let (running, state) = (self.world.running(), self.state.clone());
        take_up(&mut self.world.lifecycle(running), &state, release)
            .map_err(|error| CommandError::from(error).trouble())
    }

    fn newest_event(&self) -> u64 {
        recorder::newest(&self.state, Ok(&self.key))
    }

    fn has_noted(&self, after: u64, event: &Event) -> bool {
        recorder::has_since(&self.state, Ok(&self.key), after, event)
    }

    fn note(&mut self, event: Event) {
        let problems = Recorder::new(&self.state, Ok(&self.key), &self.medium).record(event);
        self.hear(problems);
    }

    fn report(&mut self, standing: &Standing) -> Result<(), Trouble> {
        let sent = self.reported(standing).and_then(|report| {
            let kept = keep_on(&self.state, &self.key, report, &self.medium)?;
            send_with(&self.state, &kept, &mut self.sink())
        });
        sent.map(drop)
            .map_err(|error| CommandError::from(error).trouble())
    }

    fn send(&mut self) -> Result<(), Trouble> {
        let sent = send_all(&self.state, &mut self.sink());
        sent.map(drop)
            .map_err(|error| CommandError::from(error).trouble())
    }

    fn tell(&mut self, line: &str) {
        self.told.push(line.to_owned());
    }
}
