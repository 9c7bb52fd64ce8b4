//! Proofs, and following them.

use std::io::Write as _;

use super::{
    super::*,
    fixture::{pack, plain, recipe},
};

/// As many bytes let zstd's two ways of compressing differ.
const DIFFERENT: usize = 1 << 20;

fn len_of(plain: &[u8]) -> PlainLen {
    PlainLen::new(u32::try_from(plain.len()).unwrap()).unwrap()
}

/// What somebody else's zstd makes: no code of this module in it.
fn zstd(level: i32, workers: u32, checksum: bool, plain: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), level).unwrap();
    encoder.include_checksum(checksum).unwrap();
    let workers = zstd::zstd_safe::CParameter::NbWorkers(workers);
    encoder.set_parameter(workers).unwrap();
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn frames_made_with_and_without_threads_are_proved_and_made_again() {
    let plain = plain(DIFFERENT);
    for (workers, method) in [(2, Method::Worker), (0, Method::Single)] {
        let frame = zstd(19, workers, workers == 2, &plain);
        let recipe = prove(&frame, len_of(&plain)).unwrap().unwrap();
        assert_eq!((recipe.method(), recipe.checksum()), (method, workers == 2));
        assert!(pack(&recipe, &plain) == frame, "{method:?}");
    }
    assert!(zstd(19, 2, true, &plain) != zstd(19, 0, true, &plain));
}

#[test]
fn a_frame_that_nothing_here_makes_isnt_proved() {
    let plain = plain(DIFFERENT);
    let len = len_of(&plain);
    // Level 18 has the window of 19, level 12 one that no recipe has.
    assert_eq!(prove(&zstd(18, 1, true, &plain), len).unwrap(), None);
    assert_eq!(prove(&zstd(12, 0, true, &plain), len).unwrap(), None);
    // With the content size in its header.
    let sized = zstd::bulk::compress(&plain, 19).unwrap();
    assert_eq!(prove(&sized, len).unwrap(), None);
    assert!(prove(&sized[..sized.len() - 1], len).is_err());
}

#[test]
fn pieces_and_flushes_change_no_byte() {
    let plain = plain(DIFFERENT);
    for method in [Method::Worker, Method::Single] {
        let recipe = recipe(method, true, &plain);
        let mut packer = Packer::new(&recipe, Vec::new()).unwrap();
        for piece in plain.chunks(70_001) {
            packer.write_all(piece).unwrap();
            packer.flush().unwrap();
        }
        assert!(packer.finish().unwrap() == pack(&recipe, &plain), "{method:?}");
    }
}

#[test]
fn more_or_fewer_bytes_than_the_recipe_says_are_refused() {
    let plain = plain(100);
    let recipe = recipe(Method::Worker, true, &plain);
    let mut packer = Packer::new(&recipe, Vec::new()).unwrap();
    packer.write_all(&plain[..99]).unwrap();
    assert!(packer.write_all(&[1, 2]).is_err());
    assert!(matches!(
        packer.finish(),
        Err(PackError::Length {
            found: 99,
            expected: 100
        })
    ));
}

#[test]
fn a_recipe_survives_its_text_and_one_of_another_zstd_isnt_followed() {
    let recipe = recipe(Method::Worker, true, &[0; 100]);
    let text = serde_json::to_string(&recipe).unwrap();
    let own = zstd::zstd_safe::version_string();
    assert_eq!(
        text,
        format!(r#"{{"library":"{own}","level":19,"method":"worker","checksum":true,"plain_len":100}}"#)
    );
    assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
    let other: Recipe = serde_json::from_str(&text.replace(own, "1.5.2")).unwrap();
    let error = Packer::new(&other, Vec::new()).err().unwrap();
    assert!(matches!(error, PackError::Recipe(RecipeError::Library { proved, .. }) if proved == "1.5.2"));
}

#[test]
fn recipes_with_values_that_nothing_has_are_refused() {
    let recipe = |level: &str, len: &str, more: &str| {
        let text = format!(
            r#"{{"library":"1.5.7","level":{level},"method":"worker","checksum":true,"plain_len":{len}{more}}}"#
        );
        serde_json::from_str::<Recipe>(&text)
    };
    assert!(recipe("22", "57646880", "").is_ok());
    for (level, len, more) in [
        ("18", "1", ""),
        ("23", "1", ""),
        ("-1", "1", ""),
        ("22", "0", ""),
        ("22", "134217729", ""),
        ("22", "1", r#","window":3"#),
    ] {
        assert!(recipe(level, len, more).is_err(), "{level} {len} {more}");
    }
}

#[test]
fn the_memory_for_debians_kernel_is_what_was_measured_and_a_margin() {
    let len = PlainLen::new(57_646_880).unwrap();
    let recipe = Recipe::new(Level::new(22).unwrap(), Method::Worker, true, len);
    let mib = recipe.memory_bytes() >> 20;
    assert!((780..900).contains(&mib), "{mib} MiB");
}
