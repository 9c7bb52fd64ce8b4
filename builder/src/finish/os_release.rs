//! os-release: which product and release this is.
//!
//! Format: os-release(5). The packages are Debian's and say so (`ID=debian` stays, so that scanners and installers
//! know what they look at); IMAGE_ID and IMAGE_VERSION name the product and its release.

use super::{edit, error::FinishError, inputs::Inputs};
use crate::tree::{Tree, TreePath};

const PATH: &str = "usr/lib/os-release";

/// ID, VERSION_ID, IMAGE_ID, IMAGE_VERSION: what specifiers of sysusers.d and tmpfiles.d stand for.
///
/// # Errors
/// When base-files is missing or its file can't be read.
pub(super) fn identity(tree: &Tree, inputs: &Inputs<'_>) -> Result<[String; 4], FinishError> {
    let text = distribution(tree)?;
    let value = |key: &str| lookup(&text, key).unwrap_or_default();
    let image = &inputs.recipe.image;
    Ok([
        value("ID"),
        value("VERSION_ID"),
        image.name.to_string(),
        image.version.to_string(),
    ])
}

/// Adds the product to Debian's os-release and links /etc/os-release to it.
///
/// # Errors
/// When base-files is missing or its file can't be read.
pub(super) fn run(tree: &mut Tree, inputs: &Inputs<'_>) -> Result<(), FinishError> {
    let image = &inputs.recipe.image;
    let text = distribution(tree)?;
    let pretty = lookup(&text, "PRETTY_NAME").unwrap_or_else(|| "Debian GNU/Linux".to_owned());
    let kept: String = text
        .lines()
        .filter(|line| {
            !["PRETTY_NAME=", "IMAGE_ID=", "IMAGE_VERSION="]
                .iter()
                .any(|key| line.starts_with(key))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let (name, version) = (&image.name, &image.version);
    let product = format!(
        "PRETTY_NAME=\"{name} {version} ({pretty})\"\nIMAGE_ID={name}\nIMAGE_VERSION=\"{version}\"\n"
    );
    edit::write_text(tree, PATH, &(product + &kept))?;
    edit::link(tree, "etc/os-release", "../usr/lib/os-release")
}

fn distribution(tree: &Tree) -> Result<String, FinishError> {
    let path: TreePath = PATH.parse().map_err(FinishError::Path)?;
    edit::read_text(tree, &path)?.ok_or(FinishError::Missing {
        path,
        package: "base-files",
    })
}

fn lookup(text: &str, key: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .find(|(found, _)| *found == key)
        .and_then(|(_, value)| shlex::split(value)?.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    #[test]
    fn the_product_is_named_and_the_distribution_stays() {
        let mut tree = Tree::new();
        edit::write_text(
            &mut tree,
            PATH,
            "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nVERSION_ID=\"13\"\n",
        )
        .unwrap();
        let recipe = testing::recipe();
        let inputs = testing::inputs(&recipe);
        run(&mut tree, &inputs).unwrap();
        let text = edit::read_text(&tree, &"etc/os-release".parse().unwrap())
            .unwrap()
            .unwrap();
        let expected = "PRETTY_NAME=\"edge 0.1.0 (Debian GNU/Linux 13 (trixie))\"\nIMAGE_ID=edge\n\
                        IMAGE_VERSION=\"0.1.0\"\nID=debian\nVERSION_ID=\"13\"\n";
        assert_eq!(text, expected);
        assert_eq!(
            identity(&tree, &inputs).unwrap(),
            ["debian", "13", "edge", "0.1.0"]
        );
    }
}
