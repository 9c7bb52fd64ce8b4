//! Reads text as a recipe and, when it is one, takes its digest.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use outcrop_builder::recipe;

fuzz_target!(|text: &str| {
    // A folder that isn't there: relative includes and sources of the text are missing.
    let path = Path::new("/nonexistent/recipe.toml");
    match recipe::parse(path, text) {
        Ok(loaded) => drop(recipe::digest::build_digest(&loaded.recipe)),
        // Places in the text must exist, or the error couldn't be shown.
        Err(error) => {
            for location in error.problems().iter().filter_map(recipe::Problem::location) {
                let _ = location.line_and_column();
                assert!(location.file().text.get(location.span()).is_some());
            }
        }
    }
});
