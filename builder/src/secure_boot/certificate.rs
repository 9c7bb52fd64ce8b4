//! X.509 certificates: firmware takes their keys, and asks for nothing else in them, their dates included.

use std::{str::FromStr as _, time::Duration};

use der::{Decode as _, DecodePem as _, Encode as _, EncodePem as _, asn1::BitString, pem::LineEnding};
use outcrop_release::digest::FileDigest;
use x509_cert::{
    builder::{Builder as _, CertificateBuilder, profile::BuilderProfile},
    certificate::TbsCertificate,
    ext::{
        Extension, ToExtension as _,
        pkix::{BasicConstraints, SubjectKeyIdentifier},
    },
    name::Name,
    serial_number::SerialNumber,
    spki::SubjectPublicKeyInfoRef,
    time::Time,
};

use super::{RsaKey, SecureBootError, pkcs7};

/// How long new certificates say that they hold: firmware doesn't ask, tools do.
const YEARS: u64 = 20;
const YEAR: u64 = 365 * 24 * 3600 + 6 * 3600;

/// A certificate of an RSA key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
}

/// Whether a certificate's dates include a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// They do.
    Holds,
    /// They will.
    NotYet,
    /// They did.
    Expired,
}

impl Certificate {
    /// Reads PEM text; `from` says where it is from, in errors. What follows the first certificate isn't looked at.
    ///
    /// # Errors
    /// When it is none, or not of an RSA key.
    pub fn from_pem(text: &str, from: &str) -> Result<Self, SecureBootError> {
        const END: &str = "-----END CERTIFICATE-----";
        let start = text.find("-----BEGIN CERTIFICATE-----").unwrap_or(0);
        let one = text.get(start..).unwrap_or_default();
        let one = one
            .find(END)
            .and_then(|end| one.get(..end + END.len()))
            .unwrap_or(one);
        let parsed = x509_cert::Certificate::from_pem(one).and_then(|parsed| parsed.to_der());
        Self::from_der(&parsed.map_err(|source| not_certificate(from, source))?, from)
    }

    /// Reads DER.
    ///
    /// # Errors
    /// When it is none, or not of an RSA key.
    pub fn from_der(der: &[u8], from: &str) -> Result<Self, SecureBootError> {
        let parsed = x509_cert::Certificate::from_der(der).map_err(|source| not_certificate(from, source))?;
        let algorithm = &parsed.tbs_certificate().subject_public_key_info().algorithm;
        if algorithm.oid != pkcs7::oid::RSA_ENCRYPTION {
            return Err(SecureBootError::NotRsaCertificate {
                from: from.to_owned(),
            });
        }
        Ok(Self {
            der: der.to_vec(),
            parsed,
        })
    }

    /// A certificate that `key` gives itself, from the moment `now` (since 1970) on.
    ///
    /// # Errors
    /// When `name` can't be in one, or there are no random bytes for its serial number.
    pub fn self_signed(key: &RsaKey, name: &str, now: Duration) -> Result<Self, SecureBootError> {
        let subject = Name::from_str(&format!("CN={name}")).map_err(|error| failed(name, error))?;
        let time =
            |moment| Time::try_from(std::time::UNIX_EPOCH + moment).map_err(|error| failed(name, error));
        let validity =
            x509_cert::time::Validity::new(time(now)?, time(now + Duration::from_secs(YEARS * YEAR))?);
        let mut serial = [0; 16];
        getrandom::fill(&mut serial).map_err(crate::keys::KeysError::Random)?;
        serial[0] = serial[0] & 0x7f | 0x40; // positive, and of one length
        let serial = SerialNumber::new(&serial).map_err(|error| failed(name, error))?;
        let built = CertificateBuilder::new(Own(subject), serial, validity, key.public().clone()).and_then(
            |mut builder| {
                let message = builder.finalize(key)?;
                Ok((builder, message))
            },
        );
        let (builder, message) = built.map_err(|error| failed(name, error))?;
        let signature = BitString::from_bytes(&key.sign(&message)?).map_err(|error| failed(name, error))?;
        let parsed = builder
            .assemble(signature, key)
            .map_err(|error| failed(name, error))?;
        let der = parsed.to_der().map_err(|error| failed(name, error))?;
        Ok(Self { der, parsed })
    }

    /// The certificate as firmware stores it.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// As PEM text.
    ///
    /// # Errors
    /// Never: it was read or made here.
    pub fn to_pem(&self) -> Result<String, SecureBootError> {
        let pem = self.parsed.to_pem(LineEnding::LF);
        pem.map_err(|error| SecureBootError::Encode("a certificate", error))
    }

    /// Whose it is: `CN=...`.
    #[must_use]
    pub fn subject(&self) -> String {
        self.parsed.tbs_certificate().subject().to_string()
    }

    /// SHA-256 of the DER form: what people compare.
    #[must_use]
    pub fn fingerprint(&self) -> FileDigest {
        FileDigest::of(&self.der)
    }

    /// Whether its dates include the moment `now`, since 1970.
    #[must_use]
    pub fn validity(&self, now: Duration) -> Validity {
        let validity = self.parsed.tbs_certificate().validity();
        if now < validity.not_before.to_unix_duration() {
            Validity::NotYet
        } else if now > validity.not_after.to_unix_duration() {
            Validity::Expired
        } else {
            Validity::Holds
        }
    }

    /// The key: a PKCS #1 `RSAPublicKey`.
    pub(super) fn public_key(&self) -> &[u8] {
        let info = self.parsed.tbs_certificate().subject_public_key_info();
        info.subject_public_key.raw_bytes()
    }

    pub(super) const fn parsed(&self) -> &x509_cert::Certificate {
        &self.parsed
    }
}

fn failed(name: &str, source: impl std::error::Error + Send + Sync + 'static) -> SecureBootError {
    SecureBootError::Certificate(name.to_owned(), Box::new(source))
}

fn not_certificate(from: &str, source: der::Error) -> SecureBootError {
    SecureBootError::NotCertificate {
        from: from.to_owned(),
        source,
    }
}

/// What `openssl req -x509` makes, too: a certificate that vouches for itself and for others.
struct Own(Name);

impl BuilderProfile for Own {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.0.clone()
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        _issuer: SubjectPublicKeyInfoRef<'_>,
        certificate: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let constraints = BasicConstraints {
            ca: true,
            path_len_constraint: None,
        };
        let identifier = SubjectKeyIdentifier::try_from(key)?;
        let subject = certificate.subject();
        Ok(vec![
            constraints.to_extension(subject, &[])?,
            identifier.to_extension(subject, &[])?,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure_boot::key_set::testing::{KEY_PEM, NOW, certificate, openssl, openssl_reads};

    #[test]
    fn openssl_reads_a_new_certificate_and_its_signature() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.crt");
        std::fs::write(&path, certificate().to_pem().unwrap()).unwrap();
        let text = openssl_reads(&["x509", "-noout", "-text", "-in"], &path);
        for wanted in ["CN = Test db", "CA:TRUE", "sha256WithRSAEncryption", "2048 bit"] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        let checked = openssl_reads(
            &[
                "verify",
                "-check_ss_sig",
                "-no_check_time",
                "-CAfile",
                path.to_str().unwrap(),
            ],
            &path,
        );
        assert!(checked.contains("OK"), "{checked}");
    }

    #[test]
    fn openssl_s_certificate_is_read_with_text_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("x.key");
        std::fs::write(&key, KEY_PEM.as_bytes()).unwrap();
        let pem = openssl(&[
            "req",
            "-x509",
            "-key",
            key.to_str().unwrap(),
            "-subj",
            "/CN=Owner",
            "-days",
            "1",
        ]);
        let read = Certificate::from_pem(&format!("subject=CN = Owner\n{pem}more"), "x").unwrap();
        assert_eq!(read.subject(), "CN=Owner");
        let again = Certificate::from_pem(&read.to_pem().unwrap(), "x").unwrap();
        assert_eq!(again.fingerprint(), read.fingerprint());
    }

    #[test]
    fn what_is_no_certificate_and_what_is_of_an_elliptic_key_are_refused() {
        for text in [
            "",
            "hello",
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        ] {
            let error = Certificate::from_pem(text, "x.crt").unwrap_err();
            assert_eq!(error.to_string(), "x.crt holds no X.509 certificate");
        }
        let elliptic = openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "/dev/null",
            "-subj",
            "/CN=x",
        ]);
        let error = Certificate::from_pem(&elliptic, "x.crt").unwrap_err();
        assert!(
            matches!(error, SecureBootError::NotRsaCertificate { .. }),
            "{error}"
        );
    }

    #[test]
    fn dates_are_told() {
        let certificate = certificate();
        assert_eq!(certificate.validity(NOW), Validity::Holds);
        assert_eq!(
            certificate.validity(NOW - Duration::from_secs(1)),
            Validity::NotYet
        );
        assert_eq!(
            certificate.validity(NOW + Duration::from_secs(21 * YEAR)),
            Validity::Expired
        );
    }
}
