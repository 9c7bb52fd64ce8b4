//! `outcrop build`: images from a recipe and its lock.

use std::path::PathBuf;

use super::Context;
use crate::{
    error::Error,
    pipeline::{self, Built, Request},
};

/// Builds the images and says what was made, and what to type next.
///
/// # Errors
/// See [`Error`].
pub fn run(request: &Request, context: &Context) -> Result<(), Error> {
    let built = pipeline::build(request, context.cache()?, context.progress.as_ref())?;
    context.summarize(summary(request, &built))
}

fn summary(request: &Request, built: &[Built]) -> String {
    let folder = request.output.join("");
    let mut text = String::new();
    for image in built {
        if image.unchanged {
            text.push_str("unchanged: ");
        }
        text.push_str(&image.summary.text(&folder.display().to_string()));
    }
    let boot: Option<PathBuf> = built
        .first()
        .map(|image| request.output.join(&image.summary.image));
    boot.map_or(text.clone(), |image| {
        format!("{text}\nBoot it with: outcrop run {}\n", image.display())
    })
}
