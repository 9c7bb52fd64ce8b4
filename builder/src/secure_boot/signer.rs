//! Who signs: a key with its certificate.

use std::sync::Arc;

use super::{Certificate, RsaKey, SecureBootError};

/// A private key and the certificate of the same pair.
#[derive(Debug)]
pub struct Signer {
    key: Arc<RsaKey>,
    certificate: Certificate,
}

impl Signer {
    /// Joins them.
    ///
    /// # Errors
    /// [`SecureBootError::Mismatch`] when they are of different pairs.
    pub fn new(key: impl Into<Arc<RsaKey>>, certificate: Certificate) -> Result<Self, SecureBootError> {
        let key = key.into();
        if key.public().subject_public_key.raw_bytes() != certificate.public_key() {
            return Err(SecureBootError::Mismatch {
                subject: certificate.subject(),
                fingerprint: certificate.fingerprint().to_string(),
            });
        }
        Ok(Self { key, certificate })
    }

    /// Whose signatures these are.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    pub(super) fn key(&self) -> &RsaKey {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure_boot::key_set::testing::{certificate, signer};

    #[test]
    fn a_key_of_another_pair_is_refused_and_the_certificate_named() {
        let (other, _) = RsaKey::generate().unwrap();
        let error = Signer::new(other, certificate()).unwrap_err();
        assert!(error.to_string().contains("CN=Test db"), "{error}");
        assert_eq!(signer().certificate(), &certificate());
    }
}
