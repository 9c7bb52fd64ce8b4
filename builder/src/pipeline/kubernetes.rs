//! The recipe's Kubernetes: files from elsewhere become files of the root.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use include_dir::{Dir, include_dir};
use object::elf;
use outcrop_release::{arch::Architecture, digest::FileDigest, kubernetes::KubernetesDefinition};

use super::PipelineError;
use crate::{
    error::Error,
    fetch::{Fetcher, Shelf, WebFile},
    finish::{ContentStore as _, FinishError, Layer},
    recipe::schema::{Download, Kubernetes, KubernetesDistribution, KubernetesRole, Origin},
    sha256::Sha256,
    store::TreeStore,
    tree::{Content, Entry, Metadata, Node, Tree, TreePath},
};

/// How k0s and k3s run, whatever the device is in its cluster, and as what.
static K0S: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../images/k0s/common");
static K0S_SINGLE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../images/k0s/single");
static K0S_CONTROLLER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../images/k0s/controller");
static K0S_WORKER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../images/k0s/worker");
static K3S: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../images/k3s/common");
static K3S_SINGLE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../images/k3s/single");
static K3S_CONTROLLER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../images/k3s/controller");
static K3S_WORKER: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../images/k3s/worker");
/// Where archives of container images lie in the image.
const IMAGES: &str = "usr/share/outcrop/images";
/// Where health checks lie in the image.
const CHECKS: &str = "usr/lib/outcrop/health.d";
/// What [`TreeStore::remember_tree`] keeps of a file that was checked.
const MEMORY: &str = "outcrop file from elsewhere 1";
/// Bytes of an ELF header: the 64-bit one's length.
const HEADER_BYTES: usize = 64;

/// A file of the root that comes from elsewhere.
#[derive(Debug)]
struct Wanted<'a> {
    what: String,
    path: TreePath,
    mode: u16,
    download: &'a Download,
}

/// A file from elsewhere as the bill of materials names it.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Path in the image, without the first slash.
    pub(super) path: String,
    /// Version of what it is a part of.
    pub(super) version: String,
    /// SHA-256 of the file.
    pub(super) sha256: FileDigest,
}

impl Part {
    /// Path, version and digest.
    pub(super) fn for_sbom(&self) -> (&str, &str, FileDigest) {
        (&self.path, &self.version, self.sha256)
    }
}

/// All files of an architecture.
fn wanted(kubernetes: &Kubernetes, architecture: Architecture) -> Result<Vec<Wanted<'_>>, FinishError> {
    let mut wanted = Vec::new();
    if let Some(download) = kubernetes.binaries.get(&architecture) {
        wanted.push(Wanted {
            what: format!(
                "the program of Kubernetes {} for {architecture}",
                kubernetes.version
            ),
            path: kubernetes.path.clone(),
            mode: 0o755,
            download,
        });
    }
    let images = kubernetes.images.iter();
    for image in images.filter(|image| image.architecture.is_none_or(|only| only == architecture)) {
        let name = image.download.file_name();
        wanted.push(Wanted {
            what: format!("the container images {name}"),
            path: format!("{IMAGES}/{name}").parse().map_err(FinishError::Path)?,
            mode: 0o644,
            download: &image.download,
        });
    }
    Ok(wanted)
}

/// How a distribution that Outcrop knows runs: its units, settings and folders.
pub(super) fn units(distribution: KubernetesDistribution) -> Result<Vec<Layer>, FinishError> {
    let Some(role) = distribution.role() else {
        return Ok(Vec::new());
    };
    let (common, own): (_, &Dir<'_>) = match (distribution, role) {
        (KubernetesDistribution::K3s(_), KubernetesRole::Single) => (&K3S, &K3S_SINGLE),
        (KubernetesDistribution::K3s(_), KubernetesRole::Controller) => (&K3S, &K3S_CONTROLLER),
        (KubernetesDistribution::K3s(_), KubernetesRole::Worker) => (&K3S, &K3S_WORKER),
        (_, KubernetesRole::Single) => (&K0S, &K0S_SINGLE),
        (_, KubernetesRole::Controller) => (&K0S, &K0S_CONTROLLER),
        (_, KubernetesRole::Worker) => (&K0S, &K0S_WORKER),
    };
    let name = |folder: &str| format!("images/{}/{folder}", distribution.name());
    Ok(vec![
        Layer::embedded(&name("common"), common)?,
        Layer::embedded(&name(role.name()), own)?,
    ])
}

/// Brings what has an address into the cache, and looks whether the other files are there.
pub(super) fn fetch(
    kubernetes: &Kubernetes,
    architecture: Architecture,
    fetcher: &Fetcher<'_>,
) -> Result<(), Error> {
    for wanted in wanted(kubernetes, architecture)? {
        match &wanted.download.origin {
            Origin::Url(url) => {
                fetcher.fetch_web_file(&WebFile {
                    what: wanted.what,
                    url: url.clone(),
                    sha256: wanted.download.sha256,
                })?;
            }
            Origin::File(path) if !path.exists() => {
                return Err(PipelineError::Absent {
                    what: wanted.what,
                    path: path.clone(),
                }
                .into());
            }
            Origin::File(_) => {}
        }
    }
    Ok(())
}

/// Tells pruning that the cache's files are still used.
pub(super) fn renew(kubernetes: &Kubernetes, shelf: &Shelf) {
    let binaries = kubernetes.binaries.values();
    let downloads = binaries.chain(kubernetes.images.iter().map(|image| &image.download));
    for download in downloads.filter(|download| matches!(download.origin, Origin::Url(_))) {
        let _looked_up = shelf.find_any(&download.sha256);
    }
}

/// The files as a layer of the root, checked; and what the bill of materials says of them.
pub(super) fn layer(
    kubernetes: &Kubernetes,
    architecture: Architecture,
    store: &TreeStore,
    shelf: &Shelf,
) -> Result<(Layer, Vec<Part>), Error> {
    let mut layer = Layer {
        origin: "the recipe's Kubernetes".to_owned(),
        entries: Vec::new(),
    };
    if let Some(definition) = &kubernetes.definition {
        let mut file = |path: &str, bytes: Vec<u8>| -> Result<(), FinishError> {
            let path = path.parse().map_err(FinishError::Path)?;
            layer.entries.push((path, Entry::file(0o644, bytes)));
            Ok(())
        };
        file(KubernetesDefinition::PATH, definition.to_bytes())?;
        for check in ["kubernetes-api", "kubernetes-node"] {
            file(
                &format!("{CHECKS}/{check}.toml"),
                format!("kind = \"{check}\"\n").into_bytes(),
            )?;
        }
    }
    let mut parts = Vec::new();
    for wanted in wanted(kubernetes, architecture)? {
        let sha256 = wanted.download.sha256;
        let file = match &wanted.download.origin {
            Origin::Url(_) => shelf.path(&sha256),
            Origin::File(path) => path.clone(),
        };
        let content = checked(&file, &sha256, wanted.mode, store)?;
        if wanted.mode == 0o755 {
            let header = header(&content).map_err(PipelineError::file("read", &file))?;
            check_program(&header, architecture).map_err(|why| PipelineError::Foreign {
                path: file,
                architecture,
                why,
            })?;
        }
        parts.push(Part {
            path: wanted.path.as_str().trim_start_matches('/').to_owned(),
            version: kubernetes.version.to_string(),
            sha256,
        });
        layer
            .entries
            .push((wanted.path, Entry::file(wanted.mode, content)));
    }
    Ok((layer, parts))
}

/// The content of `file` in the tree store, if its digest is right. One that was right before isn't read again.
fn checked(file: &Path, sha256: &FileDigest, mode: u16, store: &TreeStore) -> Result<Content, Error> {
    let key = FileDigest::of(format!("{MEMORY} {sha256} {mode:o}").as_bytes());
    let name: TreePath = "file".parse().map_err(FinishError::Path)?;
    let remembered = store
        .recall(&key)
        .map_err(PipelineError::file("read", store.path()))?;
    if let Some(Node::File(content, _)) = remembered.as_ref().and_then(|tree| Some(&tree.get("file")?.node)) {
        return Ok(content.clone());
    }
    let mut reader = Hashing {
        file: File::open(file).map_err(PipelineError::file("read", file))?,
        hash: Sha256::new(),
    };
    let content = store.keep_file(&Metadata::root(mode), &mut reader)?;
    let actual = FileDigest::from_bytes(reader.hash.finish());
    if actual != *sha256 {
        return Err(PipelineError::Digest {
            path: file.to_owned(),
            expected: *sha256,
            actual,
        }
        .into());
    }
    let mut tree = Tree::default();
    tree.insert_all(name, Entry::file(mode, content.clone()))
        .map_err(FinishError::Tree)?;
    store.remember_tree(&key, &tree)?;
    Ok(content)
}

/// Hashes what is read.
struct Hashing {
    file: File,
    hash: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

fn header(content: &Content) -> io::Result<Vec<u8>> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    content
        .open()?
        .take(HEADER_BYTES as u64)
        .read_to_end(&mut header)?;
    Ok(header)
}

/// Whether a file that begins so runs on `architecture`. Source: System V ABI, "ELF Header".
fn check_program(header: &[u8], architecture: Architecture) -> Result<(), &'static str> {
    let machine = match architecture {
        Architecture::X86_64 => elf::EM_X86_64,
        Architecture::Aarch64 => elf::EM_AARCH64,
    };
    let half = |at: usize| {
        let bytes = header.get(at..at + 2)?;
        Some(u16::from_le_bytes([bytes[0], bytes[1]]))
    };
    // e_ident: magic, 64-bit, little-endian; e_type at 16, e_machine at 18.
    if header.len() < HEADER_BYTES || !header.starts_with(&[0x7f, b'E', b'L', b'F', 2, 1]) {
        return Err("it is no program (ELF, 64 bits)");
    }
    if half(18) != Some(machine.0) {
        return Err("it is for another processor");
    }
    if [elf::ET_EXEC, elf::ET_DYN]
        .map(|kind| Some(kind.0))
        .contains(&half(16))
    {
        Ok(())
    } else {
        Err("it is an object file or a core dump, no program")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_of(class: u8, kind: elf::FileType, machine: elf::Machine) -> Vec<u8> {
        let mut header = vec![0; HEADER_BYTES];
        header[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1]);
        header[16..18].copy_from_slice(&kind.0.to_le_bytes());
        header[18..20].copy_from_slice(&machine.0.to_le_bytes());
        header
    }

    #[test]
    fn a_program_of_the_image_s_processor_is_taken_and_nothing_else() {
        let good = header_of(2, elf::ET_EXEC, elf::EM_AARCH64);
        assert_eq!(check_program(&good, Architecture::Aarch64), Ok(()));
        assert_eq!(
            check_program(&good, Architecture::X86_64),
            Err("it is for another processor")
        );
        let relocatable = header_of(2, elf::ET_REL, elf::EM_AARCH64);
        assert_eq!(
            check_program(&relocatable, Architecture::Aarch64),
            Err("it is an object file or a core dump, no program")
        );
        let no_program = Err("it is no program (ELF, 64 bits)");
        let short = header_of(1, elf::ET_EXEC, elf::EM_AARCH64);
        for other in [&b"#!/bin/sh\n"[..], b"", &good[..HEADER_BYTES - 1], &short] {
            assert_eq!(check_program(other, Architecture::Aarch64), no_program);
        }
    }

    #[test]
    fn each_role_of_k0s_and_k3s_has_a_unit_and_one_that_joins_waits_for_its_join_data() {
        let roles = [
            KubernetesRole::Single,
            KubernetesRole::Controller,
            KubernetesRole::Worker,
        ];
        for role in roles {
            for distribution in [
                KubernetesDistribution::K0s(role),
                KubernetesDistribution::K3s(role),
            ] {
                let name = distribution.name();
                let unit = format!("usr/lib/systemd/system/{name}.service");
                let layers = units(distribution).unwrap();
                let entries = layers.iter().flat_map(|layer| &layer.entries);
                let found: Vec<&Entry> = entries
                    .filter(|(path, _)| path.as_str().trim_start_matches('/') == unit)
                    .map(|(_, entry)| entry)
                    .collect();
                let [
                    Entry {
                        node: Node::File(content, _),
                        ..
                    },
                ] = found.as_slice()
                else {
                    panic!("{name}: {found:?}");
                };
                let mut text = String::new();
                content.open().unwrap().read_to_string(&mut text).unwrap();
                let joins = text.contains("Requires=outcrop-join.service");
                assert_eq!(joins, role != KubernetesRole::Single, "{text}");
                assert!(text.contains(&format!("ExecStart=/usr/bin/{name} ")), "{text}");
                // k0s brings something that would replace the program.
                let updates_itself = name == "k0s" && role != KubernetesRole::Worker;
                assert_eq!(
                    text.contains("--disable-components autopilot"),
                    updates_itself,
                    "{text}"
                );
            }
        }
        assert!(units(KubernetesDistribution::Custom).unwrap().is_empty());
    }
}
