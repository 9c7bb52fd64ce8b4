//! The Kubernetes of this device, as its release describes it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use outcrop_release::{kubernetes::KubernetesDefinition, manifest::RunningManifest};
use semver::Version;

use super::{
    access::Access,
    client::{ApiError, Client},
};
use crate::release_file::{self, ReleaseFileError};

/// The device's own Kubernetes can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum OursError {
    /// What the release says of it.
    #[error(transparent)]
    Release(#[from] ReleaseFileError),
    /// Nothing says where the credentials are.
    #[error(
        "this release names no kubeconfig file: its recipe can, in [kubernetes], and a check with the key `kubeconfig`"
    )]
    NoKubeconfig,
    /// The API.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// What the release says.
#[derive(Debug, Clone)]
pub struct Ours {
    root: PathBuf,
    /// How to ask it; none when the release doesn't say.
    pub definition: Option<KubernetesDefinition>,
    /// Its version.
    pub version: Option<Version>,
}

impl Ours {
    /// Reads what the release below `root` says.
    ///
    /// # Errors
    /// When that can't be read or understood.
    pub fn read(root: &Path) -> Result<Self, OursError> {
        let definition = release_file::read(root, KubernetesDefinition::PATH, KubernetesDefinition::parse)?;
        let manifest = release_file::read(root, RunningManifest::PATH, RunningManifest::parse)?;
        let version = manifest.and_then(|manifest| manifest.kubernetes);
        Ok(Self {
            root: root.to_owned(),
            definition,
            version,
        })
    }

    /// A way to its API, with the credentials in `kubeconfig`, or where the release says.
    ///
    /// # Errors
    /// When there are no credentials, or they can't be used.
    pub fn api(&self, kubeconfig: Option<&str>, timeout: Duration) -> Result<Client, OursError> {
        let path = kubeconfig
            .or(self
                .definition
                .as_ref()
                .map(|definition| definition.kubeconfig.as_str()))
            .ok_or(OursError::NoKubeconfig)?;
        let access = Access::read(&self.root.join(path.trim_start_matches('/'))).map_err(ApiError::from)?;
        Ok(Client::new(access, timeout)?)
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> String {
        let told = self
            .definition
            .as_ref()
            .and_then(|definition| definition.node.clone());
        // The kubelet's own default. Source: Kubernetes, `kubelet --hostname-override`.
        told.unwrap_or_else(|| {
            let names = rustix::system::uname();
            names.nodename().to_string_lossy().to_lowercase()
        })
    }
}
