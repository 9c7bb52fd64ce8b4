//! Planning an installation: which blocks of a payload are there already, which can be copied, which must be fetched.
//!
//! The planner takes every decision and touches nothing: hashes in, steps out. A block of the new release is named by its
//! leaf in the new dm-verity tree; equal leaves are equal blocks, since all releases of a product share a salt. So what the
//! device has is known from hashes alone: those of what lies in the inactive slot, and those of the active slot's tree.
//!
//! [`survey`] asks for what the planner needs (parts of the bundle, hashes of what the slots hold) in the right order, and counts what
//! that costs. A device and `outcrop bundle cost` both run it, and so come to the same figures.
//!
//! Memory: a bit for each block in place, 16 bytes for each block of the active slot, 12 for each run to copy.

mod active;
mod block_set;
mod cost;
mod payload;
mod ranges;
pub mod survey;

pub use active::ActiveBlocks;
pub use block_set::BlockSet;
pub use cost::{Cost, Fetch, Link, OverBudget};
pub use payload::{CopyRun, Needs, PayloadPlan, PlanError};
pub use ranges::{ByteRange, Overheads, joined, requests};
