use std::{fs, os::unix::fs::PermissionsExt as _, sync::mpsc, thread};

use ed25519_dalek::{Signature, VerifyingKey};
use proptest::prelude::*;

use super::*;
use crate::{
    chain,
    tpm::{
        NoTpm, ResponseCode,
        fake::{CREATE, CREATE_PRIMARY, FakeTpm, Fault, UNSEAL},
    },
};

fn file(state: &Path) -> String {
    fs::read_to_string(state.join(FILE_NAME)).unwrap()
}

fn is_sealed(state: &Path) -> bool {
    file(state).starts_with("tpm2-sealed:ed25519:")
}

fn has_signed(key: &DeviceKey, signature: &[u8; 64]) -> bool {
    let public = VerifyingKey::from_bytes(key.public().as_bytes()).unwrap();
    public
        .verify_strict(b"x", &Signature::from_bytes(signature))
        .is_ok()
}

#[test]
fn a_device_gets_one_key_that_only_its_owner_reads_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = DeviceKey::of(folder.path(), NoTpm).unwrap();
    let mode = fs::metadata(folder.path().join(FILE_NAME))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = DeviceKey::of(folder.path(), NoTpm).unwrap();
    assert_eq!(
        (again.device(), again.sign(b"x").unwrap()),
        (first.device(), first.sign(b"x").unwrap())
    );
    assert_eq!(again.kept_in(), KeptIn::File);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(
        DeviceKey::of(other.path(), NoTpm).unwrap().device(),
        first.device()
    );
}

#[test]
fn a_damaged_key_is_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    for bad in [
        "",
        "ed25519-private:00",
        "ed25519-private:zz",
        "tpm2-sealed:00:00",
        "x",
    ] {
        fs::write(&path, bad).unwrap();
        assert!(
            matches!(
                DeviceKey::of(folder.path(), FakeTpm::new(1)),
                Err(DeviceKeyError::Damaged { .. })
            ),
            "{bad}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), bad);
    }
}

#[test]
fn a_new_key_is_sealed_where_there_is_a_tpm_and_only_root_reads_its_file() {
    let (folder, tpm) = (tempfile::tempdir().unwrap(), FakeTpm::new(1));
    let key = DeviceKey::of(folder.path(), tpm.clone()).unwrap();
    assert!(is_sealed(folder.path()) && key.kept_in() == KeptIn::Tpm);
    let path = folder.path().join(FILE_NAME);
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!folder.path().join(UNPROVEN).exists());
    let signature = key.sign(b"x").unwrap();
    assert!(has_signed(&key, &signature));
    assert_eq!(tpm.loaded(), 0);
}

#[test]
fn a_key_of_a_device_that_has_a_tpm_is_sealed_when_it_is_used_and_stays_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let plain = DeviceKey::of(folder.path(), NoTpm).unwrap();
    let sealed = DeviceKey::of(folder.path(), FakeTpm::new(1)).unwrap();
    assert!(is_sealed(folder.path()));
    assert_eq!(sealed.device(), plain.device());
    assert_eq!(sealed.sign(b"x").unwrap(), plain.sign(b"x").unwrap());
}

#[test]
fn the_tpm_is_asked_once_and_only_when_something_is_signed() {
    let (folder, tpm) = (tempfile::tempdir().unwrap(), FakeTpm::new(1));
    DeviceKey::of(folder.path(), tpm.clone()).unwrap();
    let before = tpm.count(UNSEAL);
    let key = DeviceKey::of(folder.path(), tpm.clone()).unwrap();
    let _name = key.device();
    assert_eq!(tpm.count(UNSEAL), before);
    for _ in 0..3 {
        assert!(has_signed(&key, &key.sign(b"x").unwrap()));
    }
    assert_eq!(tpm.count(UNSEAL), before + 1);
}

#[test]
fn without_the_tpm_that_sealed_it_the_device_has_its_name_signs_nothing_and_gets_no_new_key() {
    let (folder, tpm) = (tempfile::tempdir().unwrap(), FakeTpm::new(1));
    let name = DeviceKey::of(folder.path(), tpm.clone()).unwrap().device();
    let text = file(folder.path());
    let gone = DeviceKey::of(folder.path(), NoTpm).unwrap();
    let other = DeviceKey::of(folder.path(), FakeTpm::new(2)).unwrap();
    tpm.clear();
    let cleared = DeviceKey::of(folder.path(), tpm).unwrap();
    for (key, told) in [
        (gone, "has no TPM"),
        (other, "another TPM has sealed that"),
        (cleared, "was cleared since"),
    ] {
        assert_eq!(key.device(), name);
        let text = chain::describe(&key.sign(b"x").unwrap_err());
        assert!(text.contains(told) && text.contains("remove the file"), "{text}");
    }
    assert_eq!(file(folder.path()), text);
}

#[test]
fn a_sealed_key_that_isn_t_the_one_of_the_public_half_signs_nothing() {
    let (one, two, tpm) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        FakeTpm::new(1),
    );
    let public = *DeviceKey::of(one.path(), tpm.clone()).unwrap().public();
    let other = *DeviceKey::of(two.path(), tpm.clone()).unwrap().public();
    let swapped = file(one.path()).replace(&public.to_string(), &other.to_string());
    fs::write(one.path().join(FILE_NAME), swapped).unwrap();
    let error = DeviceKey::of(one.path(), tpm).unwrap().sign(b"x").unwrap_err();
    assert!(
        chain::describe(&error).contains("something else than was sealed"),
        "{error}"
    );
}

#[test]
fn a_key_that_can_t_be_sealed_works_in_its_file_and_says_why() {
    for fault in [
        Fault::Refuses(CREATE_PRIMARY, ResponseCode::OBJECT_MEMORY),
        Fault::Refuses(CREATE, ResponseCode::LOCKOUT),
        // It seals, and doesn't give back what it has sealed.
        Fault::Refuses(UNSEAL, 0x101),
        Fault::Silent(CREATE),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let tpm = FakeTpm::new(1).with(fault.clone());
        let key = DeviceKey::of(folder.path(), tpm.clone()).unwrap();
        assert_eq!(key.kept_in(), KeptIn::File, "{fault:?}");
        assert!(!is_sealed(folder.path()) && key.sign(b"x").is_ok());
        let told = chain::describe(key.trouble().unwrap());
        assert!(told.contains("device.key as it is: "), "{told}");
        // Once the TPM does what it should.
        let later = DeviceKey::of(folder.path(), FakeTpm::new(1)).unwrap();
        assert!(is_sealed(folder.path()) && later.device() == key.device());
        assert_eq!(tpm.loaded(), 0);
    }
}

#[test]
fn a_key_works_in_its_file_where_what_is_sealed_can_t_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let plain = DeviceKey::of(folder.path(), NoTpm).unwrap();
    fs::create_dir(folder.path().join(UNPROVEN)).unwrap();
    let key = DeviceKey::of(folder.path(), FakeTpm::new(1)).unwrap();
    assert_eq!((key.device(), key.kept_in()), (plain.device(), KeptIn::File));
    assert!(key.trouble().is_some() && key.sign(b"x").is_ok());
}

#[test]
fn what_a_power_cut_left_of_sealing_is_no_hindrance() {
    let folder = tempfile::tempdir().unwrap();
    let name = DeviceKey::of(folder.path(), NoTpm).unwrap().device();
    for (left, bytes) in [(UNPROVEN, "tpm2-sealed:half"), ("device.new", ""), (LOCK, "")] {
        fs::write(folder.path().join(left), bytes).unwrap();
    }
    let key = DeviceKey::of(folder.path(), FakeTpm::new(1)).unwrap();
    assert!(is_sealed(folder.path()) && key.device() == name);
}

#[test]
fn programs_that_need_the_key_first_at_the_same_time_get_the_same_one() {
    let (folder, tpm) = (tempfile::tempdir().unwrap(), FakeTpm::new(1));
    let (sender, names) = mpsc::channel();
    thread::scope(|scope| {
        for number in 0..8 {
            let (sender, state, tpm) = (sender.clone(), folder.path(), tpm.clone());
            scope.spawn(move || {
                let key = match number % 2 {
                    0 => DeviceKey::of(state, tpm),
                    _ => DeviceKey::of(state, NoTpm),
                };
                sender.send(key.unwrap().device()).unwrap();
            });
        }
    });
    drop(sender);
    let names: Vec<_> = names.into_iter().collect();
    assert_eq!(names.len(), 8);
    assert!(names.windows(2).all(|pair| pair[0] == pair[1]), "{names:?}");
}

#[test]
fn a_look_makes_no_key_seals_none_and_tells_one_that_can_t_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let (state, tpm) = (folder.path(), FakeTpm::new(1));
    assert!(look(state, &tpm).unwrap().is_none() && !state.join(FILE_NAME).exists());
    DeviceKey::of(state, NoTpm).unwrap();
    assert!(matches!(look(state, &tpm).unwrap(), Some((KeptIn::File, None))));
    assert!(!is_sealed(state));
    DeviceKey::of(state, tpm.clone()).unwrap();
    assert!(matches!(look(state, &tpm).unwrap(), Some((KeptIn::Tpm, None))));
    assert!(matches!(
        look(state, &NoTpm).unwrap(),
        Some((KeptIn::Tpm, Some(_)))
    ));
}

proptest! {
    /// Whatever became of the file: an error or a signature by the key that it names, and never another key.
    #[test]
    fn a_file_with_a_byte_changed_never_signs_as_somebody_else(at in 0_usize..500, byte: u8) {
        let (folder, tpm) = (tempfile::tempdir().unwrap(), FakeTpm::new(1));
        DeviceKey::of(folder.path(), tpm.clone()).unwrap();
        let path = folder.path().join(FILE_NAME);
        let mut bytes = fs::read(&path).unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        fs::write(&path, &bytes).unwrap();
        if let Ok(key) = DeviceKey::of(folder.path(), tpm)
            && let Ok(signature) = key.sign(b"x")
        {
            prop_assert!(has_signed(&key, &signature));
        }
        prop_assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}
