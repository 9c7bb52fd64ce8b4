//! Runs apt-get and understands its complaints.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Output},
};

use outcrop_release::arch::Architecture;

use super::{AptError, process, root::AptRoot};
use crate::progress::Progress;

/// Of the environment, apt sees only where programs and proxies are.
const PASSED: [&str; 8] = [
    "PATH",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

fn apt_get(root: &AptRoot, configuration: &Path) -> Command {
    let mut command = Command::new("apt-get");
    command.env_clear().env("APT_CONFIG", configuration);
    command.envs(
        PASSED
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?))),
    );
    command
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", root.home())
        .current_dir(root.home());
    command
}

/// Downloads the lists of all suites and architectures, and checks their signatures.
pub(super) fn update(root: &AptRoot, progress: &dyn Progress) -> Result<(), AptError> {
    let mut command = apt_get(root, &root.update_conf());
    command.arg("update");
    let output = process::output(command, progress)?;
    // Warnings count: with lists of an earlier run at hand, apt only warns when it can't trust the new ones.
    let complaints = complaints(&output);
    if output.status.success() && !complaints.iter().any(|line| is_grave(line)) {
        return Ok(());
    }
    Err(refusal(root, &complaints).unwrap_or_else(|| update_error(&complaints)))
}

/// Whether a line of an update that apt calls successful is a reason to stop all the same.
fn is_grave(line: &str) -> bool {
    [
        "Failed to fetch",
        "GPG error",
        "signature",
        "not signed",
        "is expired",
        "will be ignored",
        "old ones used",
    ]
    .iter()
    .any(|sign| line.contains(sign))
}

/// That this machine, not the archive, keeps apt from writing: the errno in its complaint says so.
fn refusal(root: &AptRoot, complaints: &[String]) -> Option<AptError> {
    let signs = [
        "(13: Permission denied)",
        "(28: No space left on device)",
        "(30: Read-only file system)",
        "(122: Disk quota exceeded)",
    ];
    let found = complaints
        .iter()
        .find(|line| signs.iter().any(|sign| line.contains(sign)) && !line.contains("connect"));
    found.map(|line| AptError::Folder {
        folder: root.folder().to_owned(),
        complaint: line.clone(),
    })
}

/// Why apt answered nothing, when it is no conflict between packages.
fn failure(root: &AptRoot, output: &Output) -> AptError {
    let complaints = complaints(output);
    refusal(root, &complaints).unwrap_or_else(|| AptError::Apt(complaints.join("; ")))
}

fn update_error(complaints: &[String]) -> AptError {
    let first = |signs: &[&str]| {
        complaints
            .iter()
            .find(|line| signs.iter().any(|sign| line.contains(sign)))
            .cloned()
    };
    let signature = [
        "EXPKEYSIG",
        "NO_PUBKEY",
        "BADSIG",
        "REVKEYSIG",
        "GPG error",
        "signature",
        "not signed",
        "OpenPGP",
        "sqv",
    ];
    if let Some(line) = first(&["is expired", "not valid yet", "Valid-Until"]) {
        return AptError::Stale(line);
    }
    if let Some(line) = first(&signature) {
        return AptError::Signature(line);
    }
    AptError::Update(if complaints.is_empty() {
        "apt-get update failed".to_owned()
    } else {
        complaints.join("; ")
    })
}

/// Error and warning lines, without their marks.
fn complaints(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines()
        .filter_map(|line| line.strip_prefix("E: ").or_else(|| line.strip_prefix("W: ")))
        .map(str::to_owned)
        .collect()
}

/// What `apt-get install` would download for `names` and all that they need.
pub(super) fn install(
    root: &AptRoot,
    arch: Architecture,
    names: &BTreeSet<&str>,
    progress: &dyn Progress,
) -> Result<String, AptError> {
    let mut command = apt_get(root, &root.arch_conf(arch));
    command
        .args(["--print-uris", "--yes", "install", "--"])
        .args(names);
    let output = process::output(command, progress)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let reason = conflict(&String::from_utf8_lossy(&output.stdout), &complaints(&output));
    match reason {
        Some(reason) => Err(AptError::Conflict { arch, reason }),
        None => Err(failure(root, &output)),
    }
}

/// The lines under "The following packages have unmet dependencies", and those of apt's newer solver on its errors.
fn conflict(stdout: &str, complaints: &[String]) -> Option<String> {
    let heading = "The following packages have unmet dependencies:";
    let lines: Vec<_> = stdout
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        .collect();
    if !lines.is_empty() {
        return Some(lines.join("\n"));
    }
    let solver =
        |line: &&String| line.contains("Unable to correct problems") || line.contains("Unable to satisfy");
    complaints
        .iter()
        .any(|line| solver(&line))
        .then(|| complaints.join("\n"))
}

/// What `apt-get download` would download: `names` alone.
pub(super) fn download(
    root: &AptRoot,
    arch: Architecture,
    names: &BTreeSet<&str>,
    progress: &dyn Progress,
) -> Result<String, AptError> {
    let mut command = apt_get(root, &root.arch_conf(arch));
    command.args(["--print-uris", "download", "--"]).args(names);
    let output = process::output(command, progress)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failure(root, &output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_conflict_is_taken_from_apt_s_table() {
        let text = "Reading package lists...\nThe following packages have unmet dependencies:\n a : Conflicts: b\n b : Conflicts: a\nE: x\n";
        assert_eq!(
            conflict(text, &[]).unwrap(),
            " a : Conflicts: b\n b : Conflicts: a"
        );
        assert_eq!(conflict("Reading package lists...\n", &["no space".into()]), None);
    }

    #[test]
    fn complaints_are_sorted_into_signature_age_and_network() {
        let of = |line: &str| update_error(&[line.to_owned()]);
        let signature =
            "GPG error: http://x trixie InRelease: The following signatures were invalid: EXPKEYSIG 1 Name";
        assert!(matches!(of(signature), AptError::Signature(_)));
        assert!(matches!(
            of("Release file for http://x is expired (invalid since 1d)."),
            AptError::Stale(_)
        ));
        assert!(matches!(
            of("Failed to fetch http://x  404  Not Found"),
            AptError::Update(_)
        ));
    }
}
