//! QEMU's machine protocol (QMP): JSON lines over a socket.
//!
//! Source: QEMU, `docs/interop/qmp-spec.rst`.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::error::Error;

/// How long QEMU may take to answer a command.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// A connection to the monitor, past its greeting.
#[derive(Debug)]
pub struct Monitor {
    reader: BufReader<UnixStream>,
    /// The line that is being read: a time-out may leave a part of it here.
    partial: String,
    /// Events that came while something else was waited for, oldest first.
    events: Vec<Value>,
}

impl Monitor {
    /// The monitor at the other end of `stream`; negotiates.
    ///
    /// # Errors
    /// When QEMU doesn't greet.
    pub fn on(stream: UnixStream) -> Result<Self, Error> {
        let mut monitor = Self {
            reader: BufReader::new(stream),
            partial: String::new(),
            events: Vec::new(),
        };
        monitor
            .next(Instant::now() + ANSWER_TIME)?
            .ok_or_else(|| Error::Monitor("no greeting".to_owned()))?;
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Runs a command and returns its result.
    ///
    /// # Errors
    /// When QEMU refuses it or doesn't answer.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, Error> {
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        self.reader
            .get_mut()
            .write_all(line.as_bytes())
            .map_err(Error::io("write to QEMU's monitor"))?;
        let deadline = Instant::now() + ANSWER_TIME;
        while let Some(mut message) = self.next(deadline)? {
            if message.get("event").is_some() {
                self.events.push(message);
            } else if message.get("error").is_some() {
                return Err(Error::Monitor(format!("{command}: {message}")));
            } else {
                return Ok(message["return"].take());
            }
        }
        Err(Error::Monitor(format!("no answer to {command}")))
    }

    /// Waits for an event with this name (`RESET`, `SHUTDOWN`) and returns its data; events before it are dropped.
    ///
    /// # Errors
    /// After `limit`.
    pub fn wait_for(&mut self, event: &str, limit: Duration) -> Result<Value, Error> {
        let deadline = Instant::now() + limit;
        let mut kept = std::mem::take(&mut self.events).into_iter();
        while let Some(message) = kept.next() {
            if message["event"] == event {
                self.events = kept.collect();
                return Ok(message["data"].clone());
            }
        }
        while let Some(message) = self.next(deadline)? {
            if message["event"] == event {
                return Ok(message["data"].clone());
            }
        }
        Err(Error::Monitor(format!("no event {event} within {limit:?}")))
    }

    /// The next message; none when `deadline` passes first.
    fn next(&mut self, deadline: Instant) -> Result<Option<Value>, Error> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.reader
                .get_ref()
                .set_read_timeout(Some(left))
                .map_err(Error::io("read QEMU's monitor"))?;
            match self.reader.read_line(&mut self.partial) {
                Ok(0) => return Err(Error::Monitor("QEMU ended".to_owned())),
                Ok(_) if self.partial.ends_with('\n') => {
                    let line = std::mem::take(&mut self.partial);
                    return serde_json::from_str(&line)
                        .map(Some)
                        .map_err(|error| Error::Monitor(error.to_string()));
                }
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) => {}
                Err(error) => return Err(Error::io("read QEMU's monitor")(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Plays QEMU: answers each line with the next of `answers`.
    fn monitor(answers: &'static [&'static str]) -> Result<Monitor, Error> {
        let (here, mut stream) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            stream.write_all(b"{\"QMP\": {}}\n").unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap());
            for (line, answer) in lines.lines().zip(answers) {
                line.unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
            thread::sleep(Duration::from_secs(1));
        });
        Monitor::on(here)
    }

    #[test]
    fn events_that_come_before_an_answer_are_kept_for_a_later_wait() {
        let answers = &[
            "{\"return\": {}}\n",
            "{\"event\": \"RESET\", \"data\": {\"guest\": true}}\n{\"return\": 7}\n",
        ];
        let mut monitor = monitor(answers).unwrap();
        assert_eq!(monitor.execute("query-x", &json!({})).unwrap(), json!(7));
        assert_eq!(
            monitor.wait_for("RESET", Duration::from_secs(1)).unwrap(),
            json!({ "guest": true })
        );
    }

    #[test]
    fn a_refused_command_is_an_error_with_qemus_words() {
        let mut monitor = monitor(&[
            "{\"return\": {}}\n",
            "{\"error\": {\"desc\": \"no such thing\"}}\n",
        ])
        .unwrap();
        let error = monitor.execute("frobnicate", &json!({})).unwrap_err();
        assert!(error.to_string().contains("no such thing"), "{error}");
    }

    #[test]
    fn an_event_that_never_comes_ends_the_wait() {
        let mut monitor = monitor(&["{\"return\": {}}\n"]).unwrap();
        assert!(matches!(
            monitor.wait_for("RESET", Duration::from_millis(50)),
            Err(Error::Monitor(_))
        ));
    }
}
