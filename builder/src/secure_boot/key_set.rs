//! A set of keys in a folder: for each of PK, KEK and db the private key, its certificate, and the files that bring it into a machine.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Certificate, Moment, RsaKey, SecureBootError, Signer, Variable, key, signature_list, variables};
use crate::{
    keys::{AskPassphrase, KeySource, Passphrase, read_text, write_private},
    output::replace_file,
};

/// What is asked of [`KeySet::complete`].
pub struct Wanted<'a> {
    /// Where the files are, or go.
    pub folder: &'a Path,
    /// Whose keys they are: a part of new certificates' names.
    pub owner: &'a str,
    /// Protects new private keys; none is needed when all are there.
    pub passphrase: &'a dyn Fn() -> Result<Option<Passphrase>, SecureBootError>,
    /// Asked for when a key that is there is encrypted.
    pub ask: AskPassphrase<'a>,
    /// Now, since 1970: new certificates begin then, and the enrolment files are of that moment.
    pub now: Duration,
}

/// Keys and certificates of all three variables.
#[derive(Debug)]
pub struct KeySet {
    pairs: [(Variable, Signer); 3],
    made: Vec<Variable>,
}

impl KeySet {
    /// Takes the pairs that are in the folder (`NAME.key` and `NAME.crt`), makes those that aren't, and writes the enrolment files of all.
    /// Nothing that exists is overwritten but those.
    ///
    /// # Errors
    /// When half of a pair is there, a pair doesn't fit together, or a file can't be read or written.
    pub fn complete(wanted: &Wanted<'_>) -> Result<Self, SecureBootError> {
        let found = [Variable::Pk, Variable::Kek, Variable::Db]
            .map(|variable| (variable, Pair::of(wanted.folder, variable)));
        for (_, pair) in &found {
            pair.check_whole()?;
        }
        let missing = found.iter().any(|(_, pair)| !pair.key.exists());
        let passphrase = if missing { (wanted.passphrase)()? } else { None };
        let mut made = Vec::new();
        let mut have = |(variable, pair): &(Variable, Pair)| {
            if pair.key.exists() {
                return Ok((*variable, pair.read(wanted.ask)?));
            }
            made.push(*variable);
            let name = format!("{} {}", wanted.owner, variable.name());
            Ok::<_, SecureBootError>((*variable, pair.make(&name, passphrase.as_ref(), wanted.now)?))
        };
        let pairs = [have(&found[0])?, have(&found[1])?, have(&found[2])?];
        let set = Self { pairs, made };
        set.write_enrollment(wanted)?;
        Ok(set)
    }

    /// Which pairs weren't there.
    #[must_use]
    pub fn made(&self) -> &[Variable] {
        &self.made
    }

    /// The certificate of a variable.
    #[must_use]
    pub fn certificate(&self, variable: Variable) -> &Certificate {
        self.signer(variable).certificate()
    }

    fn signer(&self, variable: Variable) -> &Signer {
        let [pk, kek, db] = &self.pairs;
        match variable {
            Variable::Pk => &pk.1,
            Variable::Kek => &kek.1,
            Variable::Db => &db.1,
        }
    }

    /// Each update is signed by the key above: db's by KEK's, the others' by PK's.
    fn write_enrollment(&self, wanted: &Wanted<'_>) -> Result<(), SecureBootError> {
        let moment = Moment::new(wanted.now).ok_or(SecureBootError::Clock)?;
        for (variable, signer) in &self.pairs {
            let by = match variable {
                Variable::Pk | Variable::Kek => Variable::Pk,
                Variable::Db => Variable::Kek,
            };
            let list = signature_list(signer.certificate());
            let update = variables::signed_update(*variable, &list, moment, self.signer(by))?;
            for (extension, bytes) in [
                ("auth", update.as_slice()),
                ("esl", &list),
                ("cer", signer.certificate().der()),
            ] {
                write(
                    &wanted.folder.join(format!("{}.{extension}", variable.name())),
                    bytes,
                )?;
            }
        }
        Ok(())
    }
}

/// The two files of a pair.
struct Pair {
    key: PathBuf,
    certificate: PathBuf,
}

impl Pair {
    fn of(folder: &Path, variable: Variable) -> Self {
        let file = |extension: &str| folder.join(format!("{}.{extension}", variable.name()));
        Self {
            key: file("key"),
            certificate: file("crt"),
        }
    }

    /// Both files are there, or none.
    fn check_whole(&self) -> Result<(), SecureBootError> {
        let (there, missing) = match (self.key.exists(), self.certificate.exists()) {
            (true, false) => (&self.key, &self.certificate),
            (false, true) => (&self.certificate, &self.key),
            _ => return Ok(()),
        };
        Err(SecureBootError::HalfPair {
            there: there.clone(),
            missing: missing.clone(),
        })
    }

    fn read(&self, ask: AskPassphrase<'_>) -> Result<Signer, SecureBootError> {
        let key = RsaKey::read(&KeySource::File(self.key.clone()), ask)?;
        Signer::new(key, read_certificate(&self.certificate)?)
    }

    /// Makes both files; when the second can't be written, neither is left.
    fn make(
        &self,
        name: &str,
        passphrase: Option<&Passphrase>,
        now: Duration,
    ) -> Result<Signer, SecureBootError> {
        let (key, document) = RsaKey::generate()?;
        let certificate = Certificate::self_signed(&key, name, now)?;
        write_private(&self.key, key::to_pem(&document, passphrase)?.as_bytes())?;
        write(&self.certificate, certificate.to_pem()?.as_bytes()).inspect_err(|_| {
            // A key whose certificate nobody has is of no use.
            let _removed = std::fs::remove_file(&self.key);
        })?;
        Signer::new(key, certificate)
    }
}

/// Reads a certificate's PEM file.
///
/// # Errors
/// When it can't be read, or holds none of an RSA key.
pub fn read_certificate(path: &Path) -> Result<Certificate, SecureBootError> {
    let text = read_text(path).map_err(|source| SecureBootError::File {
        doing: "read the certificate",
        path: path.to_owned(),
        source,
    })?;
    Certificate::from_pem(&text, &path.display().to_string())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), SecureBootError> {
    replace_file(path, bytes).map_err(|source| SecureBootError::File {
        doing: "write",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
pub(crate) mod testing {
    use std::{
        fs,
        process::{Command, Stdio},
        sync::LazyLock,
    };

    use super::*;

    /// 2026-01-02 03:04:05 UTC.
    pub(crate) const NOW: Duration = Duration::from_secs(1_767_323_045);

    /// A key that openssl made.
    pub(crate) static KEY_PEM: LazyLock<String> = LazyLock::new(|| {
        openssl(&[
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ])
    });
    static CERTIFICATE: LazyLock<Certificate> =
        LazyLock::new(|| Certificate::self_signed(&key(), "Test db", NOW).unwrap());

    fn key() -> RsaKey {
        RsaKey::parse(&KEY_PEM, "test.key", || panic!("it isn't encrypted")).unwrap()
    }

    pub(crate) fn certificate() -> Certificate {
        CERTIFICATE.clone()
    }

    pub(crate) fn signer() -> Signer {
        Signer::new(key(), certificate()).unwrap()
    }

    /// A set whose keys aren't encrypted.
    pub(crate) fn make(folder: &Path) -> KeySet {
        KeySet::complete(&Wanted {
            folder,
            owner: "Test",
            passphrase: &|| Ok(None),
            ask: &|_| None,
            now: NOW,
        })
        .unwrap()
    }

    /// What `openssl` prints.
    pub(crate) fn openssl(arguments: &[&str]) -> String {
        let output = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::null())
            .output();
        let output = output.expect("openssl is needed: apt-get install openssl");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `openssl` says about a file.
    pub(crate) fn openssl_reads(arguments: &[&str], file: &Path) -> String {
        let output = Command::new("openssl").args(arguments).arg(file).output();
        let output = output.expect("openssl is needed: apt-get install openssl");
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{told}");
        told
    }

    /// Whether Debian's sbverify takes a program's signature as that of the certificate's owner.
    pub(crate) fn sbverify(program: &[u8], certificate: &Certificate) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let (file, pem) = (folder.path().join("program.efi"), folder.path().join("db.crt"));
        fs::write(&file, program).unwrap();
        fs::write(&pem, certificate.to_pem().unwrap()).unwrap();
        let output = Command::new("sbverify")
            .arg("--cert")
            .arg(&pem)
            .arg(&file)
            .output();
        let output = output.expect("sbverify is needed: apt-get install sbsigntool");
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::{testing::*, *};

    #[test]
    fn a_new_set_has_private_keys_for_their_owner_alone_and_everything_that_machines_take() {
        let folder = tempfile::tempdir().unwrap();
        let set = make(folder.path());
        assert_eq!(set.made().len(), 3);
        for name in ["PK", "KEK", "db"] {
            let file = |extension: &str| folder.path().join(format!("{name}.{extension}"));
            let mode = fs::metadata(file("key")).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600, "{name}");
            for extension in ["crt", "cer", "esl", "auth"] {
                assert!(file(extension).exists(), "{name}.{extension}");
            }
            let text = openssl_reads(&["rsa", "-check", "-noout", "-in"], &file("key"));
            assert!(text.contains("RSA key ok"), "{text}");
        }
        assert_eq!(set.certificate(Variable::Db).subject(), "CN=Test db");
    }

    #[test]
    fn pairs_that_are_there_stay_and_those_that_aren_t_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let (key, certificate) = (folder.path().join("db.key"), folder.path().join("db.crt"));
        fs::write(&key, KEY_PEM.as_bytes()).unwrap();
        let pem = openssl(&["req", "-x509", "-key", key.to_str().unwrap(), "-subj", "/CN=Mine"]);
        fs::write(&certificate, &pem).unwrap();
        let set = make(folder.path());
        assert_eq!(set.made(), [Variable::Pk, Variable::Kek]);
        assert_eq!(set.certificate(Variable::Db).subject(), "CN=Mine");
        assert_eq!(fs::read_to_string(&certificate).unwrap(), pem);
        let before = fs::read(folder.path().join("db.auth")).unwrap();
        assert!(make(folder.path()).made().is_empty());
        assert_eq!(fs::read(folder.path().join("db.auth")).unwrap(), before);
    }

    #[test]
    fn half_a_pair_makes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("KEK.crt"), "mine").unwrap();
        let error = KeySet::complete(&Wanted {
            folder: folder.path(),
            owner: "Test",
            passphrase: &|| panic!("nothing is made"),
            ask: &|_| None,
            now: NOW,
        })
        .unwrap_err();
        assert!(error.to_string().contains("KEK.key isn't"), "{error}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_certificate_that_isn_t_there_is_named() {
        let error = read_certificate(Path::new("/nonexistent/db.crt")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/db.crt"), "{error}");
    }
}
