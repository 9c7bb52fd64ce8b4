//! An error with its causes, in one line.

use std::error::Error;

/// `error: cause: cause of the cause`
#[must_use]
pub fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = text + ": " + &error.to_string();
        cause = error.source();
    }
    text
}
