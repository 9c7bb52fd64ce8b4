//! `outcrop cache`: what the cache holds and costs, and freeing it.

use std::{
    fmt::Write as _,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use indicatif::HumanBytes;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use serde::Serialize;

use super::Context;
use crate::{
    cache::{self, Cache, CacheError, Part, PruneRule, Pruned, Usage},
    error::Error,
    fetch::{Recheck, Shelf},
    lock,
    progress::Unit,
    store::{self, TreeStore},
};

/// `outcrop cache`'s arguments.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Remove what wasn't used for a while: see [`PruneRule`].
    pub prune: bool,
    /// How long, in days.
    pub unused_days: u32,
    /// Lock files whose packages stay.
    pub keep: Vec<PathBuf>,
    /// Read every package again and check its digest.
    pub verify: bool,
    /// Tell a program.
    pub json: bool,
}

/// What `--json` prints. Sizes are bytes of disk space.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    folder: String,
    #[serde(flatten)]
    usage: Usage,
    total: Part,
    #[serde(skip_serializing_if = "Option::is_none")]
    pruned: Option<Pruned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<Verified>,
}

/// What `--verify` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Verified {
    /// Packages.
    sound: usize,
    /// Packages that were damaged, and removed.
    removed: usize,
    /// Objects of the tree store that are what they were.
    sound_objects: u64,
    /// Objects that aren't. With any of these the whole store was removed: builds make it again.
    damaged_objects: usize,
}

/// Prunes and verifies as asked, then tells what the cache holds.
///
/// # Errors
/// When the cache can't be read or changed, another command uses it, or a lock file to keep can't be read.
pub fn run(options: &Options, context: &Context) -> Result<(), Error> {
    let cache = context.cache()?;
    let pruned = if options.prune {
        Some(prune(options, cache)?)
    } else {
        None
    };
    let verified = if options.verify {
        let (sound, removed) = verify_packages(cache, context)?;
        let (sound_objects, damaged_objects) = verify_store(cache, context)?;
        Some(Verified {
            sound,
            removed,
            sound_objects,
            damaged_objects,
        })
    } else {
        None
    };
    let usage = cache::measure(cache).map_err(|source| failure(cache, "measure", source))?;
    let report = Report {
        folder: cache.root().display().to_string(),
        usage,
        total: usage.total(),
        pruned,
        verified,
    };
    if options.json {
        return context.print(json(&report));
    }
    context.print(text(&report))
}

fn failure(cache: &Cache, doing: &'static str, source: std::io::Error) -> CacheError {
    CacheError::Io {
        doing,
        folder: cache.root().to_owned(),
        source,
    }
}

fn prune(options: &Options, cache: &Cache) -> Result<Pruned, Error> {
    let mut rule = PruneRule {
        unused_for: Duration::from_secs(u64::from(options.unused_days) * 24 * 3600),
        keep: std::collections::BTreeSet::new(),
        now: SystemTime::now(),
    };
    for path in &options.keep {
        let recipe = path.with_extension("toml").display().to_string();
        let lock = lock::text::read_any(path, &recipe)?;
        rule.keep
            .extend(lock.packages.values().flatten().map(|package| package.sha256));
    }
    Ok(cache::prune(cache, &rule)?)
}

/// Reads all objects of the tree store again: how many are sound, how many aren't. Nobody can tell what a damaged object
/// was, so a store that has any goes as a whole.
fn verify_store(cache: &Cache, context: &Context) -> Result<(u64, usize), Error> {
    let folder = cache.store();
    if !folder.is_dir() {
        return Ok((0, 0));
    }
    let store = TreeStore::open(&folder, context.progress.as_ref())?;
    let verified = store.verify(context.progress.as_ref())?;
    drop(store);
    if !verified.damaged.is_empty() {
        store::discard(&folder)?;
    }
    Ok((verified.objects, verified.damaged.len()))
}

/// Reads all packages again, as many at a time as there are processors: how many are sound, and how many were damaged and
/// are removed.
fn verify_packages(cache: &Cache, context: &Context) -> Result<(usize, usize), Error> {
    let shelf = Shelf::of(cache);
    let _in_use = cache
        .share(context.progress.as_ref())
        .map_err(|source| failure(cache, "lock", source))?;
    let digests = shelf.list().map_err(|source| failure(cache, "check", source))?;
    let total = u64::try_from(digests.len()).ok();
    let phase = context.progress.phase("check packages", total, Unit::Items);
    let rechecked = digests.par_iter().map(|digest| {
        phase.checkpoint()?;
        let found = shelf
            .recheck(digest)
            .map_err(|source| failure(cache, "check", source))?;
        phase.advance(1);
        Ok(found)
    });
    let found: Vec<Recheck> = rechecked.collect::<Result<_, Error>>()?;
    let sound = found.iter().filter(|found| **found == Recheck::Sound).count();
    Ok((sound, found.len() - sound))
}

impl Verified {
    fn text(self) -> String {
        let Self {
            sound,
            removed,
            sound_objects,
            damaged_objects,
        } = self;
        let packages = sound + removed;
        let mut text = format!("checked {packages} packages: {sound} sound, {removed} damaged and removed\n");
        let objects = sound_objects + damaged_objects as u64;
        let _infallible = match damaged_objects {
            0 => writeln!(text, "checked {objects} objects of the tree store: all sound"),
            damaged => writeln!(
                text,
                "checked {objects} objects of the tree store: {damaged} damaged; the store was removed, the next build \
                 makes it again"
            ),
        };
        text
    }
}

fn json(report: &Report) -> String {
    // Numbers and texts under fixed names: this doesn't fail.
    let value = serde_json::to_value(report).unwrap_or_default();
    format!("{value:#}\n")
}

fn text(report: &Report) -> String {
    let usage = &report.usage;
    let mut text = format!("{}\n", report.folder);
    for (name, part) in [
        ("packages", usage.packages),
        ("unfinished downloads", usage.partial),
        ("tree store", usage.store),
        ("apt's lists", usage.apt),
        ("build records", usage.builds),
        ("together", report.total),
    ] {
        let size = HumanBytes(part.bytes).to_string();
        let _infallible = writeln!(text, "  {name:<21} {:>8} files {size:>12}", part.files);
    }
    if let Some(verified) = report.verified {
        text.push_str(&verified.text());
    }
    if let Some(pruned) = report.pruned.map(|pruned| pruned.total()) {
        let _infallible = writeln!(
            text,
            "freed {} in {} files",
            HumanBytes(pruned.bytes),
            pruned.files
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use outcrop_release::{arch::Architecture, digest::FileDigest};

    use super::*;
    use crate::{
        commands::testing,
        lock::{
            Lock,
            format::{Archive, LockedPackage, LockedSuite, Role},
        },
    };

    /// A cache with these packages, unused since 1970.
    fn cache_with(bodies: &[&[u8]]) -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(&folder.path().join("cache"));
        for body in bodies {
            let path = Shelf::of(&cache).path(&FileDigest::of(body));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, body).unwrap();
            fs::File::open(&path)
                .unwrap()
                .set_modified(SystemTime::UNIX_EPOCH)
                .unwrap();
        }
        (folder, cache)
    }

    fn output(options: &Options, cache: &Cache) -> Result<String, Error> {
        let (context, written) = testing::context_with_cache(Some(cache.clone()));
        run(options, &context).map(|()| written.text())
    }

    fn lock_of(body: &[u8]) -> String {
        let package = LockedPackage {
            name: "a".to_owned(),
            version: "1".to_owned(),
            architecture: "amd64".to_owned(),
            role: Role::Root,
            archive: Archive::Main,
            path: "pool/a.deb".to_owned(),
            size: body.len() as u64,
            sha256: FileDigest::of(body),
            scripts: Vec::new(),
        };
        let lock = Lock {
            recipe: FileDigest::of(b""),
            suites: vec![LockedSuite {
                name: "trixie".to_owned(),
                archive: Archive::Main,
                in_release: FileDigest::of(b""),
                date: 0,
            }],
            packages: BTreeMap::from([(Architecture::X86_64, vec![package])]),
        };
        lock::text::write(&lock).unwrap()
    }

    #[test]
    fn a_program_gets_every_part_in_bytes() {
        let (_folder, cache) = cache_with(&[b"1", b"2"]);
        let json = Options {
            json: true,
            ..Options::default()
        };
        let report: serde_json::Value = serde_json::from_str(&output(&json, &cache).unwrap()).unwrap();
        assert_eq!(report["packages"]["files"], 2);
        assert!(report["packages"]["bytes"].as_u64().unwrap() >= 2);
        assert_eq!(report["total"], report["packages"]);
        for part in ["partial", "store", "apt", "builds"] {
            assert_eq!(report[part]["files"], 0, "{part}");
        }
        assert!(report.get("pruned").is_none());
    }

    #[test]
    fn pruning_frees_unused_packages_but_none_of_a_lock_to_keep() {
        let (folder, cache) = cache_with(&[b"1", b"2"]);
        let lock = folder.path().join("edge.lock");
        fs::write(&lock, lock_of(b"2")).unwrap();
        let options = Options {
            prune: true,
            unused_days: 30,
            keep: vec![lock],
            ..Options::default()
        };
        let text = output(&options, &cache).unwrap();
        assert!(text.ends_with(" in 1 files\n"), "{text}");
        assert_eq!(Shelf::of(&cache).list().unwrap(), [FileDigest::of(b"2")]);
    }

    #[test]
    fn a_lock_to_keep_that_cannot_be_read_stops_the_pruning() {
        let (folder, cache) = cache_with(&[b"1"]);
        let options = Options {
            prune: true,
            keep: vec![folder.path().join("none.lock")],
            ..Options::default()
        };
        assert!(matches!(output(&options, &cache), Err(Error::LockFile(_))));
        assert_eq!(Shelf::of(&cache).list().unwrap().len(), 1);
    }

    #[test]
    fn verifying_removes_damaged_packages_and_says_so() {
        let (_folder, cache) = cache_with(&[b"1", b"2", b"3"]);
        let damaged = FileDigest::of(b"2");
        fs::write(Shelf::of(&cache).path(&damaged), "x").unwrap();
        let options = Options {
            verify: true,
            ..Options::default()
        };
        let text = output(&options, &cache).unwrap();
        assert!(
            text.contains("checked 3 packages: 2 sound, 1 damaged and removed\n"),
            "{text}"
        );
        assert!(!Shelf::of(&cache).path(&damaged).exists());
    }

    fn only_object(cache: &Cache) -> PathBuf {
        let shards = fs::read_dir(cache.store().join("objects")).unwrap();
        let mut files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
        files.next().unwrap().unwrap().path()
    }

    #[test]
    fn verifying_removes_a_store_with_a_damaged_object_and_says_so() {
        let (_folder, cache) = cache_with(&[]);
        let store = TreeStore::open_volatile(&cache.store()).unwrap();
        store
            .keep_file(&crate::tree::Metadata::root(0o644), &mut &b"sound"[..])
            .unwrap();
        drop(store);
        let options = Options {
            verify: true,
            ..Options::default()
        };
        let text = output(&options, &cache).unwrap();
        assert!(
            text.contains("checked 1 objects of the tree store: all sound\n"),
            "{text}"
        );
        fs::write(only_object(&cache), b"SOUND").unwrap();
        let text = output(&options, &cache).unwrap();
        assert!(text.contains("1 damaged; the store was removed"), "{text}");
        assert!(!cache.store().exists());
    }
}
