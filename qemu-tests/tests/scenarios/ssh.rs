//! A recipe that lets somebody in: by key, never by password, and the device stays the one they know.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use outcrop_qemu::{
    Disk, Start, images,
    scenario::{boot_time, wait_healthy},
};
use outcrop_release::arch::Architecture;

const ARCHITECTURE: Architecture = Architecture::X86_64;

/// Builds the default image with SSH enabled and a key for the user `admin`; the key's file, and the image.
fn image_with_key(folder: &Path) -> (PathBuf, PathBuf) {
    let key = folder.join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
        .arg(&key)
        .status()
        .expect("install the package openssh-client");
    assert!(made.success());
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    let recipe = folder.join("with-key.toml");
    let text = format!(
        "include = [{:?}]\n[image]\nname = \"with-key\"\n[services]\nenable = [\"ssh.service\"]\n[users.admin]\nssh-keys = [{:?}]\n",
        recipes.join("edge.toml").display().to_string(),
        public.trim()
    );
    fs::write(&recipe, text).unwrap();
    // The packages are the default image's, and so is the lock.
    fs::copy(recipes.join("edge.lock"), folder.join("with-key.lock")).unwrap();
    let variable = |name: &str| env::var_os(name).unwrap_or_else(|| panic!("`cargo xtask test` sets {name}"));
    let built = Command::new(variable("OUTCROP"))
        .args(["build", "--quiet", "--offline", "--arch", ARCHITECTURE.as_str()])
        .arg(&recipe)
        .arg("--output")
        .arg(folder)
        .arg("--device-programs")
        .arg(variable("OUTCROP_DEVICE_PROGRAMS"))
        .status()
        .unwrap();
    assert!(built.success());
    (key, images::newest(folder, "with-key", ARCHITECTURE).unwrap())
}

/// Somebody who wants to log in.
struct Client {
    key: PathBuf,
    known_hosts: PathBuf,
    port: u16,
}

impl Client {
    fn ssh(&self, options: &[&str], command: &str) -> Output {
        let known = format!("UserKnownHostsFile={}", self.known_hosts.display());
        Command::new("ssh")
            .args(["-F", "none", "-p", &self.port.to_string(), "-o", &known])
            .args([
                "-o",
                "ConnectTimeout=30",
                "-o",
                "BatchMode=yes",
                "-o",
                "IdentitiesOnly=yes",
            ])
            .args(options)
            .args(["admin@127.0.0.1", command])
            .env_remove("SSH_AUTH_SOCK")
            .output()
            .expect("install the package openssh-client")
    }

    /// Logs in by key, once the network is up, and returns what `command` printed.
    fn run(&self, hosts: &str, command: &str) -> String {
        let key = self.key.display().to_string();
        let deadline = Instant::now() + boot_time(ARCHITECTURE);
        loop {
            let output = self.ssh(&["-i", &key, "-o", hosts], command);
            if output.status.success() {
                return String::from_utf8(output.stdout).unwrap();
            }
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            let is_early = ["Connection", "timed out", "banner"]
                .iter()
                .any(|text| told.contains(text));
            assert!(is_early && Instant::now() < deadline, "{told}");
            thread::sleep(Duration::from_secs(1));
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

#[test]
fn the_owner_of_a_key_gets_in_nobody_else_does_and_the_host_key_survives_a_reboot() {
    let folder = tempfile::tempdir().unwrap();
    let (key, image) = image_with_key(folder.path());
    let disk = Disk::overlay(&image).unwrap();
    let mut client = Client {
        key,
        known_hosts: folder.path().join("known_hosts"),
        port: free_port(),
    };
    let mut guest = Start::new(ARCHITECTURE, &disk)
        .port(client.port, 22)
        .boot()
        .unwrap();
    wait_healthy(&mut guest).unwrap();
    let who = client.run("StrictHostKeyChecking=accept-new", "id -un; cat /etc/machine-id");
    assert!(who.starts_with("admin\n"), "{who}");
    let hosts = fs::read_to_string(&client.known_hosts).unwrap();
    assert!(hosts.contains("ssh-ed25519"), "{hosts}");
    // Without the key there is nothing to try: no password, no keyboard.
    let refused = client.ssh(&["-o", "PubkeyAuthentication=no"], "true");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && told.contains("Permission denied (publickey)"),
        "{told}"
    );
    guest.power_off(Duration::from_secs(300)).unwrap();

    // The client names hosts by port: the second machine gets the first one's.
    client.port = free_port();
    fs::write(&client.known_hosts, with_port(&hosts, client.port)).unwrap();
    let mut guest = Start::new(ARCHITECTURE, &disk)
        .port(client.port, 22)
        .boot()
        .unwrap();
    wait_healthy(&mut guest).unwrap();
    let again = client.run("StrictHostKeyChecking=yes", "id -un; cat /etc/machine-id");
    assert_eq!(again, who);
}

/// `known_hosts` for the same host at another port.
fn with_port(known_hosts: &str, port: u16) -> String {
    let line = |line: &str| {
        let (_, key) = line.split_once(' ').unwrap();
        format!("[127.0.0.1]:{port} {key}\n")
    };
    known_hosts.lines().map(line).collect()
}
