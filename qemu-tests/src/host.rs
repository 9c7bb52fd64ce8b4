//! Programs of the machine that the tests run on.

use std::process::Command;

/// A command that runs with root's rights: as it is for root, through sudo for everybody else.
#[must_use]
pub fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}
