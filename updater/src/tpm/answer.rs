//! Answers: bytes from a bus, of which nothing is believed.

use super::{
    MAX_MESSAGE_BYTES, ResponseCode,
    command::{Handle, NO_SESSIONS, SESSIONS},
    wire::Reader,
};

/// Handles of transient objects. Source: part 2, section 7.2, `TPM_HT_TRANSIENT`.
const TRANSIENT: u32 = 0x80;

/// Bytes that are no answer to what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It ends too early.
    #[error("the answer ends too early")]
    Short,
    /// It says another length than it has.
    #[error("the answer has {actual} bytes, and says {said}")]
    Length {
        /// What it says.
        said: u32,
        /// What it has.
        actual: usize,
    },
    /// It isn't of the kind that was expected; a TPM 1.2 has others.
    #[error("the answer has the tag {0:#06x}")]
    Tag(u16),
    /// There is more than there should be.
    #[error("{0} bytes too many in the answer")]
    Trailing(usize),
    /// What it names is no loaded object.
    #[error("the answer names the handle {0:#010x}, which is no loaded object's")]
    Handle(u32),
}

/// What comes back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// It is done; the parameters.
    Done(&'a [u8]),
    /// It isn't, and why.
    Refused(ResponseCode),
}

/// The same of a command that loads an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Loading {
    Done(Handle),
    Refused(ResponseCode),
}

/// Reads an answer without a handle. Source: part 1, "Response Header Structure" and "Authorizations in response".
pub(super) fn read(bytes: &[u8], tag: u16) -> Result<Answer<'_>, AnswerError> {
    match header(bytes, tag)? {
        (ResponseCode(0), rest) => Ok(Answer::Done(parameters(rest, tag)?)),
        (code, _) => Ok(Answer::Refused(code)),
    }
}

/// Reads the answer to a command that loads an object.
pub(super) fn read_loading(bytes: &[u8]) -> Result<Loading, AnswerError> {
    match header(bytes, SESSIONS)? {
        (ResponseCode(0), mut rest) => {
            let handle = rest.u32()?;
            parameters(rest, SESSIONS)?;
            match handle >> 24 {
                TRANSIENT => Ok(Loading::Done(Handle(handle))),
                _ => Err(AnswerError::Handle(handle)),
            }
        }
        (code, _) => Ok(Loading::Refused(code)),
    }
}

/// The response code, and what is behind the header. One that refuses has no sessions.
fn header(bytes: &[u8], tag: u16) -> Result<(ResponseCode, Reader<'_>), AnswerError> {
    let mut reader = Reader(bytes);
    let (found, said) = (reader.u16()?, reader.u32()?);
    let code = ResponseCode(reader.u32()?);
    let expected = if code.0 == 0 { tag } else { NO_SESSIONS };
    if found != expected {
        return Err(AnswerError::Tag(found));
    }
    let is_whole = usize::try_from(said).is_ok_and(|said| said == bytes.len());
    if !is_whole || bytes.len() > MAX_MESSAGE_BYTES {
        return Err(AnswerError::Length {
            said,
            actual: bytes.len(),
        });
    }
    if code.0 != 0 {
        reader.end()?;
    }
    Ok((code, reader))
}

fn parameters(mut reader: Reader<'_>, tag: u16) -> Result<&[u8], AnswerError> {
    if tag != SESSIONS {
        return Ok(reader.0);
    }
    let length = reader.u32()?;
    let parameters = reader.take(usize::try_from(length).map_err(|_| AnswerError::Short)?)?;
    // The authorization of an empty password: no nonce, attributes, no HMAC.
    reader.sized()?;
    reader.u8()?;
    reader.sized()?;
    reader.end()?;
    Ok(parameters)
}
