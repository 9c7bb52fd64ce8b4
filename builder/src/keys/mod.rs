//! Keys that make releases: private ones as PKCS #8 files (RFC 5958) that OpenSSL reads too, public ones as a line of text.
//!
//! A private key is encrypted with a passphrase unless its owner insists otherwise: PBES2 (RFC 8018) with scrypt and
//! AES-256-CBC. It is wiped from memory with the value that holds it.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

mod error;
mod private;
mod public;
mod source;
mod trust;

pub use error::KeysError;
pub use private::{Passphrase, PrivateKey, public_halves};
pub(crate) use private::{encrypted_pem, open_pem};
pub use public::{KeyName, NamedKey};
pub(crate) use source::passphrase_of;
pub use source::{AskPassphrase, KeySource, PASSPHRASE_VARIABLE, read};
pub use trust::read_trust;

/// No key and no trust file is longer, in bytes.
const MAX_TEXT_BYTES: u64 = 256 << 10;

/// Reads a text that nobody vouches for.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    // As much as is needed at once: a growing text would leave pieces of a key in memory.
    let file = File::open(path)?;
    let len = file.metadata()?.len().min(MAX_TEXT_BYTES);
    let mut text = String::with_capacity(usize::try_from(len).unwrap_or_default() + 1);
    file.take(MAX_TEXT_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_TEXT_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// Writes a file that nobody but its owner could read at any time.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeysError> {
    let write = || -> io::Result<()> {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let written = file
            .set_permissions(fs::Permissions::from_mode(0o600))
            .and_then(|()| file.write_all(bytes))
            .and_then(|()| file.sync_all());
        if written.is_err() {
            fs::remove_file(path)?;
        }
        written
    };
    write().map_err(|source| KeysError::File {
        doing: "write the private key",
        path: path.to_owned(),
        source,
    })
}
