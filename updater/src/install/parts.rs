//! An answer with several parts of a file. Source: RFC 9110, section 14.6; RFC 2046, section 5.1.1.

use std::io::{self, BufRead, Read as _};

/// Longest line of a part's head, in bytes.
const MAX_LINE_BYTES: u64 = 1024;
/// Most lines of a part's head, with empty ones.
const MAX_LINES: usize = 64;
/// Longest boundary, in characters. Source: RFC 2046, section 5.1.1.
const MAX_BOUNDARY: usize = 70;

/// A place in the file, in bytes: the first, and the one behind the last.
pub(super) type Extent = (u64, u64);

/// First byte of a `Content-Range`, and the one behind its last: `bytes 100-199/200`. Source: RFC 9110, section 14.4.
pub(super) fn content_range(text: &str) -> Option<Extent> {
    let (range, _) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, last) = range.split_once('-')?;
    let (start, last): (u64, u64) = (start.trim().parse().ok()?, last.trim().parse().ok()?);
    Some((start, last.checked_add(1).filter(|end| start < *end)?))
}

/// What separates the parts, by the answer's `Content-Type`: `multipart/byteranges; boundary=THIS`. None when the answer has no
/// parts.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/byteranges") {
        return None;
    }
    let value = rest.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim())
    })?;
    let value = value.trim_matches('"');
    (1..=MAX_BOUNDARY)
        .contains(&value.len())
        .then(|| value.to_owned())
}

/// Reads up to the next part's first byte: where in the file that is, and where the part ends. None after the last part.
///
/// # Errors
/// When the body ends or can't be read; [`io::ErrorKind::InvalidData`] when it isn't made of parts.
pub(super) fn next_part(body: &mut impl BufRead, boundary: &str) -> io::Result<Option<Extent>> {
    let mut is_head = false;
    let mut extent = None;
    for _ in 0..MAX_LINES {
        let line = line(body)?;
        let separator = line
            .strip_prefix("--")
            .and_then(|rest| rest.strip_prefix(boundary));
        match separator {
            Some("") if !is_head => is_head = true,
            Some("--") if !is_head => return Ok(None),
            _ if is_head && line.is_empty() => {
                return extent
                    .map(Some)
                    .ok_or_else(|| no_parts("a part doesn't say where in the file it is"));
            }
            _ if is_head => {
                if let Some((name, value)) = line.split_once(':')
                    && name.trim().eq_ignore_ascii_case("content-range")
                {
                    extent = content_range(value);
                }
            }
            _ if line.is_empty() => {}
            _ => return Err(no_parts("there is something between two parts")),
        }
    }
    Err(no_parts("the head of a part is too long"))
}

/// A line, without what ends it.
fn line(body: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    body.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(if bytes.len() as u64 + 1 >= MAX_LINE_BYTES {
            no_parts("a line is too long")
        } else {
            io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended its answer early")
        });
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map_err(|_| no_parts("a line is no text"))
}

fn no_parts(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Reads any bytes as an answer of parts, for the fuzz target: how many bytes of the file they claim to be.
#[must_use]
pub fn fuzz(bytes: &[u8]) -> u64 {
    let mut body = io::BufReader::with_capacity(16, bytes);
    let mut claimed = 0_u64;
    while let Ok(Some((start, end))) = next_part(&mut body, "b") {
        claimed = claimed.saturating_add(end - start);
        if io::copy(&mut body.by_ref().take(end - start), &mut io::sink()).is_err() {
            break;
        }
    }
    claimed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_with_their_places_and_the_last_boundary_ends_them() {
        let text = b"\r\n--b\r\nContent-Type: x\r\nContent-Range: bytes 2-4/9\r\n\r\ncde\r\n--b\r\n\
                     content-range:bytes 7-8/9\r\n\r\nhi\r\n--b--\r\n";
        let mut body = &text[..];
        for (wanted, content) in [((2, 5), "cde"), ((7, 9), "hi")] {
            assert_eq!(next_part(&mut body, "b").unwrap(), Some(wanted));
            let mut found = String::new();
            let len = wanted.1 - wanted.0;
            body.by_ref().take(len).read_to_string(&mut found).unwrap();
            assert_eq!(found, content);
        }
        assert_eq!(next_part(&mut body, "b").unwrap(), None);
    }

    #[test]
    fn what_isn_t_made_of_parts_is_refused() {
        let long = format!("--b\r\nx: {}\r\n\r\n", "y".repeat(2000));
        let many = format!("--b\r\n{}", "x: y\r\n".repeat(100));
        for (text, kind) in [
            ("", io::ErrorKind::UnexpectedEof),
            ("--b\r\nContent-Range: bytes 2-4/9", io::ErrorKind::UnexpectedEof),
            ("--c\r\n", io::ErrorKind::InvalidData),
            ("--b\r\nContent-Type: x\r\n\r\n", io::ErrorKind::InvalidData),
            (
                "--b\r\nContent-Range: bytes 4-2/9\r\n\r\n",
                io::ErrorKind::InvalidData,
            ),
            ("something\r\n", io::ErrorKind::InvalidData),
            (&long, io::ErrorKind::InvalidData),
            (&many, io::ErrorKind::InvalidData),
        ] {
            let found = next_part(&mut text.as_bytes(), "b").map_err(|error| error.kind());
            assert_eq!(found, Err(kind), "{text:.40}");
        }
    }

    #[test]
    fn a_boundary_is_found_in_the_content_type_quoted_or_not() {
        let found = |text| boundary(text);
        assert_eq!(found("multipart/byteranges; boundary=a1").as_deref(), Some("a1"));
        let quoted = "Multipart/Byteranges; charset=x; BOUNDARY=\"a 1\"";
        assert_eq!(found(quoted).as_deref(), Some("a 1"));
        for text in [
            "application/octet-stream",
            "multipart/mixed; boundary=a",
            "multipart/byteranges",
            "multipart/byteranges; boundary=",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
