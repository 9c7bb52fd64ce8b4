//! What a recipe that is right becomes.

use std::collections::BTreeSet;

use outcrop_release::arch::Architecture;

use super::{
    super::{
        Item,
        keys::{Key, RECIPE, Shape},
        schema::{Disk, FileContent},
    },
    load_text, text,
};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a@b";

#[test]
fn the_least_recipe_gets_the_documented_defaults() {
    let recipe = load_text(&text("", "")).unwrap().recipe;
    assert_eq!(recipe.image.architectures, Architecture::ALL);
    assert_eq!(recipe.image.board.as_str(), "efi");
    assert_eq!(recipe.base.components, ["main"]);
    assert_eq!(recipe.kernel.package[&Architecture::X86_64], "linux-image-amd64");
    assert_eq!(recipe.kernel.package[&Architecture::Aarch64], "linux-image-arm64");
    assert_eq!(recipe.disk, Disk::default());
    assert!(recipe.users.is_empty() && recipe.files.is_empty() && !recipe.access.serial_root_shell);
}

/// A `[kubernetes]` whose API can be asked.
const ASKED: &str = "version = \"1.20.2\"\nkubeconfig = \"/var/lib/kube/config\"";

/// A `[state]` that says `line` too.
fn state(line: &str) -> String {
    format!("[state]\npaths = [\"/var/lib/a\"]\nunits = [\"a.service\"]\n{line}")
}

/// A hook of `[state]`.
fn hook(name: &str, seconds: u32) -> String {
    state(&format!(
        "[state.{name}]\ncommand = [\"/bin/hook\"]\ndeadline = \"{seconds}s\""
    ))
}

/// A `[kubernetes]` that says `line` too.
fn kubernetes(line: &str) -> String {
    let binary = |arch| {
        let digest = "00".repeat(32);
        format!("[kubernetes.binary.{arch}]\nurl = \"https://example.org/kube\"\nsha256 = \"{digest}\"\n")
    };
    format!(
        "[kubernetes]\ndistribution = \"custom\"\n{line}\n{}{}[kubernetes.custom]\npath = \"/usr/bin/k\"\nunits = [\"k.service\"]\n",
        binary("x86_64"),
        binary("aarch64"),
    )
}

/// An `[update]` of a device that follows a channel, which says `line` too.
fn agent(key: &'static str, line: &str) -> (&'static str, &'static str, String) {
    let keys = "[update]\ntrust = \"src/recipe/tests/trust-with-channel.toml\"";
    (key, "", format!("{keys}\n{line}"))
}

/// One with an archive of container images.
fn archive(lines: &str) -> String {
    let digest = "ab".repeat(32);
    let kubernetes = kubernetes("version = \"1.20.2\"");
    format!("{kubernetes}[[kubernetes.images]]\n{lines}\nsha256 = \"{digest}\"\n")
}

/// For each key that is no section: what to write before and after the least recipe, so that it changes.
fn examples() -> Vec<(&'static str, &'static str, String)> {
    let after = |key, text: &str| (key, "", text.to_owned());
    vec![
        ("overlays", "overlays = [\"src\"]", String::new()),
        after("packages.install", "[packages]\ninstall = [\"htop\"]"),
        after(
            "packages.accept-scripts",
            "[packages]\naccept-scripts = [\"mdadm/postinst\"]",
        ),
        after(
            "kernel.package",
            "[kernel]\npackage.x86_64 = \"linux-image-cloud-amd64\"",
        ),
        after(
            "kernel.keep-modules",
            "[kernel]\nkeep-modules = [\"drivers/net/wireless/**\"]",
        ),
        after(
            "kernel.exclude-modules",
            "[kernel]\nexclude-modules = [\"drivers/gpu/**\"]",
        ),
        after(
            "kernel.initramfs-modules",
            "[kernel]\ninitramfs-modules = [\"mpt3sas\"]",
        ),
        after("kernel.command-line", "[kernel]\ncommand-line = [\"quiet\"]"),
        after("files.path", "[[files]]\npath = \"/etc/motd\"\ncontent = \"x\""),
        after(
            "files.content",
            "[[files]]\npath = \"/etc/motd\"\ncontent = \"y\"",
        ),
        after(
            "files.source",
            "[[files]]\npath = \"/etc/motd\"\nsource = \"Cargo.toml\"",
        ),
        after(
            "files.mode",
            "[[files]]\npath = \"/etc/motd\"\ncontent = \"x\"\nmode = \"0600\"",
        ),
        after(
            "files.replace",
            "[[files]]\npath = \"/a\"\ncontent = \"x\"\n[[files]]\npath = \"/a\"\ncontent = \"z\"\nreplace = true",
        ),
        after("users.uid", "[users.admin]\nuid = 1500"),
        after("users.groups", "[users.admin]\ngroups = [\"sudo\"]"),
        after("users.shell", "[users.admin]\nshell = \"/bin/sh\""),
        (
            "users.ssh-keys",
            "",
            format!("[users.admin]\nssh-keys = [\"{KEY}\"]"),
        ),
        after("services.enable", "[services]\nenable = [\"ssh.service\"]"),
        after("services.disable", "[services]\ndisable = [\"ssh.service\"]"),
        after("services.mask", "[services]\nmask = [\"ssh.service\"]"),
        ("kubernetes.version", "", kubernetes("version = \"1.20.3\"")),
        (
            "kubernetes.binary.url",
            "",
            kubernetes("version = \"1.20.4\"").replace("/kube\"", "/other\""),
        ),
        (
            "kubernetes.binary.file",
            "",
            kubernetes("version = \"1.20.2\"").replacen(
                "url = \"https://example.org/kube\"",
                "file = \"Cargo.toml\"",
                1,
            ),
        ),
        (
            "kubernetes.binary.sha256",
            "",
            kubernetes("version = \"1.20.2\"").replacen("00", "01", 1),
        ),
        (
            "kubernetes.images.url",
            "",
            archive("url = \"https://example.org/a\""),
        ),
        ("kubernetes.images.file", "", archive("file = \"Cargo.toml\"")),
        (
            "kubernetes.images.architecture",
            "",
            archive("architecture = \"aarch64\"\nfile = \"Cargo.toml\""),
        ),
        (
            "kubernetes.images.sha256",
            "",
            archive("file = \"Cargo.toml\"").replacen("00", "01", 1),
        ),
        (
            "kubernetes.custom.path",
            "",
            kubernetes("version = \"1.20.2\"").replace("usr/bin", "usr/lib"),
        ),
        (
            "kubernetes.custom.units",
            "",
            kubernetes("version = \"1.20.2\"").replace("k.service", "l.service"),
        ),
        ("state.keep", "", state("keep = 4")),
        ("state.paths", "", state("").replace("lib/a", "lib/b")),
        ("state.units", "", state("").replace("a.service", "b.service")),
        ("state.pre-start.command", "", hook("pre-start", 1)),
        ("state.pre-start.deadline", "", hook("pre-start", 2)),
        ("state.post-rollback.command", "", hook("post-rollback", 1)),
        ("state.post-rollback.deadline", "", hook("post-rollback", 2)),
        (
            "kubernetes.role",
            "",
            format!(
                "{}role = \"worker\"\n[kubernetes.binary.{}",
                kubernetes("version = \"1.20.2\"")
                    .replace("custom\"", "k0s\"")
                    .split_once("[kubernetes.binary")
                    .unwrap()
                    .0,
                kubernetes("")
                    .split_once("[kubernetes.binary.")
                    .unwrap()
                    .1
                    .split_once("[kubernetes.custom]")
                    .unwrap()
                    .0,
            ),
        ),
        ("kubernetes.kubeconfig", "", kubernetes(ASKED)),
        (
            "kubernetes.node",
            "",
            kubernetes(&format!("{ASKED}\nnode = \"edge\"")),
        ),
        (
            "kubernetes.drain",
            "",
            kubernetes(&format!("{ASKED}\ndrain = \"5min\"")),
        ),
        after("disk.root-slot", "[disk]\nroot-slot = \"2GiB\""),
        after("disk.boot-slot", "[disk]\nboot-slot = \"96MiB\""),
        after("disk.data", "[disk]\ndata = \"1GiB\""),
        after("health.deadline", "[health]\ndeadline = \"90s\""),
        after(
            "update.trust",
            "[update]\ntrust = \"src/recipe/tests/trust.toml\"",
        ),
        after(
            "update.channel",
            "[update]\ntrust = \"src/recipe/tests/trust-with-channel.toml\"\nchannel = \"stable\"",
        ),
        agent("update.mode", "mode = \"approved\""),
        agent("update.poll", "poll = \"10min\""),
        agent("update.windows", "windows = [\"mon-fri 01:00-05:00\"]"),
        agent("update.download-windows", "download-windows = [\"22:00-06:00\"]"),
        agent("update.daily-limit", "daily-limit = \"200MB\""),
        agent("update.inhibitors", "inhibitors = [\"/usr/bin/till --closed\"]"),
        agent(
            "update.report-url",
            "report-url = \"https://fleet.example/reports\"",
        ),
        agent("update.sticks", "sticks = true"),
        after("update.url", "[update]\nurl = \"https://updates.example/edge\""),
        after("update.rollback-index", "[update]\nrollback-index = 7"),
        after("device.import", "[device]\nimport = \"once\""),
        after("access.serial-root-shell", "[access]\nserial-root-shell = true"),
    ]
}

fn leaves(keys: &[Key], above: &str, found: &mut BTreeSet<String>) {
    for key in keys {
        let name = format!("{above}{}", key.name);
        match key.shape {
            Shape::Table(keys) | Shape::Tables(keys) => leaves(keys, &format!("{name}."), found),
            Shape::Map {
                value: Shape::Table(keys),
                ..
            } => leaves(keys, &format!("{name}."), found),
            _ => {
                found.insert(name);
            }
        }
    }
}

#[test]
fn every_documented_key_is_read_and_changes_the_recipe() {
    // Keys of the least recipe itself, and those that only act on included files, are shown by other tests.
    let elsewhere = [
        "include",
        "image.name",
        "image.version",
        "image.architectures",
        "image.board",
        "base.distribution",
        "base.suite",
        "base.components",
        "packages.remove",
        "boot.watchdog",
        "secure-boot.certificate",
        "secure-boot.keys",
        "secure-boot.enroll",
        "kubernetes.distribution",
    ];
    let mut expected = BTreeSet::new();
    leaves(RECIPE, "", &mut expected);
    let mut shown: BTreeSet<String> = elsewhere.iter().map(|key| (*key).to_owned()).collect();
    let mut seen = vec![load_text(&text("", "")).unwrap().recipe];
    for (key, before, after) in examples() {
        let recipe = load_text(&text(before, &after))
            .unwrap_or_else(|error| panic!("{key}: {error:?}"))
            .recipe;
        assert!(!seen.contains(&recipe), "{key} changes nothing");
        seen.push(recipe);
        shown.insert(key.to_owned());
    }
    assert_eq!(shown, expected);
}

#[test]
fn the_trust_file_rollback_index_and_deadline_are_read_and_what_can_t_be_is_refused() {
    let load = |after: &str| load_text(&text("", after));
    let recipe = load(
        "[update]\ntrust = \"src/recipe/tests/trust.toml\"\nrollback-index = 4294967295\n[health]\ndeadline = \"2h\"",
    );
    let recipe = recipe.unwrap().recipe;
    assert_eq!(recipe.update.trust.unwrap().release().threshold(), 1);
    assert_eq!(recipe.update.rollback_index.0, u32::MAX);
    assert_eq!(recipe.health.deadline.as_secs(), 7200);
    for (after, told) in [
        (
            "[update]\ntrust = \"src/recipe/tests/trust.toml\"\nchannel = \"stable\"",
            "the trust file has no channel keys",
        ),
        (
            "[update]\nchannel = \"stable\"",
            "the trust file has no channel keys",
        ),
        ("[update]\nchannel = \"../x\"", "is no channel"),
        ("[update]\nurl = \"ftp://x\"", "is no web address"),
        ("[update]\ntrust = \"nothing.toml\"", "nothing.toml can't be read"),
        (
            "[update]\ntrust = \"Cargo.toml\"",
            "Cargo.toml is no trust file: read the trust file",
        ),
        ("[update]\nrollback-index = -1", "-1 can't be a rollback index"),
        (
            "[update]\nrollback-index = 4294967296",
            "can't be a rollback index",
        ),
        ("[device]\nimport = \"twice\"", "\"twice\" is neither"),
        ("[health]\ndeadline = \"0s\"", "is no deadline"),
        ("[health]\ndeadline = \"8000h\"", "is no deadline"),
        ("[health]\ndeadline = \"99999999999999999999h\"", "is no duration"),
        ("[health]\ndeadline = \"soon\"", "is no duration"),
    ] {
        let error = load(after).unwrap_err();
        assert!(error.problems()[0].message().contains(told), "{after}: {error:?}");
    }
}

#[test]
fn a_watchdog_before_the_boot_loader_is_for_x86_64_alone_and_has_limits() {
    let load = |architectures: &str, watchdog: &str| {
        load_text(&format!(
            "[image]\nname = \"a\"\nversion = \"1.0.0\"\narchitectures = {architectures}\n[base]\nsuite = \"trixie\"\n\
             [boot]\nwatchdog = {watchdog:?}\n"
        ))
    };
    let recipe = load("[\"x86_64\"]", "1min").unwrap().recipe;
    assert_eq!(recipe.boot.watchdog.unwrap().seconds(), 60);
    for (architectures, watchdog, told) in [
        (
            "[\"x86_64\", \"aarch64\"]",
            "1min",
            "is for x86_64 only: EFI Boot Guard knows no watchdog of aarch64",
        ),
        (
            "[\"x86_64\"]",
            "29s",
            "no time for a watchdog: it is from 30s to 10min",
        ),
        ("[\"x86_64\"]", "1h", "no time for a watchdog"),
        ("[\"x86_64\"]", "true", "is no duration"),
    ] {
        let error = load(architectures, watchdog).unwrap_err();
        assert!(
            error.problems()[0].message().contains(told),
            "{watchdog}: {error:?}"
        );
    }
}

#[test]
fn keys_of_image_and_base_are_read() {
    let recipe = load_text(
        "[image]\nname = \"a\"\nversion = \"1.2.3-rc.1\"\narchitectures = [\"aarch64\"]\nboard = \"efi\"\n[base]\n\
         distribution = \"debian\"\nsuite = \"forky\"\ncomponents = [\"main\", \"non-free-firmware\", \"main\"]",
    )
    .unwrap()
    .recipe;
    assert_eq!(
        (
            recipe.image.name.as_str(),
            recipe.image.version.to_string().as_str()
        ),
        ("a", "1.2.3-rc.1")
    );
    assert_eq!(recipe.image.architectures, [Architecture::Aarch64]);
    assert_eq!(recipe.kernel.package.len(), 1);
    assert_eq!(
        (recipe.base.suite.as_str(), recipe.base.components.len()),
        ("forky", 2)
    );
}

#[test]
fn a_later_error_is_shown_where_the_recipe_says_the_item() {
    let loaded = load_text(&text("", "[packages]\ninstall = [\"htop\",\n  \"htpo\"]")).unwrap();
    let problem = loaded.problem(&Item::Package("htpo".to_owned()), "no such package");
    assert_eq!(problem.location().unwrap().to_string(), "edge.toml:9:3");
    assert!(loaded.problem(&Item::RootSlot, "too small").location().is_none());
}

#[test]
fn a_relative_source_becomes_absolute() {
    let loaded = load_text(&text("", "[[files]]\npath = \"/a\"\nsource = \"Cargo.toml\"")).unwrap();
    assert!(matches!(&loaded.recipe.files[0].content, FileContent::Source(path) if path.is_absolute()));
}

#[test]
fn every_recipe_of_this_repository_is_right() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../recipes");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            super::super::load(&path).unwrap_or_else(|error| panic!("{error:?}"));
            count += 1;
        }
    }
    assert!(count >= 2, "edge.toml and edge-dev.toml");
}

#[test]
fn what_only_an_agent_needs_is_refused_without_channel_keys_and_so_is_what_it_can_t_do() {
    for (after, told) in [
        (
            "[update]\nmode = \"approved\"",
            "`mode` is about following a channel",
        ),
        ("[update]\nsticks = true", "`sticks` is about following a channel"),
        (
            "[update]\ntrust = \"src/recipe/tests/trust-with-channel.toml\"\nmode = \"sometimes\"",
            "is no mode",
        ),
        (
            "[update]\ntrust = \"src/recipe/tests/trust-with-channel.toml\"\npoll = \"1s\"",
            "is no interval",
        ),
        (
            "[update]\ntrust = \"src/recipe/tests/trust-with-channel.toml\"\nwindows = [\"noon\"]",
            "is no window",
        ),
        (
            "[update]\ntrust = \"src/recipe/tests/trust-with-channel.toml\"\ndaily-limit = \"lots\"",
            "is no amount a day",
        ),
        (
            "[update]\ntrust = \"src/recipe/tests/trust-with-channel.toml\"\ninhibitors = [\"till\"]",
            "is no command",
        ),
        (
            "[update]\ntrust = \"src/recipe/tests/trust-with-channel.toml\"\nreport-url = \"fleet\"",
            "is no web address",
        ),
    ] {
        let problem = format!("{:?}", load_text(&text("", after)).unwrap_err());
        assert!(problem.contains(told), "{after}: {problem}");
    }
}
