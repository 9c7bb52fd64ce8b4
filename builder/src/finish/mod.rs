//! From composed packages to a root file system that boots: the native steps that replace maintainer scripts.
//!
//! | step | what it does | instead of |
//! |---|---|---|
//! | `layers` | Outcrop's static files, the recipe's overlays and `[[files]]` | |
//! | `accounts` | passwd, group, shadow, gshadow; homes and SSH keys of people | base-passwd, sysusers.d, adduser |
//! | `os-release` | IMAGE_ID, IMAGE_VERSION | |

pub mod accounts;
mod actions;
mod base_files;
mod certificates;
pub mod edit;
pub mod error;
pub mod inputs;
pub mod kernel;
pub mod layers;
mod nsswitch;
mod os_release;
mod pam;
pub mod report;
mod shells;
mod suggest;
#[cfg(test)]
mod testing;
mod units;

pub use error::FinishError;
pub use inputs::{ContentStore, InMemory, Inputs, InstalledPackage};
pub use layers::Layer;
pub use report::{Finished, Privilege, Report};
