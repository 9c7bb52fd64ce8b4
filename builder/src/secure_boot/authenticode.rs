//! Authenticode: a program's digest, and programs with a signature of it.
//!
//! Firmware digests the headers, then the sections in their order in the file, then what follows them, without the checksum, the
//! certificate table and the directory entry that names it. Sections of programs that are signed here lie without gaps, so that this is
//! simply the file from its start to the table. The table must be the file's end: what a slot has room for beside the program lies between
//! its last section and the table, and the signature covers it.

use std::io;

use miette::Diagnostic;
use outcrop_release::pe::{MAX_HEADER_BYTES, PeError, PeHeaders};

use super::{
    Certificate, SecureBootError, Signer, pkcs7,
    table::{self, ALIGNMENT, Fields},
};
use crate::{
    boot::{pe::put, uki::pe_checksum},
    read_at::ReadAt,
    sha256::Sha256,
};

/// Bytes that are digested at a time.
const CHUNK_BYTES: u64 = 1 << 20;

/// Why a program can't be signed, or its signature not be read.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Fault {
    /// It can't be read.
    #[error("read it")]
    Io(#[from] io::Error),
    /// It is no EFI program.
    #[error("it can't be read as an EFI program")]
    Pe(#[from] PeError),
    /// Its header can't name a signature.
    #[error("its header has no room for the place of a signature")]
    NoDirectory,
    /// Its header names a certificate table that can't be one.
    #[error("its certificate table is malformed, or isn't the end of the file")]
    BadTable,
    /// Somebody has signed it.
    #[error("it is signed already")]
    Signed,
    /// What firmware digests isn't clear.
    #[error("its sections don't follow each other without gaps")]
    Gaps,
    /// There is no room for the signature.
    #[error("it has no room for a signature: {needed} bytes are needed, {room} are there")]
    NoRoom {
        /// Bytes with the signature.
        needed: usize,
        /// Bytes there are.
        room: usize,
    },
    /// A signature that isn't one.
    #[error("its signature can't be used: {0}")]
    Signature(&'static str),
    /// A signature of another program.
    #[error("its signature is of other bytes")]
    Changed,
    /// The signature can't be made.
    #[error("make the signature")]
    Make(#[source] Box<SecureBootError>),
}

/// Headers and fields of a program, when what firmware digests of it is clear.
fn survey(program: &(impl ReadAt + ?Sized)) -> Result<(PeHeaders, Fields), Fault> {
    let head_len = program.len().min(MAX_HEADER_BYTES as u64);
    let head = program.read_vec(0, usize::try_from(head_len).unwrap_or(MAX_HEADER_BYTES))?;
    let headers = PeHeaders::parse(&head, program.len())?;
    let fields = Fields::find(&head, &headers)?;
    let mut places: Vec<(u64, u64)> = headers
        .sections
        .iter()
        .filter(|section| section.file_len > 0)
        .map(|section| (u64::from(section.file_offset), section.ends().1))
        .collect();
    places.sort_unstable();
    let mut end = u64::from(headers.header_bytes);
    for (start, after) in places {
        if start != end {
            return Err(Fault::Gaps);
        }
        end = after;
    }
    let in_headers =
        fields.entry + 8 <= headers.header_bytes as usize && u64::from(headers.header_bytes) <= program.len();
    if in_headers {
        Ok((headers, fields))
    } else {
        Err(Fault::NoDirectory)
    }
}

/// The digest that signatures of `program` are of: SHA-256 without checksum, certificate table and the entry that names it.
///
/// # Errors
/// When it is no program that is laid out so that the digest is clear.
pub fn digest(program: &(impl ReadAt + ?Sized)) -> Result<[u8; 32], Fault> {
    let (headers, fields) = survey(program)?;
    let end = fields
        .place(&headers, program.len())?
        .map_or(program.len(), |(offset, _)| offset);
    digest_to(program, fields, end)
}

fn digest_to(program: &(impl ReadAt + ?Sized), fields: Fields, end: u64) -> Result<[u8; 32], Fault> {
    let mut hash = Sha256::new();
    let (checksum, entry) = (fields.checksum as u64, fields.entry as u64);
    for (mut at, stop) in [(0, checksum), (checksum + 4, entry), (entry + 8, end)] {
        while at < stop {
            let len = CHUNK_BYTES.min(stop - at);
            hash.update(program.read_vec(at, usize::try_from(len).unwrap_or(0))?);
            at += len;
        }
    }
    Ok(hash.finish())
}

/// `program` with a signature at its end. With a `length`, it becomes so long: zeros lie between the program and the signature, which
/// covers them. The same program, length and key give the same bytes.
///
/// # Errors
/// When it is no program, is signed already, or has no room.
pub fn sign(mut program: Vec<u8>, length: Option<usize>, signer: &Signer) -> Result<Vec<u8>, Fault> {
    let (_, fields) = survey(program.as_slice())?;
    if fields.table.is_some() {
        return Err(Fault::Signed);
    }
    let make = |error| Fault::Make(Box::new(error));
    // Its length doesn't depend on what is signed.
    let table_len = table::with(&pkcs7::sign_program(&[0; 32], signer).map_err(make)?).len();
    let least = program.len().next_multiple_of(ALIGNMENT);
    let needed = least + table_len;
    let len = length.unwrap_or(needed);
    if len < needed || !len.is_multiple_of(ALIGNMENT) {
        return Err(Fault::NoRoom { needed, room: len });
    }
    let offset = len - table_len;
    program.resize(offset, 0);
    let digest = digest_to(program.as_slice(), fields, offset as u64)?;
    program.extend(table::with(&pkcs7::sign_program(&digest, signer).map_err(make)?));
    let word = |value: usize| u32::try_from(value).map(u32::to_le_bytes);
    let (Ok(offset), Ok(table_len)) = (word(offset), word(table_len)) else {
        return Err(Fault::NoRoom {
            needed,
            room: u32::MAX as usize,
        });
    };
    let entry = [offset, table_len].concat();
    let written = put(&mut program, fields.entry, &entry) && put(&mut program, fields.checksum, &[0; 4]);
    let sum = pe_checksum(&program).to_le_bytes();
    if written && put(&mut program, fields.checksum, &sum) {
        Ok(program)
    } else {
        Err(Fault::NoDirectory)
    }
}

/// Whose signature `program` has; none when it isn't signed. The signature is checked: it is of this program, and the certificate's owner
/// made it. Whether anybody trusts that certificate is the machine's to say.
///
/// # Errors
/// When the program or its signature is malformed, or the signature doesn't hold.
pub fn read_signature(program: &(impl ReadAt + ?Sized)) -> Result<Option<Certificate>, Fault> {
    let (headers, fields) = survey(program)?;
    let Some((offset, len)) = fields.place(&headers, program.len())? else {
        return Ok(None);
    };
    let table = program.read_vec(offset, usize::try_from(len).map_err(|_| Fault::BadTable)?)?;
    let signature = pkcs7::read_program(table::first(&table)?).map_err(Fault::Signature)?;
    if digest_to(program, fields, offset)? == signature.digest {
        Ok(Some(signature.signer))
    } else {
        Err(Fault::Changed)
    }
}

#[cfg(test)]
mod tests {
    use outcrop_release::arch::Architecture;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        boot::uki::fixture::{kernel, program},
        secure_boot::key_set::testing::{KEY_PEM, certificate, sbverify, signer},
    };

    const LENGTH: usize = 64 << 10;

    fn signed(architecture: Architecture) -> Vec<u8> {
        sign(kernel(architecture), Some(LENGTH), &signer()).unwrap()
    }

    #[test]
    fn sbverify_takes_a_program_that_was_signed_with_and_without_padding() {
        for architecture in Architecture::ALL {
            for length in [None, Some(LENGTH)] {
                let file = sign(kernel(architecture), length, &signer()).unwrap();
                assert!(length.is_none_or(|length| file.len() == length));
                sbverify(&file, signer().certificate()).unwrap();
                let read = read_signature(file.as_slice()).unwrap();
                assert_eq!(read.as_ref(), Some(signer().certificate()));
            }
        }
    }

    #[test]
    fn a_signature_of_sbsign_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("db.key"), KEY_PEM.as_bytes()).unwrap();
        std::fs::write(path("db.crt"), certificate().to_pem().unwrap()).unwrap();
        std::fs::write(path("program"), kernel(Architecture::X86_64)).unwrap();
        let mut sbsign = std::process::Command::new("sbsign");
        sbsign
            .arg("--key")
            .arg(path("db.key"))
            .arg("--cert")
            .arg(path("db.crt"));
        let output = sbsign
            .arg("--output")
            .arg(path("signed"))
            .arg(path("program"))
            .output();
        let output = output.expect("sbsign is needed: apt-get install sbsigntool");
        assert!(output.status.success(), "{output:?}");
        let file = std::fs::read(path("signed")).unwrap();
        assert_eq!(read_signature(file.as_slice()).unwrap(), Some(certificate()));
        let ours = sign(kernel(Architecture::X86_64), None, &signer()).unwrap();
        assert_eq!(digest(file.as_slice()).unwrap(), digest(ours.as_slice()).unwrap());
    }

    #[test]
    fn a_program_that_was_changed_anywhere_is_found_out_by_sbverify_and_by_us() {
        let file = signed(Architecture::X86_64);
        let last = file.len() - 3000; // in the padding
        for at in [0x44 + 0x30, 0x400, 0x1500, last] {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(sbverify(&changed, signer().certificate()).is_err(), "byte {at}");
            assert!(
                matches!(
                    read_signature(changed.as_slice()),
                    Err(Fault::Changed | Fault::Pe(_))
                ),
                "byte {at}"
            );
        }
    }

    #[test]
    fn sbverify_refuses_another_s_certificate() {
        let (key, _) = crate::secure_boot::RsaKey::generate().unwrap();
        let other =
            Certificate::self_signed(&key, "Foreign", crate::secure_boot::key_set::testing::NOW).unwrap();
        assert!(sbverify(&signed(Architecture::X86_64), &other).is_err());
    }

    #[test]
    fn the_same_program_and_key_give_the_same_bytes() {
        assert!(signed(Architecture::Aarch64) == signed(Architecture::Aarch64));
    }

    #[test]
    fn a_program_without_signature_has_no_signer() {
        assert_eq!(
            read_signature(kernel(Architecture::X86_64).as_slice()).unwrap(),
            None
        );
    }

    #[test]
    fn what_is_no_program_is_signed_already_or_too_long_is_refused() {
        let refuse = |program: Vec<u8>, length| sign(program, length, &signer()).unwrap_err();
        assert!(matches!(refuse(b"#!/bin/sh\n".to_vec(), None), Fault::Pe(_)));
        assert!(matches!(
            refuse(signed(Architecture::X86_64), None),
            Fault::Signed
        ));
        let error = refuse(kernel(Architecture::X86_64), Some(6656));
        assert!(matches!(error, Fault::NoRoom { room: 6656, .. }), "{error}");
    }

    #[test]
    fn a_header_that_names_no_signature_or_a_broken_one_is_refused() {
        let mut few = kernel(Architecture::X86_64);
        few[0x58 + 108] = 4;
        assert!(matches!(sign(few, None, &signer()), Err(Fault::NoDirectory)));
        let broken = |offset: u32, len: u32| {
            let mut file = signed(Architecture::X86_64);
            file[0x58 + 144..0x58 + 148].copy_from_slice(&offset.to_le_bytes());
            file[0x58 + 148..0x58 + 152].copy_from_slice(&len.to_le_bytes());
            read_signature(file.as_slice()).unwrap_err()
        };
        for (offset, len) in [
            (u32::MAX, u32::MAX),
            (8, 8),
            (0, 65_536),
            (65_528, 16),
            (65_536, 0),
            (65_528, 8),
        ] {
            assert!(matches!(broken(offset, len), Fault::BadTable), "{offset} {len}");
        }
    }

    #[test]
    fn padding_behind_the_signature_is_no_signed_program() {
        let mut longer = signed(Architecture::X86_64);
        longer.resize(LENGTH + 4096, 0);
        assert!(matches!(read_signature(longer.as_slice()), Err(Fault::BadTable)));
    }

    #[test]
    fn sections_with_gaps_are_refused() {
        let mut file = program(
            Architecture::X86_64,
            &[(".text", &[1; 700]), (".data", &[2; 700])],
            0x400,
        );
        file.extend([0; 0x200]);
        let second = 0x148 + 40 + 20;
        let offset = u32::from_le_bytes(file[second..second + 4].try_into().unwrap());
        file[second..second + 4].copy_from_slice(&(offset + 0x200).to_le_bytes());
        assert!(matches!(sign(file, None, &signer()), Err(Fault::Gaps)));
    }

    proptest! {
        #[test]
        fn damaged_and_shortened_programs_never_panic(
            changes in proptest::collection::vec((prop_oneof![0..0x400_usize, 62_000..LENGTH], any::<u8>()), 1..20),
            len in 0..LENGTH,
        ) {
            static FILE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| signed(Architecture::X86_64));
            let mut file = FILE.clone();
            for (offset, byte) in changes {
                file[offset] = byte;
            }
            let _ = read_signature(file.as_slice());
            file.truncate(len);
            let _ = read_signature(file.as_slice());
            let _ = digest(file.as_slice());
        }
    }
}
