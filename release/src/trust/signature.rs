//! `signatures.json`: who signed the manifest.

use serde::{Deserialize, Serialize};

use super::key::PublicKey;

/// Longest `signatures.json`, in bytes: a device reads it into memory before it trusts anything.
pub const MAX_SIGNATURES_BYTES: usize = 64 * 1024;
const FORMAT: u32 = 1;

/// One key's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Whose.
    pub key: PublicKey,
    /// RFC 8032, section 5.1.6.
    pub bytes: [u8; 64],
}

/// Signatures of one manifest, at most one of each key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signatures(Vec<Signature>);

/// Bytes that are no `signatures.json`, or signatures that can't stand together.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// More than [`MAX_SIGNATURES_BYTES`].
    #[error("a signature file has at most {MAX_SIGNATURES_BYTES} bytes, here are {0}")]
    TooLong(usize),
    /// It isn't JSON, or a field is missing, unknown, or of another type.
    #[error("read the signatures")]
    Json(#[source] serde_json::Error),
    /// A newer Outcrop made it.
    #[error("the signature file has format {0}, this program reads format {FORMAT}")]
    Format(u32),
    /// A key or a signature is damaged.
    #[error("the signature file says {0:?} where a key or a signature must be")]
    Value(String),
    /// A key signed twice.
    #[error("{0} has signed twice")]
    Twice(PublicKey),
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    format: u32,
    signatures: Vec<JsonSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonSignature {
    key: String,
    signature: String,
}

impl Signatures {
    /// Adds a signature.
    ///
    /// # Errors
    /// [`SignatureError::Twice`] when the key has signed already.
    pub fn add(&mut self, signature: Signature) -> Result<(), SignatureError> {
        if self.0.iter().any(|there| there.key == signature.key) {
            return Err(SignatureError::Twice(signature.key));
        }
        self.0.push(signature);
        Ok(())
    }

    /// All of them, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &Signature> {
        self.0.iter()
    }

    /// The file: JSON, a line break at the end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let signature = |one: &Signature| JsonSignature {
            key: one.key.to_string(),
            signature: hex::encode(one.bytes),
        };
        let json = Json {
            format: FORMAT,
            signatures: self.0.iter().map(signature).collect(),
        };
        // Texts and numbers: nothing here can fail to be JSON.
        let mut bytes = serde_json::to_vec_pretty(&json).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads the file. That says nothing about whether a signature holds.
    ///
    /// # Errors
    /// See [`SignatureError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        if bytes.len() > MAX_SIGNATURES_BYTES {
            return Err(SignatureError::TooLong(bytes.len()));
        }
        let FormatOnly { format } = serde_json::from_slice(bytes).map_err(SignatureError::Json)?;
        if format != FORMAT {
            return Err(SignatureError::Format(format));
        }
        let json: Json = serde_json::from_slice(bytes).map_err(SignatureError::Json)?;
        let mut signatures = Self::default();
        for JsonSignature { key, signature } in json.signatures {
            let key = key.parse().map_err(|_| SignatureError::Value(key))?;
            let mut bytes = [0; 64];
            hex::decode_to_slice(&signature, &mut bytes).map_err(|_| SignatureError::Value(signature))?;
            signatures.add(Signature { key, bytes })?;
        }
        Ok(signatures)
    }
}
