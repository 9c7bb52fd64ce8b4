use std::{fs, path::PathBuf, time::Duration};

use outcrop_release::digest::FileDigest;

use super::*;
use crate::{
    deb::testing as packages,
    fetch::{
        Http, SystemClock, Timeouts,
        testing::{Reply, Server},
    },
    lock::{apt::testing::TestArchive, format::Verdict},
    progress::Silent,
    recipe,
};

/// An archive of real packages, behind a real server.
struct World {
    archive: TestArchive,
    keyring: Vec<u8>,
    server: Server,
}

/// A package's stanza and file. `fields` are further fields, `postinst` the script. frob-watch asks for a trigger.
fn package(name: &str, fields: &str, postinst: &str) -> (String, Vec<u8>) {
    let control = format!(
        "Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: T <t@localhost>\n{fields}Description: test\n"
    );
    let script = format!("#!/bin/sh\n{postinst}");
    let data = packages::TarBuilder::new().directory(".").finish();
    let mut files: Vec<(&str, &[u8])> =
        vec![("control", control.as_bytes()), ("postinst", script.as_bytes())];
    if name == "frob-watch" {
        files.push(("triggers", b"interest-noawait /usr/share/frob\n"));
    }
    let deb = packages::deb(&files, &data);
    let place = format!(
        "Filename: pool/{name}_1.0_all.deb\nSize: {}\nSHA256: {}\n",
        deb.len(),
        FileDigest::of(&deb)
    );
    (format!("{control}{place}\n"), deb)
}

impl World {
    fn new(list: &[(&str, &str, &str)]) -> Self {
        let needed = NEEDED
            .iter()
            .chain(&["linux-image-amd64", "systemd-boot-efi"])
            .map(|name| (*name, "", "exit 0\n"));
        let mut archive = TestArchive::new(&[]);
        let pool = archive.folder.path().join("debian/pool");
        fs::create_dir_all(&pool).unwrap();
        for (name, fields, postinst) in needed.chain(list.iter().copied()) {
            let (stanza, deb) = package(name, fields, postinst);
            archive.packages.push_str(&stanza);
            fs::write(pool.join(format!("{name}_1.0_all.deb")), deb).unwrap();
        }
        let (home, keyring) = archive.key("gpg");
        archive.publish(&home, &keyring);
        let folder = archive.folder.path().to_owned();
        let server = Server::start(move |request, _| {
            let path = request.path.trim_start_matches('/');
            fs::read(folder.join(path)).map_or(Reply::Status(404), Reply::File)
        });
        Self {
            archive,
            keyring,
            server,
        }
    }

    fn recipe(&self, packages: &str) -> PathBuf {
        let path = self.archive.folder.path().join("x.toml");
        let text = format!(
            "[image]\nname = \"x\"\nversion = \"1.0.0\"\narchitectures = [\"x86_64\"]\n[base]\nsuite = \"trixie\"\n[packages]\n{packages}\n"
        );
        fs::write(&path, text).unwrap();
        path
    }

    fn lock(&self, packages: &str) -> Result<Lock, LockError> {
        self.lock_suites(packages, Suites::Current)
    }

    fn lock_suites(&self, packages: &str, suites: Suites) -> Result<Lock, LockError> {
        let timeouts = Timeouts {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(10),
        };
        Locker {
            cache: &Cache::at(&self.archive.folder.path().join("cache")),
            mirrors: &Mirrors::at(&self.server.url()).unwrap(),
            suites,
            keyring: &self.keyring,
            transport: &Http::direct(timeouts, 2),
            clock: &SystemClock,
            progress: &Silent,
        }
        .lock(&recipe::load(&self.recipe(packages)).unwrap())
    }
}

fn scripts<'a>(lock: &'a Lock, name: &str) -> &'a [LockedScript] {
    let packages = &lock.packages[&Architecture::X86_64];
    &packages
        .iter()
        .find(|package| package.name == name)
        .unwrap()
        .scripts
}

#[test]
fn a_script_that_nobody_handles_ends_locking_with_its_lines_until_the_recipe_accepts_it() {
    let world = World::new(&[
        (
            "frobd",
            "Depends: lib\n",
            "set -e\nfrobnicate --all\ndeb-systemd-helper enable frob.service\n",
        ),
        ("lib", "", "ldconfig\n"),
    ]);
    let error = world.lock("install = [\"frobd\"]").unwrap_err();
    assert_eq!(error.class(), crate::failure::FailureClass::Package);
    assert_eq!(
        error.to_string(),
        "1 maintainer script has lines that nobody handles\n\nfrobd/postinst:\n    3  frobnicate --all"
    );
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert!(help.contains("accept-scripts = [\"frobd/postinst\"]"), "{help}");
    let lock = world
        .lock("install = [\"frobd\"]\naccept-scripts = [\"frobd/postinst\"]")
        .unwrap();
    assert_eq!(scripts(&lock, "frobd")[0].verdict, Verdict::Accepted);
    assert_eq!(
        scripts(&lock, "frobd")[0].actions.len(),
        1,
        "the recognised line still counts"
    );
    assert_eq!(scripts(&lock, "lib")[0].verdict, Verdict::Recognised);
    assert!(
        scripts(&lock, "systemd-boot-efi").is_empty(),
        "only its files are used"
    );
}

#[test]
fn an_unknown_package_is_an_error_of_the_recipe_s_line() {
    let world = World::new(&[("htop", "", "")]);
    let error = world.lock("install = [\"htpo\"]").unwrap_err();
    let LockError::Recipe(error) = error else {
        panic!("{error:?}")
    };
    let problem = &error.problems()[0];
    assert!(
        problem
            .message()
            .contains("there is no package htpo for x86_64; is it htop?"),
        "{problem}"
    );
    assert_eq!(problem.location().unwrap().line_and_column(), (8, 12));
}

#[test]
fn a_package_that_is_not_what_the_list_says_is_refused() {
    let world = World::new(&[("liar", "", "")]);
    let pool = world.archive.folder.path().join("debian/pool");
    let (_, other) = package("truth", "", "");
    fs::write(pool.join("liar_1.0_all.deb"), other).unwrap();
    let error = world.lock("install = [\"liar\"]").unwrap_err();
    assert!(matches!(error, LockError::Fetch(_)), "{error:?}");
}

#[test]
fn a_lock_of_a_point_release_needs_no_other_suite_and_says_which_it_took() {
    let world = World::new(&[]);
    for other in ["debian/dists/trixie-updates", "debian-security"] {
        fs::remove_dir_all(world.archive.folder.path().join(other)).unwrap();
    }
    assert!(matches!(world.lock(""), Err(LockError::Apt(_))));
    let lock = world.lock_suites("", Suites::PointRelease).unwrap();
    let suites: Vec<_> = lock.suites.iter().map(|suite| suite.name.as_str()).collect();
    assert_eq!(suites, ["trixie"]);
}

#[test]
fn a_mirror_that_is_gone_is_a_failure_of_the_network() {
    let mut world = World::new(&[]);
    world.server = Server::start(|_, _| Reply::Status(404));
    let error = world.lock("").unwrap_err();
    assert_eq!(error.class(), crate::failure::FailureClass::Network, "{error:?}");
}

#[test]
fn a_package_that_is_damaged_in_the_cache_is_fetched_again() {
    let world = World::new(&[("lib", "", "ldconfig\n")]);
    let good = world.lock("install = [\"lib\"]").unwrap();
    let package = |lock: &Lock| {
        let packages = &lock.packages[&Architecture::X86_64];
        let found = packages.iter().find(|package| package.name == "lib");
        found.unwrap().clone()
    };
    let shelf = Shelf::of(&Cache::at(&world.archive.folder.path().join("cache")));
    let cached = shelf.path(&package(&good).sha256);
    let sound = fs::read(&cached).unwrap();
    fs::write(&cached, vec![0; sound.len()]).unwrap();
    assert_eq!(world.lock("install = [\"lib\"]").unwrap(), good);
    assert_eq!(fs::read(&cached).unwrap(), sound);
}

#[test]
fn an_accepted_script_that_no_package_has_is_an_error_of_the_recipe_s_line() {
    let world = World::new(&[("lib", "", "ldconfig\n")]);
    for name in ["lib/preinst", "libx/postinst"] {
        let error = world
            .lock(&format!("install = [\"lib\"]\naccept-scripts = [\"{name}\"]"))
            .unwrap_err();
        let LockError::Recipe(error) = error else {
            panic!("{error:?}")
        };
        let problem = &error.problems()[0];
        assert!(problem.message().contains(name), "{problem}");
        assert_eq!(problem.location().unwrap().line_and_column(), (9, 19));
    }
}

#[test]
fn a_wish_to_be_told_that_nobody_stands_for_ends_locking_until_the_recipe_accepts_it() {
    let world = World::new(&[("frob-watch", "", "exit 0\n")]);
    let refused = world.lock("install = [\"frob-watch\"]").unwrap_err().to_string();
    assert!(refused.contains("interest-noawait /usr/share/frob"), "{refused}");
    let lock = world
        .lock("install = [\"frob-watch\"]\naccept-scripts = [\"frob-watch/triggers\"]")
        .unwrap();
    assert_eq!(scripts(&lock, "frob-watch").len(), 1, "no lock holds triggers");
}
