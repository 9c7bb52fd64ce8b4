//! A Kubernetes in the image: the API server, etcd and containerd are real ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and print how long things took"
)]

use std::time::{Duration, Instant};

use outcrop_qemu::{Disk, Guest, Shell, Start, images, scenario::wait_healthy};
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
