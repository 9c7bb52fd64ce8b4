//! The built images, asked by tools that nobody here wrote, and what the default image must not hold.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    process::Command,
};

use outcrop_qemu::{host::as_root, images, on_both_architectures};
use outcrop_release::arch::Architecture;
use serde_json::Value;

on_both_architectures! {
    sgdisk_fsck_vfat_and_e2fsck_find_no_fault,
    veritysetup_verifies_the_root_by_the_hash_on_the_command_line,
    systemd_dissect_finds_slot_a_its_tree_and_the_esp,
    binutils_finds_the_sections_of_the_uki,
    the_kernel_s_mount_shows_every_file_as_outcrop_inspect_does,
    no_documentation_foreign_locale_or_cache_is_in_the_default_image,
    setuid_and_setgid_files_are_as_the_scripts_would_have_set_them,
}

/// An image, what `outcrop inspect` says of it, and a folder for parts of it.
struct Built {
    image: PathBuf,
    facts: Value,
    folder: tempfile::TempDir,
}

impl Built {
    fn edge(architecture: Architecture) -> Self {
        let image = images::image("edge", architecture).unwrap();
        let program = env::var_os("OUTCROP").expect("OUTCROP isn't set: `cargo xtask test` sets it");
        let options = ["inspect", "--json", "--files", "--digests"];
        let text = output(Command::new(program).args(options).arg(&image));
        Self {
            image,
            facts: serde_json::from_str(&text).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Start and length of a partition, in bytes.
    fn extent(&self, label: &str) -> (u64, u64) {
        let partitions = self.facts["partitions"].as_array().unwrap();
        let partition = partitions.iter().find(|one| one["label"] == label).unwrap();
        (
            partition["start"].as_u64().unwrap(),
            partition["bytes"].as_u64().unwrap(),
        )
    }

    /// Copies a partition's first `len` bytes, or all of it, into a file.
    fn copy(&self, label: &str, len: Option<u64>) -> PathBuf {
        let (start, whole) = self.extent(label);
        let path = self.folder.path().join(label);
        let mut image = File::open(&self.image).unwrap();
        image.seek(SeekFrom::Start(start)).unwrap();
        let mut part = image.take(len.unwrap_or(whole));
        std::io::copy(&mut part, &mut File::create(&path).unwrap()).unwrap();
        path
    }

    fn root_hash(&self) -> &str {
        self.facts["slots"][0]["root_hash"].as_str().unwrap()
    }

    /// Bytes of the root file system.
    fn root_bytes(&self) -> u64 {
        self.facts["slots"][0]["root"]["used"].as_u64().unwrap()
    }

    fn files(&self) -> &[Value] {
        self.facts["files"].as_array().unwrap()
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        self.files().iter().filter_map(|file| file["path"].as_str())
    }
}

/// What a program prints; it must succeed.
fn output(command: &mut Command) -> String {
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let output = command
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", path)
        .output()
        .unwrap_or_else(|error| panic!("start {command:?}: {error} (`cargo xtask setup` installs it)"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn sgdisk_fsck_vfat_and_e2fsck_find_no_fault(architecture: Architecture) {
    let built = Built::edge(architecture);
    let told = output(Command::new("sgdisk").arg("--verify").arg(&built.image));
    assert!(told.contains("No problems found"), "{told}");
    output(
        Command::new("fsck.vfat")
            .arg("-n")
            .arg(built.copy("outcrop-esp", None)),
    );
    let data = built.copy("outcrop-data", None);
    output(Command::new("e2fsck").arg("-fn").arg(&data));
    let told = output(Command::new("dumpe2fs").arg("-h").arg(&data));
    for line in ["Block size:               4096", "Inode size:\t          256"] {
        assert!(told.contains(line), "{told}");
    }
}

fn veritysetup_verifies_the_root_by_the_hash_on_the_command_line(architecture: Architecture) {
    let built = Built::edge(architecture);
    let line = built.facts["release"]["command_line"].as_array().unwrap();
    assert_eq!(line[0], format!("roothash={}", built.root_hash()));
    let root = built.copy("outcrop-root-a", Some(built.root_bytes()));
    let tree = built.copy("outcrop-verity-a", None);
    let mut command = Command::new("veritysetup");
    output(command.arg("verify").args([&root, &tree]).arg(built.root_hash()));
    output(Command::new("fsck.erofs").arg("--extract").arg(&root));
}

fn systemd_dissect_finds_slot_a_its_tree_and_the_esp(architecture: Architecture) {
    let built = Built::edge(architecture);
    // It wants a loop device, and so root.
    let told = output(as_root("systemd-dissect").arg("--json=short").arg(&built.image));
    let json = told.lines().find(|line| line.starts_with('{')).unwrap();
    let found: Value = serde_json::from_str(json).unwrap();
    let mounts = found["mounts"].as_array().unwrap();
    let name = |one: &Value| format!("{} {}", one["designator"], one["partition_label"]).replace('"', "");
    let mut names: Vec<String> = mounts.iter().map(name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "esp outcrop-esp",
            "root outcrop-root-a",
            "root-verity outcrop-verity-a"
        ]
    );
}

fn binutils_finds_the_sections_of_the_uki(architecture: Architecture) {
    let built = Built::edge(architecture);
    let uki = built.folder.path().join("uki.efi");
    let esp = format!("{}@@{}", built.image.display(), built.extent("outcrop-esp").0);
    let mut copy = Command::new("mcopy");
    output(copy.args(["-i", &esp, "::EFI/Linux/outcrop-a.efi"]).arg(&uki));
    let objdump = match architecture {
        Architecture::X86_64 => "x86_64-linux-gnu-objdump",
        Architecture::Aarch64 => "aarch64-linux-gnu-objdump",
    };
    let told = output(Command::new(objdump).arg("-h").arg(&uki));
    for section in [".osrel", ".cmdline", ".uname", ".initrd", ".linux"] {
        let found = told
            .lines()
            .any(|line| line.split_whitespace().nth(1) == Some(section));
        assert!(found, "no section {section} in\n{told}");
    }
}

/// One line per file, as `outcrop inspect` knows it; sizes and links of files only.
fn as_inspected(file: &Value) -> (String, String) {
    let text = |key: &str| file[key].as_str().unwrap_or_default();
    let kind = match text("kind") {
        "directory" => "d",
        "file" => "f",
        "symlink" => "l",
        other => panic!("a {other} in the image"),
    };
    let mode = text("mode").trim_start_matches('0');
    let owner = format!("{}:{}", file["uid"], file["gid"]);
    let rest = match kind {
        "f" => format!("{} {}", file["size"], file["links"].as_u64().unwrap_or(1)),
        "l" => text("target").to_owned(),
        _ => String::new(),
    };
    let mode = if kind == "l" { "777" } else { mode };
    (text("path").to_owned(), format!("{kind} {mode} {owner} {rest}"))
}

const MOUNTED: &str = r#"
set -e
mkdir "$3/mnt"
mount -t erofs -o "ro,loop,offset=$2" "$1" "$3/mnt"
trap 'cd /; umount "$3/mnt"' EXIT
cd "$3/mnt"
find . -mindepth 1 -type d -printf '/%P\td %m %U:%G \n' -o -type l -printf '/%P\tl 777 %U:%G %l\n' -o -printf '/%P\t%y %m %U:%G %s %n\n'
echo ---
find . -type f -print0 | xargs -0 sha256sum
echo ---
find . -printf '%T@\n' | sort -u
"#;

fn the_kernel_s_mount_shows_every_file_as_outcrop_inspect_does(architecture: Architecture) {
    let built = Built::edge(architecture);
    let start = built.extent("outcrop-root-a").0.to_string();
    let mut shell = as_root("sh");
    shell.args(["-c", MOUNTED, "sh"]).arg(&built.image).arg(start);
    let told = output(shell.arg(built.folder.path()));
    let parts: Vec<&str> = told.split("---\n").collect();
    let mounted: BTreeMap<String, String> = parts[0]
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(path, rest)| (path.to_owned(), rest.to_owned()))
        .collect();
    let inspected: BTreeMap<String, String> = built.files().iter().map(as_inspected).collect();
    assert!(inspected.len() > 5000);
    for (path, line) in &mounted {
        assert_eq!(inspected.get(path), Some(line), "{path}");
    }
    assert_eq!(mounted.len(), inspected.len());
    let digests: BTreeMap<&str, &str> = parts[1]
        .lines()
        .filter_map(|line| Some((line.get(67..)?, line.get(..64)?)))
        .collect();
    for file in built.files().iter().filter(|file| file["kind"] == "file") {
        let path = file["path"].as_str().unwrap();
        assert_eq!(digests.get(path).copied(), file["sha256"].as_str(), "{path}");
    }
    assert_eq!(parts[2].lines().count(), 1, "one time for all: {}", parts[2]);
}

fn no_documentation_foreign_locale_or_cache_is_in_the_default_image(architecture: Architecture) {
    let built = Built::edge(architecture);
    let unwanted = |path: &str| {
        let below = |folder: &str| {
            path.strip_prefix(folder)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        let others = [
            "/usr/share/man",
            "/usr/share/info",
            "/usr/share/locale",
            "/var/cache",
            "/var/lib/apt",
        ];
        // Licences demand that copyright files travel with the programs.
        let documentation = below("/usr/share/doc") && !path.ends_with("/copyright");
        let locale = below("/usr/lib/locale") && !path.starts_with("/usr/lib/locale/C.utf8");
        documentation || locale || others.into_iter().any(below) || path.ends_with(".pyc")
    };
    let files = built.files().iter().filter(|file| file["kind"] == "file");
    let found: Vec<&str> = files
        .filter_map(|file| file["path"].as_str())
        .filter(|path| unwanted(path))
        .collect();
    assert!(found.is_empty(), "{found:?}");
    // What opens a shell on the serial console is in the development image alone.
    let shell = built.paths().find(|path| path.contains("serial-shell"));
    assert_eq!(shell, None);
}

fn setuid_and_setgid_files_are_as_the_scripts_would_have_set_them(architecture: Architecture) {
    let built = Built::edge(architecture);
    let special = |file: &&Value| {
        let mode = u32::from_str_radix(file["mode"].as_str().unwrap(), 8).unwrap();
        file["kind"] == "file" && mode & 0o6000 != 0
    };
    let found: Vec<String> = built
        .files()
        .iter()
        .filter(special)
        .map(|file| format!("{} {}", file["mode"], file["path"]).replace('"', ""))
        .collect();
    for wanted in [
        "4754 /usr/lib/dbus-1.0/dbus-daemon-launch-helper",
        "2755 /usr/bin/ssh-agent",
        "4755 /usr/bin/su",
    ] {
        assert!(
            found.iter().any(|line| line == wanted),
            "no {wanted} in {found:?}"
        );
    }
    let group_of_shadow =
        |file: &&Value| file["path"] == "/etc/shadow" && file["mode"] == "0640" && file["gid"] == 42;
    assert!(built.files().iter().any(|file| group_of_shadow(&file)));
}
