//! What `outcrop channel copy` brings to a stick.

use super::*;

fn excerpt(releases: &[&str], from: &[&str]) -> Excerpt {
    Excerpt {
        channel: None,
        releases: releases.iter().map(|name| (*name).to_owned()).collect(),
        from: from.iter().map(|version| version.parse().unwrap()).collect(),
    }
}

impl Site {
    /// A folder as a stick has it.
    fn stick(&self) -> PathBuf {
        let stick = self.path("stick");
        fs::create_dir_all(&stick).unwrap();
        stick
    }

    fn copy_to_stick(&self, excerpt: &Excerpt) -> Result<Copied, Error> {
        copy_tree(&self.path("www"), &self.stick(), excerpt, &Silent)
    }

    fn refused_copy(&self, excerpt: &Excerpt) -> PublishError {
        refused(self.copy_to_stick(excerpt).map(|copied| format!("{copied:?}")))
    }

    /// 1.1.0 and 1.2.0 are offered, the second with a delta from the first.
    fn publish_two(&self) {
        let old = Bundle::open(&self.bundle("1.1.0", 7, &[key(RELEASE_KEY)])).unwrap();
        let path = self.bundle("1.2.0", 8, &[key(RELEASE_KEY)]);
        let new = Bundle::open(&path).unwrap();
        let made =
            crate::delta::make(Some(&old), &new, &[key(RELEASE_KEY)], self.folder.path(), &Silent).unwrap();
        crate::delta::write_beside(&made, &path).unwrap();
        self.publish().unwrap();
    }
}

#[test]
fn a_stick_has_the_very_list_of_the_tree_and_of_the_releases_what_was_asked_for() {
    let site = Site::new();
    site.publish_two();
    let stick = site.stick();
    let copied = site.copy_to_stick(&excerpt(&["1.2.0"], &[])).unwrap();
    assert_eq!(copied.files, ["edge-1.2.0-x86_64-efi.outcrop"]);
    assert_eq!(fs::read(stick.join("stable.channel")).unwrap(), site.list());
    let names = |folder: &Path| files_in(folder);
    assert_eq!(names(&stick.join(RELEASES_FOLDER)), copied.files);
    let all = site.copy_to_stick(&excerpt(&[], &["1.1.0"])).unwrap();
    assert_eq!(all.files.len(), 3, "two bundles and a delta: {:?}", all.files);
    assert_eq!(
        names(&stick.join(RELEASES_FOLDER)),
        names(&site.path("www/releases"))
    );
    // What is there and whole isn't written again, what is damaged is.
    assert_eq!(site.copy_to_stick(&excerpt(&[], &[])).unwrap().bytes, 0);
    let bundle = stick.join("releases/edge-1.2.0-x86_64-efi.outcrop");
    let whole = fs::read(&bundle).unwrap();
    let mut damaged = whole.clone();
    damaged[5000] ^= 1;
    fs::write(&bundle, damaged).unwrap();
    site.copy_to_stick(&excerpt(&[], &[])).unwrap();
    assert_eq!(fs::read(&bundle).unwrap(), whole);
}

fn files_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_stick_gets_nothing_when_it_is_too_small_isn_t_there_has_a_newer_list_or_something_is_missing() {
    let site = Site::new();
    site.publish_two();
    let stick = site.stick();
    let bytes = fs::metadata(site.path("www/releases/edge-1.2.0-x86_64-efi.outcrop"))
        .unwrap()
        .len();
    let with_room = |free: u64| {
        let room = |_: &Path| Ok(copy_tree::Room { free, block: 4096 });
        copy_tree::copy_tree_with(
            &site.path("www"),
            &stick,
            &excerpt(&["1.2.0"], &[]),
            &room,
            &Silent,
        )
    };
    let error = refused(with_room(bytes).map(|copied| format!("{copied:?}")));
    assert!(matches!(error, PublishError::NoRoom { .. }), "{error}");
    assert!(matches!(
        site.refused_copy(&excerpt(&["9.9.9"], &[])),
        PublishError::Edit { .. }
    ));
    assert!(matches!(
        site.refused_copy(&excerpt(&[], &["0.1.0"])),
        PublishError::NoDeltas(_)
    ));
    let nowhere = copy_tree(&site.path("www"), &site.path("stik"), &excerpt(&[], &[]), &Silent);
    assert!(matches!(
        refused(nowhere.map(|copied| format!("{copied:?}"))),
        PublishError::NoFolder(_)
    ));
    assert_eq!(files_in(&stick), [""; 0]);
    assert!(!site.path("stik").exists());
    with_room(bytes + (2 << 20)).unwrap();

    // The folders the other way round, when the tree has gone on.
    site.change(Change::Refresh).unwrap();
    let back = copy_tree(&stick, &site.path("www"), &excerpt(&["1.2.0"], &[]), &Silent);
    assert!(matches!(
        refused(back.map(|copied| format!("{copied:?}"))),
        PublishError::Newer {
            there: 3,
            here: 2,
            ..
        }
    ));
    fs::remove_file(site.path("www/releases/edge-1.1.0-x86_64-efi.outcrop")).unwrap();
    assert!(matches!(
        site.copy_to_stick(&excerpt(&[], &[])).unwrap_err(),
        Error::Bundle(_)
    ));
}

#[test]
fn what_is_paused_goes_to_a_stick_only_by_name() {
    let site = Site::new();
    site.publish_two();
    site.change(Change::Pause(version("1.1.0"))).unwrap();
    assert_eq!(
        site.copy_to_stick(&excerpt(&[], &[])).unwrap().files,
        ["edge-1.2.0-x86_64-efi.outcrop"]
    );
    let named = site.copy_to_stick(&excerpt(&["1.1.0"], &[])).unwrap();
    assert_eq!(named.files, ["edge-1.1.0-x86_64-efi.outcrop"]);
}

#[test]
fn a_copy_that_broke_off_leaves_no_list_that_names_what_isn_t_there() {
    let site = Site::new();
    site.publish_two();
    let stick = site.stick();
    // Something in the way of the second release.
    fs::create_dir_all(stick.join("releases/edge-1.2.0-x86_64-efi.outcrop/folder")).unwrap();
    assert!(site.copy_to_stick(&excerpt(&[], &[])).is_err());
    assert!(!stick.join("stable.channel").exists());
}
