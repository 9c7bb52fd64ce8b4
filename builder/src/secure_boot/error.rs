//! Why something can't be signed for Secure Boot.

use std::{io, path::PathBuf};

use miette::Diagnostic;

use super::authenticode::Fault;
use crate::{failure::FailureClass, keys::KeysError};

/// Why something can't be signed for Secure Boot, or keys for it can't be made or read.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum SecureBootError {
    /// A private key can't be read, opened or made.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Keys(#[from] KeysError),
    /// The recipe wants signatures, and nobody can make them.
    #[error("the recipe has [secure-boot], and no key to sign with was given")]
    #[diagnostic(help(
        "--secure-boot-key names the private key of the recipe's `certificate`: a file, env:VARIABLE, or command:COMMAND"
    ))]
    NoKey,
    /// A key for a recipe that wants no signatures.
    #[error("a key for Secure Boot was given, and the recipe has no [secure-boot]")]
    #[diagnostic(help(
        "leave out --secure-boot-key, or write [secure-boot] with `certificate` into the recipe"
    ))]
    NotInRecipe,
    /// No RSA key, or one that firmware can't use.
    #[error("{from} is no key for Secure Boot: {why}")]
    #[diagnostic(help(
        "it is an RSA key of 2048 to 4096 bits (firmware commonly knows no other than 2048), PKCS #8 in PEM form: \
         `outcrop keys secure-boot` makes one"
    ))]
    Key {
        /// Where it came from.
        from: String,
        /// What is wrong with it.
        why: String,
    },
    /// Text that is no certificate.
    #[error("{from} holds no X.509 certificate")]
    #[diagnostic(help(
        "a certificate is a text that begins with -----BEGIN CERTIFICATE-----: `outcrop keys secure-boot` makes one"
    ))]
    NotCertificate {
        /// Where it came from.
        from: String,
        /// Why.
        source: der::Error,
    },
    /// A certificate of another kind of key.
    #[error("the certificate {from} is of no RSA key: firmware can't check with it")]
    #[diagnostic(help("`outcrop keys secure-boot` makes keys with their certificates"))]
    NotRsaCertificate {
        /// Where it came from.
        from: String,
    },
    /// Key and certificate are of different pairs.
    #[error("the private key isn't that of the certificate {subject} (SHA-256 {fingerprint})")]
    #[diagnostic(help("give the key that lies beside the certificate that the recipe names"))]
    Mismatch {
        /// Whose certificate.
        subject: String,
        /// Which.
        fingerprint: String,
    },
    /// A program can't be signed.
    #[error("sign {program} for Secure Boot")]
    #[diagnostic(help(
        "it must be an EFI program that nobody has signed, as systemd-boot-efi and efibootguard bring it"
    ))]
    Program {
        /// Which.
        program: String,
        /// Why.
        source: Fault,
    },
    /// A structure can't be encoded.
    #[error("encode {0}")]
    Encode(&'static str, #[source] der::Error),
    /// A certificate can't be made.
    #[error("make a certificate for {0}")]
    #[diagnostic(help("a name has letters, digits, `.`, `_` and `-`, as `--owner` takes them"))]
    Certificate(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// A moment that firmware's dates can't say.
    #[error("the clock is behind the year 9999")]
    #[diagnostic(help("set the clock, or SOURCE_DATE_EPOCH"))]
    Clock,
    /// Half of a pair.
    #[error("{} is there, and {} isn't", there.display(), missing.display())]
    #[diagnostic(help(
        "put the other file of the pair there too, or move this one away: then a new pair is made"
    ))]
    HalfPair {
        /// The file that exists.
        there: PathBuf,
        /// The one that doesn't.
        missing: PathBuf,
    },
    /// An enrolment file that firmware wouldn't take, or that would lock the image out.
    #[error("{} can't bring the owner's keys into a machine: {why}", path.display())]
    #[diagnostic(help("`outcrop keys secure-boot --output DIR` writes the files anew for the keys in DIR"))]
    Enrollment {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
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
}

impl SecureBootError {
    /// What the user can do about it.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Keys(error) => error.class(),
            Self::File { source, .. } => FailureClass::of_io(source),
            Self::Program { .. } => FailureClass::Package,
            Self::Encode(..) | Self::Certificate(..) => FailureClass::Other,
            Self::Clock => FailureClass::Environment,
            Self::NoKey
            | Self::NotInRecipe
            | Self::Key { .. }
            | Self::NotCertificate { .. }
            | Self::NotRsaCertificate { .. }
            | Self::Mismatch { .. }
            | Self::HalfPair { .. }
            | Self::Enrollment { .. } => FailureClass::Input,
        }
    }
}
