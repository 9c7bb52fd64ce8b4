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

/// How often each of ours is measured; the median counts.
const RUNS: usize = 3;

#[derive(Debug, Serialize)]
struct Figures {
    peers: Vec<String>,
    architectures: Vec<ArchFigures>,
    /// Cold builds of all architectures that are measured, in one run.
    together_cold: Cost,
    /// Where both are measured.
    aarch64_to_x86_64: Option<f64>,
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
pub(crate) fn run(install: Install, arch: Option<Arch>) -> Result<(), Error> {
    packages::ensure(Needs::Bench, install)?;
    peers::ensure_emulation()?;
    let peers = peers::versions()?;
    device::build(install)?;
    let archs = arch.map_or_else(|| Arch::ALL.to_vec(), |arch| vec![arch]);
    let mut bench = Bench::new(images::builder(Profile::Release)?)?;
    bench.warm(&archs)?;
    let ours = archs
        .iter()
        .map(|arch| bench.ours(*arch))
        .collect::<Result<Vec<_>, _>>()?;
    let together_cold = bench.cold(&archs)?;
    let measured = archs
        .into_iter()
        .zip(ours)
        .map(|(arch, ours)| bench.peer(arch, ours))
        .collect::<Result<Vec<_>, _>>();
    // Only now: a file system slows down who makes files soon after others were removed, and that would be a part of what is
    // measured next. Source: Linux, fs/ext4/ialloc.c, `recently_deleted`.
    bench.remove()?;
    let architectures = measured?;
    let peak = |peak: f64, cost: Cost| peak.max(cost.peak_mib);
    let costs = architectures
        .iter()
        .flat_map(|figures| [figures.cold, figures.unchanged, figures.one_package]);
    let aarch64_to_x86_64 = match architectures.as_slice() {
        [x86_64, aarch64] => Some(aarch64.cold.seconds / x86_64.cold.seconds),
        _ => None,
    };
    let figures = Figures {
        peers,
        together_cold,
        aarch64_to_x86_64,
        peak_mib: costs.chain([together_cold]).fold(0.0, peak),
        architectures,
    };
    print(&figures);
    eprintln!("figures: {}", save("build", &figures)?.display());
    Ok(())
}

fn print(figures: &Figures) {
    eprintln!("\npeers: {}", figures.peers.join("; "));
    figures.architectures.iter().for_each(print_one);
    if let Some(ratio) = figures.aarch64_to_x86_64 {
        eprintln!("both architectures, cold: {:.2} s", figures.together_cold.seconds);
        eprintln!("aarch64 / x86_64: {ratio:.2}");
    }
    eprintln!("peak memory {:.0} MiB", figures.peak_mib);
}

fn print_one(arch: &ArchFigures) {
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

struct Bench {
    outcrop: PathBuf,
    folder: tempfile::TempDir,
    recipe: PathBuf,
    /// How many caches there are: each cold build has its own.
    caches: usize,
}

/// What our builds of one architecture cost.
struct Ours {
    cold: Cost,
    unchanged: Cost,
    one_package: Cost,
    packages: Vec<String>,
    files: Vec<(PathBuf, String)>,
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
            caches: 0,
        })
    }

    /// The newest cache.
    fn cache(&self) -> PathBuf {
        self.folder.path().join(format!("cache-{}", self.caches))
    }

    fn output(&self) -> PathBuf {
        self.cache().join("out")
    }

    /// Fetches the packages, and locks the variant with one package more.
    fn warm(&self, archs: &[Arch]) -> Result<(), Error> {
        shell::run(&mut self.build(&self.recipe, archs))?;
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
        let mut lock = Command::new(&self.outcrop);
        lock.arg("lock")
            .arg(&variant)
            .arg("--cache-dir")
            .arg(self.cache());
        shell::run(&mut lock)?;
        shell::run(&mut self.build(&variant, archs))
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
        command.arg("--output").arg(self.output());
        command.arg("--device-programs").arg(project::device_programs());
        for arch in archs {
            command.args(["--arch", arch.as_str()]);
        }
        command
    }

    /// A new cache that holds nothing but the packages.
    fn empty(&mut self) -> Result<(), Error> {
        self.caches += 1;
        let (cache, packages) = (self.cache(), self.folder.path().join("cache-0/packages"));
        let made = fs::create_dir(&cache).and_then(|()| symlink(&packages, cache.join("packages")));
        made.map_err(|source| Error::File {
            doing: "make the cache",
            path: cache.clone(),
            source,
        })?;
        // What earlier runs wrote isn't to be paid for by this one.
        rustix::fs::sync();
        Ok(())
    }

    fn cold(&mut self, archs: &[Arch]) -> Result<Cost, Error> {
        let run = |_| {
            self.empty()?;
            measure::measure(&self.build(&self.recipe, archs))
        };
        measure::median((0..RUNS).map(run).collect::<Result<_, _>>()?)
    }

    fn ours(&mut self, arch: Arch) -> Result<Ours, Error> {
        let cold = self.cold(&[arch])?;
        let unchanged = (0..RUNS).map(|_| measure::measure(&self.build(&self.recipe, &[arch])));
        let unchanged = measure::median(unchanged.collect::<Result<_, _>>()?)?;
        let (packages, files) = (self.packages(arch)?, self.package_files(arch)?);
        Ok(Ours {
            cold,
            unchanged,
            one_package: self.one_package(arch)?,
            packages,
            files,
        })
    }

    fn peer(&self, arch: Arch, ours: Ours) -> Result<ArchFigures, Error> {
        let count = ours.packages.len();
        let peer = peers::run(&Job {
            arch,
            packages: ours.packages,
            folder: self.folder.path(),
            files: ours.files,
        })?;
        let figures = ArchFigures {
            architecture: arch.as_str(),
            packages: count,
            cold: ours.cold,
            unchanged: ours.unchanged,
            one_package: ours.one_package,
            peer_to_cold: peer.seconds / ours.cold.seconds,
            peer,
        };
        print_one(&figures);
        Ok(figures)
    }

    /// The default image is built and in the store; now one package is new.
    fn one_package(&mut self, arch: Arch) -> Result<Cost, Error> {
        let run = |_| {
            self.empty()?;
            shell::run(&mut self.build(&self.recipe, &[arch]))?;
            rustix::fs::sync();
            measure::measure(&self.build(&self.variant(), &[arch]))
        };
        measure::median((0..RUNS).map(run).collect::<Result<_, _>>()?)
    }

    fn remove(self) -> Result<(), Error> {
        peers::remove(self.folder.path())
    }

    /// Our cache's file of each package, and what apt calls it: what the bill of materials tells.
    fn package_files(&self, arch: Arch) -> Result<Vec<(PathBuf, String)>, Error> {
        let image = images::find(&self.output(), "edge", arch)?;
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
        let image = images::find(&self.output(), "edge", arch)?;
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
