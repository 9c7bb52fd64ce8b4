//! Files: owners, permissions, folders, links, diversions, capabilities.

use super::{DONE, Verdict, options::Line};
use crate::{action::Action, lock::format::ScriptKind};

fn is_mode(text: &str) -> bool {
    (3..=5).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b))
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() > 1
}

fn are_paths(words: &[&str]) -> bool {
    !words.is_empty() && words.iter().all(|path| is_path(path))
}

fn own(path: &str, user: Option<&str>, group: Option<&str>, mode: Option<&str>) -> Action {
    let text = |value: Option<&str>| value.map(str::to_owned);
    Action::Own {
        path: path.trim_end_matches('/').to_owned(),
        user: text(user),
        group: text(group),
        mode: text(mode),
    }
}

/// `chown [USER][:GROUP] PATH...`, not recursive.
pub(super) fn chown(words: &[&str]) -> Option<Vec<Action>> {
    let line = Line::read(words, &["-h", "-f", "--no-dereference"], &[])?;
    let (owner, paths) = line.operands.split_first()?;
    let (user, group) = match owner.split_once(':') {
        Some((user, group)) if !group.is_empty() => ((!user.is_empty()).then_some(user), Some(group)),
        Some(_) => return None, // the user's login group, which nobody knows here
        None => (Some(*owner), None),
    };
    are_paths(paths).then(|| paths.iter().map(|path| own(path, user, group, None)).collect())
}

/// `chgrp GROUP PATH...`, not recursive.
pub(super) fn chgrp(words: &[&str]) -> Option<Vec<Action>> {
    let line = Line::read(words, &["-h", "-f"], &[])?;
    let (group, paths) = line.operands.split_first()?;
    are_paths(paths).then(|| {
        paths
            .iter()
            .map(|path| own(path, None, Some(group), None))
            .collect()
    })
}

/// `chmod MODE PATH...`, with an octal mode: completes the action that owned the path.
pub(super) fn chmod(words: &[&str], actions: &mut Vec<Action>) -> Verdict {
    let Some(line) = Line::read(words, &["-f"], &[]) else {
        return Verdict::Unknown;
    };
    let Some((mode, paths)) = line.operands.split_first() else {
        return Verdict::Unknown;
    };
    if !is_mode(mode) || !are_paths(paths) {
        return Verdict::Unknown;
    }
    for path in paths {
        let path = path.trim_end_matches('/');
        let same = |action: &&mut Action| matches!(action, Action::Own { path: owned, .. } if owned == path);
        match actions.iter_mut().rev().find(same) {
            Some(Action::Own { mode: old, .. }) => *old = Some((*mode).to_owned()),
            _ => actions.push(own(path, None, None, Some(mode))),
        }
    }
    DONE
}

/// `rm PATH...` without patterns. What a preinst removes is not there on a first installation.
pub(super) fn rm(words: &[&str], kind: ScriptKind) -> Option<Vec<Action>> {
    let line = Line::read(words, &["-f", "-r", "-rf", "-fr", "-R", "--force", "-v"], &[])?;
    let deep = |path: &&str| is_path(path) && path.trim_end_matches('/').matches('/').count() > 1;
    if line.operands.is_empty() || !line.operands.iter().all(deep) {
        return None;
    }
    let remove = |path: &&str| Action::Remove {
        path: path.trim_end_matches('/').to_owned(),
    };
    Some(
        line.operands
            .iter()
            .filter(|_| kind == ScriptKind::Postinst)
            .map(remove)
            .collect(),
    )
}

/// `--list` finds nothing, because nobody has overridden anything yet; `--update --add` sets owner and permissions.
pub(super) fn statoverride(words: &[&str], actions: &mut Vec<Action>) -> Verdict {
    let flags = ["--list", "--add", "--update", "--quiet", "--force-all", "--force"];
    let Some(line) = Line::read(words, &flags, &[]) else {
        return Verdict::Unknown;
    };
    if line.flag(&["--list"]) {
        return Verdict::Handled(Some(false));
    }
    match line.operands.as_slice() {
        [user, group, mode, path] if line.flag(&["--add"]) && is_mode(mode) && is_path(path) => {
            actions.push(own(path, Some(user), Some(group), Some(mode)));
            DONE
        }
        _ => Verdict::Unknown,
    }
}

/// Diversions that protect files while a system moves to a merged /usr (`….usr-is-merged`) divert nothing in an image:
/// no package's file may stand in an alias there. Others are actions. `--remove` undoes what only an upgrade finds.
/// What another package, or nobody (`--local`), is to divert is for a reviewer.
pub(super) fn divert(words: &[&str], package: &str) -> Option<Vec<Action>> {
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
    let other = line.value(&["--package"]).is_some_and(|other| other != package);
    if other || line.flag(&["--no-rename", "--local"]) {
        return None;
    }
    let to = to.map_or_else(|| format!("{path}.distrib"), str::to_owned);
    Some(vec![Action::Divert {
        path: (*path).to_owned(),
        to,
    }])
}

/// A folder that is made unless it is there; what is there stays as it is.
fn folder(path: &str, mode: &str) -> Action {
    Action::Directory {
        path: path.trim_end_matches('/').to_owned(),
        mode: mode.to_owned(),
        user: "root".to_owned(),
        group: "root".to_owned(),
    }
}

/// `mkdir -p`. With `-m` it would matter whether the folder is there already.
pub(super) fn mkdir(words: &[&str]) -> Option<Vec<Action>> {
    let line = Line::read(words, &["-p", "--parents"], &["-m", "--mode"])?;
    let mode = line.value(&["-m", "--mode"]);
    let parents = line.flag(&["-p", "--parents"]);
    if !are_paths(&line.operands) || !mode.is_none_or(|mode| is_mode(mode) && !parents) {
        return None;
    }
    let mode = mode.unwrap_or("755");
    Some(line.operands.iter().map(|path| folder(path, mode)).collect())
}

/// `install -d`: sets the mode of a folder that is there too, its owner only when one is given.
fn folders(line: &Line<'_>) -> Option<Vec<Action>> {
    let mode = line.value(&["-m", "--mode"]).unwrap_or("755");
    if !is_mode(mode) || !are_paths(&line.operands) {
        return None;
    }
    let (user, group) = (line.value(&["-o", "--owner"]), line.value(&["-g", "--group"]));
    let made = |path: &&str| [folder(path, mode), own(path, user, group, Some(mode))];
    Some(line.operands.iter().flat_map(made).collect())
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
            mode: None,
        }]),
        _ => None,
    }
}
