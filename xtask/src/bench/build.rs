//! `cargo xtask bench build`: how long an image takes, against mmdebstrap, mkfs.erofs and veritysetup.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Serialize;

use crate::{
    bench::{
        measure::{self, Cost},
        peers::{self, Job, PeerCost},
        save,
    },
    device,
    error::Error,
    host::Arch,
    images::{self, Profile},
    packages::{self, Install, Needs},
    project, shell,
};

/// How often each of ours is measured; the median counts. The peers take minutes and are measured once, warmed.
const RUNS: usize = 3;

#[derive(Debug, Serialize)]
struct Figures {
    peers: Vec<String>,
    architectures: Vec<ArchFigures>,
    both_cold: Cost,
    aarch64_to_x86_64: f64,
    peak_mib: f64,
}

#[derive(Debug, Serialize)]
struct ArchFigures {
    architecture: &'static str,
    packages: usize,
    cold: Cost,
    unchanged: Cost,
    one_package: Cost,
    peer: PeerCost,
    peer_to_cold: f64,
}

/// Measures and prints.
pub(crate) fn run(install: Install) -> Result<(), Error> {
    packages::ensure(Needs::Bench, install)?;
    device::build(install)?;
    let bench = Bench::new(images::builder(Profile::Release)?)?;
    bench.warm()?;
    let architectures = Arch::ALL
        .into_iter()
        .map(|arch| bench.architecture(arch))
        .collect::<Result<Vec<_>, _>>()?;
    let both_cold = bench.cold(&Arch::ALL)?;
    let seconds = |index: usize| {
        architectures
            .get(index)
            .map_or(f64::NAN, |figures: &ArchFigures| figures.cold.seconds)
    };
    let costs = || {
        architectures
            .iter()
            .flat_map(|figures| [figures.cold, figures.unchanged, figures.one_package])
    };
    let figures = Figures {
        peers: peers::versions()?,
        both_cold,
        aarch64_to_x86_64: seconds(1) / seconds(0),
        peak_mib: costs()
            .chain([both_cold])
            .map(|cost| cost.peak_mib)
            .fold(0.0, f64::max),
        architectures,
    };
    print(&figures);
    eprintln!("figures: {}", save("build", &figures)?.display());
    Ok(())
}

fn print(figures: &Figures) {
    eprintln!("\npeers: {}", figures.peers.join("; "));
    for arch in &figures.architectures {
        eprintln!("{} ({} packages)", arch.architecture, arch.packages);
        eprintln!(
            "  cold (packages cached, store empty)  {:7.2} s  {:6.0} MiB",
            arch.cold.seconds, arch.cold.peak_mib
        );
        eprintln!(
            "  unchanged inputs                     {:7.2} s",
            arch.unchanged.seconds
        );
        eprintln!(
            "  one package more                     {:7.2} s",
            arch.one_package.seconds
        );
        let peer = &arch.peer;
        eprintln!(
            "  mmdebstrap {:.2} s + mkfs.erofs {:.2} s + veritysetup {:.2} s = {:.2} s: {:.1}x ours",
            peer.mmdebstrap.seconds,
            peer.mkfs_erofs.seconds,
            peer.veritysetup.seconds,
            peer.seconds,
            arch.peer_to_cold
        );
    }
    eprintln!("both architectures, cold: {:.2} s", figures.both_cold.seconds);
    eprintln!(
        "aarch64 / x86_64: {:.2}; peak memory {:.0} MiB",
        figures.aarch64_to_x86_64, figures.peak_mib
    );
}

struct Bench {
    outcrop: PathBuf,
    folder: tempfile::TempDir,
    recipe: PathBuf,
}

impl Bench {
    fn new(outcrop: PathBuf) -> Result<Self, Error> {
        let parent = project::target();
        let folder = tempfile::tempdir_in(&parent).map_err(|source| Error::File {
            doing: "create a folder in",
            path: parent,
            source,
        })?;
        Ok(Self {
            outcrop,
            folder,
            recipe: project::root().join("recipes/edge.toml"),
        })
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Fetches the packages of both architectures, and locks the variant with one package more.
    fn warm(&self) -> Result<(), Error> {
        shell::run(&mut self.build(&self.recipe, &Arch::ALL))?;
        let variant = self.variant();
        let text = format!(
            "include = [{:?}]\n\n[packages]\ninstall = [\"tree\"]\n",
            self.recipe.display().to_string()
        );
        fs::write(&variant, text).map_err(|source| Error::File {
            doing: "write",
            path: variant.clone(),
            source,
        })?;
        shell::run(
            Command::new(&self.outcrop)
                .arg("lock")
                .arg(&variant)
                .arg("--cache-dir")
                .arg(self.cache()),
        )?;
        shell::run(&mut self.build(&variant, &Arch::ALL))
    }

    fn variant(&self) -> PathBuf {
        self.folder.path().join("one-more.toml")
    }

    fn build(&self, recipe: &Path, archs: &[Arch]) -> Command {
        let mut command = Command::new(&self.outcrop);
        command
            .args(["build", "--quiet"])
            .arg(recipe)
            .arg("--cache-dir")
            .arg(self.cache());
        command.arg("--output").arg(self.folder.path().join("out"));
        command.arg("--device-programs").arg(project::device_programs());
        for arch in archs {
            command.args(["--arch", arch.as_str()]);
        }
        command
    }

    /// Forgets everything but the packages.
    fn empty(&self) -> Result<(), Error> {
        let (cache, packages) = (self.cache(), self.folder.path().join("packages"));
        let moved = || {
            if !packages.exists() {
                fs::rename(cache.join("packages"), &packages)?;
            }
            fs::remove_dir_all(&cache)?;
            fs::create_dir(&cache)?;
            symlink(&packages, cache.join("packages"))?;
            match fs::remove_dir_all(self.folder.path().join("out")) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        moved().map_err(|source| Error::File {
            doing: "empty the cache",
            path: cache.clone(),
            source,
        })
    }

    fn cold(&self, archs: &[Arch]) -> Result<Cost, Error> {
        let run = |_| {
            self.empty()?;
            measure::measure(&self.build(&self.recipe, archs))
        };
        measure::median((0..RUNS).map(run).collect::<Result<_, _>>()?)
    }

    fn architecture(&self, arch: Arch) -> Result<ArchFigures, Error> {
        let cold = self.cold(&[arch])?;
        let unchanged = (0..RUNS).map(|_| measure::measure(&self.build(&self.recipe, &[arch])));
        let unchanged = measure::median(unchanged.collect::<Result<_, _>>()?)?;
        let one_package = self.one_package(arch)?;
        let packages = self.packages(arch)?;
        let count = packages.len();
        let peer = peers::run(&Job {
            arch,
            packages,
            folder: self.folder.path(),
            files: self.package_files(arch)?,
        })?;
        let peer_to_cold = peer.seconds / cold.seconds;
        Ok(ArchFigures {
            architecture: arch.as_str(),
            packages: count,
            cold,
            unchanged,
            one_package,
            peer,
            peer_to_cold,
        })
    }

    /// The default image is built and in the store; now one package is new.
    fn one_package(&self, arch: Arch) -> Result<Cost, Error> {
        let run = |_| {
            self.empty()?;
            shell::run(&mut self.build(&self.recipe, &[arch]))?;
            measure::measure(&self.build(&self.variant(), &[arch]))
        };
        measure::median((0..RUNS).map(run).collect::<Result<_, _>>()?)
    }

    /// Our cache's file of each package, and what apt calls it: what the bill of materials tells.
    fn package_files(&self, arch: Arch) -> Result<Vec<(PathBuf, String)>, Error> {
        let image = images::find(&self.folder.path().join("out"), "edge", arch)?;
        let path = image.with_extension("cdx.json");
        let text = fs::read_to_string(&path).map_err(|source| Error::File {
            doing: "read",
            path,
            source,
        })?;
        let sbom: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| Error::Unexpected(error.to_string()))?;
        let file = |component: &serde_json::Value| {
            let (_, rest) = component["purl"].as_str()?.split_once("arch=")?;
            let architecture = rest.split('&').next()?;
            let sha256 = component["hashes"][0]["content"].as_str()?;
            let version = component["version"].as_str()?.replace(':', "%3a");
            let name = format!("{}_{version}_{architecture}.deb", component["name"].as_str()?);
            let file = self.cache().join("packages").join(sha256.get(..2)?).join(sha256);
            Some((file, name))
        };
        let components = sbom["components"].as_array().into_iter().flatten();
        Ok(components.filter_map(file).collect())
    }

    fn packages(&self, arch: Arch) -> Result<Vec<String>, Error> {
        let image = images::find(&self.folder.path().join("out"), "edge", arch)?;
        let text = shell::output(Command::new(&self.outcrop).args(["inspect", "--json"]).arg(image))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| Error::Unexpected(error.to_string()))?;
        let pin = |package: &serde_json::Value| {
            Some(format!(
                "{}={}",
                package["name"].as_str()?,
                package["version"].as_str()?
            ))
        };
        let packages: Vec<String> = value["packages"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(pin)
            .collect();
        if packages.is_empty() {
            Err(Error::Unexpected("the image lists no packages".to_owned()))
        } else {
            Ok(packages)
        }
    }
}
