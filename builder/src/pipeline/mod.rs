//! From recipe and lock to the files in the output folder.
//!
//! ```text
//! recipe + lock ─key known, files untouched?─yes→ nothing to do
//!      └─no→ fetch ─→ import ─→ compose ─→ finish ─→ EROFS + verity ─┐
//!                                              └─→ initramfs ─→ UKI ─┴─→ disk image, block map, SBOM, bundle ─→ SHA256SUMS
//! ```
//! Fetching is for all architectures at once; the rest goes one architecture after the other, since each step of one
//! uses all processors.

mod error;
mod folder;
mod image;
mod key;
mod kubernetes;
mod payload;
mod programs;
mod record;
mod root;
mod secure_boot;
mod summary;
mod sums;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use outcrop_release::{arch::Architecture, digest::FileDigest, name::ReleaseName, trust::PublicKey};

pub use error::PipelineError;
pub use secure_boot::BuildKeys;
pub use summary::{ImageSummary, LayoutSummary};

use self::{
    folder::OutputFolder,
    image::{ImageJob, Written},
    programs::DevicePrograms,
    record::{BuildRecord, OutputFile},
    root::RootInputs,
};
use crate::{
    bundle::Compression,
    cache::Cache,
    disk,
    error::Error,
    fetch::{Effort, Fetcher, Http, Mirrors, Mode, Shelf, Snapshot, Sources, SystemClock, Timeouts},
    keys::{self, PrivateKey},
    lock::{self, Lock, format::LockedPackage},
    previous::{self, PreviousRelease},
    progress::Progress,
    recipe::{self, LoadedRecipe, digest},
    secure_boot::Signer,
    store::{ImageRecord, RecordedPackage, StoreError, TreeStore},
};

/// Where Debian's and the user's apt sources are.
const APT: &str = "/etc/apt";

/// What to build.
#[derive(Debug, Clone)]
pub struct Request {
    /// The recipe's file; its lock lies beside it.
    pub recipe: PathBuf,
    /// For which of the recipe's architectures; none means all.
    pub architectures: Vec<Architecture>,
    /// The output folder; made when it isn't there.
    pub output: PathBuf,
    /// `--mirror`.
    pub mirror: Option<String>,
    /// Whether the network may be used.
    pub mode: Mode,
    /// How much time the bundles' size is worth.
    pub compression: Compression,
    /// Folder of the device's programs; beside this program when left out.
    pub device_programs: Option<PathBuf>,
    /// `--previous`: releases after which the new ones are laid out, one for each architecture at most.
    pub previous: Vec<String>,
}

/// An image that is in the output folder.
#[derive(Debug, Clone)]
pub struct Built {
    /// Its figures.
    pub summary: ImageSummary,
    /// Whether it was there already, made from the same inputs.
    pub unchanged: bool,
}

/// Builds images; with release keys, also bundles that they have signed.
///
/// # Errors
/// See [`Error`]. Files that were complete before the failure stay; nothing half-written does.
pub fn build(
    request: &Request,
    keys: &BuildKeys,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<Vec<Built>, Error> {
    let _in_use = cache
        .share(progress)
        .map_err(PipelineError::file("lock the cache", cache.root()))?;
    let session = Session::new(request, keys, cache, progress)?;
    let jobs = session.jobs()?;
    let wanted: Vec<&Job> = jobs.iter().filter(|job| job.known.is_none()).collect();
    let _marked = session.prepare_machine(&wanted)?;
    session.fetch(&wanted)?;
    jobs.iter().map(|job| session.have(job)).collect()
}

/// One call of [`build`].
struct Session<'a> {
    request: &'a Request,
    keys: &'a [PrivateKey],
    signers: Vec<PublicKey>,
    secure_boot: Option<Signer>,
    cache: &'a Cache,
    progress: &'a dyn Progress,
    loaded: LoadedRecipe,
    recipe_digest: FileDigest,
    lock: Lock,
    lock_digest: FileDigest,
    output: PathBuf,
    previous: BTreeMap<Architecture, PreviousRelease>,
}

/// One architecture's image.
struct Job {
    release: ReleaseName,
    programs: DevicePrograms,
    key: String,
    known: Option<BuildRecord>,
}

impl<'a> Session<'a> {
    fn new(
        request: &'a Request,
        keys: &'a BuildKeys,
        cache: &'a Cache,
        progress: &'a dyn Progress,
    ) -> Result<Self, Error> {
        let loaded = recipe::load(&request.recipe)?;
        let secure_boot = secure_boot::signer(&loaded, keys.secure_boot.as_ref(), progress)?;
        let lock = lock::read(&request.recipe, &lock::recipe_digest(&loaded.recipe))?;
        let lock_path = lock::text::path_for(&request.recipe);
        let lock_digest = key::file_digest(&lock_path).map_err(PipelineError::file("read", &lock_path))?;
        let recipe_digest = digest::build_digest(&loaded.recipe)?;
        fs::create_dir_all(&request.output).map_err(PipelineError::file("create folder", &request.output))?;
        let output = request.output.canonicalize();
        let output = output.map_err(PipelineError::file("open folder", &request.output))?;
        let signers = keys::public_halves(&keys.release)?;
        let previous = previous::find_all(&request.previous, &cache.store(), progress)?;
        Ok(Self {
            request,
            keys: &keys.release,
            signers,
            secure_boot,
            cache,
            progress,
            loaded,
            recipe_digest,
            lock,
            lock_digest,
            output,
            previous,
        })
    }

    fn jobs(&self) -> Result<Vec<Job>, Error> {
        let builder = env::current_exe().map_err(PipelineError::file("find", "this program"))?;
        let builder_digest = key::file_digest(&builder).map_err(PipelineError::file("read", &builder))?;
        let tools = tools();
        let folder = match &self.request.device_programs {
            Some(folder) => folder.clone(),
            None => programs::default_folder(&builder).ok_or(PipelineError::NoPrograms)?,
        };
        let job = |architecture| self.job(architecture, &folder, builder_digest, &tools);
        let jobs: Vec<Job> = self
            .architectures()?
            .into_iter()
            .map(job)
            .collect::<Result<_, _>>()?;
        self.check_previous(&jobs)?;
        Ok(jobs)
    }

    /// Refuses what nothing is laid out after, and tells what is laid out after nothing.
    fn check_previous(&self, jobs: &[Job]) -> Result<(), Error> {
        let wanted: Vec<&ReleaseName> = jobs.iter().map(|job| &job.release).collect();
        previous::check_for(&self.previous, &wanted)?;
        let alone = wanted
            .iter()
            .filter(|release| !self.previous.contains_key(&release.architecture));
        for release in alone.filter(|_| !self.previous.is_empty()) {
            self.progress.note(&format!(
                "{release}: no --previous is for {}, so nothing stays where it was",
                release.architecture
            ));
        }
        Ok(())
    }

    fn architectures(&self) -> Result<Vec<Architecture>, Error> {
        let known = &self.loaded.recipe.image.architectures;
        let wanted: BTreeSet<Architecture> = self.request.architectures.iter().copied().collect();
        match wanted.iter().find(|architecture| !known.contains(architecture)) {
            Some(&architecture) => Err(PipelineError::NotInRecipe {
                recipe: self.request.recipe.clone(),
                architecture,
            }
            .into()),
            None if wanted.is_empty() => Ok(known.clone()),
            None => Ok(wanted.into_iter().collect()),
        }
    }

    fn job(
        &self,
        architecture: Architecture,
        folder: &Path,
        builder: FileDigest,
        tools: &str,
    ) -> Result<Job, Error> {
        let image = &self.loaded.recipe.image;
        let programs = DevicePrograms::read(folder, architecture)?;
        let digests: Vec<FileDigest> = programs.digests.iter().map(|(_, digest)| *digest).collect();
        let inputs = key::Inputs {
            recipe: self.recipe_digest,
            lock: self.lock_digest,
            architecture,
            programs: &digests,
            builder,
            tools,
            output: &self.output,
            signers: &self.signers,
            compression: self.request.compression,
            layout_of: self.previous.get(&architecture).map(PreviousRelease::root_hash),
        };
        let key = inputs.key();
        let known = record::recall(&self.cache.builds(), &key, &self.output);
        let release = ReleaseName {
            image: image.name.clone(),
            version: image.version.clone(),
            architecture,
            board: image.board,
        };
        Ok(Job {
            release,
            programs,
            key,
            known,
        })
    }

    fn packages(&self, architecture: Architecture) -> &[LockedPackage] {
        self.lock
            .packages
            .get(&architecture)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Finds out before the long work what would fail after it: a missing tool, an output folder that can't be written.
    fn check_machine(&self) -> Result<(), Error> {
        disk::check_tools()?;
        let failed = PipelineError::file("write to", &self.output);
        Ok(OutputFolder::check_writable(&self.output).map_err(failed)?)
    }

    /// Checks the machine when something is to be made, and marks the output folder as in use.
    fn prepare_machine(&self, wanted: &[&Job]) -> Result<OutputFolder, Error> {
        if !wanted.is_empty() {
            self.check_machine()?;
        }
        let folder = OutputFolder::open(&self.output, self.progress);
        Ok(folder.map_err(PipelineError::file("mark", &self.output))?)
    }

    /// The image of a job: as it is in the output folder, or made now.
    fn have(&self, job: &Job) -> Result<Built, Error> {
        let _mine = record::own(&self.cache.builds(), &self.output, &job.release, self.progress)
            .map_err(PipelineError::file("lock", self.cache.builds()))?;
        // Looked up again: another build may have made it, or written over it, while this one waited.
        let Some(known) = record::recall(&self.cache.builds(), &job.key, &self.output) else {
            return self.make_anew(job);
        };
        self.renew(job);
        let digests = known.files.iter().map(|file| (&file.name, file.sha256.clone()));
        self.write_sums(digests)?;
        Ok(Built {
            summary: known.summary,
            unchanged: true,
        })
    }

    /// Makes an image, of packages that aren't fetched yet where it was thought to be there already.
    fn make_anew(&self, job: &Job) -> Result<Built, Error> {
        if job.known.is_some() {
            self.check_machine()?;
            self.fetch(&[job])?;
        }
        Ok(Built {
            summary: self.make(job)?.summary,
            unchanged: false,
        })
    }

    /// Tells pruning that what an unchanged image was made of is still used.
    fn renew(&self, job: &Job) {
        record::renew(&self.cache.builds(), &job.key);
        let shelf = Shelf::of(self.cache);
        for package in self.packages(job.release.architecture) {
            let _looked_up = shelf.find(&package.sha256, package.size);
        }
        if let Some(kubernetes) = &self.loaded.recipe.kubernetes {
            kubernetes::renew(kubernetes, &shelf);
        }
    }

    fn write_sums<'f>(&self, digests: impl Iterator<Item = (&'f String, String)>) -> Result<(), Error> {
        let digests = digests.map(|(name, digest)| (name.clone(), digest)).collect();
        let path = self.output.join(sums::NAME);
        sums::update(&self.output, &digests, self.progress).map_err(PipelineError::file("write", path))?;
        Ok(())
    }

    /// Brings the packages of all jobs into the cache.
    fn fetch(&self, jobs: &[&Job]) -> Result<(), Error> {
        let all = jobs
            .iter()
            .flat_map(|job| self.packages(job.release.architecture));
        let unique: BTreeMap<FileDigest, &LockedPackage> =
            all.map(|package| (package.sha256, package)).collect();
        if jobs.is_empty() {
            return Ok(());
        }
        let packages: Vec<LockedPackage> = unique.into_values().cloned().collect();
        let shelf = Shelf::of(self.cache);
        let sources = self.sources()?;
        let effort = Effort::default();
        let transport = Http::new(Timeouts::default(), effort.connections);
        let fetcher = Fetcher {
            shelf: &shelf,
            sources: &sources,
            mode: self.request.mode,
            effort,
            transport: &transport,
            clock: &SystemClock,
            progress: self.progress,
        };
        fetcher.fetch(&packages)?;
        let kubernetes = self.loaded.recipe.kubernetes.iter();
        kubernetes
            .flat_map(|kubernetes| jobs.iter().map(move |job| (kubernetes, job.release.architecture)))
            .try_for_each(|(kubernetes, architecture)| kubernetes::fetch(kubernetes, architecture, &fetcher))
    }

    fn sources(&self) -> Result<Sources, Error> {
        if self.request.mode == Mode::Offline {
            return Ok(Sources::default());
        }
        let variable = env::var_os("OUTCROP_MIRROR");
        let mirrors = Mirrors::choose(
            self.request.mirror.as_deref(),
            variable.as_deref(),
            Path::new(APT),
        )?;
        Ok(Sources {
            mirrors,
            snapshot: Some(Snapshot::of(&self.lock)),
        })
    }

    /// Makes one image and remembers it.
    fn make(&self, job: &Job) -> Result<BuildRecord, Error> {
        let architecture = job.release.architecture;
        let store = TreeStore::open(&self.cache.store(), self.progress)?;
        let shelf = Shelf::of(self.cache);
        let packages: Vec<(LockedPackage, PathBuf)> = self
            .packages(architecture)
            .iter()
            .map(|package| (package.clone(), shelf.path(&package.sha256)))
            .collect();
        let inputs = RootInputs {
            recipe: &self.loaded.recipe,
            architecture,
            packages: &packages,
            built: i64::try_from(self.time()).unwrap_or(i64::MAX),
            programs: &job.programs,
            shelf: &shelf,
            store: &store,
            progress: self.progress,
        };
        let root = match inputs.make(&self.loaded) {
            Err(Error::Store(StoreError::Digest { .. })) => {
                self.replace_damaged(job)?;
                inputs.make(&self.loaded)?
            }
            made => made?,
        };
        self.progress.checkpoint()?;
        let time = self.time();
        let image = ImageJob {
            release: &job.release,
            inputs: &inputs,
            root: &root,
            time,
            loaded: &self.loaded,
            folder: &self.output,
            compression: self.request.compression,
            keys: self.keys,
            signer: self.secure_boot.as_ref(),
            previous: self.previous.get(&architecture),
        };
        let written = image.write()?;
        let digests = written.digests.iter();
        self.write_sums(digests.map(|(name, digest)| (name, digest.to_string())))?;
        let record = self.image_record(job, &written);
        store.commit_image(&root.finished.tree, &record, &written.addresses, time)?;
        self.remember(job, written)
    }

    /// Takes damaged packages out of the cache and fetches them again. Their length is right, or they would have been
    /// fetched before; only who reads them whole finds out.
    fn replace_damaged(&self, job: &Job) -> Result<(), Error> {
        let shelf = Shelf::of(self.cache);
        for package in self.packages(job.release.architecture) {
            self.progress.checkpoint()?;
            let checked = shelf.recheck(&package.sha256);
            checked.map_err(PipelineError::file("check", shelf.path(&package.sha256)))?;
        }
        self.progress.note(match self.request.mode {
            Mode::Offline => "packages in the cache were damaged: they are removed",
            _ => "packages in the cache were damaged: they are fetched again",
        });
        self.fetch(&[job])
    }

    /// The image's time: the newest of the suites' dates, in seconds since 1970.
    fn time(&self) -> u64 {
        self.lock
            .suites
            .iter()
            .map(|suite| suite.date)
            .max()
            .unwrap_or_default()
    }

    fn image_record(&self, job: &Job, written: &Written) -> ImageRecord {
        let summary = &written.summary;
        let recorded = |package: &LockedPackage| RecordedPackage {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            sha256: package.sha256.to_string(),
        };
        ImageRecord {
            name: job.release.image.clone(),
            architecture: job.release.architecture,
            version: job.release.version.to_string(),
            recipe: self.recipe_digest.to_string(),
            lock: self.lock_digest.to_string(),
            root_hash: summary.root_hash.clone(),
            kernel: summary.kernel.clone(),
            command_line: written.command_line.split(' ').map(str::to_owned).collect(),
            sizes: [
                ("root", summary.root_bytes),
                ("boot", summary.boot_bytes),
                ("initramfs", summary.initramfs_bytes),
            ]
            .map(|(name, bytes)| (name.to_owned(), bytes))
            .into(),
            packages: self
                .packages(job.release.architecture)
                .iter()
                .map(recorded)
                .collect(),
        }
    }

    fn remember(&self, job: &Job, written: Written) -> Result<BuildRecord, Error> {
        let note = |(name, digest): (&String, &FileDigest)| {
            let noted = OutputFile::note(&self.output, name, digest.to_string());
            noted.map_err(PipelineError::file("look at", self.output.join(name)))
        };
        let files = written.digests.iter().map(note).collect::<Result<Vec<_>, _>>()?;
        let record = BuildRecord {
            summary: written.summary,
            files,
        };
        let records = self.cache.builds();
        record::remember(&records, &job.key, &record)
            .map_err(PipelineError::file("write a record in", records))?;
        Ok(record)
    }
}

/// The tools of this machine that write a part of an image, with their versions; what can't be asked has no version,
/// and fails when it is used.
fn tools() -> String {
    disk::ext4::mke2fs_version().unwrap_or_default()
}
