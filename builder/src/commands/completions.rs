//! `outcrop completions`: a shell's completions, on standard output.

use clap_complete::Shell;

use super::Context;
use crate::error::Error;

/// Writes the completions of `command` for `shell`.
///
/// # Errors
/// When the output can't be written.
pub fn run(shell: Shell, mut command: clap::Command, context: &Context) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "outcrop", &mut script);
    context.print(String::from_utf8_lossy(&script))
}
