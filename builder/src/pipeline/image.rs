//! From a finished root file system to the files of the output folder.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    panic::resume_unwind,
    path::{Path, PathBuf},
};

use outcrop_release::{
    board::Board,
    bootrec,
    bundle::MemberName,
    cmdline,
    digest::{FileDigest, RootHash},
    manifest::{ImageManifest, Member},
    name::ReleaseName,
    partition::Partition,
    slot::Slot,
    verity::{BLOCK_BYTES, HashTree, TreeBuilder},
};

use super::{
    PipelineError,
    kubernetes::Part,
    payload::{self, LoaderFiles},
    root::{Root, RootInputs},
    secure_boot,
    summary::{BundleSummary, ImageSummary, LayoutSummary},
};
use crate::{
    blame::in_recipe,
    boot::{partition::BootPartition, uki::Uki},
    bundle::{self, BundleError, Compression, Contents, WrittenBundle},
    disk::{
        assemble::{BootFiles, BootStage, DiskFacts, FinishedImage, RootWriter},
        error::DiskError,
        ext4::DataFileSystem,
        identity::Identity,
        layout::Layout,
    },
    erofs::{self, Plan},
    error::Error,
    finish::kernel,
    keys::PrivateKey,
    output::PendingFile,
    previous::PreviousRelease,
    progress::{Progress, Unit},
    read_at::{FileSource, Window},
    recipe::LoadedRecipe,
    sbom::Sbom,
    secure_boot::Signer,
    signed_image,
    tree::{Node, Tree},
};

/// How many of the largest packages the summary names.
const LARGEST: usize = 5;
/// Volume name of the root file system.
const LABEL: &str = "outcrop-root";

/// What was written: the image's figures, and each file's name and SHA-256.
pub(super) struct Written {
    pub(super) summary: ImageSummary,
    pub(super) digests: BTreeMap<String, FileDigest>,
    pub(super) command_line: String,
    /// Where everything lies in the root file system.
    pub(super) addresses: Vec<u8>,
}

/// One image to write.
pub(super) struct ImageJob<'a> {
    pub(super) release: &'a ReleaseName,
    pub(super) inputs: &'a RootInputs<'a>,
    pub(super) root: &'a Root,
    /// Image time, seconds since 1970.
    pub(super) time: u64,
    /// Where the recipe says what, for errors that are about it.
    pub(super) loaded: &'a LoadedRecipe,
    /// The output folder.
    pub(super) folder: &'a Path,
    /// How much time the bundle's size is worth.
    pub(super) compression: Compression,
    /// Who signs the bundle; nobody makes none.
    pub(super) keys: &'a [PrivateKey],
    /// Who signs loader and boot payload for Secure Boot, if anybody.
    pub(super) signer: Option<&'a Signer>,
    /// The release after which the root file system is laid out.
    pub(super) previous: Option<&'a PreviousRelease>,
}

/// The boot payload and what it was made with.
struct Payload {
    bytes: Vec<u8>,
    /// Bytes of it that aren't room for later releases.
    content_bytes: u64,
    parts: bootrec::Payload,
    loaders: Files,
    initramfs_bytes: u64,
    command_line: String,
}

/// Files of partition 1: paths and contents.
type Files = Vec<(String, Vec<u8>)>;
/// A boot payload, bytes of it that aren't room for later releases, what the boot record says of it, and the files of partition 1.
type Signed = (Vec<u8>, u64, bootrec::Payload, Files);

impl ImageJob<'_> {
    /// Writes image, block map and bill of materials; each appears whole or not at all.
    pub(super) fn write(&self) -> Result<Written, Error> {
        let identity = self.identity();
        let recipe = self.inputs.recipe;
        let layout = Layout::plan(&recipe.disk, self.release.architecture, self.release.board)
            .map_err(|error| in_recipe(self.loaded, error))?;
        let options = erofs::Options {
            uuid: identity.verity(),
            time: self.time,
            label: Some(LABEL.to_owned()),
        };
        let (plan, report) = self.plan(&options)?;
        let target = self.folder.join(format!("{}.img", self.release));
        let writer = RootWriter::begin(&target, identity, layout.clone(), plan.size_bytes())
            .map_err(|error| in_recipe(self.loaded, error))?;
        let progress = self.inputs.progress;
        let (stage, initramfs) = self.root_and_initramfs(&plan, writer)?;
        self.inputs.store.flush_beside();
        progress.checkpoint()?;
        let payload = self.payload(&initramfs, stage.root_hash(), &layout)?;
        let data = data_beside_sync(&stage)?;
        progress.checkpoint()?;
        let files = BootFiles {
            loaders: &payload.loaders,
            payload: &payload.bytes,
            payload_content: payload.content_bytes,
            parts: payload.parts,
            enroll: secure_boot::enroll(recipe.secure_boot.as_ref()),
        };
        let tree = stage.tree().clone();
        let finished = stage
            .finish(&files, data)
            .map_err(|error| in_recipe(self.loaded, error))?;
        progress.checkpoint()?;
        let bundle = self.bundle(&finished, &layout, &tree, &payload)?;
        let named = |extension: &str| self.folder.join(format!("{}.{extension}", self.release));
        signed_image::forget(&named("img"), &named("outcrop"))?;
        let facts = finished.publish()?;
        let sbom = self.write_sbom(&facts)?;
        let mut written = self.written(&facts, sbom, &plan, &layout, payload);
        written.summary.layout = report;
        if !self.keys.is_empty() {
            written.digests.extend(self.sign_image(&facts)?);
        }
        if let Some((bundle, path)) = bundle {
            let name = format!("{}.outcrop", self.release);
            written.digests.insert(name.clone(), bundle.digest);
            written.summary.bundle = Some(BundleSummary {
                name,
                bytes: bundle.bytes,
            });
            bundle.publish().map_err(PipelineError::file("write", path))?;
        }
        Ok(written)
    }

    /// Plans the root file system, after the release before when there is one. That one is checked first, and unpacked in the output
    /// folder when it is a bundle.
    fn plan(&self, options: &erofs::Options) -> Result<(Plan, Option<LayoutSummary>), Error> {
        let tree = &self.root.finished.tree;
        let Some(previous) = self.previous else {
            return Ok((Plan::new(tree, options)?, None));
        };
        let progress = self.inputs.progress;
        let checked = previous.check(self.folder, progress)?;
        let layout = checked.layout()?;
        let phase = progress.phase("compare with the previous release", None, Unit::Bytes);
        let (plan, report) = Plan::after(tree, options, &layout, phase.as_ref())?;
        let summary = LayoutSummary {
            previous: previous.name().to_string(),
            layout_of: previous.root_hash().to_string(),
            report,
        };
        Ok((plan, Some(summary)))
    }

    /// Writes the image's manifest and its signatures; their names and digests.
    fn sign_image(&self, facts: &DiskFacts) -> Result<Vec<(String, FileDigest)>, Error> {
        let map_bytes =
            fs::metadata(&facts.block_map).map_err(PipelineError::file("look at", &facts.block_map))?;
        let manifest = ImageManifest {
            release: self.release.clone(),
            image: Member {
                bytes: facts.image_bytes,
                sha256: facts.image_digest,
            },
            block_map: Member {
                bytes: map_bytes.len(),
                sha256: facts.block_map_digest,
            },
        };
        let signed = signed_image::sign(&facts.image, &manifest, self.keys)?;
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(signed
            .into_iter()
            .filter_map(|(path, digest)| Some((name(&path)?, digest)))
            .collect())
    }

    /// The release's bundle, when there are keys to sign it, and the file that it will be. The root's blocks are read back from
    /// the image: what a device installs is what a flashed disk holds.
    fn bundle(
        &self,
        image: &FinishedImage,
        layout: &Layout,
        tree: &HashTree,
        payload: &Payload,
    ) -> Result<Option<(WrittenBundle, PathBuf)>, Error> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let target = self.folder.join(format!("{}.outcrop", self.release));
        let geometry = tree.superblock().geometry;
        let start = layout.extent(Partition::Root(Slot::A)).start;
        let root = image
            .file()
            .try_clone()
            .and_then(FileSource::new)
            .and_then(|source| Window::new(source, start, geometry.data_bytes()))
            .map_err(PipelineError::file(
                "read",
                self.folder.join(format!("{}.img", self.release)),
            ))?;
        let mut boot = payload.bytes.clone();
        boot.resize(boot.len().next_multiple_of(BLOCK_BYTES), 0);
        let superblock = tree.superblock();
        let mut boot_tree = TreeBuilder::new(superblock.uuid, superblock.salt);
        boot_tree.push(&boot);
        let boot_tree = boot_tree.finish().map_err(|source| BundleError::Tree {
            payload: MemberName::Boot,
            source,
        })?;
        let recipe = self.inputs.recipe;
        let contents = Contents {
            release: self.release,
            rollback_index: recipe.update.rollback_index,
            health_deadline: recipe.health.deadline,
            kubernetes: recipe
                .kubernetes
                .as_ref()
                .map(|kubernetes| kubernetes.version.clone()),
            layout_of: self.previous.map(PreviousRelease::root_hash),
            secure_boot: self.signer.map(|signer| signer.certificate().fingerprint()),
            compression: self.compression,
            boot: bundle::Payload {
                bytes: &boot,
                tree: &boot_tree,
            },
            root: bundle::Payload { bytes: &root, tree },
        };
        let written = bundle::write(&target, &contents, self.keys, self.inputs.progress)?;
        Ok(Some((written, target)))
    }

    /// Writes the root, and puts the initramfs together meanwhile: it needs nothing of the root's digests, and writing leaves
    /// a processor half idle.
    fn root_and_initramfs(&self, plan: &Plan, writer: RootWriter) -> Result<(BootStage, Vec<u8>), Error> {
        std::thread::scope(|scope| {
            let initramfs = scope.spawn(|| self.initramfs());
            let stage = write_root(plan, writer, self.inputs.progress);
            let initramfs = initramfs.join().unwrap_or_else(|panic| resume_unwind(panic));
            Ok((stage?, initramfs?))
        })
    }

    fn initramfs(&self) -> Result<Vec<u8>, Error> {
        let finished = &self.root.finished;
        let names = self.inputs.initramfs_modules();
        let modules = kernel::initramfs_modules(&finished.tree, &finished.kernel.version, &names)?;
        payload::initramfs(self.inputs.programs.init.clone(), &modules)
    }

    fn payload(&self, initramfs: &[u8], root: RootHash, layout: &Layout) -> Result<Payload, Error> {
        let finished = &self.root.finished;
        let command_line = cmdline::build(
            &root,
            self.release.board,
            self.release.architecture,
            &self.inputs.recipe.kernel.command_line,
        )
        .map_err(PipelineError::CommandLine)?;
        let linux = finished.kernel.image.read().map_err(PipelineError::file(
            "read the kernel in",
            self.inputs.store.path(),
        ))?;
        let os_release = text_file(&finished.tree, "usr/lib/os-release").map_err(PipelineError::file(
            "read os-release in",
            self.inputs.store.path(),
        ))?;
        let (bytes, content_bytes, parts, loaders) = match self.release.board {
            Board::Efi => {
                let files = LoaderFiles::find(
                    &self.root.boot,
                    self.release.architecture,
                    self.inputs.recipe.boot,
                )?;
                let uki = Uki {
                    stub: &files.stub,
                    architecture: self.release.architecture,
                    os_release: &os_release,
                    command_line: &command_line,
                    uname: &finished.kernel.version,
                    initrd: initramfs,
                    linux: &linux,
                }
                .build()?;
                self.signed(uki, files.loaders, layout)?
            }
            Board::Rpi => {
                let device_trees = payload::rpi_device_trees(&finished.kernel.device_trees)?;
                let partition = BootPartition {
                    linux: &linux,
                    initrd: initramfs,
                    command_line: &command_line,
                    os_release: &os_release,
                    uname: &finished.kernel.version,
                    device_trees: &device_trees,
                };
                let bytes = self.boot_partition(&partition, layout)?;
                let loaders = payload::rpi_loaders(&self.root.boot, &device_trees)?;
                let content_bytes = bytes.len() as u64;
                (bytes, content_bytes, partition.parts(), loaders)
            }
        };
        Ok(Payload {
            bytes,
            content_bytes,
            parts,
            loaders,
            initramfs_bytes: initramfs.len() as u64,
            command_line,
        })
    }

    /// Boot payload of board `efi` and files of partition 1, signed when the recipe wants that.
    fn signed(&self, uki: Vec<u8>, loaders: Files, layout: &Layout) -> Result<Signed, Error> {
        let content_bytes = uki.len() as u64;
        let (payload, loaders) = match self.signer {
            None => (uki, loaders),
            Some(signer) => {
                let room = layout.check_boot(content_bytes);
                room.map_err(|error| in_recipe(self.loaded, error))?;
                let section = self.inputs.recipe.secure_boot.as_ref();
                let loaders = secure_boot::loaders(loaders, section, signer)?;
                (
                    secure_boot::payload(uki, layout.boot_slot_bytes(), signer)?,
                    loaders,
                )
            }
        };
        let parts = bootrec::Payload::of_uki(&payload);
        Ok((payload, content_bytes, parts, loaders))
    }

    fn boot_partition(&self, partition: &BootPartition<'_>, layout: &Layout) -> Result<Vec<u8>, Error> {
        let serial = self.identity().fat_serial();
        partition
            .build(layout.boot_slot_bytes(), serial)
            .map_err(|source| in_recipe(self.loaded, DiskError::Fat { source }))
    }

    /// What all releases of the product have in common.
    fn identity(&self) -> Identity {
        Identity {
            image: self.release.image.clone(),
            architecture: self.release.architecture,
            board: self.release.board,
        }
    }

    fn write_sbom(&self, facts: &DiskFacts) -> Result<(String, FileDigest), Error> {
        let name = format!("{}.cdx.json", self.release);
        let path = self.folder.join(&name);
        let packages: Vec<_> = self
            .inputs
            .packages
            .iter()
            .map(|(locked, _)| locked.clone())
            .collect();
        let parts: Vec<_> = self.root.parts.iter().map(Part::for_sbom).collect();
        let sbom = Sbom {
            release: self.release,
            suite: &self.inputs.recipe.base.suite,
            root_hash: facts.root_hash,
            time: self.time,
            packages: &packages,
            programs: &self.inputs.programs.digests,
            parts: &parts,
        };
        let mut bytes = Vec::new();
        let written = sbom.write(&mut bytes).and_then(|()| {
            let pending = PendingFile::create(&path)?;
            pending.file().write_all(&bytes)?;
            pending.publish()
        });
        written.map_err(PipelineError::file("write", &path))?;
        Ok((name, FileDigest::of(&bytes)))
    }

    fn written(
        &self,
        facts: &DiskFacts,
        sbom: (String, FileDigest),
        plan: &Plan,
        layout: &Layout,
        payload: Payload,
    ) -> Written {
        let finished = &self.root.finished;
        let slot = |partition| layout.extent(partition).len;
        let summary = ImageSummary {
            release: self.release.to_string(),
            image: format!("{}.img", self.release),
            image_bytes: facts.image_bytes,
            mapped_bytes: facts.mapped_bytes,
            root_hash: facts.root_hash.to_string(),
            root_bytes: plan.size_bytes(),
            root_slot_bytes: slot(Partition::Root(Slot::A)),
            boot_bytes: payload.content_bytes,
            boot_slot_bytes: layout.boot_slot_bytes(),
            initramfs_bytes: payload.initramfs_bytes,
            kernel: finished.kernel.version.clone(),
            bundle: None,
            layout: None,
            packages: finished.report.package_bytes.len(),
            largest_packages: finished
                .report
                .package_bytes
                .iter()
                .take(LARGEST)
                .cloned()
                .collect(),
        };
        let map = facts
            .block_map
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let digests = BTreeMap::from([
            (summary.image.clone(), facts.image_digest),
            (map, facts.block_map_digest),
            sbom,
        ]);
        Written {
            summary,
            digests,
            command_line: payload.command_line,
            addresses: plan.addresses(),
        }
    }
}

fn write_root(plan: &Plan, mut writer: RootWriter, progress: &dyn Progress) -> Result<BootStage, Error> {
    let phase = progress.phase("write root file system", Some(plan.size_bytes()), Unit::Bytes);
    plan.write(&mut writer, phase.as_ref())?;
    drop(phase);
    Ok(writer.finish()?)
}

/// The data file system, made while the root reaches the medium: by now one processor is busy with the digest of the empty
/// slot, and nothing else needs the others.
fn data_beside_sync(stage: &BootStage) -> Result<DataFileSystem, Error> {
    std::thread::scope(|scope| {
        let synced = scope.spawn(|| stage.sync());
        let data = stage.make_data();
        synced.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok(data?)
    })
}

fn text_file(tree: &Tree, path: &str) -> io::Result<String> {
    match tree.get(path).map(|entry| &entry.node) {
        Some(Node::File(content, _)) => String::from_utf8(content.read()?).map_err(io::Error::other),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}
