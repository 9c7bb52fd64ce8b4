use std::{
    cell::{Cell, RefCell},
    fs,
    time::Duration,
};

use semver::Version;

use super::*;
use crate::history::KnownRelease;

struct NoHooks;

impl Hooks for NoHooks {
    fn run(&self, _: &Hook) -> Result<(), String> {
        Ok(())
    }
}

/// Hooks that note what they find, and fail when told to.
struct Noting<'a> {
    world: &'a World,
    found: RefCell<Vec<String>>,
    fails: Cell<bool>,
}

impl Hooks for Noting<'_> {
    fn run(&self, hook: &Hook) -> Result<(), String> {
        let found = format!("{} found {}", hook.command[0], self.world.datastore());
        self.found.borrow_mut().push(found);
        if self.fails.get() {
            return Err("exit status: 1".to_owned());
        }
        Ok(())
    }
}

struct World {
    root: tempfile::TempDir,
    told: RefCell<Vec<String>>,
}

impl World {
    fn new() -> Self {
        let world = Self {
            root: tempfile::tempdir().unwrap(),
            told: RefCell::new(Vec::new()),
        };
        fs::create_dir_all(world.root.path().join("var/lib/etcd")).unwrap();
        world.write("first");
        world
    }

    fn write(&self, text: &str) {
        fs::write(self.root.path().join("var/lib/etcd/db"), text).unwrap();
    }

    fn datastore(&self) -> String {
        fs::read_to_string(self.root.path().join("var/lib/etcd/db")).unwrap_or_else(|_| "nothing".to_owned())
    }

    /// A boot, with this power cut, up to the point where Kubernetes starts.
    fn try_boot(
        &self,
        now: &Now,
        hooks: &dyn Hooks,
        step: &dyn Fn() -> io::Result<()>,
    ) -> Result<(), StateError> {
        self.with(hooks, step, |keeper| keeper.prepare(now))
    }

    fn boot(&self, now: &Now) -> Result<(), StateError> {
        self.try_boot(now, &NoHooks, &|| Ok(()))
    }

    fn with<T>(
        &self,
        hooks: &dyn Hooks,
        step: &dyn Fn() -> io::Result<()>,
        act: impl FnOnce(&Keeper<'_>) -> T,
    ) -> T {
        let tell = |line: &str| self.told.borrow_mut().push(line.to_owned());
        let hook = |name: &str| {
            Some(Hook {
                command: vec![name.to_owned()],
                deadline: Duration::from_secs(1),
            })
        };
        act(&Keeper {
            folder: self.root.path().join("var/lib/outcrop/state"),
            root: self.root.path().to_owned(),
            definition: StateDefinition {
                paths: vec!["/var/lib/etcd".parse().unwrap()],
                keep: 2,
                pre_start: hook("/pre-start"),
                post_rollback: hook("/post-rollback"),
            },
            machine: "this".to_owned(),
            clock: &|| 7,
            hooks,
            tell: &tell,
            step,
        })
    }

    fn keeper<T>(&self, act: impl FnOnce(&Keeper<'_>) -> T) -> T {
        self.with(&NoHooks, &|| Ok(()), act)
    }
}

fn owner(version: &str, minor: u64) -> Owner {
    Owner {
        release: KnownRelease {
            version: version.to_owned(),
            digest: format!("digest of {version}"),
        },
        kubernetes: Some(Version::new(1, minor, 0)),
    }
}

fn now(version: &str, minor: u64, on_trial: bool, trial: TrialFate) -> Now {
    Now {
        running: owner(version, minor),
        on_trial,
        trial,
    }
}

fn old() -> Now {
    now("1", 20, false, TrialFate::NotCommitted)
}

fn trial() -> Now {
    now("2", 21, true, TrialFate::NotCommitted)
}

#[test]
fn a_trial_that_fails_leaves_the_state_as_it_was_and_its_own_work_aside() {
    let world = World::new();
    world.boot(&old()).unwrap();
    world.write("second");
    world.boot(&trial()).unwrap();
    world.write("ruined");
    world.boot(&old()).unwrap();
    assert_eq!(world.datastore(), "second");
    world.boot(&old()).unwrap();
    assert_eq!(world.datastore(), "second", "once is enough");
    let list = world.keeper(|keeper| keeper.snapshots().list().unwrap());
    let about = list[0].1.as_ref().unwrap();
    assert_eq!((list.len(), &about.kind), (1, &Kind::Replaced));
    assert_eq!(about.owner.as_ref().unwrap().release.version, "2");
    // Forward again: a snapshot of its own.
    world.boot(&trial()).unwrap();
    world.write("third");
    let committed = world.keeper(|keeper| keeper.committed(&owner("2", 21)));
    committed.unwrap();
    world.boot(&now("2", 21, false, TrialFate::Committed)).unwrap();
    assert_eq!(world.datastore(), "third");
}

#[test]
fn a_copy_that_a_power_cut_ended_gives_its_room_back_before_the_next_one_is_made() {
    let world = World::new();
    world.boot(&old()).unwrap();
    let part = world.root.path().join("var/lib/outcrop/state/1.part");
    let cut_off = || {
        fs::create_dir(&part).unwrap();
        fs::write(part.join("0"), "half a datastore").unwrap();
    };
    cut_off();
    world.keeper(|keeper| keeper.check_room().map(drop)).unwrap();
    assert!(!part.exists(), "before an update is refused for lack of room");
    cut_off();
    world.boot(&trial()).unwrap();
    let list = world.keeper(|keeper| keeper.snapshots().list().unwrap());
    assert_eq!(
        list[0].0,
        SnapshotId::FIRST,
        "its number is free again: it was gone first"
    );
}

#[test]
fn after_a_commit_nothing_comes_back_and_an_older_kubernetes_is_held_until_the_operator_chooses() {
    let world = World::new();
    world.boot(&old()).unwrap();
    world.boot(&trial()).unwrap();
    world.write("new");
    // The power goes between the commit and its being noted here.
    let back = now("1", 20, false, TrialFate::Committed);
    for _ in 0..2 {
        let held = world.boot(&back).unwrap_err();
        assert!(matches!(held, StateError::Held(Hold::Older { .. })), "{held}");
        assert_eq!(world.datastore(), "new");
    }
    world
        .keeper(|keeper| keeper.choose(&back, SnapshotId::FIRST))
        .unwrap();
    world.boot(&back).unwrap();
    assert_eq!(world.datastore(), "first");
    // And the other choice.
    let forward = now("2", 21, false, TrialFate::Committed);
    world.boot(&forward).unwrap();
    world.boot(&back).unwrap_err();
    world.keeper(|keeper| keeper.keep(&back)).unwrap();
    world.boot(&back).unwrap();
    assert_eq!(world.datastore(), "first");
    let told = world.told.borrow().join("\n");
    for line in ["was committed", "brought back", "goes on with the state of 2"] {
        assert!(told.contains(line), "{line} in {told}");
    }
}

#[test]
fn hooks_run_once_after_the_snapshot_and_after_the_way_back() {
    let world = World::new();
    let hooks = Noting {
        world: &world,
        found: RefCell::default(),
        fails: Cell::new(false),
    };
    let boot = |now: &Now| world.try_boot(now, &hooks, &|| Ok(()));
    boot(&old()).unwrap();
    boot(&trial()).unwrap();
    boot(&trial()).unwrap();
    world.write("ruined");
    boot(&old()).unwrap();
    boot(&old()).unwrap();
    assert_eq!(
        *hooks.found.borrow(),
        ["/pre-start found first", "/post-rollback found first"]
    );
    hooks.fails.set(true);
    let error = boot(&trial()).unwrap_err();
    assert!(
        matches!(
            error,
            StateError::Hook {
                name: "pre-start",
                ..
            }
        ),
        "{error}"
    );
    boot(&trial()).unwrap_err();
    assert_eq!(hooks.found.borrow().len(), 4, "one that failed is tried again");
    // The way back is never blocked.
    boot(&old()).unwrap();
    let told = world.told.borrow().join("\n");
    assert!(told.contains("post-rollback failed: exit status: 1"), "{told}");
}

#[test]
fn a_power_cut_while_a_snapshot_comes_back_is_made_good_whatever_boots_next() {
    for next in [old(), trial()] {
        for cut in 0..8 {
            let world = World::new();
            world.boot(&old()).unwrap();
            world.boot(&trial()).unwrap();
            world.write("ruined");
            let left = Cell::new(cut);
            let step = || match left.get() {
                0 => Err(io::Error::other("power cut")),
                more => {
                    left.set(more - 1);
                    Ok(())
                }
            };
            let ended = world.try_boot(&old(), &NoHooks, &step);
            assert_eq!(ended.is_err(), cut < 5, "cut {cut}");
            world.boot(&next).unwrap();
            assert_eq!(world.datastore(), "first", "cut {cut}");
        }
    }
}

#[test]
fn what_is_known_by_nobody_is_held_and_a_damaged_memory_stops_kubernetes() {
    let world = World::new();
    world.boot(&old()).unwrap();
    world.boot(&trial()).unwrap();
    world.write("whose?");
    let lost = now("1", 20, false, TrialFate::Unknown);
    let held = world.boot(&lost).unwrap_err();
    assert!(held.to_string().contains("state restore NUMBER"), "{held}");
    assert_eq!(world.datastore(), "whose?");
    let busy = world
        .keeper(|keeper| keeper.remove(SnapshotId::FIRST))
        .unwrap_err();
    assert!(matches!(busy, StateError::Busy), "{busy}");
    let busy = world.keeper(|keeper| keeper.keep(&trial())).unwrap_err();
    assert!(matches!(busy, StateError::Busy), "{busy}");
    fs::write(world.root.path().join("var/lib/outcrop/state/memory.json"), "{").unwrap();
    let damaged = world.boot(&lost).unwrap_err();
    assert!(
        matches!(damaged, StateError::Memory(MemoryError::Damaged(_))),
        "{damaged}"
    );
    world.keeper(|keeper| keeper.keep(&lost)).unwrap();
    world.boot(&lost).unwrap();
    assert_eq!(world.datastore(), "whose?");
    let folder = world.root.path().join("var/lib/outcrop/state");
    assert_eq!(fs::read_to_string(folder.join("memory.damaged")).unwrap(), "{");
}

#[test]
fn a_definition_is_read_and_a_damaged_one_named() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(definition(root.path()).unwrap(), None);
    let path = root.path().join(StateDefinition::PATH);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "{}").unwrap();
    let error = definition(root.path()).unwrap_err();
    assert!(error.to_string().contains("state.json"), "{error}");
}
