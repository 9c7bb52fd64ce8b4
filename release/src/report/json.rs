//! A report's JSON form: one line, which is what is signed.

use std::{collections::BTreeMap, str::FromStr};

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::{Drift, Followed, Health, LastUpdate, MAX_REPORT_BYTES, Report, Standing};
use crate::{
    journal::Head,
    manifest::{ManifestError, json},
    name::ReleaseName,
    signed::{NotSigned, SignedDocument},
    trust::{PublicKey, Purpose, SignatureError, signed_message},
};

const FORMAT: u32 = 1;
/// Longest text of a report, in bytes.
const MAX_TEXT_BYTES: usize = 1000;
/// Most labels.
const MAX_LABELS: usize = 100;

/// Bytes that are no report, or one that nobody vouches for.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// More than [`MAX_REPORT_BYTES`].
    #[error("a report has at most {MAX_REPORT_BYTES} bytes")]
    TooLong,
    /// It has no signature.
    #[error("it is no report")]
    NotSigned(#[from] NotSigned),
    /// It isn't JSON, or a field is missing, unknown, or of another type.
    #[error("read the report")]
    Json(#[source] serde_json::Error),
    /// A newer Outcrop made it.
    #[error("the report has format {0}, this program reads format {FORMAT}")]
    Format(u32),
    /// A field's text means nothing.
    #[error("the report's {0} means nothing")]
    Value(&'static str),
    /// The release that it names.
    #[error("the release that the report names")]
    Release(#[source] ManifestError),
    /// The signature file can't be read.
    #[error("read the report's signature")]
    Signature(#[from] SignatureError),
    /// The key that it names hasn't signed it.
    #[error("the report is forged: the key that it names hasn't signed it")]
    Forged,
}

/// A report that was signed with the key that it names. Nothing but [`verify_report`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReport(Report);

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Json {
    format: u32,
    key: String,
    sequence: u64,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    hostname: Option<String>,
    labels: BTreeMap<String, String>,
    name: String,
    version: Version,
    architecture: String,
    board: String,
    manifest: String,
    slot: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    channel: Option<Followed>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    last: Option<LastUpdate>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    agent: Option<Standing>,
    health: Health,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    drift: Option<JsonDrift>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    history: Option<JsonHead>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonDrift {
    differences: u32,
    fingerprint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonHead {
    number: u64,
    digest: String,
}

impl Report {
    /// The report as it is signed: JSON on one line, without a line break.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let ReleaseName {
            image,
            version,
            architecture,
            board,
        } = &self.running;
        let json = Json {
            format: FORMAT,
            key: self.key.to_string(),
            sequence: self.sequence,
            at: self.at,
            hostname: self.hostname.clone(),
            labels: self.labels.clone(),
            name: image.to_string(),
            version: version.clone(),
            architecture: architecture.to_string(),
            board: board.to_string(),
            manifest: self.manifest.to_string(),
            slot: self.slot.clone(),
            channel: self.channel.clone(),
            last: self.last.clone(),
            agent: self.agent.clone(),
            health: self.health,
            drift: self.drift.map(|drift| JsonDrift {
                differences: drift.differences,
                fingerprint: drift.fingerprint.to_string(),
            }),
            history: self.history.map(|head| JsonHead {
                number: head.number,
                digest: head.digest.to_string(),
            }),
        };
        // Texts and numbers: nothing here can fail to be JSON.
        serde_json::to_vec(&json).unwrap_or_default()
    }

    /// Reads a report. That says nothing about who made it.
    ///
    /// # Errors
    /// See [`ReportError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        if bytes.len() > MAX_REPORT_BYTES {
            return Err(ReportError::TooLong);
        }
        let FormatOnly { format } = serde_json::from_slice(bytes).map_err(ReportError::Json)?;
        if format != FORMAT {
            return Err(ReportError::Format(format));
        }
        let json: Json = serde_json::from_slice(bytes).map_err(ReportError::Json)?;
        check_texts(&json)?;
        let running = json::release(&json.name, json.version, &json.architecture, &json.board);
        let head = |head: JsonHead| -> Result<Head, ReportError> {
            Ok(Head {
                number: head.number,
                digest: value("history", &head.digest)?,
            })
        };
        let drift = |drift: JsonDrift| -> Result<Drift, ReportError> {
            Ok(Drift {
                differences: drift.differences,
                fingerprint: value("drift", &drift.fingerprint)?,
            })
        };
        Ok(Self {
            key: value("key", &json.key)?,
            sequence: json.sequence,
            at: json.at,
            hostname: json.hostname,
            labels: json.labels,
            running: running.map_err(ReportError::Release)?,
            manifest: value("manifest", &json.manifest)?,
            slot: json.slot,
            channel: json.channel,
            last: json.last,
            agent: json.agent,
            health: json.health,
            drift: json.drift.map(drift).transpose()?,
            history: json.history.map(head).transpose()?,
        })
    }
}

fn value<T: FromStr>(field: &'static str, text: &str) -> Result<T, ReportError> {
    text.parse().map_err(|_| ReportError::Value(field))
}

/// Texts are shown to people: none is endless, none moves a cursor.
fn check_texts(json: &Json) -> Result<(), ReportError> {
    let is_fine = |text: &str| text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control);
    let (last, agent) = (json.last.as_ref(), json.agent.as_ref());
    let texts = [
        ("hostname", json.hostname.as_deref()),
        ("slot", Some(json.slot.as_str())),
        (
            "channel",
            json.channel.as_ref().map(|channel| channel.name.as_str()),
        ),
        ("last version", last.map(|last| last.version.as_str())),
        ("last detail", last.and_then(|last| last.detail.as_deref())),
        ("agent version", agent.and_then(|agent| agent.version.as_deref())),
        ("agent detail", agent.and_then(|agent| agent.detail.as_deref())),
    ];
    if let Some((field, _)) = texts
        .iter()
        .find(|(_, text)| text.is_some_and(|text| !is_fine(text)))
    {
        return Err(ReportError::Value(field));
    }
    let labels = json
        .labels
        .iter()
        .all(|(key, value)| is_fine(key) && is_fine(value));
    match labels && json.labels.len() <= MAX_LABELS {
        true => Ok(()),
        false => Err(ReportError::Value("labels")),
    }
}

/// Checks that a report was signed with the key that it names.
///
/// # Errors
/// See [`ReportError`].
pub fn verify_report(bytes: &[u8]) -> Result<VerifiedReport, ReportError> {
    if bytes.len() > MAX_REPORT_BYTES {
        return Err(ReportError::TooLong);
    }
    let signed = SignedDocument::split(bytes)?;
    let report = Report::parse(signed.document)?;
    let signatures = signed.signatures()?;
    let message = signed_message(Purpose::Report, signed.document);
    let is_signed = |key: &PublicKey| {
        let mut of_key = signatures.iter().filter(|signature| signature.key == *key);
        of_key.any(|signature| key.has_signed(&message, &signature.bytes))
    };
    if is_signed(&report.key) {
        Ok(VerifiedReport(report))
    } else {
        Err(ReportError::Forged)
    }
}

impl VerifiedReport {
    /// What it says.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.0
    }

    /// The same, to keep.
    #[must_use]
    pub fn into_report(self) -> Report {
        self.0
    }
}
