//! What PID 1 says: to the kernel's log, which the kernel prints on every console.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

/// How much a message matters. Numbers of the kernel's log levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Printed whatever `loglevel=` says, unless it is 0.
    Alert = 1,
    Warning = 4,
    Info = 6,
}

/// Longest message that the kernel's log takes as one.
/// Source: Linux, `PRINTKRB_RECORD_MAX` in `kernel/printk/printk.c`.
const MAX_LINE_BYTES: usize = 976;

/// The kernel's log, or, when that can't be had, the console.
#[derive(Debug, Default)]
pub struct Console {
    log: Option<File>,
}

impl Console {
    /// Opens the log. `/dev` and `/proc` must be there.
    #[must_use]
    pub fn open() -> Self {
        // Without it the kernel drops all but ten of our lines in five seconds. Nothing to do when it fails.
        let _ = fs::write("/proc/sys/kernel/printk_devkmsg", "on\n");
        Self::open_at(Path::new("/dev/kmsg"))
    }

    fn open_at(path: &Path) -> Self {
        let log = File::options().append(true).open(path).ok();
        Self { log }
    }

    /// The course of things.
    pub fn info(&mut self, text: &str) {
        self.say(Level::Info, text);
    }

    /// Something is wrong and the boot goes on.
    pub fn warn(&mut self, text: &str) {
        self.say(Level::Warning, text);
    }

    /// The boot ends here.
    pub fn fatal(&mut self, text: &str) {
        self.say(Level::Alert, text);
    }

    fn say(&mut self, level: Level, text: &str) {
        for line in lines(level, text) {
            let written = self
                .log
                .as_mut()
                .is_some_and(|log| log.write_all(line.as_bytes()).is_ok());
            if !written && let Ok(mut console) = File::options().write(true).open("/dev/console") {
                // The last resort: whoever can't be told here can't be told.
                let _ = console.write_all(line.as_bytes());
            }
        }
    }
}

/// `text` as records of the kernel's log.
fn lines(level: Level, text: &str) -> Vec<String> {
    let record = |line| format!("<{}>outcrop-init: {}\n", level as u8, cut(line));
    text.lines().map(record).collect()
}

/// The beginning of `line` that fits, whole characters only.
fn cut(line: &str) -> &str {
    let mut ends = (0..=MAX_LINE_BYTES.min(line.len())).rev();
    ends.find_map(|end| line.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_record_with_level_and_name() {
        assert_eq!(
            lines(Level::Warning, "a\nb"),
            ["<4>outcrop-init: a\n", "<4>outcrop-init: b\n"]
        );
    }

    #[test]
    fn a_line_that_the_log_wouldnt_take_is_cut_between_characters() {
        let text = "é".repeat(1000);
        let line = &lines(Level::Info, &text)[0];
        assert!(line.len() < 1024 && line.contains("éé"));
    }

    #[test]
    fn messages_go_to_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kmsg");
        fs::write(&path, "").unwrap();
        let mut console = Console::open_at(&path);
        console.info("one");
        console.fatal("two");
        assert_eq!(
            fs::read_to_string(path).unwrap(),
            "<6>outcrop-init: one\n<1>outcrop-init: two\n"
        );
    }
}
