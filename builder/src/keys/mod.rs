//! Keys that make releases: private ones as PKCS #8 files (RFC 5958) that OpenSSL reads too, public ones as a line of text.
//!
//! A private key is encrypted with a passphrase unless its owner insists otherwise: PBES2 (RFC 8018) with scrypt and
//! AES-256-CBC. It is wiped from memory with the value that holds it.

mod error;
mod private;
mod public;
mod source;
mod trust;

pub use error::KeysError;
pub use private::{Passphrase, PrivateKey};
pub use public::{KeyName, NamedKey};
pub use source::{AskPassphrase, KeySource, PASSPHRASE_VARIABLE, read};
pub use trust::read_trust;
