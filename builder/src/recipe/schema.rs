//! What a recipe says, after includes are merged and every value is checked.
//!
//! Keys are kebab-case. `keys` has the table of all keys, from which `docs/recipe.md` is generated.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use outcrop_release::{
    agent::AgentDefinition, arch::Architecture, board::Board, channel::ChannelName,
    device_config::DeviceDefinition, digest::FileDigest, kubernetes::KubernetesDefinition, loader::Enroll,
    manifest::RollbackIndex, name::ImageName, state::StateDefinition, trust::Trust,
};
use semver::Version;

use crate::{
    boot::guard::WatchdogLimit,
    secure_boot::{Certificate, Enrollment},
    tree::TreePath,
};

/// A complete recipe: what one image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// `[image]`: what is built.
    pub image: Image,
    /// `[base]`: what it is made from.
    pub base: Base,
    /// `[packages]`: what is installed.
    pub packages: Packages,
    /// `[kernel]`: which kernel, which modules, which options.
    pub kernel: Kernel,
    /// `[[files]]`: single files that the recipe adds, in order; each path once, none below another.
    pub files: Vec<FileSpec>,
    /// `overlays`: folders whose content is laid over the tree, in order; absolute host paths.
    pub overlays: Vec<PathBuf>,
    /// `[users.NAME]`: accounts for people. None has a password, ever. `root` has nothing but SSH keys.
    pub users: BTreeMap<AccountName, User>,
    /// `[services]`: units to enable, disable, mask.
    pub services: Services,
    /// `[kubernetes]`: the Kubernetes that the image carries; none carries none.
    pub kubernetes: Option<Kubernetes>,
    /// `[state]`: data that goes with the release.
    pub state: Option<State>,
    /// `[boot]`: what happens before the kernel has started.
    pub boot: Boot,
    /// `[secure-boot]`: whose signature loader and boot payload carry; none carry none. Only for board `efi`.
    pub secure_boot: Option<SecureBoot>,
    /// `[disk]`: sizes of the partitions.
    pub disk: Disk,
    /// `[health]`: when a release counts as working.
    pub health: Health,
    /// `[update]`: which releases a device installs.
    pub update: Update,
    /// `[device]`: how a device takes its own configuration.
    pub device: DeviceDefinition,
    /// `[access]`: ways in that only a development image has.
    pub access: Access,
}

/// `[image]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Product name.
    pub name: ImageName,
    /// Release, by semantic versioning.
    pub version: Version,
    /// What to build for; not empty.
    pub architectures: Vec<Architecture>,
    /// What starts the device.
    pub board: Board,
}

/// `[base]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Whose packages: only `debian` exists.
    pub distribution: Distribution,
    /// Release name: `trixie`. Its updates and security suites are always locked too.
    pub suite: String,
    /// Parts of the archive: `main`, `contrib`, `non-free-firmware`, ...
    pub components: Vec<String>,
}

/// A distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// Debian.
    Debian,
}

/// `[packages]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packages {
    /// Names to install with their dependencies (no recommendations), sorted and unique.
    pub install: Vec<String>,
    /// Maintainer scripts that the recipe's author has read and wants skipped: `PACKAGE/postinst`.
    pub accept_scripts: Vec<String>,
}

/// `[kernel]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// `package`: per architecture, the kernel's (meta) package. Has each of the image's architectures.
    pub package: BTreeMap<Architecture, String>,
    /// `exclude-modules`: globs below `kernel/` of the module folder (`drivers/gpu/**`) that stay out, unless a module
    /// that stays needs them.
    pub exclude_modules: Vec<String>,
    /// `keep-modules`: globs of modules that stay all the same.
    pub keep_modules: Vec<String>,
    /// `initramfs-modules`: module names that the initramfs carries beside its own list.
    pub initramfs_modules: Vec<String>,
    /// `command-line`: options appended to Outcrop's own, in order.
    pub command_line: Vec<String>,
}

/// `[[files]]`: one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// Where it goes.
    pub path: TreePath,
    /// What it holds.
    pub content: FileContent,
    /// Permission bits; 0o644 when left out.
    pub mode: u16,
}

/// Where a file's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// `content = "..."`.
    Inline(String),
    /// `source = "path"`, relative to the recipe that says so; here absolute.
    Source(PathBuf),
}

/// Name of a user or group: `[a-z_][a-z0-9_-]{0,30}`.
pub type AccountName = String;

/// `[users.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// Fixed numeric id, 1000 to 59999; the next free one when left out.
    pub uid: Option<u32>,
    /// Supplementary groups.
    pub groups: Vec<AccountName>,
    /// Login shell; `/bin/bash` when left out.
    pub shell: Option<String>,
    /// Public keys in OpenSSH's one-line form, without options before them.
    pub ssh_keys: Vec<String>,
}

/// `[services]`: each a full unit name (`ssh.service`), sorted, in one of the lists only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Services {
    /// Started at boot.
    pub enable: Vec<String>,
    /// Not started at boot.
    pub disable: Vec<String>,
    /// Can't be started at all.
    pub mask: Vec<String>,
}

/// `[kubernetes]`: a Kubernetes that is one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubernetes {
    /// Whose, and what the device is in its cluster.
    pub distribution: KubernetesDistribution,
    /// Where the program lies in the image. `custom.path` where it is one of the user's own.
    pub path: TreePath,
    /// What runs it, started at boot; not empty. `custom.units` where it is one of the user's own.
    pub units: Vec<String>,
    /// `version`: of the distribution's release. Its first three numbers are Kubernetes' own.
    pub version: Version,
    /// `binary.ARCH`: the program. Has each of the image's architectures.
    pub binaries: BTreeMap<Architecture, Download>,
    /// `kubeconfig`, `node` and `drain`: how the device deals with it; none when the recipe names no kubeconfig file.
    pub definition: Option<KubernetesDefinition>,
    /// `[[kubernetes.images]]`: archives of container images, for nodes without a registry; no two with one file name.
    pub images: Vec<ImageArchive>,
}

/// A Kubernetes distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubernetesDistribution {
    /// Mirantis' and the CNCF's k0s.
    K0s(KubernetesRole),
    /// SUSE's and the CNCF's k3s.
    K3s(KubernetesRole),
    /// One of the user's own: the recipe says how it runs.
    Custom,
}

/// `role`: what a device is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KubernetesRole {
    /// A cluster of its own.
    #[default]
    Single,
    /// One of those that run the control plane.
    Controller,
    /// One that runs pods only.
    Worker,
}

/// A file from elsewhere, told by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// Where it is.
    pub origin: Origin,
    /// SHA-256 of the file.
    pub sha256: FileDigest,
}

/// Where a file from elsewhere is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `url`: on a web server.
    Url(String),
    /// `file`: on the build machine; absolute.
    File(PathBuf),
}

impl Download {
    /// The last part of its path or address.
    #[must_use]
    pub fn file_name(&self) -> &str {
        let (name, _) = match &self.origin {
            Origin::Url(url) => url.split_once(['?', '#']).unwrap_or((url, "")),
            Origin::File(path) => (path.to_str().unwrap_or_default(), ""),
        };
        name.rsplit('/').next().unwrap_or_default()
    }
}

/// `[[kubernetes.images]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageArchive {
    /// For this architecture's image only; none for all.
    pub architecture: Option<Architecture>,
    /// The archive.
    pub download: Download,
}

impl Services {
    /// Starts `units` at boot too, but for those that a list decides over.
    pub(super) fn start(&mut self, units: &[String]) {
        for unit in units {
            let decided = [&self.enable, &self.disable, &self.mask];
            if !decided.iter().any(|list| list.contains(unit)) {
                self.enable.push(unit.clone());
            }
        }
        self.enable.sort_unstable();
    }
}

/// `[state]`: what the device is told, and which units wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// `paths`, `keep` and the hooks.
    pub definition: StateDefinition,
    /// `units`, and those of Kubernetes: they start once the state is as the release needs it. Not empty.
    pub units: Vec<String>,
}

/// `[boot]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Boot {
    /// `watchdog`: EFI Boot Guard starts it, with this limit. None leaves that to the initramfs. Only for x86_64.
    pub watchdog: Option<WatchdogLimit>,
}

/// `[secure-boot]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecureBoot {
    /// `certificate`: what loader and boot payload are signed by. The private key is never a recipe's.
    pub certificate: Certificate,
    /// `keys`: what brings the owner's keys into a machine; none puts nothing onto partition 1.
    pub enrollment: Option<Enrollment>,
    /// `enroll`: when the loader does that by itself.
    pub enroll: Enroll,
}

/// `[disk]`: sizes in bytes; in the recipe as text with a binary unit (`"1GiB"`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// `root-slot`: space for one root file system; a multiple of 1 MiB.
    pub root_slot: u64,
    /// `boot-slot`: space for one boot payload (UKI); a multiple of 1 MiB.
    pub boot_slot: u64,
    /// `data`: the data partition as built; it grows to the disk's end on the device. A multiple of 1 MiB.
    pub data: u64,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            root_slot: 1 << 30,
            boot_slot: 64 << 20,
            data: 256 << 20,
        }
    }
}

/// `[health]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// `deadline`: how long a new release may take, from its kernel's start, until its checks hold.
    pub deadline: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(600),
        }
    }
}

/// `[update]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Update {
    /// `trust`: whose releases the device installs. None installs nothing.
    pub trust: Option<Trust>,
    /// `channel`: which list of releases the device follows.
    pub channel: Option<ChannelName>,
    /// `url`: where releases are published.
    pub url: Option<String>,
    /// How devices look after their updates.
    pub agent: AgentDefinition,
    /// `rollback-index`: a device that has committed a release refuses those with a lower one.
    pub rollback_index: RollbackIndex,
}

/// `[access]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// `serial-root-shell`: a root shell on the serial console without asking for anything. For development only.
    pub serial_root_shell: bool,
}
