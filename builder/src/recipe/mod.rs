//! Recipes.

pub mod schema;

pub use schema::Recipe;
