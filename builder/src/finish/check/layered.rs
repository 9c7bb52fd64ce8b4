//! What the recipe's own files, which are laid over the image last, must not change.

use crate::{
    finish::{edit, error::FinishError, inputs::Inputs},
    tree::{Node, Tree},
};

/// Refuses files that make devices twins of one another, or an image that isn't what its recipe says.
///
/// # Errors
/// [`FinishError::Layered`] says what to do.
pub(super) fn run(tree: &Tree, inputs: &Inputs<'_>) -> Result<(), FinishError> {
    if text(tree, "etc/machine-id")? != "uninitialized\n" {
        return refused(
            "/etc/machine-id is set",
            "leave /etc/machine-id out of overlays and [[files]]: every device makes its own at its first boot",
        );
    }
    if tree.contains("etc/ld.so.cache") {
        return refused(
            "there is an /etc/ld.so.cache, which hides the libraries of this release",
            "leave the file out: images need none",
        );
    }
    release(tree, inputs)?;
    host_keys(tree)?;
    masks(tree, inputs)
}

fn refused(what: impl Into<String>, help: &'static str) -> Result<(), FinishError> {
    Err(FinishError::Layered {
        what: what.into(),
        help,
    })
}

fn text(tree: &Tree, path: &str) -> Result<String, FinishError> {
    let path = path.parse().map_err(FinishError::Path)?;
    Ok(edit::read_text(tree, &path)?.unwrap_or_default())
}

/// os-release must name the product and its release: the updater compares them.
fn release(tree: &Tree, inputs: &Inputs<'_>) -> Result<(), FinishError> {
    let image = &inputs.recipe.image;
    let found = text(tree, "usr/lib/os-release")?;
    for (key, wanted) in [
        ("IMAGE_ID", image.name.to_string()),
        ("IMAGE_VERSION", image.version.to_string()),
    ] {
        let lines = found.lines().filter_map(|line| line.split_once('='));
        let values: Vec<_> = lines
            .filter(|(name, _)| *name == key)
            .map(|(_, value)| value.trim_matches(['"', '\'']))
            .collect();
        if values != [wanted.as_str()] {
            return refused(
                format!("/usr/lib/os-release doesn't say {key}={wanted}"),
                "leave os-release out of overlays and [[files]]: Outcrop writes name and version of the recipe into it",
            );
        }
    }
    Ok(())
}

/// A key in an image is the same on every device, and in everybody's hands who has the image.
fn host_keys(tree: &Tree) -> Result<(), FinishError> {
    let names = edit::names_in(tree, "etc/ssh", "");
    match names
        .iter()
        .find(|name| name.starts_with("ssh_host_") && name.contains("_key"))
    {
        Some(name) => refused(
            format!("/etc/ssh/{name} is an SSH host key"),
            "leave host keys out: every device makes its own at its first boot",
        ),
        None => Ok(()),
    }
}

/// A unit that the recipe masks stays masked.
fn masks(tree: &Tree, inputs: &Inputs<'_>) -> Result<(), FinishError> {
    for unit in &inputs.recipe.services.mask {
        let entry = tree.get(&format!("etc/systemd/system/{unit}"));
        let masked = entry.is_some_and(|entry| match &entry.node {
            Node::Symlink(target) => target == "/dev/null",
            Node::File(content, _) => content.is_empty(),
            Node::Directory => false,
        });
        if !masked {
            return refused(
                format!("the recipe masks {unit}, and one of its files unmasks it"),
                "take the unit out of [services] mask, or its file below etc/systemd/system out of the recipe's files",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    fn checked(files: &[(&str, &str)]) -> Result<(), String> {
        let mut tree = testing::tree(&[
            ("etc/machine-id", "uninitialized\n"),
            ("usr/lib/os-release", "IMAGE_ID=edge\nIMAGE_VERSION=\"0.1.0\"\n"),
        ]);
        edit::link(&mut tree, "etc/systemd/system/a.service", "/dev/null").unwrap();
        for (path, text) in files {
            edit::write_text(&mut tree, path, text).unwrap();
        }
        let mut recipe = testing::recipe();
        recipe.services.mask = vec!["a.service".to_owned()];
        run(&tree, &testing::inputs(&recipe)).map_err(|error| error.to_string())
    }

    #[test]
    fn an_image_without_such_files_is_fine() {
        checked(&[("etc/ssh/ssh_config", "")]).unwrap();
    }

    #[test]
    fn files_that_undo_what_an_image_promises_are_refused() {
        for (path, text, said) in [
            (
                "etc/machine-id",
                "0123456789abcdef0123456789abcdef\n",
                "machine-id is set",
            ),
            ("etc/ld.so.cache", "", "ld.so.cache"),
            ("usr/lib/os-release", "IMAGE_ID=other\n", "IMAGE_ID=edge"),
            (
                "usr/lib/os-release",
                "IMAGE_ID=edge\nIMAGE_VERSION=9\n",
                "IMAGE_VERSION=0.1.0",
            ),
            ("etc/ssh/ssh_host_ed25519_key", "key", "SSH host key"),
            ("etc/systemd/system/a.service", "[Service]", "masks a.service"),
        ] {
            let error = checked(&[(path, text)]).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
