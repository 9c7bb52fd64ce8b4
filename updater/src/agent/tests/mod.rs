//! The agent on a device that is played.

mod fleet;
mod nights;
