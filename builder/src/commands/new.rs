//! `outcrop new`: a recipe to start from.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use miette::Diagnostic;
use outcrop_release::name::ImageName;

use super::Context;
use crate::{error::Error, failure::FailureClass, output::PendingFile};

/// `outcrop new`'s arguments.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the image, and of the file.
    pub name: ImageName,
    /// Where the file goes.
    pub folder: PathBuf,
}

/// Why there is no new recipe.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum NewError {
    /// Something has the name already.
    #[error("{} exists already", .0.display())]
    #[diagnostic(help("choose another name, or move it away"))]
    Exists(PathBuf),
    /// The file can't be written.
    #[error("write {}", path.display())]
    #[diagnostic(help(
        "the recipe is written to the folder that you are in: go to one that you may write to"
    ))]
    Write {
        /// The recipe.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl NewError {
    /// What kind of failure this is.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Exists(_) => FailureClass::Input,
            Self::Write { source, .. } => FailureClass::of_io(source),
        }
    }
}

/// Writes `NAME.toml`; never over an existing file.
///
/// # Errors
/// When the file exists or can't be written.
pub fn run(options: &Options, context: &Context) -> Result<(), Error> {
    let path = options.folder.join(format!("{}.toml", options.name));
    write(&path, &recipe(&options.name)).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => NewError::Exists(path.clone()),
        _ => NewError::Write {
            path: path.clone(),
            source,
        },
    })?;
    let path = path.display();
    context.summarize(format_args!(
        "wrote {path}\nnext: edit it, then\n  outcrop lock {path}\n  outcrop build {path}\n"
    ))
}

fn recipe(name: &ImageName) -> String {
    include_str!("new.toml").replace("NAME", name.as_str())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let file = PendingFile::create(path)?;
    file.file().write_all(text.as_bytes())?;
    file.publish_new()
}

#[cfg(test)]
mod tests {
    use super::{super::testing, *};

    fn options(folder: &Path) -> Options {
        Options {
            name: "shop-floor".parse().unwrap(),
            folder: folder.to_owned(),
        }
    }

    #[test]
    fn a_new_recipe_loads_and_the_next_command_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (context, written) = testing::context();
        run(&options(folder.path()), &context).unwrap();
        let path = folder.path().join("shop-floor.toml");
        let loaded = crate::recipe::load(&path).unwrap().recipe;
        assert_eq!(loaded.image.name.as_str(), "shop-floor");
        assert!(
            written
                .text()
                .contains(&format!("outcrop lock {}", path.display()))
        );
    }

    #[test]
    fn every_commented_example_of_a_new_recipe_loads_too() {
        let example =
            |line: &str| line.starts_with("# ") && (line.contains(" = ") || line.starts_with("# ["));
        let text = recipe(&"edge".parse().unwrap());
        let lines = text
            .lines()
            .map(|line| if example(line) { &line[2..] } else { line });
        let text = lines.collect::<Vec<_>>().join("\n");
        let path = Path::new("edge.toml");
        let error = crate::recipe::parse(path, &text).unwrap_err();
        assert!(
            error.problems()[0].message().contains("SSH key"),
            "the example key must not get in"
        );
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a@b";
        let text = text.replace("ssh-ed25519 AAAA... you@example", key);
        let loaded = crate::recipe::parse(path, &text).unwrap_or_else(|error| panic!("{error:?}"));
        assert!(loaded.recipe.users.contains_key("admin") && !loaded.recipe.files.is_empty());
    }

    #[test]
    fn an_existing_file_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop-floor.toml");
        std::fs::write(&path, "mine").unwrap();
        let error = run(&options(folder.path()), &testing::context().0).unwrap_err();
        assert!(matches!(error, Error::New(NewError::Exists(_))), "{error:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_the_machines_fault_and_named() {
        let error = run(&options(Path::new("/nonexistent")), &testing::context().0).unwrap_err();
        assert_eq!(error.class(), FailureClass::Environment);
        assert_eq!(error.to_string(), "write /nonexistent/shop-floor.toml");
    }
}
