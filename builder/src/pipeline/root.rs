//! From locked packages to a finished root file system tree.

use std::{path::PathBuf, sync::Arc};

use include_dir::{Dir, include_dir};
use jiff::Timestamp;
use outcrop_release::{
    agent::AgentDefinition, arch::Architecture, board::Board, channel::ChannelDefinition,
    device_config::DeviceDefinition, manifest::RunningManifest, name::ReleaseName, state::StateDefinition,
};

use super::{
    kubernetes::{self, Part},
    programs::DevicePrograms,
};
use crate::{
    blame::in_recipe,
    compose::{self, Composed, Diversion},
    error::Error,
    fetch::Shelf,
    finish::{self, FinishError, Finished, InstalledPackage, Layer, kernel},
    lock::format::{LockedPackage, Role},
    progress::Progress,
    recipe::{
        LoadedRecipe,
        schema::{Recipe, State},
    },
    store::{PackageFile, PackageTree, TreeStore},
    tree::{Entry, Tree, TreePath},
};

/// Static files of every image.
static BASE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../images/base");
/// Static files of images with a root shell on the serial console.
static DEV_ACCESS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../images/dev-access");
/// Modules of the initramfs, by board.
const fn modules(board: Board) -> &'static str {
    match board {
        Board::Efi => include_str!("../../../images/efi/initramfs-modules.txt"),
        Board::Rpi => include_str!("../../../images/rpi/initramfs-modules.txt"),
    }
}
/// Where the updater lies in the root file system.
const UPDATER: &str = "usr/lib/outcrop/outcrop-updater";
/// What brings the state in order; units of the recipe wait for it.
const STATE_UNIT: &str = "outcrop-state.service";
/// Where the trust file lies.
const TRUST: &str = "usr/lib/outcrop/trust.toml";
/// Where it is found by whoever types its name, and what that link says.
const UPDATER_LINK: (&str, &str) = ("usr/bin/outcrop-updater", "../lib/outcrop/outcrop-updater");

/// What one architecture's root is made from.
pub(super) struct RootInputs<'a> {
    /// The recipe.
    pub(super) recipe: &'a Recipe,
    /// For what.
    pub(super) architecture: Architecture,
    /// The lock's packages of the architecture, with their files in the cache.
    pub(super) packages: &'a [(LockedPackage, PathBuf)],
    /// When the newest of the lock's suites was made, in seconds since 1970.
    pub(super) built: i64,
    /// The device's programs.
    pub(super) programs: &'a DevicePrograms,
    /// Where fetched files lie.
    pub(super) shelf: &'a Shelf,
    /// Where trees are kept.
    pub(super) store: &'a TreeStore,
    /// Who is told.
    pub(super) progress: &'a dyn Progress,
}

/// A root file system, and what goes around it.
pub(super) struct Root {
    /// The tree, the kernel, the report.
    pub(super) finished: Finished,
    /// Files of the packages that are locked for booting.
    pub(super) boot: Tree,
    /// Files that are of no package.
    pub(super) parts: Vec<Part>,
}

impl RootInputs<'_> {
    /// Imports, composes, finishes.
    pub(super) fn make(&self, loaded: &LoadedRecipe) -> Result<Root, Error> {
        let trees = self.import()?;
        let with_role = |role: Role| {
            let pairs = self.packages.iter().zip(&trees);
            pairs
                .filter(move |((locked, _), _)| locked.role == role)
                .map(|((locked, _), tree)| (locked, tree))
        };
        let root: Vec<(&LockedPackage, &Arc<PackageTree>)> = with_role(Role::Root).collect();
        let boot: Vec<Arc<PackageTree>> = with_role(Role::Boot).map(|(_, tree)| Arc::clone(tree)).collect();
        let boot = compose::compose(&boot, &[])?.tree;
        self.progress.checkpoint()?;
        let composed = compose_root(&root)?;
        let installed = installed(&root, &composed);
        let (layers, parts) = self.layers()?;
        let finished = self.finish(composed.tree, &installed, &layers, loaded)?;
        Ok(Root {
            finished,
            boot,
            parts,
        })
    }

    fn import(&self) -> Result<Vec<Arc<PackageTree>>, Error> {
        let files: Vec<PackageFile<'_>> = self
            .packages
            .iter()
            .map(|(locked, path)| PackageFile {
                digest: locked.sha256,
                size: locked.size,
                path,
                name: &locked.name,
            })
            .collect();
        Ok(self.store.import(&files, self.progress)?)
    }

    fn finish(
        &self,
        tree: Tree,
        packages: &[InstalledPackage],
        layers: &[Layer],
        loaded: &LoadedRecipe,
    ) -> Result<Finished, Error> {
        let modules = self.initramfs_modules();
        let inputs = finish::Inputs {
            recipe: self.recipe,
            architecture: self.architecture,
            packages,
            layers,
            initramfs_modules: &modules,
            contents: self.store,
            progress: self.progress,
        };
        finish::finish(tree, &inputs).map_err(|error| in_recipe(loaded, error))
    }

    /// The names of the modules that the initramfs carries: the board's and the recipe's.
    pub(super) fn initramfs_modules(&self) -> Vec<String> {
        let mut names = kernel::names_in_list(modules(self.recipe.image.board), self.architecture);
        names.extend(self.recipe.kernel.initramfs_modules.iter().cloned());
        names
    }

    /// What the updater on the device knows of the release that it runs from.
    fn running_manifest(&self) -> RunningManifest {
        let image = &self.recipe.image;
        RunningManifest {
            release: ReleaseName {
                image: image.name.clone(),
                version: image.version.clone(),
                architecture: self.architecture,
                board: image.board,
            },
            rollback_index: self.recipe.update.rollback_index,
            health_deadline: self.recipe.health.deadline,
            kubernetes: self
                .recipe
                .kubernetes
                .as_ref()
                .map(|kubernetes| kubernetes.version.clone()),
        }
    }

    /// Which channel the device follows by itself.
    fn channel_layer(&self) -> Result<Option<Layer>, FinishError> {
        let update = &self.recipe.update;
        let Some(channel) = update.channel.clone() else {
            return Ok(None);
        };
        let definition = ChannelDefinition {
            url: update.url.clone(),
            channel,
            built: Timestamp::from_second(self.built).unwrap_or_default(),
        };
        let path = ChannelDefinition::PATH.parse().map_err(FinishError::Path)?;
        Ok(Some(Layer {
            origin: "the recipe's [update]".to_owned(),
            entries: vec![(path, Entry::file(0o644, definition.to_bytes()))],
        }))
    }

    /// How the device looks after its updates; nothing where it couldn't follow a channel. The agent's units want this file.
    fn agent_layer(&self) -> Result<Option<Layer>, FinishError> {
        let update = &self.recipe.update;
        let has_keys = update
            .trust
            .as_ref()
            .is_some_and(|trust| trust.channel().is_some());
        if !has_keys {
            return Ok(None);
        }
        let path = AgentDefinition::PATH.parse().map_err(FinishError::Path)?;
        Ok(Some(Layer {
            origin: "the recipe's [update]".to_owned(),
            entries: vec![(path, Entry::file(0o644, update.agent.to_bytes()))],
        }))
    }

    /// What lies over the packages, and which of it comes from elsewhere.
    fn layers(&self) -> Result<(Vec<Layer>, Vec<Part>), Error> {
        let mut layers = vec![Layer::embedded("images/base", &BASE)?];
        if self.recipe.access.serial_root_shell {
            layers.push(Layer::embedded("images/dev-access", &DEV_ACCESS)?);
        }
        let path = |text: &str| text.parse::<TreePath>().map_err(FinishError::Path);
        let (link, target) = UPDATER_LINK;
        layers.push(Layer {
            origin: "the device's programs".to_owned(),
            entries: vec![
                (path(UPDATER)?, Entry::file(0o755, self.programs.updater.clone())),
                (path(link)?, Entry::symlink(target)),
            ],
        });
        layers.push(Layer {
            origin: "what the release says of itself".to_owned(),
            entries: vec![(
                path(RunningManifest::PATH)?,
                Entry::file(0o644, self.running_manifest().to_bytes()),
            )],
        });
        if let Some(trust) = &self.recipe.update.trust {
            let text = trust.to_toml().into_bytes();
            layers.push(Layer {
                origin: "the recipe's trust file".to_owned(),
                entries: vec![(path(TRUST)?, Entry::file(0o644, text))],
            });
        }
        layers.extend(self.channel_layer()?);
        layers.extend(self.agent_layer()?);
        layers.push(Layer {
            origin: "the recipe's [device]".to_owned(),
            entries: vec![(
                path(DeviceDefinition::PATH)?,
                Entry::file(0o644, self.recipe.device.to_bytes()),
            )],
        });
        layers.extend(self.recipe.state.as_ref().map(state_layer).transpose()?);
        let mut parts = Vec::new();
        if let Some(kubernetes) = &self.recipe.kubernetes {
            layers.extend(kubernetes::units(kubernetes.distribution)?);
            let (layer, found) = kubernetes::layer(kubernetes, self.architecture, self.store, self.shelf)?;
            layers.push(layer);
            parts = found;
        }
        Ok((layers, parts))
    }
}

/// What `[state]` makes of the image: what the updater reads, and units that wait for it.
fn state_layer(state: &State) -> Result<Layer, FinishError> {
    let path = |text: &str| text.parse::<TreePath>().map_err(FinishError::Path);
    let file = |bytes: Vec<u8>| Entry::file(0o644, bytes);
    let mut entries = vec![(path(StateDefinition::PATH)?, file(state.definition.to_bytes()))];
    for unit in &state.units {
        let text = format!("[Unit]\nRequires={STATE_UNIT}\nAfter={STATE_UNIT}\n");
        let name = format!("usr/lib/systemd/system/{unit}.d/10-outcrop-state.conf");
        entries.push((path(&name)?, file(text.into_bytes())));
    }
    Ok(Layer {
        origin: "the recipe's [state]".to_owned(),
        entries,
    })
}

fn compose_root(packages: &[(&LockedPackage, &Arc<PackageTree>)]) -> Result<Composed, Error> {
    let mut diversions = Vec::new();
    for (locked, _) in packages {
        let actions = locked.scripts.iter().flat_map(|script| &script.actions);
        diversions.extend(Diversion::from_actions(&locked.name, actions)?);
    }
    let trees: Vec<Arc<PackageTree>> = packages.iter().map(|(_, tree)| Arc::clone(tree)).collect();
    Ok(compose::compose(&trees, &diversions)?)
}

/// What the finish step asks about each package.
fn installed(packages: &[(&LockedPackage, &Arc<PackageTree>)], composed: &Composed) -> Vec<InstalledPackage> {
    let owned = composed.owners.by_package();
    let describe = |(locked, tree): &(&LockedPackage, &Arc<PackageTree>)| {
        let text = |name: &str| {
            tree.control
                .file(name)
                .map(String::from_utf8_lossy)
                .unwrap_or_default()
                .into_owned()
        };
        InstalledPackage {
            name: locked.name.clone(),
            architecture: locked.architecture.clone(),
            control: text("control"),
            conffiles: text("conffiles"),
            md5sums: text("md5sums"),
            files: owned
                .get(locked.name.as_str())
                .into_iter()
                .flatten()
                .map(|path| (*path).clone())
                .collect(),
            actions: locked
                .scripts
                .iter()
                .flat_map(|script| script.actions.clone())
                .collect(),
        }
    };
    packages.iter().map(describe).collect()
}
