//! What `[kubernetes]` may say.

use outcrop_release::arch::Architecture;

use super::{
    super::schema::{KubernetesDistribution, Origin},
    load_text, problems, text,
};

const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The least that `[kubernetes]` must say for both architectures, then `more`.
fn kubernetes(more: &str) -> String {
    let binary = |arch: &str| {
        format!(
            "[kubernetes.binary.{arch}]\nurl = \"https://example.org/{arch}/kube\"\nsha256 = \"{DIGEST}\"\n"
        )
    };
    format!(
        "[kubernetes]\ndistribution = \"custom\"\nversion = \"1.20.2\"\n[kubernetes.custom]\npath = \"/usr/bin/kube\"\n\
         units = [\"kube.target\", \"etcd.service\"]\n{}{}{more}",
        binary("x86_64"),
        binary("aarch64")
    )
}

#[test]
fn a_kubernetes_of_one_s_own_is_read_and_its_units_are_started_unless_the_recipe_says_otherwise() {
    let more = format!(
        "[[kubernetes.images]]\narchitecture = \"aarch64\"\nfile = \"Cargo.toml\"\nsha256 = \"{DIGEST}\"\n\
         [[kubernetes.images]]\nurl = \"http://example.org/pause.tar?x=1\"\nsha256 = \"{DIGEST}\"\n\
         [services]\ndisable = [\"etcd.service\"]\n"
    );
    let recipe = load_text(&text("", &kubernetes(&more))).unwrap().recipe;
    assert_eq!(recipe.services.enable, ["kube.target"]);
    assert_eq!(recipe.services.disable, ["etcd.service"]);
    let kubernetes = recipe.kubernetes.unwrap();
    assert_eq!(kubernetes.distribution, KubernetesDistribution::Custom);
    assert_eq!(kubernetes.path.to_string(), "/usr/bin/kube");
    let binary = &kubernetes.binaries[&Architecture::Aarch64];
    assert_eq!(
        binary.origin,
        Origin::Url("https://example.org/aarch64/kube".to_owned())
    );
    assert_eq!(binary.sha256.to_string(), DIGEST);
    let images = kubernetes.images.iter();
    let names: Vec<_> = images
        .map(|image| (image.architecture, image.download.file_name()))
        .collect();
    assert_eq!(
        names,
        [(Some(Architecture::Aarch64), "Cargo.toml"), (None, "pause.tar")]
    );
}

#[test]
fn the_program_of_an_architecture_that_nobody_builds_need_not_be_there() {
    let text = text("", &kubernetes("")).replacen("https://example.org/x86_64/kube", "none/kube", 1);
    let recipe = load_text(&text.replacen("url = \"none", "file = \"none", 1))
        .unwrap()
        .recipe;
    let binary = &recipe.kubernetes.unwrap().binaries[&Architecture::X86_64];
    assert!(
        matches!(&binary.origin, Origin::File(path) if path.is_absolute() && path.ends_with("none/kube"))
    );
}

/// A named distribution with `more`.
fn named(name: &str, more: &str) -> String {
    let good = kubernetes("");
    let (head, rest) = good.split_once("[kubernetes.custom]").unwrap();
    let (_, binaries) = rest.split_once("[kubernetes.binary").unwrap();
    let head = head.replace("custom", name);
    format!("{head}{more}\n[kubernetes.binary{binaries}")
}

#[test]
fn k0s_and_k3s_are_known_by_name_with_their_units_credentials_and_state() {
    for (name, kubeconfig, state) in [
        ("k0s", "/var/lib/k0s/pki/admin.conf", "/var/lib/k0s/db"),
        ("k3s", "/etc/rancher/k3s/k3s.yaml", "/var/lib/rancher/k3s/server"),
    ] {
        let load = |more: &str| load_text(&text("", &named(name, more))).unwrap().recipe;
        let recipe = load("");
        assert_eq!(recipe.services.enable, [format!("{name}.service")]);
        let definition = recipe.state.unwrap();
        assert_eq!(definition.units, [format!("{name}.service")]);
        assert_eq!(definition.definition.paths[0].to_string(), state);
        let kubernetes = recipe.kubernetes.unwrap();
        assert_eq!(kubernetes.path.to_string(), format!("/usr/bin/{name}"));
        assert_eq!(kubernetes.definition.unwrap().kubeconfig, kubeconfig);
        // One of several: nothing is known of the others, so nothing of its state goes with the release.
        let controller = load("role = \"controller\"\ndrain = \"5min\"");
        assert_eq!(controller.state, None);
        assert!(controller.kubernetes.unwrap().definition.unwrap().drain.is_some());
        let worker = load("role = \"worker\"");
        assert_eq!(
            (worker.state, worker.kubernetes.unwrap().definition),
            (None, None)
        );
    }
}

#[test]
fn mistakes_in_the_kubernetes_section_are_refused_where_they_stand() {
    let good = kubernetes("");
    let image = |text: &str| format!("{good}[[kubernetes.images]]\nsha256 = \"{DIGEST}\"\n{text}\n");
    let cases = [
        "[kubernetes]".to_owned(),
        good.replace("\"custom\"", "\"k8s\""),
        good.replace("\"1.20.2\"", "\"newest\""),
        good.replace("\"/usr/bin/kube\"", "\"/run/kube\""),
        good.replace("[\"kube.target\", \"etcd.service\"]", "[]"),
        good.replace("etcd.service", "etcd"),
        good.replace("binary.aarch64", "binary.riscv64"),
        good.replace("https://example.org/x86_64", "ftp://example.org"),
        good.replacen(DIGEST, "e3b0", 1),
        good.replacen("url = \"https://example.org/x86_64/kube\"", "file = \"src\"", 1),
        good.replacen("url = \"https://example.org/x86_64/kube\"\n", "", 1),
        format!("{good}file = \"Cargo.toml\"\n"),
        good.replace("version =", "kubeconfig = \"admin.conf\"\nversion ="),
        good.replace("version =", "node = \"edge\"\ndrain = \"5min\"\nversion ="),
        good.replace("version =", "kubeconfig = \"/x\"\nnode = \"Edge_1\"\nversion ="),
        good.replace("version =", "kubeconfig = \"/x\"\ndrain = \"25h\"\nversion ="),
        good.replace("version =", "role = \"single\"\nversion ="),
        named("k0s", "role = \"master\""),
        named("k3s", "custom = { path = \"/usr/bin/k\" }"),
        named("k3s", "role = \"worker\"\ndrain = \"5min\""),
        image("architecture = \"arm64\"\nfile = \"Cargo.toml\""),
        image("url = \"https://example.org/\""),
        image("file = \"Cargo.toml\"") + &image("file = \"Cargo.toml\"").replace(&good, ""),
    ];
    let report = cases.map(|case| {
        let own: Vec<&str> = case
            .lines()
            .filter(|line| !good.lines().any(|known| known == *line))
            .collect();
        format!(
            "{}\n    {}",
            own.join("\n"),
            problems(&text("", &case)).join("\n    ")
        )
    });
    insta::assert_snapshot!(report.join("\n"));
}
