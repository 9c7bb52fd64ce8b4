//! The Kubernetes of this device, as its release describes it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use outcrop_release::{
    kubernetes::{BadKubernetesDefinition, KubernetesDefinition},
    manifest::{ManifestError, RunningManifest},
};
use semver::Version;

use super::{
    access::Access,
    client::{ApiError, Client},
};

/// The device's own Kubernetes can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum OursError {
    /// A file of the release can't be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The release's definition is damaged.
    #[error("understand {}", path.display())]
    Definition {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BadKubernetesDefinition,
    },
    /// What the release says of itself is damaged.
    #[error("understand {}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ManifestError,
    },
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
        let path = root.join(KubernetesDefinition::PATH);
        let definition = match fs::read(&path) {
            Ok(bytes) => Some(
                KubernetesDefinition::parse(&bytes)
                    .map_err(|source| OursError::Definition { path, source })?,
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(OursError::Read { path, source }),
        };
        let path = root.join(RunningManifest::PATH);
        let version = match fs::read(&path) {
            Ok(bytes) => {
                let manifest =
                    RunningManifest::parse(&bytes).map_err(|source| OursError::Manifest { path, source })?;
                manifest.kubernetes
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(OursError::Read { path, source }),
        };
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
