//! `outcrop keys secure-boot`: the keys of UEFI Secure Boot, and the files that bring them into machines.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    Context,
    keys::{Protection, new_passphrase},
};
use crate::{
    error::Error,
    keys::KeyName,
    secure_boot::{KeySet, SecureBootError, Variable, Wanted},
};

/// `outcrop keys secure-boot`'s arguments.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose keys they are.
    pub owner: KeyName,
    /// Where the files are, or go.
    pub folder: PathBuf,
    /// How new private keys are protected.
    pub protection: Protection,
}

/// Makes the keys that aren't in the folder, and the enrolment files of all. `SOURCE_DATE_EPOCH` is taken for the time.
///
/// # Errors
/// When half of a pair is there, or a file can't be read or written.
pub fn run(options: &Options, context: &Context) -> Result<(), Error> {
    let folder = &options.folder;
    fs::create_dir_all(folder).map_err(|source| SecureBootError::File {
        doing: "create the folder",
        path: folder.clone(),
        source,
    })?;
    let set = KeySet::complete(&Wanted {
        folder,
        owner: options.owner.as_str(),
        passphrase: &|| match options.protection {
            Protection::Mode => Ok(None),
            Protection::Passphrase => Ok(Some(new_passphrase(context)?)),
        },
        ask: &|question| context.passphrase(question),
        now: now(env::var("SOURCE_DATE_EPOCH").ok().as_deref()),
    })?;
    context.summarize(summary(folder, &set))
}

/// The time that files say: `SOURCE_DATE_EPOCH`'s, or the clock's.
fn now(epoch: Option<&str>) -> Duration {
    let fixed = epoch.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    fixed.unwrap_or_else(|| SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO))
}

fn summary(folder: &Path, set: &KeySet) -> String {
    let mut text = String::new();
    for variable in [Variable::Pk, Variable::Kek, Variable::Db] {
        let (name, certificate) = (variable.name(), set.certificate(variable));
        let made = if set.made().contains(&variable) {
            "new"
        } else {
            "was there"
        };
        text += &format!(
            "{name:<4}{made}: {}, SHA-256 {}\n",
            certificate.subject(),
            certificate.fingerprint()
        );
    }
    let folder = folder.display();
    text + &format!(
        "{folder}: keep PK.key and KEK.key away from build machines, and copies of all three elsewhere\n\
         next: [secure-boot] with certificate = \"{folder}/db.crt\" and keys = \"{folder}\" in the recipe, and\n      \
         outcrop build RECIPE --secure-boot-key {folder}/db.key\n"
    )
}

#[cfg(test)]
mod tests {
    use super::{super::testing, *};

    #[test]
    fn a_set_is_made_once_and_told_with_fingerprints_and_the_next_step() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            owner: "Acme".parse().unwrap(),
            folder: folder.path().join("keys"),
            protection: Protection::Mode,
        };
        let told = || {
            let (context, written) = testing::context();
            run(&options, &context).unwrap();
            written.text()
        };
        let first = told();
        assert!(
            first.contains("db  new: CN=Acme db, SHA-256 ") && first.contains("--secure-boot-key"),
            "{first}"
        );
        assert_eq!(told(), first.replace("new: ", "was there: "));
    }

    #[test]
    fn a_fixed_time_is_taken_and_nonsense_is_not() {
        assert_eq!(now(Some("1767323045")), Duration::from_secs(1_767_323_045));
        assert!(now(Some("yesterday")) > Duration::from_secs(1_700_000_000));
    }
}
