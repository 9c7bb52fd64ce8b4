//! What scenarios and the demo share of a device with the tests' Kubernetes (`recipes/edge-kube.toml`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness for tests, which fail by panicking"
)]

use std::{
    thread,
    time::{Duration, Instant},
};

use outcrop_release::arch::Architecture;
use serde_json::{Value, json};

use crate::{
    Disk, Guest, Shell, Start,
    scenario::{DEGRADED, HEALTHY},
    update::releases,
    web::WebServer,
};

/// Room for images of containers and for what etcd sets aside.
const CARD_BYTES: u64 = 6 << 30;
/// A machine that a single node of Kubernetes fits into.
const MACHINE: [&str; 4] = ["-m", "3072", "-smp", "2"];
/// Longest wait for something of Kubernetes, a boot with it included, in software emulation.
const PATIENCE: Duration = Duration::from_secs(900);
/// The wait between looks at what a new cluster's controllers have made.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);
/// At least so many objects: each of four namespaces has a service account, and each of those a secret.
const MADE_BY_ITSELF: usize = 12;
/// The product that `cargo xtask test --kubernetes` builds releases of.
const PRODUCT: &str = "kube";

/// Where objects of the default namespace are made.
pub const DEFAULT_NAMESPACE: &str = "/api/v1/namespaces/default";
/// `curl` as the cluster's administrator.
const CURL: &str =
    "curl --silent --insecure --max-time 60 --header \"Authorization: Bearer $(cat /var/lib/kube/token)\"";

/// What is flashed.
pub const OLD: &str = "1.0.0";
/// Another one, with other manifests; it says that its Kubernetes is of the next minor version.
pub const NEW: &str = "1.1.0";
/// One that ruins the datastore.
pub const RUINOUS: &str = "1.2.0";

/// Whether the machine has a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Its cable isn't plugged.
    None,
    /// To the server of its updates.
    Updates,
}

/// A device with the tests' Kubernetes, and the server of its updates.
pub struct Cluster {
    /// The machine.
    pub guest: Guest,
    server: WebServer,
}

/// A shell command that asks the API for `path`; it prints what of the answer, without blanks, matches `wanted`.
#[must_use]
pub fn ask(path: &str, wanted: &str) -> String {
    format!("{CURL} https://127.0.0.1:6443{path} | tr -d ' \\n' | grep -o '{wanted}'")
}

/// A shell command that runs `command` until it succeeds.
#[must_use]
pub fn until(command: &str) -> String {
    format!("until {command}; do sleep 2; done")
}

/// A disk with a release of a folder, with room to grow.
///
/// # Panics
/// When it can't be made.
#[must_use]
pub fn card(image: &std::path::Path) -> Disk {
    let disk = Disk::copy(image).unwrap();
    disk.grow(CARD_BYTES).unwrap();
    disk
}

/// A disk with the release that is flashed.
///
/// # Panics
/// When `cargo xtask test --kubernetes` hasn't built it.
#[must_use]
pub fn flashed() -> Disk {
    let image = releases().join(format!("kubernetes/{PRODUCT}-{OLD}-x86_64-efi.img"));
    assert!(
        image.exists(),
        "{} isn't there: `cargo xtask test --kubernetes` builds it",
        image.display()
    );
    card(&image)
}

impl Cluster {
    /// Switches a machine on; returns when it is healthy: its node is ready, and its pod.
    ///
    /// # Panics
    /// When it doesn't come up.
    #[must_use]
    pub fn start(architecture: Architecture, disk: &Disk, network: Network) -> Self {
        let mut guest = Start::new(architecture, disk).option(&MACHINE).boot().unwrap();
        if network == Network::None {
            guest.unplug_network().unwrap();
        }
        let (which, line) = guest.console.expect_any(&[HEALTHY, DEGRADED], PATIENCE).unwrap();
        assert_eq!(which, 0, "{line}\n{}", guest.console.text());
        let server = WebServer::start(&releases().join("kubernetes")).unwrap();
        Self { guest, server }
    }

    /// Its shell.
    ///
    /// # Panics
    /// When nobody answers.
    pub fn shell(&mut self) -> Shell<'_> {
        Shell::open(&mut self.guest.console, PATIENCE).unwrap()
    }

    /// Runs a command; what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&mut self, command: &str) -> String {
        let (status, output) = self.try_run(command);
        assert_eq!(status, 0, "{output}");
        output.trim().to_owned()
    }

    /// Runs a command; its exit code and what it printed.
    ///
    /// # Panics
    /// When the shell doesn't answer.
    pub fn try_run(&mut self, command: &str) -> (i32, String) {
        self.shell().status(command, PATIENCE).unwrap()
    }

    /// Waits until a line with `text` is on the console.
    ///
    /// # Panics
    /// When it doesn't come.
    pub fn expect(&mut self, text: &str) -> String {
        self.guest.console.expect(text, PATIENCE).unwrap()
    }

    /// The address of a release.
    #[must_use]
    pub fn url(&self, version: &str) -> String {
        self.server.url(&format!(
            "{PRODUCT}-{version}-{}-efi.outcrop",
            self.guest.architecture
        ))
    }

    /// Installs a release and restarts into its trial.
    ///
    /// # Panics
    /// When it can't be installed.
    pub fn update(&mut self, version: &str) {
        let url = self.url(version);
        self.run(&format!("outcrop-updater install --quiet {url}"));
        self.restart("systemctl reboot");
    }

    /// Restarts it by `command`. Returns when the machine has reset.
    ///
    /// # Panics
    /// When it doesn't.
    pub fn restart(&mut self, command: &str) {
        // The shell goes away before it can say how that ended.
        let _ = self.shell().status(command, Duration::from_secs(5));
        self.guest.wait_reset(Duration::from_secs(400)).unwrap();
    }

    /// Makes an object that only the datastore knows.
    ///
    /// # Panics
    /// When the API refuses.
    pub fn mark(&mut self) {
        let marker = json!({ "metadata": { "name": "marker" }, "data": { "made-by": OLD } });
        self.make(&format!("{DEFAULT_NAMESPACE}/configmaps"), &marker);
    }

    /// Makes an object at `path`.
    ///
    /// # Panics
    /// When the API refuses.
    pub fn make(&mut self, path: &str, object: &Value) {
        self.run(&format!(
            "{CURL} --fail-with-body --header 'Content-Type: application/json' --data '{object}' https://127.0.0.1:6443{path}"
        ));
    }

    /// Removes the object at `path`.
    ///
    /// # Panics
    /// When the API refuses.
    pub fn remove(&mut self, path: &str) {
        self.run(&format!(
            "{CURL} --fail-with-body --request DELETE https://127.0.0.1:6443{path}"
        ));
    }

    /// Whether that object is there as it was made.
    ///
    /// # Panics
    /// When the API doesn't answer.
    pub fn has_mark(&mut self) -> bool {
        let path = format!("{DEFAULT_NAMESPACE}/configmaps/marker");
        self.run(&ask(&path, "\"made-by\":\"[a-z0-9.]*\"")) == "\"made-by\":\"1.0.0\""
    }

    /// Names of all objects of some kinds that no controller makes anew by itself.
    ///
    /// # Panics
    /// When the API doesn't answer.
    pub fn objects(&mut self) -> Vec<String> {
        let kinds = [
            "namespaces",
            "configmaps",
            "secrets",
            "serviceaccounts",
            "services",
        ];
        let wanted = "\"name\":\"[a-z0-9.-]*\",\"[a-zA-Z]*\":\"[^\"]*\"";
        let lists: Vec<String> = kinds
            .iter()
            .map(|kind| ask(&format!("/api/v1/{kind}"), wanted))
            .collect();
        let names = self.run(&format!("({}) | sort", lists.join("; ")));
        names.lines().map(str::to_owned).collect()
    }

    /// The same of a new cluster, once its controllers have made all that they make by themselves.
    ///
    /// # Panics
    /// When they go on and on.
    pub fn settled_objects(&mut self) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        loop {
            let objects = self.objects();
            if objects.len() >= MADE_BY_ITSELF && objects == before {
                return objects;
            }
            assert!(Instant::now() < deadline, "{objects:?}");
            before = objects;
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// What the pod serves over HTTP.
    ///
    /// # Panics
    /// When it doesn't answer in time.
    pub fn page(&mut self) -> String {
        // Asked each time: after a restart the API knows the address of the pod before until the pod is there again.
        let address = ask(
            "/api/v1/namespaces/default/pods/web-edge",
            "\"podIP\":\"[0-9.]*\"",
        );
        let fetch = format!(
            "address=$({address} | cut -d '\"' -f 4); curl --silent --max-time 10 http://$address:8080/"
        );
        self.run(&until(&fetch))
    }

    /// Memory of Outcrop's own processes, in KiB.
    ///
    /// # Panics
    /// When the shell doesn't answer.
    pub fn own_memory(&mut self) -> u64 {
        let sum = self.run("ps -eo rss=,comm= | awk '$2 ~ /^outcrop/ { sum += $1 } END { print sum + 0 }'");
        sum.parse().unwrap()
    }
}
