//! PEM: base64 between two lines. Source: RFC 7468.

use base64::{Engine as _, engine::general_purpose::STANDARD};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The bytes of the first certificate in `text`.
pub(super) fn pem(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (body, _) = rest.split_once(END)?;
    let digits: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(digits).ok().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_certificate_s_bytes_come_out_whatever_surrounds_it() {
        let text = format!("a name\n{BEGIN}\nZm9v\r\nYg==\n{END}\n{BEGIN}\nZg==\n{END}\n");
        assert_eq!(pem(&text).as_deref(), Some(b"foob".as_slice()));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for body in ["", "Zg", "Z===", "Zm9v!", "=Zg="] {
            assert_eq!(pem(&format!("{BEGIN}\n{body}\n{END}\n")), None, "{body}");
        }
        assert_eq!(pem(&format!("{BEGIN}\nZg==\n")), None);
    }
}
