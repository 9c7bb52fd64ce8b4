//! Hard links across packages: each package numbers its own.

use std::collections::HashMap;

use crate::tree::{LinkGroup, Node, Tree, TreePath};

/// Gives each package's groups numbers of the image.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    known: HashMap<(usize, LinkGroup), LinkGroup>,
}

impl Numbers {
    pub(super) fn renumber(&mut self, package: usize, node: Node) -> Node {
        match node {
            Node::File(content, Some(group)) => {
                let next = LinkGroup(u32::try_from(self.known.len()).unwrap_or(u32::MAX));
                let number = *self.known.entry((package, group)).or_insert(next);
                Node::File(content, Some(number))
            }
            other => other,
        }
    }
}

/// A file whose other names lost a conflict is an ordinary file.
pub(super) fn dissolve_single(tree: &mut Tree) {
    let mut names: HashMap<LinkGroup, Vec<TreePath>> = HashMap::new();
    for (path, entry) in tree.iter() {
        if let Node::File(_, Some(group)) = entry.node {
            names.entry(group).or_default().push(path.clone());
        }
    }
    let single = names.into_values().filter(|paths| paths.len() == 1).flatten();
    for path in single {
        let Some(mut entry) = tree.get(path.as_str()).cloned() else {
            continue;
        };
        if let Node::File(_, group) = &mut entry.node {
            *group = None;
        }
        let _ = tree.insert(path, entry); // a file in a file's place
    }
}
