//! What the firmware's key variables hold, and changes of them that firmware takes.
//!
//! Source: UEFI 2.10, 32.4.1 "Signature Database" and 8.2.2 "Using the `EFI_VARIABLE_AUTHENTICATION_2` descriptor".

use std::time::Duration;

use der::DateTime;
use uuid::{Uuid, uuid};

use super::{Certificate, SecureBootError, Signer, pkcs7};

/// `EFI_GLOBAL_VARIABLE`
const GLOBAL: Uuid = uuid!("8be4df61-93ca-11d2-aa0d-00e098032b8c");
/// `EFI_IMAGE_SECURITY_DATABASE_GUID`
const DATABASE: Uuid = uuid!("d719b2cb-3d3a-4596-a3bc-dad00e67656f");
/// `EFI_CERT_X509_GUID`
const X509: Uuid = uuid!("a5c059a1-94e4-4aa7-87b5-ab155c2bf072");
/// `EFI_CERT_TYPE_PKCS7_GUID`
const PKCS7: Uuid = uuid!("4aafd29d-68df-49ee-8aa9-347d375665a7");
/// Who put a certificate there, as set-up menus show it: Outcrop.
const OWNER: Uuid = uuid!("6d8a7f3b-0f2e-4c5d-9a41-2b7c1e5f8d06");
/// Non-volatile, for boot services and at run time, changed by signed updates that carry their time.
const ATTRIBUTES: u32 = 0x1 | 0x2 | 0x4 | 0x20;
/// Length of a list's head.
const LIST_BYTES: usize = 28;
/// `EFI_TIME`, and the head of the signature behind it.
const TIME_BYTES: usize = 16;
const SIGNATURE_HEAD_BYTES: usize = 24;

/// A variable with keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// The platform key.
    Pk,
    /// Key exchange keys.
    Kek,
    /// Whose programs are started.
    Db,
}

impl Variable {
    /// The name that firmware knows, and files are called by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pk => "PK",
            Self::Kek => "KEK",
            Self::Db => "db",
        }
    }

    const fn vendor(self) -> Uuid {
        match self {
            Self::Pk | Self::Kek => GLOBAL,
            Self::Db => DATABASE,
        }
    }
}

/// When an update was signed: firmware refuses one that isn't newer than what it has. To the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(DateTime);

impl Moment {
    /// So long after 1970; none behind the year 9999.
    #[must_use]
    pub fn new(since_1970: Duration) -> Option<Self> {
        DateTime::from_unix_duration(Duration::from_secs(since_1970.as_secs()))
            .ok()
            .map(Self)
    }

    /// `EFI_TIME`; what firmware wants to be zero in it is.
    fn to_bytes(self) -> [u8; TIME_BYTES] {
        let (year, time) = (self.0.year().to_le_bytes(), self.0);
        let mut bytes = [0; TIME_BYTES];
        bytes[..2].copy_from_slice(&year);
        bytes[2..7].copy_from_slice(&[
            time.month(),
            time.day(),
            time.hour(),
            time.minutes(),
            time.seconds(),
        ]);
        bytes
    }
}

/// An `EFI_SIGNATURE_LIST` with one certificate: what a variable holds.
#[must_use]
pub fn signature_list(certificate: &Certificate) -> Vec<u8> {
    let entry = 16 + certificate.der().len();
    let mut list = Vec::with_capacity(LIST_BYTES + entry);
    list.extend(X509.to_bytes_le());
    // A certificate has some kilobytes.
    for number in [LIST_BYTES + entry, 0, entry] {
        list.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
    }
    list.extend(OWNER.to_bytes_le());
    list.extend(certificate.der());
    list
}

/// The update that makes `list` the content of `variable`, signed: what firmware is handed.
///
/// # Errors
/// When the signature can't be made.
pub(super) fn signed_update(
    variable: Variable,
    list: &[u8],
    moment: Moment,
    signer: &Signer,
) -> Result<Vec<u8>, SecureBootError> {
    let time = moment.to_bytes();
    let mut message: Vec<u8> = variable
        .name()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    message.extend(variable.vendor().to_bytes_le());
    message.extend(ATTRIBUTES.to_le_bytes());
    message.extend(time);
    message.extend(list);
    let signature = pkcs7::sign_detached(&message, signer)?;
    let mut update = time.to_vec();
    let len = SIGNATURE_HEAD_BYTES + signature.len();
    update.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    update.extend(0x0200_u16.to_le_bytes()); // WIN_CERT_REVISION_2_0
    update.extend(0x0ef1_u16.to_le_bytes()); // WIN_CERT_TYPE_EFI_GUID
    update.extend(PKCS7.to_bytes_le());
    update.extend(signature);
    update.extend(list);
    Ok(update)
}

/// The certificates that an update brings.
///
/// # Errors
/// What isn't as it should be.
pub fn certificates_of(update: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    const SHORT: &str = "it is cut short";
    let word = |bytes: &[u8], at: usize| {
        let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
        word.map(|bytes| u32::from_le_bytes(*bytes) as usize).ok_or(SHORT)
    };
    let kind = update
        .get(TIME_BYTES + 4..TIME_BYTES + SIGNATURE_HEAD_BYTES)
        .ok_or(SHORT)?;
    let right = kind.starts_with(&[0x00, 0x02, 0xf1, 0x0e]) && kind.ends_with(&PKCS7.to_bytes_le());
    if !right {
        return Err("it is no signed update of a variable");
    }
    let start = TIME_BYTES.checked_add(word(update, TIME_BYTES)?).ok_or(SHORT)?;
    let mut rest = update.get(start..).ok_or(SHORT)?;
    let mut certificates = Vec::new();
    while !rest.is_empty() {
        let (len, head, entry) = (word(rest, 16)?, word(rest, 20)?, word(rest, 24)?);
        let first = LIST_BYTES.checked_add(head).ok_or(SHORT)?;
        let entries = rest.get(first..len).filter(|_| entry > 16).ok_or(SHORT)?;
        if rest.starts_with(&X509.to_bytes_le()) {
            let all = entries.chunks_exact(entry).filter_map(|entry| entry.get(16..));
            certificates.extend(all.map(<[u8]>::to_vec));
        }
        rest = rest.get(len..).ok_or(SHORT)?;
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secure_boot::key_set::testing::{NOW, certificate, openssl_reads, signer};

    fn update() -> Vec<u8> {
        let moment = Moment::new(NOW).unwrap();
        signed_update(Variable::Db, &signature_list(&certificate()), moment, &signer()).unwrap()
    }

    #[test]
    fn every_field_is_where_firmware_reads_it() {
        let update = update();
        // 2026-01-02 03:04:05
        assert_eq!(
            update[..16],
            [0xea, 0x07, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        let len = u32::from_le_bytes(update[16..20].try_into().unwrap()) as usize;
        let signed_data = &update[40..16 + len];
        // edk2 looks for SHA-256's identifier at this place of a bare SignedData.
        assert_eq!(
            signed_data[13..22],
            [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01]
        );
        assert_eq!(update[16 + len..], signature_list(&certificate()));
    }

    #[test]
    fn openssl_takes_the_signature_of_an_update() {
        let (update, folder) = (update(), tempfile::tempdir().unwrap());
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let len = u32::from_le_bytes(update[16..20].try_into().unwrap()) as usize;
        let signed_data = &update[40..16 + len];
        // A SignedData alone is no document for openssl: put it into a ContentInfo.
        let mut document = vec![
            0x30, 0x82, 0, 0, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2, 0xa0, 0x82,
        ];
        document.extend(u16::try_from(signed_data.len()).unwrap().to_be_bytes());
        document.extend(signed_data);
        let inner = u16::try_from(document.len() - 4).unwrap().to_be_bytes();
        document[2..4].copy_from_slice(&inner);
        let mut message = b"d\0b\0".to_vec();
        message.extend(DATABASE.to_bytes_le());
        message.extend(ATTRIBUTES.to_le_bytes());
        message.extend(&update[..16]);
        message.extend(&update[16 + len..]);
        let (document, message) = (write("p7", &document), write("message", &message));
        let text = openssl_reads(
            &[
                "smime",
                "-verify",
                "-noverify",
                "-inform",
                "DER",
                "-binary",
                "-out",
                "/dev/null",
                "-content",
                message.to_str().unwrap(),
                "-in",
            ],
            &document,
        );
        assert!(text.contains("successful"), "{text}");
    }

    #[test]
    fn an_update_s_certificates_are_found() {
        assert_eq!(
            certificates_of(&update()).unwrap(),
            [certificate().der().to_vec()]
        );
        for wrong in [&b""[..], b"hello", &[0; 100]] {
            assert!(certificates_of(wrong).is_err());
        }
    }

    proptest! {
        #[test]
        fn damaged_updates_never_panic(
            changes in proptest::collection::vec((0..4000_usize, any::<u8>()), 1..20),
            len in 0..4000_usize,
        ) {
            static UPDATE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(update);
            let mut damaged = UPDATE.clone();
            for (at, byte) in changes {
                if let Some(place) = damaged.get_mut(at) {
                    *place = byte;
                }
            }
            damaged.truncate(len);
            let _ = certificates_of(&damaged);
        }
    }
}
