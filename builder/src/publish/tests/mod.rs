mod stick;

use std::{fs, path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};
use outcrop_release::{
    arch::Architecture,
    board::Board,
    channel::{ChannelName, Seen, Waves},
    manifest::RollbackIndex,
    name::ReleaseName,
    trust::Trust,
    verity::{BLOCK_BYTES, HashTree, Salt, TreeBuilder},
};

use super::*;
use crate::{
    bundle::{Compression, Contents, Payload, write},
    commands::{
        channel::{Change, Show, change, show},
        publish::{Options, Signing, run},
        testing,
    },
    erofs,
    keys::{KeySource, PrivateKey},
    progress::Silent,
};

const RELEASE_KEY: u8 = 1;
const CHANNEL_KEY: u8 = 2;

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(&[seed; 32])
}

fn tree_of(bytes: &[u8]) -> HashTree {
    let mut builder = TreeBuilder::new(uuid::Uuid::from_u128(7), Salt::from_bytes([5; 32]));
    builder.push(bytes);
    builder.finish().unwrap()
}

/// A root file system with one file.
fn file_system(content: u8) -> Vec<u8> {
    let mut tree = crate::tree::Tree::new();
    let entry = crate::tree::Entry::file(0o644, vec![content; 3 * BLOCK_BYTES]);
    tree.insert_all("usr/bin/program".parse().unwrap(), entry)
        .unwrap();
    let options = erofs::Options {
        uuid: uuid::Uuid::from_u128(9),
        time: 1,
        label: None,
    };
    let mut image = Vec::new();
    erofs::Plan::new(&tree, &options)
        .unwrap()
        .write(&mut image, &Silent)
        .unwrap();
    image
}

/// A folder with everything that an operator has.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for seed in [RELEASE_KEY, CHANNEL_KEY, 9] {
            fs::write(site.key_path(seed), &*key(seed).to_pem(None).unwrap()).unwrap();
        }
        let role = |seed| Role::new(1, vec![("c".to_owned(), key(seed).public().unwrap())]).unwrap();
        let trust = Trust::new(1, vec![("r".to_owned(), key(RELEASE_KEY).public().unwrap())]).unwrap();
        let trust = trust.with_channel(role(CHANNEL_KEY)).unwrap();
        fs::write(site.path("trust.toml"), trust.to_toml()).unwrap();
        fs::create_dir(site.path("out")).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn key_path(&self, seed: u8) -> PathBuf {
        self.path(&format!("{seed}.key"))
    }

    fn bundle(&self, version: &str, content: u8, signers: &[PrivateKey]) -> PathBuf {
        let release = ReleaseName {
            image: "edge".parse().unwrap(),
            version: version.parse().unwrap(),
            architecture: Architecture::X86_64,
            board: Board::Efi,
        };
        let (boot, root) = (vec![content; 3 * BLOCK_BYTES], file_system(content));
        let (boot_tree, root_tree) = (tree_of(&boot), tree_of(&root));
        let contents = Contents {
            release: &release,
            rollback_index: RollbackIndex(3),
            health_deadline: Duration::from_secs(600),
            kubernetes: None,
            layout_of: None,
            secure_boot: None,
            compression: Compression::Fast,
            boot: Payload {
                bytes: &boot,
                tree: &boot_tree,
            },
            root: Payload {
                bytes: &root,
                tree: &root_tree,
            },
        };
        let path = self.path("out").join(format!("{release}.outcrop"));
        write(&path, &contents, signers, &Silent)
            .unwrap()
            .publish()
            .unwrap();
        path
    }

    fn signing(&self, seed: u8) -> Signing {
        Signing {
            keys: vec![KeySource::File(self.key_path(seed))],
            trust: Some(self.path("trust.toml")),
            counts_for: SignedDuration::from_hours(24),
        }
    }

    fn options(&self) -> Options {
        Options {
            from_folder: self.path("out"),
            tree: self.path("www"),
            channel: stable(),
            waves: "1%,100%".parse().unwrap(),
            hold_back: Vec::new(),
            from: Vec::new(),
            signing: self.signing(CHANNEL_KEY),
            json: false,
        }
    }

    fn publish(&self) -> Result<String, Error> {
        self.publish_with(&self.options())
    }

    fn publish_with(&self, options: &Options) -> Result<String, Error> {
        let (context, written) = testing::context();
        run(options, &context).map(|()| written.text())
    }

    fn change(&self, change: Change) -> Result<String, Error> {
        self.change_signed_by(change, self.signing(CHANNEL_KEY))
    }

    fn change_signed_by(&self, what: Change, signing: Signing) -> Result<String, Error> {
        let options = crate::commands::channel::Options {
            tree: self.path("www"),
            channel: None,
            change: what,
            signing,
            json: false,
        };
        let (context, written) = testing::context();
        change(&options, &context).map(|()| written.text())
    }

    fn list(&self) -> Vec<u8> {
        fs::read(self.path("www/stable.channel")).unwrap()
    }

    /// As a device that has this trust file sees it.
    fn seen_by_a_device(&self, seen: Option<Seen>) -> channel::Accepted {
        let trust = crate::keys::read_trust(&self.path("trust.toml")).unwrap();
        let admission = Admission {
            trust: &trust,
            name: &stable(),
            seen,
            now: Timestamp::now(),
            built: Timestamp::UNIX_EPOCH,
        };
        channel::accept(&self.list(), &admission).unwrap()
    }
}

fn stable() -> ChannelName {
    "stable".parse().unwrap()
}

fn refused(result: Result<String, Error>) -> PublishError {
    match result.unwrap_err() {
        Error::Publish(error) => error,
        other => panic!("{other:?}"),
    }
}

fn version(text: &str) -> String {
    text.to_owned()
}

#[test]
fn what_is_published_is_a_folder_of_files_that_a_device_follows_from_list_to_list() {
    let site = Site::new();
    let bundle = site.bundle("1.1.0", 7, &[key(RELEASE_KEY)]);
    let told = site.publish().unwrap();
    assert!(
        told.contains("edge-1.1.0-x86_64-efi") && told.contains("for 1% of the devices"),
        "{told}"
    );
    let copy = site.path("www/releases/edge-1.1.0-x86_64-efi.outcrop");
    assert_eq!(fs::read(copy).unwrap(), fs::read(&bundle).unwrap());
    let first = site.seen_by_a_device(None);
    assert_eq!(first.channel().offers.len(), 1);
    assert_eq!(
        first.channel().offers[0].bytes,
        fs::metadata(&bundle).unwrap().len()
    );

    site.change(Change::Promote(version("1.1.0"))).unwrap();
    let second = site.seen_by_a_device(Some(first.seen()));
    assert!(second.channel().offers[0].is_open_to_all());
    site.change(Change::Pause(version("1.1.0"))).unwrap();
    site.change(Change::Resume(version("1.1.0"))).unwrap();
    site.change(Change::Refresh).unwrap();
    let told = site
        .change(Change::Withdraw {
            release: version("1.1.0"),
            reason: "it eats batteries".to_owned(),
        })
        .unwrap();
    assert!(told.contains("withdrawn: it eats batteries"), "{told}");
    let last = site.seen_by_a_device(Some(second.seen()));
    assert_eq!((last.seen().serial, last.channel().offers.len()), (7, 0));

    let (context, written) = testing::context();
    let options = Show {
        tree: site.path("www"),
        channel: None,
        json: true,
    };
    show(&options, &context).unwrap();
    assert!(
        written.text().contains("\"reason\": \"it eats batteries\""),
        "{}",
        written.text()
    );
}

#[test]
fn a_second_release_joins_the_first_and_nothing_new_is_said_so() {
    let site = Site::new();
    site.bundle("1.1.0", 7, &[key(RELEASE_KEY)]);
    site.publish().unwrap();
    assert!(matches!(refused(site.publish()), PublishError::Nothing(_)));
    site.bundle("1.2.0", 8, &[key(RELEASE_KEY)]);
    site.publish().unwrap();
    assert_eq!(site.seen_by_a_device(None).channel().offers.len(), 2);
}

#[test]
fn another_release_under_a_published_name_is_refused_and_nothing_changes() {
    let site = Site::new();
    site.bundle("1.1.0", 7, &[key(RELEASE_KEY)]);
    site.publish().unwrap();
    let (list, copy) = (
        site.list(),
        site.path("www/releases/edge-1.1.0-x86_64-efi.outcrop"),
    );
    let before = fs::read(&copy).unwrap();
    site.bundle("1.1.0", 9, &[key(RELEASE_KEY)]);
    assert!(matches!(refused(site.publish()), PublishError::Edit { .. }));
    // In another channel of the tree, too.
    let mut beta = site.options();
    beta.channel = "beta".parse().unwrap();
    assert!(matches!(
        refused(site.publish_with(&beta)),
        PublishError::Other(_)
    ));
    assert!(site.list() == list && fs::read(&copy).unwrap() == before);
    assert!(!site.path("www/beta.channel").exists());
}

#[test]
fn a_list_that_somebody_changed_is_never_signed_on() {
    let site = Site::new();
    site.bundle("1.1.0", 7, &[key(RELEASE_KEY)]);
    site.publish().unwrap();
    let changed = String::from_utf8(site.list()).unwrap().replace("1%,100%", "100%");
    fs::write(site.path("www/stable.channel"), changed).unwrap();
    assert!(matches!(
        refused(site.change(Change::Refresh)),
        PublishError::Untrusted { .. }
    ));
    for nothing in ["", "<html></html>"] {
        fs::write(site.path("www/stable.channel"), nothing).unwrap();
        assert!(matches!(
            refused(site.change(Change::Refresh)),
            PublishError::NoList(_)
        ));
    }
}

#[test]
fn keys_of_releases_and_keys_that_devices_do_not_trust_sign_no_channel() {
    let site = Site::new();
    site.bundle("1.1.0", 7, &[key(RELEASE_KEY)]);
    let with = |seed, trust: bool| {
        let mut options = site.options();
        options.signing = site.signing(seed);
        options.signing.trust = options.signing.trust.filter(|_| trust);
        refused(site.publish_with(&options))
    };
    assert!(matches!(with(RELEASE_KEY, false), PublishError::BothRoles { .. }));
    assert!(matches!(with(9, true), PublishError::Refused(_)));
    assert!(!site.path("www/stable.channel").exists());
    let mut keyless = site.options();
    keyless.signing.keys.clear();
    assert!(matches!(
        refused(site.publish_with(&keyless)),
        PublishError::NoKey
    ));
}

#[test]
fn unsigned_foreign_damaged_and_renamed_bundles_are_not_published() {
    let site = Site::new();
    assert!(matches!(refused(site.publish()), PublishError::Empty(_)));
    site.bundle("1.1.0", 7, &[key(9)]);
    assert!(
        matches!(site.publish().unwrap_err(), Error::Bundle(_)),
        "the devices don't trust it"
    );
    let path = site.bundle("1.1.0", 7, &[key(RELEASE_KEY)]);
    let good = fs::read(&path).unwrap();
    let mut damaged = good.clone();
    let place = damaged.len() - 1500;
    damaged[place] ^= 1;
    fs::write(&path, damaged).unwrap();
    assert!(matches!(site.publish().unwrap_err(), Error::Bundle(_)));
    let other = path.with_file_name("edge-9.9.9-x86_64-efi.outcrop");
    fs::rename(&path, &other).unwrap();
    fs::write(&other, good).unwrap();
    assert!(matches!(refused(site.publish()), PublishError::Name { .. }));
    assert!(!site.path("www/stable.channel").exists());
}

#[test]
fn the_channel_of_a_tree_is_named_where_there_are_several_or_none() {
    let site = Site::new();
    let refresh = |site: &Site| refused(site.change(Change::Refresh)).to_string();
    assert!(refresh(&site).ends_with("has no channel"));
    site.bundle("1.1.0", 7, &[key(RELEASE_KEY)]);
    site.publish().unwrap();
    let mut beta = site.options();
    beta.channel = "beta".parse().unwrap();
    site.publish_with(&beta).unwrap();
    assert!(refresh(&site).ends_with("has several channels: beta, stable"));
}

#[test]
fn a_delta_that_was_asked_for_and_is_not_there_is_missed() {
    let site = Site::new();
    site.bundle("1.1.0", 7, &[key(RELEASE_KEY)]);
    let mut options = site.options();
    options.from = vec!["1.0.0".parse().unwrap()];
    assert!(matches!(
        refused(site.publish_with(&options)),
        PublishError::NoDelta { .. }
    ));
}

#[test]
fn deltas_go_along_and_with_from_only_those_that_were_named() {
    let site = Site::new();
    let old = Bundle::open(&site.bundle("1.0.0", 5, &[key(RELEASE_KEY)])).unwrap();
    let older = Bundle::open(&site.bundle("0.9.0", 4, &[key(RELEASE_KEY)])).unwrap();
    let path = site.bundle("1.1.0", 7, &[key(RELEASE_KEY)]);
    let new = Bundle::open(&path).unwrap();
    for old in [&old, &older] {
        let made =
            crate::delta::make(Some(old), &new, &[key(RELEASE_KEY)], site.folder.path(), &Silent).unwrap();
        crate::delta::write_beside(&made, &path).unwrap();
    }
    for old in [&old, &older] {
        fs::remove_file(old.path()).unwrap();
    }
    let mut options = site.options();
    options.from = vec!["1.0.0".parse().unwrap()];
    let told = site.publish_with(&options).unwrap();
    assert!(told.contains("one delta"), "{told}");
    let count = || fs::read_dir(site.path("www/releases")).unwrap().count();
    assert_eq!(count(), 2);
    let mut beta = site.options();
    beta.channel = "beta".parse().unwrap();
    site.publish_with(&beta).unwrap();
    assert_eq!(count(), 3);
}

#[test]
fn a_channel_that_begins_anew_is_said_to() {
    let site = Site::new();
    site.bundle("1.1.0", 7, &[key(RELEASE_KEY)]);
    let said = "begins a new channel";
    assert!(site.publish().unwrap().contains(said));
    site.bundle("1.2.0", 8, &[key(RELEASE_KEY)]);
    assert!(!site.publish().unwrap().contains(said));
}

#[test]
fn another_channel_s_list_under_a_channel_s_name_is_never_begun_anew() {
    let site = Site::new();
    site.bundle("1.1.0", 7, &[key(RELEASE_KEY)]);
    site.publish().unwrap();
    fs::rename(site.path("www/stable.channel"), site.path("www/beta.channel")).unwrap();
    let mut beta = site.options();
    beta.channel = "beta".parse().unwrap();
    for error in [
        refused(site.publish_with(&beta)),
        refused(site.change(Change::Refresh)),
    ] {
        assert!(
            matches!(&error, PublishError::OtherChannel { found, .. } if *found == stable()),
            "{error}"
        );
    }
}

#[test]
fn a_withdrawn_bundle_that_still_lies_there_keeps_no_newer_one_from_being_published() {
    let site = Site::new();
    site.bundle("1.1.0", 7, &[key(RELEASE_KEY)]);
    site.publish().unwrap();
    let withdraw = Change::Withdraw {
        release: version("1.1.0"),
        reason: "it eats batteries".to_owned(),
    };
    site.change(withdraw).unwrap();
    assert!(matches!(refused(site.publish()), PublishError::Nothing(_)));
    site.bundle("1.2.0", 8, &[key(RELEASE_KEY)]);
    site.publish().unwrap();
    let offers = site.seen_by_a_device(None).channel().offers.clone();
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].release.version.to_string(), "1.2.0");
    // Built anew under a withdrawn name, it is no release.
    site.bundle("1.1.0", 9, &[key(RELEASE_KEY)]);
    assert!(matches!(refused(site.publish()), PublishError::Edit { .. }));
}

#[test]
fn a_list_that_no_device_could_read_isn_t_signed_also_where_nobody_says_what_devices_trust() {
    let site = Site::new();
    site.bundle("1.1.0", 7, &[key(RELEASE_KEY)]);
    let mut options = site.options();
    options.signing.trust = None;
    site.publish_with(&options).unwrap();
    let before = site.list();
    let untrusting = Signing {
        trust: None,
        ..site.signing(CHANNEL_KEY)
    };
    let withdraw = Change::Withdraw {
        release: version("1.1.0"),
        reason: "two\nlines".to_owned(),
    };
    let error = refused(site.change_signed_by(withdraw, untrusting));
    assert!(matches!(error, PublishError::Edit { .. }), "{error}");
    // Whatever else may be wrong with it.
    let keys = [key(CHANNEL_KEY)];
    let signers = Signers::new(&keys, None).unwrap();
    let tree = Tree::hold(&site.path("www"), &Silent).unwrap();
    let mut channel = tree.must_read(&stable(), &signers).unwrap();
    channel.serial = 0;
    let error = tree.write(&channel, &signers).unwrap_err();
    assert!(
        matches!(error, Error::Publish(PublishError::Unreadable(_))),
        "{error:?}"
    );
    assert_eq!(site.list(), before);
}

#[test]
fn waves_and_labels_are_what_was_typed() {
    let site = Site::new();
    site.bundle("1.1.0", 7, &[key(RELEASE_KEY)]);
    let mut options = site.options();
    options.hold_back = vec!["ring=late".parse().unwrap()];
    options.json = true;
    let told = site.publish_with(&options).unwrap();
    assert!(told.contains("\"serial\": 2"), "{told}");
    let list = site.seen_by_a_device(None);
    let offer = &list.channel().offers[0];
    assert_eq!(offer.waves, "1%,100%".parse::<Waves>().unwrap());
    assert_eq!(offer.hold_back[0].to_string(), "ring=late");
    assert!(Path::new(&offer.file_name()).extension().is_some());
}
