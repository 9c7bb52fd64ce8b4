use std::{cell::Cell, os::unix::fs::symlink};

use super::*;

struct World {
    root: tempfile::TempDir,
    snapshots: Snapshots,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("var/lib/outcrop/state");
        let snapshots = Snapshots::new(folder, root.path().to_owned());
        Self { root, snapshots }
    }

    fn paths() -> Vec<StatePath> {
        ["/var/lib/etcd", "/var/lib/kube/pki", "/var/lib/late"]
            .map(|path| path.parse().unwrap())
            .into()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Content of a file; none when it isn't there.
    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.path().join(path)).ok()
    }

    fn take(&self) -> SnapshotId {
        let label = label(Kind::Before {
            version: "2".to_owned(),
        });
        self.snapshots.take(label, &Self::paths()).unwrap()
    }

    fn bring_back(
        &self,
        id: SnapshotId,
        aside: SnapshotId,
        step: &mut dyn FnMut() -> io::Result<()>,
    ) -> Result<(), SnapshotError> {
        self.snapshots.bring_back(id, aside, label(Kind::Replaced), step)
    }

    /// The state before the trial.
    fn old(&self) {
        self.write("var/lib/etcd/db", "old objects");
        self.write("var/lib/kube/pki/ca", "old key");
    }

    /// What the trial made of it.
    fn new_state(&self) {
        self.write("var/lib/etcd/db", "new objects");
        self.write("var/lib/etcd/more", "new");
        self.write("var/lib/late/file", "new path");
        fs::remove_dir_all(self.root.path().join("var/lib/kube/pki")).unwrap();
    }

    fn is_old(&self) {
        assert_eq!(self.read("var/lib/etcd/db").as_deref(), Some("old objects"));
        assert_eq!(self.read("var/lib/etcd/more"), None);
        assert_eq!(self.read("var/lib/kube/pki/ca").as_deref(), Some("old key"));
        assert!(!self.root.path().join("var/lib/late").exists());
    }
}

fn label(kind: Kind) -> Label {
    Label {
        kind,
        owner: None,
        machine: "this".to_owned(),
        at: 1,
    }
}

#[test]
fn a_snapshot_brings_everything_back_and_what_it_replaces_is_one_too() {
    let world = World::new();
    world.old();
    let id = world.take();
    world.new_state();
    let aside = world.snapshots.free_number().unwrap();
    world.bring_back(id, aside, &mut || Ok(())).unwrap();
    world.is_old();
    let list = world.snapshots.list().unwrap();
    assert_eq!(list.len(), 1);
    let about = list[0].1.as_ref().unwrap();
    assert_eq!((list[0].0, &about.kind), (aside, &Kind::Replaced));
    assert_eq!(
        about.content.iter().map(|kept| kept.present).collect::<Vec<_>>(),
        [true, false, true]
    );
    // And forward again, by hand.
    world
        .bring_back(aside, world.snapshots.free_number().unwrap(), &mut || Ok(()))
        .unwrap();
    assert_eq!(world.read("var/lib/etcd/more").as_deref(), Some("new"));
    assert_eq!(world.read("var/lib/late/file").as_deref(), Some("new path"));
    assert_eq!(world.read("var/lib/kube/pki/ca"), None);
}

#[test]
fn a_power_cut_before_any_step_of_bringing_back_changes_nothing_in_the_end() {
    let steps = Cell::new(0);
    let whole = World::new();
    whole.old();
    let id = whole.take();
    whole.new_state();
    let count = || {
        steps.set(steps.get() + 1);
        Ok(())
    };
    whole.bring_back(id, id.next(), &mut { count }).unwrap();
    assert_eq!(steps.get(), 7, "seven changes");
    for cut in 0..steps.get() {
        let world = World::new();
        world.old();
        let id = world.take();
        world.new_state();
        let left = Cell::new(cut);
        let mut step = || match left.get() {
            0 => Err(io::Error::other("power cut")),
            more => {
                left.set(more - 1);
                Ok(())
            }
        };
        world.bring_back(id, id.next(), &mut step).unwrap_err();
        // The system makes folders that it misses.
        fs::create_dir_all(world.root.path().join("var/lib/etcd")).unwrap();
        world.bring_back(id, id.next(), &mut || Ok(())).unwrap();
        world.is_old();
        world.bring_back(id, id.next(), &mut || Ok(())).unwrap();
        world.is_old();
        let replaced = |path: &str| world.read(&format!("var/lib/outcrop/state/2/{path}"));
        assert_eq!(
            replaced("0/more").as_deref(),
            Some("new"),
            "nothing is deleted, cut {cut}"
        );
        assert_eq!(replaced("2/file").as_deref(), Some("new path"), "cut {cut}");
    }
}

#[test]
fn a_snapshot_of_another_machine_a_damaged_one_and_none_are_refused() {
    let world = World::new();
    world.old();
    let id = world.take();
    let about = format!("var/lib/outcrop/state/{id}/{ABOUT}");
    let text = world.read(&about).unwrap();
    let aside = id.next();
    for (changed, why) in [
        (text.replace("\"this\"", "\"other\""), "another machine (other)"),
        (text.replace("\"format\": 1", "\"format\": 2"), "format 2"),
        ("{".to_owned(), "understand"),
    ] {
        world.write(&about, &changed);
        let error = world.bring_back(id, aside, &mut || Ok(())).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    world.write(&about, &text);
    fs::remove_dir_all(world.root.path().join(format!("var/lib/outcrop/state/{id}/0"))).unwrap();
    let error = world.bring_back(id, aside, &mut || Ok(())).unwrap_err();
    assert!(
        matches!(error, SnapshotError::Missing(_)),
        "though something is there: {error}"
    );
    fs::remove_dir_all(world.root.path().join("var/lib/etcd")).unwrap();
    let error = world.bring_back(id, aside, &mut || Ok(())).unwrap_err();
    assert!(matches!(error, SnapshotError::Missing(_)), "{error}");
    let error = world.bring_back(aside.next(), aside, &mut || Ok(())).unwrap_err();
    assert!(matches!(error, SnapshotError::Missing(_)), "{error}");
}

#[test]
fn the_oldest_and_the_unfinished_are_removed_and_what_is_needed_stays() {
    let world = World::new();
    world.old();
    let ids: Vec<SnapshotId> = (0..4).map(|_| world.take()).collect();
    let folder = world.root.path().join("var/lib/outcrop/state");
    fs::create_dir(folder.join("7.part")).unwrap();
    fs::create_dir(folder.join("8")).unwrap();
    fs::write(folder.join("memory.json"), "{}").unwrap();
    symlink("nowhere", folder.join("other")).unwrap();
    assert_eq!(world.snapshots.prune(2, &[ids[0]]).unwrap(), [ids[1]]);
    let left: Vec<SnapshotId> = world
        .snapshots
        .list()
        .unwrap()
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(left, [ids[0], ids[2], ids[3]]);
    assert!(!folder.join("7.part").exists() && !folder.join("8").exists());
    assert!(folder.join("memory.json").exists());
    assert_eq!(world.snapshots.free_number().unwrap(), ids[3].next());
}

#[test]
fn a_copy_that_wouldnt_fit_is_refused_before_it_begins() {
    let world = World::new();
    world.old();
    let size = world.snapshots.check_room(&World::paths()).unwrap();
    assert_eq!(size.entries, 4);
    let mut found = statvfs(world.root.path()).unwrap();
    (found.f_frsize, found.f_files, found.f_favail) = (4096, 1000, 4);
    found.f_bavail = (size.bytes + RESERVE_BYTES) / 4096;
    fits(size, &found).unwrap();
    found.f_bavail -= 1;
    assert!(matches!(fits(size, &found), Err(SnapshotError::NoRoom { .. })));
    found.f_bavail += 1;
    found.f_favail = 3;
    assert!(matches!(fits(size, &found), Err(SnapshotError::NoInodes { .. })));
    found.f_files = 0;
    fits(size, &found).unwrap();
}
