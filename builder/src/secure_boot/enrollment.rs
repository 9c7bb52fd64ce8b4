//! The files on partition 1 that bring the owner's keys into a machine.
//!
//! `loader/keys/auto/{PK,KEK,db}.auth` are what systemd-boot enrols, and firmware's set-up menus take them too; `.esl` and `.cer` are what
//! other menus want. Source: systemd-boot(7), loader.conf(5) `secure-boot-enroll`.

use std::{fs, path::Path};

use super::{Certificate, SecureBootError, Variable, variables};

/// Where they lie on partition 1.
const FOLDER: &str = "loader/keys/auto";
/// What each variable has: what systemd-boot takes, and what other menus do.
const EXTENSIONS: [&str; 3] = ["auth", "esl", "cer"];
/// No such file is longer.
const MAX_BYTES: u64 = 256 << 10;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollmentFile {
    /// `db.auth`.
    pub name: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrollment(Vec<EnrollmentFile>);

impl Enrollment {
    /// Reads them from `folder`, where `outcrop keys secure-boot` has put them, and checks that they let a machine start what the owner of
    /// `certificate` has signed.
    ///
    /// # Errors
    /// When one is missing or malformed, or db would not have that certificate: the machine would start nothing any more.
    pub fn read(folder: &Path, certificate: &Certificate) -> Result<Self, SecureBootError> {
        let mut files = Vec::new();
        for variable in [Variable::Pk, Variable::Kek, Variable::Db] {
            for extension in EXTENSIONS {
                let name = format!("{}.{extension}", variable.name());
                let path = folder.join(&name);
                let content = read(&path)?;
                if extension == "auth" {
                    let unfit = |why: &str| SecureBootError::Enrollment {
                        path: path.clone(),
                        why: why.to_owned(),
                    };
                    let brought = variables::certificates_of(&content).map_err(unfit)?;
                    if brought.is_empty() {
                        return Err(unfit("it brings no certificate"));
                    }
                    if variable == Variable::Db && !brought.iter().any(|der| der == certificate.der()) {
                        return Err(unfit(
                            "it doesn't bring the certificate that the image is signed by, and a machine would start nothing any more",
                        ));
                    }
                }
                files.push(EnrollmentFile { name, content });
            }
        }
        Ok(Self(files))
    }

    /// The files with their paths on partition 1.
    #[must_use]
    pub fn on_partition(&self) -> Vec<(String, Vec<u8>)> {
        let place = |file: &EnrollmentFile| (format!("{FOLDER}/{}", file.name), file.content.clone());
        self.0.iter().map(place).collect()
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &[EnrollmentFile] {
        &self.0
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SecureBootError> {
    let content = fs::metadata(path).and_then(|metadata| match metadata.len() {
        0..=MAX_BYTES => fs::read(path),
        _ => Err(std::io::ErrorKind::FileTooLarge.into()),
    });
    content.map_err(|source| SecureBootError::File {
        doing: "read",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure_boot::{
        KeySet,
        key_set::testing::{certificate, make},
    };

    #[test]
    fn files_of_a_key_set_go_to_partition_1_where_systemd_boot_looks() {
        let folder = tempfile::tempdir().unwrap();
        let set: KeySet = make(folder.path());
        let enrollment = Enrollment::read(folder.path(), set.certificate(Variable::Db)).unwrap();
        let paths: Vec<String> = enrollment
            .on_partition()
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        assert_eq!(paths.len(), 9);
        assert!(
            ["PK", "KEK", "db"]
                .iter()
                .all(|name| paths.contains(&format!("loader/keys/auto/{name}.auth")))
        );
    }

    #[test]
    fn keys_that_would_lock_the_image_out_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        let error = Enrollment::read(folder.path(), &certificate()).unwrap_err();
        assert!(
            error.to_string().contains("db.auth") && error.to_string().contains("start nothing any more"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_and_a_damaged_file_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let set = make(folder.path());
        let db = set.certificate(Variable::Db);
        let path = folder.path().join("KEK.auth");
        for damage in [&b"hello"[..], b""] {
            fs::write(&path, damage).unwrap();
            let error = Enrollment::read(folder.path(), db).unwrap_err();
            assert!(error.to_string().contains("KEK.auth"), "{error}");
        }
        fs::remove_file(&path).unwrap();
        let error = Enrollment::read(folder.path(), db).unwrap_err();
        assert!(
            matches!(&error, SecureBootError::File { path, .. } if path.ends_with("KEK.auth")),
            "{error}"
        );
    }
}
