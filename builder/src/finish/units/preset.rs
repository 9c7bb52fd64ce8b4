//! Presets: the distribution's and the product's say about enablement. Source: systemd.preset(5).

use globset::{Glob, GlobMatcher};

use super::unit::Scope;
use crate::{
    finish::{edit, error::FinishError},
    tree::Tree,
};

/// What a preset line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Policy {
    /// Enable; for a template, with these instances.
    Enable(Vec<String>),
    Disable,
    /// Leave it to others.
    Ignore,
}

/// The preset lines of all files, in order: the first that fits counts.
#[derive(Debug, Default)]
pub(super) struct Presets {
    rules: Vec<(GlobMatcher, Policy)>,
}

impl Presets {
    /// Reads all preset files.
    pub(super) fn read(tree: &Tree, scope: Scope) -> Result<Self, FinishError> {
        let mut presets = Self::default();
        for path in edit::drop_ins(tree, &scope.presets(), ".preset") {
            let text = edit::read_text(tree, &path)?.unwrap_or_default();
            presets.rules.extend(text.lines().filter_map(rule));
        }
        Ok(presets)
    }

    /// What they say about `unit`; nothing when no line fits.
    pub(super) fn policy(&self, unit: &str) -> Option<&Policy> {
        self.rules
            .iter()
            .find(|(glob, _)| glob.is_match(unit))
            .map(|(_, policy)| policy)
    }
}

fn rule(line: &str) -> Option<(GlobMatcher, Policy)> {
    let mut words = line.split_whitespace();
    let verb = words.next()?;
    let pattern = words.next()?;
    let policy = match verb {
        "enable" => Policy::Enable(words.map(str::to_owned).collect()),
        "disable" => Policy::Disable,
        "ignore" => Policy::Ignore,
        _ => return None,
    };
    Some((Glob::new(pattern).ok()?.compile_matcher(), policy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    #[test]
    fn the_first_line_that_fits_counts_over_all_files_by_name() {
        let tree = testing::tree(&[
            ("usr/lib/systemd/system-preset/90-b.preset", "# x\nenable *\n"),
            (
                "usr/lib/systemd/system-preset/10-a.preset",
                "disable apt-*.timer\nenable wg@.service a b\nignore z.service\n",
            ),
        ]);
        let presets = Presets::read(&tree, Scope::System).unwrap();
        assert_eq!(presets.policy("apt-daily.timer"), Some(&Policy::Disable));
        assert_eq!(
            presets.policy("wg@.service"),
            Some(&Policy::Enable(vec!["a".to_owned(), "b".to_owned()]))
        );
        assert_eq!(presets.policy("z.service"), Some(&Policy::Ignore));
        assert_eq!(presets.policy("x.service"), Some(&Policy::Enable(Vec::new())));
        assert_eq!(Presets::default().policy("x.service"), None);
    }
}
