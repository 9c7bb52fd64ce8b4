//! Commits and references, through libostree.

use ostree::{
    MutableTree, Repo, RepoFile,
    gio::{self, Cancellable},
    glib::{self, Variant, VariantDict, prelude::*},
};

use super::{StoreError, checksum::Checksum, variant::Folder};

/// Commit metadata: groups of hard-linked paths, `aas`.
const HARD_LINKS: &str = "outcrop.hard-links";
/// Commit metadata: what an image is, JSON.
const RECORD: &str = "outcrop.record";
/// Commit metadata: the addresses of the image that was made of the tree, `ay`.
const ADDRESSES: &str = "outcrop.addresses";

/// libostree's handle of the repository; each thread opens its own.
pub(super) struct Commits {
    repo: Repo,
}

/// What one commit says beside its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommitText {
    /// One line.
    pub(super) subject: String,
    /// Seconds since 1970.
    pub(super) time: u64,
    /// See [`super::folders::hard_links`].
    pub(super) hard_links: Vec<Vec<String>>,
    /// JSON; none for packages.
    pub(super) record: Option<String>,
    /// See [`crate::erofs::Plan::addresses`]; none for packages.
    pub(super) addresses: Option<Vec<u8>>,
}

/// A commit that was read.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) text: CommitText,
    pub(super) root: Folder,
    pub(super) parent: Option<String>,
}

impl Commits {
    pub(super) fn open(repository: &std::path::Path) -> Result<Self, StoreError> {
        let repo = Repo::new_for_path(repository);
        repo.open(Cancellable::NONE)
            .map_err(|source| StoreError::Repository {
                path: repository.to_owned(),
                source,
            })?;
        Ok(Self { repo })
    }

    pub(super) const fn repo(&self) -> &Repo {
        &self.repo
    }

    /// The commit that `reference` names.
    pub(super) fn resolve(&self, reference: &str) -> Result<Option<String>, StoreError> {
        let found = self.repo.resolve_rev(reference, true);
        Ok(found
            .map_err(|source| failed("look up", reference, source))?
            .map(Into::into))
    }

    /// Commits a tree whose objects are stored, and lets `reference` name it.
    pub(super) fn commit(
        &self,
        reference: &str,
        root: Folder,
        parent: Option<&str>,
        text: &CommitText,
    ) -> Result<String, StoreError> {
        let write = || {
            let tree = MutableTree::from_checksum(
                &self.repo,
                &root.contents.to_string(),
                &root.metadata.to_string(),
            );
            let file = self.repo.write_mtree(&tree, Cancellable::NONE)?;
            let root = file
                .downcast::<RepoFile>()
                .map_err(|_| glib::Error::new(gio::IOErrorEnum::Failed, "not a repository's file"))?;
            let metadata = metadata_of(text);
            let commit = self.repo.write_commit_with_time(
                parent,
                Some(&text.subject),
                None,
                Some(&metadata),
                &root,
                text.time,
                Cancellable::NONE,
            )?;
            self.repo
                .set_ref_immediate(None, reference, Some(&commit), Cancellable::NONE)?;
            Ok(commit.into())
        };
        write().map_err(|source| failed("commit", reference, source))
    }

    /// Removes a reference; its objects stay until a prune.
    pub(super) fn remove(&self, reference: &str) -> Result<(), StoreError> {
        self.repo
            .set_ref_immediate(None, reference, None, Cancellable::NONE)
            .map_err(|source| failed("remove", reference, source))
    }

    /// All references that begin with `prefix` and a slash, with their commits, sorted.
    pub(super) fn list(&self, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
        let found = self
            .repo
            .list_refs_ext(
                Some(prefix),
                ostree::RepoListRefsExtFlags::NONE,
                Cancellable::NONE,
            )
            .map_err(|source| failed("list", prefix, source))?;
        let mut references: Vec<_> = found.into_iter().collect();
        references.sort();
        Ok(references)
    }

    /// Reads a commit.
    pub(super) fn load(&self, commit: &str) -> Result<Commit, StoreError> {
        let (value, _) = self
            .repo
            .load_commit(commit)
            .map_err(|source| failed("load", commit, source))?;
        parse(&value).ok_or_else(|| StoreError::Damaged {
            object: commit.to_owned(),
            reason: "the commit isn't one of Outcrop's".to_owned(),
        })
    }
}

fn failed(doing: &'static str, reference: &str, source: glib::Error) -> StoreError {
    StoreError::Commit {
        doing,
        reference: reference.to_owned(),
        source,
    }
}

fn metadata_of(text: &CommitText) -> Variant {
    let dictionary = VariantDict::new(None);
    dictionary.insert(HARD_LINKS, &text.hard_links);
    if let Some(record) = &text.record {
        dictionary.insert(RECORD, record);
    }
    if let Some(addresses) = &text.addresses {
        dictionary.insert(ADDRESSES, addresses.as_slice());
    }
    dictionary.end()
}

/// The commit object: `(a{sv}aya(say)sstayay)`: metadata, parent, related, subject, body, time, listing, folder
/// metadata. Source: libostree `OSTREE_COMMIT_GVARIANT_FORMAT`.
fn parse(commit: &Variant) -> Option<Commit> {
    let dictionary = VariantDict::new(Some(&commit.try_child_value(0)?));
    let parent = Checksum::from_variant(&commit.try_child_value(1)?);
    Some(Commit {
        text: CommitText {
            subject: commit.try_child_value(3)?.str()?.to_owned(),
            time: u64::from_be(commit.try_child_value(5)?.get::<u64>()?),
            hard_links: dictionary.lookup(HARD_LINKS).ok()??,
            record: dictionary.lookup(RECORD).ok()?,
            addresses: dictionary.lookup(ADDRESSES).ok()?,
        },
        root: Folder {
            contents: Checksum::from_variant(&commit.try_child_value(6)?)?,
            metadata: Checksum::from_variant(&commit.try_child_value(7)?)?,
        },
        parent: parent.map(|parent| parent.to_string()),
    })
}
