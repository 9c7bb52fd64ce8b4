//! `[kubernetes]`

use super::{Key, Shape, optional, required};

pub(super) const KUBERNETES: &[Key] = &[
    required(
        "distribution",
        Shape::Text("distribution"),
        "Whose: `k0s`, `k3s`, or `custom`, which runs any Kubernetes that is one program.",
    ),
    required(
        "version",
        Shape::Text("version"),
        "Version of the distribution's release: `1.20.2`, `1.36.3+k0s.0`. Its first three numbers are Kubernetes' own.",
    ),
    optional(
        "role",
        Shape::Text("role"),
        "`\"single\"`",
        "What the device is in its cluster, for k0s and k3s: `single`, a cluster of its own; `controller` and `worker`, which join one: \
         its server, token and the node's labels come from the device, never from the image (`outcrop-updater join`).",
    ),
    optional(
        "binary",
        Shape::Map {
            key: "ARCH",
            value: &Shape::Table(DOWNLOAD),
        },
        "",
        "The program, for each of the image's architectures.",
    ),
    optional(
        "images",
        Shape::Tables(IMAGE_ARCHIVE),
        "none",
        "Archives of container images, for nodes that reach no registry. They lie in `/usr/share/outcrop/images` under their file names.",
    ),
    optional(
        "kubeconfig",
        Shape::Text("absolute path"),
        "known for k0s and k3s, but for workers; none for `custom`",
        "Where the local administrator's kubeconfig file is on the device. With it, two required health checks are in the image, \
         `kubernetes-api` and `kubernetes-node`: the API is ready, the node is, and its kubelet is this version's. A file of the same \
         name in `/etc/outcrop/health.d` takes the place of one.",
    ),
    optional(
        "node",
        Shape::Text("name"),
        "the host's name",
        "The node's name in the API.",
    ),
    optional(
        "drain",
        Shape::Text("duration"),
        "none: pods aren't asked to go",
        "How long the node's pods get to go elsewhere before `outcrop-updater install --reboot` restarts it, at most a day. Disruption \
         budgets are respected; when time is up, it restarts all the same. Needs `kubeconfig`.",
    ),
    optional(
        "custom",
        Shape::Table(CUSTOM),
        "",
        "How a `custom` one runs. Its units come with the recipe's files, overlays or packages.",
    ),
];

const DOWNLOAD: &[Key] = &[
    optional("url", Shape::Text("web address"), "", URL),
    optional("file", Shape::Text("path"), "", LOCAL),
    required("sha256", Shape::Text("SHA-256"), DIGEST),
];

const IMAGE_ARCHIVE: &[Key] = &[
    optional(
        "architecture",
        Shape::Text("architecture"),
        "all",
        "For images of this architecture only: `x86_64`, `aarch64`.",
    ),
    optional("url", Shape::Text("web address"), "", URL),
    optional("file", Shape::Text("path"), "", LOCAL),
    required("sha256", Shape::Text("SHA-256"), DIGEST),
];

const URL: &str = "Where it is fetched from, once: then it is in the cache. Either this or `file`.";
const LOCAL: &str = "The file on the build machine, relative to the recipe that says so.";
const DIGEST: &str = "SHA-256 of the file, 64 hexadecimal digits.";

const CUSTOM: &[Key] = &[
    required(
        "path",
        Shape::Text("absolute path"),
        "Where the program lies in the image: `/usr/bin/kube`.",
    ),
    optional(
        "units",
        Shape::Append("unit names"),
        "",
        "What runs Kubernetes, by full names: at least one. They are started at boot.",
    ),
];
