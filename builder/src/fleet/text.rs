//! The same as text for a terminal: what needs somebody first, and never more than a screen or two.

use std::fmt::Write as _;

use super::{
    Lagging, Named, Summary,
    shown::shown,
    summary::{ReleaseCount, WaitCount},
};

/// Most lines of one list.
const MOST_LINES: usize = 20;
/// So few that wait are named: at the end of a rollout, they are who is left.
const FEW: usize = 5;

impl Summary {
    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{} devices\n", self.devices);
        self.counts(&mut text);
        for Lagging { reason, devices } in &self.lagging {
            section(&mut text, &format!("lagging, {reason}"), devices);
        }
        self.not_believed(&mut text);
        section(&mut text, "histories that lost events", &self.histories);
        section(&mut text, "degraded", &self.degraded);
        section(&mut text, "snowflakes", &self.snowflakes);
        section(&mut text, "silent", &self.silent);
        self.waiting(&mut text);
        text
    }

    fn counts(&self, text: &mut String) {
        for ReleaseCount {
            release,
            channel,
            devices,
            only,
        } in &self.releases
        {
            let _infallible = write!(text, "{devices:>8}  {release}");
            if let Some(channel) = channel {
                let _infallible = write!(text, " ({})", shown(channel));
            }
            let names: Vec<String> = only.iter().map(who).collect();
            if !names.is_empty() {
                let _infallible = write!(text, ", only {}", names.join(", "));
            }
            text.push('\n');
        }
        if !self.agents.is_empty() {
            *text += "\nagents\n";
        }
        for WaitCount { waits, devices } in &self.agents {
            let _infallible = writeln!(text, "{devices:>8}  {waits}");
        }
        if let Some(remembered) = self.remembered {
            let _infallible = writeln!(text, "\n{remembered} devices were remembered");
        }
    }

    fn not_believed(&self, text: &mut String) {
        let files = self.rejected.iter();
        let lines = files.map(|rejected| format!("{}  {}", shown(&rejected.file), shown(&rejected.why)));
        list(text, "not believed", self.rejected.len(), lines);
    }

    /// Who waits as planned is counted.
    fn waiting(&self, text: &mut String) {
        let all: usize = self.waiting.iter().map(|group| group.devices.len()).sum();
        if all > 0 {
            let _infallible = writeln!(text, "\nbehind the newest, as planned: {all}");
        }
        for Lagging { reason, devices } in &self.waiting {
            let _infallible = writeln!(text, "{:>8}  {reason}", devices.len());
            for named in devices.iter().filter(|_| devices.len() <= FEW) {
                let _infallible = writeln!(text, "          {}  {}", who(named), shown(&named.detail));
            }
        }
    }
}

fn section(text: &mut String, title: &str, named: &[Named]) {
    let lines = named
        .iter()
        .map(|named| format!("{}  {}", who(named), shown(&named.detail)));
    list(text, title, named.len(), lines);
}

fn list(text: &mut String, title: &str, count: usize, lines: impl Iterator<Item = String>) {
    if count == 0 {
        return;
    }
    let _infallible = writeln!(text, "\n{title}: {count}");
    for line in lines.take(MOST_LINES) {
        let _infallible = writeln!(text, "  {line}");
    }
    if let Some(more @ 1..) = count.checked_sub(MOST_LINES) {
        let _infallible = writeln!(text, "  and {more} more: --json has all");
    }
}

/// What a device is called, and its own name: many may be called the same.
fn who(named: &Named) -> String {
    match named.name == named.device {
        true => named.device.clone(),
        false => format!("{} ({})", shown(&named.name), named.device),
    }
}
