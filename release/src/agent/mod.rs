//! How a device looks after its own updates: when it asks, what it may fetch and when, and when it may restart. Decisions only: pure functions of
//! what is known, so that they can be tried out for a fleet and a year in a second.

mod budget;
mod definition;
mod pace;
mod plan;
mod window;

pub use budget::{ByteLimit, Spent};
pub use definition::{AgentDefinition, AgentOverrides, BadAgentValue, Mode, PollInterval, inhibitor};
pub use pace::{is_due, next_after_failure, next_after_success};
pub use plan::{Armed, Offered, Situation, Slots, Step, Waits, plan};
pub use window::{BadWindow, Window, Windows};

#[cfg(test)]
mod tests;
