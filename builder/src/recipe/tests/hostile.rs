//! What a recipe must not say, and that nothing that it says makes the builder panic.

use proptest::prelude::*;

use super::{LEAST, load_text, problems, text};

#[test]
fn all_mistakes_of_a_recipe_are_reported_at_once() {
    let found = problems(
        "[image]\nname = \"Edge\"\nversion = \"1.0\"\nvresion = \"x\"\narchitectures = \"x86_64\"\n[packages]\n\
         install = [\"htop\", 3, \"Vim\"]\n[disk]\nroot-slot = \"1MiB\"\nboot-slot = \"64MB\"\n",
    );
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn mistakes_in_single_values_are_refused_where_they_stand() {
    let cases = [
        "[image]\nboard = \"toaster\"",
        "[image]\nboard = \"rpi\"\narchitectures = [\"aarch64\", \"x86_64\"]",
        "[kernel]\npackage.amd64 = \"x\"",
        "[kernel]\ncommand-line = [\"init=/bin/sh\"]",
        "[kernel]\nexclude-modules = [\"/a[\"]",
        "[services]\nenable = [\"ssh\"]",
        "[services]\nenable = [\"a.service\"]\nmask = [\"a.service\"]",
        "[users.\"Mr X\"]",
        "[users.a]\nuid = 5",
        "[users.a]\nuid = 1000\n[users.b]\nuid = 1000",
        "[users.root]\nshell = \"/bin/sh\"",
        "[users.a]\nssh-keys = [\"ssh-ed25519 AAAA\"]",
        "[[files]]\npath = \"/a\"",
        "[[files]]\npath = \"/a\"\ncontent = \"\"\nsource = \"b\"",
        "[[files]]\npath = \"/a\"\nsource = \"missing\"",
        "[[files]]\npath = \"/a\"\ncontent = \"\"\n[[files]]\npath = \"/a\"\ncontent = \"\"",
        "[[files]]\npath = \"/a\"\ncontent = \"\"\n[[files]]\npath = \"/a/b\"\ncontent = \"\"",
        "[[files]]\npath = \"/a\"\ncontent = \"\"\nreplace = true",
        "[files]\npath = \"/a\"",
        "[packages]\nremove = [\"vim\"]",
        "[packages]\naccept-scripts = [\"vim\"]",
        "[access]\nserial-root-shell = \"true\"",
        "[disk]\nroot-slot = 1024",
        "[disk]\ndata = 1979-05-27",
        "[healht]",
        "[base]\nsuite = \"x\"",
    ];
    let report = cases.map(|case| {
        let text = if case.starts_with("[image]") {
            LEAST.replacen("[image]", case, 1)
        } else {
            text("", case)
        };
        format!("{case}\n    {}", problems(&text).join("\n    "))
    });
    insta::assert_snapshot!(report.join("\n"));
}

#[test]
fn a_missing_section_and_a_missing_folder_are_named() {
    assert_eq!(
        problems(""),
        [
            "[image] needs `name`",
            "[image] needs `version`",
            "[base] needs `suite`"
        ]
    );
    let found = problems(&text("overlays = [\"missing/\", \"Cargo.toml\"]", ""));
    assert!(found[0].starts_with("1:13 missing/ can't be read"), "{found:?}");
    assert_eq!(found[1], "1:25 Cargo.toml is no folder");
}

#[test]
fn every_syntax_error_has_its_place_and_nothing_else_is_reported() {
    let found = problems("[image\nname = edge\n[base]\nsuite = \"a\"\nsuite = \"b\"");
    assert!(
        found.len() > 1 && found.iter().all(|line| line.contains(" not TOML: ")),
        "{found:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*") {
        let _ = load_text(&text);
    }

    #[test]
    fn no_change_to_a_recipe_makes_the_reader_panic(
        at in 0..400_usize,
        length in 0..12_usize,
        with in "[\\[\\]{}=\"'.,#\n a-z0-9é_-]{0,12}",
    ) {
        let whole = text("overlays = [\"src\"]", include_str!("example.toml"));
        let cut = |at: usize| (at..=whole.len()).find(|at| whole.is_char_boundary(*at)).unwrap_or(whole.len());
        let (start, end) = (cut(at), cut(at + length));
        let _ = load_text(&format!("{}{with}{}", &whole[..start], &whole[end..]));
    }

    #[test]
    fn no_value_of_any_type_makes_the_reader_panic(
        key in prop::sample::select(vec![
            "image", "image.name", "base.components", "packages.install", "kernel.package.x86_64", "files", "users.a",
            "users.a.uid", "users.a.ssh-keys", "services.enable", "disk.data", "include", "overlays",
        ]),
        value in prop::sample::select(vec![
            "\"\"", "[]", "[[]]", "{}", "[{}]", "0", "-1", "9223372036854775808", "1.5", "nan", "true", "07:32:00",
            "\"\\u0000\"", "[\"\\n\"]", "\"é\"", "{ \"\" = 1 }",
        ]),
    ) {
        let _ = load_text(&format!("{key} = {value}"));
    }
}
