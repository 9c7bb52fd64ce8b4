//! Locks.

pub mod format;

pub use format::Lock;
