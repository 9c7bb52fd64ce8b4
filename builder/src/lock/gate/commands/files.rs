//! Files: owners, permissions, folders, links, diversions, capabilities.

use super::{DONE, Verdict, options::Line};
use crate::action::Action;

fn is_mode(text: &str) -> bool {
    (3..=5).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b))
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() > 1
}

/// `chown USER:GROUP PATH...`, not recursive.
pub(super) fn chown(words: &[&str]) -> Option<Vec<Action>> {
    let line = Line::read(words, &["-h", "-f", "--no-dereference"], &[])?;
    let (owner, paths) = line.operands.split_first()?;
    let (user, group) = owner.split_once(':')?;
    let named = |name: &str| !name.is_empty();
    if !named(user) || !named(group) || paths.is_empty() || !paths.iter().all(|path| is_path(path)) {
        return None;
    }
    let own = |path: &&str| Action::Own {
        path: (*path).to_owned(),
        user: user.to_owned(),
        group: group.to_owned(),
        mode: None,
    };
    Some(paths.iter().map(own).collect())
}

/// `chmod MODE PATH...` of paths whose owner the script just set, or that it just made: completes that action.
pub(super) fn chmod(words: &[&str], actions: &mut [Action]) -> Verdict {
    let complete = || {
        let line = Line::read(words, &["-f"], &[])?;
        let (mode, paths) = line.operands.split_first()?;
        if !is_mode(mode) || paths.is_empty() {
            return None;
        }
        let mut indices = Vec::new();
        for path in paths {
            let index = actions.iter().rposition(|action| match action {
                Action::Own { path: owned, .. } | Action::Directory { path: owned, .. } => owned == path,
                _ => false,
            });
            indices.push(index?);
        }
        Some((mode.to_string(), indices))
    };
    let Some((new, indices)) = complete() else {
        return Verdict::Unknown;
    };
    for index in indices {
        match actions.get_mut(index) {
            Some(Action::Own { mode, .. }) => *mode = Some(new.clone()),
            Some(Action::Directory { mode, .. }) => mode.clone_from(&new),
            _ => return Verdict::Unknown,
        }
    }
    DONE
}

/// `--list` finds nothing, because nobody has overridden anything yet; `--update --add` sets owner and permissions.
pub(super) fn statoverride(words: &[&str], actions: &mut Vec<Action>) -> Verdict {
    let Some(line) = Line::read(
        words,
        &["--list", "--add", "--update", "--quiet", "--force-all", "--force"],
        &[],
    ) else {
        return Verdict::Unknown;
    };
    if line.flag(&["--list"]) {
        return Verdict::Handled(Some(false));
    }
    match line.operands.as_slice() {
        [user, group, mode, path] if line.flag(&["--add"]) && is_mode(mode) && is_path(path) => {
            actions.push(Action::Own {
                path: (*path).to_owned(),
                user: (*user).to_owned(),
                group: (*group).to_owned(),
                mode: Some((*mode).to_owned()),
            });
            DONE
        }
        _ => Verdict::Unknown,
    }
}

/// Diversions that protect files while a system moves to a merged /usr (`….usr-is-merged`) divert nothing in an image:
/// no package's file may stand in an alias there. Others are actions. `--remove` undoes what only an upgrade finds.
pub(super) fn divert(words: &[&str]) -> Option<Vec<Action>> {
    let flags = [
        "--quiet",
        "--add",
        "--remove",
        "--rename",
        "--no-rename",
        "--local",
    ];
    let line = Line::read(words, &flags, &["--package", "--divert"])?;
    let [path] = line.operands.as_slice() else {
        return None;
    };
    let to = line.value(&["--divert"]);
    if line.flag(&["--remove"]) || to.is_some_and(|to| to.ends_with(".usr-is-merged")) {
        return Some(Vec::new());
    }
    if line.flag(&["--no-rename"]) {
        return None;
    }
    let to = to.map_or_else(|| format!("{path}.distrib"), str::to_owned);
    Some(vec![Action::Divert {
        path: (*path).to_owned(),
        to,
    }])
}

fn folders(line: &Line<'_>) -> Option<Vec<Action>> {
    let mode = line.value(&["-m", "--mode"]).unwrap_or("755");
    if !is_mode(mode) || line.operands.is_empty() || !line.operands.iter().all(|path| is_path(path)) {
        return None;
    }
    let folder = |path: &&str| Action::Directory {
        path: (*path).trim_end_matches('/').to_owned(),
        mode: mode.to_owned(),
        user: line.value(&["-o", "--owner"]).unwrap_or("root").to_owned(),
        group: line.value(&["-g", "--group"]).unwrap_or("root").to_owned(),
    };
    Some(line.operands.iter().map(folder).collect())
}

/// `mkdir -p`
pub(super) fn mkdir(words: &[&str]) -> Option<Vec<Action>> {
    folders(&Line::read(words, &["-p", "--parents"], &["-m", "--mode"])?)
}

/// `install -d`, and `install /dev/null PATH`: an empty file
pub(super) fn install(words: &[&str]) -> Option<Vec<Action>> {
    let valued = ["-m", "--mode", "-o", "--owner", "-g", "--group"];
    let line = Line::read(words, &["-d", "--directory"], &valued)?;
    if line.flag(&["-d", "--directory"]) {
        return folders(&line);
    }
    match line.operands.as_slice() {
        ["/dev/null", path]
            if is_path(path)
                && line
                    .values
                    .iter()
                    .all(|(option, _)| matches!(*option, "-m" | "--mode")) =>
        {
            let mode = line.value(&["-m", "--mode"]).unwrap_or("755");
            let (path, mode) = ((*path).to_owned(), mode.to_owned());
            is_mode(&mode).then(|| {
                vec![Action::File {
                    path,
                    mode,
                    content: String::new(),
                }]
            })
        }
        _ => None,
    }
}

/// `ln -s TARGET PATH`
pub(super) fn symlink(words: &[&str]) -> Option<Vec<Action>> {
    let line = Line::read(
        words,
        &[
            "-s",
            "-sf",
            "-fs",
            "-snf",
            "-sfn",
            "-f",
            "-n",
            "--symbolic",
            "--force",
        ],
        &[],
    )?;
    match line.operands.as_slice() {
        [target, path]
            if line.flags.iter().any(|flag| flag.contains('s')) && is_path(path) && !path.ends_with('/') =>
        {
            Some(vec![Action::Symlink {
                path: (*path).to_owned(),
                target: (*target).to_owned(),
            }])
        }
        _ => None,
    }
}

/// `setcap CAPABILITIES PATH`
pub(super) fn setcap(words: &[&str]) -> Option<Vec<Action>> {
    match words {
        [capabilities, path] if is_path(path) && !capabilities.starts_with('-') => {
            Some(vec![Action::Capability {
                path: (*path).to_owned(),
                capabilities: (*capabilities).to_owned(),
            }])
        }
        _ => None,
    }
}

/// `add-shell PATH...`
pub(super) fn shell(words: &[&str]) -> Option<Vec<Action>> {
    let shell = |path: &&str| {
        is_path(path).then(|| Action::Shell {
            path: (*path).to_owned(),
        })
    };
    words.iter().map(shell).collect()
}

/// `ucf FROM TO`
pub(super) fn ucf(words: &[&str]) -> Option<Vec<Action>> {
    let line = Line::read(
        words,
        &["--three-way", "--debconf-ok"],
        &["--sum-file", "--src-dir", "--debconf-template"],
    )?;
    match line.operands.as_slice() {
        [from, to] if is_path(from) && is_path(to) => Some(vec![Action::Copy {
            from: (*from).to_owned(),
            to: (*to).to_owned(),
            mode: "644".to_owned(),
        }]),
        _ => None,
    }
}
