//! How an installation is told: as a line that changes on a terminal, as JSON lines, or as few plain lines for the journal.

use std::{
    cell::Cell,
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::signals::Stop;
use crate::{
    disk::Area,
    install::{InstallError, Stage, Watch},
};

/// Who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listener {
    /// A person at a terminal.
    Terminal,
    /// A journal, a file.
    Lines,
    /// A program: JSON lines.
    Json,
    /// Nobody.
    Nobody,
}

impl Listener {
    pub(super) fn new(json: bool, quiet: bool) -> Self {
        match (json, quiet) {
            (true, _) => Self::Json,
            (false, true) => Self::Nobody,
            (false, false) if io::stderr().is_terminal() => Self::Terminal,
            (false, false) => Self::Lines,
        }
    }
}

/// Tells how an installation goes on.
pub(super) struct Progress {
    listener: Listener,
    stop: Stop,
    /// Bytes to write and to check, once they are known.
    totals: Cell<Option<(u64, u64)>>,
    stage: Cell<Option<Stage>>,
    done: Cell<u64>,
    told: Cell<Option<Instant>>,
    /// The last tenth that was told in lines.
    tenth: Cell<u64>,
}

impl Progress {
    pub(super) const fn new(listener: Listener, stop: Stop) -> Self {
        Self {
            listener,
            stop,
            totals: Cell::new(None),
            stage: Cell::new(None),
            done: Cell::new(0),
            told: Cell::new(None),
            tenth: Cell::new(0),
        }
    }

    /// From now on it is known how many bytes will be written and checked.
    pub(super) fn set_totals(&self, write: u64, check: u64) {
        self.totals.set(Some((write, check)));
    }

    /// An event: a JSON object for programs, else `text`.
    pub(super) fn event(&self, event: &Value, text: &str) {
        self.end_line();
        match self.listener {
            Listener::Json => print(&event.to_string()),
            Listener::Nobody => {}
            Listener::Terminal | Listener::Lines => print(text),
        }
    }

    /// Ends the line that changes.
    fn end_line(&self) {
        if self.listener == Listener::Terminal && self.told.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    fn tell(&self, stage: Stage) {
        let (name, total) = match (stage, self.totals.get()) {
            (Stage::Compare, _) => ("compare", None),
            (Stage::Write, totals) => ("write", totals.map(|(write, _)| write)),
            (Stage::Check, totals) => ("check", totals.map(|(_, check)| check)),
        };
        let done = self.done.get();
        let percent = total.map(|total| done.saturating_mul(100).checked_div(total).unwrap_or(100));
        match self.listener {
            Listener::Nobody => {}
            Listener::Json => {
                print(&json!({"event": "progress", "stage": name, "done": done, "total": total}).to_string());
            }
            Listener::Terminal => {
                let amount = percent.map_or_else(
                    || format!("{} MiB", done >> 20),
                    |percent| format!("{percent:3} %"),
                );
                let _ = write!(io::stderr(), "\r\x1b[K{name:>8} {amount}");
                let _ = io::stderr().flush();
            }
            Listener::Lines => {
                let tenth = percent.unwrap_or(0) / 10;
                if tenth > self.tenth.get() {
                    self.tenth.set(tenth);
                    print(&format!("{name} {}0 %", tenth.min(10)));
                }
            }
        }
    }
}

fn print(line: &str) {
    // Where standard output is closed, nobody listens.
    let _ = writeln!(io::stdout(), "{line}");
}

impl Watch for Progress {
    fn advance(&self, stage: Stage, bytes: u64) {
        if self.stage.replace(Some(stage)) != Some(stage) {
            self.done.set(0);
            self.tenth.set(0);
            self.told.set(None);
        }
        self.done.set(self.done.get() + bytes);
        let pause = match self.listener {
            Listener::Terminal => Duration::from_millis(100),
            _ => Duration::from_secs(1),
        };
        if self.told.get().is_none_or(|told| told.elapsed() >= pause) {
            self.told.set(Some(Instant::now()));
            self.tell(stage);
        }
    }

    fn replaced(&self, area: Area, blocks: u64, bytes: u64) {
        let event = json!({"event": "replaced", "area": area.to_string(), "blocks": blocks, "fetch": bytes});
        let text = format!(
            "{area}: {blocks} blocks can't be made from what it has (it is worn, or the delta damaged): {bytes} bytes more are fetched"
        );
        self.event(&event, &text);
    }

    fn checkpoint(&self) -> Result<(), InstallError> {
        if self.stop.is_asked() {
            return Err(InstallError::Interrupted);
        }
        Ok(())
    }
}
