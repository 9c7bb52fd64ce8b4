//! What Outcrop knows of Kubernetes distributions: where their programs, credentials and data are. How they run is in `images/`.
//!
//! Sources: k0s, "Configuration options", "Backup/Restore overview" (what a backup of its state has), "Airgap install"; k3s, "k3s
//! server", "Backup and Restore", "Air-Gap Install".

use super::schema::{KubernetesDistribution, KubernetesRole};

/// Name in recipes, of its program and of its unit.
const K0S: &str = "k0s";
const K3S: &str = "k3s";

impl KubernetesDistribution {
    /// Its name in a recipe.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::K0s(_) => K0S,
            Self::K3s(_) => K3S,
            Self::Custom => "custom",
        }
    }

    /// What the device is in its cluster; none where the recipe's own units decide.
    #[must_use]
    pub const fn role(self) -> Option<KubernetesRole> {
        match self {
            Self::K0s(role) | Self::K3s(role) => Some(role),
            Self::Custom => None,
        }
    }

    /// Where the local administrator's kubeconfig file is, if the device has one: a worker has none.
    #[must_use]
    pub const fn kubeconfig(self) -> Option<&'static str> {
        match self {
            Self::K0s(KubernetesRole::Single | KubernetesRole::Controller) => {
                Some("/var/lib/k0s/pki/admin.conf")
            }
            Self::K3s(KubernetesRole::Single | KubernetesRole::Controller) => {
                Some("/etc/rancher/k3s/k3s.yaml")
            }
            Self::K0s(KubernetesRole::Worker) | Self::K3s(KubernetesRole::Worker) | Self::Custom => None,
        }
    }

    /// Data that goes with the release: datastore, keys, manifests. Nothing where the datastore may be one of several: a member of
    /// an etcd isn't restored, it leaves and joins again.
    #[must_use]
    pub const fn state(self) -> &'static [&'static str] {
        match self {
            Self::K0s(KubernetesRole::Single) => &[
                "/var/lib/k0s/db",
                "/var/lib/k0s/etcd",
                "/var/lib/k0s/manifests",
                "/var/lib/k0s/pki",
            ],
            Self::K3s(KubernetesRole::Single) => &["/var/lib/rancher/k3s/server"],
            Self::K0s(_) | Self::K3s(_) | Self::Custom => &[],
        }
    }
}

impl KubernetesRole {
    /// Its name in a recipe.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Controller => "controller",
            Self::Worker => "worker",
        }
    }

    /// The role with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Single, Self::Controller, Self::Worker]
            .into_iter()
            .find(|role| role.name() == name)
    }
}
