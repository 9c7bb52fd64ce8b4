//! Small signed documents: what is signed on the first line, who signed it behind it. One file, so that nobody ever sees a new half
//! with an old one.
//!
//! ```text
//! {"format":1,...}                     the document: its exact bytes, without the line break, are signed
//! {"format":1,"signatures":[...]}      as in a bundle's signatures.json
//! ```

use crate::trust::{SignatureError, Signatures};

/// A document and its signatures, none of them checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDocument<'a> {
    /// What is signed.
    pub document: &'a [u8],
    /// Who signed it: the bytes of a signature file.
    pub signatures: &'a [u8],
}

/// Bytes that are no signed document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no signed document: that has its signatures on the line behind the first")]
pub struct NotSigned;

impl<'a> SignedDocument<'a> {
    /// Takes a document apart. That says nothing about who made it.
    ///
    /// # Errors
    /// [`NotSigned`] when there is no second line.
    pub fn split(bytes: &'a [u8]) -> Result<Self, NotSigned> {
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(NotSigned)?;
        let (document, rest) = bytes.split_at(end);
        let signatures = rest.get(1..).filter(|rest| !rest.is_empty()).ok_or(NotSigned)?;
        Ok(Self { document, signatures })
    }

    /// The signatures, none of them checked.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn signatures(&self) -> Result<Signatures, SignatureError> {
        Signatures::parse(self.signatures)
    }
}

/// Puts a document and its signatures together.
#[must_use]
pub fn join(document: &[u8], signatures: &Signatures) -> Vec<u8> {
    [document, b"\n", &signatures.to_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_comes_apart_as_it_was_put_together() {
        let whole = join(b"{\"a\":1}", &Signatures::default());
        let found = SignedDocument::split(&whole).unwrap();
        assert_eq!(found.document, b"{\"a\":1}");
        assert_eq!(found.signatures().unwrap(), Signatures::default());
    }

    #[test]
    fn without_a_second_line_it_is_none() {
        for bytes in [&b""[..], b"{}", b"{}\n"] {
            assert_eq!(SignedDocument::split(bytes), Err(NotSigned));
        }
    }
}
