//! From composed packages to a root file system that boots: the native steps that replace maintainer scripts.
//!
//! The steps, in order. The lock's rules refer to them by these names, which therefore never change.
//!
//! | step | what it does | what would have done it |
//! |---|---|---|
//! | `layers` | Outcrop's static files, then the recipe's overlays and `[[files]]`; again at the end, so that they win | |
//! | `accounts` | passwd, group, shadow, gshadow; people's homes and SSH keys | base-passwd, sysusers.d, adduser |
//! | `actions` | alternatives, owners and modes, file capabilities, paths that scripts make | postinst |
//! | `shells` | /etc/shells | update-shells, add-shell |
//! | `certificates` | /etc/ssl/certs: bundle and hash links | update-ca-certificates |
//! | `pam` | /etc/pam.d/common-* | pam-auth-update |
//! | `nsswitch` | /etc/nsswitch.conf with the installed modules | libc-bin, libnss-* |
//! | `base-files` | folders, mount points, links into /var, machine-id, hosts, locale, time zone | base-files, systemd, tzdata |
//! | `tmpfiles` | tmpfiles.d lines for paths of the read-only root | systemd-tmpfiles |
//! | `kernel` | kernel image out, modules selected, unpacked, indexed | linux-image, depmod |
//! | `units` | enablement links, masks, default target | deb-systemd-helper, systemctl preset |
//! | `libraries` | no ld.so.cache, and nothing that would need one | ldconfig |
//! | `trim` | documentation, translations, caches out; licences stay | |
//! | `os-release` | IMAGE_ID, IMAGE_VERSION | |
//! | `package-database` | dpkg's status and lists below /usr/lib/sysimage | dpkg |
//! | `var` | what packages ship in /var becomes tmpfiles.d | |
//! | `check` | refuses what is unsafe or can't boot; lists privileged files | |
//!
//! What is left out on purpose: the journal's catalog (explanations in `journalctl -x`), udev's hardware database (names
//! of vendors in `lsusb` and `networkctl`, quirks of keyboards and mice; a layer with files for it is refused), Python
//! byte code, MIME and icon caches, debconf's answers.

pub mod accounts;
mod actions;
mod base_files;
mod certificates;
mod check;
mod dpkg;
pub mod edit;
pub mod error;
pub mod inputs;
pub mod kernel;
pub mod layers;
mod libraries;
mod nsswitch;
mod os_release;
mod pam;
pub mod report;
mod shells;
mod suggest;
#[cfg(test)]
mod testing;
mod tmpfiles;
mod trim;
mod units;
mod var;

pub use error::FinishError;
pub use inputs::{ContentStore, InMemory, Inputs, InstalledPackage};
pub use layers::Layer;
pub use report::{Finished, Privilege, Report};

use crate::tree::Tree;

/// dpkg's record of the installed packages, in an image.
pub const DPKG_STATUS: &str = "usr/lib/sysimage/dpkg/status";

/// Makes a root file system of a composed tree: all packages unpacked, usr-merged, diversions carried out.
///
/// # Errors
/// The first step that fails ends it; see [`FinishError`].
pub fn finish(mut tree: Tree, inputs: &Inputs<'_>) -> Result<Finished, FinishError> {
    let recipe_layers = layers::of_recipe(inputs.recipe)?;
    let status = dpkg::status(&tree, inputs)?;
    layers::apply(&mut tree, inputs.layers)?;
    layers::apply(&mut tree, &recipe_layers)?;
    let accounts = accounts::run(&mut tree, inputs)?;
    actions::run(&mut tree, inputs.packages, &accounts)?;
    shells::run(&mut tree, inputs.packages)?;
    certificates::run(&mut tree)?;
    pam::run(&mut tree)?;
    nsswitch::run(&mut tree, inputs.architecture)?;
    base_files::run(&mut tree, inputs)?;
    tmpfiles::run(&mut tree, &accounts)?;
    let kernel = kernel::run(&mut tree, inputs)?;
    let units = units::run(&mut tree, inputs)?;
    libraries::run(&mut tree, inputs.architecture)?;
    trim::run(&mut tree)?;
    os_release::run(&mut tree, inputs)?;
    layers::apply(&mut tree, &recipe_layers)?;
    dpkg::run(&mut tree, inputs, &status)?;
    var::run(&mut tree, &accounts)?;
    let report = Report {
        package_bytes: check::package_bytes(&tree, inputs, "usr/lib/modules/"),
        privileged: check::run(&tree, inputs)?,
        enabled: units.links.into_iter().collect(),
        masked: units.masked,
        accounts: accounts::numbers_by_name(&accounts),
    };
    Ok(Finished { tree, kernel, report })
}

#[cfg(test)]
mod tests;
