//! Recipes: TOML files that say what an image is.
//!
//! [`load`] reads a file and its includes (`include`) as plain TOML values with their places (`node`), compares each
//! file with the table of known keys (`keys`, `check`), lays the files over each other (`merge`) and makes the checked
//! [`Recipe`] of the result (`convert`). Each step goes on after a mistake, so that one run shows all of them.

mod check;
mod convert;
pub mod digest;
mod distribution;
mod include;
mod keys;
pub mod located;
mod merge;
mod node;
pub mod overlay;
pub mod problem;
pub mod reference;
pub mod schema;
pub mod source;
#[cfg(test)]
mod tests;
mod value;

pub use located::{Item, LoadedRecipe, load, parse};
pub use problem::{Problem, RecipeError};
pub use schema::Recipe;
pub use source::Location;
