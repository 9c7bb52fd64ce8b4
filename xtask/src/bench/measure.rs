//! Time and memory of whole processes.

use std::{fs, process::Command};

use serde::{Deserialize, Serialize};

use crate::{error::Error, shell};

/// What a process cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Wall-clock time in seconds.
    pub(crate) seconds: f64,
    /// Largest resident set in MiB of the process or one of its children.
    pub(crate) peak_mib: f64,
}

/// Runs `command` under GNU time and returns what it cost.
pub(crate) fn measure(command: &Command) -> Result<Cost, Error> {
    let report = tempfile::NamedTempFile::new().map_err(|source| Error::File {
        doing: "create a file in",
        path: std::env::temp_dir(),
        source,
    })?;
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["--format", "%e %M", "--output"]).arg(report.path());
    timed.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(name, value),
            None => timed.env_remove(name),
        };
    }
    shell::run(&mut timed)?;
    let text = fs::read_to_string(report.path()).unwrap_or_default();
    parse(&text).ok_or_else(|| Error::Unexpected(format!("GNU time said {text:?}")))
}

fn parse(text: &str) -> Option<Cost> {
    let (seconds, kib) = text.trim().lines().last()?.split_once(' ')?;
    Some(Cost {
        seconds: seconds.parse().ok()?,
        peak_mib: kib.parse::<f64>().ok()? / 1024.0,
    })
}

/// The run with the median time of an odd number of runs.
pub(crate) fn median(mut costs: Vec<Cost>) -> Result<Cost, Error> {
    costs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let middle = costs.len() / 2;
    costs
        .get(middle)
        .copied()
        .ok_or_else(|| Error::Unexpected("no runs were measured".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_three_runs_is_the_middle_one() {
        let cost = |seconds| Cost {
            seconds,
            peak_mib: 1.0,
        };
        let middle = median(vec![cost(3.0), cost(1.0), cost(2.0)]).unwrap();
        assert!((middle.seconds - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn gnu_times_last_line_counts_even_after_a_complaint() {
        let cost = parse("Command exited with non-zero status 1\n0.50 2048\n").unwrap();
        assert!((cost.seconds - 0.5).abs() < f64::EPSILON && (cost.peak_mib - 2.0).abs() < f64::EPSILON);
    }
}
