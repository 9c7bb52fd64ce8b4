//! What each command does. `cli` has the arguments; a command takes its options and the [`Context`].

pub mod build;
pub mod bundle;
pub mod bundle_delta;
pub mod cache;
pub mod channel;
pub mod completions;
pub mod device;
pub mod diff;
pub mod flash;
pub mod fleet;
pub mod inspect;
pub mod keys;
pub mod lock;
pub mod man;
pub mod new;
pub mod publish;
pub mod run;
pub mod secure_boot_keys;

use std::{
    fmt,
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use crate::{
    cache::Cache,
    error::Error,
    keys::Passphrase,
    progress::Progress,
    terminal::{
        Verbosity,
        ask::{Ask, AskSecret},
    },
};

/// What every command works with.
pub struct Context {
    /// Where the work reports to.
    pub progress: Box<dyn Progress>,
    /// How much is told.
    pub verbosity: Verbosity,
    cache: Option<Cache>,
    output: Mutex<Box<dyn Write + Send>>,
    person: Option<Ask>,
    secrets: Option<AskSecret>,
}

impl Context {
    /// A context that writes results to `output`. `cache` is none when the user has no place for it.
    #[must_use]
    pub fn new(
        progress: Box<dyn Progress>,
        verbosity: Verbosity,
        cache: Option<Cache>,
        output: Box<dyn Write + Send>,
    ) -> Self {
        Self {
            progress,
            verbosity,
            cache,
            output: Mutex::new(output),
            person: None,
            secrets: None,
        }
    }

    /// Somebody can be asked.
    #[must_use]
    pub fn with_person(mut self, person: Option<Ask>) -> Self {
        self.person = person;
        self
    }

    /// Somebody can be asked for passphrases.
    #[must_use]
    pub fn with_secrets(mut self, secrets: AskSecret) -> Self {
        self.secrets = Some(secrets);
        self
    }

    /// A passphrase that was asked for with `question`; none when there is nobody, or no answer.
    #[must_use]
    pub fn passphrase(&self, question: &str) -> Option<Passphrase> {
        self.secrets.as_ref().and_then(|ask| ask(question))
    }

    /// Whether the person at the terminal says yes to `question`. No, when there is nobody.
    #[must_use]
    pub fn confirms(&self, question: &str) -> bool {
        self.person.as_ref().is_some_and(|ask| ask(question))
    }

    /// The cache.
    ///
    /// # Errors
    /// When neither the command line nor the environment says where.
    pub fn cache(&self) -> Result<&Cache, Error> {
        self.cache.as_ref().ok_or(Error::NoCache)
    }

    /// Writes a result: what the command was asked for. A reader that went away (`| head`) is no error.
    ///
    /// # Errors
    /// When the output can't be written, for example because a disk is full.
    pub fn print(&self, result: impl fmt::Display) -> Result<(), Error> {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        match write!(output, "{result}").and_then(|()| output.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(Error::Print),
        }
    }

    /// Writes what a person likes to know at the end: what was made, what to type next. Nothing with `--quiet`.
    ///
    /// # Errors
    /// As for [`Context::print`].
    pub fn summarize(&self, summary: impl fmt::Display) -> Result<(), Error> {
        if self.verbosity == Verbosity::Quiet {
            return Ok(());
        }
        self.print(summary)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A context for tests.

    use std::{io, sync::Arc};

    use super::*;
    use crate::progress::Silent;

    /// What a command wrote.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A silent context without cache, and what is written to it.
    pub(crate) fn context() -> (Context, Written) {
        context_with_cache(None)
    }

    /// A silent context, and what is written to it.
    pub(crate) fn context_with_cache(cache: Option<Cache>) -> (Context, Written) {
        let written = Written::default();
        let context = Context::new(
            Box::new(Silent),
            Verbosity::Normal,
            cache,
            Box::new(written.clone()),
        );
        (context, written)
    }
}
