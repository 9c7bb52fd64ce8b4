//! What of a build Secure Boot changes: who signs, what is signed, what else partition 1 gets.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use outcrop_release::loader::Enroll;

use crate::{
    blame::in_recipe,
    error::Error,
    keys::PrivateKey,
    progress::Progress,
    recipe::{LoadedRecipe, schema::SecureBoot},
    secure_boot::{self, Enrollment, RsaKey, SecureBootError, Signer, Validity},
};

/// Private keys of a build.
#[derive(Debug, Default)]
pub struct BuildKeys {
    /// Sign the bundles; none makes no bundles.
    pub release: Vec<PrivateKey>,
    /// Signs loader and boot payload, when the recipe has `[secure-boot]`.
    pub secure_boot: Option<Arc<RsaKey>>,
}

/// Joins the recipe's certificate and the key from the command line; none when the recipe wants no signatures.
///
/// # Errors
/// When only one of them is there, or they are of different pairs.
pub(super) fn signer(
    loaded: &LoadedRecipe,
    key: Option<&Arc<RsaKey>>,
    progress: &dyn Progress,
) -> Result<Option<Signer>, Error> {
    let certificate = loaded
        .recipe
        .secure_boot
        .as_ref()
        .map(|section| &section.certificate);
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(in_recipe(loaded, SecureBootError::NoKey)),
        (None, Some(_)) => Err(SecureBootError::NotInRecipe.into()),
        (Some(certificate), Some(key)) => {
            let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
            if let Some(note) = about_dates(certificate.validity(now)) {
                progress.note(&format!("the certificate {}: {note}", certificate.subject()));
            }
            let signer = Signer::new(Arc::clone(key), certificate.clone());
            signer.map(Some).map_err(|error| in_recipe(loaded, error))
        }
    }
}

/// What is worth telling about a certificate's dates.
const fn about_dates(validity: Validity) -> Option<&'static str> {
    match validity {
        Validity::Holds => None,
        Validity::NotYet => Some("it holds only later; firmware doesn't look at that, other tools may"),
        Validity::Expired => Some("it has expired; firmware doesn't look at that, other tools may"),
    }
}

/// A boot payload that is signed as it will lie in its slot: as long as that, the signature at the end.
pub(super) fn payload(uki: Vec<u8>, slot_bytes: u64, signer: &Signer) -> Result<Vec<u8>, SecureBootError> {
    let length = usize::try_from(slot_bytes).unwrap_or(usize::MAX);
    sign("the boot payload", uki, Some(length), signer)
}

/// The files of partition 1: programs signed, and the owner's keys beside them.
pub(super) fn loaders(
    files: Vec<(String, Vec<u8>)>,
    section: Option<&SecureBoot>,
    signer: &Signer,
) -> Result<Vec<(String, Vec<u8>)>, SecureBootError> {
    let is_program = |path: &str| path.to_ascii_lowercase().ends_with(".efi");
    let mut signed = files
        .into_iter()
        .map(|(path, bytes)| {
            let bytes = if is_program(&path) {
                sign(&path, bytes, None, signer)?
            } else {
                bytes
            };
            Ok::<_, SecureBootError>((path, bytes))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let enrollment = section.and_then(|section| section.enrollment.as_ref());
    signed.extend(enrollment.map(Enrollment::on_partition).unwrap_or_default());
    Ok(signed)
}

/// What loader.conf says about the owner's keys.
pub(super) fn enroll(section: Option<&SecureBoot>) -> Enroll {
    section.map_or(Enroll::Off, |section| section.enroll)
}

fn sign(
    name: &str,
    program: Vec<u8>,
    length: Option<usize>,
    signer: &Signer,
) -> Result<Vec<u8>, SecureBootError> {
    secure_boot::sign(program, length, signer).map_err(|source| SecureBootError::Program {
        program: name.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use outcrop_release::arch::Architecture;

    use super::*;
    use crate::{
        boot::uki::fixture::kernel,
        progress::Silent,
        recipe,
        secure_boot::key_set::testing::{KEY_PEM, certificate, make, sbverify, signer as test_signer},
    };

    const LEAST: &str = "[image]\nname = \"edge\"\nversion = \"0.1.0\"\n[base]\nsuite = \"trixie\"\n";

    fn load(folder: &Path, section: &str) -> LoadedRecipe {
        fs::write(folder.join("db.crt"), certificate().to_pem().unwrap()).unwrap();
        let path = folder.join("edge.toml");
        fs::write(&path, format!("{LEAST}{section}")).unwrap();
        recipe::load(&path).unwrap()
    }

    const SECTION: &str = "[secure-boot]\ncertificate = \"db.crt\"\n";

    fn key(pem: &str) -> Arc<RsaKey> {
        Arc::new(RsaKey::parse(pem, "db.key", || panic!("it isn't encrypted")).unwrap())
    }

    #[test]
    fn a_recipe_with_secure_boot_needs_a_key_and_says_which_option_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = signer(&load(folder.path(), SECTION), None, &Silent).unwrap_err();
        let text = format!("{:?}", miette::Report::new(error));
        assert!(
            text.contains("no key to sign with") && text.contains("--secure-boot-key"),
            "{text}"
        );
    }

    #[test]
    fn a_key_for_a_recipe_without_secure_boot_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = signer(&load(folder.path(), ""), Some(&key(&KEY_PEM)), &Silent).unwrap_err();
        assert!(
            error.to_string().contains("the recipe has no [secure-boot]"),
            "{error}"
        );
        assert!(signer(&load(folder.path(), ""), None, &Silent).unwrap().is_none());
    }

    #[test]
    fn a_key_of_another_pair_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        make(&folder.path().join("."));
        let other = fs::read_to_string(folder.path().join("KEK.key")).unwrap();
        let loaded = load(folder.path(), SECTION);
        let error = signer(&loaded, Some(&key(&other)), &Silent).unwrap_err();
        let text = format!("{:?}", miette::Report::new(error));
        assert!(text.contains("isn't that of the certificate"), "{text}");
        assert!(signer(&loaded, Some(&key(&KEY_PEM)), &Silent).unwrap().is_some());
    }

    #[test]
    fn dates_that_do_not_hold_are_told_and_stop_nothing() {
        assert_eq!(about_dates(Validity::Holds), None);
        assert!(about_dates(Validity::Expired).is_some_and(|note| note.contains("has expired")));
        assert!(about_dates(Validity::NotYet).is_some_and(|note| note.contains("only later")));
    }

    #[test]
    fn every_program_of_partition_1_is_signed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let set = make(folder.path());
        let section = SecureBoot {
            certificate: set.certificate(secure_boot::Variable::Db).clone(),
            enrollment: Some(
                Enrollment::read(folder.path(), set.certificate(secure_boot::Variable::Db)).unwrap(),
            ),
            enroll: Enroll::IfSafe,
        };
        let files = vec![
            ("EFI/BOOT/BOOTX64.EFI".to_owned(), kernel(Architecture::X86_64)),
            ("BGENV.DAT".to_owned(), vec![1; 10]),
            (
                "EFI/systemd/systemd-bootx64.efi".to_owned(),
                kernel(Architecture::X86_64),
            ),
        ];
        let signed = loaders(files.clone(), Some(&section), &test_signer()).unwrap();
        assert_eq!(signed.len(), 3 + 9);
        assert_eq!(signed[1], files[1]);
        for program in [&signed[0], &signed[2]] {
            sbverify(&program.1, &certificate()).unwrap();
        }
        let broken = vec![("EFI/BOOT/BOOTX64.EFI".to_owned(), b"MZ".to_vec())];
        let error = loaders(broken, None, &test_signer()).unwrap_err();
        assert!(error.to_string().contains("EFI/BOOT/BOOTX64.EFI"), "{error}");
    }

    #[test]
    fn a_signed_payload_fills_its_slot() {
        let slot = 1 << 20;
        let signed = payload(kernel(Architecture::Aarch64), slot, &test_signer()).unwrap();
        assert_eq!(signed.len() as u64, slot);
        sbverify(&signed, &certificate()).unwrap();
    }
}
