//! The steps of an installation.

use std::{fs, time::Duration};

use outcrop_release::{
    bootrec::{BootRecord, SlotState},
    bundle::Head,
    delta,
    digest::FileDigest,
    plan::{Cost, Link, survey::Looked},
    slot::Slot,
    trust::{VerifiedRelease, verify},
};
use serde_json::json;

use super::{
    super::{
        CommandError, EFI_VARIABLES, Opened, announce, drain::before_restart, progress::Progress, reboot,
        remember, state::with_keeper, warn,
    },
    InstallOptions, arm_other,
    scratch::scratch,
};
use crate::{
    agent::{ArmedBy, Armer},
    block_disk::Access,
    boot_control::BootControl as _,
    device::Device,
    disk::{Area, Disk as _},
    health,
    history::{History, KnownRelease},
    init::efi::{EfiVariables, SecureBoot, read_secure_boot},
    install::{
        Allowed, FoundDelta, InstallError, Installation, Refusal, Running, Search, Source, SourceError,
        Space, admit, read_head,
    },
    recorder::amend,
    state::is_neighbour,
};

/// Folder of checks that are looked at before anything is changed, below the root.
const PRE_CHECKS: &str = "usr/lib/outcrop/install-checks.d";

/// Opens a file beside the bundle, or an address; none when it can't.
pub(super) type OpenFile<'a, S> = &'a dyn Fn(&str) -> Option<S>;

/// An installation.
pub(super) struct Work<'a> {
    pub(super) device: &'a Device,
    pub(super) options: &'a InstallOptions,
    pub(super) progress: &'a Progress,
    pub(super) then: Then,
}

/// What follows when the release is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Its trial is armed.
    Arm,
    /// Nothing. Only the release with this manifest is meant: no other one that was signed once.
    Leave(FileDigest),
}

/// What an admitted release needs.
enum Needed {
    /// It is to be written.
    Write,
    /// It is there already, and only its trial is to be armed.
    Arm,
}

impl Work<'_> {
    /// Installs what `source` has.
    pub(super) fn install<S: Source>(
        &self,
        source: &mut S,
        open: OpenFile<'_, S>,
    ) -> Result<(), CommandError> {
        let trust = self.device.trust()?;
        let head = read_head(source)?;
        let release = verify(&head.manifest, &head.signatures, &trust)?;
        if let Then::Leave(manifest) = self.then
            && manifest != release.digest()
        {
            return Err(Refusal::NotOffered(release.manifest().release.version.clone()).into());
        }
        let access = if self.options.dry_run {
            Access::Read
        } else {
            Access::Write
        };
        let mut opened = Opened::open(self.device, access)?;
        let needed = self.admit(&mut opened, &release)?;
        self.check_state(&release)?;
        self.pre_checks()?;
        if !self.options.dry_run {
            opened.control.probe().map_err(CommandError::NoTrial)?;
        }
        if matches!(needed, Needed::Write) && !self.write(source, open, &head, &release, &mut opened)? {
            return Ok(());
        }
        if self.options.dry_run {
            self.progress.event(
                &self.plan_event(Cost::default()),
                "the release is written already: only its trial would be armed",
            );
            return Ok(());
        }
        if matches!(needed, Needed::Arm) {
            // The power may have gone before that was remembered.
            let record = opened.lifecycle(self.device).record()?;
            self.remember(&record, |history, target| {
                history.is_written(&record, target, known(&release));
            });
        }
        match self.then {
            Then::Arm => self.arm(&mut opened, &release),
            Then::Leave(_) => Ok(()),
        }
    }

    /// Whether the release may be installed, and what there is to do.
    fn admit(&self, opened: &mut Opened, release: &VerifiedRelease) -> Result<Needed, CommandError> {
        let device = self.device;
        let record = opened.lifecycle(device).record()?;
        let history = self.history();
        let target = device.slot().other();
        let running = Running {
            release: device.release.release.clone(),
            rollback_index: device.release.rollback_index.max(history.rollback_index()),
            updater: env!("CARGO_PKG_VERSION")
                .parse()
                .unwrap_or(semver::Version::new(0, 0, 0)),
            slot: device.slot(),
            root_hash: device.boot.root_hash,
            secure_boot: secure_boot(),
        };
        let space = Space {
            boot: opened.disk.bytes(Area::Boot(target)),
            root: opened.disk.bytes(Area::Root(target)),
            verity: opened.disk.bytes(Area::Verity(target)),
        };
        let allowed = Allowed {
            downgrade: self.options.allow_downgrade,
            failed: self.options.retry_failed,
        };
        admit(release, &running, &record, &space, allowed)?;
        if !allowed.failed && history.failure(&release.digest()).is_some() {
            let version = release.manifest().release.version.clone();
            return Err(Refusal::Failed(version).into());
        }
        Ok(needed(&record, target, release))
    }

    fn history(&self) -> History {
        match History::load(&self.device.state_folder()) {
            Ok(loaded) => {
                if let Some(path) = loaded.set_aside {
                    warn(&format!(
                        "what was known of earlier releases is damaged, and now in {}",
                        path.display()
                    ));
                }
                loaded.history
            }
            Err(error) => {
                warn(&crate::chain::describe(&error));
                History::default()
            }
        }
    }

    /// Whether the release's Kubernetes can go on with the device's state, and a copy of it fits.
    fn check_state(&self, release: &VerifiedRelease) -> Result<(), CommandError> {
        let known = with_keeper(self.device, |keeper| {
            keeper.check_room().map_err(CommandError::NoRoomForState)?;
            Ok::<_, CommandError>(keeper.memory()?.owner.and_then(|owner| owner.kubernetes))
        })?;
        let from = known
            .transpose()?
            .flatten()
            .or_else(|| self.device.release.kubernetes.clone());
        match (from, &release.manifest().kubernetes) {
            (Some(from), Some(to)) if !self.options.allow_kubernetes_skip && !is_neighbour(&from, to) => {
                Err(Refusal::Kubernetes { from, to: to.clone() }.into())
            }
            _ => Ok(()),
        }
    }

    /// The recipe's own conditions: enough battery, no customer at the till.
    fn pre_checks(&self) -> Result<(), CommandError> {
        let checks = health::checks_in(&self.device.path(PRE_CHECKS))?;
        let states = health::look_once(&checks);
        match states.into_iter().find(|state| state.required && !state.holds) {
            None => Ok(()),
            Some(state) => {
                let reason = state.reason.unwrap_or_default();
                Err(CommandError::PreCheck(format!("{}: {reason}", state.name)))
            }
        }
    }

    /// Writes the release; false when that was only planned.
    fn write<S: Source>(
        &self,
        source: &mut S,
        open: OpenFile<'_, S>,
        head: &Head,
        release: &VerifiedRelease,
        opened: &mut Opened,
    ) -> Result<bool, CommandError> {
        let trees = release.manifest().members.verity.bytes;
        let mut scratch = scratch(&self.device.state_folder(), &self.device.run_folder(), trees)?;
        let (mut delta, looked) = self.delta(source, open, head, release)?;
        let mut installation = Installation {
            source,
            disk: &mut opened.disk,
            scratch: &mut scratch,
            running: self.device.slot(),
            budget: self.options.max_download,
            delta: delta.as_mut(),
            looked,
            memory: available_memory(self.device),
            watch: self.progress,
        };
        let prepared = installation.prepare(head, release).map_err(|error| match error {
            InstallError::Source(SourceError::Spent(bytes)) => CommandError::TooLittle(bytes),
            error => error.into(),
        })?;
        let cost = prepared.cost();
        let manifest = release.manifest();
        self.progress
            .set_totals(cost.write, manifest.boot.bytes + manifest.root.bytes);
        self.tell_plan(release, cost);
        if self.options.dry_run {
            return Ok(false);
        }
        let target = self.device.slot().other();
        // What can't be kept of that is told when it has happened.
        let _kept_or_not = amend(&self.device.state_folder(), |history| {
            history.will_install(target, known(release));
        });
        let cost = installation.carry_out(&prepared)?;
        let record = opened.lifecycle(self.device).record()?;
        self.remember(&record, |history, target| {
            history.installed(target, known(release));
        });
        let written = json!({"event": "written", "slot": target.to_string(), "fetched": cost.fetch.total(), "written": cost.write});
        self.progress.event(
            &written,
            &format!(
                "written to slot {target} and read back: {} fetched, {} written",
                mib(cost.fetch.total()),
                mib(cost.write)
            ),
        );
        Ok(true)
    }

    /// A delta that leads from what runs to the release: in the bundle, or beside it.
    fn delta<S: Source>(
        &self,
        source: &mut S,
        open: OpenFile<'_, S>,
        head: &Head,
        release: &VerifiedRelease,
    ) -> Result<(Option<FoundDelta<S>>, Looked), CommandError> {
        if self.options.no_delta {
            return Ok((None, Looked::default()));
        }
        let search = Search {
            bundle: source,
            layout: head.layout(&release.manifest().members),
            release,
            trust: &self.device.trust()?,
            running: self.device.boot.root_hash,
            beside: &mut |from| open(&delta::file_name(&self.options.bundle, from)?),
        };
        let found = search.find(&mut |error| {
            warn(&format!(
                "going on without a delta: {}",
                crate::chain::describe(&error)
            ));
        });
        Ok(found.map_err(InstallError::from)?)
    }

    /// Which releases the slots hold now; `change` has it of the one that doesn't run.
    fn remember(&self, record: &BootRecord, change: impl FnOnce(&mut History, Slot)) {
        let running = self.device.slot();
        let runs = self.device.running_release(record);
        remember(self.device, |history| {
            history.holds(running, runs);
            change(history, running.other());
        });
    }

    fn tell_plan(&self, release: &VerifiedRelease, cost: Cost) {
        let manifest = release.manifest();
        let name = &manifest.release;
        let mut event = self.plan_event(cost);
        if let Some(fields) = event.as_object_mut() {
            fields.insert("name".to_owned(), json!(name.image.to_string()));
            fields.insert("version".to_owned(), json!(name.version.to_string()));
            fields.insert("signers".to_owned(), json!(release.signers()));
        }
        let text = format!(
            "{} {}, signed by {}: {}",
            name.image,
            name.version,
            release.signers().join(" and "),
            cost.describe(&self.link())
        );
        self.progress.event(&event, &text);
    }

    fn plan_event(&self, cost: Cost) -> serde_json::Value {
        let mut event = cost.to_json(&self.link());
        if let Some(fields) = event.as_object_mut() {
            fields.insert("event".to_owned(), json!("plan"));
        }
        event
    }

    /// What the time is told for.
    fn link(&self) -> Link {
        Link {
            rate: self.options.rate,
            latency: Duration::from_millis(self.options.latency.into()),
        }
    }

    fn arm(&self, opened: &mut Opened, release: &VerifiedRelease) -> Result<(), CommandError> {
        let target = self.device.slot().other();
        let armed = ArmedBy {
            who: Armer::Somebody,
            release: release.digest(),
        };
        // Where that can't be kept, the agent may take the trial for one that it armed itself, once, in an earlier boot.
        if let Err(error) = armed.save(&self.device.run_folder()) {
            warn(&crate::chain::describe(&error));
        }
        arm_other(self.device, opened)?;
        let name = &release.manifest().release;
        let next = if self.options.reboot {
            "restarting into its trial"
        } else {
            "its trial begins at the next restart"
        };
        let event =
            json!({"event": "armed", "slot": target.to_string(), "version": name.version.to_string()});
        let line = format!(
            "installed: {} {} in slot {target}: {next}",
            name.image, name.version
        );
        self.progress.event(&event, "the boot loader will start it once");
        if !self.options.json {
            announce(&line);
        }
        if self.options.reboot {
            before_restart(&self.device.path("/"));
            reboot()?;
        }
        Ok(())
    }
}

fn known(release: &VerifiedRelease) -> KnownRelease {
    KnownRelease {
        version: release.manifest().release.version.to_string(),
        digest: release.digest().to_string(),
    }
}

/// A release that was written and read back need not be written again: a power cut before its trial was armed.
fn needed(record: &BootRecord, target: Slot, release: &VerifiedRelease) -> Needed {
    let there = record.slot(target);
    if there.state == SlotState::Written && there.release == release.digest() {
        Needed::Arm
    } else {
        Needed::Write
    }
}

/// Whether the firmware starts only what is signed. Where it doesn't say so in an orderly way, a release that isn't is written all the same:
/// its trial would end in what runs now.
fn secure_boot() -> SecureBoot {
    read_secure_boot(&EfiVariables::new(EFI_VARIABLES)).unwrap_or_else(|error| {
        warn(&format!(
            "whether this device runs with Secure Boot can't be told: {}",
            crate::chain::describe(&error)
        ));
        SecureBoot::Off
    })
}

/// Memory that nothing else wants, in bytes: `MemAvailable`. Nothing when the kernel doesn't say. Source: proc_meminfo(5).
fn available_memory(device: &Device) -> u64 {
    let text = fs::read_to_string(device.path("proc/meminfo")).unwrap_or_default();
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("MemAvailable:")?
            .trim()
            .strip_suffix(" kB")?
            .parse::<u64>()
            .ok()
    });
    kib.unwrap_or(0).saturating_mul(1024)
}

fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
