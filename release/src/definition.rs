//! Small JSON files in which a release tells the updater how to deal with it. Nothing signs them: they lie under the root hash.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The format that this program writes and reads.
const FORMAT: u32 = 1;

/// Bytes that are no definition that can be used.
#[derive(Debug, thiserror::Error)]
pub enum BadDefinition {
    /// It isn't JSON, or a field is missing, unknown, or of another type.
    #[error("it isn't what the builder writes")]
    Json(#[from] serde_json::Error),
    /// Another Outcrop made it.
    #[error("it has format {0}, this program reads format {FORMAT}")]
    Format(u32),
    /// A field's value means nothing.
    #[error("its {field} is {value:?}")]
    Value {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
}

#[derive(Serialize, Deserialize)]
struct WithFormat<T> {
    format: u32,
    #[serde(flatten)]
    fields: T,
}

/// The JSON form: one field a line, a line break at the end.
pub(crate) fn write(fields: &impl Serialize) -> Vec<u8> {
    // Texts, numbers and structs of them: nothing here can fail to be JSON.
    let format = FORMAT;
    let mut bytes = serde_json::to_vec_pretty(&WithFormat { format, fields }).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Reads the JSON form; a newer format is called so whatever else it holds.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadDefinition> {
    let found: WithFormat<serde_json::Value> = serde_json::from_slice(bytes)?;
    if found.format != FORMAT {
        return Err(BadDefinition::Format(found.format));
    }
    Ok(serde_json::from_value(found.fields)?)
}
