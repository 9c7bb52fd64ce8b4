//! What a check is, as a file of `/usr/lib/outcrop/health.d` says.

use std::time::Duration;

use serde::Deserialize;

use crate::kubernetes::Selection;

/// A check that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Name of its file, without the ending.
    pub name: String,
    /// Whether a release that doesn't pass it is given up.
    pub need: Need,
    /// What is looked at.
    pub kind: Kind,
    /// How long one look may take.
    pub timeout: Duration,
    /// The wait between looks.
    pub interval: Duration,
    /// How long it must have held without a break.
    pub hold: Duration,
}

/// How much a check matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// A release that doesn't pass it is given up.
    Required,
    /// It is only reported.
    Wanted,
}

/// What a check looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A systemd unit is active.
    Unit(String),
    /// A program ends with 0.
    Command(Vec<String>),
    /// A script of greenboot ends with 0; it is asked once.
    Script(String),
    /// A web server answers with this status.
    Http {
        /// Its address.
        url: String,
        /// The status.
        status: u16,
    },
    /// Somebody accepts connections at `HOST:PORT`.
    Tcp(String),
    /// A file system has this many bytes free.
    Space {
        /// A path in it.
        path: String,
        /// Bytes.
        free: u64,
    },
    /// The clock was set from the network.
    Clock,
    /// The server that updates come from answers at all.
    UpdateServer(String),
    /// The device's Kubernetes is as it should be.
    Kubernetes {
        /// What is asked.
        question: KubernetesQuestion,
        /// The kubeconfig file; none: the release's.
        kubeconfig: Option<String>,
    },
}

/// What is asked of Kubernetes; what is left out is the release's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KubernetesQuestion {
    /// Its API is ready.
    Api,
    /// The node is ready, and its kubelet the release's.
    Node(Option<String>),
    /// Pods are ready.
    Pods(Selection),
    /// DaemonSets are complete.
    DaemonSets(Selection),
}

/// A file that defines no check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// It is no TOML, or has keys that no check has.
    #[error("{0}")]
    Toml(String),
    /// A key is missing that its kind needs.
    #[error("a check of kind {kind} needs the key {key}")]
    Missing {
        /// The kind.
        kind: String,
        /// The key.
        key: &'static str,
    },
    /// A key that its kind doesn't have.
    #[error("a check of kind {kind} has no key {key}")]
    Surplus {
        /// The kind.
        kind: String,
        /// The key.
        key: &'static str,
    },
    /// A kind that doesn't exist.
    #[error(
        "unknown kind {0:?}: there are unit, command, http, tcp, space, clock, update-server, kubernetes-api, kubernetes-node, kubernetes-pods and kubernetes-daemonsets"
    )]
    Kind(String),
    /// A value that means nothing.
    #[error("{key} is {value:?}: {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    kind: String,
    need: Option<Need>,
    timeout: Option<String>,
    interval: Option<String>,
    hold: Option<String>,
    unit: Option<String>,
    command: Option<Vec<String>>,
    url: Option<String>,
    status: Option<u16>,
    address: Option<String>,
    path: Option<String>,
    free: Option<String>,
    kubeconfig: Option<String>,
    node: Option<String>,
    namespace: Option<String>,
    selector: Option<String>,
}

const TIMEOUT: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_secs(5);

impl Check {
    /// Reads the file of the check `name`.
    ///
    /// # Errors
    /// See [`DefinitionError`].
    pub fn parse(name: &str, text: &str) -> Result<Self, DefinitionError> {
        let mut file: File =
            toml::from_str(text).map_err(|error| DefinitionError::Toml(error.message().to_owned()))?;
        let kind = file.take_kind()?;
        file.check_nothing_left()?;
        let time =
            |key, value: Option<String>, default| value.map_or(Ok(default), |text| duration(key, &text));
        let positive = |key, value: Option<String>, default| match time(key, value, default)? {
            Duration::ZERO => Err(DefinitionError::Value {
                key,
                value: "0".to_owned(),
                expected: "more than nothing",
            }),
            duration => Ok(duration),
        };
        Ok(Self {
            name: name.to_owned(),
            need: file.need.unwrap_or(Need::Required),
            kind,
            timeout: positive("timeout", file.timeout, TIMEOUT)?,
            interval: positive("interval", file.interval, INTERVAL)?,
            hold: time("hold", file.hold, Duration::ZERO)?,
        })
    }

    /// The check of a greenboot script.
    #[must_use]
    pub fn script(name: &str, path: &str, need: Need) -> Self {
        Self {
            name: name.to_owned(),
            need,
            kind: Kind::Script(path.to_owned()),
            // greenboot has no limit; the deadline ends it.
            timeout: Duration::MAX,
            interval: INTERVAL,
            hold: Duration::ZERO,
        }
    }
}

impl File {
    /// What is looked at; the keys that say so are taken out.
    fn take_kind(&mut self) -> Result<Kind, DefinitionError> {
        let kind = self.kind.clone();
        let missing = |key| {
            let kind = kind.clone();
            move || DefinitionError::Missing { kind, key }
        };
        Ok(match self.kind.clone().as_str() {
            "unit" => Kind::Unit(self.unit.take().ok_or_else(missing("unit"))?),
            "command" => {
                let words = self.command.take().ok_or_else(missing("command"))?;
                if words.first().is_none_or(|program| !program.starts_with('/')) {
                    return Err(DefinitionError::Value {
                        key: "command",
                        value: words.join(" "),
                        expected: "it begins with a program's absolute path",
                    });
                }
                Kind::Command(words)
            }
            "http" => Kind::Http {
                url: self.url.take().ok_or_else(missing("url"))?,
                status: self.status.take().unwrap_or(200),
            },
            "tcp" => Kind::Tcp(self.address.take().ok_or_else(missing("address"))?),
            "space" => {
                let free = self.free.take().ok_or_else(missing("free"))?;
                Kind::Space {
                    path: self.path.take().ok_or_else(missing("path"))?,
                    free: size(&free)?,
                }
            }
            "clock" => Kind::Clock,
            "update-server" => Kind::UpdateServer(self.url.take().ok_or_else(missing("url"))?),
            other => match other
                .strip_prefix("kubernetes-")
                .and_then(|what| self.take_question(what))
            {
                Some(question) => Kind::Kubernetes {
                    question,
                    kubeconfig: self.kubeconfig.take(),
                },
                None => return Err(DefinitionError::Kind(other.to_owned())),
            },
        })
    }

    fn take_question(&mut self, what: &str) -> Option<KubernetesQuestion> {
        Some(match what {
            "api" => KubernetesQuestion::Api,
            "node" => KubernetesQuestion::Node(self.node.take()),
            "pods" => KubernetesQuestion::Pods(self.take_selection()),
            "daemonsets" => KubernetesQuestion::DaemonSets(self.take_selection()),
            _ => return None,
        })
    }

    fn take_selection(&mut self) -> Selection {
        Selection {
            namespace: self.namespace.take(),
            selector: self.selector.take(),
        }
    }

    fn check_nothing_left(&self) -> Result<(), DefinitionError> {
        let left = [
            ("unit", self.unit.is_some()),
            ("command", self.command.is_some()),
            ("url", self.url.is_some()),
            ("status", self.status.is_some()),
            ("address", self.address.is_some()),
            ("path", self.path.is_some()),
            ("free", self.free.is_some()),
            ("kubeconfig", self.kubeconfig.is_some()),
            ("node", self.node.is_some()),
            ("namespace", self.namespace.is_some()),
            ("selector", self.selector.is_some()),
        ];
        match left.into_iter().find(|(_, is_there)| *is_there) {
            None => Ok(()),
            Some((key, _)) => Err(DefinitionError::Surplus {
                kind: self.kind.clone(),
                key,
            }),
        }
    }
}

/// `30s`, `5min`, `1h`
fn duration(key: &'static str, text: &str) -> Result<Duration, DefinitionError> {
    let units = [("min", 60), ("h", 3600), ("s", 1)];
    let parsed = units.into_iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(seconds)
    });
    parsed
        .filter(|seconds| *seconds <= 7 * 24 * 3600)
        .map(Duration::from_secs)
        .ok_or_else(|| DefinitionError::Value {
            key,
            value: text.to_owned(),
            expected: "a whole number and `s`, `min` or `h`, at most a week",
        })
}

/// `100MiB`, `2GiB`
fn size(text: &str) -> Result<u64, DefinitionError> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let parsed = units.into_iter().find_map(|(unit, shift)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(1 << shift)
    });
    parsed.ok_or_else(|| DefinitionError::Value {
        key: "free",
        value: text.to_owned(),
        expected: "a whole number and `KiB`, `MiB` or `GiB`",
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kubernetes(question: KubernetesQuestion) -> Kind {
        Kind::Kubernetes {
            question,
            kubeconfig: None,
        }
    }

    #[test]
    fn each_kind_is_understood() {
        for (text, kind) in [
            (
                "kind = 'unit'\nunit = 'a.service'",
                Kind::Unit("a.service".to_owned()),
            ),
            (
                "kind = 'command'\ncommand = ['/bin/a', '-b']",
                Kind::Command(vec!["/bin/a".to_owned(), "-b".to_owned()]),
            ),
            (
                "kind = 'http'\nurl = 'http://localhost/'",
                Kind::Http {
                    url: "http://localhost/".to_owned(),
                    status: 200,
                },
            ),
            (
                "kind = 'tcp'\naddress = 'localhost:22'",
                Kind::Tcp("localhost:22".to_owned()),
            ),
            (
                "kind = 'space'\npath = '/var'\nfree = '10MiB'",
                Kind::Space {
                    path: "/var".to_owned(),
                    free: 10 << 20,
                },
            ),
            ("kind = 'clock'", Kind::Clock),
            (
                "kind = 'update-server'\nurl = 'http://u/'",
                Kind::UpdateServer("http://u/".to_owned()),
            ),
            (
                "kind = 'kubernetes-api'\nkubeconfig = '/etc/k'",
                Kind::Kubernetes {
                    question: KubernetesQuestion::Api,
                    kubeconfig: Some("/etc/k".to_owned()),
                },
            ),
            (
                "kind = 'kubernetes-node'\nnode = 'edge'",
                kubernetes(KubernetesQuestion::Node(Some("edge".to_owned()))),
            ),
            (
                "kind = 'kubernetes-pods'\nnamespace = 'shop'\nselector = 'app=till'",
                kubernetes(KubernetesQuestion::Pods(Selection {
                    namespace: Some("shop".to_owned()),
                    selector: Some("app=till".to_owned()),
                })),
            ),
            (
                "kind = 'kubernetes-daemonsets'",
                kubernetes(KubernetesQuestion::DaemonSets(Selection::default())),
            ),
        ] {
            assert_eq!(Check::parse("x", text).unwrap().kind, kind);
        }
    }

    #[test]
    fn times_and_need_have_defaults_and_can_be_set() {
        let check = Check::parse("x", "kind = 'clock'").unwrap();
        assert_eq!((check.need, check.timeout), (Need::Required, TIMEOUT));
        let text = "kind = 'clock'\nneed = 'wanted'\ntimeout = '2min'\ninterval = '1s'\nhold = '1h'";
        let check = Check::parse("x", text).unwrap();
        assert_eq!(check.need, Need::Wanted);
        assert_eq!(
            [check.timeout, check.interval, check.hold].map(|time| time.as_secs()),
            [120, 1, 3600]
        );
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        for (text, why) in [
            ("kind = 'unit'", "needs the key unit"),
            ("kind = 'clock'\nunit = 'a'", "has no key unit"),
            ("kind = 'moon'", "unknown kind"),
            ("kind = 'kubernetes-moon'", "unknown kind"),
            ("kind = 'kubernetes-api'\nnode = 'x'", "has no key node"),
            (
                "kind = 'kubernetes-node'\nnamespace = 'x'",
                "has no key namespace",
            ),
            ("kind = 'clock'\nlimit = 3", "unknown field"),
            ("kind = 'clock'\ntimeout = '3'", "timeout is"),
            ("kind = 'clock'\ninterval = '0s'", "more than nothing"),
            ("kind = 'clock'\ntimeout = '99999999999h'", "at most a week"),
            ("kind = 'command'\ncommand = ['sh']", "absolute path"),
            ("kind = 'command'\ncommand = []", "absolute path"),
            ("kind = 'space'\npath = '/'\nfree = '10'", "free is"),
            ("kind =", ""),
        ] {
            let error = Check::parse("x", text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = Check::parse("x", &text);
        }
    }
}
