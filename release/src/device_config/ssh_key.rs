//! Checks OpenSSH public keys, so that a slip while copying shows at build time, not when nobody can log in.

use super::reader::quoted;
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Key types that Debian's OpenSSH accepts by default. Source: sshd_config(5), `PubkeyAcceptedAlgorithms`.
const TYPES: [&str; 7] = [
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
];

/// Checks one key in the one-line form `TYPE BASE64 [COMMENT]`: the blob must name the same type.
/// Source: sshd(8), "AUTHORIZED_KEYS FILE FORMAT"; RFC 4253, section 6.6.
///
/// # Errors
/// What is wrong, for people. A private key isn't quoted.
pub fn ssh_key(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.contains("PRIVATE KEY") {
        return Err(
            "this is a private key: take it out of this file, and write the line of the .pub file".to_owned(),
        );
    }
    if text.chars().any(char::is_control) {
        return Err("an SSH key is one line without tabs".to_owned());
    }
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    let (kind, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !TYPES.contains(&kind) {
        return Err(format!(
            "{} is no type of SSH key: write the line of the .pub file ({})",
            quoted(kind),
            TYPES.join(", ")
        ));
    }
    let blob = STANDARD
        .decode(blob)
        .map_err(|_| "the SSH key is not whole: its middle part is not base64")?;
    let inner = first_string(&blob).ok_or("the SSH key is not whole: it is too short")?;
    if inner == kind.as_bytes() && blob.len() > kind.len() + 4 + 32 {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "the SSH key is damaged: it says {kind}, its content doesn't"
        ))
    }
}

/// The first string of an SSH blob: four bytes of length, big-endian, then the bytes. Source: RFC 4251, section 5.
fn first_string(blob: &[u8]) -> Option<&[u8]> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f admin@example";

    #[test]
    fn a_whole_key_is_accepted_and_a_damaged_or_private_one_is_not() {
        assert_eq!(ssh_key(&format!(" {KEY}\n")), Ok(KEY.to_owned()));
        for text in [
            "",
            "ssh-ed25519",
            &KEY[..60],
            &KEY.replace("AAAAC3", "AAAAC2"),
            &KEY.replace("ssh-ed25519", "ssh-rsa"),
            &KEY.replace("ssh-ed25519", "ssh-dss"),
            &KEY.replace("AAAAC3", "****C3"),
            &format!("{KEY}\n{KEY}"),
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            &format!("command=\"x\" {KEY}"),
        ] {
            assert!(ssh_key(text).is_err(), "{text:?}");
        }
    }
}
