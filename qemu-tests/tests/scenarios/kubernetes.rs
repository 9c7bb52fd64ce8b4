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
    images,
    kubernetes::{Cluster, DEFAULT_NAMESPACE, NEW, Network, OLD, RUINOUS, ask, card, flashed, until},
};
use outcrop_release::arch::Architecture;
use serde_json::json;

/// Resident memory of Outcrop's own processes between updates, at most: 8 MiB.
const OWN_KIB: u64 = 8 << 10;

#[test]
fn with_no_network_at_all_the_node_gets_ready_and_a_pod_serves() {
    serves_without_a_network(Architecture::X86_64, &["first"]);
}

#[test]
#[ignore = "the soak's: in CI the first boot stands for both"]
fn with_no_network_at_all_the_node_gets_ready_and_a_pod_serves_also_after_a_restart() {
    serves_without_a_network(Architecture::X86_64, &["first", "second"]);
}

#[test]
#[ignore = "the soak's: it takes many minutes; in CI the first boot of a cluster stands for all"]
fn on_aarch64_with_no_network_at_all_the_node_gets_ready_and_a_pod_serves() {
    serves_without_a_network(Architecture::Aarch64, &["first"]);
}

fn serves_without_a_network(architecture: Architecture, boots: &[&str]) {
    let disk = card(&images::image("edge-kube", architecture).unwrap());
    let mut kept = None;
    for boot in boots {
        let begin = Instant::now();
        let mut cluster = Cluster::start(architecture, &disk, Network::None);
        println!(
            "{boot} boot: node and pod ready {:?} after power-on",
            begin.elapsed()
        );
        assert_eq!(cluster.page(), "served by a pod");
        println!("{boot} boot: the pod served {:?} after power-on", begin.elapsed());
        let failed = cluster.run("systemctl --failed --no-legend --plain | wc -l");
        assert_eq!(failed, "0", "failed units");
        let own = cluster.own_memory();
        println!("{boot} boot: Outcrop's own processes have {own} KiB");
        assert!(own < OWN_KIB, "{own} KiB");
        let health = cluster.run("outcrop-updater health");
        for check in ["kubernetes-api", "kubernetes-node", "web"] {
            assert!(health.contains(&format!("{check}: holds (required)")), "{health}");
        }
        // The cluster is the same one: its first object has the identity that it got in the first boot.
        let id = cluster.run(&ask("/api/v1/namespaces/kube-system", "\"uid\":\"[0-9a-f-]*\""));
        assert_eq!(*kept.get_or_insert_with(|| id.clone()), id);
        cluster.guest.power_off(Duration::from_secs(300)).unwrap();
    }
}

#[test]
#[ignore = "the soak's: it takes many minutes; in CI the first boot of a cluster stands for all"]
fn an_update_keeps_all_objects_and_one_that_ruins_the_datastore_is_undone_with_them() {
    let disk = flashed();
    let mut cluster = Cluster::start(Architecture::X86_64, &disk, Network::Updates);
    cluster.mark();
    let objects = cluster.settled_objects();
    println!("{} objects", objects.len());

    cluster.update(RUINOUS);
    cluster.expect(&format!(
        "snapshot 1 of the state was taken before release {RUINOUS} starts"
    ));
    cluster
        .guest
        .console
        .expect("outcrop: trial failed: ", Duration::from_secs(900))
        .unwrap();
    let begin = Instant::now();
    cluster.expect("snapshot 1 of the state was brought back");
    cluster.expect(&format!("outcrop: healthy: kube {OLD} "));
    println!("healthy {:?} after the trial failed", begin.elapsed());
    assert!(cluster.has_mark());
    assert_eq!(cluster.objects(), objects);

    // Forward again, with a good one.
    cluster.update(NEW);
    cluster.expect(&format!("outcrop: committed: kube {NEW} "));
    cluster.expect(&format!("outcrop: healthy: kube {NEW} "));
    assert!(cluster.has_mark());
    assert_eq!(cluster.objects(), objects);
    let new_form = ask("/api/v1/namespaces/default/pods/web-edge", "\"of\":\"next\"");
    cluster.run(&until(&new_form));

    // Back, long after the commit: the older Kubernetes is held until somebody chooses, and the newer state is there.
    cluster.restart("outcrop-updater rollback --reboot");
    cluster.expect("Kubernetes stays stopped: the state is Kubernetes 1.21.0's");
    cluster
        .guest
        .console
        .expect(
            &format!("outcrop: degraded: kube {OLD} "),
            Duration::from_secs(900),
        )
        .unwrap();
    let active = "systemctl is-active kube-etcd.service kube.target";
    let (_, active) = cluster.try_run(active);
    let active: Vec<&str> = active.lines().map(str::trim).collect();
    assert_eq!(active, ["inactive", "inactive"]);
    cluster.run("outcrop-updater state keep");
    cluster.restart("systemctl reboot");
    cluster.expect(&format!("outcrop: healthy: kube {OLD} "));
    assert!(cluster.has_mark());
}

#[test]
#[ignore = "the soak's: it takes many minutes; in CI the first boot of a cluster stands for all"]
fn a_pod_whose_budget_refuses_is_waited_for_until_the_limit_and_holds_no_update_up() {
    let disk = flashed();
    let mut cluster = Cluster::start(Architecture::X86_64, &disk, Network::Updates);
    // Before that the controllers refuse pods.
    cluster.settled_objects();
    let budgets = "/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets";
    let pod = json!({
        "metadata": { "name": "till", "labels": { "app": "till" } },
        "spec": { "nodeName": "edge", "terminationGracePeriodSeconds": 1, "containers": [{
            "name": "till", "image": "localhost/busybox:1", "imagePullPolicy": "Never", "command": ["/bin/sleep", "100000"]
        }] }
    });
    let budget = json!({
        "metadata": { "name": "till" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "till" } } }
    });
    cluster.make(&format!("{DEFAULT_NAMESPACE}/pods"), &pod);
    cluster.make(budgets, &budget);
    let protected = until(&ask(&format!("{budgets}/till"), "\"currentHealthy\":1"));
    cluster.run(&protected);

    let (code, told) = drain(&mut cluster, 20);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("node edge isn't drained after 20 s: "), "{told}");
    assert!(is_cordoned(&mut cluster));
    cluster.run("outcrop-updater uncordon");
    assert!(!is_cordoned(&mut cluster));

    // Its recipe gives pods 20 seconds before a restart.
    let url = cluster.url(NEW);
    cluster.run(&format!(
        "outcrop-updater install --quiet --reboot {url} > /var/lib/told 2>&1 &"
    ));
    cluster.expect(&format!("outcrop: committed: kube {NEW} "));
    cluster.expect(&format!("outcrop: healthy: kube {NEW} "));
    let told = cluster.run("cat /var/lib/told");
    assert!(told.contains("node edge isn't drained after 20 s: "), "{told}");
    cluster.run(&protected);
    assert!(
        !is_cordoned(&mut cluster),
        "pods may come once the release is healthy"
    );

    cluster.remove(&format!("{budgets}/till"));
    let (code, told) = drain(&mut cluster, 120);
    assert_eq!(code, 0, "without its budget it goes: {told}");
    let gone = ask(
        &format!("{DEFAULT_NAMESPACE}/pods/till"),
        "\"reason\":\"NotFound\"",
    );
    cluster.run(&until(&gone));
}

/// Drains the node; exit code and what was said.
fn drain(cluster: &mut Cluster, limit: u32) -> (i32, String) {
    cluster.try_run(&format!("outcrop-updater drain --limit {limit}"))
}

fn is_cordoned(cluster: &mut Cluster) -> bool {
    // An API that is silent says neither: a busy machine is asked again.
    let told = cluster.run(&until(&ask(
        "/api/v1/nodes/edge",
        "\"kind\":\"Node\"\\|\"unschedulable\":true",
    )));
    assert!(told.contains("Node"), "{told}");
    told.contains("unschedulable")
}
