//! The developer's front door: `cargo xtask demo | test | bench | fuzz | soak | lint | device | setup`.
//!
//! Every command installs the system packages it needs, by name and only when missing (`--no-install` prints the
//! command instead), so that a fresh Debian machine with Rust needs nothing else.

#![allow(clippy::print_stderr, reason = "a developer tool talks on standard error")]

mod bench;
mod cli;
mod demo;
mod device;
mod error;
mod fuzz;
mod host;
mod images;
mod kubernetes;
mod lint;
mod packages;
mod project;
mod releases;
mod scratch;
mod shell;
mod soak;
mod test;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(&error),
    }
}
