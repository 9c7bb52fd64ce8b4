//! State that is bound to the release that runs: a datastore is copied before a trial's first start, and comes back when that trial
//! ends without a commit. After a commit nothing is ever brought back by itself.
//!
//! All of it happens before Kubernetes starts, at the boot that needs it: a device that lost its power comes to the same end.

mod copy;
mod error;
mod memory;
mod plan;
mod snapshots;

use std::{
    io,
    path::{Path, PathBuf},
};

use outcrop_release::state::{Hook, StateDefinition, StatePath};

use crate::release_file;
pub use copy::{CopyError, Size};
pub use error::StateError;
pub use memory::{Event, Memory, MemoryError, Owner, Phase};
pub use plan::{Hold, Now, Step, TrialFate, is_neighbour, next};
pub use snapshots::{About, Kept, Kind, Label, Listed, SnapshotError, SnapshotId, Snapshots};

/// Name of the folder with snapshots, in Outcrop's folder on the data partition.
pub const FOLDER: &str = "state";

/// Runs the recipe's hooks.
pub trait Hooks {
    /// Runs one to its end.
    ///
    /// # Errors
    /// Why it didn't end well, for people.
    fn run(&self, hook: &Hook) -> Result<(), String>;
}

/// Looks after the state of a device.
pub struct Keeper<'a> {
    /// Where snapshots and what is known of them lie.
    pub folder: PathBuf,
    /// The device's root: `/` but in tests.
    pub root: PathBuf,
    /// What the running release binds.
    pub definition: StateDefinition,
    /// The device's machine-id.
    pub machine: String,
    /// The device's clock: seconds since 1970.
    pub clock: &'a dyn Fn() -> u64,
    /// Runs hooks.
    pub hooks: &'a dyn Hooks,
    /// Hears what happens, a line each.
    pub tell: &'a dyn Fn(&str),
    /// Called before each change while a snapshot comes back; ends the work where it fails. Power cuts in tests.
    pub step: &'a dyn Fn() -> io::Result<()>,
}

/// The running release's definition; none when it binds no state.
///
/// # Errors
/// When it is there and can't be read.
pub fn definition(root: &Path) -> Result<Option<StateDefinition>, StateError> {
    Ok(release_file::read(
        root,
        StateDefinition::PATH,
        StateDefinition::parse,
    )?)
}

impl Keeper<'_> {
    /// The snapshots.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots {
        Snapshots::new(self.folder.clone(), self.root.clone())
    }

    /// What is known.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn memory(&self) -> Result<Memory, StateError> {
        Ok(Memory::load(&self.folder)?)
    }

    fn save(&self, memory: &Memory) -> Result<(), StateError> {
        Ok(memory.save(&self.folder)?)
    }

    /// Notes and tells.
    fn note(&self, memory: &mut Memory, what: String) {
        (self.tell)(&what);
        memory.note((self.clock)(), what);
    }

    /// Refuses when the copy that a trial begins with wouldn't fit. What power cuts left unfinished is removed first: it takes room.
    ///
    /// # Errors
    /// [`SnapshotError::NoRoom`] and others.
    pub fn check_room(&self) -> Result<Size, StateError> {
        let memory = self.memory()?;
        self.snapshots().remove_unfinished(&in_use(&memory))?;
        Ok(self.snapshots().check_room(&self.all_paths(&memory))?)
    }

    /// Does what this boot needs before Kubernetes may start. What it begins survives power cuts: the next boot goes on with it.
    ///
    /// # Errors
    /// When Kubernetes mustn't start.
    pub fn prepare(&self, now: &Now) -> Result<(), StateError> {
        loop {
            let mut memory = self.memory()?;
            match next(&memory, now) {
                Step::Start => return Ok(()),
                Step::Adopt => {
                    self.adopt(&mut memory, &now.running);
                    return self.save(&memory);
                }
                Step::Snapshot => self.snapshot(memory, &now.running)?,
                Step::GoOn => return self.go_on(memory),
                Step::Close => self.close(memory, &now.running)?,
                Step::Restore(snapshot) => self.begin_restore(memory, snapshot)?,
                Step::FinishRestore => self.restore(memory)?,
                Step::Hold(hold) => {
                    let what = format!("Kubernetes is held back: {hold}");
                    if memory.events.last().is_none_or(|last| last.what != what) {
                        memory.note((self.clock)(), what);
                        self.save(&memory)?;
                    }
                    return Err(hold.into());
                }
            }
        }
    }

    fn adopt(&self, memory: &mut Memory, running: &Owner) {
        let before = memory.owner.take();
        let owner = heir(running.clone(), before.as_ref());
        let version = &owner.release.version;
        let what = match before {
            Some(before) => format!(
                "release {version} goes on with the state of {}",
                before.release.version
            ),
            None => format!("release {version} begins with the state that is there"),
        };
        self.note(memory, what);
        memory.owner = Some(owner);
        memory.paths.clone_from(&self.definition.paths);
    }

    /// What the releases before and this one bind.
    fn all_paths(&self, memory: &Memory) -> Vec<StatePath> {
        let mut paths: Vec<StatePath> = memory
            .paths
            .iter()
            .chain(&self.definition.paths)
            .cloned()
            .collect();
        paths.sort_unstable();
        paths.dedup();
        let inner = |path: &StatePath| paths.iter().any(|other| other != path && other.holds(path));
        paths.iter().filter(|path| !inner(path)).cloned().collect()
    }

    fn label(&self, kind: Kind, owner: Option<Owner>) -> Label {
        Label {
            kind,
            owner,
            machine: self.machine.clone(),
            at: (self.clock)(),
        }
    }

    fn snapshot(&self, mut memory: Memory, running: &Owner) -> Result<(), StateError> {
        let version = running.release.version.clone();
        let kind = Kind::Before {
            version: version.clone(),
        };
        let label = self.label(kind, memory.owner.clone());
        let paths = self.all_paths(&memory);
        // A copy that a power cut ended needs its room again.
        self.snapshots().remove_unfinished(&in_use(&memory))?;
        let snapshot = self.snapshots().take(label, &paths)?;
        self.note(
            &mut memory,
            format!("snapshot {snapshot} of the state was taken before release {version} starts"),
        );
        memory.phase = Phase::Trial {
            snapshot,
            of: running.clone(),
            ready: false,
        };
        self.save(&memory)?;
        // Only now: a trial whose snapshot can't be taken must not cost an older one.
        self.prune(&memory);
        Ok(())
    }

    fn go_on(&self, mut memory: Memory) -> Result<(), StateError> {
        let Phase::Trial { ready, .. } = &mut memory.phase else {
            return Ok(());
        };
        if std::mem::replace(ready, true) {
            return Ok(());
        }
        if let Some(hook) = &self.definition.pre_start {
            let name = "pre-start";
            if let Err(why) = self.hooks.run(hook) {
                // What is known stays as it was: the hook is due again.
                let mut memory = self.memory()?;
                memory.note((self.clock)(), format!("the hook {name} failed: {why}"));
                self.save(&memory)?;
                return Err(StateError::Hook { name, why });
            }
            self.note(&mut memory, format!("the hook {name} has ended well"));
        }
        self.save(&memory)
    }

    /// The trial that worked on the state was committed.
    fn close(&self, mut memory: Memory, running: &Owner) -> Result<(), StateError> {
        if let Phase::Trial { of, .. } = std::mem::take(&mut memory.phase) {
            let what = format!(
                "release {} was committed: the state stays as it is",
                of.release.version
            );
            self.note(&mut memory, what);
            // Another release's paths aren't known here: whatever it may have added is kept in view.
            memory.paths = if of.release.digest == running.release.digest {
                self.definition.paths.clone()
            } else {
                self.all_paths(&memory)
            };
            memory.owner = Some(heir(of, memory.owner.as_ref()));
        }
        self.save(&memory)?;
        self.prune(&memory);
        Ok(())
    }

    /// Says that the trial of `running` is committed. Nothing happens when the state isn't on trial.
    ///
    /// # Errors
    /// When that can't be kept: the next boot does it.
    pub fn committed(&self, running: &Owner) -> Result<(), StateError> {
        let memory = self.memory()?;
        match &memory.phase {
            Phase::Trial { of, .. } if of.release.digest == running.release.digest => {
                self.close(memory, running)
            }
            _ => Ok(()),
        }
    }

    /// From here on the state is the snapshot's: what a power cut interrupts is finished.
    fn begin_restore(&self, mut memory: Memory, snapshot: SnapshotId) -> Result<(), StateError> {
        let snapshots = self.snapshots();
        let about = snapshots.about_ours(snapshot, &self.machine)?;
        let of = match memory.phase {
            Phase::Trial { of, .. } => Some(of),
            Phase::Settled | Phase::Restoring { .. } => memory.owner,
        };
        let aside = snapshots.free_number()?;
        memory.phase = Phase::Restoring { snapshot, aside, of };
        memory.owner = about.owner;
        memory.paths = about.content.into_iter().map(|kept| kept.path).collect();
        self.save(&memory)
    }

    fn restore(&self, mut memory: Memory) -> Result<(), StateError> {
        let Phase::Restoring { snapshot, aside, of } = memory.phase.clone() else {
            return Ok(());
        };
        let label = self.label(Kind::Replaced, of);
        self.snapshots()
            .bring_back(snapshot, aside, label, &mut || (self.step)())?;
        self.note(
            &mut memory,
            format!(
                "snapshot {snapshot} of the state was brought back; what it replaced is snapshot {aside}"
            ),
        );
        if let Some(hook) = &self.definition.post_rollback {
            // Whatever it says: the way back is never blocked.
            let what = match self.hooks.run(hook) {
                Ok(()) => "the hook post-rollback has ended well".to_owned(),
                Err(why) => format!("the hook post-rollback failed: {why}"),
            };
            self.note(&mut memory, what);
        }
        memory.phase = Phase::Settled;
        self.save(&memory)?;
        self.prune(&memory);
        Ok(())
    }

    /// What can't be removed now is removed another time.
    fn prune(&self, memory: &Memory) {
        let needed = in_use(memory);
        match self.snapshots().prune(self.definition.keep, &needed) {
            Ok(removed) => removed.iter().for_each(|id| {
                (self.tell)(&format!(
                    "snapshot {id} of the state was removed: {} are kept",
                    self.definition.keep
                ));
            }),
            Err(error) => (self.tell)(&crate::chain::describe(&error)),
        }
    }

    /// The operator's choice: the state stays as it is, and what runs takes it over.
    ///
    /// # Errors
    /// When a trial works on it, or the choice can't be kept.
    pub fn keep(&self, now: &Now) -> Result<(), StateError> {
        let mut memory = match self.idle(now) {
            // Somebody has looked at the state: what was known of it is no longer needed.
            Err(StateError::Memory(MemoryError::Damaged(_))) => {
                let aside = Memory::set_aside(&self.folder)?;
                (self.tell)(&format!(
                    "what was known is damaged, and now in {}",
                    aside.display()
                ));
                Memory::default()
            }
            memory => memory?,
        };
        memory.phase = Phase::Settled;
        self.adopt(&mut memory, &now.running);
        self.save(&memory)
    }

    /// The operator's choice: a snapshot comes back at the next boot, before Kubernetes starts.
    ///
    /// # Errors
    /// When a trial works on the state, the snapshot isn't there or another machine's, or the choice can't be kept.
    pub fn choose(&self, now: &Now, snapshot: SnapshotId) -> Result<(), StateError> {
        let mut memory = self.idle(now)?;
        memory.note(
            (self.clock)(),
            format!("the operator wants snapshot {snapshot} of the state back"),
        );
        self.begin_restore(memory, snapshot)
    }

    /// Removes a snapshot.
    ///
    /// # Errors
    /// When it is in use, or isn't there.
    pub fn remove(&self, snapshot: SnapshotId) -> Result<(), StateError> {
        if in_use(&self.memory()?).contains(&snapshot) {
            return Err(StateError::Busy);
        }
        let snapshots = self.snapshots();
        if snapshots.list()?.iter().all(|(id, _)| *id != snapshot) {
            return Err(SnapshotError::Missing(snapshot).into());
        }
        Ok(snapshots.remove(snapshot)?)
    }

    fn idle(&self, now: &Now) -> Result<Memory, StateError> {
        if now.on_trial {
            return Err(StateError::Busy);
        }
        self.memory()
    }
}

/// The next owner of the state: a release without Kubernetes leaves Kubernetes' state as it is.
fn heir(next: Owner, before: Option<&Owner>) -> Owner {
    let kubernetes = next
        .kubernetes
        .or_else(|| before.and_then(|before| before.kubernetes.clone()));
    Owner { kubernetes, ..next }
}

/// Snapshots that what was begun needs.
fn in_use(memory: &Memory) -> Vec<SnapshotId> {
    match &memory.phase {
        Phase::Settled => Vec::new(),
        Phase::Trial { snapshot, .. } => vec![*snapshot],
        Phase::Restoring { snapshot, aside, .. } => vec![*snapshot, *aside],
    }
}

#[cfg(test)]
mod tests;
