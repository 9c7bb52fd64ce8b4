//! `[image]`, `[base]`, `[disk]`.

use std::str::FromStr;

use outcrop_release::{arch::Architecture, board::Board};
use semver::Version;

use super::{
    super::{
        located::Item,
        problem::Problem,
        schema::{Base, Boot, Disk, Distribution, Image},
        value::{MIB, archive_word, size, size_text, watchdog},
    },
    reader::{Reader, Section},
};

/// Smallest and largest sizes, in MiB: what the image needs at least, and what its formats can hold.
const ROOT_SLOT_MIB: (u64, u64) = (64, 64 << 10);
/// Two of them lie on a FAT32 file system of their own.
const BOOT_SLOT_MIB: (u64, u64) = (32, 1 << 10);
/// The journal alone takes 32. A build writes the whole partition once, to see what mke2fs leaves untouched; and the device
/// makes it as large as its disk anyway.
const DATA_MIB: (u64, u64) = (128, 8 << 10);

pub(super) fn image(reader: &mut Reader<'_>, top: Section<'_>) -> Option<Image> {
    let section = reader.section(top, "image");
    let name = reader.required(section, "name", parse);
    let version = reader.required(section, "version", version);
    let board = reader.optional(section, "board", parse).unwrap_or(Board::Efi);
    let architectures = architectures(reader, section, board);
    Some(Image {
        name: name?,
        version: version?,
        architectures,
        board,
    })
}

/// The architectures that are named, or all that the board can have.
fn architectures(reader: &mut Reader<'_>, section: Section<'_>, board: Board) -> Vec<Architecture> {
    let Some(member) = section.get("architectures") else {
        return Architecture::ALL
            .into_iter()
            .filter(|architecture| board.runs(*architecture))
            .collect();
    };
    let listed = reader.list(section, "architectures", parse);
    if matches!(&member.node.value, super::super::node::Value::List(items) if items.is_empty()) {
        let problem = Problem::new("`architectures` is empty: there is nothing to build");
        reader.report(problem.at(member.node.place.clone()));
    }
    for (architecture, place) in &listed {
        reader.locate(Item::Architecture(*architecture), place);
        if !board.runs(*architecture) {
            let message = format!("no machine of board {board} has a processor of {architecture}");
            reader.report(
                Problem::new(message)
                    .at((*place).clone())
                    .help("leave it out, or write board = \"efi\""),
            );
        }
    }
    let listed: Vec<Architecture> = listed.into_iter().map(|(architecture, _)| architecture).collect();
    Architecture::ALL
        .into_iter()
        .filter(|architecture| listed.contains(architecture))
        .collect()
}

fn version(text: &str) -> Result<Version, String> {
    let version = Version::parse(text)
        .map_err(|error| format!("{text:?} is not a semantic version like \"1.2.3\": {error}"))?;
    if version.to_string().len() > 64 {
        return Err("the version is too long for file names: at most 64 characters".to_owned());
    }
    Ok(version)
}

pub(super) fn base(reader: &mut Reader<'_>, top: Section<'_>) -> Option<Base> {
    let section = reader.section(top, "base");
    reader.optional(section, "distribution", |text| match text {
        "debian" => Ok(Distribution::Debian),
        _ => Err(format!("unknown distribution {text:?}: known is debian")),
    });
    let suite = reader.required(section, "suite", suite);
    if let Some((_, place)) = section.text("suite") {
        reader.locate(Item::Suite, place);
    }
    let listed = reader.list(section, "components", archive_word);
    for (component, place) in &listed {
        reader.locate(Item::Component(component.clone()), place);
    }
    let mut components = Vec::new();
    for (component, _) in listed {
        if !components.contains(&component) {
            components.push(component);
        }
    }
    if components.is_empty() {
        components.push("main".to_owned());
    }
    Some(Base {
        distribution: Distribution::Debian,
        suite: suite?,
        components,
    })
}

fn suite(text: &str) -> Result<String, String> {
    match text
        .strip_suffix("-updates")
        .or_else(|| text.strip_suffix("-security"))
    {
        Some(name) => Err(format!(
            "{text:?} is always locked with {name:?}: write suite = {name:?}"
        )),
        None if ["stable", "testing", "oldstable"].contains(&text) => Err(format!(
            "{text:?} means another release every few years: write a release's name, like \"trixie\""
        )),
        None => archive_word(text),
    }
}

pub(super) fn boot(reader: &mut Reader<'_>, top: Section<'_>, architectures: &[Architecture]) -> Boot {
    let section = reader.section(top, "boot");
    let watchdog = reader.optional(section, "watchdog", watchdog);
    let Some((_, place)) = section.text("watchdog") else {
        return Boot::default();
    };
    let other = architectures
        .iter()
        .find(|architecture| **architecture != Architecture::X86_64);
    if let Some(other) = other {
        let message =
            format!("`watchdog` is for x86_64 only: EFI Boot Guard knows no watchdog of {other} machines");
        reader.report(Problem::new(message).at(place.clone()).help(
            "write architectures = [\"x86_64\"] in [image], and a second recipe for the other machines",
        ));
    }
    Boot { watchdog }
}

pub(super) fn disk(reader: &mut Reader<'_>, top: Section<'_>) -> Disk {
    let section = reader.section(top, "disk");
    let default = Disk::default();
    let mut size = |key, item: Item, limits, default| {
        if let Some((_, place)) = section.text(key) {
            reader.locate(item, place);
        }
        reader
            .optional(section, key, |text| limited(key, text, limits))
            .unwrap_or(default)
    };
    Disk {
        root_slot: size("root-slot", Item::RootSlot, ROOT_SLOT_MIB, default.root_slot),
        boot_slot: size("boot-slot", Item::BootSlot, BOOT_SLOT_MIB, default.boot_slot),
        data: size("data", Item::Data, DATA_MIB, default.data),
    }
}

fn limited(key: &str, text: &str, (min, max): (u64, u64)) -> Result<u64, String> {
    let bytes = size(text)?;
    let (least, most) = (size_text(min * MIB), size_text(max * MIB));
    match bytes / MIB {
        mib if mib < min => Err(format!("`{key}` of {text} is too small: at least {least}")),
        mib if mib > max && key == "data" => Err(format!(
            "`data` of {text} is too large: at most {most}, and the device lets it grow to the end of its disk"
        )),
        mib if mib > max => Err(format!("`{key}` of {text} is too large: at most {most}")),
        _ => Ok(bytes),
    }
}

fn parse<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::layout::Layout;

    #[test]
    fn every_size_that_a_recipe_may_say_has_a_layout() {
        for pick in [|limits: (u64, u64)| limits.0, |limits: (u64, u64)| limits.1] {
            let disk = Disk {
                root_slot: pick(ROOT_SLOT_MIB) * MIB,
                boot_slot: pick(BOOT_SLOT_MIB) * MIB,
                data: pick(DATA_MIB) * MIB,
            };
            Layout::plan(&disk, Architecture::X86_64, Board::Efi).unwrap();
        }
    }
}
