//! The digest of a recipe: whether a finished build is still up to date. (`lock` has the digest of the parts that decide
//! over packages.)
//!
//! It is the SHA-256 over a sequence of fields, each a name and its values with their lengths, so that no two recipes
//! give the same sequence. Host paths are not in it: the same recipe has the same digest in every folder.

use std::{fs::File, path::Path};

use outcrop_release::{
    agent::AgentDefinition, arch::Architecture, device_config::DeviceDefinition, digest::FileDigest,
    kubernetes::KubernetesDefinition, trust::Trust,
};

use super::{
    overlay::{OverlayNode, walk},
    problem::RecipeError,
    schema::{
        Access, Boot, Disk, FileContent, Health, ImageArchive, Kernel, Kubernetes, KubernetesRole, Packages,
        Recipe, SecureBoot, Services, State, Update, User,
    },
};
use crate::{secure_boot::Enrollment, sha256::Sha256};

/// Digest of everything that the recipe says, with the content of the files and overlays that it names.
///
/// # Errors
/// When one of those can't be read.
pub fn build_digest(recipe: &Recipe) -> Result<FileDigest, RecipeError> {
    let Recipe {
        image,
        base: _,
        packages: _,
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
        device: DeviceDefinition { import },
        access,
    } = recipe;
    let mut fields = Fields::new("outcrop recipe 1");
    fields.packages(recipe);
    fields.add("name", [image.name.as_str()]);
    fields.add("version", [&image.version.to_string()]);
    fields.kernel(kernel);
    for spec in files {
        fields.add("file", [spec.path.as_str(), &format!("{:o}", spec.mode)]);
        match &spec.content {
            FileContent::Inline(text) => {
                fields.add("content", [&FileDigest::of(text.as_bytes()).to_string()]);
            }
            FileContent::Source(path) => fields.content(path)?,
        }
    }
    for folder in overlays {
        fields.overlay(folder)?;
    }
    for (name, user) in users {
        fields.user(name, user);
    }
    let Services {
        enable,
        disable,
        mask,
    } = services;
    fields.add("enable", enable);
    fields.add("disable", disable);
    fields.add("mask", mask);
    fields.carried(kubernetes.as_ref(), state.as_ref());
    fields.layout(*boot, *disk);
    fields.secure_boot(secure_boot.as_ref());
    fields.add("import", [&format!("{import:?}")]);
    let Health { deadline } = health;
    fields.add("health", [deadline.as_secs().to_string()]);
    fields.update(update);
    let Access { serial_root_shell } = access;
    fields.add("access", [serial_root_shell.to_string()]);
    Ok(fields.finish())
}

struct Fields(Sha256);

impl Fields {
    fn new(kind: &str) -> Self {
        let mut fields = Self(Sha256::new());
        fields.add(kind, [""; 0]);
        fields
    }

    fn finish(self) -> FileDigest {
        FileDigest::from_bytes(self.0.finish())
    }

    /// One field: lengths are 8 bytes, little-endian.
    fn add<T: AsRef<str>>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    ) {
        let values = values.into_iter();
        self.text(name);
        self.0.update((values.len() as u64).to_le_bytes());
        for value in values {
            self.text(value.as_ref());
        }
    }

    fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
    }

    fn update(&mut self, update: &Update) {
        let Update {
            trust,
            channel,
            url,
            agent,
            rollback_index,
        } = update;
        self.add("trust", trust.iter().map(Trust::to_toml).collect::<Vec<_>>());
        // What says nothing about channels has the digest that it always had.
        for (name, text) in [
            ("channel", channel.as_ref().map(ToString::to_string)),
            ("url", url.clone()),
        ] {
            if let Some(text) = text {
                self.add(name, [text]);
            }
        }
        if *agent != AgentDefinition::default() {
            self.add("agent", [String::from_utf8_lossy(&agent.to_bytes())]);
        }
        self.add("rollback-index", [rollback_index.0.to_string()]);
    }

    fn layout(&mut self, boot: Boot, disk: Disk) {
        let Boot { watchdog } = boot;
        let limit = watchdog.map(|limit| limit.seconds().to_string());
        self.add("watchdog", limit.iter());
        let Disk {
            root_slot,
            boot_slot,
            data,
        } = disk;
        self.add(
            "disk",
            [root_slot, boot_slot, data].map(|bytes| bytes.to_string()),
        );
    }

    /// A recipe without it has the digest that it always had.
    fn secure_boot(&mut self, secure_boot: Option<&SecureBoot>) {
        let Some(SecureBoot {
            certificate,
            enrollment,
            enroll,
        }) = secure_boot
        else {
            return;
        };
        self.add(
            "secure-boot",
            [enroll.as_str(), &certificate.fingerprint().to_string()],
        );
        for file in enrollment.iter().flat_map(Enrollment::files) {
            let digest = FileDigest::of(&file.content).to_string();
            self.add("secure-boot-file", [file.name.as_str(), &digest]);
        }
    }

    fn carried(&mut self, kubernetes: Option<&Kubernetes>, state: Option<&State>) {
        if let Some(kubernetes) = kubernetes {
            self.kubernetes(kubernetes);
        }
        if let Some(State { definition, units }) = state {
            self.add("state", [String::from_utf8_lossy(&definition.to_bytes())]);
            self.add("state-units", units);
        }
    }

    /// Where files come from doesn't matter: their digests say what they are.
    fn kubernetes(&mut self, kubernetes: &Kubernetes) {
        let Kubernetes {
            distribution,
            path,
            units,
            version,
            binaries,
            definition,
            images,
        } = kubernetes;
        let role = distribution.role().map_or("", KubernetesRole::name);
        self.add(
            "kubernetes",
            [distribution.name(), role, path.as_str(), &version.to_string()],
        );
        self.add("kubernetes-units", units);
        let definition = definition.as_ref().map(KubernetesDefinition::to_bytes);
        self.add(
            "kubernetes-definition",
            definition.iter().map(|bytes| String::from_utf8_lossy(bytes)),
        );
        for (architecture, binary) in binaries {
            self.add(
                "kubernetes-binary",
                [architecture.as_str(), &binary.sha256.to_string()],
            );
        }
        for ImageArchive {
            architecture,
            download,
        } in images
        {
            let architecture = architecture.map_or("", Architecture::as_str);
            self.add(
                "kubernetes-images",
                [architecture, download.file_name(), &download.sha256.to_string()],
            );
        }
    }

    fn packages(&mut self, recipe: &Recipe) {
        let Packages {
            install,
            accept_scripts,
        } = &recipe.packages;
        self.add("distribution", [format!("{:?}", recipe.base.distribution)]);
        self.add("suite", [&recipe.base.suite]);
        self.add("components", &recipe.base.components);
        self.add("board", [recipe.image.board.as_str()]);
        self.add("install", install);
        self.add("accept-scripts", accept_scripts);
        for architecture in &recipe.image.architectures {
            let kernel = recipe.kernel.package.get(architecture);
            self.add(
                "architecture",
                [architecture.as_str(), kernel.map_or("", String::as_str)],
            );
        }
    }

    fn kernel(&mut self, kernel: &Kernel) {
        let Kernel {
            package: _,
            exclude_modules,
            keep_modules,
            initramfs_modules,
            command_line,
        } = kernel;
        self.add("exclude-modules", exclude_modules);
        self.add("keep-modules", keep_modules);
        self.add("initramfs-modules", initramfs_modules);
        self.add("command-line", command_line);
    }

    fn user(&mut self, name: &str, user: &User) {
        let User {
            uid,
            groups,
            shell,
            ssh_keys,
        } = user;
        self.add(
            "user",
            [name, &uid.map_or_else(String::new, |uid| uid.to_string())],
        );
        self.add("groups", groups);
        self.add("shell", shell.as_slice());
        self.add("ssh-keys", ssh_keys);
    }

    fn overlay(&mut self, folder: &Path) -> Result<(), RecipeError> {
        let entries = walk(folder)?;
        self.add("overlay", [entries.len().to_string()]);
        for entry in entries {
            let path = entry.path.as_str();
            match entry.node {
                OverlayNode::Folder => self.add("folder", [path]),
                OverlayNode::Symlink(target) => self.add("symlink", [path, &target]),
                OverlayNode::File { source, executable } => {
                    self.add("file", [path, if executable { "755" } else { "644" }]);
                    self.content(&source)?;
                }
            }
        }
        Ok(())
    }

    /// The digest of a file's content, read in pieces.
    fn content(&mut self, path: &Path) -> Result<(), RecipeError> {
        let digest = File::open(path)
            .and_then(FileDigest::of_reader)
            .map_err(|source| RecipeError::Content {
                path: path.to_owned(),
                source,
            })?;
        self.add("content", [&digest.to_string()]);
        Ok(())
    }
}
