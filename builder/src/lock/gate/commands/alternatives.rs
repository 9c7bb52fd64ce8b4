//! `update-alternatives`: see update-alternatives(1).

use crate::action::{Action, AlternativeSlave};

/// `--install` is an action. `--remove` takes away what only an older version of the package installed.
pub(super) fn judge(words: &[&str]) -> Option<Vec<Action>> {
    let mut words: Vec<_> = words
        .iter()
        .copied()
        .filter(|word| *word != "--quiet" && *word != "--force")
        .collect();
    if words.first() == Some(&"--remove") {
        return Some(Vec::new());
    }
    let slaves_at = words
        .iter()
        .position(|word| *word == "--slave")
        .unwrap_or(words.len());
    let slaves = words.split_off(slaves_at);
    let ["--install", link, name, path, priority] = words.as_slice() else {
        return None;
    };
    let slave = |words: &[&str]| match words {
        ["--slave", link, name, path] => Some(AlternativeSlave {
            name: (*name).to_owned(),
            link: (*link).to_owned(),
            path: (*path).to_owned(),
        }),
        _ => None,
    };
    Some(vec![Action::Alternative {
        name: (*name).to_owned(),
        link: (*link).to_owned(),
        path: (*path).to_owned(),
        priority: priority.parse().ok()?,
        slaves: slaves.chunks(4).map(slave).collect::<Option<_>>()?,
    }])
}
