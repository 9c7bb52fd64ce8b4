//! The script gate: decides for every preinst and postinst whether an image may do without running it.
//!
//! A script is read (`shell`) and followed as far as "a first installation, nothing running" decides (`reduce`). Known
//! commands become actions, or nothing where a finish step or the device does their work (`commands`). What is left is
//! the residue: it has to be known from a review (`reviewed`), or accepted by the recipe. Comments are not trusted:
//! the parts that debhelper generates are recognised by what they do, not by their marks.

mod commands;
mod condition;
mod expand;
mod init_scripts;
mod reduce;
mod residue;
pub mod reviewed;
mod shell;
#[cfg(test)]
mod tests;
pub mod triggers;
mod walk;

use outcrop_release::{arch::Architecture, digest::FileDigest};

pub use init_scripts::init_only;
pub use residue::Residue;

use super::format::{LockedScript, ScriptKind, Verdict};
use reduce::Reduced;

/// A maintainer script and where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Script<'a> {
    /// Package name.
    pub package: &'a str,
    /// What the package is locked for.
    pub architecture: Architecture,
    /// Which script.
    pub kind: ScriptKind,
    /// The script.
    pub bytes: &'a [u8],
    /// Init scripts of the package for which there is no unit, by name: enabling them is not handled.
    pub init_only: &'a [String],
}

/// A script that nobody vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreviewed {
    /// Package name.
    pub package: String,
    /// Which member of its control archive: `preinst`, `postinst`, `triggers`.
    pub member: &'static str,
    /// The lines that nobody handles.
    pub residue: Residue,
    /// Why the script could not be followed, when that is so: then every line is residue.
    pub unreadable: Option<String>,
}

/// What the analysis alone finds.
#[derive(Debug)]
pub struct Analysis {
    /// What stands for the recognised lines.
    pub actions: Vec<crate::action::Action>,
    /// What is left.
    pub residue: Option<Residue>,
    /// Why the script could not be followed.
    pub unreadable: Option<String>,
}

/// Follows a script.
#[must_use]
pub fn analyse(script: &Script<'_>) -> Analysis {
    let text = String::from_utf8_lossy(script.bytes);
    let read = match std::str::from_utf8(script.bytes) {
        Err(_) => Err("it is not UTF-8".to_owned()),
        Ok(text) if !is_shell(text) => Err("it is not a shell script".to_owned()),
        Ok(text) => shell::parse(text).map_err(|error| error.to_string()),
    };
    let (reduced, unreadable) = match read {
        Ok(list) => {
            let mut reduced = reduce::reduce(&list, script);
            reduced.residue = residue::with_context(&text, reduced.residue, &walk::definitions(&list));
            (reduced, None)
        }
        Err(why) => (
            Reduced {
                residue: vec![(1, usize::MAX)],
                ..Reduced::default()
            },
            Some(why),
        ),
    };
    let residue = Residue::of(&text, &reduced.residue, &changing_names(script));
    Analysis {
        actions: reduced.actions,
        residue,
        unreadable,
    }
}

fn is_shell(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let program = first
        .strip_prefix("#!")
        .and_then(|line| line.split_whitespace().next());
    matches!(
        program,
        Some("/bin/sh" | "/bin/dash" | "/bin/bash" | "/usr/bin/sh" | "/usr/bin/dash" | "/usr/bin/bash")
    )
}

/// The kernel release in a kernel package's name: `6.12.117+deb13-amd64`.
fn kernel_release(package: &str) -> Option<&str> {
    let release = package.strip_prefix("linux-image-")?;
    release
        .starts_with(|first: char| first.is_ascii_digit())
        .then_some(release)
}

fn changing_names(script: &Script<'_>) -> Vec<(String, &'static str)> {
    let release = kernel_release(script.package).map(|release| (release.to_owned(), "@RELEASE@"));
    let architecture = script.architecture;
    let rest = [
        (architecture.multiarch().to_owned(), "@MULTIARCH@"),
        (format!(":{}", architecture.debian()), ":@ARCH@"),
    ];
    release.into_iter().chain(rest).collect()
}

/// The name under which `scripts.toml` has a package.
fn review_name(package: &str) -> &str {
    if kernel_release(package).is_some() {
        "linux-image-@RELEASE@"
    } else {
        package
    }
}

/// Decides over a script. `accepted` are the recipe's `packages.accept-scripts`.
///
/// # Errors
/// [`Unreviewed`] when it has lines that nobody handles.
pub fn judge(script: &Script<'_>, accepted: &[String]) -> Result<LockedScript, Box<Unreviewed>> {
    let analysis = analyse(script);
    let locked = |verdict, actions| LockedScript {
        kind: script.kind,
        sha256: FileDigest::of(script.bytes),
        verdict,
        actions,
    };
    let Some(residue) = analysis.residue else {
        return Ok(locked(Verdict::Recognised, analysis.actions));
    };
    let mut unreadable = analysis.unreadable;
    match reviewed::find(review_name(script.package), script.kind, &residue.digest) {
        Ok(Some(review)) => {
            let actions = review.replace(analysis.actions);
            return Ok(locked(Verdict::Reviewed, actions));
        }
        Ok(None) => {}
        Err(why) => unreadable = Some(format!("the reviews that are built in can't be read: {why}")),
    }
    if accepted.contains(&format!("{}/{}", script.package, script.kind.as_str())) {
        return Ok(locked(Verdict::Accepted, analysis.actions));
    }
    Err(Box::new(Unreviewed {
        package: script.package.to_owned(),
        member: script.kind.as_str(),
        residue,
        unreadable,
    }))
}
