//! A release's boot payload and its signature for UEFI Secure Boot: firmware starts a payload only when the signature at its end is of its bytes as
//! they are, and of a certificate that the firmware knows.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use outcrop_release::{digest::FileDigest, verity::BLOCK_BYTES};

use super::BundleError;
use crate::{
    read_at::FileSource,
    secure_boot::{Fault, read_signature},
};

/// A boot payload that its manifest calls signed, unpacked to be looked at: its signature is its end, and the digest is of what lies before.
#[derive(Debug)]
pub(super) struct SignedPayload {
    /// Has no name, and is gone with this.
    file: File,
    /// Length, in bytes.
    bytes: u64,
    /// The certificate that the manifest names.
    certificate: FileDigest,
}

impl SignedPayload {
    /// Room for a payload of `bytes` bytes that `certificate` signed.
    ///
    /// # Errors
    /// When there is none in the folder of temporary files.
    pub(super) fn new(certificate: FileDigest, bytes: u64) -> Result<Self, BundleError> {
        Ok(Self {
            file: tempfile::tempfile().map_err(unpack)?,
            bytes,
            certificate,
        })
    }

    /// Keeps blocks of it, from number `first` on.
    ///
    /// # Errors
    /// When there is no room.
    pub(super) fn put(&self, first: u64, blocks: &[u8]) -> Result<(), BundleError> {
        let written = self.file.write_all_at(blocks, first * BLOCK_BYTES as u64);
        written.map_err(unpack)
    }

    /// Checks the signature, once all blocks are there. Returns the certificate's SHA-256.
    ///
    /// # Errors
    /// [`BundleError::BootUnsigned`], [`BundleError::BootSignature`] or [`BundleError::BootSigner`] when firmware that knows the certificate wouldn't
    /// start the payload.
    pub(super) fn check(self) -> Result<FileDigest, BundleError> {
        self.file.set_len(self.bytes).map_err(unpack)?;
        check(&FileSource::new(self.file).map_err(unpack)?, self.certificate)
    }
}

fn unpack(source: io::Error) -> BundleError {
    BundleError::Io {
        doing: "unpack the boot payload in",
        path: std::env::temp_dir(),
        source,
    }
}

fn check(payload: &FileSource, expected: FileDigest) -> Result<FileDigest, BundleError> {
    let signer = match read_signature(payload) {
        Ok(signer) => signer,
        Err(Fault::Io(source)) => return Err(unpack(source)),
        Err(source) => return Err(BundleError::BootSignature { source }),
    };
    let signer = signer.ok_or(BundleError::BootUnsigned(expected))?;
    let found = signer.fingerprint();
    if found == expected {
        Ok(found)
    } else {
        Err(BundleError::BootSigner {
            expected,
            found,
            subject: signer.subject(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use outcrop_release::{
        arch::Architecture,
        board::Board,
        manifest::RollbackIndex,
        name::ReleaseName,
        verity::{HashTree, Salt, TreeBuilder},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::{
        boot::uki::fixture::kernel,
        bundle::{Bundle, Checked, Compression, Contents, Payload, write},
        progress::Silent,
        secure_boot::{
            Certificate, RsaKey, Signer,
            key_set::testing::{NOW, signer},
            sign,
        },
    };

    /// Length of the slot that payloads are signed for, in bytes.
    const LENGTH: usize = 64 << 10;

    fn signed() -> Vec<u8> {
        sign(kernel(Architecture::X86_64), Some(LENGTH), &signer()).unwrap()
    }

    fn tree(bytes: &[u8]) -> HashTree {
        let mut builder = TreeBuilder::new(uuid::Uuid::from_u128(7), Salt::from_bytes([5; 32]));
        builder.push(bytes);
        builder.finish().unwrap()
    }

    /// A bundle with that boot payload, of which the manifest says that `certificate` signed it; checked.
    fn bundled(boot: &[u8], certificate: Option<FileDigest>, path: &Path) -> Result<Checked, BundleError> {
        let root = vec![7; 3 * BLOCK_BYTES];
        let (boot_tree, root_tree) = (tree(boot), tree(&root));
        let release = ReleaseName {
            image: "edge".parse().unwrap(),
            version: semver::Version::new(1, 2, 3),
            architecture: Architecture::X86_64,
            board: Board::Efi,
        };
        let contents = Contents {
            release: &release,
            rollback_index: RollbackIndex(0),
            health_deadline: Duration::from_secs(600),
            kubernetes: None,
            layout_of: None,
            secure_boot: certificate,
            compression: Compression::Best,
            boot: Payload {
                bytes: &boot,
                tree: &boot_tree,
            },
            root: Payload {
                bytes: &root,
                tree: &root_tree,
            },
        };
        write(path, &contents, &[], &Silent)?.publish().unwrap();
        Bundle::open(path)?.check(&Silent)
    }

    fn in_folder(boot: &[u8], certificate: Option<FileDigest>) -> Result<Checked, BundleError> {
        let folder = tempfile::tempdir().unwrap();
        bundled(boot, certificate, &folder.path().join("x.outcrop"))
    }

    fn own() -> FileDigest {
        signer().certificate().fingerprint()
    }

    #[test]
    fn a_payload_that_is_signed_as_the_manifest_says_is_whole_and_who_signed_it_is_told() {
        assert_eq!(
            in_folder(&signed(), Some(own())).unwrap().secure_boot,
            Some(own())
        );
        let unsigned = in_folder(&[1; LENGTH], None).unwrap();
        assert_eq!(
            unsigned.secure_boot, None,
            "nothing was said, nothing is looked at"
        );
    }

    #[test]
    fn a_payload_without_signature_that_the_manifest_calls_signed_is_refused() {
        let mut plain = kernel(Architecture::X86_64);
        plain.resize(LENGTH, 0);
        let error = in_folder(&plain, Some(own())).unwrap_err();
        assert!(
            matches!(error, BundleError::BootUnsigned(named) if named == own()),
            "{error}"
        );
    }

    #[test]
    fn a_signature_that_is_cut_is_refused_wherever_it_is_cut() {
        let payload = signed();
        // The file ends a block early; the signature's own bytes end early.
        let short = &payload[..LENGTH - BLOCK_BYTES];
        let error = in_folder(short, Some(own())).unwrap_err();
        assert!(matches!(error, BundleError::BootSignature { .. }), "{error}");
        for len in [8, 100, 1000] {
            let mut cut = payload.clone();
            cut[LENGTH - len..].fill(0);
            let error = in_folder(&cut, Some(own())).unwrap_err();
            assert!(
                matches!(error, BundleError::BootSignature { .. }),
                "{len}: {error}"
            );
        }
    }

    #[test]
    fn a_signature_of_another_certificate_than_the_manifest_names_is_refused_with_its_name() {
        let (key, _) = RsaKey::generate().unwrap();
        let certificate = Certificate::self_signed(&key, "Foreign", NOW).unwrap();
        let foreign = Signer::new(key, certificate).unwrap();
        let payload = sign(kernel(Architecture::X86_64), Some(LENGTH), &foreign).unwrap();
        let error = in_folder(&payload, Some(own())).unwrap_err();
        assert!(error.to_string().contains("CN=Foreign"), "{error}");
        assert!(
            matches!(error, BundleError::BootSigner { expected, .. } if expected == own()),
            "{error}"
        );
    }

    #[test]
    fn a_changed_byte_is_found_in_code_and_in_the_padding_before_the_signature() {
        for at in [0x400, 0x1500, LENGTH / 2] {
            let mut payload = signed();
            payload[at] ^= 1;
            let error = in_folder(&payload, Some(own())).unwrap_err();
            assert!(
                matches!(
                    error,
                    BundleError::BootSignature {
                        source: Fault::Changed
                    }
                ),
                "byte {at}: {error}"
            );
        }
    }

    #[test]
    fn what_is_no_program_at_all_is_refused() {
        let error = in_folder(&[0; LENGTH], Some(own())).unwrap_err();
        assert!(
            matches!(error, BundleError::BootSignature { source: Fault::Pe(_) }),
            "{error}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn changed_headers_are_refused_and_changed_signatures_never_panic(
            changes in proptest::collection::vec((0..0x200_usize, 1..=255_u8), 1..6),
            in_signature in proptest::collection::vec((LENGTH - 2000..LENGTH, 1..=255_u8), 1..6),
        ) {
            // The checksum isn't digested: whoever loads a program may put it right.
            let checksum = 0x58 + 64..0x58 + 68;
            let mut payload = signed();
            for (at, change) in changes.into_iter().filter(|(at, _)| !checksum.contains(at)) {
                payload[at] ^= change;
            }
            prop_assert!(payload == signed() || looked_at(&payload).is_err());
            let mut payload = signed();
            for (at, change) in in_signature {
                payload[at] ^= change;
            }
            let found = looked_at(&payload);
            prop_assert!(!matches!(found, Err(BundleError::Io { .. })), "{found:?}");
        }
    }

    fn looked_at(payload: &[u8]) -> Result<FileDigest, BundleError> {
        let signed = SignedPayload::new(own(), payload.len() as u64)?;
        signed.put(0, payload)?;
        signed.check()
    }
}
