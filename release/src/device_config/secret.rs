//! Secrets of a `device.toml`: where they stand, how they are blanked in place, and how a blanked one is recognised.

use std::{fmt, ops::Range};

use serde::{Serialize, Serializer};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{problem::Problem, read::table_of};

/// What stands in place of each byte of a blanked secret.
pub(super) const BLANK: u8 = b'*';

/// A text that no message, log or JSON shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Serialize for Secret {
    /// That there is one, and no more.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A step on the way to a value.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A table's member.
    Key(&'static str),
    /// Each of a list's items.
    Each,
}

use Step::{Each, Key};

/// Every secret that a file may have.
const SECRETS: [&[Step]; 3] = [
    &[Key("network"), Key("proxy")],
    &[
        Key("network"),
        Key("interface"),
        Each,
        Key("wifi"),
        Key("password"),
    ],
    &[Key("kubernetes"), Key("token")],
];

/// Which secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Id {
    /// Number of its way in [`SECRETS`].
    way: usize,
    /// Numbers of the items that were passed.
    items: Vec<usize>,
}

/// One secret in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: Id,
    /// Its bytes, without quotation marks.
    pub(super) bytes: Range<usize>,
}

impl Place {
    fn of<'a>(&self, text: &'a str) -> &'a [u8] {
        text.as_bytes().get(self.bytes.clone()).unwrap_or_default()
    }

    /// Whether nothing of it is left.
    fn is_blank(&self, text: &str) -> bool {
        let bytes = self.of(text);
        !bytes.is_empty() && bytes.iter().all(|byte| *byte == BLANK)
    }
}

/// All secrets of `table`, which was read from `text`; those that are written in a way that can't be blanked are reported.
pub(super) fn places(text: &str, table: &DeTable<'_>) -> (Vec<Place>, Vec<Problem>) {
    let mut found = (Vec::new(), Vec::new());
    for (way, steps) in SECRETS.iter().enumerate() {
        if let Some((Key(first), rest)) = steps.split_first()
            && let Some(value) = table.get(*first)
        {
            let id = Id {
                way,
                items: Vec::new(),
            };
            walk(text, value, rest, &id, &mut found);
        }
    }
    found
}

fn walk(
    text: &str,
    value: &Spanned<DeValue<'_>>,
    steps: &[Step],
    id: &Id,
    found: &mut (Vec<Place>, Vec<Problem>),
) {
    match (steps.split_first(), value.get_ref()) {
        (None, DeValue::String(secret)) => match inside(text, value.span(), secret) {
            Some(bytes) => found.0.push(Place {
                id: id.clone(),
                bytes,
            }),
            None => found.1.push(Problem::new(
                text,
                value.span(),
                "a secret is written as it is, on one line, without backslashes: between ' and ' they stand for themselves",
            )),
        },
        (Some((Key(key), rest)), DeValue::Table(table)) => {
            if let Some(value) = table.get(*key) {
                walk(text, value, rest, id, found);
            }
        }
        (Some((Each, rest)), DeValue::Array(items)) => {
            for (i, item) in items.iter().enumerate() {
                let mut id = id.clone();
                id.items.push(i);
                walk(text, item, rest, &id, found);
            }
        }
        // Not what is looked for: reading reports it.
        _ => {}
    }
}

/// The bytes between the quotation marks, when they are the value itself.
fn inside(text: &str, span: Range<usize>, value: &str) -> Option<Range<usize>> {
    let raw = text.get(span.clone())?;
    ["\"\"\"", "'''", "\"", "'"].iter().find_map(|mark| {
        let inner = raw.strip_prefix(mark)?.strip_suffix(mark)?;
        let start = span.start + mark.len();
        (inner == value).then_some(start..start + inner.len())
    })
}

/// `text` with its blanked secrets as `kept` has them. One that a power cut left half blanked is taken for what it was.
///
/// # Errors
/// Secrets that are blanked, and that `kept` hasn't got.
pub(super) fn fill(text: &str, kept: Option<&str>) -> Result<String, Vec<Problem>> {
    let places_of = |text| table_of(text).map(|table| places(text, table.get_ref()).0);
    let mine = places_of(text)?;
    // What was kept was read before; if it can't be any more, nothing is known.
    let theirs = kept.and_then(|kept| places_of(kept).ok()).unwrap_or_default();
    let mut filled = text.as_bytes().to_vec();
    let mut lost = Vec::new();
    for place in mine {
        let known = theirs.iter().find(|theirs| theirs.id == place.id);
        let known = known.map_or(&[][..], |known| known.of(kept.unwrap_or_default()));
        let bytes = place.of(text);
        let is_it = known.len() == bytes.len()
            && bytes
                .iter()
                .zip(known)
                .all(|(byte, known)| *byte == BLANK || byte == known);
        if is_it && let Some(room) = filled.get_mut(place.bytes.clone()) {
            room.copy_from_slice(known);
        } else if place.is_blank(text) {
            let message = "this secret was blanked, and this device doesn't know it: write it again";
            lost.push(Problem::new(text, place.bytes.clone(), message));
        }
    }
    if !lost.is_empty() {
        return Err(lost);
    }
    // Secrets are whole strings of both texts: what is put in place of one is text.
    Ok(String::from_utf8(filled).unwrap_or_else(|_| text.to_owned()))
}

/// The bytes of `text`'s secrets that aren't blanked.
pub(super) fn to_blank(text: &str) -> Vec<Range<usize>> {
    let Ok(table) = table_of(text) else {
        return Vec::new();
    };
    let (places, _) = places(text, table.get_ref());
    let bare = places
        .into_iter()
        .filter(|place| !place.bytes.is_empty() && !place.is_blank(text));
    bare.map(|place| place.bytes).collect()
}
