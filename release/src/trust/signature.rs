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

/// Signatures of one manifest, at most one of each key. Those of kinds that this program doesn't know are kept as they are:
/// a release may carry signatures for newer devices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signatures {
    known: Vec<Signature>,
    foreign: Vec<Foreign>,
}

/// A signature by a key that can't be used here: of another algorithm, or no key at all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Foreign {
    key: String,
    signature: String,
}

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
    /// The signature of a usable key has another length or alphabet.
    #[error("the signature file says {0:?} where an Ed25519 signature must be")]
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
        if self.known.iter().any(|there| there.key == signature.key) {
            return Err(SignatureError::Twice(signature.key));
        }
        self.known.push(signature);
        Ok(())
    }

    /// Those of keys that can be used, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &Signature> {
        self.known.iter()
    }

    /// How many there are of keys that can't.
    #[must_use]
    pub const fn foreign(&self) -> usize {
        self.foreign.len()
    }

    /// The file: JSON, a line break at the end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let known = self.known.iter().map(|one| JsonSignature {
            key: one.key.to_string(),
            signature: hex::encode(one.bytes),
        });
        let foreign = self.foreign.iter().cloned().map(|one| JsonSignature {
            key: one.key,
            signature: one.signature,
        });
        let json = Json {
            format: FORMAT,
            signatures: known.chain(foreign).collect(),
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
            let Ok(key) = key.parse() else {
                signatures.foreign.push(Foreign { key, signature });
                continue;
            };
            let mut bytes = [0; 64];
            hex::decode_to_slice(&signature, &mut bytes).map_err(|_| SignatureError::Value(signature))?;
            signatures.add(Signature { key, bytes })?;
        }
        Ok(signatures)
    }
}
