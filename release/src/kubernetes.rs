//! What the updater needs to know of the Kubernetes in a release: how to ask its API, and how long its pods get to go elsewhere.
//!
//! The builder writes it to [`KubernetesDefinition::PATH`]. Nothing signs it: it lies under the root hash.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::definition::{self, BadDefinition};

/// Longest that draining may take: a day.
pub const MAX_DRAIN: Duration = Duration::from_secs(24 * 3600);

/// How the updater deals with the release's Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesDefinition {
    /// Absolute path of the kubeconfig file with the local administrator's credentials.
    pub kubeconfig: String,
    /// The node's name; none: the host's.
    pub node: Option<String>,
    /// How long the node's pods get to go elsewhere before a restart; none: they aren't asked to.
    pub drain: Option<Duration>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Json {
    kubeconfig: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_seconds: Option<u64>,
}

impl KubernetesDefinition {
    /// Where it lies in the root file system.
    pub const PATH: &str = "usr/lib/outcrop/kubernetes.json";

    /// Its JSON form: one field a line, a line break at the end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        definition::write(&Json {
            kubeconfig: self.kubeconfig.clone(),
            node: self.node.clone(),
            drain_seconds: self.drain.map(|limit| limit.as_secs()),
        })
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// See [`BadDefinition`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BadDefinition> {
        let json: Json = definition::read(bytes)?;
        let wrong = |field, value: String| Err(BadDefinition::Value { field, value });
        if !json.kubeconfig.starts_with('/') {
            return wrong("kubeconfig file", json.kubeconfig);
        }
        let drain = json.drain_seconds.map(Duration::from_secs);
        if drain.is_some_and(|limit| limit > MAX_DRAIN) {
            return wrong(
                "time to drain, in seconds",
                json.drain_seconds.unwrap_or_default().to_string(),
            );
        }
        Ok(Self {
            kubeconfig: json.kubeconfig,
            node: json.node,
            drain,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_survives_being_written_and_read_and_nonsense_is_refused() {
        let definition = KubernetesDefinition {
            kubeconfig: "/var/lib/k0s/pki/admin.conf".to_owned(),
            node: Some("edge".to_owned()),
            drain: Some(Duration::from_secs(300)),
        };
        let bytes = definition.to_bytes();
        assert_eq!(KubernetesDefinition::parse(&bytes).unwrap(), definition);
        let text = String::from_utf8(bytes).unwrap();
        for (from, to) in [
            ("\"format\": 1", "\"format\": 2"),
            ("/var/lib/k0s", "var/lib/k0s"),
            ("300", "86401"),
            ("kubeconfig", "config"),
        ] {
            assert!(text.contains(from), "{from}");
            KubernetesDefinition::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        }
    }
}
