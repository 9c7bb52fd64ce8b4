//! The pairs as recipes, locks and images. Locks are made once and kept, so that a rerun has the same bytes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{bookworm, failed, kubernetes, locks::Locks, package, pairs::Pair, renamed_kernel};
use crate::{error::Error, host::Arch, images, project, releases, shell};

/// What the images are made from.
pub(super) const RECIPE: &str = "recipes/edge.toml";
const PRODUCT: &str = "edge";
/// The option of `outcrop build` with which a release's image keeps to the one before it; the one place that knows it.
const PREVIOUS: Option<&str> = Some("--previous");

/// Two releases, built.
#[derive(Debug)]
pub(super) struct Fixture {
    /// Disk images.
    pub(super) old: PathBuf,
    pub(super) new: PathBuf,
    /// What differs, exactly.
    pub(super) what: String,
    /// Compressed bytes of the files that changed, each by itself: where the bar is a multiple of that.
    pub(super) changed_files: Option<u64>,
    /// Signs the bundles, which lie beside the images; the trust file is beside it.
    pub(super) key: PathBuf,
    /// For everything that is made of them.
    pub(super) folder: PathBuf,
}

/// One release, before it is built.
#[derive(Debug, Default, Clone)]
pub(super) struct Release {
    pub(super) lock: String,
    /// Lines of the recipe's table `[base]`.
    pub(super) base: &'static str,
    /// Lines of its table `[packages]`.
    pub(super) packages: String,
    pub(super) overlay: Option<PathBuf>,
}

/// What differs between two.
pub(super) struct Difference {
    pub(super) old: Release,
    pub(super) new: Release,
    pub(super) what: String,
    pub(super) changed_files: Option<u64>,
}

/// Makes fixtures.
pub(super) struct Workshop<'a> {
    pub(super) outcrop: &'a Path,
    pub(super) folder: PathBuf,
    pub(super) locks: Locks<'a>,
}

impl Workshop<'_> {
    /// Builds both releases of a pair.
    pub(super) fn make(&self, pair: Pair) -> Result<Fixture, Error> {
        let folder = self.folder.join(pair.name());
        fs::create_dir_all(&folder).map_err(failed("create folder", &folder))?;
        let key = releases::key(self.outcrop, &self.folder)?;
        let difference = self.difference(pair, &folder)?;
        let build =
            |release, version, previous| self.build(&folder, release, version, pair.arch(), &key, previous);
        let old = build(&difference.old, "1.0.0", None)?;
        let new = build(&difference.new, "1.1.0", Some(old.as_path()))?;
        Ok(Fixture {
            old,
            new,
            what: difference.what,
            changed_files: difference.changed_files,
            key,
            folder,
        })
    }

    fn difference(&self, pair: Pair, folder: &Path) -> Result<Difference, Error> {
        let (point, today) = (self.locks.point_release()?, self.locks.today()?);
        match pair {
            Pair::SecurityX86_64 | Pair::SecurityAarch64 => Ok(simple(
                point,
                today,
                "the suite's last point release, and the same with its -updates and -security suites"
                    .to_owned(),
            )),
            Pair::Version => Ok(simple(
                today.clone(),
                today,
                "the same recipe and lock, image.version raised".to_owned(),
            )),
            Pair::Package => package::difference(&point, &today, folder),
            Pair::Kubernetes => kubernetes::difference(&today, folder),
            Pair::RenamedKernel => renamed_kernel::difference(&today, folder),
            Pair::Bookworm => bookworm::difference(&self.locks, today),
        }
    }

    fn build(
        &self,
        folder: &Path,
        release: &Release,
        version: &str,
        arch: Arch,
        key: &Path,
        previous: Option<&Path>,
    ) -> Result<PathBuf, Error> {
        let output = folder.join(version);
        let recipe = output.join(format!("{PRODUCT}.toml"));
        write(
            &recipe,
            recipe_text(release, version, &self.folder.join("trust.toml")),
        )?;
        write(&recipe.with_extension("lock"), &release.lock)?;
        let mut command = Command::new(self.outcrop);
        command.arg("build").arg(&recipe).arg("--output").arg(&output);
        command.args(["--arch", arch.as_str(), "--locked"]);
        command.arg("--device-programs").arg(project::device_programs());
        command.arg("--key").arg(key);
        if let (Some(option), Some(previous)) = (PREVIOUS, previous) {
            command.arg(option).arg(previous);
        }
        shell::run(&mut command)?;
        images::find(&output, PRODUCT, arch)
    }
}

/// Two locks and nothing else.
fn simple(old: String, new: String, what: String) -> Difference {
    let release = |lock| Release {
        lock,
        ..Release::default()
    };
    Difference {
        old: release(old),
        new: release(new),
        what,
        changed_files: None,
    }
}

/// The recipe of a release, which includes the default product's.
pub(super) fn recipe_text(release: &Release, version: &str, trust: &Path) -> String {
    let include = project::root().join(RECIPE).display().to_string();
    let overlays: Vec<String> = release
        .overlay
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    format!(
        "include = [{include:?}]\noverlays = {overlays:?}\n[image]\nversion = {version:?}\n[base]\n{}\n[packages]\n{}\n\
         [update]\ntrust = {:?}\n",
        release.base,
        release.packages,
        trust.display().to_string()
    )
}

/// Writes a file and the folders that it lies in.
pub(super) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(failed("create folder", folder))?;
    fs::write(path, bytes).map_err(failed("write", path))
}
