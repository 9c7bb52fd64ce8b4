//! PKCS #7 as Authenticode and the firmware's variables use it: one signer, whose certificate comes along.
//!
//! Nothing in it tells the time, so the same content and key give the same bytes. Source: RFC 2315; Microsoft, "Windows Authenticode
//! Portable Executable Signature Format".

use der::{
    Any, AnyRef, Decode as _, Encode as _, Sequence, Tag, ValueOrd,
    asn1::{ObjectIdentifier, OctetString, SetOfVec},
};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use x509_cert::{attr::Attribute, name::Name, spki::AlgorithmIdentifierOwned};

use super::{Certificate, SecureBootError, Signer};

/// Object identifiers.
pub(super) mod oid {
    use super::ObjectIdentifier;

    pub(in super::super) const RSA_ENCRYPTION: ObjectIdentifier =
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
    pub(super) const SHA256_WITH_RSA: ObjectIdentifier =
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
    pub(super) const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
    pub(super) const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
    pub(super) const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
    pub(super) const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
    pub(super) const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
    /// `SPC_INDIRECT_DATA_OBJID`
    pub(super) const INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
    /// `SPC_PE_IMAGE_DATAOBJ`
    pub(super) const PE_IMAGE_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.15");
}

/// `SpcPeImageData`: no flags, and a file name that says nothing, as the field must be there.
const PE_IMAGE_DATA: [u8; 11] = [0x30, 0x09, 0x03, 0x01, 0x00, 0xa0, 0x04, 0xa2, 0x02, 0x80, 0x00];

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct ContentInfo {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    content: Option<Any>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct SignedData {
    version: u8,
    digest_algorithms: SetOfVec<AlgorithmIdentifierOwned>,
    content_info: ContentInfo,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    certificates: Option<SetOfVec<Any>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    revocations: Option<SetOfVec<Any>>,
    signer_infos: SetOfVec<SignerInfo>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence, ValueOrd)]
struct SignerInfo {
    version: u8,
    signer: IssuerAndSerial,
    digest_algorithm: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    attributes: Option<SetOfVec<Attribute>>,
    signature_algorithm: AlgorithmIdentifierOwned,
    signature: OctetString,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    unsigned_attributes: Option<SetOfVec<Attribute>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence, ValueOrd)]
struct IssuerAndSerial {
    issuer: Name,
    serial: Any, // an INTEGER of up to 20 bytes
}

/// `SpcIndirectDataContent`: the digest of a program.
#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct IndirectData {
    data: AlgorithmIdentifierOwned, // of the same shape: an identifier and what belongs to it
    digest: DigestInfo,
}

#[derive(Debug, Clone, PartialEq, Eq, Sequence)]
struct DigestInfo {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}

fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid,
        parameters: Some(Any::from(AnyRef::NULL)),
    }
}

/// RSA keys' algorithm.
pub(super) fn rsa_encryption() -> AlgorithmIdentifierOwned {
    algorithm(oid::RSA_ENCRYPTION)
}

/// The algorithm of certificates' signatures.
pub(super) fn sha256_with_rsa() -> AlgorithmIdentifierOwned {
    algorithm(oid::SHA256_WITH_RSA)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    *outcrop_release::digest::FileDigest::of(bytes).as_bytes()
}

fn encoded<T>(what: &'static str) -> impl FnOnce(der::Result<T>) -> Result<T, SecureBootError> {
    move |result| result.map_err(|error| SecureBootError::Encode(what, error))
}

/// Signs a program's digest: a `ContentInfo`, as it lies in a certificate table.
pub(super) fn sign_program(digest: &[u8; 32], signer: &Signer) -> Result<Vec<u8>, SecureBootError> {
    encoded("a program's signature")(program_content(digest).and_then(|content| {
        // What is digested is the content's value, without tag and length (RFC 2315, 9.3).
        let attributes = attributes(&sha256(content.value()))?;
        Ok((content, attributes))
    }))
    .and_then(|(content, attributes)| {
        let message = encoded("signed attributes")(attributes.to_der())?;
        let info = signer_info(signer, Some(attributes), signer.key().sign(&message)?);
        let content = ContentInfo {
            content_type: oid::INDIRECT_DATA,
            content: Some(content),
        };
        let der = info
            .and_then(|info| signed_data(content, signer.certificate(), info))
            .and_then(|signed| Any::encode_from(&signed))
            .and_then(|signed| {
                ContentInfo {
                    content_type: oid::SIGNED_DATA,
                    content: Some(signed),
                }
                .to_der()
            });
        encoded("a program's signature")(der)
    })
}

/// Signs `message`, which lies elsewhere: a bare `SignedData`, as firmware wants it for variables. Source: UEFI 2.10, 8.2.2.
pub(super) fn sign_detached(message: &[u8], signer: &Signer) -> Result<Vec<u8>, SecureBootError> {
    let signature = signer.key().sign(message)?;
    let content = ContentInfo {
        content_type: oid::DATA,
        content: None,
    };
    let der = signer_info(signer, None, signature)
        .and_then(|info| signed_data(content, signer.certificate(), info))
        .and_then(|signed| signed.to_der());
    encoded("a variable's signature")(der)
}

fn program_content(digest: &[u8; 32]) -> der::Result<Any> {
    Any::encode_from(&IndirectData {
        data: AlgorithmIdentifierOwned {
            oid: oid::PE_IMAGE_DATA,
            parameters: Some(Any::from_der(&PE_IMAGE_DATA)?),
        },
        digest: DigestInfo {
            algorithm: algorithm(oid::SHA256),
            digest: OctetString::new(digest.as_slice())?,
        },
    })
}

fn attributes(digest: &[u8; 32]) -> der::Result<SetOfVec<Attribute>> {
    let one = |oid, value: Any| -> der::Result<Attribute> {
        Ok(Attribute {
            oid,
            values: SetOfVec::try_from(vec![value])?,
        })
    };
    SetOfVec::try_from(vec![
        one(oid::CONTENT_TYPE, Any::encode_from(&oid::INDIRECT_DATA)?)?,
        one(
            oid::MESSAGE_DIGEST,
            Any::new(Tag::OctetString, digest.as_slice())?,
        )?,
    ])
}

fn signer_info(
    signer: &Signer,
    attributes: Option<SetOfVec<Attribute>>,
    signature: Vec<u8>,
) -> der::Result<SignerInfo> {
    let certificate = signer.certificate().parsed().tbs_certificate();
    Ok(SignerInfo {
        version: 1,
        signer: IssuerAndSerial {
            issuer: certificate.issuer().clone(),
            serial: Any::encode_from(certificate.serial_number())?,
        },
        digest_algorithm: algorithm(oid::SHA256),
        attributes,
        signature_algorithm: rsa_encryption(),
        signature: OctetString::new(signature)?,
        unsigned_attributes: None,
    })
}

fn signed_data(
    content_info: ContentInfo,
    certificate: &Certificate,
    info: SignerInfo,
) -> der::Result<SignedData> {
    Ok(SignedData {
        version: 1,
        digest_algorithms: SetOfVec::try_from(vec![algorithm(oid::SHA256)])?,
        content_info,
        certificates: Some(SetOfVec::try_from(vec![Any::from_der(certificate.der())?])?),
        revocations: None,
        signer_infos: SetOfVec::try_from(vec![info])?,
    })
}

/// What a program's signature says, and who made it. That the signature holds says nothing about whether the signer is trusted.
pub(super) struct ProgramSignature {
    /// The program's digest.
    pub(super) digest: [u8; 32],
    /// Whose signature it is.
    pub(super) signer: Certificate,
}

/// Reads a program's signature and checks it against the signer's certificate, which comes along.
///
/// # Errors
/// What isn't as it should be.
pub(super) fn read_program(der: &[u8]) -> Result<ProgramSignature, &'static str> {
    let malformed = |_| "it is no PKCS #7 document";
    let outer = ContentInfo::from_der(der).map_err(malformed)?;
    let signed = outer.content.filter(|_| outer.content_type == oid::SIGNED_DATA);
    let signed: SignedData = signed
        .ok_or("it is no signature")?
        .decode_as()
        .map_err(malformed)?;
    let content = signed
        .content_info
        .content
        .filter(|_| signed.content_info.content_type == oid::INDIRECT_DATA);
    let content = content.ok_or("it isn't of a program")?;
    let data: IndirectData = content.decode_as().map_err(malformed)?;
    let digest = <[u8; 32]>::try_from(data.digest.digest.as_bytes());
    let digest = digest.ok().filter(|_| data.digest.algorithm.oid == oid::SHA256);
    let digest = digest.ok_or("its digest isn't SHA-256")?;
    let [info] = signed.signer_infos.as_slice() else {
        return Err("it hasn't exactly one signer");
    };
    let certificates = signed.certificates.unwrap_or_default();
    let of_signer = certificates.iter().find_map(|any| {
        let certificate = any
            .to_der()
            .ok()
            .and_then(|der| Certificate::from_der(&der, "a signature").ok())?;
        let tbs = certificate.parsed().tbs_certificate();
        let serial = Any::encode_from(tbs.serial_number()).ok()?;
        let same = *tbs.issuer() == info.signer.issuer && serial == info.signer.serial;
        same.then_some(certificate)
    });
    let signer = of_signer.ok_or("the signer's certificate isn't in it")?;
    check(info, content.value(), &signer)?;
    Ok(ProgramSignature { digest, signer })
}

fn check(info: &SignerInfo, content: &[u8], signer: &Certificate) -> Result<(), &'static str> {
    let attributes = info.attributes.as_ref().ok_or("nothing in it is signed")?;
    let expected = self::attributes(&sha256(content)).map_err(|_| "it is no PKCS #7 document")?;
    for wanted in expected.iter() {
        if !attributes.iter().any(|attribute| attribute == wanted) {
            return Err("what is signed isn't the program's digest");
        }
    }
    let message = attributes.to_der().map_err(|_| "it is no PKCS #7 document")?;
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, signer.public_key());
    key.verify(&message, info.signature.as_bytes())
        .map_err(|_| "the signature isn't the signer's")
}
