//! A small history of releases, signed by a key of its own, for the update scenarios and the demo.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{error::Error, host::Arch, project, shell};

/// The product's name.
pub(crate) const PRODUCT: &str = "unit";
/// What devices are flashed with.
pub(crate) const FLASHED: &str = "1.0.0";
/// What they are updated to. It can be told to fail.
pub(crate) const GOOD: &str = "1.1.0";
/// A release whose health check fails: the demo's.
const BROKEN: &str = "1.2.0";
/// Name of the key that signs channels.
const CHANNEL_KEY: &str = "channel";
/// What releases are made from: the workbench image.
const PLAIN: &str = "recipes/edge-dev.toml";
/// The same for Raspberry Pi.
const RASPBERRY_PI: &str = "recipes/edge-rpi.toml";
/// The image with the tests' Kubernetes.
const KUBERNETES: &str = "recipes/edge-kube.toml";
/// The same for machines whose watchdog EFI Boot Guard starts.
const WATCHED: &str = "qemu-tests/recipes/watched.toml";

/// Whose releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// The scenarios'.
    Scenarios,
    /// The demo's.
    Demo,
}

impl For {
    const fn versions(self) -> &'static [&'static str] {
        match self {
            Self::Scenarios => &[FLASHED, GOOD],
            Self::Demo => &[FLASHED, GOOD, BROKEN],
        }
    }
}

/// Builds the releases for `archs`; returns the folder with images and bundles.
pub(crate) fn build(outcrop: &Path, whose: For, archs: &[Arch]) -> Result<PathBuf, Error> {
    let folder = project::target().join("releases");
    let recipes = folder.join("recipes");
    make_folder(&recipes)?;
    let key = key(outcrop, &folder)?;
    for &version in whose.versions() {
        let recipe = recipes.join(format!("{PRODUCT}-{version}.toml"));
        write(&recipe, &text(PLAIN, version))?;
        // The first one is flashed, never sent.
        let key = (version != FLASHED).then_some(key.as_path());
        build_one(outcrop, &recipe, PLAIN, &folder, archs, key)?;
    }
    if whose == For::Scenarios {
        for version in [FLASHED, GOOD] {
            let recipe = recipes.join(format!("{PRODUCT}-rpi-{version}.toml"));
            write(
                &recipe,
                &(text(RASPBERRY_PI, version) + "[access]\nserial-root-shell = true\n"),
            )?;
            let key = (version != FLASHED).then_some(key.as_path());
            build_one(outcrop, &recipe, RASPBERRY_PI, &folder, &[], key)?;
        }
        build_signed(outcrop, &folder)?;
        let recipe = recipes.join("watched.toml");
        write(&recipe, &text(WATCHED, FLASHED))?;
        let watched = folder.join("watched");
        make_folder(&watched)?;
        build_one(outcrop, &recipe, WATCHED, &watched, &[Arch::X86_64], None)?;
    }
    Ok(folder)
}

/// Builds releases that are signed for Secure Boot, into a folder of their own; for aarch64 one, whose files a test looks at.
fn build_signed(outcrop: &Path, releases: &Path) -> Result<(), Error> {
    let folder = releases.join("secure-boot");
    let keys = folder.join("keys");
    make_folder(&folder)?;
    if !keys.join("db.auth").exists() {
        let mut command = Command::new(outcrop);
        command.args([
            "keys",
            "secure-boot",
            "--owner",
            PRODUCT,
            "--no-passphrase",
            "--output",
        ]);
        shell::run(command.arg(&keys))?;
    }
    let key = key(outcrop, releases)?;
    for (version, archs) in [
        (FLASHED, &[Arch::X86_64, Arch::Aarch64][..]),
        (GOOD, &[Arch::X86_64]),
    ] {
        let recipe = folder.join(format!("{PRODUCT}-{version}.toml"));
        let section = "[secure-boot]\ncertificate = \"keys/db.crt\"\nkeys = \"keys\"\n";
        write(&recipe, &(text(PLAIN, version) + section))?;
        let key = (version != FLASHED).then_some(key.as_path());
        let mut command = build_command(outcrop, &recipe, PLAIN, &folder, archs, key)?;
        shell::run(command.arg("--secure-boot-key").arg(keys.join("db.key")))?;
    }
    Ok(())
}

/// Builds a history of releases with the tests' Kubernetes for `archs`; returns the folder with images and bundles: 1.0.0 is flashed, 1.1.0
/// has other manifests and says that its Kubernetes is of the next minor version, 1.2.0 ruins the datastore.
pub(crate) fn build_kubernetes(outcrop: &Path, archs: &[Arch]) -> Result<PathBuf, Error> {
    let releases = project::target().join("releases");
    let folder = releases.join("kubernetes");
    make_folder(&folder)?;
    let key = key(outcrop, &releases)?;
    for (version, kubernetes, overlays) in [
        (FLASHED, "1.20.2", &[][..]),
        (GOOD, "1.21.0", &["kube-next"]),
        (BROKEN, "1.21.0", &["kube-next", "kube-broken"]),
    ] {
        let overlays = overlays_of(overlays);
        let recipe = folder.join(format!("kube-{version}.toml"));
        let text = format!(
            "include = [{:?}]\noverlays = {overlays:?}\n[image]\nname = \"kube\"\nversion = {version:?}\n[update]\n\
             trust = \"../trust.toml\"\n[health]\ndeadline = \"12min\"\n[kubernetes]\nversion = {kubernetes:?}\ndrain = \"20s\"\n",
            project::root().join(KUBERNETES).display().to_string(),
        );
        write(&recipe, &text)?;
        let key = (version != FLASHED).then_some(key.as_path());
        build_one(outcrop, &recipe, KUBERNETES, &folder, archs, key)?;
    }
    Ok(folder)
}

fn overlays_of(names: &[&str]) -> Vec<String> {
    let folder = project::root().join("qemu-tests/overlays");
    names
        .iter()
        .map(|name| folder.join(name).display().to_string())
        .collect()
}

/// Builds image and bundle of a release with the files of the folder `content`, for x86_64, into `folder`. Its slots have room for
/// 3 GiB.
pub(crate) fn build_large(outcrop: &Path, folder: &Path, content: &Path) -> Result<(), Error> {
    let releases = project::target().join("releases");
    make_folder(&releases)?;
    let key = key(outcrop, &releases)?;
    let recipe = folder.join("large.toml");
    let text = format!(
        "include = [{:?}]\noverlays = [{:?}]\n[image]\nname = \"large\"\nversion = {FLASHED:?}\n[update]\ntrust = {:?}\n\
         [disk]\nroot-slot = \"3GiB\"\n",
        project::root()
            .join("recipes/edge-dev.toml")
            .display()
            .to_string(),
        content.display().to_string(),
        releases.join("trust.toml").display().to_string(),
    );
    write(&recipe, &text)?;
    build_one(outcrop, &recipe, PLAIN, folder, &[Arch::X86_64], Some(&key))
}

fn build_one(
    outcrop: &Path,
    recipe: &Path,
    base: &str,
    folder: &Path,
    archs: &[Arch],
    key: Option<&Path>,
) -> Result<(), Error> {
    shell::run(&mut build_command(outcrop, recipe, base, folder, archs, key)?)
}

/// The command that builds a release. The recipe's lock is that of `base`.
fn build_command(
    outcrop: &Path,
    recipe: &Path,
    base: &str,
    folder: &Path,
    archs: &[Arch],
    key: Option<&Path>,
) -> Result<Command, Error> {
    let lock = project::root().join(base).with_extension("lock");
    copy(&lock, &recipe.with_extension("lock"))?;
    let mut command = Command::new(outcrop);
    command.arg("build").arg(recipe).arg("--output").arg(folder);
    command.arg("--device-programs").arg(project::device_programs());
    for arch in archs {
        command.args(["--arch", arch.as_str()]);
    }
    if let Some(key) = key {
        // Nobody downloads them: a bundle that is made quickly will do.
        command.arg("--fast-bundle").arg("--key").arg(key);
    }
    Ok(command)
}

/// The recipe of a version: the recipe `base`, and from the second version on what can be made to fail.
fn text(base: &str, version: &str) -> String {
    let root = project::root();
    let recipes = root.join(base);
    let fails = version != FLASHED;
    // Services that no update needs are left out by the first one: emulated machines start a fifth quicker.
    let overlays = overlays_of(&["quick", "datastore", "failing"][..if fails { 3 } else { 2 }]);
    let mut text = format!(
        "include = [{:?}]\noverlays = {overlays:?}\n[image]\nname = {PRODUCT:?}\nversion = {version:?}\n[update]\n\
         trust = \"../trust.toml\"\nsticks = true\ninhibitors = [\"/usr/bin/test ! -e /run/till-is-open\"]\n[health]\ndeadline = \"4min\"\n",
        recipes.display().to_string(),
    );
    text += "[services]\ndisable = [\"containerd.service\", \"systemd-resolved.service\", \"systemd-timesyncd.service\"]\n";
    text += match fails {
        true => "enable = [\"datastore.service\", \"unit-fail.service\", \"unit-veto.service\"]\n",
        false => "enable = [\"datastore.service\"]\n",
    };
    text += "[state]\npaths = [\"/var/lib/datastore\"]\nunits = [\"datastore.service\"]\n";
    if version == BROKEN {
        text += "[[files]]\npath = \"/etc/greenboot/check/required.d/20-till.sh\"\nmode = \"0755\"\n\
                 content = \"#!/bin/bash\\necho \\\"the till doesn't answer\\\"\\nexit 1\\n\"\n";
    }
    text
}

/// The releases' private key, made once, and the channel's; the trust file lies beside them.
pub(crate) fn key(outcrop: &Path, folder: &Path) -> Result<PathBuf, Error> {
    let [key, channel] = ["test", CHANNEL_KEY].map(|name| folder.join(name).with_extension("key"));
    let trust = folder.join("trust.toml");
    let are_there = [&key, &channel, &trust].iter().all(|path| path.exists());
    if are_there {
        return Ok(key);
    }
    for path in [&key, &channel] {
        if path.exists() {
            continue;
        }
        let name = path.file_stem().unwrap_or_default();
        let mut command = Command::new(outcrop);
        command
            .args(["keys", "generate", "--no-passphrase", "--name"])
            .arg(name);
        shell::run(command.arg("--output").arg(folder))?;
    }
    let mut command = Command::new(outcrop);
    command.args(["keys", "trust"]).arg(key.with_extension("pub"));
    command
        .args(["--threshold", "1", "--channel-key"])
        .arg(channel.with_extension("pub"));
    let text = shell::output(&mut command)?;
    write(&trust, &text)?;
    Ok(key)
}

fn make_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(failed("create folder", path))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(failed("write", path))
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::copy(from, to).map(drop).map_err(failed("copy to", to))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { doing, path, source }
}
