//! Why a TPM refuses a command.

use std::fmt;

/// A response code other than success. Source: part 2, section 6.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseCode(pub u32);

/// In a code of format one: what is wrong, without which parameter, handle or session it is.
const FORMAT_ONE: u32 = 0x080;
const FORMAT_ONE_ERROR: u32 = 0x03f;

impl ResponseCode {
    /// What was sealed isn't this TPM's.
    pub const INTEGRITY: u32 = 0x09f;
    /// There is no room for another object.
    pub const OBJECT_MEMORY: u32 = 0x902;
    /// Too many wrong passwords were tried.
    pub const LOCKOUT: u32 = 0x921;

    /// The code without which parameter, handle or session it is about.
    #[must_use]
    pub const fn kind(self) -> u32 {
        match self.0 & FORMAT_ONE {
            0 => self.0,
            _ => FORMAT_ONE | self.0 & FORMAT_ONE_ERROR,
        }
    }

    /// Its name, and what it means here; none for those that nobody expects.
    const fn meaning(self) -> Option<(&'static str, &'static str)> {
        Some(match self.kind() {
            0x082 => ("ATTRIBUTES", "it doesn't make such objects"),
            0x084 => ("VALUE", "it doesn't know such a value"),
            0x085 => ("HIERARCHY", "its owner's objects are switched off"),
            0x08b => ("HANDLE", "it has no such object"),
            0x08e | 0x0a2 => ("AUTH_FAIL", "its owner has set a password"),
            0x095 => ("SIZE", "a length is wrong"),
            0x096 => ("SYMMETRIC", "it lacks AES-128 in CFB mode"),
            Self::INTEGRITY => (
                "INTEGRITY",
                "another TPM has sealed that, or this one was cleared since",
            ),
            0x0a6 => ("CURVE", "it lacks the curve P-256"),
            0x100 => ("INITIALIZE", "the firmware hasn't started it"),
            0x101 => ("FAILURE", "it is broken"),
            0x120 => ("DISABLED", "it doesn't do that"),
            0x143 => ("COMMAND_CODE", "it has no such command"),
            Self::OBJECT_MEMORY | 0x903 | 0x904 | 0x906 => ("OBJECT_MEMORY", "it has no room left"),
            0x90a => ("TESTING", "it still tests itself"),
            Self::LOCKOUT => (
                "LOCKOUT",
                "it is locked after too many wrong passwords, for a while",
            ),
            0x922 => ("RETRY", "it is busy"),
            _ => return None,
        })
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.meaning() {
            Some((name, meaning)) => write!(f, "{meaning} (TPM_RC_{name}, {:#05x})", self.0),
            None => write!(f, "response code {:#05x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_told_whichever_parameter_it_is_about() {
        for code in [0x09f, 0x1df, 0x2df, 0x99f] {
            let text = ResponseCode(code).to_string();
            assert!(text.starts_with("another TPM has sealed that"), "{text}");
        }
        assert_eq!(
            ResponseCode(0x902).to_string(),
            "it has no room left (TPM_RC_OBJECT_MEMORY, 0x902)"
        );
        assert_eq!(ResponseCode(0x155).to_string(), "response code 0x155");
    }
}
