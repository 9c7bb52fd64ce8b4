//! `outcrop`, the builder's command line: see [`outcrop_builder::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    outcrop_builder::cli::main()
}
