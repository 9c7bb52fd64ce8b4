//! `outcrop build`: images from a recipe and its lock.

use std::{path::PathBuf, sync::Arc};

use super::Context;
use crate::{
    error::Error,
    fetch::Mode,
    keys::{self, KeySource, PrivateKey},
    lock::{LockFileError, apt::Suites},
    pipeline::{self, BuildKeys, Built, Request},
    secure_boot::RsaKey,
};

/// `outcrop build`'s arguments.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to build.
    pub request: Request,
    /// Never offer to lock.
    pub locked: bool,
    /// Keys that sign the bundles; none makes no bundles.
    pub keys: Vec<KeySource>,
    /// The key that signs for Secure Boot.
    pub secure_boot_key: Option<KeySource>,
    /// For a program.
    pub json: bool,
}

/// Builds the images and says what was made, and what to type next.
///
/// A lock that is missing or of another recipe is refused. Only a person at the terminal may say that it be made on
/// the spot; `--locked` doesn't ask, `--offline` couldn't.
///
/// # Errors
/// See [`Error`].
pub fn run(options: &Options, context: &Context) -> Result<(), Error> {
    let request = &options.request;
    let ask = |question: &str| context.passphrase(question);
    let secure_boot = options.secure_boot_key.as_ref();
    let keys = BuildKeys {
        release: read_keys(&options.keys, context)?,
        secure_boot: secure_boot
            .map(|source| RsaKey::read(source, &ask).map(Arc::new))
            .transpose()?,
    };
    let build = || pipeline::build(request, &keys, context.cache()?, context.progress.as_ref());
    let built = match build() {
        Err(error) if may_lock(options, &error) && context.confirms(&format!("{error}. Lock now?")) => {
            super::lock::run(&lock_options(request), context)?;
            build()?
        }
        built => built?,
    };
    if options.json {
        return context.print(json(&built));
    }
    context.summarize(summary(request, &built))
}

/// Reads private keys, asking for their passphrases.
pub(super) fn read_keys(sources: &[KeySource], context: &Context) -> Result<Vec<PrivateKey>, Error> {
    let ask = |question: &str| context.passphrase(question);
    let keys = sources.iter().map(|source| keys::read(source, &ask));
    Ok(keys.collect::<Result<_, _>>()?)
}

fn may_lock(options: &Options, error: &Error) -> bool {
    let lockable = matches!(
        error,
        Error::LockFile(LockFileError::Missing { .. } | LockFileError::OtherRecipe { .. })
    );
    lockable && !options.locked && options.request.mode == Mode::Online
}

fn lock_options(request: &Request) -> super::lock::Options {
    super::lock::Options {
        suites: Suites::default(),
        recipe: request.recipe.clone(),
        mirror: request.mirror.clone(),
        mirror_variable: std::env::var_os("OUTCROP_MIRROR"),
    }
}

/// The images' figures, and whether each was there already.
fn json(built: &[Built]) -> String {
    let image = |image: &Built| {
        let mut facts = serde_json::json!(image.summary);
        facts["unchanged"] = image.unchanged.into();
        facts
    };
    let images: Vec<serde_json::Value> = built.iter().map(image).collect();
    format!("{:#}\n", serde_json::json!({ "images": images }))
}

fn summary(request: &Request, built: &[Built]) -> String {
    let folder = request.output.join("");
    let mut text = String::new();
    for image in built {
        if image.unchanged {
            text.push_str("unchanged: ");
        }
        text.push_str(&image.summary.text(&folder.display().to_string()));
    }
    let boot: Option<PathBuf> = built
        .first()
        .map(|image| request.output.join(&image.summary.image));
    boot.map_or(text.clone(), |image| {
        format!("{text}\nBoot it with: outcrop run {}\n", image.display())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{super::testing, *};
    use crate::cache::Cache;

    /// Builds a recipe without lock; returns what was asked, and the error.
    fn build(locked: bool, mode: Mode) -> (Vec<String>, Error) {
        let folder = tempfile::tempdir().unwrap();
        let recipe = folder.path().join("edge.toml");
        std::fs::write(
            &recipe,
            "[image]\nname = \"edge\"\nversion = \"0.1.0\"\n[base]\nsuite = \"trixie\"\n",
        )
        .unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let cache = Cache::at(&folder.path().join("cache"));
        let context = testing::context_with_cache(Some(cache))
            .0
            .with_person(Some(Box::new(move |question| {
                log.lock().unwrap().push(question.to_owned());
                false
            })));
        let request = Request {
            recipe,
            architectures: Vec::new(),
            output: folder.path().join("out"),
            mirror: None,
            mode,
            device_programs: None,
            previous: Vec::new(),
            compression: crate::bundle::Compression::Best,
        };
        let error = run(
            &Options {
                request,
                locked,
                keys: Vec::new(),
                secure_boot_key: None,
                json: false,
            },
            &context,
        )
        .unwrap_err();
        let asked = asked.lock().unwrap().clone();
        (asked, error)
    }

    #[test]
    fn a_missing_lock_is_refused_and_only_a_person_may_have_it_made() {
        let (asked, error) = build(false, Mode::Online);
        assert!(
            asked[0].contains("edge.lock does not exist. Lock now?"),
            "{asked:?}"
        );
        assert!(
            matches!(error, Error::LockFile(LockFileError::Missing { .. })),
            "{error:?}"
        );
        for (locked, mode) in [(true, Mode::Online), (false, Mode::Offline)] {
            let (asked, error) = build(locked, mode);
            assert!(
                asked.is_empty() && matches!(error, Error::LockFile(_)),
                "{asked:?} {error:?}"
            );
        }
    }
}
