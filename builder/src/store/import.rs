//! Packages into the store, several at once.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::Seek as _,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use outcrop_release::digest::FileDigest;

use super::{
    StoreError, TreeStore,
    commits::Commits,
    lock,
    objects::ObjectWriter,
    package::{self, PackageTree},
};
use crate::{
    deb::{self, DataEntry, DataReader, Deb, DebError, Limits},
    progress::{Phase, Progress, Unit},
    tree::{Content, Entry, LinkGroup, Node, Tree, TreePath},
};

/// A fetched package.
#[derive(Debug, Clone, Copy)]
pub struct PackageFile<'a> {
    /// What the lock says its SHA-256 is.
    pub digest: FileDigest,
    /// The .deb.
    pub path: &'a Path,
    /// Name and version, for errors.
    pub name: &'a str,
    /// Length in bytes, as locked: the largest are imported first.
    pub size: u64,
}

impl TreeStore {
    /// Gives every package, in the order of `packages`; those that the store lacks are imported first.
    ///
    /// As many packages as there are processors are decompressed, hashed and written at the same time. An imported
    /// package stays, whatever happens to the others.
    ///
    /// # Errors
    /// When a file isn't the locked one, a package is malformed, or the store can't be written.
    pub fn import(
        &self,
        packages: &[PackageFile<'_>],
        progress: &dyn Progress,
    ) -> Result<Vec<Arc<PackageTree>>, StoreError> {
        let mut known = HashSet::new();
        let wanted: Vec<PackageFile<'_>> = packages
            .iter()
            .filter(|file| known.insert(file.digest)) // a package may be locked for two roles
            .copied()
            .collect();
        let look = |file: &PackageFile<'_>, worker: &mut Worker<'_>| worker.load(file);
        let found = self.on_all_processors(&wanted, progress, look)?;
        let missing = wanted.iter().zip(&found).filter(|(_, found)| found.is_none());
        let missing: Vec<PackageFile<'_>> = missing.map(|(file, _)| *file).collect();
        let mut trees: HashMap<FileDigest, Arc<PackageTree>> = found
            .into_iter()
            .flatten()
            .map(|package| (package.digest, package))
            .collect();
        if !missing.is_empty() {
            self.begin_writing()?;
            let imported = self.import_missing(missing, progress)?;
            trees.extend(imported.into_iter().map(|package| (package.digest, package)));
        }
        Ok(packages
            .iter()
            .filter_map(|file| trees.get(&file.digest).map(Arc::clone))
            .collect())
    }

    /// Imports all of `packages`.
    fn import_missing(
        &self,
        mut packages: Vec<PackageFile<'_>>,
        progress: &dyn Progress,
    ) -> Result<Vec<Arc<PackageTree>>, StoreError> {
        // the longest work first, so that no processor is left with it at the end
        packages.sort_by_key(|file| std::cmp::Reverse(file.size));
        let bytes = packages.iter().map(|file| file.size).sum();
        let phase = progress.phase("import packages", Some(bytes), Unit::Bytes);
        let work = |file: &PackageFile<'_>, worker: &mut Worker<'_>| {
            let package = worker.import(file, phase.as_ref())?;
            phase.advance(file.size);
            Ok(package)
        };
        self.on_all_processors(&packages, progress, work)
    }

    /// Calls `work` for every file; results are in the order of `files`. The first failure ends the others soon.
    fn on_all_processors<T: Send>(
        &self,
        files: &[PackageFile<'_>],
        progress: &dyn Progress,
        work: impl Fn(&PackageFile<'_>, &mut Worker<'_>) -> Result<T, StoreError> + Sync,
    ) -> Result<Vec<T>, StoreError> {
        let next = AtomicUsize::new(0);
        let results = Mutex::new((HashMap::new(), None));
        let run = || -> Result<(), StoreError> {
            let mut worker = Worker::new(self)?;
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(file) = files.get(index) else {
                    return Ok(());
                };
                progress.checkpoint()?;
                let result = work(file, &mut worker)?;
                lock(&results).0.insert(index, result);
            }
        };
        let threads = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(files.len());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    if let Err(error) = run() {
                        next.store(files.len(), Ordering::Relaxed);
                        lock(&results).1.get_or_insert(error);
                    }
                });
            }
        });
        let (mut done, failure) = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(error) => Err(error),
            None => Ok((0..files.len()).filter_map(|index| done.remove(&index)).collect()),
        }
    }
}

/// What one thread needs.
struct Worker<'a> {
    store: &'a TreeStore,
    commits: Commits,
    writer: ObjectWriter<'a>,
}

impl<'a> Worker<'a> {
    fn new(store: &'a TreeStore) -> Result<Self, StoreError> {
        Ok(Self {
            store,
            commits: store.commits()?,
            writer: store.objects.writer(),
        })
    }

    fn load(&self, file: &PackageFile<'_>) -> Result<Option<Arc<PackageTree>>, StoreError> {
        package::load(&self.commits, &self.store.objects, &file.digest)
    }

    fn import(&mut self, file: &PackageFile<'_>, phase: &dyn Phase) -> Result<Arc<PackageTree>, StoreError> {
        let malformed = |source| StoreError::Package {
            package: file.name.to_owned(),
            source: Box::new(source),
        };
        let reader = open_checked(file)?;
        let mut deb = Deb::new(file.name, reader, Limits::default()).map_err(malformed)?;
        let control = deb.control().map_err(malformed)?;
        let mut files = FileTree::new(file.name);
        let mut data = deb.data().map_err(malformed)?;
        while files.add_next(&mut data, &mut self.writer)? {
            phase.checkpoint()?;
        }
        let package = PackageTree {
            digest: file.digest,
            control,
            files: files.tree,
        };
        package::save(&self.commits, &self.store.objects, &package)?;
        Ok(Arc::new(package))
    }
}

/// Opens the file, after its digest was compared: what a reference names is what the lock means.
fn open_checked(file: &PackageFile<'_>) -> Result<File, StoreError> {
    let fail = |source| StoreError::PackageFile {
        package: file.name.to_owned(),
        path: file.path.to_owned(),
        source,
    };
    let mut reader = File::open(file.path).map_err(fail)?;
    let found = FileDigest::of_reader(&mut reader).map_err(fail)?;
    if found != file.digest {
        return Err(StoreError::Digest {
            package: file.name.to_owned(),
            path: file.path.to_owned(),
            locked: file.digest,
            found,
        });
    }
    reader.rewind().map_err(fail)?;
    Ok(reader)
}

/// A package's files as they come.
struct FileTree<'a> {
    package: &'a str,
    tree: Tree,
    groups: u32,
}

impl<'a> FileTree<'a> {
    fn new(package: &'a str) -> Self {
        Self {
            package,
            tree: Tree::new(),
            groups: 0,
        }
    }

    /// Takes the next entry; false at the end.
    fn add_next(
        &mut self,
        data: &mut DataReader<'_>,
        writer: &mut ObjectWriter<'_>,
    ) -> Result<bool, StoreError> {
        let Some(mut entry) = data.next_entry().map_err(|error| self.malformed(error))? else {
            return Ok(false);
        };
        let path = entry.path().clone();
        let metadata = entry.metadata().clone();
        let entry = match entry.node().clone() {
            deb::Node::Directory => Entry {
                metadata,
                node: Node::Directory,
            },
            deb::Node::Symlink(target) => Entry {
                metadata,
                node: Node::Symlink(target),
            },
            deb::Node::File { .. } => Entry {
                metadata,
                node: self.store_file(&path, &mut entry, writer)?,
            },
            deb::Node::HardLink(target) => self.hard_link(&path, &target)?,
        };
        self.put(path, entry)?;
        Ok(true)
    }

    fn store_file(
        &self,
        path: &TreePath,
        entry: &mut DataEntry<'_, '_>,
        writer: &mut ObjectWriter<'_>,
    ) -> Result<Node, StoreError> {
        let metadata = entry.metadata().clone();
        let object = writer
            .regular(path, &metadata, entry)
            .map_err(|error| match error {
                // an error of the package reader travels through `Read`
                StoreError::Content { path, source } => match DebError::from_io(source) {
                    Ok(inner) => self.malformed(inner),
                    Err(source) => StoreError::Content { path, source },
                },
                other => other,
            })?;
        Ok(Node::File(Content::Stored(Arc::new(object)), None))
    }

    /// Makes `target` and the new name one group. One inode has one owner and mode: those of `target`.
    fn hard_link(&mut self, path: &TreePath, target: &TreePath) -> Result<Entry, StoreError> {
        let mut entry = match self.tree.get(target.as_str()) {
            Some(entry) => entry.clone(),
            None => return Err(self.contradiction(path, "links to a file that isn't there")),
        };
        let Node::File(_, group) = &mut entry.node else {
            return Err(self.contradiction(path, "links to what is no file"));
        };
        if group.is_none() {
            *group = Some(LinkGroup(self.groups));
            self.groups += 1;
        }
        self.put(target.clone(), entry.clone())?;
        Ok(entry)
    }

    fn put(&mut self, path: TreePath, entry: Entry) -> Result<(), StoreError> {
        let failed = path.clone();
        self.tree
            .insert_all(path, entry)
            .map_err(|_| self.contradiction(&failed, "is there as a folder and as something else"))
    }

    fn contradiction(&self, path: &TreePath, reason: &'static str) -> StoreError {
        StoreError::Entry {
            package: self.package.to_owned(),
            path: path.clone(),
            reason,
        }
    }

    fn malformed(&self, source: DebError) -> StoreError {
        StoreError::Package {
            package: self.package.to_owned(),
            source: Box::new(source),
        }
    }
}
