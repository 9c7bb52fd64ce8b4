//! Sealing 32 bytes, and getting them back: what only the TPM that sealed them can.

use std::io;

use super::{
    Transport,
    answer::{Answer, AnswerError, Loading, read, read_loading},
    command::{self, Handle, NO_SESSIONS, SESSIONS},
    response_code::ResponseCode,
    wire::Reader,
};

/// Bytes of what is sealed.
pub const SEED_BYTES: usize = 32;
/// Longest area of a sealed object, in bytes: TPMs make about 160.
const MAX_AREA_BYTES: usize = 1024;

/// A seed that only one TPM can unseal. Not secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSeed {
    /// `TPM2B_PRIVATE` without its length: encrypted by the TPM. Source: part 2, section 12.3.7.
    private: Vec<u8>,
    /// `TPMT_PUBLIC`: what kind of object it is. Source: part 2, section 12.2.4.
    public: Vec<u8>,
}

/// A TPM doesn't do what it should.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// There is none.
    #[error("this machine has no TPM 2.0, or it is switched off in the firmware's set-up")]
    Missing,
    /// It can't be reached.
    #[error("reach the TPM")]
    Open(#[source] io::Error),
    /// It doesn't answer.
    #[error("have the TPM {doing}")]
    Exchange {
        /// What it was asked for.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// What it answers makes no sense.
    #[error("have the TPM {doing}")]
    Answer {
        /// What it was asked for.
        doing: &'static str,
        /// What is wrong with the answer.
        source: AnswerError,
    },
    /// It doesn't want to.
    #[error("the TPM doesn't {doing}: {code}")]
    Refused {
        /// What it was asked for.
        doing: &'static str,
        /// Why.
        code: ResponseCode,
    },
    /// It did something else.
    #[error("the TPM made another object than it was asked for")]
    OtherObject,
    /// What it gave back isn't what it was given.
    #[error("the TPM gives back something else than was sealed")]
    OtherSecret,
}

impl SealedSeed {
    /// From its two areas; none where one is empty or too long.
    #[must_use]
    pub fn from_areas(private: Vec<u8>, public: Vec<u8>) -> Option<Self> {
        let is_fine = |area: &Vec<u8>| (1..=MAX_AREA_BYTES).contains(&area.len());
        (is_fine(&private) && is_fine(&public)).then_some(Self { private, public })
    }

    /// The encrypted area.
    #[must_use]
    pub fn private(&self) -> &[u8] {
        &self.private
    }

    /// The area that says what it is.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }
}

/// Seals `seed`. Nothing stays in the TPM.
///
/// # Errors
/// See [`TpmError`].
pub fn seal(tpm: &mut dyn Transport, seed: &[u8; SEED_BYTES]) -> Result<SealedSeed, TpmError> {
    with_storage_key(tpm, |tpm, parent| {
        let doing = "seal the key";
        let answer = exchange(tpm, doing, &command::create(parent, seed))?;
        let parameters = done(doing, read(&answer, SESSIONS))?;
        let areas = |mut reader: Reader<'_>| Ok((reader.sized()?.to_vec(), reader.sized()?.to_vec()));
        let (private, public) =
            areas(Reader(parameters)).map_err(|source| TpmError::Answer { doing, source })?;
        if !public.starts_with(&command::sealed_template()) {
            return Err(TpmError::OtherObject);
        }
        SealedSeed::from_areas(private, public).ok_or(TpmError::OtherObject)
    })
}

/// Unseals what this TPM has sealed. Nothing stays in the TPM.
///
/// # Errors
/// See [`TpmError`]; [`TpmError::Refused`] with [`ResponseCode::INTEGRITY`] when another one has sealed it, or this one was cleared.
pub fn unseal(tpm: &mut dyn Transport, sealed: &SealedSeed) -> Result<[u8; SEED_BYTES], TpmError> {
    with_storage_key(tpm, |tpm, parent| {
        let load = command::load(parent, &sealed.private, &sealed.public);
        with_loaded(tpm, "load the sealed key", &load, |tpm, object| {
            let doing = "unseal the key";
            let answer = exchange(tpm, doing, &command::unseal(object))?;
            let mut parameters = Reader(done(doing, read(&answer, SESSIONS))?);
            let failed = |source| TpmError::Answer { doing, source };
            let data = parameters.sized().map_err(failed)?;
            parameters.end().map_err(failed)?;
            data.try_into().map_err(|_| TpmError::OtherSecret)
        })
    })
}

fn with_storage_key<T>(
    tpm: &mut dyn Transport,
    work: impl FnOnce(&mut dyn Transport, Handle) -> Result<T, TpmError>,
) -> Result<T, TpmError> {
    with_loaded(tpm, "make its storage key", &command::create_primary(), work)
}

/// Loads an object, works with it, and puts it away, whether that worked or not.
fn with_loaded<T>(
    tpm: &mut dyn Transport,
    doing: &'static str,
    command: &[u8],
    work: impl FnOnce(&mut dyn Transport, Handle) -> Result<T, TpmError>,
) -> Result<T, TpmError> {
    let answer = exchange(tpm, doing, command)?;
    let handle = match read_loading(&answer) {
        Ok(Loading::Done(handle)) => handle,
        Ok(Loading::Refused(code)) => return Err(TpmError::Refused { doing, code }),
        Err(source) => return Err(TpmError::Answer { doing, source }),
    };
    let result = work(tpm, handle);
    // One that stays is put away when the way to the TPM is closed; what was got counts all the same.
    let _put_away = exchange(tpm, "put an object away", &command::flush(handle))
        .and_then(|answer| done("put an object away", read(&answer, NO_SESSIONS)).map(drop));
    result
}

fn exchange(tpm: &mut dyn Transport, doing: &'static str, command: &[u8]) -> Result<Vec<u8>, TpmError> {
    tpm.exchange(command)
        .map_err(|source| TpmError::Exchange { doing, source })
}

fn done<'a>(doing: &'static str, answer: Result<Answer<'a>, AnswerError>) -> Result<&'a [u8], TpmError> {
    match answer {
        Ok(Answer::Done(parameters)) => Ok(parameters),
        Ok(Answer::Refused(code)) => Err(TpmError::Refused { doing, code }),
        Err(source) => Err(TpmError::Answer { doing, source }),
    }
}
