//! Where downloads, the tree store and build records live on the build machine.

mod lock;
mod prune;
mod usage;
pub(crate) mod use_time;

use std::path::{Path, PathBuf};

pub use lock::CacheLock;
pub use prune::{CacheError, PruneRule, Pruned, prune};
pub use usage::{Part, Usage, measure};

use crate::progress::Progress;

/// The cache folder: `$XDG_CACHE_HOME/outcrop`, else `~/.cache/outcrop`. Everything below may be deleted at any time
/// while no build runs; it is fetched or made again.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// A cache in `root`, which is made on first use.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The user's cache; none when neither `XDG_CACHE_HOME` nor `HOME` is an absolute path.
    #[must_use]
    pub fn of_user(environment: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<Self> {
        let absolute = |name: &str| {
            environment(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        Some(Self {
            root: base.join("outcrop"),
        })
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Packages by SHA-256: see `fetch`.
    #[must_use]
    pub fn packages(&self) -> PathBuf {
        self.root.join("packages")
    }

    /// The OSTree repository: see `store`.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// apt's lists, kept between runs of `outcrop lock`.
    #[must_use]
    pub fn apt(&self) -> PathBuf {
        self.root.join("apt")
    }

    /// Records of finished builds, by the digest of their inputs.
    #[must_use]
    pub fn builds(&self) -> PathBuf {
        self.root.join("builds")
    }

    /// Keeps others from pruning the cache while the value lives. Waits while somebody prunes, and says so. Every command
    /// holds it from its first look into the cache to its last use of a path in there.
    ///
    /// # Errors
    /// When the cache's folder can't be made or written, or the user asks to stop waiting.
    pub fn share(&self, progress: &dyn Progress) -> std::io::Result<CacheLock> {
        CacheLock::shared(&self.root, progress)
    }

    /// The cache alone, for one who removes things; none while another command uses it.
    ///
    /// # Errors
    /// When the cache's folder can't be made or written.
    pub fn try_alone(&self) -> std::io::Result<Option<CacheLock>> {
        CacheLock::try_alone(&self.root)
    }
}
