//! Which Kubernetes cluster this device joins: server, token and labels of its node. Of the device, never of the image.
//!
//! `/var/lib/outcrop/kubernetes/join.toml`, readable by root alone. The token is in no message, no `status` and no list of processes.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use outcrop_release::device_config::{Join, join_server, join_token, node_label};

use crate::{
    device_config,
    durable::{self, DurableError},
};

/// Where it is kept, in Outcrop's folder on the data partition.
const FOLDER: &str = "kubernetes";
const FILE: &str = "join.toml";
/// Where units find it, in Outcrop's folder of this boot.
const TOKEN: &str = "token";
const ENVIRONMENT: &str = "environment";
/// That folder as units name it.
const RUN: &str = "/run/outcrop/kubernetes";

/// Which cluster, as what.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct JoinData {
    /// Its address; k0s has it in the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// What lets the device in.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// Whether this is the cluster's first device: it joins nobody.
    #[serde(default)]
    first: bool,
    /// Labels of its node.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// Join data that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// There is none.
    #[error(
        "this device is to join a Kubernetes cluster, and nobody has told it which: `outcrop-updater join --token-file FILE` does, with --server for k3s, or --first on the cluster's first device; so does [kubernetes] in device.toml"
    )]
    None,
    /// A file can't be read or made.
    #[error("{doing} {}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file can't be kept.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// The kept file is damaged. A parser's words could quote the token: they aren't told.
    #[error("{} isn't what `outcrop-updater join` writes: run that again", .0.display())]
    Damaged(PathBuf),
    /// The server.
    #[error("{0}")]
    Server(String),
    /// The token.
    #[error("the token in {} {why}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A label.
    #[error("{0}")]
    Label(String),
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JoinError {
    move |source| JoinError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}

impl JoinData {
    /// The first device of a cluster.
    #[must_use]
    pub fn first() -> Self {
        Self {
            first: true,
            ..Self::default()
        }
    }

    /// Says where the cluster is.
    ///
    /// # Errors
    /// When it is no address.
    pub fn with_server(mut self, server: &str) -> Result<Self, JoinError> {
        self.server = Some(join_server(server).map_err(JoinError::Server)?);
        Ok(self)
    }

    /// Takes the token from a file, whose line end doesn't count.
    ///
    /// # Errors
    /// When it can't be read, or holds no token.
    pub fn with_token_of(mut self, path: &Path) -> Result<Self, JoinError> {
        let text = fs::read_to_string(path).map_err(failed("read the token in", path))?;
        let token = text.trim();
        join_token(token).map_err(|why| JoinError::Token {
            path: path.to_owned(),
            why,
        })?;
        self.token = Some(token.to_owned());
        Ok(self)
    }

    /// Adds a label, `KEY=VALUE`.
    ///
    /// # Errors
    /// When it is none. Source: Kubernetes, "Labels and Selectors", "Syntax and character set".
    pub fn with_label(mut self, label: &str) -> Result<Self, JoinError> {
        let (key, value) = node_label(label).map_err(JoinError::Label)?;
        self.labels.insert(key, value);
        Ok(self)
    }

    /// Keeps it in Outcrop's folder on the data partition.
    ///
    /// # Errors
    /// When it says neither how to join nor that this is the first, or the file can't be kept.
    pub fn save(&self, state: &Path) -> Result<(), JoinError> {
        if self.token.is_none() && !self.first {
            return Err(JoinError::None);
        }
        // Texts, a flag and a table of texts: nothing here can fail to be TOML.
        let text = toml::to_string(self).unwrap_or_default();
        let folder = private_folder(&state.join(FOLDER))?;
        Ok(durable::replace_private(&folder.join(FILE), text.as_bytes())?)
    }

    /// What is in force: what `device.toml` says, or else what was kept; labels of both.
    ///
    /// # Errors
    /// [`JoinError::None`] when there is neither; or when it can't be read.
    pub fn in_force(state: &Path) -> Result<Self, JoinError> {
        let config = device_config::kept(state)?;
        let mut data = match (config.kubernetes, Self::load(state)) {
            (None, kept) => kept?,
            (Some(Join::First), _) => Self::first(),
            (Some(Join::Cluster { server, token }), _) => Self {
                server,
                token: Some(token.expose().to_owned()),
                ..Self::default()
            },
        };
        for (key, value) in config.labels {
            data.labels.entry(key).or_insert(value);
        }
        Ok(data)
    }

    /// Reads what was kept.
    ///
    /// # Errors
    /// [`JoinError::None`] when nothing was; or when it can't be read.
    pub fn load(state: &Path) -> Result<Self, JoinError> {
        let path = state.join(FOLDER).join(FILE);
        let bytes = durable::read(&path)?.ok_or(JoinError::None)?;
        let text = String::from_utf8(bytes).map_err(|_| JoinError::Damaged(path.clone()))?;
        toml::from_str(&text).map_err(|_| JoinError::Damaged(path))
    }

    /// Writes what units read: the token, and words for their programs, into Outcrop's folder of this boot.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn prepare(&self, run: &Path) -> Result<(), JoinError> {
        let folder = private_folder(&run.join(FOLDER))?;
        if let Some(token) = &self.token {
            durable::replace_private(&folder.join(TOKEN), token.as_bytes())?;
        }
        durable::replace_private(&folder.join(ENVIRONMENT), self.environment().as_bytes())?;
        Ok(())
    }

    /// An environment file for systemd. No value has a blank that doesn't separate words, or a quote.
    fn environment(&self) -> String {
        let server = match (&self.server, self.first) {
            (Some(server), _) => format!("--server={server}"),
            (None, true) => "--cluster-init".to_owned(),
            (None, false) => String::new(),
        };
        let token = self.token.as_ref().map(|_| format!("--token-file={RUN}/{TOKEN}"));
        let labels: Vec<String> = self
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let words: Vec<String> = labels
            .iter()
            .map(|label| format!("--node-label={label}"))
            .collect();
        format!(
            "OUTCROP_SERVER_WORDS=\"{server}\"\nOUTCROP_TOKEN_WORDS=\"{}\"\nOUTCROP_LABELS=\"{}\"\nOUTCROP_LABEL_WORDS=\"{}\"\n",
            token.unwrap_or_default(),
            labels.join(","),
            words.join(" ")
        )
    }
}

/// A folder that only root may look into.
fn private_folder(path: &Path) -> Result<PathBuf, JoinError> {
    let make = || {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        // One that was there may be more open.
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    };
    make().map_err(failed("make folder", path))?;
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("typed");
        fs::write(&path, text).unwrap();
        path
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_kept_is_given_to_the_units_and_nobody_else_may_read_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let data = JoinData::default()
            .with_server("https://10.0.0.1:6443")
            .and_then(|data| data.with_token_of(&token(folder.path(), "K10abc::server:s3cret\n")))
            .and_then(|data| data.with_label("site=reef"))
            .and_then(|data| data.with_label("example.org/kind=ship"))
            .unwrap();
        let (state, run) = (folder.path().join("state"), folder.path().join("run"));
        data.save(&state).unwrap();
        let kept = JoinData::load(&state).unwrap();
        assert!(kept == data);
        kept.prepare(&run).unwrap();
        let environment = fs::read_to_string(run.join("kubernetes/environment")).unwrap();
        assert_eq!(
            environment,
            "OUTCROP_SERVER_WORDS=\"--server=https://10.0.0.1:6443\"\n\
             OUTCROP_TOKEN_WORDS=\"--token-file=/run/outcrop/kubernetes/token\"\n\
             OUTCROP_LABELS=\"example.org/kind=ship,site=reef\"\n\
             OUTCROP_LABEL_WORDS=\"--node-label=example.org/kind=ship --node-label=site=reef\"\n"
        );
        let text = fs::read_to_string(run.join("kubernetes/token")).unwrap();
        assert_eq!(text, "K10abc::server:s3cret");
        for private in [&state.join("kubernetes"), &run.join("kubernetes")] {
            assert_eq!(mode(private), 0o700);
        }
        for private in [state.join("kubernetes/join.toml"), run.join("kubernetes/token")] {
            assert_eq!(mode(&private), 0o600);
        }
    }

    #[test]
    fn what_device_toml_says_of_the_cluster_counts_before_what_was_typed() {
        let folder = tempfile::tempdir().unwrap();
        let configured = |text: &str| fs::write(folder.path().join("device.toml"), text).unwrap();
        configured("labels.site = 'reef'\n");
        assert!(matches!(JoinData::in_force(folder.path()), Err(JoinError::None)));
        let typed = JoinData::first().with_label("site=desk").unwrap();
        typed.save(folder.path()).unwrap();
        assert!(JoinData::in_force(folder.path()).unwrap() == typed);
        configured("labels.site = 'reef'\nkubernetes = { server = 'https://a:6443', token = 'K10' }\n");
        let environment = JoinData::in_force(folder.path()).unwrap().environment();
        for part in [
            "--server=https://a:6443",
            "--token-file=",
            "--node-label=site=reef",
        ] {
            assert!(environment.contains(part), "{environment}");
        }
        configured("kubernetes.first = true\n");
        let environment = JoinData::in_force(folder.path()).unwrap().environment();
        assert!(environment.contains("--cluster-init"), "{environment}");
    }

    #[test]
    fn the_first_device_of_a_cluster_joins_nobody() {
        let folder = tempfile::tempdir().unwrap();
        JoinData::first().save(folder.path()).unwrap();
        let environment = JoinData::load(folder.path()).unwrap().environment();
        assert!(
            environment.contains("SERVER_WORDS=\"--cluster-init\""),
            "{environment}"
        );
        assert!(environment.contains("TOKEN_WORDS=\"\""), "{environment}");
    }

    #[test]
    fn join_data_that_is_missing_damaged_or_wrong_is_told_without_the_token() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(JoinData::load(folder.path()), Err(JoinError::None)));
        assert!(matches!(
            JoinData::default().save(folder.path()),
            Err(JoinError::None)
        ));
        let kept = folder.path().join("kubernetes/join.toml");
        fs::create_dir_all(kept.parent().unwrap()).unwrap();
        for text in ["token = s3cret", "tokens = \"s3cret\"", "\u{0}"] {
            fs::write(&kept, text).unwrap();
            let Err(error) = JoinData::load(folder.path()) else {
                panic!("{text}");
            };
            assert!(error.to_string().contains("run that again") && !error.to_string().contains("s3cret"));
        }
        for (text, why) in [("", "is empty"), (" \n", "is empty"), ("s3 cret", "has blanks")] {
            let path = token(folder.path(), text);
            let Err(error) = JoinData::default().with_token_of(&path) else {
                panic!("{text:?}");
            };
            assert!(
                error.to_string().contains(why) && !error.to_string().contains("cret"),
                "{error}"
            );
        }
        assert!(
            JoinData::default()
                .with_token_of(Path::new("/nonexistent"))
                .is_err()
        );
        for server in [
            "",
            "10.0.0.1",
            "http://a",
            "https://",
            "https://a b",
            "https://a\"",
            "https://$(x)",
        ] {
            assert!(JoinData::default().with_server(server).is_err(), "{server}");
        }
        for label in ["", "a", "=b", "a=b c", "a=b,c", "a b=c", "a=\"", "a=b/c"] {
            assert!(JoinData::default().with_label(label).is_err(), "{label}");
        }
    }
}
