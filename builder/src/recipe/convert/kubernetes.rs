//! `[kubernetes]`

use std::{collections::BTreeMap, fs::Metadata, path::PathBuf};

use outcrop_release::{
    arch::Architecture,
    kubernetes::{KubernetesDefinition, MAX_DRAIN},
};

use super::{
    super::{
        located::Item,
        node::{Node, Table, Value},
        problem::Problem,
        schema::{Download, ImageArchive, Kubernetes, KubernetesDistribution, KubernetesRole, Origin},
        source::Location,
        value::{deadline, file_path, image_name, kubernetes_version, sha256, unit_name, web_address},
    },
    files::existing,
    reader::{Reader, Section},
};
use crate::tree::TreePath;

pub(super) fn kubernetes(
    reader: &mut Reader<'_>,
    top: Section<'_>,
    architectures: &[Architecture],
) -> Option<Kubernetes> {
    let section = reader.section(top, "kubernetes");
    section.table?;
    let role = role(reader, section);
    let distribution = reader.required(section, "distribution", |text| match text {
        "k0s" => Ok(KubernetesDistribution::K0s(role)),
        "k3s" => Ok(KubernetesDistribution::K3s(role)),
        "custom" => Ok(KubernetesDistribution::Custom),
        _ => Err(format!(
            "{text:?} is no Kubernetes distribution that Outcrop knows: there are `k0s`, `k3s`, and `custom`, which runs any that is one program"
        )),
    });
    let version = reader.required(section, "version", kubernetes_version);
    let way = way(reader, section, distribution);
    let binaries = binaries(reader, section, architectures);
    let images = images(reader, section);
    let definition = definition(reader, section, distribution);
    let (path, units) = way?;
    Some(Kubernetes {
        distribution: distribution?,
        path,
        units,
        version: version?,
        binaries,
        definition,
        images,
    })
}

fn role(reader: &mut Reader<'_>, section: Section<'_>) -> KubernetesRole {
    let role = reader.optional(section, "role", |text| {
        KubernetesRole::named(text)
            .ok_or_else(|| format!("{text:?} is no role: there are `single`, `controller` and `worker`"))
    });
    role.unwrap_or_default()
}

/// Where the program lies, and what runs it.
fn way(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    distribution: Option<KubernetesDistribution>,
) -> Option<(TreePath, Vec<String>)> {
    let (named, surplus, why) = match distribution? {
        KubernetesDistribution::Custom => (
            "custom",
            "role",
            "its units decide what the device is in its cluster",
        ),
        named => (named.name(), "custom", "Outcrop knows how it runs"),
    };
    if let Some(member) = section.get(surplus) {
        let problem = Problem::new(format!("distribution `{named}` has no `{surplus}`: {why}"));
        reader.report(problem.at(member.key.clone()));
    }
    if named == "custom" {
        return custom_kubernetes(reader, section);
    }
    let path = format!("/usr/bin/{named}");
    Some((file_path(&path).ok()?, vec![format!("{named}.service")]))
}

/// How the device deals with it.
fn definition(
    reader: &mut Reader<'_>,
    section: Section<'_>,
    distribution: Option<KubernetesDistribution>,
) -> Option<KubernetesDefinition> {
    let known = distribution.and_then(KubernetesDistribution::kubeconfig);
    let absolute = |text: &str| match text.starts_with('/') && !text.ends_with('/') {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is no absolute path of a file")),
    };
    let told = reader.optional(section, "kubeconfig", absolute);
    let kubeconfig = told.or(known.map(str::to_owned));
    let node = reader.optional(section, "node", node_name);
    let drain = reader.optional(section, "drain", |text| match deadline(text)? {
        limit if limit <= MAX_DRAIN => Ok(limit),
        _ => Err(format!("{text:?} is too long for draining: a day at most")),
    });
    for key in ["node", "drain"] {
        if let Some(member) = section
            .get(key)
            .filter(|_| known.is_none() && section.get("kubeconfig").is_none())
        {
            let problem = Problem::new(format!(
                "`{key}` needs `kubeconfig`: the API can't be asked without it"
            ));
            reader.report(problem.at(member.key.clone()));
        }
    }
    Some(KubernetesDefinition {
        kubeconfig: kubeconfig?,
        node,
        drain,
    })
}

/// A node's name: an RFC 1123 subdomain. Source: Kubernetes, "Object Names and IDs".
fn node_name(text: &str) -> Result<String, String> {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    match text.len() <= 253
        && text.starts_with(is_end)
        && text.ends_with(is_end)
        && text.chars().all(is_inner)
    {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is no node's name: lower-case letters, digits, `-` and `.`, at most 253"
        )),
    }
}

fn custom_kubernetes(reader: &mut Reader<'_>, kubernetes: Section<'_>) -> Option<(TreePath, Vec<String>)> {
    let member = kubernetes.get("custom");
    let section = Section {
        name: "kubernetes.custom",
        table: member.and_then(|member| table_of(&member.node)),
        place: member.map(|member| &member.key).or(kubernetes.place),
    };
    let path = reader.required(section, "path", file_path);
    let mut units = Vec::new();
    for (unit, place) in reader.list(section, "units", unit_name) {
        reader.locate(Item::Service(unit.clone()), place);
        units.push(unit);
    }
    if units.is_empty() {
        let problem = Problem::new("[kubernetes.custom] needs `units`: what runs Kubernetes");
        reader.report(in_section(problem, section.place));
    }
    Some((path?, units))
}

fn binaries(
    reader: &mut Reader<'_>,
    kubernetes: Section<'_>,
    architectures: &[Architecture],
) -> BTreeMap<Architecture, Download> {
    let member = kubernetes.get("binary");
    let mut binaries = BTreeMap::new();
    let mut named = Vec::new();
    for (key, member) in member
        .and_then(|member| table_of(&member.node))
        .into_iter()
        .flatten()
    {
        match key.parse::<Architecture>() {
            Err(error) => reader.report(Problem::new(error.to_string()).at(member.key.clone())),
            Ok(architecture) => {
                named.push(architecture);
                let section = Section {
                    name: "kubernetes.binary",
                    table: table_of(&member.node),
                    place: Some(&member.key),
                };
                reader.locate(Item::KubernetesBinary(architecture), &member.key);
                binaries.extend(download(reader, section).map(|download| (architecture, download)));
            }
        }
    }
    for architecture in architectures.iter().filter(|wanted| !named.contains(wanted)) {
        let problem = Problem::new(format!("[kubernetes] names no binary for {architecture}")).help(format!(
            "write `[kubernetes.binary.{architecture}]` with `url` or `file`, and `sha256`"
        ));
        let place = member.map(|member| &member.key).or(kubernetes.place);
        reader.report(in_section(problem, place));
    }
    binaries
}

fn images(reader: &mut Reader<'_>, kubernetes: Section<'_>) -> Vec<ImageArchive> {
    let Some(Value::List(entries)) = kubernetes.get("images").map(|member| &member.node.value) else {
        return Vec::new();
    };
    let mut images: Vec<ImageArchive> = Vec::new();
    for entry in entries {
        let Some(image) = image(reader, entry) else {
            continue;
        };
        let name = image.download.file_name();
        let same = |other: &&ImageArchive| {
            let both = other.architecture.zip(image.architecture);
            other.download.file_name() == name && both.is_none_or(|(one, two)| one == two)
        };
        if image_name(name).is_err() || images.iter().any(|other| same(&other)) {
            reader.report(
                Problem::new(format!("{name:?} can't name an archive in the image, or does so already"))
                    .at(entry.place.clone())
                    .help("each archive of an image has a file name of its own, of letters, digits, `.`, `_`, `+` and `-`"),
            );
        }
        images.push(image);
    }
    images
}

fn image(reader: &mut Reader<'_>, entry: &Node) -> Option<ImageArchive> {
    let section = Section {
        name: "kubernetes.images",
        table: table_of(entry),
        place: Some(&entry.place),
    };
    let architecture = reader.optional(section, "architecture", |text| {
        text.parse::<Architecture>().map_err(|error| error.to_string())
    });
    Some(ImageArchive {
        architecture,
        download: download(reader, section)?,
    })
}

fn download(reader: &mut Reader<'_>, section: Section<'_>) -> Option<Download> {
    let digest = reader.required(section, "sha256", sha256);
    let origin = origin(reader, section);
    Some(Download {
        origin: origin?,
        sha256: digest?,
    })
}

fn origin(reader: &mut Reader<'_>, section: Section<'_>) -> Option<Origin> {
    let problem = match (section.get("url"), section.get("file")) {
        (Some(_), None) => return reader.optional(section, "url", web_address).map(Origin::Url),
        (None, Some(_)) => {
            let (name, place) = section.text("file")?;
            return later_file(reader, name, place).map(Origin::File);
        }
        (Some(_), Some(file)) => {
            Problem::new("there is either `url` or `file`, not both").at(file.key.clone())
        }
        (None, None) => in_section(
            Problem::new(format!("[{}] needs `url` or `file`", section.name)),
            section.place,
        ),
    };
    reader.report(problem);
    None
}

/// A file that need not be there yet: that of another architecture may never be. The build of an image that takes it says so.
fn later_file(reader: &mut Reader<'_>, name: &str, place: &Location) -> Option<PathBuf> {
    let path = place.file().folder().join(name);
    match std::path::absolute(&path) {
        Ok(absolute) if !absolute.exists() => Some(absolute),
        _ => existing(reader, name, place, Metadata::is_file, "file"),
    }
}

fn in_section(problem: Problem, place: Option<&Location>) -> Problem {
    match place {
        Some(place) => problem.at(place.clone()),
        None => problem,
    }
}

fn table_of(node: &Node) -> Option<&Table> {
    match &node.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}
