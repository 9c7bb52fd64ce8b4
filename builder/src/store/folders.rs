//! Trees as OSTree's folder objects, and back.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    StoreError,
    checksum::Checksum,
    objects::{FileObject, ObjectWriter, Objects},
    variant::{Folder, Listing},
};
use crate::tree::{Content, Entry, LinkGroup, Metadata, Node, Tree, TreePath};

/// Stores `tree` with everything in it. Files whose object the store has already are not read.
pub(super) fn write_tree(
    objects: &Objects,
    writer: &mut ObjectWriter<'_>,
    tree: &Tree,
) -> Result<Folder, StoreError> {
    let mut open: HashMap<TreePath, Listing> = HashMap::new();
    let entries: Vec<_> = tree.iter().collect();
    // what lies in a folder has a greater path: backwards, a folder comes when its listing is complete
    for (path, entry) in entries.into_iter().rev() {
        let Entry { metadata, node } = entry;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            let mut listing = open.remove(path).unwrap_or_default();
            return writer.folder(metadata, &mut listing);
        };
        match node {
            Node::Directory => {
                let folder = writer.folder(metadata, &mut open.remove(path).unwrap_or_default())?;
                open.entry(parent)
                    .or_default()
                    .folders
                    .push((name.to_owned(), folder));
            }
            Node::File(content, _) => {
                let object = store_content(objects, writer, path, metadata, content)?;
                open.entry(parent)
                    .or_default()
                    .files
                    .push((name.to_owned(), object));
            }
            Node::Symlink(target) => {
                let object = writer.symlink(metadata, target)?;
                open.entry(parent)
                    .or_default()
                    .files
                    .push((name.to_owned(), object));
            }
        }
    }
    writer.folder(&Metadata::root(0o755), &mut Listing::default()) // a tree has a root: not reached
}

fn store_content(
    objects: &Objects,
    writer: &mut ObjectWriter<'_>,
    path: &TreePath,
    metadata: &Metadata,
    content: &Content,
) -> Result<Checksum, StoreError> {
    if let Content::Stored(object) = content
        && let Some(checksum) = objects.holds(object, metadata)
    {
        return Ok(checksum);
    }
    let mut reader = content.open().map_err(|source| StoreError::Content {
        path: path.clone(),
        source,
    })?;
    let object = writer.regular(path, metadata, &mut reader)?;
    checksum_of(&object.checksum)
}

fn checksum_of(text: &str) -> Result<Checksum, StoreError> {
    Checksum::parse(text).ok_or_else(|| StoreError::Damaged {
        object: text.to_owned(),
        reason: "it is no checksum".to_owned(),
    })
}

/// Reads a tree back, without the contents of its files.
pub(super) fn read_tree(objects: &Objects, root: Folder) -> Result<Tree, StoreError> {
    let mut tree = Tree::new();
    let mut known = HashMap::new(); // few folders differ in metadata
    let mut pending = vec![(TreePath::root(), root)];
    while let Some((path, folder)) = pending.pop() {
        let metadata = match known.get(&folder.metadata) {
            Some(metadata) => Metadata::clone(metadata),
            None => {
                let metadata = objects.folder_metadata(&folder.metadata)?;
                known.insert(folder.metadata, metadata.clone());
                metadata
            }
        };
        let entry = Entry {
            metadata,
            node: Node::Directory,
        };
        insert(&mut tree, path.clone(), entry, &folder.contents)?;
        let listing = objects.listing(&folder.contents)?;
        for (name, file) in listing.files {
            let path = child(&path, &name, &folder.contents)?;
            insert(&mut tree, path, file_entry(objects, &file)?, &folder.contents)?;
        }
        for (name, below) in listing.folders {
            pending.push((child(&path, &name, &folder.contents)?, below));
        }
    }
    Ok(tree)
}

fn file_entry(objects: &Objects, checksum: &Checksum) -> Result<Entry, StoreError> {
    Ok(match objects.file(checksum)? {
        FileObject::Regular(object) => Entry {
            metadata: object.metadata.clone(),
            node: Node::File(Content::Stored(Arc::new(object)), None),
        },
        FileObject::Symlink(metadata, target) => Entry {
            metadata,
            node: Node::Symlink(target),
        },
    })
}

fn child(folder: &TreePath, name: &str, listing: &Checksum) -> Result<TreePath, StoreError> {
    let path = (!name.contains('/')).then(|| folder.join(name));
    match path {
        Some(Ok(path)) if !path.is_root() => Ok(path),
        _ => Err(damaged(listing, format!("it names an entry {name:?}"))),
    }
}

fn insert(tree: &mut Tree, path: TreePath, entry: Entry, listing: &Checksum) -> Result<(), StoreError> {
    tree.insert(path, entry)
        .map_err(|error| damaged(listing, error.to_string()))
}

fn damaged(listing: &Checksum, reason: String) -> StoreError {
    StoreError::Damaged {
        object: listing.to_string(),
        reason,
    }
}

/// The hard-linked files: the paths of each, in their order. OSTree has no hard links, so commits carry this list.
pub(super) fn hard_links(tree: &Tree) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<LinkGroup, Vec<String>> = BTreeMap::new();
    for (path, entry) in tree.iter() {
        if let Node::File(_, Some(group)) = entry.node {
            groups.entry(group).or_default().push(path.as_str().to_owned());
        }
    }
    let mut groups: Vec<_> = groups.into_values().filter(|paths| paths.len() > 1).collect();
    groups.sort(); // group numbers say nothing
    groups
}

/// Puts the list of [`hard_links`] back into a tree that was read.
pub(super) fn link(tree: &mut Tree, groups: &[Vec<String>], reference: &str) -> Result<(), StoreError> {
    for (number, paths) in (0_u32..).zip(groups) {
        for path in paths {
            link_one(tree, path, LinkGroup(number)).ok_or_else(|| StoreError::Damaged {
                object: reference.to_owned(),
                reason: format!("its list of hard links names {path:?}"),
            })?;
        }
    }
    Ok(())
}

fn link_one(tree: &mut Tree, path: &str, group: LinkGroup) -> Option<()> {
    let mut entry = tree.get(path)?.clone();
    let Node::File(_, linked) = &mut entry.node else {
        return None;
    };
    *linked = Some(group);
    tree.insert(path.parse().ok()?, entry).ok()
}
