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
mod packages;
mod payload;
mod programs;
mod record;
mod remembered;
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
    folder::OutputFolder, image::ImageJob, programs::DevicePrograms, record::BuildRecord, root::RootInputs,
};
use crate::{
    bundle::Compression,
    cache::Cache,
    disk,
    error::Error,
    fetch::{Mode, Shelf},
    keys::{self, PrivateKey},
    lock::{self, Lock, format::LockedPackage},
    previous::{self, PreviousRelease},
    progress::Progress,
    recipe::{self, LoadedRecipe, digest},
    secure_boot::Signer,
    store::{StoreError, TreeStore},
};

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

    fn write_sums<'f>(&self, digests: impl Iterator<Item = (&'f String, String)>) -> Result<(), Error> {
        let digests = digests.map(|(name, digest)| (name.clone(), digest)).collect();
        let path = self.output.join(sums::NAME);
        sums::update(&self.output, &digests, self.progress).map_err(PipelineError::file("write", path))?;
        Ok(())
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

    /// The image's time: the newest of the suites' dates, in seconds since 1970.
    fn time(&self) -> u64 {
        self.lock
            .suites
            .iter()
            .map(|suite| suite.date)
            .max()
            .unwrap_or_default()
    }
}

/// The tools of this machine that write a part of an image, with their versions; what can't be asked has no version,
/// and fails when it is used.
fn tools() -> String {
    disk::ext4::mke2fs_version().unwrap_or_default()
}
