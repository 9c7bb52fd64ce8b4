//! As much DER as it takes to find a certificate's subject. Sources: X.690 (DER), RFC 5280 section 4.1 (Certificate).

/// `SEQUENCE`.
pub(super) const SEQUENCE: u8 = 0x30;
/// `SET`.
pub(super) const SET: u8 = 0x31;
/// `[0] EXPLICIT`: the version of a certificate.
const VERSION: u8 = 0xa0;

/// One element: its tag, its content, and all its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) bytes: &'a [u8],
}

/// The first element of `bytes`, and what follows it.
pub(super) fn element(bytes: &[u8]) -> Result<(Element<'_>, &[u8]), &'static str> {
    const SHORT: &str = "an element is cut off";
    let (&tag, rest) = bytes.split_first().ok_or(SHORT)?;
    let (&first, rest) = rest.split_first().ok_or(SHORT)?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let digits = usize::from(first & 0x7f);
        if digits == 0 || digits > 4 {
            return Err("an element has no legal length");
        }
        let (number, rest) = rest.split_at_checked(digits).ok_or(SHORT)?;
        (
            number.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            rest,
        )
    };
    let (content, after) = rest.split_at_checked(length).ok_or(SHORT)?;
    let used = bytes.len() - after.len();
    let bytes = bytes.get(..used).ok_or(SHORT)?;
    Ok((Element { tag, content, bytes }, after))
}

/// The first element of `bytes`, which must have `tag`, and what follows it.
pub(super) fn tagged(bytes: &[u8], tag: u8) -> Result<(Element<'_>, &[u8]), &'static str> {
    let (found, rest) = element(bytes)?;
    if found.tag == tag {
        Ok((found, rest))
    } else {
        Err("an element has an unexpected type")
    }
}

/// Content of the subject's outer `SEQUENCE`: its relative distinguished names.
pub(super) fn subject(certificate: &[u8]) -> Result<&[u8], &'static str> {
    let (outer, _) = tagged(certificate, SEQUENCE)?;
    let (body, _) = tagged(outer.content, SEQUENCE)?;
    let (first, after_first) = element(body.content)?;
    let fields = if first.tag == VERSION {
        after_first
    } else {
        body.content
    };
    // serialNumber, signature, issuer, validity; then the subject.
    let (_, rest) = element(fields)?;
    let (_, rest) = tagged(rest, SEQUENCE)?;
    let (_, rest) = tagged(rest, SEQUENCE)?;
    let (_, rest) = tagged(rest, SEQUENCE)?;
    let (subject, _) = tagged(rest, SEQUENCE)?;
    Ok(subject.content)
}

/// Appends an element to `out`.
pub(super) fn write(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => out.push(length),
        _ => {
            let digits: Vec<u8> = content
                .len()
                .to_be_bytes()
                .into_iter()
                .skip_while(|byte| *byte == 0)
                .collect();
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            out.extend(digits);
        }
    }
    out.extend(content);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(tag in any::<u8>(), content in prop::collection::vec(any::<u8>(), 0..700)) {
            let mut bytes = Vec::new();
            write(&mut bytes, tag, &content);
            let expected = Element { tag, content: &content, bytes: &bytes };
            prop_assert_eq!(element(&bytes), Ok((expected, &[][..])));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = subject(&bytes);
        }
    }
}
