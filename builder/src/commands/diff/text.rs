//! A difference as text for people.

use std::{collections::BTreeMap, fmt, fmt::Write as _};

use super::changes::{Aspect, Change, FileChange, FileChanges, ReleaseDiff};

/// As many changed paths are told one by one; more of them folder by folder.
const SINGLE_PATHS: usize = 40;
/// Components of the folders that many paths are told by.
const FOLDER_DEPTH: usize = 4;

/// Shows a [`ReleaseDiff`].
#[derive(Debug)]
pub struct Text<'a> {
    /// The difference.
    pub diff: &'a ReleaseDiff,
    /// What the difference is true for: architectures.
    pub heading: &'a str,
    /// Whether every path is told, however many there are.
    pub every_file: bool,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReleaseDiff { old, new, .. } = self.diff;
        writeln!(f, "{old} -> {new} ({})", self.heading)?;
        if self.diff.is_empty() {
            return writeln!(f, "\nNothing differs.");
        }
        packages(f, &self.diff.packages)?;
        kernel(f, self.diff)?;
        sizes(f, &self.diff.sizes)?;
        match &self.diff.files {
            Some(changes) => files(f, changes, self.every_file),
            None => Ok(()),
        }
    }
}

fn packages(f: &mut fmt::Formatter<'_>, changes: &[Change<String>]) -> fmt::Result {
    if changes.is_empty() {
        return Ok(());
    }
    let count = |wanted: fn(&Change<String>) -> bool| changes.iter().filter(|change| wanted(change)).count();
    writeln!(
        f,
        "\nPackages: {} added, {} removed, {} changed",
        count(|change| change.old.is_none()),
        count(|change| change.new.is_none()),
        count(|change| change.old.is_some() && change.new.is_some()),
    )?;
    for change in changes {
        match (&change.old, &change.new) {
            (None, Some(new)) => writeln!(f, "  + {} {new}", change.name)?,
            (Some(old), None) => writeln!(f, "  - {} {old}", change.name)?,
            (old, new) => writeln!(
                f,
                "  ~ {} {} -> {}",
                change.name,
                old.as_deref().unwrap_or_default(),
                new.as_deref().unwrap_or_default()
            )?,
        }
    }
    Ok(())
}

fn kernel(f: &mut fmt::Formatter<'_>, diff: &ReleaseDiff) -> fmt::Result {
    if let Some(Change {
        old: Some(old),
        new: Some(new),
        ..
    }) = &diff.kernel
    {
        writeln!(f, "\nKernel: {old} -> {new}")?;
    }
    if diff.options_reordered {
        writeln!(f, "\nKernel options: the same in another order")?;
    }
    if diff.options_added.is_empty() && diff.options_removed.is_empty() {
        return Ok(());
    }
    writeln!(f, "\nKernel options:")?;
    for option in &diff.options_removed {
        writeln!(f, "  - {option}")?;
    }
    for option in &diff.options_added {
        writeln!(f, "  + {option}")?;
    }
    Ok(())
}

fn sizes(f: &mut fmt::Formatter<'_>, changes: &[Change<u64>]) -> fmt::Result {
    if changes.is_empty() {
        return Ok(());
    }
    writeln!(f, "\nSizes:")?;
    for change in changes {
        let (old, new) = (change.old.unwrap_or_default(), change.new.unwrap_or_default());
        let difference = signed(old, new);
        writeln!(
            f,
            "  {} {} -> {} ({difference})",
            change.name,
            bytes(old),
            bytes(new)
        )?;
    }
    Ok(())
}

fn files(f: &mut fmt::Formatter<'_>, changes: &FileChanges, every_file: bool) -> fmt::Result {
    if changes.is_empty() {
        return Ok(());
    }
    let FileChanges {
        added,
        removed,
        changed,
    } = changes;
    let sum = |files: &[FileChange], size: fn(&FileChange) -> u64| files.iter().map(size).sum::<u64>();
    writeln!(
        f,
        "\nFiles: {} added ({}), {} removed ({}), {} changed ({})",
        added.len(),
        bytes(sum(added, |file| file.new_size)),
        removed.len(),
        bytes(sum(removed, |file| file.old_size)),
        changed.len(),
        signed(
            sum(changed, |file| file.old_size),
            sum(changed, |file| file.new_size)
        ),
    )?;
    if every_file || added.len() + removed.len() + changed.len() <= SINGLE_PATHS {
        single_paths(f, changes)
    } else {
        by_folder(f, changes)
    }
}

fn single_paths(f: &mut fmt::Formatter<'_>, changes: &FileChanges) -> fmt::Result {
    let mut lines: Vec<(&str, String)> = Vec::new();
    for file in &changes.added {
        lines.push((
            &file.path,
            format!("  + /{} ({})", file.path, bytes(file.new_size)),
        ));
    }
    for file in &changes.removed {
        lines.push((
            &file.path,
            format!("  - /{} ({})", file.path, bytes(file.old_size)),
        ));
    }
    for file in &changes.changed {
        lines.push((&file.path, format!("  ~ /{} ({})", file.path, what(file))));
    }
    lines.sort();
    lines.iter().try_for_each(|(_, line)| writeln!(f, "{line}"))
}

fn what(file: &FileChange) -> String {
    let aspect = |aspect: &Aspect| match aspect {
        Aspect::Kind => "kind".to_owned(),
        Aspect::Content => signed(file.old_size, file.new_size),
        Aspect::Mode => "mode".to_owned(),
        Aspect::Owner => "owner".to_owned(),
        Aspect::Attributes => "attributes".to_owned(),
    };
    file.what.iter().map(aspect).collect::<Vec<_>>().join(", ")
}

#[derive(Default)]
struct Tally {
    added: usize,
    removed: usize,
    changed: usize,
    old: u64,
    new: u64,
}

fn by_folder(f: &mut fmt::Formatter<'_>, changes: &FileChanges) -> fmt::Result {
    let mut folders: BTreeMap<String, Tally> = BTreeMap::new();
    let lists = [(&changes.added, 0), (&changes.removed, 1), (&changes.changed, 2)];
    for (files, list) in lists {
        for file in files {
            let tally = folders.entry(folder(&file.path)).or_default();
            match list {
                0 => tally.added += 1,
                1 => tally.removed += 1,
                _ => tally.changed += 1,
            }
            tally.old += file.old_size;
            tally.new += file.new_size;
        }
    }
    for (folder, tally) in folders {
        let mut counts = String::new();
        for (sign, count) in [('+', tally.added), ('-', tally.removed), ('~', tally.changed)] {
            if count > 0 {
                write!(counts, " {sign}{count}")?;
            }
        }
        writeln!(f, "  /{folder}{counts} ({})", signed(tally.old, tally.new))?;
    }
    writeln!(f, "  --files tells every path.")
}

fn folder(path: &str) -> String {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let components: Vec<&str> = parent.split('/').take(FOLDER_DEPTH).collect();
    components.join("/")
}

/// A length with a binary unit: `1.5 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut tenths = u128::from(count) * 10 / 1024;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    for next in units {
        if tenths < 10 * 1024 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

fn signed(old: u64, new: u64) -> String {
    match new.checked_sub(old) {
        Some(0) => "same size".to_owned(),
        Some(more) => format!("+{}", bytes(more)),
        None => format!("-{}", bytes(old - new)),
    }
}
