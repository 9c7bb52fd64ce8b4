//! A TPM 2.0, as far as a small secret is sealed with one: commands and answers are bytes, whoever carries them.
//!
//! No session encrypts what goes over the bus. Source, also of the sections named in this folder: Trusted Computing Group, "Trusted Platform
//! Module Library", family 2.0, revision 1.38, parts 2 (structures) and 3 (commands).

mod answer;
mod character_device;
mod command;
#[cfg(test)]
pub(crate) mod fake;
mod response_code;
mod seal;
#[cfg(test)]
mod tests;
mod wire;

use std::io;

pub use answer::AnswerError;
pub use character_device::CharacterDevice;
pub use response_code::ResponseCode;
pub use seal::{SEED_BYTES, SealedSeed, TpmError, seal, unseal};

/// Longest command and answer, in bytes. Source: Linux, `drivers/char/tpm/tpm.h`, `TPM_BUFSIZE`.
pub const MAX_MESSAGE_BYTES: usize = 4096;

/// What a device may have.
pub trait Tpm {
    /// A way to it; none where there is no TPM 2.0. Whatever is loaded through it is put away when it is dropped.
    ///
    /// # Errors
    /// When there is one, and it can't be reached.
    fn open(&self) -> io::Result<Option<Box<dyn Transport>>>;
}

/// A way to a TPM.
pub trait Transport {
    /// Has a command executed; returns the answer. Both are whole messages, header and all.
    ///
    /// # Errors
    /// When it can't be sent, or nothing comes back.
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>>;
}

/// No TPM at all.
#[derive(Debug, Clone, Copy)]
pub struct NoTpm;

impl Tpm for NoTpm {
    fn open(&self) -> io::Result<Option<Box<dyn Transport>>> {
        Ok(None)
    }
}
