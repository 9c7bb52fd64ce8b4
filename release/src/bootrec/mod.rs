//! The boot record: which slot is the default, which one is on trial, and what is known of each.
//!
//! It is one sector, written alternately to two places of the partition `outcrop-bootrec`, so that a torn write leaves the
//! other copy. It is the truth: where `loader.conf` or a firmware variable says otherwise, those are repaired from it. The
//! fields have fixed offsets, so that a boot loader's script can read and write them; `docs/formats.md` lists them.

pub(crate) mod layout;
mod loader;
mod pair;
mod record;
mod sequence;
mod state;
mod transition;

pub use loader::{LoaderStart, StartReason, UnknownStart};
pub use pair::{COPY_OFFSETS, Copies, Found};
pub use record::{BootRecord, RECORD_BYTES, RecordError};
pub use sequence::Sequence;
pub use state::{BadReason, Payload, PayloadPart, SlotRecord, SlotState, Trial, TrialStage};
pub use transition::{AfterBoot, LastEnd, MAX_ATTEMPTS, MAX_STARTS, MAX_TRIES, TakenBackBy, TransitionError};
