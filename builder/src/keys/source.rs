//! Where a private key comes from: a file, an environment variable, or a command that prints it.

use std::{
    convert::Infallible,
    env, fmt,
    path::PathBuf,
    process::{Command, Stdio},
    str::FromStr,
};

use zeroize::Zeroizing;

use super::{KeysError, Passphrase, PrivateKey, read_text};

/// The variable that holds the passphrase of private keys where nobody can be asked.
pub const PASSPHRASE_VARIABLE: &str = "OUTCROP_KEY_PASSPHRASE";

/// How a passphrase is asked for: takes the question, gives none when there is nobody.
pub type AskPassphrase<'a> = &'a dyn Fn(&str) -> Option<Passphrase>;

/// Where a private key comes from. Text forms: `env:VARIABLE`, `command:WORDS`, else a file's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A PEM file.
    File(PathBuf),
    /// A variable with PEM text.
    Variable(String),
    /// A command line for `sh` that prints PEM text.
    Command(String),
}

impl FromStr for KeySource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.split_once(':') {
            Some(("env", variable)) => Self::Variable(variable.to_owned()),
            Some(("command", command)) => Self::Command(command.to_owned()),
            _ => Self::File(text.into()),
        })
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(variable) => write!(f, "env:{variable}"),
            Self::Command(command) => write!(f, "command:{command}"),
        }
    }
}

impl KeySource {
    /// The text of the key's file.
    pub(crate) fn text(&self) -> Result<Zeroizing<String>, KeysError> {
        match self {
            Self::File(path) => match read_text(path) {
                Ok(text) => Ok(Zeroizing::new(text)),
                Err(source) => Err(KeysError::File {
                    doing: "read the private key",
                    path: path.clone(),
                    source,
                }),
            },
            Self::Variable(variable) => env::var(variable)
                .map(Zeroizing::new)
                .map_err(|_| KeysError::Variable(variable.clone())),
            Self::Command(command) => printed_by(command),
        }
    }
}

fn printed_by(command: &str) -> Result<Zeroizing<String>, KeysError> {
    let output = Command::new("sh")
        .args(["-c", command])
        .stderr(Stdio::inherit())
        .stdin(Stdio::inherit())
        .output();
    let output = output.map_err(|source| KeysError::Start {
        command: command.to_owned(),
        source,
    })?;
    let printed = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(KeysError::Command {
            command: command.to_owned(),
            status: output.status,
        });
    }
    Ok(Zeroizing::new(String::from_utf8_lossy(&printed).into_owned()))
}

/// Reads a private key. If it is encrypted, its passphrase is [`PASSPHRASE_VARIABLE`]'s, or else asked for.
///
/// # Errors
/// When it can't be read or opened.
pub fn read(source: &KeySource, ask: AskPassphrase<'_>) -> Result<PrivateKey, KeysError> {
    let from = source.to_string();
    PrivateKey::parse(&source.text()?, &from, || passphrase_of(&from, ask))
}

/// The passphrase of the private key `from`: [`PASSPHRASE_VARIABLE`]'s, or else asked for.
pub(crate) fn passphrase_of(from: &str, ask: AskPassphrase<'_>) -> Result<Passphrase, KeysError> {
    let given = env::var(PASSPHRASE_VARIABLE).ok().map(Zeroizing::new);
    given
        .or_else(|| ask(&format!("Passphrase of {from}")))
        .ok_or_else(|| KeysError::NoPassphrase {
            from: from.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_source_is_told_by_what_is_before_its_colon() {
        let parse = |text: &str| text.parse::<KeySource>().unwrap();
        assert_eq!(parse("release.key"), KeySource::File("release.key".into()));
        assert_eq!(parse("env:KEY"), KeySource::Variable("KEY".to_owned()));
        assert_eq!(
            parse("command:pass a:b"),
            KeySource::Command("pass a:b".to_owned())
        );
        assert_eq!(parse("odd:name"), KeySource::File("odd:name".into()));
    }

    #[test]
    fn a_key_is_read_from_a_file_and_from_a_command() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("release.key");
        let key = PrivateKey::from_seed(&[9; 32]);
        fs::write(&path, key.to_pem(None).unwrap().as_bytes()).unwrap();
        let sources = [
            path.display().to_string(),
            format!("command:cat '{}'", path.display()),
        ];
        for source in sources {
            let read = read(&source.parse().unwrap(), &|_| None).unwrap();
            assert_eq!(read.public().unwrap(), key.public().unwrap());
        }
    }

    #[test]
    fn a_source_that_gives_nothing_is_named() {
        let tell = |text: &str| read(&text.parse().unwrap(), &|_| None).unwrap_err().to_string();
        assert_eq!(
            tell("env:OUTCROP_NO_SUCH_VARIABLE"),
            "the environment variable OUTCROP_NO_SUCH_VARIABLE isn't set, or isn't text"
        );
        assert!(tell("command:exit 3").contains("exit status: 3"));
        assert!(tell("/nonexistent/x.key").contains("/nonexistent/x.key"));
    }

    #[test]
    fn an_encrypted_key_that_nobody_can_open_says_how() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("release.key");
        let key = PrivateKey::from_seed(&[9; 32]);
        let pem = key.to_pem(Some(&Zeroizing::new("secret".to_owned()))).unwrap();
        fs::write(&path, pem.as_bytes()).unwrap();
        let source = KeySource::File(path);
        let error = read(&source, &|_| None).unwrap_err();
        assert!(matches!(error, KeysError::NoPassphrase { .. }), "{error:?}");
        let asked = |question: &str| {
            assert!(question.starts_with("Passphrase of "), "{question}");
            Some(Zeroizing::new("secret".to_owned()))
        };
        assert!(read(&source, &asked).is_ok());
    }
}
