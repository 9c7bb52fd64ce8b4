//! What `[secure-boot]` may say.

use std::{fs, path::Path};

use outcrop_release::{digest::FileDigest, loader::Enroll};

use super::{
    super::{LoadedRecipe, RecipeError, digest::build_digest, load},
    LEAST, lines,
};
use crate::secure_boot::{Variable, key_set::testing};

const GOOD: &str = "[secure-boot]\ncertificate = \"keys/db.crt\"\nkeys = \"keys\"\n";

/// A folder with a set of keys, for `recipe`.
fn keys() -> (tempfile::TempDir, crate::secure_boot::KeySet) {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    fs::create_dir(&keys).unwrap();
    let set = testing::make(&keys);
    (folder, set)
}

fn recipe(folder: &Path, image: &str, section: &str) -> Result<LoadedRecipe, RecipeError> {
    let path = folder.join("edge.toml");
    let text = LEAST.replace("[base]", &format!("{image}[base]"));
    fs::write(&path, format!("{text}{section}")).unwrap();
    load(&path)
}

fn told(folder: &Path, image: &str, section: &str) -> String {
    lines(&recipe(folder, image, section).unwrap_err()).join("\n")
}

#[test]
fn certificate_and_keys_are_read_and_enrolled_where_that_is_safe() {
    let (folder, set) = keys();
    let read = |section: &str| recipe(folder.path(), "", section).unwrap().recipe.secure_boot;
    let section = read(GOOD).unwrap();
    assert_eq!(&section.certificate, set.certificate(Variable::Db));
    assert_eq!(section.enrollment.as_ref().unwrap().files().len(), 9);
    assert_eq!(section.enroll, Enroll::IfSafe);
    for enroll in Enroll::ALL {
        let text = format!("{GOOD}enroll = \"{}\"\n", enroll.as_str());
        assert_eq!(read(&text).unwrap().enroll, enroll);
    }
    let without_keys = read("[secure-boot]\ncertificate = \"keys/db.crt\"\n").unwrap();
    assert_eq!(
        (without_keys.enrollment, without_keys.enroll),
        (None, Enroll::Off)
    );
    assert_eq!(read(""), None);
}

#[test]
fn mistakes_in_the_section_are_refused_where_they_stand() {
    let (folder, _) = keys();
    fs::copy(
        folder.path().join("keys/KEK.crt"),
        folder.path().join("other.crt"),
    )
    .unwrap();
    for (section, wanted) in [
        ("[secure-boot]\n", "[secure-boot] needs `certificate`"),
        ("[secure-boot]\ncertificate = \"nothing.crt\"\n", "7:15 "),
        (
            "[secure-boot]\ncertificate = \"keys/db.key\"\n",
            "holds no X.509 certificate",
        ),
        (
            "[secure-boot]\ncertificate = \"keys/db.crt\"\nkeys = \"nowhere\"\n",
            "8:8 ",
        ),
        (
            "[secure-boot]\ncertificate = \"keys/db.crt\"\nkeys = \".\"\n",
            "PK.auth",
        ),
        (
            "[secure-boot]\ncertificate = \"other.crt\"\nkeys = \"keys\"\n",
            "it doesn't bring the certificate that the image is signed by",
        ),
        (
            &format!("{GOOD}enroll = \"always\"\n"),
            "\"always\" is neither \"off\" nor",
        ),
        (
            "[secure-boot]\ncertificate = \"keys/db.crt\"\nenroll = \"force\"\n",
            "there are no keys that `enroll` could put into a machine",
        ),
        (&format!("{GOOD}key = \"keys/db.key\"\n"), "unknown key `key`"),
    ] {
        let told = told(folder.path(), "", section);
        assert!(told.contains(wanted), "{section}\n{told}");
    }
}

#[test]
fn a_raspberry_pi_has_no_secure_boot_and_the_recipe_is_told_why() {
    let (folder, _) = keys();
    let told = told(folder.path(), "board = \"rpi\"\n", GOOD);
    assert!(
        told.contains("board rpi has no Secure Boot: its U-Boot checks no signature"),
        "{told}"
    );
}

#[test]
fn certificate_keys_and_enrolment_decide_over_the_build_and_none_leaves_it_as_it_was() {
    let (folder, _) = keys();
    let digest = |section: &str| -> FileDigest {
        build_digest(&recipe(folder.path(), "", section).unwrap().recipe).unwrap()
    };
    let forced = format!("{GOOD}enroll = \"force\"\n");
    let all = [
        "",
        "[secure-boot]\ncertificate = \"keys/db.crt\"\n",
        GOOD,
        &forced,
    ]
    .map(digest);
    for (index, one) in all.iter().enumerate() {
        assert!(!all[..index].contains(one), "{index}");
    }
    let before = digest(GOOD);
    let auth = folder.path().join("keys/db.auth");
    let mut bytes = fs::read(&auth).unwrap();
    bytes[4] ^= 1; // the hour
    fs::write(&auth, bytes).unwrap();
    assert_ne!(digest(GOOD), before);
}
