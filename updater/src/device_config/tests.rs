//! A device with a real FAT for partition 1, in a file.

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use outcrop_release::{
    device_config::{FILE_BYTES, render::Rendered, template},
    fat::{FatPlan, FileSpec, Volume},
    units::MIB,
};
use tempfile::TempDir;

use super::*;

const SECRETS: &str =
    "hostname = \"reef-07\"\nblank-secrets = true\nkubernetes.token = \"K10::server:s3cret\"\n";

/// A device in a folder.
struct Made {
    folder: TempDir,
}

impl Made {
    /// With `text` on partition 1, between two other files.
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Self { folder };
        fs::create_dir_all(made.root().join("etc")).unwrap();
        fs::create_dir_all(made.root().join("usr/lib/outcrop")).unwrap();
        fs::create_dir_all(made.state()).unwrap();
        made.put(text);
        made
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn partition(&self) -> PathBuf {
        self.folder.path().join("partition-1")
    }

    fn put(&self, text: &str) {
        let len = u32::try_from(text.len()).unwrap();
        let files =
            [("a.bin", 5000), (FILE_NAME, len), ("b.bin", 5000)].map(|(path, len)| FileSpec { path, len });
        let bytes = 96 * MIB;
        let volume = Volume {
            bytes,
            serial: 1,
            label: "OUTCROP",
            disk_offset: 0,
        };
        let plan = FatPlan::new(&volume, &files).unwrap();
        let image = fs::File::create(self.partition()).unwrap();
        image.set_len(bytes).unwrap();
        for (at, piece) in plan.metadata() {
            image.write_all_at(&piece, at).unwrap();
        }
        for (path, content) in [
            ("a.bin", vec![1; 5000]),
            (FILE_NAME, text.into()),
            ("b.bin", vec![2; 5000]),
        ] {
            image
                .write_all_at(&content, plan.extent(path).unwrap().start)
                .unwrap();
        }
    }

    fn medium(&self) -> PartitionFile {
        PartitionFile::new(Some(self.partition()))
    }

    fn apply(&self) -> ConfigReport {
        apply(&self.medium(), &self.root(), Some(&self.state()))
    }

    fn text(&self) -> String {
        match self.medium().read().unwrap() {
            Found::File(bytes) => String::from_utf8(bytes).unwrap(),
            Found::Missing => panic!("no file"),
        }
    }

    fn etc(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root().join("etc").join(path)).ok()
    }

    fn kept(&self) -> Option<String> {
        fs::read_to_string(self.state().join(FILE_NAME)).ok()
    }

    fn once(&self) {
        let definition = DeviceDefinition { import: Import::Once };
        fs::write(self.root().join(DeviceDefinition::PATH), definition.to_bytes()).unwrap();
    }
}

#[test]
fn a_file_is_taken_over_kept_where_only_root_may_read_it_and_rendered() {
    let made = Made::new(&template(true));
    let report = made.apply();
    assert_eq!((report.problems.as_slice(), report.hostname), (&[][..], None));
    made.put("hostname = 'reef-07'\nchannel = 'beta'\n[labels]\nsite = 'reef'\n");
    let report = made.apply();
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(report.is_new && report.labels["site"] == "reef" && report.channel.as_deref() == Some("beta"));
    assert_eq!(made.etc("hostname").as_deref(), Some("reef-07\n"));
    let mode = fs::metadata(made.state().join(FILE_NAME))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = made.apply();
    assert_eq!((again.is_new, &again.digest), (false, &report.digest));
}

#[test]
fn nothing_but_the_secrets_bytes_changes_on_partition_1() {
    let padded = format!("{SECRETS}{}", "\n".repeat(FILE_BYTES as usize - SECRETS.len()));
    let made = Made::new(&padded);
    let before = fs::read(made.partition()).unwrap();
    assert_eq!(made.apply().problems, Vec::<String>::new());
    let after = fs::read(made.partition()).unwrap();
    let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
    assert_eq!(changed.len(), "K10::server:s3cret".len());
    assert!(changed.iter().all(|at| after[*at] == b'*'));
    assert!(made.text().contains("token = \"******************\""));
    assert!(made.kept().unwrap().contains("s3cret"));
    // And so it stays.
    let report = made.apply();
    assert_eq!((report.is_new, report.problems.as_slice()), (false, &[][..]));
    assert_eq!(fs::read(made.partition()).unwrap(), after);
    assert!(made.kept().unwrap().contains("s3cret"));
}

#[test]
fn secrets_stay_on_partition_1_when_they_can_t_be_kept() {
    let made = Made::new(SECRETS);
    // Something is in the way of the file that is written first.
    fs::create_dir(made.state().join("device.new")).unwrap();
    let report = made.apply();
    assert!(report.problems[0].contains("device.new"), "{:?}", report.problems);
    // It counts for this boot.
    assert_eq!(made.etc("hostname").as_deref(), Some("reef-07\n"));
    assert_eq!((made.text().as_str(), made.kept()), (SECRETS, None));
    let report = apply(&made.medium(), &made.root(), None);
    assert_eq!(
        (report.problems.as_slice(), made.text().as_str()),
        (&[][..], SECRETS)
    );
}

#[test]
fn with_a_bad_file_a_missing_one_or_no_partition_the_last_good_one_is_in_force_and_that_is_told() {
    let made = Made::new("hostname = 'good'\n");
    made.apply();
    fs::remove_file(made.root().join("etc/hostname")).unwrap();
    let is_good = |report: &ConfigReport| {
        assert_eq!(made.etc("hostname").as_deref(), Some("good\n"));
        report.problems.join("\n")
    };
    made.put("\n  hostname = 'b a d'\n");
    let told = is_good(&made.apply());
    assert!(
        told.starts_with("device.toml: line 2, column 14: \"b a d\" is no host name"),
        "{told}"
    );
    made.put(&"x".repeat(1 << 20));
    assert!(is_good(&made.apply()).contains("longer than 64 KiB"));
    let told = is_good(&apply(
        &PartitionFile::new(None),
        &made.root(),
        Some(&made.state()),
    ));
    assert!(told.contains("the disk has no partition 1"), "{told}");
    fs::write(made.partition(), [0; 4096]).unwrap();
    let told = is_good(&made.apply());
    assert!(told.starts_with("find device.toml on "), "{told}");
    fs::remove_file(made.partition()).unwrap();
    assert!(is_good(&made.apply()).starts_with("read device.toml on "));
}

#[test]
fn a_file_in_several_pieces_is_read_and_blanked_where_they_lie() {
    let extents =
        [(1000, 10), (5000, 4), (200, 100)].map(|(start, len)| outcrop_release::units::Extent { start, len });
    let of = |range| {
        let pieces = partition_file::pieces(&extents, &range);
        pieces
            .iter()
            .map(|piece| (piece.start, piece.len))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(2..5), [(1002, 3)]);
    assert_eq!(of(8..20), [(1008, 2), (5000, 4), (200, 6)]);
    assert_eq!(of(10..14), [(5000, 4)]);
    assert_eq!(of(200..300), []);
}

#[test]
fn a_release_that_imports_once_is_deaf_afterwards_and_without_a_data_partition() {
    let made = Made::new("hostname = 'one'\n");
    made.once();
    let report = apply(&made.medium(), &made.root(), None);
    assert_eq!((report.hostname, made.etc("hostname")), (None, None));
    assert_eq!(made.apply().hostname.as_deref(), Some("one"));
    made.put("hostname = 'two'\n");
    assert_eq!(made.apply().hostname.as_deref(), Some("one"));
    // A release whose word on that is damaged counts as such a one.
    fs::write(made.root().join(DeviceDefinition::PATH), "{").unwrap();
    let report = made.apply();
    assert_eq!(report.hostname.as_deref(), Some("one"));
    assert!(
        report.problems[0].starts_with("understand "),
        "{:?}",
        report.problems
    );
}

#[test]
fn what_is_in_the_way_in_etc_is_replaced_or_told_and_nothing_is_written_through_a_link() {
    let made = Made::new("hostname = 'a'\ntime-servers = ['b']\n");
    let outside = made.folder.path().join("outside");
    fs::write(&outside, "untouched").unwrap();
    std::os::unix::fs::symlink(&outside, made.root().join("etc/hostname")).unwrap();
    fs::create_dir_all(made.root().join("etc/systemd/timesyncd.conf.d/50-device.conf/x")).unwrap();
    let report = made.apply();
    assert_eq!(fs::read_to_string(&outside).unwrap(), "untouched");
    assert_eq!(made.etc("hostname").as_deref(), Some("a\n"));
    assert!(
        report
            .problems
            .iter()
            .any(|problem| problem.starts_with("write ")),
        "{:?}",
        report.problems
    );
}

#[test]
fn the_release_s_accounts_and_services_are_seen() {
    let key =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f admin@example";
    let made = Made::new(&format!(
        "users.admin.ssh-keys = ['{key}']\nusers.eve.ssh-keys = ['{key}']\n"
    ));
    let etc = made.root().join("etc");
    fs::write(
        etc.join("passwd"),
        "root:x:0:0::/root:/bin/sh\nadmin:x:1000:1000::/home/admin:/bin/bash\n",
    )
    .unwrap();
    fs::create_dir_all(etc.join("ssh/authorized_keys.d")).unwrap();
    fs::write(etc.join("ssh/authorized_keys.d/admin"), "ssh-rsa OWN\n").unwrap();
    fs::create_dir_all(etc.join("systemd/system/multi-user.target.wants")).unwrap();
    fs::write(etc.join("systemd/system/multi-user.target.wants/ssh.service"), "").unwrap();
    let report = made.apply();
    assert_eq!(report.problems, ["users.eve: this release has no such account"]);
    assert_eq!(
        made.etc("ssh/authorized_keys.d/admin"),
        Some(format!("ssh-rsa OWN\n{key}\n"))
    );
}

#[test]
fn the_report_is_left_for_status_and_holds_no_secret() {
    let made = Made::new(SECRETS);
    let report = made.apply();
    report.save(made.folder.path()).unwrap();
    assert_eq!(
        ConfigReport::load(made.folder.path()),
        Some(ConfigReport {
            rendered: Rendered::default(),
            ..report.clone()
        })
    );
    let text = report.to_text() + &serde_json::to_string(&report).unwrap();
    assert!(text.contains("reef-07") && !text.contains("s3cret"), "{text}");
    assert_eq!(ConfigReport::load(Path::new("/nonexistent")), None);
}
