//! Disk images that are signed: a manifest and its signatures beside the image, and the check of all three.
//!
//! Beside `X.img` lie `X.img.manifest.json` (length and SHA-256 of the image and of its block map) and
//! `X.img.signatures.json`. docs/formats.md has their form.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use miette::Diagnostic;
use outcrop_release::{
    digest::FileDigest,
    manifest::{ImageManifest, ManifestError},
    trust::{Purpose, SignatureError, Signatures, Trust, Untrusted, verify_image},
};

use crate::sha256::Sha256;
use crate::{
    failure::FailureClass,
    keys::{KeysError, PrivateKey},
    output,
    progress::{Cancelled, Progress, Unit},
};

/// Bytes that are hashed at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Why an image isn't signed, or isn't what was signed.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum SignedImageError {
    /// A file can't be read or written.
    #[error("{doing} {}", path.display())]
    #[diagnostic(help("check that the file is there and that you may use it"))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no manifest beside the image.
    #[error("{} isn't signed: {} isn't there", image.display(), manifest.display())]
    #[diagnostic(help("`outcrop build --key` signs images; copy what it wrote together"))]
    Unsigned {
        /// The image.
        image: PathBuf,
        /// Where the manifest should be.
        manifest: PathBuf,
    },
    /// The manifest can't be read.
    #[error("read the manifest {}", path.display())]
    #[diagnostic(help("it may be of a newer Outcrop, or damaged: build or fetch it again"))]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ManifestError,
    },
    /// It isn't trusted.
    #[error("{} isn't trusted", image.display())]
    #[diagnostic(help(
        "don't use an image that somebody else has signed or changed; an image carries the signatures of its build alone"
    ))]
    Untrusted {
        /// The image.
        image: PathBuf,
        /// Why.
        source: Untrusted,
    },
    /// The image has other bytes than the manifest says.
    #[error("{} isn't the image of its manifest: {found} instead of {expected}", image.display())]
    #[diagnostic(help("it was changed or cut after it was built: build or fetch it again"))]
    Changed {
        /// The image.
        image: PathBuf,
        /// Length and digest that were signed.
        expected: String,
        /// Those of the image.
        found: String,
    },
    /// One key twice.
    #[error("sign the image")]
    #[diagnostic(help("name each key once"))]
    Twice(#[source] SignatureError),
    /// A key.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Keys(#[from] KeysError),
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl SignedImageError {
    /// What kind of failure this is.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Io { source, .. } => FailureClass::of_io(source),
            Self::Keys(error) => error.class(),
            Self::Cancelled(_) => FailureClass::Interrupted,
            Self::Unsigned { .. }
            | Self::Manifest { .. }
            | Self::Untrusted { .. }
            | Self::Changed { .. }
            | Self::Twice(_) => FailureClass::Input,
        }
    }
}

/// Where the manifest and the signatures of `image` lie.
#[must_use]
pub fn paths(image: &Path) -> [PathBuf; 2] {
    ["manifest", "signatures"].map(|what| {
        let mut name: OsString = image.as_os_str().to_owned();
        name.push(format!(".{what}.json"));
        name.into()
    })
}

/// Writes both files beside `image`; what they are called and the digests of both.
///
/// # Errors
/// When a key is named twice, or a file can't be written.
pub fn sign(
    image: &Path,
    manifest: &ImageManifest,
    keys: &[PrivateKey],
) -> Result<[(PathBuf, FileDigest); 2], SignedImageError> {
    let bytes = manifest.to_bytes();
    let mut signatures = Signatures::default();
    for key in keys {
        let signature = key.sign(Purpose::Image, &bytes)?;
        signatures.add(signature).map_err(SignedImageError::Twice)?;
    }
    let signatures = signatures.to_bytes();
    let [manifest_path, signatures_path] = paths(image);
    for (path, bytes) in [(&signatures_path, &signatures), (&manifest_path, &bytes)] {
        output::replace_file(path, bytes).map_err(|source| SignedImageError::Io {
            doing: "write",
            path: path.clone(),
            source,
        })?;
    }
    Ok([
        (manifest_path, FileDigest::of(&bytes)),
        (signatures_path, FileDigest::of(&signatures)),
    ])
}

/// Removes what was signed of an earlier image of the same name, and its bundle. Called before the new image takes its name: a build without
/// keys, or one that ends early, then leaves an unsigned image and no bundle rather than another one's.
///
/// # Errors
/// When a file can't be removed, or the folder not be synced.
pub fn forget(image: &Path, bundle: &Path) -> Result<(), SignedImageError> {
    let [manifest, signatures] = paths(image);
    let failed = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| SignedImageError::Io { doing, path, source }
    };
    for path in [&manifest, &signatures, bundle] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", path)(error));
            }
            _ => {}
        }
    }
    let folder = image.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(failed("sync the folder", folder))
}

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// Trusted keys have signed it.
    Signed {
        /// What they have signed it as: its file may be called anything.
        release: String,
        /// Their names.
        signers: Vec<String>,
    },
    /// It is what the manifest beside it says; nobody said whom to trust.
    Whole,
    /// There is no manifest, and nobody asked for one.
    Unknown,
}

/// Compares `image` with the manifest beside it, and with `trust` asks who signed that.
///
/// # Errors
/// When it is another image, or `trust` doesn't trust it.
pub fn check(
    image: &Path,
    trust: Option<&Trust>,
    progress: &dyn Progress,
) -> Result<Checked, SignedImageError> {
    let [manifest_path, signatures_path] = paths(image);
    if !manifest_path.exists() {
        return match trust {
            None => Ok(Checked::Unknown),
            Some(_) => Err(SignedImageError::Unsigned {
                image: image.to_owned(),
                manifest: manifest_path,
            }),
        };
    }
    let bytes = read(&manifest_path)?;
    let (manifest, checked) = match trust {
        None => {
            let parsed = ImageManifest::parse(&bytes).map_err(|source| SignedImageError::Manifest {
                path: manifest_path,
                source,
            })?;
            (parsed, Checked::Whole)
        }
        Some(trust) => {
            let signatures = read(&signatures_path)?;
            let verified =
                verify_image(&bytes, &signatures, trust).map_err(|source| SignedImageError::Untrusted {
                    image: image.to_owned(),
                    source,
                })?;
            let checked = Checked::Signed {
                release: verified.manifest().release.to_string(),
                signers: verified.signers().to_vec(),
            };
            (verified.manifest().clone(), checked)
        }
    };
    compare(image, &manifest, progress)?;
    Ok(checked)
}

fn read(path: &Path) -> Result<Vec<u8>, SignedImageError> {
    // More than either may have, and not more than fits into memory.
    let mut bytes = Vec::new();
    let opened = File::open(path).and_then(|file| file.take(1 << 20).read_to_end(&mut bytes));
    opened.map(|_| bytes).map_err(|source| SignedImageError::Io {
        doing: "read",
        path: path.to_owned(),
        source,
    })
}

fn compare(image: &Path, manifest: &ImageManifest, progress: &dyn Progress) -> Result<(), SignedImageError> {
    let failed = |source| SignedImageError::Io {
        doing: "read the image",
        path: image.to_owned(),
        source,
    };
    let expected = &manifest.image;
    let describe =
        |bytes: u64, digest: &dyn std::fmt::Display| format!("{bytes} bytes with the digest {digest}");
    let changed = |found: String| SignedImageError::Changed {
        image: image.to_owned(),
        expected: describe(expected.bytes, &expected.sha256),
        found,
    };
    let bytes = fs::metadata(image).map_err(failed)?.len();
    if bytes != expected.bytes {
        return Err(changed(format!("{bytes} bytes")));
    }
    let phase = progress.phase("check the image", Some(bytes), Unit::Bytes);
    let mut file = File::open(image).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        phase.checkpoint()?;
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        hash.update(buffer.get(..count).unwrap_or_default());
        phase.advance(count as u64);
    }
    let found = FileDigest::from_bytes(hash.finish());
    if found == expected.sha256 {
        Ok(())
    } else {
        Err(changed(describe(bytes, &found)))
    }
}

#[cfg(test)]
mod tests {
    use outcrop_release::{arch::Architecture, board::Board, manifest::Member, name::ReleaseName};

    use super::*;
    use crate::progress::Silent;

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::from_seed(&[seed; 32])
    }

    fn trust(seed: u8) -> Trust {
        Trust::new(1, vec![("release".to_owned(), key(seed).public().unwrap())]).unwrap()
    }

    /// An image of a few bytes, signed by key 1.
    fn signed(folder: &Path) -> PathBuf {
        let image = folder.join("x.img");
        fs::write(&image, b"image").unwrap();
        let member = |bytes: &[u8]| Member {
            bytes: bytes.len() as u64,
            sha256: FileDigest::of(bytes),
        };
        let manifest = ImageManifest {
            release: ReleaseName {
                image: "x".parse().unwrap(),
                version: semver::Version::new(1, 0, 0),
                architecture: Architecture::Aarch64,
                board: Board::Efi,
            },
            image: member(b"image"),
            block_map: member(b"map"),
        };
        sign(&image, &manifest, &[key(1)]).unwrap();
        image
    }

    #[test]
    fn an_image_is_what_its_trusted_manifest_says() {
        let folder = tempfile::tempdir().unwrap();
        let image = signed(folder.path());
        let checked = check(&image, Some(&trust(1)), &Silent).unwrap();
        let expected = Checked::Signed {
            release: "x-1.0.0-aarch64-efi".to_owned(),
            signers: vec!["release".to_owned()],
        };
        assert_eq!(checked, expected);
        assert_eq!(check(&image, None, &Silent).unwrap(), Checked::Whole);
    }

    #[test]
    fn what_was_signed_of_an_earlier_image_is_forgotten_and_the_image_stays() {
        let folder = tempfile::tempdir().unwrap();
        let image = signed(folder.path());
        let bundle = folder.path().join("x.outcrop");
        fs::write(&bundle, b"bundle").unwrap();
        forget(&image, &bundle).unwrap();
        assert!(image.exists() && folder.path().read_dir().unwrap().count() == 1);
        forget(&image, &bundle).unwrap();
        assert_eq!(check(&image, None, &Silent).unwrap(), Checked::Unknown);
    }

    #[test]
    fn a_changed_image_is_refused_with_and_without_a_trust_file() {
        let folder = tempfile::tempdir().unwrap();
        let image = signed(folder.path());
        for bytes in [&b"Image"[..], b"imag", b"images"] {
            fs::write(&image, bytes).unwrap();
            for trust in [None, Some(&trust(1))] {
                let error = check(&image, trust, &Silent).unwrap_err();
                assert!(matches!(error, SignedImageError::Changed { .. }), "{error:?}");
            }
        }
    }

    #[test]
    fn a_stranger_s_image_an_unsigned_one_and_a_changed_manifest_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let image = signed(folder.path());
        let error = check(&image, Some(&trust(2)), &Silent).unwrap_err();
        assert!(matches!(error, SignedImageError::Untrusted { .. }), "{error:?}");
        let [manifest, _] = paths(&image);
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, text.replace("1.0.0", "1.0.1")).unwrap();
        let error = check(&image, Some(&trust(1)), &Silent).unwrap_err();
        assert!(matches!(error, SignedImageError::Untrusted { .. }), "{error:?}");
        fs::remove_file(&manifest).unwrap();
        let error = check(&image, Some(&trust(1)), &Silent).unwrap_err();
        assert!(matches!(error, SignedImageError::Unsigned { .. }), "{error:?}");
        assert_eq!(check(&image, None, &Silent).unwrap(), Checked::Unknown);
    }
}
