//! OpenSSL's hash of a name (`X509_NAME_hash`), which names the links in a folder of authorities.
//!
//! It is the first four bytes, little-endian, of SHA-1 over the name in a canonical form: every string as UTF8String,
//! without white space at the ends, with runs of white space as one space, ASCII letters in lower case; the outer
//! SEQUENCE's header left out. Source: OpenSSL 3 documentation of `X509_NAME_hash_ex` and `openssl rehash`; checked
//! against `openssl x509 -subject_hash` on every authority of ca-certificates.

use sha1::{Digest as _, Sha1};

use super::der::{self, SEQUENCE, SET};

const UTF8_STRING: u8 = 0x0c;
const NUMERIC_STRING: u8 = 0x12;
const PRINTABLE_STRING: u8 = 0x13;
const T61_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const VISIBLE_STRING: u8 = 0x1a;
const UNIVERSAL_STRING: u8 = 0x1c;
const BMP_STRING: u8 = 0x1e;

/// The hash of the name whose relative distinguished names are `names`.
pub(super) fn of(names: &[u8]) -> Result<u32, &'static str> {
    let mut canonical = Vec::new();
    let mut rest = names;
    while !rest.is_empty() {
        let (name, after) = der::tagged(rest, SET)?;
        der::write(&mut canonical, SET, &canonical_set(name.content)?);
        rest = after;
    }
    let digest = Sha1::digest(&canonical);
    let mut first = [0; 4];
    first
        .iter_mut()
        .zip(digest.iter())
        .for_each(|(to, from)| *to = *from);
    Ok(u32::from_le_bytes(first))
}

/// The attributes of one set, each canonical, sorted as DER demands.
fn canonical_set(mut rest: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut attributes = Vec::new();
    while !rest.is_empty() {
        let (attribute, after) = der::tagged(rest, SEQUENCE)?;
        let (kind, value) = der::element(attribute.content)?;
        let (value, _) = der::element(value)?;
        let mut content = kind.bytes.to_vec();
        match text(value.tag, value.content)? {
            Some(text) => der::write(&mut content, UTF8_STRING, canonical_text(&text).as_bytes()),
            None => content.extend(value.bytes),
        }
        let mut bytes = Vec::new();
        der::write(&mut bytes, SEQUENCE, &content);
        attributes.push(bytes);
        rest = after;
    }
    attributes.sort();
    Ok(attributes.concat())
}

/// The text of a string element; none for an element that OpenSSL doesn't convert.
fn text(tag: u8, content: &[u8]) -> Result<Option<String>, &'static str> {
    const BAD: &str = "its subject has a string with illegal characters";
    let latin = || content.iter().map(|byte| char::from(*byte)).collect();
    let wide = |size: usize| {
        let units = content.chunks(size);
        units
            .map(|unit| char::from_u32(unit.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))))
            .collect::<Option<String>>()
            .ok_or(BAD)
    };
    match tag {
        UTF8_STRING => String::from_utf8(content.to_vec()).map(Some).map_err(|_| BAD),
        NUMERIC_STRING | PRINTABLE_STRING | T61_STRING | IA5_STRING | VISIBLE_STRING => Ok(Some(latin())),
        UNIVERSAL_STRING => wide(4).map(Some),
        BMP_STRING => wide(2).map(Some),
        _ => Ok(None),
    }
}

fn canonical_text(text: &str) -> String {
    let space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r');
    let words: Vec<String> = text
        .split(space)
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join(" ")
}
