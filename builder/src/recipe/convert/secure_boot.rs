//! `[secure-boot]`

use std::fs::Metadata;

use outcrop_release::{board::Board, loader::Enroll};

use super::{
    super::{located::Item, problem::Problem, schema::SecureBoot, source::Location},
    files::existing,
    reader::{Reader, Section},
    update::causes,
};
use crate::secure_boot::{Certificate, Enrollment, SecureBootError, read_certificate};

pub(super) fn secure_boot(
    reader: &mut Reader<'_>,
    top: Section<'_>,
    board: Option<Board>,
) -> Option<SecureBoot> {
    let section = reader.section(top, "secure-boot");
    section.table?;
    if let (Some(Board::Rpi), Some(place)) = (board, section.place) {
        reader.report(
            Problem::new("board rpi has no Secure Boot: its U-Boot checks no signature")
                .at(place.clone())
                .help("leave [secure-boot] out; docs/security.md says what is checked on a Raspberry Pi"),
        );
    }
    let path = reader.required(section, "certificate", |text| Ok(text.to_owned()));
    let certificate = path.and_then(|_| certificate(reader, section));
    let enrollment = certificate
        .as_ref()
        .and_then(|certificate| enrollment(reader, section, certificate));
    let enroll = enroll(reader, section);
    if let Some(place) = section.place {
        reader.locate(Item::SecureBoot, place);
    }
    Some(SecureBoot {
        certificate: certificate?,
        enrollment,
        enroll,
    })
}

fn certificate(reader: &mut Reader<'_>, section: Section<'_>) -> Option<Certificate> {
    let (name, place) = section.text("certificate")?;
    let path = existing(reader, name, place, Metadata::is_file, "file")?;
    told(reader, place, read_certificate(&path))
}

fn enrollment(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    certificate: &Certificate,
) -> Option<Enrollment> {
    let (name, place) = section.text("keys")?;
    let folder = existing(reader, name, place, Metadata::is_dir, "folder")?;
    told(reader, place, Enrollment::read(&folder, certificate))
}

/// When keys are enrolled: never where there are none.
fn enroll(reader: &mut Reader<'_>, section: Section<'_>) -> Enroll {
    let given = reader.optional(section, "enroll", |text| {
        let known = Enroll::ALL.into_iter().find(|enroll| enroll.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is neither \"off\" nor \"if-safe\" nor \"force\""))
    });
    let has_keys = section.get("keys").is_some();
    match section.text("enroll") {
        Some((_, place)) if !has_keys && given != Some(Enroll::Off) => {
            let problem = Problem::new("there are no keys that `enroll` could put into a machine");
            reader.report(
                problem
                    .at(place.clone())
                    .help("name the folder of `outcrop keys secure-boot` with `keys`"),
            );
            Enroll::Off
        }
        _ if !has_keys => Enroll::Off,
        _ => given.unwrap_or(Enroll::IfSafe),
    }
}

/// What was read; why it couldn't be is reported, with what to do.
fn told<T>(reader: &mut Reader<'_>, place: &Location, read: Result<T, SecureBootError>) -> Option<T> {
    let error = match read {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    let mut problem = Problem::new(causes(&error)).at(place.clone());
    if let Some(help) = miette::Diagnostic::help(&error) {
        problem = problem.help(help.to_string());
    }
    reader.report(problem);
    None
}
