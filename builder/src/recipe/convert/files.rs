//! `[[files]]` and `overlays`.

use std::{fs::Metadata, path::PathBuf};

use super::{
    super::{
        located::Item,
        node::{Node, Value},
        problem::Problem,
        schema::{FileContent, FileSpec},
        source::Location,
        value::{file_path, mode},
    },
    reader::{Reader, Section},
};
use crate::tree::TreePath;

pub(super) fn overlays(reader: &mut Reader<'_>, top: Section<'_>) -> Vec<PathBuf> {
    let mut overlays = Vec::new();
    for (name, place) in reader.list(top, "overlays", |text| Ok(text.to_owned())) {
        if let Some(path) = existing(reader, &name, place, Metadata::is_dir, "folder") {
            reader.locate(Item::Overlay(path.clone()), place);
            overlays.push(path);
        }
    }
    overlays
}

/// The absolute path of `name`, as the recipe at `place` means it; reports when it isn't there or isn't `right`.
pub(super) fn existing(
    reader: &mut Reader<'_>,
    name: &str,
    place: &Location,
    right: impl Fn(&Metadata) -> bool,
    kind: &str,
) -> Option<PathBuf> {
    let path = place.file().folder().join(name);
    let why = match path.metadata() {
        Err(error) => format!("can't be read: {error}"),
        Ok(metadata) if !right(&metadata) => format!("is no {kind}"),
        Ok(_) => match std::path::absolute(&path) {
            Ok(absolute) => return Some(absolute),
            Err(error) => format!("can't be found: {error}"),
        },
    };
    reader.report(
        Problem::new(format!("{} {why}", path.display()))
            .at(place.clone())
            .help(format!("paths are relative to {}", place.file().path.display())),
    );
    None
}

pub(super) fn files(reader: &mut Reader<'_>, top: Section<'_>) -> Vec<FileSpec> {
    let mut files: Vec<(FileSpec, &Location)> = Vec::new();
    let Some(Value::List(entries)) = top.get("files").map(|member| &member.node.value) else {
        return Vec::new();
    };
    for entry in entries {
        let Some((spec, place, replaces)) = file(reader, entry) else {
            continue;
        };
        let same = files.iter().position(|(other, _)| other.path == spec.path);
        match (same, replaces) {
            (Some(index), true) => {
                files.remove(index);
            }
            (Some(index), false) => {
                if let Some((_, first)) = files.get(index) {
                    reader.report(twice(&spec.path, first, place));
                }
                continue;
            }
            (None, true) => reader.report(
                Problem::new(format!("there is no earlier entry for {} to replace", spec.path))
                    .at(place.clone())
                    .help("without `replace`, the file takes the place of a package's all the same"),
            ),
            (None, false) => {}
        }
        files.push((spec, place));
    }
    nested(reader, &files);
    for (spec, place) in &files {
        reader.locate(Item::File(spec.path.clone()), place);
    }
    files.into_iter().map(|(spec, _)| spec).collect()
}

fn twice(path: &TreePath, first: &Location, second: &Location) -> Problem {
    Problem::new(format!("two files with the path {path}; the first is at {first}"))
        .at(second.clone())
        .label("the second")
        .help("take one out, or write `replace = true` in this entry")
}

/// Reports files below files.
fn nested(reader: &mut Reader<'_>, files: &[(FileSpec, &Location)]) {
    for (spec, place) in files {
        let above = files
            .iter()
            .find(|(other, _)| other.path != spec.path && spec.path.starts_with(&other.path));
        if let Some((other, first)) = above {
            reader.report(
                Problem::new(format!(
                    "{} can't lie below {}, which is a file ({first})",
                    spec.path, other.path
                ))
                .at((*place).clone()),
            );
        }
    }
}

/// One entry, the place of its path, and whether it replaces an earlier one.
fn file<'a>(reader: &mut Reader<'_>, entry: &'a Node) -> Option<(FileSpec, &'a Location, bool)> {
    let Value::Table(table) = &entry.value else {
        return None;
    };
    let section = Section {
        name: "[files]",
        table: Some(table),
        place: Some(&entry.place),
    };
    let path = reader.required(section, "path", file_path);
    let content = content(reader, section);
    let mode = match section.get("mode") {
        Some(_) => reader.optional(section, "mode", mode),
        None => Some(0o644),
    };
    let replace = reader.flag(section, "replace");
    let (_, place) = section.text("path")?;
    let spec = FileSpec {
        path: path?,
        content: content?,
        mode: mode?,
    };
    Some((spec, place, replace))
}

fn content(reader: &mut Reader<'_>, section: Section<'_>) -> Option<FileContent> {
    let problem = match (section.get("content"), section.get("source")) {
        (Some(_), None) => {
            return section
                .text("content")
                .map(|(text, _)| FileContent::Inline(text.to_owned()));
        }
        (None, Some(_)) => {
            let (name, place) = section.text("source")?;
            let path = existing(reader, name, place, Metadata::is_file, "file")?;
            return Some(FileContent::Source(path));
        }
        (Some(_), Some(source)) => {
            Problem::new("a file has either `content` or `source`, not both").at(source.key.clone())
        }
        (None, None) => missing_content(section),
    };
    reader.report(problem);
    None
}

fn missing_content(section: Section<'_>) -> Problem {
    let problem =
        Problem::new("a file needs `content` or `source`").help("`content = \"\"` makes an empty file");
    match section.place {
        Some(place) => problem.at(place.clone()),
        None => problem,
    }
}
