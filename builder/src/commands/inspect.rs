//! `outcrop inspect`: what an image holds.

use std::path::PathBuf;

use super::Context;
use crate::{
    error::Error,
    inspect::{Wanted, inspect},
};

/// `outcrop inspect`'s arguments.
#[derive(Debug, Clone)]
pub struct Options {
    /// The image.
    pub image: PathBuf,
    /// What is told beside the rest.
    pub wanted: Wanted,
    /// JSON instead of text.
    pub json: bool,
}

/// Reads an image, and prints what it holds.
///
/// # Errors
/// When it can't be read, or isn't an image of Outcrop's.
pub fn run(options: &Options, context: &Context) -> Result<(), Error> {
    let inspection = inspect(&options.image, options.wanted, context.progress.as_ref())?;
    if options.json {
        context.print(format_args!("{:#}\n", serde_json::json!(inspection)))
    } else {
        context.print(inspection)
    }
}
