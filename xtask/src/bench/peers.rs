//! The same image made by others: mmdebstrap (with dpkg's --force-unsafe-io), mkfs.erofs, veritysetup. As root, from a
//! warm package cache.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    bench::measure::{self, Cost},
    error::Error,
    host::{self, Arch},
    shell,
};

/// What the peers need to know of our image.
pub(crate) struct Job<'a> {
    /// For which architecture.
    pub(crate) arch: Arch,
    /// `NAME=VERSION` of every package in the root.
    pub(crate) packages: Vec<String>,
    /// A folder that the bench owns.
    pub(crate) folder: &'a Path,
    /// Our cache's files of the packages, with the names that apt gives them.
    pub(crate) files: Vec<(PathBuf, String)>,
}

/// What the peers cost, step by step, and together.
#[derive(Debug, serde::Serialize)]
pub(crate) struct PeerCost {
    pub(crate) mmdebstrap: Cost,
    pub(crate) mkfs_erofs: Cost,
    pub(crate) veritysetup: Cost,
    pub(crate) seconds: f64,
}

/// The peers' packages with their versions, one each.
pub(crate) fn versions() -> Result<Vec<String>, Error> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${Package} ${Version}\\n"]);
    query.args(["mmdebstrap", "erofs-utils", "cryptsetup-bin"]);
    Ok(shell::output(&mut query)?.lines().map(str::to_owned).collect())
}

/// How often the peers are measured on this machine's own architecture; the median counts. Under emulation a run takes many
/// minutes: once.
const RUNS: usize = 3;

/// Warms the package cache, then measures. On this machine's own architecture a whole run warms it. Under emulation
/// the cache is ours, and the few packages that only the peer wants (those that make Debian's
/// initramfs) are fetched in the measured run, which is a second of hundreds.
pub(crate) fn run(job: &Job<'_>) -> Result<PeerCost, Error> {
    let cache = job.folder.join("debs");
    warm(job, &cache).map_err(|source| Error::File {
        doing: "fill",
        path: cache.clone(),
        source,
    })?;
    let sources = sources()?;
    let native = job.arch == Arch::host();
    if native {
        let root = job.folder.join(format!("warm-{}", job.arch.as_str()));
        shell::run(&mut mmdebstrap(job, &cache, &root, &sources)?)?;
    }
    let runs = if native { RUNS } else { 1 };
    let costs = (0..runs).map(|run| run_once(job, run, &cache, &sources));
    let mut costs = costs.collect::<Result<Vec<_>, _>>()?;
    costs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    Ok(costs.swap_remove(runs / 2))
}

fn run_once(job: &Job<'_>, run: usize, cache: &Path, sources: &[String]) -> Result<PeerCost, Error> {
    let named = |name: &str| job.folder.join(format!("{name}-{run}-{}", job.arch.as_str()));
    let root = named("root");
    let mmdebstrap = measure::measure(&mmdebstrap(job, cache, &root, sources)?)?;
    let (erofs, tree) = (named("erofs"), named("verity"));
    let mut mkfs = host::as_root("mkfs.erofs")?;
    mkfs.args(["-T", "0", "--quiet"]).args([&erofs, &root]);
    let mkfs_erofs = measure::measure(&mkfs)?;
    let mut verity = host::as_root("veritysetup")?;
    verity.arg("format").args([&erofs, &tree]);
    let veritysetup = measure::measure(&verity)?;
    Ok(PeerCost {
        mmdebstrap,
        mkfs_erofs,
        veritysetup,
        seconds: mmdebstrap.seconds + mkfs_erofs.seconds + veritysetup.seconds,
    })
}

fn warm(job: &Job<'_>, cache: &Path) -> io::Result<()> {
    fs::create_dir_all(cache)?;
    for (file, name) in &job.files {
        match fs::copy(file, cache.join(name)) {
            // What our image needs for booting alone isn't in the list of its packages, and need not be in the cache.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            copied => drop(copied?),
        }
    }
    Ok(())
}

/// Where the kernel lists whose programs it runs through an emulator.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// Lets the kernel run programs of all architectures: the peer runs each package's scripts. A machine whose systemd sets that
/// up has it; in a container or a bare virtual machine it may be missing.
pub(crate) fn ensure_emulation() -> Result<(), Error> {
    for arch in Arch::ALL.into_iter().filter(|arch| *arch != Arch::host()) {
        let name = format!("qemu-{}", arch.as_str());
        if Path::new(BINFMT).join(&name).exists() {
            continue;
        }
        let script = format!(
            "test -e {BINFMT}/register || mount -t binfmt_misc binfmt_misc {BINFMT}; \
             test -e {BINFMT}/{name} || cat /usr/lib/binfmt.d/{name}.conf > {BINFMT}/register"
        );
        shell::run(host::as_root("sh")?.args(["-ec", &script]))?;
    }
    Ok(())
}

fn mmdebstrap(job: &Job<'_>, cache: &Path, root: &Path, sources: &[String]) -> Result<Command, Error> {
    let mut command = host::as_root("mmdebstrap")?;
    command.args([
        "--quiet",
        "--mode=root",
        "--variant=essential",
        "--format=directory",
    ]);
    command.arg(format!("--architectures={}", job.arch.debian()));
    command.arg(format!("--include={}", job.packages.join(",")));
    command.args([
        "--dpkgopt=force-unsafe-io",
        "--aptopt=APT::Install-Recommends \"false\"",
    ]);
    command.args([
        "--skip=download/empty",
        "--skip=essential/unlink",
        "--skip=cleanup/apt/cache",
    ]);
    command.arg("--setup-hook=mkdir -p \"$1/var/cache/apt/archives/\"");
    command.arg(format!(
        "--setup-hook=sync-in {} /var/cache/apt/archives/",
        cache.display()
    ));
    command.arg(format!(
        "--customize-hook=sync-out /var/cache/apt/archives {}",
        cache.display()
    ));
    // No initramfs: ours is another program's work, and generating Debian's would count against the peer.
    command.env("INITRD", "No");
    command.arg("trixie").arg(root).args(sources);
    Ok(command)
}

/// The archive as this machine's apt reaches it, with the suites that a lock takes.
fn sources() -> Result<Vec<String>, Error> {
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
    let text = shell::output(&mut targets)?;
    let find = |folder: &str| {
        let is = |uri: &&str| uri.trim_end_matches('/').ends_with(folder);
        let missing = || Error::Unexpected(format!("apt's sources on this machine name no .../{folder}"));
        text.lines()
            .find(is)
            .map(|uri| uri.trim_end_matches('/').to_owned())
            .ok_or_else(missing)
    };
    let (main, security) = (find("debian")?, find("debian-security")?);
    Ok(vec![
        format!("deb {main} trixie main"),
        format!("deb {main} trixie-updates main"),
        format!("deb {security} trixie-security main"),
    ])
}

/// Removes what the peers made as root.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    shell::run(host::as_root("rm")?.args(["-rf", "--one-file-system"]).arg(path))
}
