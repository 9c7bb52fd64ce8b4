//! Installing a release into the slot that doesn't run.
//!
//! ```text
//! head ─verify→ admit ─→ prepare: trees and frame table as far as they are needed, what both slots hold ─→ plan, budget
//!                           └─→ carry out: record says empty ─→ superblock zeroed ─→ blocks, tree ─→ flush
//!                                          ─→ read back from the medium ─→ superblock ─→ record says written
//! ```
//! Every block is checked against the signed root hash before it is written. Nothing is kept of a release but its hash trees
//! (1/127 of it): blocks go from the bundle to their place. An installation that ends early is run again: what is in place already is
//! found by comparing, so no journal is needed.
//!
//! Memory: the frames to fetch (56 bytes each), 16 bytes for each block of the running slot, one frame.

mod admit;
mod ahead;
mod bare;
mod check;
mod copy;
mod delta;
mod engine;
mod error;
mod frames;
mod head;
mod http;
mod limited;
mod old_area;
mod pack;
#[doc(hidden)]
pub mod parts;
mod patch;
mod reading;
mod scratch;
mod server;
mod sides;
mod source;
#[cfg(test)]
mod tests;
mod write;

pub use admit::{Allowed, Refusal, Running, Space, admit};
pub use delta::{DeltaError, FoundDelta, Search, root_hash_of};
pub use engine::{Installation, Prepared, Stage, Watch};
pub use error::InstallError;
pub use head::{HeadError, read_head};
pub use http::{Answer, HttpSource, Pause, Server, Wanted};
pub use limited::{Limited, Limits, Meter, Metered};
pub use scratch::Scratch;
pub use server::WebServer;
pub use source::{FileSource, Source, SourceError, Take};
