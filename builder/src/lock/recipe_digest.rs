//! The digest that ties a lock to its recipe.

use std::fmt::Write as _;

use outcrop_release::digest::FileDigest;

use crate::recipe::{
    Recipe,
    schema::{Distribution, Kernel},
};

/// The digest of what a recipe says about packages: base, packages, accepted scripts, kernel packages, architectures,
/// board, boot guard. Everything else (files, users, services, module lists, sizes, version) can change without a new lock,
/// because it can't change which packages are needed.
#[must_use]
pub fn recipe_digest(recipe: &Recipe) -> FileDigest {
    FileDigest::of(canonical(recipe).as_bytes())
}

/// One line per fact, `key value`; lists sorted, so that their order in the recipe does not matter. No value can hold
/// a line break: the recipe's checks see to that.
fn canonical(recipe: &Recipe) -> String {
    let Distribution::Debian = recipe.base.distribution;
    let mut text = format!(
        "outcrop-lock 1\ndistribution debian\nsuite {}\n",
        recipe.base.suite
    );
    list(
        &mut text,
        "component",
        recipe.base.components.iter().map(String::as_str),
    );
    list(
        &mut text,
        "architecture",
        recipe.image.architectures.iter().map(|arch| arch.as_str()),
    );
    let _ = writeln!(text, "board {}", recipe.image.board);
    if recipe.boot.watchdog.is_some() {
        text.push_str("boot-guard\n");
    }
    list(
        &mut text,
        "install",
        recipe.packages.install.iter().map(String::as_str),
    );
    list(
        &mut text,
        "accept-script",
        recipe.packages.accept_scripts.iter().map(String::as_str),
    );
    kernels(&mut text, &recipe.kernel);
    text
}

fn list<'a>(text: &mut String, key: &str, values: impl Iterator<Item = &'a str>) {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values.dedup();
    for value in values {
        let _ = writeln!(text, "{key} {value}");
    }
}

fn kernels(text: &mut String, kernel: &Kernel) {
    for (arch, package) in &kernel.package {
        let _ = writeln!(text, "kernel {arch} {package}");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{boot::guard::WatchdogLimit, lock::testing::recipe};

    #[test]
    fn a_file_or_a_service_does_not_change_the_digest() {
        let before = recipe(&["bash"]);
        let mut after = before.clone();
        after.services.enable.push("ssh.service".into());
        after.kernel.command_line.push("quiet".into());
        after.image.version = "9.9.9".parse().unwrap();
        after.kernel.exclude_modules.push("sound/**".into());
        assert_eq!(recipe_digest(&before), recipe_digest(&after));
    }

    #[test]
    fn a_watchdog_needs_a_package_and_so_a_new_lock_but_its_limit_does_not() {
        let with = |seconds| {
            let mut recipe = recipe(&["bash"]);
            recipe.boot.watchdog = WatchdogLimit::new(Duration::from_secs(seconds));
            recipe_digest(&recipe)
        };
        assert_ne!(with(0), with(60));
        assert_eq!(with(60), with(90));
    }

    #[test]
    fn a_package_its_order_apart_changes_the_digest() {
        let digest = |names: &[&str]| recipe_digest(&recipe(names));
        assert_eq!(digest(&["a", "b"]), digest(&["b", "a"]));
        assert_ne!(digest(&["a", "b"]), digest(&["a"]));
    }

    #[test]
    fn an_accepted_script_or_a_component_changes_the_digest() {
        let before = recipe(&["bash"]);
        let mut accepted = before.clone();
        accepted.packages.accept_scripts.push("foo/postinst".into());
        let mut component = before.clone();
        component.base.components.push("contrib".into());
        assert_ne!(recipe_digest(&before), recipe_digest(&accepted));
        assert_ne!(recipe_digest(&before), recipe_digest(&component));
    }
}
