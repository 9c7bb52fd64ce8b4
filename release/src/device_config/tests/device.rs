//! What a device does with the file that it finds.

use proptest::prelude::*;

use super::{
    super::{MAX_BYTES, *},
    full, read, wrong,
};

#[test]
fn a_good_file_is_kept_and_one_that_says_the_same_changes_nothing() {
    let padded = format!("{}{}", full(), "\n".repeat(2000));
    let found = Found::File(padded.clone().into_bytes());
    let first = decide(&found, None, Import::Always);
    assert_eq!(
        (&first.problems, first.keep.as_deref()),
        (&None, Some(full().as_str()))
    );
    let again = decide(&found, first.keep.as_deref(), Import::Always);
    assert_eq!((again.keep, &again.config), (None, &first.config));
    // It asks for it each time, until it is done.
    assert_eq!(again.blank.len(), 3);
    assert_eq!(&padded[again.blank[2].clone()], "K10abc::server:s3cret");
}

#[test]
fn with_a_bad_file_or_none_the_last_good_one_stays_in_force() {
    let kept = full();
    let good = read(&kept).unwrap();
    for bad in [
        &b"hostname = "[..],
        b"\xff",
        b"hostname = 7",
        &vec![b'x'; MAX_BYTES + 1],
    ] {
        let decision = decide(&Found::File(bad.to_vec()), Some(&kept), Import::Always);
        assert!(decision.problems.is_some());
        assert_eq!((decision.config, decision.keep), (good.clone(), None));
    }
    let decision = decide(&Found::Missing, Some(&kept), Import::Always);
    assert_eq!((decision.config, decision.problems), (good, None));
    let decision = decide(&Found::Missing, None, Import::Always);
    assert_eq!((decision.config, decision.keep), (DeviceConfig::default(), None));
}

#[test]
fn an_older_release_starts_with_what_it_understands_of_a_newer_one_s_file() {
    let newer = format!("antenna = 2\n{}", full());
    let found = Found::File(newer.clone().into_bytes());
    let decision = decide(&found, Some(&newer), Import::Always);
    assert_eq!(decision.config, read(&full()).unwrap());
    assert_eq!(decision.unknown.len(), 1);
    assert!(decision.problems.is_some() && decision.keep.is_none());
}

#[test]
fn a_file_that_counts_once_is_looked_at_until_one_was_kept() {
    let found = |text: &str| Found::File(text.as_bytes().to_vec());
    let bad = decide(&found("hostname = 7"), None, Import::Once);
    assert!(bad.problems.is_some() && bad.keep.is_none());
    let first = decide(&found("hostname = 'a'"), None, Import::Once);
    let later = decide(&found("hostname = 'b'"), first.keep.as_deref(), Import::Once);
    assert_eq!((later.config.hostname.as_deref(), later.keep), (Some("a"), None));
    let later = decide(&found("hostname = 7"), first.keep.as_deref(), Import::Once);
    assert_eq!(later.problems, None);
}

/// The file as it is once its secrets were blanked, up to the byte `cut` of each.
fn blanked(text: &str, ranges: &[std::ops::Range<usize>], cut: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for range in ranges {
        for byte in bytes[range.clone()].iter_mut().take(cut) {
            *byte = b'*';
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn blanked_secrets_stay_in_force_also_when_a_power_cut_left_half_of_one() {
    let first = decide(&Found::File(full().into_bytes()), None, Import::Always);
    for cut in [1, 5, usize::MAX] {
        let file = blanked(&full(), &first.blank, cut);
        assert_eq!(file.len(), full().len());
        let next = decide(
            &Found::File(file.clone().into_bytes()),
            first.keep.as_deref(),
            Import::Always,
        );
        assert_eq!(
            (next.problems, next.keep, &next.config),
            (None, None, &first.config),
            "{file}"
        );
        assert_eq!(next.blank.is_empty(), cut == usize::MAX);
        // Another change is taken over, and the secrets with it.
        let file = file.replace("reef-07", "reef-08");
        let next = decide(
            &Found::File(file.into_bytes()),
            first.keep.as_deref(),
            Import::Always,
        );
        assert_eq!(next.config.hostname.as_deref(), Some("reef-08"));
        assert_eq!(next.config.kubernetes, first.config.kubernetes);
        assert!(next.keep.unwrap().contains("s3cret"));
    }
}

#[test]
fn a_blanked_secret_that_the_device_doesn_t_know_is_told_and_a_new_one_counts() {
    let file = "kubernetes.token = '******'\n";
    for kept in [
        None,
        Some("kubernetes.token = 'longer than that'\n"),
        Some("hostname = 'a'\n"),
    ] {
        let decision = decide(&Found::File(file.into()), kept, Import::Always);
        let told = decision.problems.unwrap().to_string();
        assert!(
            told.starts_with("line 1, column 21: this secret was blanked"),
            "{told}"
        );
    }
    let file = "kubernetes.token = 's3*ret'\n";
    let decision = decide(
        &Found::File(file.into()),
        Some("kubernetes.token = 'another'\n"),
        Import::Always,
    );
    assert_eq!(decision.keep.as_deref(), Some(file));
    assert_eq!(decision.blank, []);
}

#[test]
fn a_secret_is_where_its_bytes_are_whatever_its_quotation_marks() {
    for (text, secret) in [
        ("kubernetes.token = \"abc\"", "abc"),
        ("kubernetes.token = '''abc'''", "abc"),
        ("kubernetes.token = \"\"\"abc\"\"\"", "abc"),
        ("\u{feff}kubernetes.token = 'ü'", "ü"),
    ] {
        let text = format!("{text}\nblank-secrets = true");
        if secret == "ü" {
            assert!(wrong(&text).contains("has blanks or control characters"));
            continue;
        }
        let decision = decide(&Found::File(text.clone().into_bytes()), None, Import::Always);
        assert_eq!(decision.blank.len(), 1, "{text}: {:?}", decision.problems);
        assert_eq!(&text[decision.blank[0].clone()], secret);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), kept in ".{0,80}") {
        let _ = decide(&Found::File(bytes), Some(&kept), Import::Always);
    }

    #[test]
    fn a_damaged_good_file_is_refused_or_read_and_never_makes_it_panic(at in 0..1200_usize, with in "\\PC{0,3}") {
        let mut text = full();
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        text.insert_str(at, &with);
        let decision = decide(&Found::File(text.clone().into_bytes()), None, Import::Always);
        for range in decision.blank {
            prop_assert!(text.get(range).is_some());
        }
    }
}
