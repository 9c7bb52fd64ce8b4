//! tmpfiles.d lines for paths of the read-only root: what `systemd-tmpfiles --create` does when packages are installed.
//!
//! On the device systemd-tmpfiles makes what is below /var, /run and the like at each boot. A line for /usr or /opt could
//! never be carried out there, and one for /etc would only hold until the next boot: those are carried out here. Format:
//! tmpfiles.d(5). Lines with `!` are for boots only; `r`, `R`, `x` and `X` speak of removing and cleaning.

use std::collections::BTreeSet;

use super::{accounts::Accounts, edit, error::FinishError};
use crate::tree::{Content, Entry, Metadata, Node, Tree, TreePath};

/// tmpfiles.d folders, the strongest first.
pub(super) const FOLDERS: [&str; 2] = ["etc/tmpfiles.d", "usr/lib/tmpfiles.d"];
/// Where the device makes the paths itself, and specifiers that stand for folders there.
const ON_DEVICE: [&str; 14] = [
    "/dev", "/proc", "/run", "/sys", "/tmp", "/var", "%C", "%L", "%S", "%T", "%V", "%h", "%t", "/home",
];
const FACTORY: &str = "/usr/share/factory";

/// Kinds of which the first line for a path wins: systemd's `takes_ownership` in src/tmpfiles/tmpfiles.c.
const MAKES: &str = "fFdDvqQepLcbC";

/// One line that concerns the root.
#[derive(Debug)]
struct Line<'a> {
    kind: char,
    /// `+`: replaces what is there.
    replaces: bool,
    path: &'a str,
    /// Bits; whether they are for new paths only.
    mode: Option<(u16, bool)>,
    user: Option<(&'a str, bool)>,
    group: Option<(&'a str, bool)>,
    argument: &'a str,
}

/// Carries out the lines of all files for paths of the root.
///
/// # Errors
/// When a line can't be read, names an unknown account, or asks for what an image can't have.
pub(super) fn run(tree: &mut Tree, accounts: &Accounts) -> Result<(), FinishError> {
    let mut seen = BTreeSet::new();
    for file in edit::drop_ins(tree, &FOLDERS, ".conf") {
        let text = edit::read_text(tree, &file)?.unwrap_or_default();
        for line in text.lines().map(str::trim) {
            let failed = |reason: &'static str| FinishError::Tmpfiles {
                path: file.clone(),
                line: line.to_owned(),
                reason,
            };
            let Some(parsed) = parse(line).map_err(failed)? else {
                continue;
            };
            if !MAKES.contains(parsed.kind) || seen.insert(parsed.path.to_owned()) {
                apply(tree, accounts, &parsed, &failed)?;
            }
        }
    }
    Ok(())
}

/// A line that concerns the root; none for others.
fn parse(line: &str) -> Result<Option<Line<'_>>, &'static str> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let mut rest = line;
    let mut field = || {
        let (word, after) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        rest = after.trim_start();
        word.trim_matches('"')
    };
    let [kind, path, mode, user, group, _age] = std::array::from_fn(|_| field());
    let modifiers = kind.get(1..).unwrap_or_default();
    let kind = kind.chars().next().unwrap_or_default();
    if on_device(path) || modifiers.contains('!') || "rRxX".contains(kind) {
        return Ok(None);
    }
    if modifiers.contains(['^', '~']) {
        return Err("it takes its text from a credential or in base64");
    }
    if path.contains(['%', '\\', '*', '?', '[']) {
        return Err("its path has specifiers, escapes or patterns");
    }
    Ok(Some(Line {
        kind,
        replaces: modifiers.contains('+'),
        path: path.trim_end_matches('/'),
        mode: given(mode).map(bits).transpose()?,
        user: given(user),
        group: given(group),
        argument: given(rest).map_or("", |(text, _)| text),
    }))
}

fn on_device(path: &str) -> bool {
    ON_DEVICE.iter().any(|folder| {
        path.strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// A field that isn't left out; `:` says that it is for new paths only.
fn given(field: &str) -> Option<(&str, bool)> {
    let plain = field.strip_prefix(':');
    let text = plain.unwrap_or(field);
    (!["", "-"].contains(&text)).then_some((text, plain.is_some()))
}

fn bits((text, only_new): (&str, bool)) -> Result<(u16, bool), &'static str> {
    u16::from_str_radix(text, 8)
        .ok()
        .filter(|bits| *bits <= 0o7777)
        .map(|bits| (bits, only_new))
        .ok_or("its mode is not octal")
}

fn apply(
    tree: &mut Tree,
    accounts: &Accounts,
    line: &Line<'_>,
    failed: &impl Fn(&'static str) -> FinishError,
) -> Result<(), FinishError> {
    let path = edit::through_links(tree, edit::tree_path(line.path)?);
    let there = tree.contains(path.as_str());
    let new = match line.kind {
        'd' | 'D' | 'v' | 'q' | 'Q' => (!there).then(|| Entry::directory(0o755)),
        'f' | 'F' => {
            let replaces = line.replaces || line.kind == 'F';
            let text =
                unescaped(line.argument).ok_or_else(|| failed("its text has escapes or specifiers"))?;
            (!there || replaces).then(|| Entry::file(0o644, text.as_str()))
        }
        'L' => {
            if line.argument.contains('%') {
                return Err(failed("its target has specifiers"));
            }
            let factory = format!("{FACTORY}{}", line.path);
            let target = Some(line.argument).filter(|target| !target.is_empty());
            if there && line.replaces {
                tree.remove(&path);
            }
            (!there || line.replaces).then(|| Entry::symlink(target.unwrap_or(&factory)))
        }
        'C' | 'e' | 'z' => None,
        _ => return Err(failed("an image can't have what its type makes")),
    };
    let copied = line.kind == 'C'
        && copy(tree, line, &path)
            .map_err(|error| error.unwrap_or_else(|| failed("its source doesn't exist")))?;
    let made = new.is_some() || copied;
    if let Some(entry) = new {
        tree.insert_all(path.clone(), entry).map_err(FinishError::Tree)?;
    }
    let owner = owner(accounts, line, made).ok_or_else(|| failed("it names an unknown user or group"))?;
    if let Some(metadata) = tree.metadata_mut(path.as_str()) {
        adjust(metadata, line, owner, made);
    }
    Ok(())
}

/// Numbers of user and group, where the line sets them.
fn owner(accounts: &Accounts, line: &Line<'_>, made: bool) -> Option<(Option<u32>, Option<u32>)> {
    let wanted = |field: Option<(&'_ str, bool)>| {
        field
            .filter(|(_, only_new)| made || !only_new)
            .map(|(name, _)| name.to_owned())
    };
    let uid = |name: String| name.parse().ok().or_else(|| Some(accounts.user(&name)?.uid));
    let gid = |name: String| name.parse().ok().or_else(|| Some(accounts.group(&name)?.gid));
    let user = match wanted(line.user) {
        Some(name) => Some(uid(name)?),
        None => None,
    };
    let group = match wanted(line.group) {
        Some(name) => Some(gid(name)?),
        None => None,
    };
    Some((user, group))
}

fn adjust(metadata: &mut Metadata, line: &Line<'_>, (uid, gid): (Option<u32>, Option<u32>), made: bool) {
    if line.kind == 'L' {
        return;
    }
    metadata.uid = uid.unwrap_or(metadata.uid);
    metadata.gid = gid.unwrap_or(metadata.gid);
    if let Some((mode, only_new)) = line.mode
        && (made || !only_new)
    {
        metadata.mode = mode;
    }
}

/// `C`: copies a file, or a folder with what is in it, unless something is there; whether it did. None as error: there is
/// no source.
fn copy(tree: &mut Tree, line: &Line<'_>, to: &TreePath) -> Result<bool, Option<FinishError>> {
    let factory = format!("{FACTORY}{}", line.path);
    let source = if line.argument.is_empty() {
        &factory
    } else {
        line.argument
    };
    let source = edit::tree_path(source).map_err(Some)?;
    let Some(source) = edit::resolve(tree, &source) else {
        return Err(None);
    };
    if tree.contains(to.as_str()) && tree.below(to).next().is_some()
        || matches!(tree.get(to.as_str()), Some(entry) if !entry.is_directory())
    {
        return Ok(false);
    }
    let below = tree
        .below(&source)
        .map(|(path, entry)| (path.clone(), entry.clone()));
    let own = tree
        .get(source.as_str())
        .map(|entry| (source.clone(), entry.clone()));
    let copies: Vec<_> = own.into_iter().chain(below).collect();
    for (path, mut entry) in copies {
        if let Node::File(content, _) = &entry.node {
            entry.node = Node::File(Content::clone(content), None);
        }
        let path = path.as_str().replacen(source.as_str(), to.as_str(), 1);
        edit::put(tree, &path, entry).map_err(Some)?;
    }
    Ok(true)
}

/// Text with the common escapes; none when it has others, or specifiers.
fn unescaped(text: &str) -> Option<String> {
    let mut result = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        result.push(match (c, c == '\\' || c == '%') {
            (c, false) => c,
            (_, true) => match (c, chars.next()?) {
                ('\\', 'n') => '\n',
                ('\\', 't') => '\t',
                ('\\', '\\') => '\\',
                ('%', '%') => '%',
                _ => return None,
            },
        });
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    fn made(lines: &str, files: &[(&str, &str)]) -> Result<Tree, FinishError> {
        let mut tree = testing::tree(files);
        edit::write_text(&mut tree, "usr/lib/tmpfiles.d/x.conf", lines).unwrap();
        let accounts =
            Accounts::from_masters("root:*:0:0:root:/root:/bin/bash", "root:*:0:\nadm:*:4:").unwrap();
        run(&mut tree, &accounts).map(|()| tree)
    }

    #[test]
    fn folders_links_files_and_copies_of_the_root_are_made() {
        let lines = "d /etc/store 0700 root adm -\nL+ /etc/v.conf - - - - default/keyboard\nf /etc/x 0640 - - - a\\nb %%\n\
                     C /etc/copied - - - - /usr/share/y\nL$ /etc/l\nz /usr/bin/z 0711\nd /etc/old 0750 :root :adm -\n";
        let tree = made(
            lines,
            &[
                ("etc/v.conf", "file"),
                ("usr/share/y/z", "z"),
                ("usr/bin/z", ""),
                ("etc/old/x", ""),
            ],
        )
        .unwrap();
        let metadata = |path: &str| tree.get(path).unwrap().metadata.clone();
        assert_eq!(
            (metadata("etc/store").mode, metadata("etc/store").gid),
            (0o700, 4)
        );
        assert!(
            matches!(&tree.get("etc/v.conf").unwrap().node, Node::Symlink(to) if to == "default/keyboard")
        );
        assert!(
            matches!(&tree.get("etc/l").unwrap().node, Node::Symlink(to) if to == "/usr/share/factory/etc/l")
        );
        assert_eq!(testing::text(&tree, "etc/x"), "a\nb %");
        assert_eq!(testing::text(&tree, "etc/copied/z"), "z");
        assert_eq!(
            (metadata("usr/bin/z").mode, metadata("etc/x").mode),
            (0o711, 0o640)
        );
        assert_eq!((metadata("etc/old").mode, metadata("etc/old").gid), (0o750, 0));
    }

    #[test]
    fn what_the_device_makes_and_what_only_boots_do_stays_undone() {
        let tree = made(
            "d /var/x\nd /run/x\nr! /etc/x\nL! /etc/resolv.conf - - - - x\nR /etc/y\nd %t/x\n",
            &[("etc/x", "")],
        )
        .unwrap();
        assert!(tree.contains("etc/x") && !tree.contains("etc/resolv.conf") && !tree.contains("run/x"));
    }

    #[test]
    fn what_an_image_can_not_have_is_refused_with_its_line() {
        for line in [
            "p /etc/pipe",
            "f^ /etc/x - - - - cred",
            "d /etc/%m",
            "d /etc/x 0999",
            "d /etc/x - nobody",
            "C /etc/x - - - - /no",
            "C /etc/x - nobody - - /usr/share/y",
            "a+ /etc/made - - - - u:root:r",
            "t /etc/made - - - - user.x=y",
            "h /etc/made - - - - +C",
            "m /etc/made 0700",
        ] {
            let lines = format!("d /etc/made\n{line}\n");
            let error = made(&lines, &[("usr/share/y", "")]).unwrap_err().to_string();
            assert!(error.contains(line), "{error}");
        }
    }

    #[test]
    fn a_copy_gets_the_mode_and_owner_of_its_line_and_the_first_line_that_makes_a_path_wins() {
        let lines = "C /etc/new 0640 root adm - /usr/share/y\nC /etc/old 0600 - :adm - /usr/share/y\n\
                     d /etc/folder 0700\nd /etc/folder 0750\n";
        let tree = made(lines, &[("usr/share/y", "y"), ("etc/old", "old")]).unwrap();
        let metadata = |path: &str| tree.get(path).unwrap().metadata.clone();
        assert_eq!((metadata("etc/new").mode, metadata("etc/new").gid), (0o640, 4));
        assert_eq!((metadata("etc/old").mode, metadata("etc/old").gid), (0o600, 0));
        assert_eq!(testing::text(&tree, "etc/old"), "old");
        assert_eq!(metadata("etc/folder").mode, 0o700);
    }
}
