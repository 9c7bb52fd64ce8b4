//! Bad input through the whole program: the exit code, what it says, and that nothing half-written is left.
//!
//! What needs real packages (an unknown service, a file owned twice, a full disk) is in `qemu-tests/tests/bad_input.rs`; an
//! unknown package, which needs the archive's signed lists, in `real_archive.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod archive;
mod bench;
mod interrupt;
mod lock_file;
mod network;
mod read_only;
mod recipe;
#[path = "../../src/fetch/testing/server.rs"]
#[allow(dead_code, reason = "tests inside the crate use the rest")]
mod server;
