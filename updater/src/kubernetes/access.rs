//! Where the API is, and who asks: a kubeconfig file.
//!
//! Source: Kubernetes, "kubeconfig (v1)", the type `Config`. What asks other programs for credentials (`exec`, `auth-provider`) isn't
//! understood: a device's own administrator has a certificate or a token.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use yaml_rust2::{Yaml, YamlLoader};

/// Longer files are no kubeconfig. 1 MiB.
const MAX_BYTES: u64 = 1 << 20;

/// How the API is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Access {
    /// `https://HOST:PORT`, without a slash at the end.
    pub server: String,
    /// Who the server is.
    pub trust: ServerTrust,
    /// Who asks.
    pub credentials: Credentials,
}

/// Which servers are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerTrust {
    /// Those with a certificate of the image's authorities.
    System,
    /// Those with a certificate of these authorities, as PEM.
    Authorities(Vec<u8>),
    /// Any: the file says so.
    Any,
}

/// Who asks. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A bearer token.
    Token(String),
    /// A certificate and its key, as PEM.
    Certificate {
        /// The certificate, and those above it.
        chain: Vec<u8>,
        /// Its key.
        key: Vec<u8>,
    },
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("server", &self.server)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

/// A file that tells no way to the API.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// It, or a file that it names, can't be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no YAML. The parser's words could quote the file, secrets and all: only the place is told.
    #[error("{} isn't YAML, at line {line}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Where reading ended.
        line: usize,
    },
    /// Something is missing or of another kind.
    #[error("{}: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl Access {
    /// Reads the kubeconfig file `path`.
    ///
    /// # Errors
    /// See [`AccessError`].
    pub fn read(path: &Path) -> Result<Self, AccessError> {
        let text = String::from_utf8_lossy(&bytes(path)?).into_owned();
        let documents = YamlLoader::load_from_str(&text).map_err(|error| AccessError::Yaml {
            path: path.to_owned(),
            line: error.marker().line(),
        })?;
        let reader = Reader { path };
        let config = documents.first().ok_or_else(|| reader.wrong("it is empty"))?;
        let name = reader.text(config, "current-context")?;
        let context = reader.named(config, "contexts", "context", name)?;
        let cluster = reader.named(config, "clusters", "cluster", reader.text(context, "cluster")?)?;
        let user = reader.named(config, "users", "user", reader.text(context, "user")?)?;
        let server = reader.text(cluster, "server")?.trim_end_matches('/');
        if !["https://", "http://"]
            .iter()
            .any(|scheme| server.starts_with(scheme))
        {
            return Err(reader.wrong(&format!("the server {server:?} is no web address")));
        }
        let trust = match reader.data(cluster, "certificate-authority")? {
            _ if cluster["insecure-skip-tls-verify"].as_bool() == Some(true) => ServerTrust::Any,
            Some(authorities) => ServerTrust::Authorities(authorities),
            None => ServerTrust::System,
        };
        Ok(Self {
            server: server.to_owned(),
            trust,
            credentials: reader.credentials(user)?,
        })
    }
}

struct Reader<'a> {
    path: &'a Path,
}

impl Reader<'_> {
    fn wrong(&self, what: &str) -> AccessError {
        AccessError::Content {
            path: self.path.to_owned(),
            what: what.to_owned(),
        }
    }

    fn text<'y>(&self, node: &'y Yaml, key: &str) -> Result<&'y str, AccessError> {
        node[key]
            .as_str()
            .ok_or_else(|| self.wrong(&format!("{key} is missing")))
    }

    /// The `inner` of the entry of `list` with this name.
    fn named<'y>(
        &self,
        config: &'y Yaml,
        list: &str,
        inner: &str,
        name: &str,
    ) -> Result<&'y Yaml, AccessError> {
        let entries = config[list].as_vec().map(Vec::as_slice).unwrap_or_default();
        entries
            .iter()
            .find(|entry| entry["name"].as_str() == Some(name))
            .map(|entry| &entry[inner])
            .ok_or_else(|| self.wrong(&format!("{list} has no entry {name:?}")))
    }

    /// What `KEY-data` says in Base64, or the file that `KEY` names holds.
    fn data(&self, node: &Yaml, key: &str) -> Result<Option<Vec<u8>>, AccessError> {
        let with_data = format!("{key}-data");
        if let Some(text) = node[with_data.as_str()].as_str() {
            let packed: String = text.split_whitespace().collect();
            return match decode(&packed) {
                Some(data) => Ok(Some(data)),
                None => Err(self.wrong(&format!("{with_data} isn't Base64"))),
            };
        }
        match node[key].as_str() {
            Some(file) => bytes(&self.path.parent().unwrap_or(Path::new("/")).join(file)).map(Some),
            None => Ok(None),
        }
    }

    fn credentials(&self, user: &Yaml) -> Result<Credentials, AccessError> {
        if let Some(token) = user["token"].as_str() {
            return Ok(Credentials::Token(token.to_owned()));
        }
        if let Some(file) = user["tokenFile"].as_str() {
            let token = bytes(&self.path.parent().unwrap_or(Path::new("/")).join(file))?;
            return Ok(Credentials::Token(
                String::from_utf8_lossy(&token).trim().to_owned(),
            ));
        }
        match (
            self.data(user, "client-certificate")?,
            self.data(user, "client-key")?,
        ) {
            (Some(chain), Some(key)) => Ok(Credentials::Certificate { chain, key }),
            _ => Err(self.wrong("the user has neither a token nor a certificate with its key")),
        }
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, AccessError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::Error::other(format!("it has more than {MAX_BYTES} bytes")));
        }
        Ok(bytes)
    };
    read().map_err(|source| AccessError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Base64 with its standard alphabet and padding. Source: RFC 4648, section 4.
fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "apiVersion: v1\nkind: Config\ncurrent-context: local\n\
        contexts: [{name: local, context: {cluster: here, user: admin}}]\n\
        clusters:\n- name: here\n  cluster:\n    server: https://127.0.0.1:6443/\n    certificate-authority-data: Y2E=\n\
        users:\n- name: other\n  user: {}\n- name: admin\n  user:\n    token: s3cret\n";

    fn read(text: &str) -> Result<Access, AccessError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(folder.path().join("crt"), "chain").unwrap();
        fs::write(folder.path().join("key"), "a key").unwrap();
        fs::write(folder.path().join("tok"), "from a file\n").unwrap();
        fs::write(&path, text).unwrap();
        Access::read(&path)
    }

    #[test]
    fn server_authority_and_user_of_the_current_context_are_read() {
        let access = read(GOOD).unwrap();
        assert_eq!(access.server, "https://127.0.0.1:6443");
        assert_eq!(access.trust, ServerTrust::Authorities(b"ca".to_vec()));
        assert!(access.credentials == Credentials::Token("s3cret".to_owned()));
        assert!(!format!("{access:?}").contains("s3cret"));
        for (user, expected) in [
            (
                "client-certificate-data: Y2hhaW4=\n    client-key-data: a2V5",
                Credentials::Certificate {
                    chain: b"chain".to_vec(),
                    key: b"key".to_vec(),
                },
            ),
            (
                "client-certificate: crt\n    client-key: key",
                Credentials::Certificate {
                    chain: b"chain".to_vec(),
                    key: b"a key".to_vec(),
                },
            ),
            ("tokenFile: tok", Credentials::Token("from a file".to_owned())),
        ] {
            let access = read(&GOOD.replace("token: s3cret", user)).unwrap();
            assert!(access.credentials == expected, "{user}");
        }
        let any = "insecure-skip-tls-verify: true";
        let access = read(&GOOD.replace("certificate-authority-data: Y2E=", any)).unwrap();
        assert_eq!(access.trust, ServerTrust::Any);
        let access = read(&GOOD.replace("    certificate-authority-data: Y2E=\n", "")).unwrap();
        assert_eq!(access.trust, ServerTrust::System);
    }

    #[test]
    fn what_is_wrong_is_told_without_the_secrets() {
        for (from, to, why) in [
            ("current-context: local\n", "", "current-context is missing"),
            (
                "current-context: local",
                "current-context: far",
                "contexts has no entry \"far\"",
            ),
            (
                "cluster: here,",
                "cluster: there,",
                "clusters has no entry \"there\"",
            ),
            ("user: admin}", "user: nobody}", "users has no entry \"nobody\""),
            ("https://", "ftp://", "is no web address"),
            ("Y2E=", "Y2E", "certificate-authority-data isn't Base64"),
            (
                "token: s3cret",
                "client-key-data: a2V5",
                "neither a token nor a certificate",
            ),
            ("token: s3cret", "tokenFile: absent", "absent"),
            ("token: s3cret", "token: {s3cret: [", "isn't YAML, at line"),
        ] {
            let changed = GOOD.replace(from, to);
            assert_ne!(changed, GOOD, "{from}");
            let error = read(&changed).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert!(read("").unwrap_err().to_string().contains("empty"));
        let missing = Access::read(Path::new("/nonexistent/config")).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/config"), "{missing}");
        let long = "x".repeat(usize::try_from(MAX_BYTES).unwrap() + 1);
        assert!(matches!(read(&long), Err(AccessError::Read { .. })));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = read(&text);
        }
    }
}
