//! Following a channel: fetch its list, hold it against what is trusted and remembered, decide.
//!
//! ```text
//! list (web server, stick) ─→ accept (release::channel) ─→ remember, durably ─→ decide (release::channel)
//! ```

mod fetch;
mod follow;
mod state;
mod web;

pub use fetch::{FetchError, Fetched, FolderSource, ListSource};
pub use follow::{FollowError, Followed, Follower};
pub use state::{Remembered, StateError};
pub use web::WebList;
