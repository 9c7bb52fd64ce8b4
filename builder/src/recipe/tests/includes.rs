//! Recipes that consist of several files.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::{
    super::{Item, LoadedRecipe, RecipeError, load},
    LEAST, lines,
};

/// Writes the files, each name with its text, and loads the last one.
fn load_files(files: &[(&str, String)]) -> (TempDir, Result<LoadedRecipe, RecipeError>) {
    let folder = tempfile::tempdir().unwrap();
    let mut last = PathBuf::new();
    for (name, text) in files {
        last = folder.path().join(name);
        fs::create_dir_all(last.parent().unwrap()).unwrap();
        fs::write(&last, text).unwrap();
    }
    let loaded = load(&last);
    (folder, loaded)
}

fn messages(folder: &TempDir, error: &RecipeError) -> Vec<String> {
    let base = format!("{}/", folder.path().display());
    lines(error).iter().map(|line| line.replace(&base, "")).collect()
}

#[test]
fn tables_merge_lists_continue_and_the_including_file_decides() {
    let base = format!(
        "{LEAST}[packages]\ninstall = [\"htop\", \"vim\"]\n[kernel]\npackage.x86_64 = \"a1\"\npackage.aarch64 = \"a2\"\n\
         command-line = [\"quiet\"]\n[services]\nenable = [\"ssh.service\"]\n[users.admin]\ngroups = [\"adm\"]\nuid = \
         1000\n[[files]]\npath = \"/a\"\ncontent = \"1\"\n[[files]]\npath = \"/b\"\ncontent = \"2\"\n"
    );
    let main = "include = [\"../base.toml\"]\n[image]\nversion = \"0.2.0\"\narchitectures = [\"x86_64\"]\n[packages]\n\
                install = [\"curl\"]\nremove = [\"vim\"]\n[kernel]\npackage.x86_64 = \"a3\"\ncommand-line = \
                [\"debug\"]\n[services]\nmask = [\"ssh.service\"]\n[users.admin]\ngroups = [\"sudo\"]\nuid = \
                1001\n[[files]]\npath = \"/a\"\ncontent = \"3\"\nreplace = true\n";
    let (_folder, loaded) = load_files(&[("base.toml", base), ("dev/main.toml", main.to_owned())]);
    let loaded = loaded.unwrap();
    let recipe = &loaded.recipe;
    assert_eq!(
        (
            recipe.image.name.as_str(),
            recipe.image.version.to_string().as_str()
        ),
        ("edge", "0.2.0")
    );
    assert_eq!(recipe.packages.install, ["curl", "htop"]);
    assert_eq!(recipe.kernel.package.values().collect::<Vec<_>>(), ["a3", "a2"]);
    assert_eq!(recipe.kernel.command_line, ["quiet", "debug"]);
    assert_eq!(
        (recipe.services.enable.len(), recipe.services.mask.as_slice()),
        (0, ["ssh.service".to_owned()].as_slice())
    );
    assert_eq!(
        (recipe.users["admin"].groups.len(), recipe.users["admin"].uid),
        (2, Some(1001))
    );
    let files: Vec<_> = recipe.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(files, ["b", "a"]);
    let place = loaded.locate(&Item::Package("htop".to_owned())).unwrap();
    assert!(place.file().path.ends_with("base.toml"));
    assert_eq!(loaded.files().count(), 2);
}

#[test]
fn a_circle_of_includes_is_refused_and_a_file_included_twice_counts_once() {
    let (folder, loaded) = load_files(&[
        ("b.toml", "include = [\"a.toml\"]".to_owned()),
        ("a.toml", format!("include = [\"b.toml\"]\n{LEAST}")),
    ]);
    assert_eq!(
        messages(&folder, &loaded.unwrap_err()),
        ["1:12 a.toml includes itself"]
    );
    let (_folder, loaded) = load_files(&[
        (
            "base.toml",
            format!("{LEAST}[kernel]\ncommand-line = [\"quiet\"]\n"),
        ),
        ("b.toml", "include = [\"base.toml\"]".to_owned()),
        ("a.toml", "include = [\"base.toml\", \"b.toml\"]".to_owned()),
    ]);
    assert_eq!(loaded.unwrap().recipe.kernel.command_line, ["quiet"]);
}

#[test]
fn a_missing_include_is_the_only_problem_reported_about_what_it_would_have_said() {
    let (folder, loaded) = load_files(&[("a.toml", "include = [\"base.toml\"]".to_owned())]);
    let found = messages(&folder, &loaded.unwrap_err());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("1:12 can't read the included recipe base.toml: "),
        "{found:?}"
    );
}

#[test]
fn one_path_in_two_recipes_needs_replace_and_names_both_places() {
    let file = "[[files]]\npath = \"/etc/motd\"\ncontent = \"\"\n";
    let (folder, loaded) = load_files(&[
        ("base.toml", format!("{LEAST}{file}")),
        ("a.toml", format!("include = [\"base.toml\"]\n{file}")),
    ]);
    assert_eq!(
        messages(&folder, &loaded.unwrap_err()),
        ["3:8 two files with the path /etc/motd; the first is at base.toml:7:8"]
    );
}

#[test]
fn sources_are_relative_to_the_file_that_names_them() {
    let (folder, loaded) = load_files(&[
        ("common/motd", "hello".to_owned()),
        (
            "common/base.toml",
            format!("{LEAST}[[files]]\npath = \"/etc/motd\"\nsource = \"motd\"\n"),
        ),
        ("a.toml", "include = [\"common/base.toml\"]".to_owned()),
    ]);
    let recipe = loaded.unwrap().recipe;
    let expected = folder.path().join("common/motd");
    assert_eq!(
        recipe.files[0].content,
        super::super::schema::FileContent::Source(expected)
    );
}

#[test]
fn a_recipe_that_is_no_file_or_no_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        load(&folder.path().join("none.toml")),
        Err(RecipeError::Read { .. })
    ));
    assert!(matches!(load(folder.path()), Err(RecipeError::Read { .. })));
    let binary = folder.path().join("binary.toml");
    fs::write(&binary, b"a = \"\xff\"").unwrap();
    assert_eq!(
        lines(&load(&binary).unwrap_err()),
        ["1:6 not a text file: recipes are TOML in UTF-8"]
    );
}
