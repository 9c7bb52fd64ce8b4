//! `outcrop keys`: keys that sign releases, and the trust file that names them.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use outcrop_release::trust::{Role, Trust};
use zeroize::Zeroizing;

use super::Context;
use crate::{
    error::Error,
    keys::{KeyName, KeysError, NamedKey, PASSPHRASE_VARIABLE, Passphrase, PrivateKey, write_private},
    output::PendingFile,
};

/// How a private key's file is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// By a passphrase: the environment's, or the one that a person chooses.
    Passphrase,
    /// By nothing but the file's mode.
    Mode,
}

/// `outcrop keys generate`'s arguments.
#[derive(Debug, Clone)]
pub struct Generate {
    /// What people call the key.
    pub name: KeyName,
    /// Where its files go.
    pub folder: PathBuf,
    /// How the private one is protected.
    pub protection: Protection,
}

/// Makes a key: `NAME.key`, readable by its owner alone, and `NAME.pub`. Never over existing files.
///
/// # Errors
/// When a file exists or can't be written, or there is no passphrase.
pub fn generate(options: &Generate, context: &Context) -> Result<(), Error> {
    let file = |extension: &str| options.folder.join(format!("{}.{extension}", options.name));
    let (private, public) = (file("key"), file("pub"));
    for path in [&private, &public] {
        if path.symlink_metadata().is_ok() {
            return Err(KeysError::Exists(path.clone()).into());
        }
    }
    let passphrase = match options.protection {
        Protection::Mode => None,
        Protection::Passphrase => Some(new_passphrase(context)?),
    };
    let key = PrivateKey::generate()?;
    let named = NamedKey {
        name: options.name.clone(),
        key: key.public()?,
    };
    let pem = key.to_pem(passphrase.as_ref())?;
    write_private(&private, pem.as_bytes())?;
    write_public(&public, &named).map_err(|source| {
        // A private key whose public half nobody has is of no use.
        let _removed = fs::remove_file(&private);
        KeysError::File {
            doing: "write the public key",
            path: public.clone(),
            source,
        }
    })?;
    let (private, public) = (private.display(), public.display());
    context.summarize(format_args!(
        "{private}: the private key; keep it safe, and a copy elsewhere\n{public}: the public key {}\n\
         next: outcrop keys trust {public} --threshold 1 > trust.toml\n",
        named.key
    ))
}

/// The passphrase for a new private key: the environment's, or the one that a person chooses.
pub(super) fn new_passphrase(context: &Context) -> Result<Passphrase, KeysError> {
    if let Ok(passphrase) = env::var(PASSPHRASE_VARIABLE) {
        return strong(Zeroizing::new(passphrase));
    }
    let first = context
        .passphrase("Passphrase for the private key")
        .ok_or(KeysError::NoNewPassphrase)?;
    let first = strong(first)?;
    match context.passphrase("The same again") {
        Some(second) if *second == *first => Ok(first),
        _ => Err(KeysError::BadPassphrase("the two passphrases differ")),
    }
}

fn strong(passphrase: Passphrase) -> Result<Passphrase, KeysError> {
    if passphrase.is_empty() {
        return Err(KeysError::BadPassphrase("the passphrase is empty"));
    }
    Ok(passphrase)
}

fn write_public(path: &Path, key: &NamedKey) -> io::Result<()> {
    let file = PendingFile::create(path)?;
    file.file().write_all(key.to_string().as_bytes())?;
    file.publish_new()
}

/// `outcrop keys trust`'s arguments.
#[derive(Debug, Clone)]
pub struct TrustOptions {
    /// Public keys' files.
    pub keys: Vec<PathBuf>,
    /// How many of them must sign a release.
    pub threshold: usize,
    /// Public keys' files of those that sign channels.
    pub channel_keys: Vec<PathBuf>,
    /// How many of those must sign a channel.
    pub channel_threshold: usize,
}

/// Prints the trust file of some public keys.
///
/// # Errors
/// When a file holds no public key, a key comes twice, or the threshold can't be met.
pub fn trust(options: &TrustOptions, context: &Context) -> Result<(), Error> {
    let read = |path: &PathBuf| NamedKey::read(path).map(|named| (named.name.to_string(), named.key));
    let keys = options.keys.iter().map(read).collect::<Result<_, _>>()?;
    let mut trust = Trust::new(options.threshold, keys).map_err(KeysError::Trust)?;
    if !options.channel_keys.is_empty() {
        let keys = options.channel_keys.iter().map(read).collect::<Result<_, _>>()?;
        let role = Role::new(options.channel_threshold, keys).map_err(KeysError::Trust)?;
        trust = trust.with_channel(role).map_err(KeysError::Trust)?;
    }
    context.print(trust.to_toml())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{super::testing, *};
    use crate::{failure::FailureClass, keys};

    fn generate_in(folder: &Path, name: &str, answers: &[&'static str]) -> Result<String, Error> {
        let (context, written) = testing::context();
        let answers = std::sync::Mutex::new(answers.to_vec());
        let answer = move |_: &str| {
            let mut left = answers.lock().unwrap();
            (!left.is_empty()).then(|| Zeroizing::new(left.remove(0).to_owned()))
        };
        let context = context.with_secrets(Box::new(answer));
        let options = Generate {
            name: name.parse().unwrap(),
            folder: folder.to_owned(),
            protection: if name.starts_with("clear") {
                Protection::Mode
            } else {
                Protection::Passphrase
            },
        };
        generate(&options, &context).map(|()| written.text())
    }

    #[test]
    fn a_new_key_is_its_owners_alone_and_opens_with_its_passphrase() {
        let folder = tempfile::tempdir().unwrap();
        let told = generate_in(folder.path(), "release", &["secret", "secret"]).unwrap();
        assert!(told.contains("next: outcrop keys trust "), "{told}");
        let path = folder.path().join("release.key");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let source = keys::KeySource::File(path);
        let key = keys::read(&source, &|_| Some(Zeroizing::new("secret".to_owned()))).unwrap();
        let public = NamedKey::read(&folder.path().join("release.pub")).unwrap();
        assert_eq!(
            (public.name.as_str(), public.key),
            ("release", key.public().unwrap())
        );
    }

    #[test]
    fn a_key_in_the_clear_is_written_only_when_it_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let error = generate_in(folder.path(), "release", &[]).unwrap_err();
        assert_eq!(error.class(), FailureClass::Environment);
        generate_in(folder.path(), "clear", &[]).unwrap();
        let text = fs::read_to_string(folder.path().join("clear.key")).unwrap();
        assert!(text.starts_with("-----BEGIN PRIVATE KEY-----"), "{text}");
    }

    #[test]
    fn passphrases_that_differ_or_are_empty_write_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for answers in [&["a", "b"][..], &["", ""], &["a"]] {
            let error = generate_in(folder.path(), "release", answers).unwrap_err();
            assert!(
                matches!(error, Error::Keys(KeysError::BadPassphrase(_))),
                "{error:?}"
            );
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn an_existing_key_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        for extension in ["key", "pub"] {
            let path = folder.path().join(format!("clear.{extension}"));
            fs::write(&path, "mine").unwrap();
            let error = generate_in(folder.path(), "clear", &[]).unwrap_err();
            assert!(matches!(error, Error::Keys(KeysError::Exists(_))), "{error:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_trust_file_names_the_keys_and_refuses_what_can_t_be() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["clear-a", "clear-b"] {
            generate_in(folder.path(), name, &[]).unwrap();
        }
        let of = |names: &[&str], threshold| {
            let (context, written) = testing::context();
            let keys = names.iter().map(|name| folder.path().join(name)).collect();
            let options = TrustOptions {
                keys,
                threshold,
                channel_keys: Vec::new(),
                channel_threshold: 1,
            };
            trust(&options, &context).map(|()| written.text())
        };
        let text = of(&["clear-a.pub", "clear-b.pub"], 2).unwrap();
        let parsed = Trust::parse(&text).unwrap();
        assert_eq!(parsed.release().threshold(), 2);
        let key = NamedKey::read(&folder.path().join("clear-b.pub")).unwrap().key;
        assert_eq!(parsed.release().name_of(&key), Some("clear-b"));
        for (names, threshold) in [
            (&["clear-a.pub", "clear-a.pub"][..], 1),
            (&["clear-a.pub"], 2),
            (&["clear-a.pub"], 0),
            (&["clear-a.key"], 1),
            (&["nothing.pub"], 1),
        ] {
            assert!(of(names, threshold).is_err(), "{names:?} {threshold}");
        }
    }
}
