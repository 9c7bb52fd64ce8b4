//! RSA keys: made by the crate `rsa`, used by `ring`, whose operations with private keys take the same time whatever the key.

use std::fmt;

use der::{Decode as _, Encode as _, asn1::BitString};
use pkcs8::{EncodePrivateKey as _, LineEnding, SecretDocument};
use ring::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use rsa::PrivateKey as GeneratedKey;
use signature::Keypair;
use x509_cert::spki::{
    self, AlgorithmIdentifierOwned, Document, DynSignatureAlgorithmIdentifier, EncodePublicKey,
    SubjectPublicKeyInfoOwned,
};
use zeroize::Zeroizing;

use super::{SecureBootError, pkcs7};
use crate::keys::{AskPassphrase, KeySource, KeysError, Passphrase, encrypted_pem, open_pem};

/// Length of new keys, in bits: what all firmware knows. Source: UEFI 2.10, 32.5.3.3.
const NEW_BITS: usize = 2048;
/// Longest modulus that `ring` signs with, in bytes.
const MOST_BYTES: usize = 512;
/// Shortest modulus, in bytes.
const LEAST_BYTES: usize = 256;

/// An RSA key pair that signs.
pub struct RsaKey {
    pair: KeyPair,
    public: SubjectPublicKeyInfoOwned,
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaKey of {} bits", self.pair.public().modulus_len() * 8)
    }
}

impl RsaKey {
    /// Makes a key of 2048 bits; with its PKCS #8 document.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn generate() -> Result<(Self, SecretDocument), SecureBootError> {
        let failed = |why: String| SecureBootError::Key {
            from: "a new key".to_owned(),
            why,
        };
        let key =
            GeneratedKey::new(&mut getrandom::SysRng, NEW_BITS).map_err(|error| failed(error.to_string()))?;
        let document = key.to_pkcs8_der().map_err(|error| failed(error.to_string()))?;
        Ok((Self::from_pkcs8(document.as_bytes(), "a new key")?, document))
    }

    /// Reads a key. If it is encrypted, its passphrase is asked for.
    ///
    /// # Errors
    /// When it can't be read or opened, or is none that firmware could use.
    pub fn read(source: &KeySource, ask: AskPassphrase<'_>) -> Result<Self, SecureBootError> {
        let from = source.to_string();
        let text = source.text()?;
        Self::parse(&text, &from, || crate::keys::passphrase_of(&from, ask))
    }

    /// Reads PEM text; `from` says where it is from, in errors. `passphrase` is asked for only if it is encrypted.
    ///
    /// # Errors
    /// When it can't be opened, or is no key that firmware could use.
    pub fn parse(
        pem: &str,
        from: &str,
        passphrase: impl FnOnce() -> Result<Passphrase, KeysError>,
    ) -> Result<Self, SecureBootError> {
        let opened = open_pem(pem, from, passphrase).map_err(|error| match error {
            KeysError::NotPrivate { .. } => SecureBootError::Key {
                from: from.to_owned(),
                why: "it isn't PKCS #8 in PEM form".to_owned(),
            },
            other => other.into(),
        })?;
        Self::from_pkcs8(opened.as_bytes(), from)
    }

    fn from_pkcs8(document: &[u8], from: &str) -> Result<Self, SecureBootError> {
        let failed = |why: String| SecureBootError::Key {
            from: from.to_owned(),
            why,
        };
        let info = pkcs8::PrivateKeyInfoRef::try_from(document)
            .map_err(|_| failed("it is no private key".to_owned()))?;
        if info.algorithm.oid != pkcs7::oid::RSA_ENCRYPTION {
            return Err(failed("it is no RSA key".to_owned()));
        }
        let pair = KeyPair::from_pkcs8(document).map_err(|rejected| failed(format!("{rejected}")))?;
        let len = pair.public().modulus_len();
        if !(LEAST_BYTES..=MOST_BYTES).contains(&len) {
            return Err(failed(format!("it has {} bits", len * 8)));
        }
        let encode = |error| SecureBootError::Encode("a public key", error);
        let public = SubjectPublicKeyInfoOwned {
            algorithm: pkcs7::rsa_encryption(),
            subject_public_key: BitString::from_bytes(pair.public().as_ref()).map_err(encode)?,
        };
        Ok(Self { pair, public })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &SubjectPublicKeyInfoOwned {
        &self.public
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 over `message`: the same message gives the same signature.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SecureBootError> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        // The random bytes only blind the computation.
        let signed = self
            .pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.map_err(|_| SecureBootError::Keys(KeysError::Random(getrandom::Error::UNEXPECTED)))?;
        Ok(signature)
    }
}

/// A new key's document as PEM text: encrypted with `passphrase`, or in the clear without one.
pub(super) fn to_pem(
    document: &SecretDocument,
    passphrase: Option<&Passphrase>,
) -> Result<Zeroizing<String>, KeysError> {
    match passphrase {
        Some(passphrase) => encrypted_pem(document, passphrase),
        None => document
            .to_pem("PRIVATE KEY", LineEnding::LF)
            .map_err(|error| KeysError::Encrypt(error.into())),
    }
}

/// The public half as `x509-cert` asks for it.
#[derive(Debug, Clone)]
pub struct PublicHalf(SubjectPublicKeyInfoOwned);

impl EncodePublicKey for PublicHalf {
    fn to_public_key_der(&self) -> spki::Result<Document> {
        Document::from_der(&self.0.to_der()?).map_err(Into::into)
    }
}

impl Keypair for RsaKey {
    type VerifyingKey = PublicHalf;

    fn verifying_key(&self) -> PublicHalf {
        PublicHalf(self.public.clone())
    }
}

impl DynSignatureAlgorithmIdentifier for RsaKey {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(pkcs7::sha256_with_rsa())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure_boot::key_set::testing::{KEY_PEM, openssl};

    fn nobody() -> Result<Passphrase, KeysError> {
        panic!("a key in the clear needs no passphrase")
    }

    #[test]
    fn a_new_key_is_read_back_with_and_without_a_passphrase() {
        let (key, document) = RsaKey::generate().unwrap();
        let passphrase = Zeroizing::new("open sesame".to_owned());
        for pem in [
            to_pem(&document, None).unwrap(),
            to_pem(&document, Some(&passphrase)).unwrap(),
        ] {
            let again = RsaKey::parse(&pem, "x.key", || Ok(passphrase.clone())).unwrap();
            assert_eq!(again.public(), key.public());
        }
        let sealed = to_pem(&document, Some(&passphrase)).unwrap();
        let error = RsaKey::parse(&sealed, "x.key", || Ok(Zeroizing::new("wrong".to_owned()))).unwrap_err();
        assert_eq!(error.to_string(), "the passphrase doesn't open x.key");
    }

    #[test]
    fn an_encrypted_key_that_nobody_can_open_says_how() {
        let sealed = openssl(&[
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-aes-256-cbc",
            "-pass",
            "pass:secret",
        ]);
        let error = RsaKey::parse(&sealed, "x.key", || {
            Err(KeysError::NoPassphrase {
                from: "x.key".to_owned(),
            })
        })
        .unwrap_err();
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(help.contains("OUTCROP_KEY_PASSPHRASE"), "{help}");
        let opened = RsaKey::parse(&sealed, "x.key", || Ok(Zeroizing::new("secret".to_owned())));
        assert_eq!(opened.unwrap().pair.public().modulus_len(), 256);
    }

    #[test]
    fn an_elliptic_key_a_short_one_and_what_is_no_key_are_refused() {
        let elliptic = openssl(&[
            "genpkey",
            "-quiet",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ]);
        let short = openssl(&[
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:1024",
        ]);
        for (pem, why) in [
            (elliptic.as_str(), "it is no RSA key"),
            (&short, "TooSmall"),
            ("hello", "it isn't PKCS #8 in PEM form"),
            (
                "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
                "it is no private key",
            ),
        ] {
            let error = RsaKey::parse(pem, "x.key", nobody).unwrap_err();
            assert!(
                matches!(&error, SecureBootError::Key { .. }) && error.to_string().contains(why),
                "{error}"
            );
        }
    }

    #[test]
    fn one_message_has_one_signature() {
        let key = RsaKey::parse(&KEY_PEM, "x.key", nobody).unwrap();
        assert_eq!(key.sign(b"message").unwrap(), key.sign(b"message").unwrap());
        assert_ne!(key.sign(b"message").unwrap(), key.sign(b"other").unwrap());
    }
}
