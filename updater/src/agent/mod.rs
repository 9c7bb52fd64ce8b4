//! The agent: a device that looks after its own updates. It is run again and again, each time takes the steps that can be taken, keeps what it
//! has to know the next time, and ends.
//!
//! ```text
//! ask the channel, when it is time ─→ plan (release::agent) ─→ stage: write to the other slot, never armed yet
//!                                      ↑            │     └─→ restart: nobody objects ─→ arm ─→ restart
//!                                      └────────────┴────── rest: say for what
//! ```
//! A staged release isn't armed: a power cut at noon must not start it. What somebody at the device doesn't want ([`take_back`]) is left until
//! somebody says so ([`Approval`]). What steps do to a device is a [`Site`]'s affair.

mod approval;
mod armed;
mod list;
mod memory;
mod once;
mod run;
mod site;
mod telling;
mod way_back;

pub use approval::{Approval, settle};
pub use armed::{ArmedBy, Armer, UnknownArmer};
pub use memory::{Failing, Memory, MemoryError, Reported};
pub use once::Untold;
pub use run::{Outcome, Visit, run};
pub use site::{Site, StageEnd, Trouble, Who};
pub use telling::describe;
pub use way_back::{TakeUpError, revoke, take_back, take_up};

#[cfg(test)]
mod tests;
