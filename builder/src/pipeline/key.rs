//! The digest of everything that decides over a build's outputs.

use std::{fs::File, io, path::Path};

use outcrop_release::{
    arch::Architecture,
    digest::{FileDigest, RootHash},
    trust::PublicKey,
};

use crate::{bundle::Compression, sha256::Sha256};

/// What a build depends on.
#[derive(Debug)]
pub(super) struct Inputs<'a> {
    /// The recipe with the contents of its overlays and files.
    pub(super) recipe: FileDigest,
    /// The lock file.
    pub(super) lock: FileDigest,
    /// What is built for.
    pub(super) architecture: Architecture,
    /// The device's programs.
    pub(super) programs: &'a [FileDigest],
    /// The builder itself.
    pub(super) builder: FileDigest,
    /// Tools of the build machine that write part of the image, by their version.
    pub(super) tools: &'a str,
    /// The folder that the outputs go to.
    pub(super) output: &'a Path,
    /// How much time the bundle's size is worth.
    pub(super) compression: Compression,
    /// Who signs the bundle, in this order; nobody makes none.
    pub(super) signers: &'a [PublicKey],
    /// Root hash of the release after which the root is laid out, if any.
    pub(super) layout_of: Option<RootHash>,
}

impl Inputs<'_> {
    /// The key: 64 hexadecimal digits.
    pub(super) fn key(&self) -> String {
        let mut hash = Sha256::new();
        let mut part = |name: &str, bytes: &[u8]| {
            hash.update(format!("{name} {}\n", bytes.len()));
            hash.update(bytes);
        };
        part("recipe", self.recipe.as_bytes());
        part("lock", self.lock.as_bytes());
        part("architecture", self.architecture.as_str().as_bytes());
        self.programs
            .iter()
            .for_each(|digest| part("program", digest.as_bytes()));
        part("builder", self.builder.as_bytes());
        part("tools", self.tools.as_bytes());
        self.signers.iter().for_each(|key| part("signer", key.as_bytes()));
        if let Some(before) = &self.layout_of {
            part("layout-of", before.as_bytes());
        }
        part("compression", format!("{:?}", self.compression).as_bytes());
        part("output", self.output.as_os_str().as_encoded_bytes());
        hex::encode(hash.finish())
    }
}

/// SHA-256 of a file, streamed.
pub(super) fn file_digest(path: &Path) -> io::Result<FileDigest> {
    FileDigest::of_reader(File::open(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Inputs<'static> {
        let one = FileDigest::of(b"1");
        Inputs {
            recipe: one,
            lock: one,
            architecture: Architecture::X86_64,
            programs: &[],
            builder: one,
            tools: "mke2fs 1",
            output: Path::new("/out"),
            signers: &[],
            compression: Compression::Best,
            layout_of: None,
        }
    }

    #[test]
    fn every_input_changes_the_key() {
        let (one, two) = (FileDigest::of(b"1"), FileDigest::of(b"2"));
        let signers = [
            "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
                .parse()
                .unwrap(),
        ];
        let variants = [
            base(),
            Inputs {
                recipe: two,
                ..base()
            },
            Inputs { lock: two, ..base() },
            Inputs {
                architecture: Architecture::Aarch64,
                ..base()
            },
            Inputs {
                programs: &[one],
                ..base()
            },
            Inputs {
                builder: two,
                ..base()
            },
            Inputs {
                tools: "mke2fs 2",
                ..base()
            },
            Inputs {
                output: Path::new("/other"),
                ..base()
            },
            Inputs {
                signers: &signers,
                ..base()
            },
            Inputs {
                compression: Compression::Fast,
                ..base()
            },
            Inputs {
                layout_of: Some(RootHash::of(b"1")),
                ..base()
            },
            Inputs {
                layout_of: Some(RootHash::of(b"2")),
                ..base()
            },
        ];
        let keys: std::collections::BTreeSet<String> = variants.iter().map(Inputs::key).collect();
        assert_eq!(keys.len(), variants.len());
    }
}
