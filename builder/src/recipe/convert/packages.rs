//! `[packages]` and `[kernel]`.

use std::collections::BTreeMap;

use outcrop_release::arch::Architecture;

use super::{
    super::{
        check::nearest,
        located::Item,
        node::Value,
        problem::Problem,
        schema::{Kernel, Packages},
        source::Location,
        value::{kernel_option, module_glob, module_name, package_name, script},
    },
    reader::{Reader, Section},
};

pub(super) fn packages(reader: &mut Reader<'_>, top: Section<'_>) -> Packages {
    let section = reader.section(top, "packages");
    let mut install: BTreeMap<String, &Location> = BTreeMap::new();
    for (name, place) in reader.list(section, "install", package_name) {
        install.insert(name, place);
    }
    for (name, place) in reader.list(section, "remove", package_name) {
        remove(reader, &mut install, &name, place);
    }
    for (name, place) in &install {
        reader.locate(Item::Package(name.clone()), place);
    }
    let scripts = reader.list(section, "accept-scripts", script);
    for (name, place) in &scripts {
        reader.locate(Item::AcceptedScript(name.clone()), place);
    }
    let mut accept_scripts: Vec<String> = scripts.into_iter().map(|(name, _)| name).collect();
    accept_scripts.sort_unstable();
    accept_scripts.dedup();
    Packages {
        install: install.into_keys().collect(),
        accept_scripts,
    }
}

fn remove(reader: &mut Reader<'_>, install: &mut BTreeMap<String, &Location>, name: &str, place: &Location) {
    let problem = match install.get(name) {
        Some(asked) if reader.rank(asked) < reader.rank(place) => {
            install.remove(name);
            return;
        }
        Some(asked) => Problem::new(format!("`remove` has {name:?}, which {asked} installs"))
            .help("`remove` takes out what an included recipe installs"),
        None => {
            let names: Vec<&str> = install.keys().map(String::as_str).collect();
            let problem = Problem::new(format!(
                "`remove` has {name:?}, but no included recipe installs it"
            ));
            match nearest(name, &names) {
                Some(near) => problem.help(format!("did you mean {near:?}?")),
                None => problem,
            }
        }
    };
    reader.report(problem.at(place.clone()));
}

pub(super) fn kernel(reader: &mut Reader<'_>, top: Section<'_>, architectures: &[Architecture]) -> Kernel {
    let section = reader.section(top, "kernel");
    let mut package = kernel_packages(reader, section);
    for architecture in architectures {
        package
            .entry(*architecture)
            .or_insert_with(|| format!("linux-image-{}", architecture.debian()));
    }
    let modules = reader.list(section, "initramfs-modules", module_name);
    for (name, place) in &modules {
        reader.locate(Item::KernelModule(name.clone()), place);
    }
    Kernel {
        package,
        exclude_modules: values(reader.list(section, "exclude-modules", module_glob)),
        keep_modules: values(reader.list(section, "keep-modules", module_glob)),
        initramfs_modules: values(modules),
        command_line: values(reader.list(section, "command-line", kernel_option)),
    }
}

fn kernel_packages(reader: &mut Reader<'_>, section: Section<'_>) -> BTreeMap<Architecture, String> {
    let mut packages = BTreeMap::new();
    let Some(Value::Table(table)) = section.get("package").map(|member| &member.node.value) else {
        return packages;
    };
    let section = Section {
        name: "kernel.package",
        table: Some(table),
        place: None,
    };
    for (key, member) in table {
        match key.parse::<Architecture>() {
            Err(error) => reader.report(Problem::new(error.to_string()).at(member.key.clone())),
            Ok(architecture) => {
                reader.locate(Item::KernelPackage(architecture), &member.node.place);
                if let Some(name) = reader.optional(section, key, package_name) {
                    packages.insert(architecture, name);
                }
            }
        }
    }
    packages
}

fn values<T>(list: Vec<(T, &Location)>) -> Vec<T> {
    list.into_iter().map(|(value, _)| value).collect()
}
