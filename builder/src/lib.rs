//! Outcrop's builder as a library: recipe, lock, packages, tree, EROFS, disk image. `outcrop` is its command line.

pub mod action;
pub mod blame;
pub mod boot;
pub mod bundle;
pub mod cache;
pub mod cli;
pub mod commands;
pub mod compose;
pub mod deb;
pub mod delta;
pub mod disk;
pub mod erofs;
pub mod error;
pub mod failure;
pub mod fetch;
mod file_lock;
pub mod finish;
pub mod flash;
#[cfg(test)]
mod generated_docs;
pub mod inspect;
pub mod keys;
pub mod lock;
pub mod output;
mod partners;
pub mod pipeline;
pub mod previous;
pub mod progress;
pub mod read_at;
pub mod recipe;
pub mod run;
pub mod sbom;
pub mod sha256;
pub mod signed_image;
pub mod store;
pub mod terminal;
pub mod tree;
