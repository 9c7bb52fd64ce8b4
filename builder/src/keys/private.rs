//! Private keys.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, pkcs8::KeypairBytes};
use outcrop_release::trust::{PublicKey, Purpose, Signature, signed_message};
use pkcs8::{
    DecodePrivateKey as _, EncodePrivateKey as _, EncryptedPrivateKeyInfoRef, KeyError, LineEnding,
    PrivateKeyInfoRef, SecretDocument,
    der::pem::PemLabel as _,
    pkcs5::{EncryptionScheme, pbes2::Kdf},
};
use zeroize::Zeroizing;

use super::KeysError;

/// Most memory that opening a key may take: the default takes 16 MiB.
const MAX_SCRYPT_BYTES: u64 = 1 << 30;
/// Most rounds that opening a key may take: some seconds.
const MAX_ITERATIONS: u32 = 10_000_000;

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
        let opened = open_pem(pem, from, passphrase)?;
        SigningKey::from_pkcs8_der(opened.as_bytes())
            .map(Self)
            .map_err(|source| KeysError::NotPrivate {
                from: from.to_owned(),
                source,
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

/// The PKCS #8 document of a private key's PEM text, decrypted; `from` says where it is from, in errors. `passphrase` is asked for only if
/// it is encrypted.
pub(crate) fn open_pem(
    pem: &str,
    from: &str,
    passphrase: impl FnOnce() -> Result<Passphrase, KeysError>,
) -> Result<SecretDocument, KeysError> {
    let not_private = |source: pkcs8::Error| KeysError::NotPrivate {
        from: from.to_owned(),
        source,
    };
    let (label, document) = SecretDocument::from_pem(pem).map_err(|error| not_private(error.into()))?;
    if label == PrivateKeyInfoRef::PEM_LABEL {
        return Ok(document);
    }
    if label != EncryptedPrivateKeyInfoRef::PEM_LABEL {
        return Err(not_private(pkcs8::Error::KeyMalformed(KeyError::Invalid)));
    }
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(not_private)?;
    if !is_reasonable(&encrypted.encryption_algorithm) {
        return Err(not_private(pkcs8::Error::ParametersMalformed));
    }
    let passphrase = passphrase()?;
    let wrong = || KeysError::Passphrase {
        from: from.to_owned(),
    };
    let opened = encrypted.decrypt(passphrase.as_bytes()).map_err(|_| wrong())?;
    // A wrong passphrase can give bytes that are padded as they should be, and no key.
    if PrivateKeyInfoRef::try_from(opened.as_bytes()).is_err() {
        return Err(wrong());
    }
    Ok(opened)
}

/// A private key's PKCS #8 document as PEM text, encrypted with `passphrase`.
pub(crate) fn encrypted_pem(
    document: &SecretDocument,
    passphrase: &Passphrase,
) -> Result<Zeroizing<String>, KeysError> {
    let encrypted = PrivateKeyInfoRef::try_from(document.as_bytes())
        .and_then(|key| key.encrypt(passphrase.as_bytes()))
        .map_err(KeysError::Encrypt)?;
    let pem = encrypted.to_pem(EncryptedPrivateKeyInfoRef::PEM_LABEL, LineEnding::LF);
    pem.map_err(|error| KeysError::Encrypt(error.into()))
}

/// The public halves of `keys`, in their order.
///
/// # Errors
/// When a key is named twice.
pub fn public_halves(keys: &[PrivateKey]) -> Result<Vec<PublicKey>, KeysError> {
    let mut halves = Vec::with_capacity(keys.len());
    for key in keys {
        let half = key.public()?;
        if halves.contains(&half) {
            return Err(KeysError::Twice(half));
        }
        halves.push(half);
    }
    Ok(halves)
}

/// Whether deriving a key takes an effort that somebody may have meant: a file must not say how much memory is asked for.
fn is_reasonable(scheme: &EncryptionScheme) -> bool {
    match scheme.pbes2().map(|parameters| &parameters.kdf) {
        Some(Kdf::Scrypt(scrypt)) => {
            let (cost, block) = (scrypt.cost_parameter, u64::from(scrypt.block_size));
            let memory = cost
                .checked_mul(block)
                .and_then(|product| product.checked_mul(128));
            cost.is_power_of_two()
                && cost > 1
                && block > 0
                && (1..=16).contains(&scrypt.parallelization)
                && memory.is_some_and(|memory| memory <= MAX_SCRYPT_BYTES)
        }
        Some(Kdf::Pbkdf2(pbkdf2)) => pbkdf2.iteration_count <= MAX_ITERATIONS,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use outcrop_release::trust::{Signatures, Trust, verify};

    use super::*;

    #[test]
    fn a_key_that_is_named_twice_is_refused() {
        let keys = |seeds: &[u8]| -> Vec<PrivateKey> {
            seeds
                .iter()
                .map(|seed| PrivateKey::from_seed(&[*seed; 32]))
                .collect()
        };
        assert_eq!(public_halves(&keys(&[1, 2])).unwrap().len(), 2);
        assert!(matches!(
            public_halves(&keys(&[1, 2, 1])),
            Err(KeysError::Twice(_))
        ));
    }

    #[test]
    fn a_file_that_asks_for_absurd_efforts_is_refused_before_anybody_is_asked() {
        let sealed = PrivateKey::from_seed(&[1; 32])
            .to_pem(Some(&passphrase("x")))
            .unwrap();
        let (_, document) = SecretDocument::from_pem(&sealed).unwrap();
        let bytes = document.as_bytes().to_vec();
        // DER integers of scrypt's cost: as written, and 0, 1, 3, and more than any memory.
        let cost = bytes.windows(2).position(|pair| pair == [2, 2] || pair == [2, 3]);
        let at = cost.unwrap();
        let len = usize::from(bytes[at + 1]);
        for value in [0_u8, 1, 3, 0x7f] {
            let mut changed = bytes.clone();
            changed[at + 2..at + 2 + len].fill(0);
            changed[at + 2] = if value == 0x7f { 0x7f } else { 0 };
            changed[at + 1 + len] = value;
            let pem = SecretDocument::try_from(changed)
                .unwrap()
                .to_pem(EncryptedPrivateKeyInfoRef::PEM_LABEL, LineEnding::LF)
                .unwrap();
            let error = PrivateKey::parse(&pem, "x.key", nobody_asked).unwrap_err();
            assert_eq!(error.to_string(), "x.key holds no Ed25519 private key", "{value}");
        }
    }

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
