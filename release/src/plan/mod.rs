//! Planning an installation: which blocks of a payload are there already, which can be copied, which must be fetched.
//!
//! The planner takes every decision and touches nothing: hashes in, steps out. A block of the new release is named by its
//! leaf in the new dm-verity tree; equal leaves are equal blocks, since all releases of a product share a salt. So what the
//! device has is known from hashes alone: those of what lies in the inactive slot, and those of the active slot's tree.
//!
//! Memory: a bit for each block in place, 16 bytes for each block of the active slot, 24 for each run to copy.

mod active;
mod block_set;
mod cost;
mod payload;
mod ranges;

pub use active::ActiveBlocks;
pub use block_set::BlockSet;
pub use cost::{Cost, OverBudget};
pub use payload::{CopyRun, FrameStep, PayloadFacts, PayloadPlan, PlanError, Source};
pub use ranges::{ByteRange, coalesce};
