//! What a fleet's reports say together: who runs what, who lags behind and why, who has become a snowflake, who is silent, and which
//! reports nobody should believe.

mod devices;
mod error;
mod html;
mod judge;
mod lagging;
mod memory;
mod read;
pub(crate) mod shown;
mod summary;
#[cfg(test)]
mod tests;
mod text;

pub use devices::Devices;
pub use error::FleetError;
pub use html::html;
pub use judge::{Broken, Found, Seen};
pub use memory::Memory;
pub use read::{Read, Rejected, Why, read};
pub use summary::{Lagging, Named, Summary, WaitCount, summarize};
