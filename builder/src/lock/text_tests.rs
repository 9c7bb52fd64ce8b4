use proptest::prelude::*;

use super::*;
use crate::{
    action::{Action, AlternativeSlave},
    lock::format::{Archive, Role, ScriptKind, Verdict},
};

fn digest() -> impl Strategy<Value = FileDigest> {
    any::<[u8; 32]>().prop_map(FileDigest::from_bytes)
}

fn action() -> impl Strategy<Value = Action> {
    let any_text = any::<String>;
    prop_oneof![
        (any_text(), any_text(), any_text(), any::<i32>()).prop_map(|(name, link, path, priority)| {
            let slaves = vec![AlternativeSlave {
                name: name.clone(),
                link: link.clone(),
                path: path.clone(),
            }];
            Action::Alternative {
                name,
                link,
                path,
                priority,
                slaves,
            }
        }),
        (any_text(), any_text()).prop_map(|(path, content)| Action::File {
            path,
            mode: "644".into(),
            content
        }),
        any_text().prop_map(|unit| Action::EnableUnit { unit }),
    ]
}

fn script() -> impl Strategy<Value = LockedScript> {
    let verdict = prop_oneof![
        Just(Verdict::Recognised),
        Just(Verdict::Reviewed),
        Just(Verdict::Accepted)
    ];
    let kind = prop_oneof![Just(ScriptKind::Preinst), Just(ScriptKind::Postinst)];
    let actions = prop::collection::vec(action(), 0..3);
    (kind, digest(), verdict, actions).prop_map(|(kind, sha256, verdict, actions)| LockedScript {
        kind,
        sha256,
        verdict,
        actions,
    })
}

fn package(name: String) -> impl Strategy<Value = LockedPackage> {
    let place = (
        prop_oneof![Just(Archive::Main), Just(Archive::Security)],
        any::<String>(),
    );
    let role = prop_oneof![Just(Role::Root), Just(Role::Boot)];
    let scripts = prop::collection::vec(script(), 0..3);
    (
        any::<String>(),
        place,
        role,
        0..i64::MAX as u64,
        digest(),
        scripts,
    )
        .prop_map(
            move |(version, (archive, path), role, size, sha256, scripts)| LockedPackage {
                name: name.clone(),
                version,
                architecture: "all".into(),
                role,
                archive,
                path,
                size,
                sha256,
                scripts,
            },
        )
}

fn packages() -> impl Strategy<Value = Vec<LockedPackage>> {
    prop::collection::btree_set("[a-z0-9+.-]{2,9}", 1..4)
        .prop_flat_map(|names| names.into_iter().map(package).collect::<Vec<_>>())
}

fn lock() -> impl Strategy<Value = Lock> {
    let suite = |name: &'static str| {
        (digest(), 0..i64::MAX as u64).prop_map(move |(in_release, date)| LockedSuite {
            name: name.into(),
            archive: Archive::Main,
            in_release,
            date,
        })
    };
    (digest(), suite("a"), suite("b"), packages(), packages()).prop_map(|(recipe, a, b, x86, arm)| Lock {
        recipe,
        suites: vec![a, b],
        packages: [(Architecture::X86_64, x86), (Architecture::Aarch64, arm)].into(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_lock_survives_its_text_form(lock in lock()) {
        let text = write(&lock).unwrap();
        let read = parse(text.as_bytes());
        prop_assert_eq!(read.as_ref(), Ok(&lock));
        prop_assert_eq!(write(&read.unwrap()).unwrap(), text);
    }

    #[test]
    fn every_truncated_lock_is_called_truncated(lock in lock(), cut in any::<prop::sample::Index>()) {
        let text = write(&lock).unwrap();
        let cut = (0..=cut.index(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap();
        prop_assert_eq!(parse(&text.as_bytes()[..cut]), Err(TextError::Truncated));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in any::<Vec<u8>>()) {
        let _ = parse(&bytes);
    }
}

fn small() -> String {
    let suites = vec![LockedSuite {
        name: "trixie".into(),
        archive: Archive::Main,
        in_release: FileDigest::of(b"r"),
        date: 1,
    }];
    write(&Lock {
        recipe: FileDigest::of(b"recipe"),
        suites,
        packages: [].into(),
    })
    .unwrap()
}

#[test]
fn a_changed_digit_is_an_edit_and_says_so() {
    let text = small().replace("date = 1", "date = 2");
    assert_eq!(parse(text.as_bytes()), Err(TextError::Edited));
}

#[test]
fn a_newer_format_asks_for_a_newer_program() {
    let text = small().replace("format = 1", "format = 2");
    assert_eq!(parse(text.as_bytes()), Err(TextError::TooNew(2)));
}

#[test]
fn another_file_is_not_a_lock() {
    for text in [
        "[image]\nname = \"x\"\n",
        "\u{7f}ELF",
        "format = x\ndigest = \"\"\n",
    ] {
        assert_eq!(parse(text.as_bytes()), Err(TextError::NotALock), "{text}");
    }
}

#[test]
fn an_unknown_key_under_a_right_seal_is_refused() {
    let text = small();
    let body = text
        .split_once("recipe = ")
        .unwrap()
        .1
        .replace("date = 1", "date = 1\nextra = 1");
    let body = format!("recipe = {body}");
    let text = format!(
        "{HEADER}format = 1\ndigest = \"{}\"\n{body}",
        FileDigest::of(body.as_bytes())
    );
    assert!(matches!(parse(text.as_bytes()), Err(TextError::Malformed(_))));
}

#[test]
fn a_missing_lock_says_which_command_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = folder.path().join("edge.toml");
    let error = read(&recipe, &FileDigest::of(b"")).unwrap_err();
    assert!(matches!(error, LockFileError::Missing { .. }), "{error:?}");
    let help = error.help().unwrap().to_string();
    assert!(
        help.contains(&format!("outcrop lock {}", recipe.display())),
        "{help}"
    );
}

#[test]
fn a_lock_of_another_recipe_is_told_apart_from_an_edited_one() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = folder.path().join("edge.toml");
    fs::write(path_for(&recipe), small()).unwrap();
    assert!(read(&recipe, &FileDigest::of(b"recipe")).is_ok());
    let error = read(&recipe, &FileDigest::of(b"other")).unwrap_err();
    assert!(matches!(error, LockFileError::OtherRecipe { .. }), "{error:?}");
}

#[test]
fn the_locks_of_the_default_recipes_can_be_read() {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    for name in ["edge.toml", "edge-dev.toml"] {
        let lock = read_any(&path_for(&recipes.join(name)), name).unwrap();
        assert_eq!(
            lock.packages.keys().copied().collect::<Vec<_>>(),
            Architecture::ALL
        );
        for packages in lock.packages.values() {
            let boot: Vec<_> = packages
                .iter()
                .filter(|package| package.role == Role::Boot)
                .collect();
            assert_eq!(boot.len(), 1);
            assert_eq!(boot[0].name, "systemd-boot-efi");
            assert!(
                packages
                    .iter()
                    .any(|package| package.name == "systemd" && package.role == Role::Root)
            );
        }
    }
}
