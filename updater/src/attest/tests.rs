//! Each part by itself; the whole is looked at on a booted machine.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use outcrop_release::device_config::render::{Entry, Rendered};

use super::{etc_layer, mounts, var, *};
use crate::testing::root::device;

fn told(differences: &[Difference]) -> Vec<String> {
    let mut told: Vec<String> = differences
        .iter()
        .map(|difference| format!("{} {}", difference.path, difference.what.describe()))
        .collect();
    told.sort();
    told
}

#[test]
fn the_words_that_name_the_slot_aren_t_of_the_command_line() {
    let of = |slot: &str| {
        without_slot(&format!(
            "ro roothash=ab outcrop.slot={slot} outcrop.start=trial quiet"
        ))
    };
    assert_eq!(of("a"), "ro roothash=ab quiet");
    assert_eq!(of("a"), of("b"));
}

#[test]
fn what_covers_the_release_is_found_among_the_mounts() {
    let usual = "22 1 252:0 / / ro - erofs /dev/dm-0 ro\n23 22 0:20 / /etc rw - overlay overlay rw\n\
                 24 22 0:21 / /proc rw - proc proc rw\n25 22 8:9 / /var rw - ext4 /dev/vda9 rw\n26 22 0:5 / /dev rw - devtmpfs x rw\n";
    assert_eq!(told(&mounts::over_the_release(usual)), Vec::<String>::new());
    let covered = format!(
        "{usual}30 22 8:9 /x /usr/bin/sudo rw - ext4 /dev/vda9 rw\n31 22 8:9 /y /etc rw - ext4 /dev/vda9 rw\n32 22 8:9 / /device rw - x x rw\n"
    );
    assert_eq!(
        told(&mounts::over_the_release(&covered)),
        [
            "/device is mounted over the release",
            "/etc is mounted over the release",
            "/usr/bin/sudo is mounted over the release"
        ]
    );
}

#[test]
fn in_etc_what_the_configuration_has_is_no_difference_and_everything_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let device = device(folder.path());
    let upper = device.run_folder().join("etc/upper");
    let rendered = Rendered {
        entries: [
            ("hostname".to_owned(), Entry::Public("reef\n".to_owned())),
            ("a/b.conf".to_owned(), Entry::Private("x".to_owned())),
            ("a/link".to_owned(), Entry::Link("/usr/x".to_owned())),
        ]
        .into(),
        complaints: Vec::new(),
    };
    save_configured(&device.run_folder(), &rendered).unwrap();
    fs::create_dir_all(upper.join("a")).unwrap();
    fs::write(upper.join("hostname"), "reef\n").unwrap();
    fs::write(upper.join("a/b.conf"), "x").unwrap();
    symlink("/usr/x", upper.join("a/link")).unwrap();
    fs::write(upper.join("machine-id"), "any").unwrap();
    assert_eq!(
        told(&etc_layer::differences(&device).unwrap()),
        Vec::<String>::new()
    );
    fs::write(upper.join("a/b.conf"), "y").unwrap();
    fs::remove_file(upper.join("a/link")).unwrap();
    fs::write(upper.join("a/by-hand"), "z").unwrap();
    let found = etc_layer::differences(&device).unwrap();
    assert_eq!(
        told(&found),
        [
            "/etc/a/b.conf was changed",
            "/etc/a/by-hand was added",
            "/etc/a/link was taken away"
        ]
    );
    let by_hand = found.iter().find(|found| found.what == What::Added).unwrap();
    assert_eq!(by_hand.sha256, Some(FileDigest::of(b"z").to_string()));
}

#[test]
fn in_var_programs_units_timetables_and_keys_are_found_but_not_among_containers() {
    let folder = tempfile::tempdir().unwrap();
    let var = folder.path().join("var");
    let put = |path: &str, mode| {
        let path = var.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, path.display().to_string()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    put("log/journal/x.journal", 0o640);
    put("lib/systemd/timers/stamp-fstrim.timer", 0o644);
    put("lib/containerd/snapshots/1/bin/sh", 0o755);
    put("home/admin/bin/fix", 0o755);
    put("home/admin/.config/systemd/user/fix.service", 0o644);
    put("home/admin/.ssh/authorized_keys", 0o600);
    put("spool/cron/crontabs/root", 0o600);
    symlink("/var/home/admin/bin/fix", var.join("home/link")).unwrap();
    let stores = ["/var/lib/containerd".to_owned()];
    let found = var::differences(&var, &stores).unwrap();
    let unit = "is a unit, a timetable or a list of keys outside the release";
    assert_eq!(
        told(&found),
        [
            format!("/var/home/admin/.config/systemd/user/fix.service {unit}"),
            format!("/var/home/admin/.ssh/authorized_keys {unit}"),
            "/var/home/admin/bin/fix is a program outside the release".to_owned(),
            format!("/var/spool/cron/crontabs/root {unit}"),
        ]
    );
    assert!(found.iter().all(|difference| difference.sha256.is_some()));
}

#[test]
fn two_devices_have_one_fingerprint_until_one_of_them_is_a_snowflake() {
    let device = || Attestation {
        release: "unit 1.0.0 x86_64 efi".to_owned(),
        root_hash: "ab".to_owned(),
        command_line: "ro".to_owned(),
        boot_payload: Some("cd".to_owned()),
        configuration: Some("ef".to_owned()),
        differences: Vec::new(),
        not_looked_into: Vec::new(),
    };
    assert_eq!(device().fingerprint(), device().fingerprint());
    let mut snowflake = device();
    snowflake.differences.push(Difference {
        path: "/etc/x".to_owned(),
        what: What::Added,
        sha256: None,
    });
    assert_ne!(snowflake.fingerprint(), device().fingerprint());
}
