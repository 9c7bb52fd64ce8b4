//! A device that looks after its own updates, played: the agent, the formats, the installation, the boot record and the history are the real ones;
//! disk, firmware, network and clock aren't.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use ed25519_dalek::{Signer as _, SigningKey};
use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};
use outcrop_release::{
    agent::AgentDefinition,
    bootrec::{BadReason, BootRecord, LastEnd, SlotState},
    channel::{Accepted, Channel, ChannelName, Lifetime, Offer, Publication, RELEASES_FOLDER},
    digest::FileDigest,
    journal::Event,
    manifest::RollbackIndex,
    name::ReleaseName,
    plan::{ByteRange, survey::Looked},
    report::{Drift, Health, Report, Standing},
    signed,
    slot::Slot,
    trust::{PublicKey, Purpose, Role, Signature, Signatures, Trust, signed_message, verify},
};

use super::{
    bundle::{Bundle, MemorySource, trust},
    sim::{Memory, Unwatched},
    world::World,
};
use crate::{
    agent::{Outcome, Site, StageEnd, Trouble, Visit, Who, run},
    channel::{FetchError, Fetched, FollowError, Followed, Follower, ListSource},
    commands::CommandError,
    device_key::DeviceKey,
    disk::{Area, Disk as _},
    history::{self, History, KnownRelease},
    install::{
        Allowed, Installation, Limited, Limits, Meter, Refusal, Running, Source, SourceError, Space, Take,
        admit, read_head,
    },
    journal::Journal,
    last_update::last_update,
    lifecycle::Next,
    recorder,
    reports::{FolderSink, Sink, keep, next_sequence},
};

/// Restarts in a row that a device makes by itself at most.
const MOST_RESTARTS: usize = 12;
const CHANNEL_KEY: [u8; 32] = [2; 32];

/// What is wrong with a device, or around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    /// Bundles can't be had.
    NoBundles,
    /// The same until this moment.
    NoBundlesUntil(Timestamp),
    /// Nothing can be had at all until this moment.
    OfflineUntil(Timestamp),
    /// It trusts other keys.
    Untrusting,
    /// The slot that doesn't run can't be written.
    BadDisk,
    /// The new release panics here.
    Panics,
    /// A health check doesn't hold with it.
    FailsCheck,
    /// Its Kubernetes doesn't come up.
    FailsKubernetes,
    /// Its power goes in each trial.
    LosesPower,
    /// Somebody has changed files on it.
    Drifted,
    /// Its reports don't arrive after this moment.
    SilentFrom(Timestamp),
}

/// What is published: the same for all devices.
pub(crate) struct Published {
    /// Lists, each from its moment on.
    lists: Vec<(Timestamp, Vec<u8>)>,
    channel: Channel,
    /// By their versions.
    bundles: BTreeMap<String, Bundle>,
}

fn lifetime(issued: Timestamp) -> Lifetime {
    Lifetime {
        issued,
        counts_for: SignedDuration::from_hours(24 * 30),
    }
}

fn public(seed: [u8; 32]) -> PublicKey {
    PublicKey::from_bytes(SigningKey::from_bytes(&seed).verifying_key().as_bytes()).unwrap()
}

/// Whom devices trust.
pub(crate) fn trust_with_channel() -> Trust {
    let role = Role::new(1, vec![("channel".to_owned(), public(CHANNEL_KEY))]).unwrap();
    trust().with_channel(role).unwrap()
}

fn signed_list(channel: &Channel) -> Vec<u8> {
    let document = channel.to_bytes();
    let mut signatures = Signatures::default();
    let bytes = SigningKey::from_bytes(&CHANNEL_KEY)
        .sign(&signed_message(Purpose::Channel, &document))
        .to_bytes();
    let key = public(CHANNEL_KEY);
    signatures.add(Signature { key, bytes }).unwrap();
    signed::join(&document, &signatures)
}

impl Published {
    /// An empty channel.
    pub(crate) fn new(at: Timestamp) -> Self {
        let channel = Channel::new("stable".parse().unwrap(), lifetime(at)).unwrap();
        Self {
            lists: vec![(at, signed_list(&channel))],
            channel,
            bundles: BTreeMap::new(),
        }
    }

    /// Changes the list.
    pub(crate) fn change(&mut self, at: Timestamp, change: impl FnOnce(&Channel, Lifetime) -> Channel) {
        self.channel = change(&self.channel, lifetime(at));
        self.lists.push((at, signed_list(&self.channel)));
    }

    /// Offers a bundle.
    pub(crate) fn offer(&mut self, at: Timestamp, bundle: Bundle, waves: &str) {
        let manifest = bundle.manifest.to_bytes();
        let publication = Publication {
            release: bundle.manifest.release.clone(),
            manifest: FileDigest::of(&manifest),
            bytes: bundle.bytes.len() as u64,
            rollback_index: RollbackIndex(0),
            waves: waves.parse().unwrap(),
            hold_back: Vec::new(),
        };
        self.change(at, |channel, lifetime| {
            channel.publish(vec![publication], lifetime).unwrap()
        });
        self.bundles
            .insert(bundle.manifest.release.version.to_string(), bundle);
    }

    /// Lays the tree out in a folder, as it is at a moment: a stick.
    pub(crate) fn lay_out(&self, folder: &Path, at: Timestamp) {
        fs::create_dir_all(folder.join(RELEASES_FOLDER)).unwrap();
        fs::write(folder.join("stable.channel"), self.list(at)).unwrap();
        for bundle in self.bundles.values() {
            let name = format!("{}.outcrop", bundle.manifest.release);
            fs::write(folder.join(RELEASES_FOLDER).join(name), &bundle.bytes).unwrap();
        }
    }

    fn list(&self, at: Timestamp) -> &[u8] {
        let since = self.lists.iter().rev().find(|(since, _)| *since <= at);
        &since.unwrap().1
    }
}

/// What a device's network gives it.
struct Network<'p> {
    published: &'p Published,
    now: Timestamp,
    offline: bool,
    /// What was asked, in bytes; answers of a list that hasn't changed are empty.
    lists: &'p mut Vec<usize>,
}

impl ListSource for Network<'_> {
    fn fetch(&mut self, _: &ChannelName, tag: Option<&str>) -> Result<Fetched, FetchError> {
        if self.offline {
            return Err(FetchError::Unreachable {
                url: "https://updates.example/edge/stable.channel".to_owned(),
                source: std::io::ErrorKind::TimedOut.into(),
            });
        }
        let bytes = self.published.list(self.now).to_vec();
        let found = FileDigest::of(&bytes).to_string();
        if tag == Some(found.as_str()) {
            self.lists.push(0);
            return Ok(Fetched::Same);
        }
        self.lists.push(bytes.len());
        Ok(Fetched::List {
            bytes,
            tag: Some(found),
        })
    }
}

/// Nobody is asked.
struct Nobody;

impl ListSource for Nobody {
    fn fetch(&mut self, _: &ChannelName, _: Option<&str>) -> Result<Fetched, FetchError> {
        Ok(Fetched::Same)
    }
}

/// A bundle that may not be there.
struct Bytes {
    there: bool,
    inner: MemorySource,
}

impl Source for Bytes {
    fn read<E: From<SourceError>>(&mut self, range: ByteRange, take: Take<'_, E>) -> Result<(), E> {
        if self.there {
            return self.inner.read(range, take);
        }
        Err(SourceError::Server {
            tries: 8,
            why: "connection refused".to_owned(),
        }
        .into())
    }
}

/// A device.
pub(crate) struct PlayedSite<'p> {
    pub(crate) world: World,
    pub(crate) now: Zoned,
    pub(crate) definition: AgentDefinition,
    pub(crate) fault: Fault,
    /// Who objects to a restart.
    pub(crate) objection: Option<String>,
    /// The restart that is asked for doesn't come.
    pub(crate) refuses_restart: bool,
    /// What was said.
    pub(crate) told: Vec<String>,
    /// Bytes of each list that was fetched.
    pub(crate) lists: Vec<usize>,
    /// A tree in a folder instead of the network's.
    pub(crate) stick: Option<PathBuf>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) hostname: String,
    published: &'p Published,
    state: PathBuf,
    key: DeviceKey,
    reports: PathBuf,
    trust: Trust,
    restarting: bool,
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
            objection: None,
            refuses_restart: false,
            told: Vec::new(),
            lists: Vec::new(),
            stick: None,
            labels: BTreeMap::new(),
            hostname: format!("shop-{number:03}"),
            published,
            state: state.to_owned(),
            key: DeviceKey::of(state).unwrap(),
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

    pub(crate) fn state_folder(&self) -> &Path {
        &self.state
    }

    pub(crate) fn device(&self) -> outcrop_release::device_id::DeviceId {
        self.key.device()
    }

    /// The kinds of events in its history, the oldest first.
    pub(crate) fn events(&self) -> Vec<Event> {
        let verified = crate::journal::verified(&self.state, &self.key).unwrap();
        verified.entries.into_iter().map(|entry| entry.event).collect()
    }

    fn running_release(&self) -> ReleaseName {
        let payload = self.world.disk.content(Area::Boot(self.world.running()));
        let mut releases = self.world.releases.iter();
        let number = releases
            .find_map(|(number, release)| payload.starts_with(&release.boot).then_some(*number))
            .unwrap();
        ReleaseName {
            image: "edge".parse().unwrap(),
            version: semver::Version::new(1, number, 0),
            architecture: "x86_64".parse().unwrap(),
            board: "efi".parse().unwrap(),
        }
    }

    /// Switched on after a boot that ended so, until it stays up.
    pub(crate) fn start(&mut self, last: LastEnd) {
        let mut last = last;
        for _ in 0..MOST_RESTARTS {
            let booted = self.world.boot(last).unwrap();
            self.catch_up();
            if booted.next == Next::Start {
                return;
            }
            last = match self.fault {
                Fault::Panics => LastEnd::Panic,
                Fault::LosesPower => LastEnd::PowerLost,
                Fault::FailsCheck => self.give_up("the check till-software didn't hold: exit status: 1"),
                Fault::FailsKubernetes => {
                    self.give_up("the check kubernetes-node didn't hold: the node isn't ready")
                }
                _ => {
                    self.commit();
                    return;
                }
            };
        }
        panic!("{} restarts for ever", self.hostname);
    }

    fn known(&mut self, slot: Slot, version: String) -> KnownRelease {
        let record = self.boot_record();
        KnownRelease {
            version,
            digest: record.slot(slot).release.to_string(),
        }
    }

    fn boot_record(&mut self) -> BootRecord {
        let running = self.world.running();
        self.world.lifecycle(running).record().unwrap()
    }

    fn remember(&mut self, change: impl FnOnce(&mut History)) {
        assert_eq!(recorder::remember(&self.state, change), [""; 0]);
    }

    fn history(&self) -> History {
        History::load(&self.state).unwrap().history
    }

    fn commit(&mut self) {
        let slot = self.world.running();
        self.world.lifecycle(slot).commit().unwrap();
        let version = self.version();
        let release = self.known(slot, version);
        self.remember(|history| history.committed(slot, &release, RollbackIndex(0)));
    }

    fn give_up(&mut self, why: &str) -> LastEnd {
        let slot = self.world.running();
        self.world.lifecycle(slot).fail(BadReason::CheckFailed).unwrap();
        let version = self.version();
        let release = self.known(slot, version);
        self.remember(|history| history.failed(slot, release, why));
        LastEnd::Orderly
    }

    /// A trial that ended without a word is remembered by who comes after it.
    fn catch_up(&mut self) {
        let (record, other) = (self.boot_record(), self.world.running().other());
        let there = record.slot(other);
        let SlotState::Bad(reason) = there.state else {
            return;
        };
        let history = self.history();
        if history.knows_failure(other, &there.release) {
            return;
        }
        let version = history.release(other, &there.release).unwrap().version.clone();
        let release = self.known(other, version);
        self.remember(|history| history.failed(other, release, history::describe(reason)));
    }

    fn is_offline(&self) -> bool {
        matches!(self.fault, Fault::OfflineUntil(until) if self.now.timestamp() < until)
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
            return follower.look(&mut Nobody);
        }
        if let Some(folder) = &self.stick {
            return follower.look(&mut crate::channel::FolderSource::new(folder));
        }
        follower.look(&mut Network {
            published: self.published,
            now,
            offline,
            lists: &mut self.lists,
        })
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
        installation.carry_out(&prepared)?;
        self.world.disk.forget_log();
        let known = KnownRelease {
            version: version.to_string(),
            digest: release.digest().to_string(),
        };
        self.remember(|history| history.installed(target, known));
        Ok(())
    }

    fn reported(&mut self, standing: &Standing) -> Report {
        let record = self.boot_record();
        let slot = self.world.running();
        let history = self.history();
        let journal = Journal::open(&self.state, &self.key).unwrap();
        let drift = match self.fault {
            Fault::Drifted => (2, "a file in /etc"),
            _ => (0, ""),
        };
        Report {
            key: *self.key.public(),
            sequence: next_sequence(&self.state).unwrap(),
            at: self.now.timestamp(),
            hostname: Some(self.hostname.clone()),
            labels: self.labels.clone(),
            running: self.running_release(),
            manifest: record.slot(slot).release,
            slot: slot.to_string(),
            channel: None,
            last: history.last.as_ref().map(|last| last_update(last, &record)),
            agent: Some(standing.clone()),
            health: Health::Healthy,
            drift: Some(Drift {
                differences: drift.0,
                fingerprint: FileDigest::of(drift.1.as_bytes()),
            }),
            history: journal.last().map(|last| last.head),
        }
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

    fn who(&mut self) -> Result<Who, Trouble> {
        let record = self.boot_record();
        let history = self.history();
        Ok(Who {
            device: self.key.device(),
            labels: self.labels.clone(),
            running: self.running_release(),
            manifest: record.slot(self.world.running()).release,
            failed: history.failed_digests().collect(),
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
            crate::install::FileSource::open(&path)
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
            let inner = Counting {
                inner: Bytes {
                    there,
                    inner: MemorySource(bytes),
                },
                meter: meter.clone(),
            };
            // The clock stands still while a release is fetched.
            let mut source = Limited::new(
                inner,
                Limits {
                    until: None,
                    ..limits
                },
                meter.clone(),
                Timestamp::now,
            );
            self.install(&mut source, offer)
        };
        self.world.disk.failing_write = None;
        (meter.bytes(), done.map_err(|error| error.stage_end()))
    }

    fn objection(&mut self) -> Option<String> {
        self.objection.clone()
    }

    fn restart(&mut self) -> Result<(), Trouble> {
        if self.boot_record().trial.is_none() {
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
        self.world.lifecycle(running).disarm().unwrap();
        Ok(())
    }

    fn note(&mut self, event: Event) {
        assert_eq!(recorder::record(&self.state, event), [""; 0]);
    }

    fn report(&mut self, standing: &Standing) -> Result<(), Trouble> {
        let report = self.reported(standing);
        keep(&self.state, &self.key, &report).unwrap();
        self.send()
    }

    fn send(&mut self) -> Result<(), Trouble> {
        let now = self.now.timestamp();
        let is_silent = matches!(self.fault, Fault::SilentFrom(from) if now >= from);
        let mut sink = PlayedSink {
            inner: FolderSink(self.reports.clone()),
            is_down: is_silent || self.is_offline(),
        };
        let sent = crate::reports::send_all(&self.state, &mut sink);
        sent.map(drop)
            .map_err(|error| CommandError::from(error).trouble())
    }

    fn tell(&mut self, line: &str) {
        self.told.push(line.to_owned());
    }
}

struct PlayedSink {
    inner: FolderSink,
    is_down: bool,
}

impl Sink for PlayedSink {
    fn send(&mut self, report: &Report, bytes: &[u8]) -> std::io::Result<()> {
        if self.is_down {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        self.inner.send(report, bytes)
    }
}

/// Counts what is read, as a metered link would.
struct Counting {
    inner: Bytes,
    meter: Meter,
}

impl Source for Counting {
    fn read<E: From<SourceError>>(&mut self, range: ByteRange, take: Take<'_, E>) -> Result<(), E> {
        let meter = self.meter.clone();
        self.inner.read::<E>(range, &mut |piece| {
            meter.add(piece.len() as u64);
            take(piece)
        })
    }
}
