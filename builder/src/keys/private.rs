//! Private keys.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, pkcs8::KeypairBytes};
use outcrop_release::trust::{PublicKey, Purpose, Signature, signed_message};
use pkcs8::{
    DecodePrivateKey as _, EncodePrivateKey as _, EncryptedPrivateKeyInfoRef, LineEnding, SecretDocument,
    der::pem::PemLabel as _,
};
use zeroize::Zeroizing;

use super::KeysError;

/// What opens a private key. Wiped from memory when it is dropped.
pub type Passphrase = Zeroizing<String>;

/// An Ed25519 key that signs releases. Wiped from memory when it is dropped.
pub struct PrivateKey(SigningKey);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PrivateKey of {}",
            hex::encode(self.0.verifying_key().as_bytes())
        )
    }
}

impl PrivateKey {
    /// Makes a key of the system's random bytes.
    ///
    /// # Errors
    /// When there are none.
    pub fn generate() -> Result<Self, KeysError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(KeysError::Random)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The key whose seed (RFC 8032, section 5.1.5) is `seed`.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The key as PEM text: encrypted with `passphrase`, or in the clear without one.
    ///
    /// # Errors
    /// When there are no random bytes for the encryption.
    pub fn to_pem(&self, passphrase: Option<&Passphrase>) -> Result<Zeroizing<String>, KeysError> {
        // Without the public half, which OpenSSL 3.0 doesn't read: version 1 of RFC 5958 (RFC 8410, section 7).
        let key = KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        };
        let pem = match passphrase {
            None => key.to_pkcs8_pem(LineEnding::LF),
            Some(passphrase) => key.to_pkcs8_encrypted_pem(passphrase.as_bytes(), LineEnding::LF),
        };
        pem.map_err(KeysError::Encrypt)
    }

    /// Reads PEM text; `from` says where it is from, in errors. `passphrase` is asked for only if it is encrypted.
    ///
    /// # Errors
    /// When it is no key, or the passphrase doesn't open it.
    pub fn parse(
        pem: &str,
        from: &str,
        passphrase: impl FnOnce() -> Result<Passphrase, KeysError>,
    ) -> Result<Self, KeysError> {
        let not_private = |source: pkcs8::Error| KeysError::NotPrivate {
            from: from.to_owned(),
            source,
        };
        let (label, document) = SecretDocument::from_pem(pem).map_err(|error| not_private(error.into()))?;
        if label != EncryptedPrivateKeyInfoRef::PEM_LABEL {
            let key = SigningKey::from_pkcs8_pem(pem).map_err(not_private)?;
            return Ok(Self(key));
        }
        let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(not_private)?;
        let passphrase = passphrase()?;
        let opened = encrypted
            .decrypt(passphrase.as_bytes())
            .map_err(|_| KeysError::Passphrase {
                from: from.to_owned(),
            })?;
        // A wrong passphrase can give bytes that are padded as they should be, and no key.
        SigningKey::from_pkcs8_der(opened.as_bytes())
            .map(Self)
            .map_err(|_| KeysError::Passphrase {
                from: from.to_owned(),
            })
    }

    /// The public half, as devices know it.
    ///
    /// # Errors
    /// Never for a key of random bytes: one in 2^250 or so would be weak.
    pub fn public(&self) -> Result<PublicKey, KeysError> {
        PublicKey::from_bytes(self.0.verifying_key().as_bytes()).map_err(|source| KeysError::NotPublic {
            path: "the private key's public half".into(),
            source: Some(source),
        })
    }

    /// Signs the exact bytes of a manifest.
    ///
    /// # Errors
    /// As [`PrivateKey::public`].
    pub fn sign(&self, purpose: Purpose, manifest: &[u8]) -> Result<Signature, KeysError> {
        Ok(Signature {
            key: self.public()?,
            bytes: self.0.sign(&signed_message(purpose, manifest)).to_bytes(),
        })
    }
}

#[cfg(test)]
mod tests {
    use outcrop_release::trust::{Signatures, Trust, verify};

    use super::*;

    fn nobody_asked() -> Result<Passphrase, KeysError> {
        panic!("a key in the clear needs no passphrase")
    }

    fn passphrase(text: &str) -> Passphrase {
        Zeroizing::new(text.to_owned())
    }

    #[test]
    fn a_key_survives_its_file_with_and_without_a_passphrase() {
        let key = PrivateKey::generate().unwrap();
        let clear = key.to_pem(None).unwrap();
        assert!(clear.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{}", *clear);
        let again = PrivateKey::parse(&clear, "x", nobody_asked).unwrap();
        assert_eq!(again.public().unwrap(), key.public().unwrap());
        let sealed = key.to_pem(Some(&passphrase("open sesame"))).unwrap();
        assert!(
            sealed.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
            "{}",
            *sealed
        );
        let again = PrivateKey::parse(&sealed, "x", || Ok(passphrase("open sesame"))).unwrap();
        assert_eq!(again.public().unwrap(), key.public().unwrap());
        let error = PrivateKey::parse(&sealed, "x.key", || Ok(passphrase("sesame"))).unwrap_err();
        assert_eq!(error.to_string(), "the passphrase doesn't open x.key");
    }

    #[test]
    fn what_is_no_ed25519_key_is_refused_and_named() {
        let rsa = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n-----END PRIVATE KEY-----\n";
        for text in [
            "",
            "hello",
            rsa,
            "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        ] {
            let error = PrivateKey::parse(text, "x.key", nobody_asked).unwrap_err();
            assert_eq!(error.to_string(), "x.key holds no Ed25519 private key", "{text}");
        }
    }

    #[test]
    fn a_signature_is_one_that_devices_take() {
        let key = PrivateKey::from_seed(&[7; 32]);
        let manifest = b"{}";
        let mut signatures = Signatures::default();
        signatures
            .add(key.sign(Purpose::Release, manifest).unwrap())
            .unwrap();
        let trust = Trust::new(1, vec![("release".to_owned(), key.public().unwrap())]).unwrap();
        // It is trusted: what is refused is only that it says nothing.
        let error = verify(manifest, &signatures.to_bytes(), &trust).unwrap_err();
        assert!(
            matches!(error, outcrop_release::trust::Untrusted::Manifest(_)),
            "{error:?}"
        );
    }
}
