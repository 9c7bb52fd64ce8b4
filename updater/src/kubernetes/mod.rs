//! What the updater asks of the Kubernetes on this device: is it up, is the node, are pods; and that the node's pods go elsewhere before
//! a restart. By the API, with the administrator's credentials that lie on the device.

mod access;
mod client;
mod drain;
mod look;
mod objects;
mod ours;
#[cfg(test)]
mod testing;

pub use access::{Access, AccessError, Credentials, ServerTrust};
pub use client::{Api, ApiError, Client, Method};
pub use drain::{Clock, DrainError, Drained, drain, uncordon};
pub use look::{Question, Selection, ask};
pub use ours::{Ours, OursError};
