//! Locks: which packages an image is made of, by digest, and what stands for their maintainer scripts.
//!
//! [`apt`] resolves (in a root of its own), [`gate`] judges every script, [`text`] writes and reads the file, [`Locker`]
//! does it all.

pub mod apt;
mod date;
mod error;
pub mod format;
pub mod gate;
mod make;
mod recipe_digest;
#[cfg(test)]
mod testing;
pub mod text;
pub(crate) mod text_form;

pub use error::{LockError, UnreviewedScripts};
pub use format::Lock;
pub use make::{Locker, NEEDED};
pub use recipe_digest::recipe_digest;
pub use text::{LockFileError, read, read_any};
