//! Commands in the guest, typed at the root shell of a development image's serial console.

use std::time::Duration;

use crate::{console::Console, error::Error};

/// How long a command may take unless told otherwise.
const COMMAND_TIME: Duration = Duration::from_secs(180);

/// A root shell on the serial console.
#[derive(Debug)]
pub struct Shell<'a> {
    console: &'a mut Console,
    count: u32,
}

impl<'a> Shell<'a> {
    /// Takes the console once the shell's prompt is there: echo, colours and line breaks off.
    ///
    /// # Errors
    /// When the shell doesn't answer within `limit`.
    pub fn open(console: &'a mut Console, limit: Duration) -> Result<Self, Error> {
        let ready = "outcrop-shell-ready";
        // dash: it edits no lines, so it prints nothing of its own.
        console.send("\n exec sh\n")?;
        console.send(" stty -echo columns 1000; PS1=; PS2=; dmesg -n 1; echo outcrop-shell-'ready'\n")?;
        console.expect(ready, limit)?;
        Ok(Self { console, count: 0 })
    }

    /// Runs `command` and returns what it printed.
    ///
    /// # Errors
    /// When it fails, or takes longer than three minutes.
    pub fn run(&mut self, command: &str) -> Result<String, Error> {
        match self.status(command, COMMAND_TIME)? {
            (0, output) => Ok(output),
            (status, output) => Err(Error::Command {
                command: command.to_owned(),
                status,
                output,
            }),
        }
    }

    /// Runs `command` and returns its exit status and what it printed.
    ///
    /// # Errors
    /// When it takes longer than `limit`.
    pub fn status(&mut self, command: &str, limit: Duration) -> Result<(i32, String), Error> {
        self.count += 1;
        let mark = format!("outcrop-{}-", self.count);
        // The marks are typed with quotes inside, so that an echo of the line isn't taken for them.
        let (begin, end) = (format!("{mark}begin"), format!("{mark}end "));
        let line = format!(
            "echo {mark}'begin'; {command}\noutcrop_status=$?; echo; echo {mark}'end' $outcrop_status\n"
        );
        self.console.send(&line)?;
        self.console.expect(&begin, limit)?;
        let output = self.console.read_until(&end, limit)?;
        let status = self.console.read_until("\n", limit)?.trim().parse().unwrap_or(-1);
        Ok((status, output.replace('\r', "").trim().to_owned()))
    }
}
