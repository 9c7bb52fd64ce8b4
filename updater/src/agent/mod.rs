//! The agent: a device that looks after its own updates. It is run again and again, each time takes the steps that can be taken, keeps what it
//! has to know the next time, and ends.
//!
//! ```text
//! ask the channel, when it is time ─→ plan (release::agent) ─→ stage: write to the other slot, never armed yet
//!                                      ↑            │     └─→ restart: nobody objects ─→ arm ─→ restart
//!                                      └────────────┴────── rest: say for what
//! ```
//! A staged release isn't armed: a power cut at noon must not start it. What steps do to a device is a [`Site`]'s affair.

mod memory;
mod run;
mod site;

pub use memory::{Approval, Failing, Memory, MemoryError, Reported};
pub use run::{Outcome, Visit, run};
pub use site::{Site, StageEnd, Trouble, Who};

#[cfg(test)]
mod tests;
