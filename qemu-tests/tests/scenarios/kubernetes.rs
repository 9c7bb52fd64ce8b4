//! A Kubernetes in the image: the API server, etcd and containerd are real ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print how long things took"
)]

use std::time::{Duration, Instant};

use outcrop_qemu::{
    Disk, Guest, Shell, Start, images,
    scenario::{boot_time, wait_healthy},
    update::releases,
    web::WebServer,
};
use outcrop_release::arch::Architecture;

/// Room for images of containers and for what etcd sets aside.
const CARD_BYTES: u64 = 6 << 30;
/// A machine that a single node of Kubernetes fits into.
const MACHINE: [&str; 4] = ["-m", "3072", "-smp", "2"];
/// From a healthy system to a pod that answers, in software emulation.
const PATIENCE: Duration = Duration::from_secs(900);

/// Asks the API for `path`; prints what of the answer, without blanks, matches.
fn ask(path: &str, wanted: &str) -> String {
    format!(
        "curl --silent --insecure --max-time 10 --header \"Authorization: Bearer $(cat /var/lib/kube/token)\" \
         https://127.0.0.1:6443{path} | tr -d ' \\n' | grep -o '{wanted}'"
    )
}

/// Runs `command` until it succeeds.
fn until(command: &str) -> String {
    format!("until {command}; do sleep 2; done")
}

fn wait(shell: &mut Shell<'_>, command: &str) -> String {
    let (status, output) = shell.status(command, PATIENCE).unwrap();
    assert_eq!(status, 0, "{output}");
    output.trim().to_owned()
}

fn start(disk: &Disk) -> Guest {
    let mut guest = Start::new(Architecture::X86_64, disk)
        .option(&MACHINE)
        .boot()
        .unwrap();
    guest.unplug_network().unwrap();
    wait_healthy(&mut guest).unwrap();
    guest
}

#[test]
#[ignore = "the soak's: the Kubernetes of the tests takes minutes to compile"]
fn with_no_network_at_all_the_node_gets_ready_and_a_pod_serves_also_after_a_restart() {
    let disk = Disk::copy(&images::image("edge-kube", Architecture::X86_64).unwrap()).unwrap();
    disk.grow(CARD_BYTES).unwrap();
    let mut kept = None;
    for boot in ["first", "second"] {
        let mut guest = start(&disk);
        let begin = Instant::now();
        let mut shell = Shell::open(&mut guest.console, PATIENCE).unwrap();
        let ready = "\"type\":\"Ready\",\"status\":\"True\"";
        wait(&mut shell, &until(&ask("/api/v1/nodes/edge", ready)));
        println!("{boot} boot: node ready {:?} after healthy", begin.elapsed());
        let pod = "/api/v1/namespaces/default/pods/web-edge";
        wait(&mut shell, &until(&ask(pod, ready)));
        // Asked each time: after a restart the API knows the address of the pod before until the pod is there again.
        let address = ask(pod, "\"podIP\":\"[0-9.]*\"");
        let fetch = format!(
            "address=$({address} | cut -d '\"' -f 4); curl --silent --max-time 10 http://$address:8080/"
        );
        let page = wait(&mut shell, &until(&fetch));
        assert_eq!(page, "served by a pod");
        println!("{boot} boot: a pod serves {:?} after healthy", begin.elapsed());
        let failed = shell
            .run("systemctl --failed --no-legend --plain | wc -l")
            .unwrap();
        assert_eq!(failed, "0", "failed units");
        // The cluster is the same one: its first object has the identity that it got in the first boot.
        let id = wait(
            &mut shell,
            &ask("/api/v1/namespaces/kube-system", "\"uid\":\"[0-9a-f-]*\""),
        );
        assert_eq!(*kept.get_or_insert_with(|| id.clone()), id);
        guest.power_off(Duration::from_secs(300)).unwrap();
    }
}

/// A device with the Kubernetes of the tests, and the server of its updates.
struct Cluster {
    guest: Guest,
    server: WebServer,
}

impl Cluster {
    fn start(disk: &Disk) -> Self {
        let mut guest = Start::new(Architecture::X86_64, disk)
            .option(&MACHINE)
            .boot()
            .unwrap();
        wait_healthy(&mut guest).unwrap();
        let server = WebServer::start(&releases().join("kubernetes")).unwrap();
        Self { guest, server }
    }

    fn shell(&mut self) -> Shell<'_> {
        Shell::open(&mut self.guest.console, PATIENCE).unwrap()
    }

    fn run(&mut self, command: &str) -> String {
        wait(&mut self.shell(), command)
    }

    fn expect(&mut self, text: &str) -> String {
        let limit = boot_time(Architecture::X86_64) * 4;
        self.guest.console.expect(text, limit).unwrap()
    }

    /// Installs a release and restarts into its trial.
    fn update(&mut self, version: &str) {
        let url = self.server.url(&format!("kube-{version}-x86_64-efi.outcrop"));
        self.run(&format!("outcrop-updater install --quiet {url}"));
        self.restart("systemctl reboot");
    }

    fn restart(&mut self, command: &str) {
        // The shell goes away before it can say how that ended.
        let _ = self.shell().status(command, Duration::from_secs(5));
        self.guest.wait_reset(Duration::from_secs(400)).unwrap();
    }

    /// Names of all objects of some kinds that no controller makes anew by itself.
    fn objects(&mut self) -> Vec<String> {
        let kinds = [
            "namespaces",
            "configmaps",
            "secrets",
            "serviceaccounts",
            "services",
        ];
        let lists: Vec<String> = kinds
            .iter()
            .map(|kind| {
                ask(
                    &format!("/api/v1/{kind}"),
                    "\"name\":\"[a-z0-9.-]*\",\"[a-zA-Z]*\":\"[^\"]*\"",
                )
            })
            .collect();
        let names = self.run(&format!("({}) | sort", lists.join("; ")));
        names.lines().map(str::to_owned).collect()
    }

    fn marker(&mut self) -> String {
        self.run(&ask(
            "/api/v1/namespaces/default/configmaps/marker",
            "\"made-by\":\"[a-z0-9.]*\"",
        ))
    }
}

#[test]
#[ignore = "the soak's: the Kubernetes of the tests takes minutes to compile"]
fn an_update_keeps_all_objects_and_one_that_ruins_the_datastore_is_undone_with_them() {
    let image = releases().join("kubernetes/kube-1.0.0-x86_64-efi.img");
    let disk = Disk::copy(&image).unwrap();
    disk.grow(CARD_BYTES).unwrap();
    let mut cluster = Cluster::start(&disk);
    let made = "curl --silent --insecure --max-time 10 --header \"Authorization: Bearer $(cat /var/lib/kube/token)\" --header \
                'Content-Type: application/json' --data '{\"metadata\":{\"name\":\"marker\"},\"data\":{\"made-by\":\"1.0.0\"}}' \
                https://127.0.0.1:6443/api/v1/namespaces/default/configmaps | grep marker";
    cluster.run(made);
    let objects = cluster.objects();
    assert!(objects.len() > 10, "{objects:?}");
    println!("{} objects", objects.len());

    // The release that ruins the datastore.
    cluster.update("1.2.0");
    cluster.expect("snapshot 1 of the state was taken before release 1.2.0 starts");
    cluster
        .guest
        .console
        .expect("outcrop: trial failed: ", Duration::from_secs(600))
        .unwrap();
    let begin = Instant::now();
    cluster.expect("snapshot 1 of the state was brought back");
    cluster.expect("outcrop: healthy: kube 1.0.0 ");
    println!("healthy {:?} after the trial failed", begin.elapsed());
    assert_eq!(cluster.marker(), "\"made-by\":\"1.0.0\"");
    assert_eq!(cluster.objects(), objects);

    // Forward again, with a good one.
    cluster.update("1.1.0");
    cluster.expect("outcrop: committed: kube 1.1.0 ");
    cluster.expect("outcrop: healthy: kube 1.1.0 ");
    assert_eq!(cluster.marker(), "\"made-by\":\"1.0.0\"");
    assert_eq!(cluster.objects(), objects);
    let new_form = ask("/api/v1/namespaces/default/pods/web-edge", "\"of\":\"next\"");
    cluster.run(&until(&new_form));

    // Back, long after the commit: the older Kubernetes is held until somebody chooses, and the newer state is there.
    cluster.restart("outcrop-updater rollback --reboot");
    cluster.expect("Kubernetes stays stopped: the state is Kubernetes 1.21.0's");
    cluster.expect("outcrop: degraded: kube 1.0.0 ");
    let mut shell = cluster.shell();
    let (_, active) = shell
        .status("systemctl is-active kube-etcd.service kube.target", PATIENCE)
        .unwrap();
    assert_eq!(active.lines().collect::<Vec<_>>(), ["inactive", "inactive"]);
    cluster.run("outcrop-updater state keep");
    cluster.restart("systemctl reboot");
    cluster.expect("outcrop: healthy: kube 1.0.0 ");
    assert_eq!(cluster.marker(), "\"made-by\":\"1.0.0\"");
}
