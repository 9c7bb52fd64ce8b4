//! Tests of whole recipes.

mod digests;
mod good;
mod hostile;
mod includes;
mod kubernetes;
mod secure_boot;
mod state;

use std::path::Path;

use super::{LoadedRecipe, RecipeError, parse};

/// The least that a recipe must say.
const LEAST: &str = "[image]\nname = \"edge\"\nversion = \"0.1.0\"\n[base]\nsuite = \"trixie\"\n";

/// The least, with `more` before it: top-level keys must come first.
fn text(before: &str, after: &str) -> String {
    format!("{before}\n{LEAST}{after}\n")
}

fn load_text(text: &str) -> Result<LoadedRecipe, RecipeError> {
    parse(Path::new("edge.toml"), text)
}

/// The problems of `text` as lines: place and message.
fn problems(text: &str) -> Vec<String> {
    let error = load_text(text).expect_err("the recipe is bad");
    lines(&error)
}

fn lines(error: &RecipeError) -> Vec<String> {
    let line = |problem: &super::Problem| match problem.location() {
        Some(location) => {
            let (line, column) = location.line_and_column();
            format!("{line}:{column} {}", problem.message())
        }
        None => problem.message().to_owned(),
    };
    error.problems().iter().map(line).collect()
}
