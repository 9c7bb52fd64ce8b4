//! What is remembered of a build: beside the image's tree in the store, and for the next build with the same inputs.

use outcrop_release::digest::FileDigest;

use super::{
    Job, PipelineError, Session,
    image::Written,
    record::{self, BuildRecord, OutputFile},
};
use crate::{
    error::Error,
    lock::format::LockedPackage,
    store::{ImageRecord, RecordedPackage},
};

impl Session<'_> {
    /// What the tree store keeps beside the image's tree.
    pub(super) fn image_record(&self, job: &Job, written: &Written) -> ImageRecord {
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

    /// Keeps what the next build with the same inputs needs to know.
    ///
    /// # Errors
    /// When a file in the output folder can't be looked at, or the record not be written.
    pub(super) fn remember(&self, job: &Job, written: Written) -> Result<BuildRecord, Error> {
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
