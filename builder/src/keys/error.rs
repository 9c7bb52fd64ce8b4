//! Why a key can't be made, read or used.

use std::{io, path::PathBuf};

use miette::Diagnostic;
use outcrop_release::trust::{KeyError, PublicKey, TrustError};

use crate::failure::FailureClass;

/// Why a key can't be made, read or used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum KeysError {
    /// A file has the name already.
    #[error("{} exists already", .0.display())]
    #[diagnostic(help("a private key is never overwritten: choose another --name, or move the file away"))]
    Exists(PathBuf),
    /// A file can't be read or written.
    #[error("{doing} {}", path.display())]
    #[diagnostic(help("check that the folder exists and that you may use it"))]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system gives no random bytes.
    #[error("ask the system for random bytes")]
    #[diagnostic(help("is this process confined (seccomp), or /dev missing?"))]
    Random(#[source] getrandom::Error),
    /// Text that is no private key.
    #[error("{from} holds no Ed25519 private key")]
    #[diagnostic(help("a private key is a PKCS #8 file in PEM form: `outcrop keys generate` makes one"))]
    NotPrivate {
        /// Where it came from.
        from: String,
        /// Why.
        source: pkcs8::Error,
    },
    /// A private key that its passphrase doesn't open.
    #[error("the passphrase doesn't open {from}")]
    #[diagnostic(help("try again; without the passphrase the key is lost"))]
    Passphrase {
        /// Where it came from.
        from: String,
    },
    /// A passphrase is needed and nobody can be asked.
    #[error("{from} is encrypted, and there is no terminal to ask for its passphrase")]
    #[diagnostic(help("set OUTCROP_KEY_PASSPHRASE, or run the command on a terminal"))]
    NoPassphrase {
        /// Where it came from.
        from: String,
    },
    /// A new key without passphrase.
    #[error("a private key needs a passphrase, and there is no terminal to ask for one")]
    #[diagnostic(help("set OUTCROP_KEY_PASSPHRASE; --no-passphrase writes the key unencrypted"))]
    NoNewPassphrase,
    /// Two answers that differ, or an empty one.
    #[error("{0}")]
    #[diagnostic(help("nothing was written: try again"))]
    BadPassphrase(&'static str),
    /// Encrypting failed.
    #[error("encrypt the private key")]
    Encrypt(#[source] pkcs8::Error),
    /// A variable isn't set.
    #[error("the environment variable {0} isn't set, or isn't text")]
    #[diagnostic(help("it has to hold the private key's PEM text: OUTCROP_KEY=\"$(cat release.key)\""))]
    Variable(String),
    /// A command failed.
    #[error("the command {command:?} that prints a key failed: {status}")]
    #[diagnostic(help("what it printed on standard error is above"))]
    Command {
        /// The command.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// A command can't be started.
    #[error("start the command {command:?} that prints a key")]
    #[diagnostic(help("`sh` runs it"))]
    Start {
        /// The command.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// Text that is no public key.
    #[error("{} holds no public key", path.display())]
    #[diagnostic(help(
        "a public key is one line, `ed25519:` with 64 hexadecimal digits and a name: the file NAME.pub"
    ))]
    NotPublic {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Option<KeyError>,
    },
    /// A file that is no trust file.
    #[error("{} is no trust file", path.display())]
    #[diagnostic(help("`outcrop keys trust KEY.pub... --threshold N` prints one"))]
    NotTrust {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TrustError,
    },
    /// One key several times.
    #[error("{0} is named twice")]
    #[diagnostic(help("name each key once"))]
    Twice(PublicKey),
    /// The keys make no trust file.
    #[error("make a trust file of these keys")]
    #[diagnostic(help("name each key once; --threshold is how many of them must sign a release"))]
    Trust(#[source] TrustError),
}

impl KeysError {
    /// What kind of failure this is.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::File { source, .. } | Self::Start { source, .. } => FailureClass::of_io(source),
            Self::Random(_) | Self::NoPassphrase { .. } | Self::NoNewPassphrase | Self::Encrypt(_) => {
                FailureClass::Environment
            }
            Self::Exists(_)
            | Self::NotPrivate { .. }
            | Self::Passphrase { .. }
            | Self::BadPassphrase(_)
            | Self::Variable(_)
            | Self::Command { .. }
            | Self::NotPublic { .. }
            | Self::NotTrust { .. }
            | Self::Twice(_)
            | Self::Trust(_) => FailureClass::Input,
        }
    }
}
