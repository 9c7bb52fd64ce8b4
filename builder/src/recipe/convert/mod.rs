//! From the merged table to the [`Recipe`]: what the values mean, and whether they fit together.

mod files;
mod image;
mod kubernetes;
mod packages;
mod reader;
mod secure_boot;
mod services;
mod state;
mod update;
mod users;

use std::sync::Arc;

use reader::{Reader, Section};

use super::{
    located::Locations,
    node::Table,
    problem::Problem,
    schema::{Access, Recipe},
    source::SourceFile,
};

/// Makes the recipe of `table`, which was merged from `files` (the main one last).
///
/// # Errors
/// All problems, in the order of the recipe's sections.
pub(super) fn convert(table: &Table, files: &[Arc<SourceFile>]) -> Result<(Recipe, Locations), Vec<Problem>> {
    let mut reader = Reader::new(files);
    let top = Section::top(table);
    let image = image::image(&mut reader, top);
    let base = image::base(&mut reader, top);
    let packages = packages::packages(&mut reader, top);
    let architectures = image.as_ref().map(|image| image.architectures.as_slice());
    let kernel = packages::kernel(&mut reader, top, architectures.unwrap_or_default());
    let overlays = files::overlays(&mut reader, top);
    let files = files::files(&mut reader, top);
    let users = users::users(&mut reader, top);
    let mut services = services::services(&mut reader, top);
    let kubernetes = kubernetes::kubernetes(&mut reader, top, architectures.unwrap_or_default());
    if let Some(kubernetes) = &kubernetes {
        services.start(&kubernetes.units);
    }
    let state = state::state(&mut reader, top, kubernetes.as_ref());
    let boot = image::boot(&mut reader, top, architectures.unwrap_or_default());
    let board = image.as_ref().map(|image| image.board);
    let secure_boot = secure_boot::secure_boot(&mut reader, top, board);
    let disk = image::disk(&mut reader, top);
    let health = update::health(&mut reader, top);
    let update = update::update(&mut reader, top);
    let device = update::device(&mut reader, top);
    let access = Access {
        serial_root_shell: reader.flag(reader.section(top, "access"), "serial-root-shell"),
    };
    let (problems, locations) = reader.finish();
    match (image, base) {
        (Some(image), Some(base)) if problems.is_empty() => {
            let recipe = Recipe {
                image,
                base,
                packages,
                kernel,
                files,
                overlays,
                users,
                services,
                kubernetes,
                state,
                boot,
                secure_boot,
                disk,
                health,
                update,
                device,
                access,
            };
            Ok((recipe, locations))
        }
        _ => Err(problems),
    }
}
