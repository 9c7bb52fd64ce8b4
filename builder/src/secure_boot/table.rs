//! Where signatures lie in a program: the certificate table, which the optional header names and firmware expects at the end of the
//! file. Source: Microsoft, "PE Format", "The Attribute Certificate Table"; UEFI 2.10, 32.2.4.

use outcrop_release::pe::{PeHeaders, at};

use super::authenticode::Fault;

/// Entries begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;
/// Length of `WIN_CERTIFICATE`'s head.
const HEAD_BYTES: usize = 8;
/// `WIN_CERT_REVISION_2_0`
const REVISION: u16 = 0x0200;
/// `WIN_CERT_TYPE_PKCS_SIGNED_DATA`
const PKCS_SIGNED_DATA: u16 = 0x0002;
/// Data directories that a header must have to name a certificate table: it is the fifth.
const LEAST_DIRECTORIES: u32 = 5;
/// Longest table that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Fields of a program that its digest leaves out, and where its table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields {
    /// Where the checksum is.
    pub(super) checksum: usize,
    /// Where the directory entry of the table is: its offset in the file, and its length.
    pub(super) entry: usize,
    /// Where the table lies in the file; none when the program isn't signed.
    pub(super) table: Option<(u64, u64)>,
}

impl Fields {
    /// Finds them in `head`, the first bytes of a program with these headers.
    pub(super) fn find(head: &[u8], headers: &PeHeaders) -> Result<Self, Fault> {
        let optional = headers.pe + at::OPTIONAL;
        let word = |offset: usize| {
            let bytes = head.get(optional + offset..).and_then(|rest| rest.first_chunk());
            bytes
                .map(|bytes| u32::from_le_bytes(*bytes))
                .ok_or(Fault::NoDirectory)
        };
        if word(at::DIRECTORIES)? < LEAST_DIRECTORIES
            || optional + at::SIGNATURE_DIRECTORY + 8 > headers.table
        {
            return Err(Fault::NoDirectory);
        }
        let (offset, len) = (word(at::SIGNATURE_DIRECTORY)?, word(at::SIGNATURE_DIRECTORY + 4)?);
        Ok(Self {
            checksum: optional + at::CHECKSUM,
            entry: optional + at::SIGNATURE_DIRECTORY,
            table: (offset != 0 || len != 0).then_some((u64::from(offset), u64::from(len))),
        })
    }

    /// The table's place, if it is where firmware takes it: behind everything else, up to the end of the file.
    pub(super) fn place(&self, headers: &PeHeaders, file_len: u64) -> Result<Option<(u64, u64)>, Fault> {
        let Some((offset, len)) = self.table else {
            return Ok(None);
        };
        let behind = headers.sections.iter().all(|section| section.ends().1 <= offset);
        let good = behind
            && offset >= u64::from(headers.header_bytes)
            && offset.is_multiple_of(ALIGNMENT as u64)
            && len <= MAX_BYTES
            && offset.checked_add(len) == Some(file_len);
        if good {
            Ok(Some((offset, len)))
        } else {
            Err(Fault::BadTable)
        }
    }
}

/// A table with one signature.
pub(super) fn with(signature: &[u8]) -> Vec<u8> {
    let len = HEAD_BYTES + signature.len();
    let mut table = Vec::with_capacity(len.next_multiple_of(ALIGNMENT));
    // A signature has some kilobytes.
    table.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    table.extend(REVISION.to_le_bytes());
    table.extend(PKCS_SIGNED_DATA.to_le_bytes());
    table.extend(signature);
    table.resize(len.next_multiple_of(ALIGNMENT), 0);
    table
}

/// The first signature of a table.
pub(super) fn first(table: &[u8]) -> Result<&[u8], Fault> {
    let field = |at: usize| {
        table
            .get(at..at + 2)
            .and_then(|bytes| bytes.first_chunk().copied())
    };
    let len = table
        .first_chunk()
        .map(|bytes| u32::from_le_bytes(*bytes) as usize)
        .ok_or(Fault::BadTable)?;
    let kind = (field(4).map(u16::from_le_bytes), field(6).map(u16::from_le_bytes));
    if kind != (Some(REVISION), Some(PKCS_SIGNED_DATA)) {
        return Err(Fault::BadTable);
    }
    let signature = table.get(HEAD_BYTES..len).ok_or(Fault::BadTable)?;
    // Some count the padding in: what follows the document isn't part of it.
    let document = der_len(signature).filter(|len| *len <= signature.len());
    document
        .and_then(|len| signature.get(..len))
        .ok_or(Fault::BadTable)
}

/// Length of the DER document that `bytes` begin with. Source: X.690, 8.1.3.
fn der_len(bytes: &[u8]) -> Option<usize> {
    let [_, first, rest @ ..] = bytes else {
        return None;
    };
    let count = usize::from(*first & 0x7f);
    if first & 0x80 == 0 {
        return Some(2 + count);
    }
    let digits = rest
        .get(..count)
        .filter(|digits| (1..=3).contains(&digits.len()))?;
    let len = digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit));
    Some(2 + count + len)
}
