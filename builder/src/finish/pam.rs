//! PAM: `/etc/pam.d/common-*` from the profiles that packages ship.
//!
//! What pam-auth-update(8) makes on a fresh installation: profiles with `Default: yes`, by descending priority; a
//! *primary* block in which the first module that succeeds jumps over the final `pam_deny`, and an *additional* block
//! in which every module runs. The frame, with its deny at the end, is the package's own template.

use super::{edit, error::FinishError};
use crate::tree::{Tree, TreePath};

/// Where packages put profiles.
const PROFILES: &str = "usr/share/pam-configs";
/// Where libpam-runtime keeps the frames.
const FRAMES: &str = "usr/share/pam";

/// One file of /etc/pam.d that is generated.
struct Target {
    file: &'static str,
    /// First column of its lines, and prefix of the profile's keys.
    kind: &'static str,
    /// What the template's placeholders begin with.
    placeholder: &'static str,
    /// Whether profiles marked `Session-Interactive-Only` stay out.
    noninteractive: bool,
}

const TARGETS: [Target; 5] = [
    Target {
        file: "common-auth",
        kind: "Auth",
        placeholder: "auth",
        noninteractive: false,
    },
    Target {
        file: "common-account",
        kind: "Account",
        placeholder: "account",
        noninteractive: false,
    },
    Target {
        file: "common-password",
        kind: "Password",
        placeholder: "password",
        noninteractive: false,
    },
    Target {
        file: "common-session",
        kind: "Session",
        placeholder: "session",
        noninteractive: false,
    },
    Target {
        file: "common-session-noninteractive",
        kind: "Session",
        placeholder: "session_nonint",
        noninteractive: true,
    },
];

/// A profile: keys with one line, keys with several.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Profile {
    name: String,
    priority: i64,
    fields: Vec<(String, Vec<String>)>,
}

impl Profile {
    fn lines(&self, key: &str) -> Option<&[String]> {
        self.fields
            .iter()
            .find(|(found, _)| found == key)
            .map(|(_, lines)| lines.as_slice())
    }

    fn conflicts(&self, name: &str) -> bool {
        self.value("Conflicts")
            .is_some_and(|names| names.split(',').any(|other| other.trim() == name))
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.lines(key)?.first().map(String::as_str)
    }
}

/// Writes the common files. Without libpam-runtime there is nothing to do.
///
/// # Errors
/// When a profile is malformed.
pub(super) fn run(tree: &mut Tree) -> Result<(), FinishError> {
    let profiles = enabled_profiles(tree)?;
    for target in &TARGETS {
        let frame: TreePath = format!("{FRAMES}/{}", target.file)
            .parse()
            .map_err(FinishError::Path)?;
        if let Some(frame) = edit::read_text(tree, &frame)? {
            edit::write_text(
                tree,
                &format!("etc/pam.d/{}", target.file),
                &render(&frame, target, &profiles),
            )?;
        }
    }
    Ok(())
}

fn enabled_profiles(tree: &Tree) -> Result<Vec<Profile>, FinishError> {
    let mut profiles = Vec::new();
    for name in edit::names_in(tree, PROFILES, "") {
        let path: TreePath = format!("{PROFILES}/{name}").parse().map_err(FinishError::Path)?;
        let text = edit::read_text(tree, &path)?.unwrap_or_default();
        let profile = parse(&name, &text).map_err(|reason| FinishError::Pam { path, reason })?;
        if profile.value("Default") == Some("yes") {
            profiles.push(profile);
        }
    }
    profiles.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| b.name.cmp(&a.name)));
    Ok(without_conflicts(profiles))
}

/// Takes out what a profile before it names in `Conflicts`.
fn without_conflicts(profiles: Vec<Profile>) -> Vec<Profile> {
    let mut kept: Vec<Profile> = Vec::new();
    for profile in profiles {
        if kept.iter().any(|other| other.conflicts(&profile.name)) {
            continue;
        }
        kept.retain(|other| !profile.conflicts(&other.name));
        kept.push(profile);
    }
    kept
}

fn parse(name: &str, text: &str) -> Result<Profile, &'static str> {
    let mut fields: Vec<(String, Vec<String>)> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
    {
        if line.starts_with([' ', '\t']) {
            let (_, lines) = fields.last_mut().ok_or("it starts with a continuation line")?;
            lines.push(line.trim().to_owned());
        } else {
            let (key, value) = line.split_once(':').ok_or("a line has no colon")?;
            let first = Some(value.trim()).filter(|value| !value.is_empty());
            fields.push((
                key.trim().to_owned(),
                first.into_iter().map(str::to_owned).collect(),
            ));
        }
    }
    let mut profile = Profile {
        name: name.to_owned(),
        priority: 0,
        fields,
    };
    profile.priority = profile
        .value("Priority")
        .unwrap_or("0")
        .parse()
        .map_err(|_| "its priority is no number")?;
    Ok(profile)
}

fn render(frame: &str, target: &Target, profiles: &[Profile]) -> String {
    let mut text = String::new();
    for line in frame.lines() {
        let block = line
            .strip_prefix('$')
            .and_then(|rest| rest.strip_prefix(target.placeholder));
        match block {
            Some("_primary") => text.push_str(&block_lines(target, profiles, "Primary")),
            Some("_additional") => text.push_str(&block_lines(target, profiles, "Additional")),
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

/// The lines of one block. The first profile of a block uses its `-Initial` lines: nobody asked for a password yet.
fn block_lines(target: &Target, profiles: &[Profile], kind: &str) -> String {
    let chosen: Vec<&Profile> = profiles
        .iter()
        .filter(|profile| takes_part(profile, target, kind))
        .collect();
    let mut lines: Vec<&str> = Vec::new();
    for (position, profile) in chosen.iter().enumerate() {
        let initial = profile
            .lines(&format!("{}-Initial", target.kind))
            .filter(|_| position == 0);
        let own = initial.or_else(|| profile.lines(target.kind)).unwrap_or_default();
        lines.extend(own.iter().map(String::as_str));
    }
    let column = target.kind.to_lowercase();
    // Behind the primary block stands the frame's deny; behind the additional one nothing.
    let behind = usize::from(kind == "Primary");
    let numbered = lines
        .iter()
        .rev()
        .enumerate()
        .map(|(after, line)| jump(line, after + behind));
    let mut result: Vec<String> = numbered.map(|line| format!("{column}\t{line}\n")).collect();
    result.reverse();
    if kind == "Primary" && result.is_empty() && target.kind == "Session" {
        // Without a primary session module the frame's deny would end every session.
        return "session\t[default=1]\t\t\tpam_permit.so\n".to_owned();
    }
    result.concat()
}

fn takes_part(profile: &Profile, target: &Target, kind: &str) -> bool {
    let interactive_only = profile.value("Session-Interactive-Only") == Some("yes");
    profile.value(&format!("{}-Type", target.kind)) == Some(kind)
        && !(target.noninteractive && interactive_only)
}

/// `end` in a control field becomes a jump over the `after` lines to the end of the block, or over the frame's deny.
fn jump(line: &str, after: usize) -> String {
    let Some((control, rest)) = line.strip_prefix('[').and_then(|line| line.split_once(']')) else {
        return line.to_owned();
    };
    let fields: Vec<String> = control
        .split_whitespace()
        .map(|field| {
            field
                .strip_suffix("=end")
                .map_or_else(|| field.to_owned(), |key| format!("{key}={after}"))
        })
        .collect();
    format!("[{}]{rest}", fields.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    const UNIX: &str = "Name: Unix\nDefault: yes\nPriority: 256\nAuth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_unix.so try_first_pass\nAuth-Initial:\n\t[success=end default=ignore]\tpam_unix.so\nSession-Type: Additional\nSession:\n\trequired\tpam_unix.so\n";
    const SSS: &str = "Name: SSS\nDefault: yes\nPriority: 128\nAuth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_sss.so\n\t[success=1 default=bad]\tpam_x.so\n";
    const SYSTEMD: &str = "Name: systemd\nDefault: yes\nPriority: 0\nSession-Interactive-Only: yes\nSession-Type: Additional\nSession:\n\toptional\tpam_systemd.so\n";
    const FRAME: &str = "# frame\n$auth_primary\nauth\trequisite\tpam_deny.so\n$auth_additional\n";

    #[test]
    fn the_first_success_jumps_over_the_rest_of_the_block_and_the_deny() {
        let mut tree = testing::tree(&[
            ("usr/share/pam-configs/unix", UNIX),
            ("usr/share/pam-configs/sss", SSS),
            (
                "usr/share/pam-configs/off",
                "Name: off\nDefault: no\nPriority: 999\nAuth-Type: Primary\nAuth:\n\trequired pam_permit.so\n",
            ),
            ("usr/share/pam/common-auth", FRAME),
        ]);
        run(&mut tree).unwrap();
        assert_eq!(
            testing::text(&tree, "etc/pam.d/common-auth"),
            "# frame\nauth\t[success=3 default=ignore]\tpam_unix.so\n\
             auth\t[success=2 default=ignore]\tpam_sss.so\nauth\t[success=1 default=bad]\tpam_x.so\n\
             auth\trequisite\tpam_deny.so\n"
        );
    }

    #[test]
    fn sessions_without_primary_module_still_open_and_interactive_profiles_stay_interactive() {
        let mut tree = testing::tree(&[
            ("usr/share/pam-configs/unix", UNIX),
            ("usr/share/pam-configs/systemd", SYSTEMD),
            (
                "usr/share/pam/common-session",
                "$session_primary\n$session_additional\n",
            ),
            (
                "usr/share/pam/common-session-noninteractive",
                "$session_nonint_primary\n$session_nonint_additional\n",
            ),
        ]);
        run(&mut tree).unwrap();
        let primary = "session\t[default=1]\t\t\tpam_permit.so\nsession\trequired\tpam_unix.so\n";
        assert_eq!(
            testing::text(&tree, "etc/pam.d/common-session"),
            format!("{primary}session\toptional\tpam_systemd.so\n")
        );
        assert_eq!(
            testing::text(&tree, "etc/pam.d/common-session-noninteractive"),
            primary
        );
    }

    #[test]
    fn a_malformed_profile_is_refused_by_its_path() {
        let mut tree = testing::tree(&[("usr/share/pam-configs/x", "Priority: high\n")]);
        let error = run(&mut tree).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/usr/share/pam-configs/x is no PAM profile: its priority is no number"
        );
    }

    #[test]
    fn equals_stand_by_descending_name_an_additional_end_stays_in_the_block_and_conflicts_are_left_out() {
        let additional = |name: &str, more: &str| {
            format!(
                "Name: {name}\nDefault: yes\nPriority: 1\n{more}Auth-Type: Additional\nAuth:\n\t[success=end default=ignore]\tpam_{name}.so\n"
            )
        };
        let mut tree = testing::tree(&[
            ("usr/share/pam-configs/a", &additional("a", "")),
            ("usr/share/pam-configs/b", &additional("b", "Conflicts: c, x\n")),
            ("usr/share/pam-configs/c", &additional("c", "")),
            ("usr/share/pam/common-auth", FRAME),
        ]);
        run(&mut tree).unwrap();
        assert_eq!(
            testing::text(&tree, "etc/pam.d/common-auth"),
            "# frame\nauth\trequisite\tpam_deny.so\nauth\t[success=1 default=ignore]\tpam_b.so\n\
             auth\t[success=0 default=ignore]\tpam_a.so\n"
        );
    }
}
