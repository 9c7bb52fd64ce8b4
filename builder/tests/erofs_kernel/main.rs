//! Images of the own EROFS writer, judged by what others wrote: erofs-utils and the kernel.
#![expect(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod mount;
mod sample;
mod tools;
