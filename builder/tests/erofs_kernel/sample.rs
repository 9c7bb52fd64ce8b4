//! Trees that go to the format's limits, and random ones.

use std::{collections::BTreeMap, path::Path};

use outcrop_builder::{
    erofs::{Options, Plan, Previous, Reader},
    progress::Silent,
    tree::{Entry, LinkGroup, Metadata, Node, Tree, TreePath},
};
use uuid::Uuid;

pub(crate) const TIME: u64 = 1_712_345_678;

/// A capability set as `setcap cap_net_raw=ep` stores it: revision 2, effective.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// A POSIX ACL: owner rw, user 1000 r, group r, mask r, other nothing.
const ACL: [u8; 44] = [
    2, 0, 0, 0, // version
    1, 0, 6, 0, 255, 255, 255, 255, // owner
    2, 0, 4, 0, 0xe8, 3, 0, 0, // user 1000
    4, 0, 4, 0, 255, 255, 255, 255, // group
    16, 0, 4, 0, 255, 255, 255, 255, // mask
    32, 0, 0, 0, 255, 255, 255, 255, // others
];

pub(crate) fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

pub(crate) fn options() -> Options {
    Options {
        uuid: Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        time: TIME,
        label: Some("outcrop-test".to_owned()),
    }
}

/// Writes the image of `tree` to `file`.
pub(crate) fn write_image(tree: &Tree, file: &Path) {
    let plan = Plan::new(tree, &options()).unwrap();
    let mut out = std::fs::File::create(file).unwrap();
    plan.write(&mut out, &Silent).unwrap();
}

/// Writes the image of `tree` to `file`, laid out after the image that is there.
pub(crate) fn write_image_after(tree: &Tree, file: &Path) {
    let old = std::fs::read(file).unwrap();
    let reader = Reader::open(&old[..]).unwrap();
    let previous = Previous::read(&reader).unwrap();
    let (plan, _) = Plan::after(tree, &options(), &previous, &Silent).unwrap();
    let mut out = std::fs::File::create(file).unwrap();
    plan.write(&mut out, &Silent).unwrap();
}

fn put(tree: &mut Tree, at: &str, mut entry: Entry, metadata: Metadata) {
    entry.metadata = metadata;
    tree.insert_all(path(at), entry).unwrap();
}

fn owned(mode: u16, uid: u32, gid: u32, xattrs: &[(&str, &[u8])]) -> Metadata {
    let xattrs = xattrs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.to_vec()));
    Metadata {
        mode,
        uid,
        gid,
        xattrs: xattrs.collect(),
    }
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8 ^ (at / 4096) as u8).collect()
}

/// One of everything.
pub(crate) fn limits() -> Tree {
    let mut tree = Tree::new();
    for size in [
        0,
        1,
        4031,
        4032,
        4033,
        4063,
        4064,
        4065,
        4095,
        4096,
        4097,
        8192,
        70_001,
        5 << 20,
    ] {
        let file = format!("sizes/{size}");
        put(
            &mut tree,
            &file,
            Entry::file(0, bytes(size)),
            owned(0o644, 0, 0, &[]),
        );
    }
    add_owners(&mut tree);
    add_attributes(&mut tree);
    add_links(&mut tree);
    add_names(&mut tree);
    tree
}

fn add_owners(tree: &mut Tree) {
    for (mode, uid, gid) in [
        (0o4755, 0, 0),
        (0o2755, 0, 101),
        (0o6711, 65_535, 65_535),
        (0o000, 65_536, 1),
        (0o600, u32::MAX - 1, 4),
        (0o1777, 7, u32::MAX - 1),
    ] {
        let name = format!("owners/{mode:o}-{uid}-{gid}");
        put(
            tree,
            &name,
            Entry::file(0, name.as_str()),
            owned(mode, uid, gid, &[]),
        );
        put(
            tree,
            &format!("{name}.d"),
            Entry::directory(0),
            owned(mode, uid, gid, &[]),
        );
    }
}

fn add_attributes(tree: &mut Tree) {
    let long = bytes(5000);
    let all: [(&str, &[u8]); 4] = [
        ("security.capability", &CAPABILITY),
        ("system.posix_acl_access", &ACL),
        ("trusted.a", b"\0\xff"),
        ("user.empty", b""),
    ];
    put(
        tree,
        "xattrs/ping",
        Entry::file(0, "x"),
        owned(0o755, 0, 0, &all[..1]),
    );
    put(
        tree,
        "xattrs/all",
        Entry::file(0, bytes(9000)),
        owned(0o640, 70_000, 0, &all),
    );
    put(
        tree,
        "xattrs/big",
        Entry::file(0, "inline no more"),
        owned(0o600, 0, 0, &[("user.big", &long)]),
    );
    let near = bytes(4000); // the tail fits behind these only in an empty block
    put(
        tree,
        "xattrs/near",
        Entry::file(0, "tail"),
        owned(0o600, 0, 0, &[("user.near", &near)]),
    );
    put(
        tree,
        "xattrs/link",
        Entry::symlink("ping"),
        owned(0o777, 0, 0, &[("trusted.b", b"link")]),
    );
    let folder = [
        ("trusted.overlay.opaque", &b"y"[..]),
        ("system.posix_acl_default", &ACL),
    ];
    put(
        tree,
        "xattrs/folder",
        Entry::directory(0),
        owned(0o755, 0, 0, &folder),
    );
}

fn add_links(tree: &mut Tree) {
    for (size, names) in [
        (10, ["links/a", "sizes/a", "z"]),
        (10_000, ["links/b", "names/b", "y"]),
    ] {
        for name in names {
            let node = Node::File(bytes(size).into(), Some(LinkGroup(size as u32)));
            let entry = Entry {
                metadata: Metadata::root(0o644),
                node,
            };
            tree.insert_all(path(name), entry).unwrap();
        }
    }
    for bytes in [1, 59, 4063, 4064, 4065, 4095] {
        let name = format!("links/to-{bytes}");
        tree.insert_all(path(&name), Entry::symlink(&"t".repeat(bytes)))
            .unwrap();
    }
}

fn add_names(tree: &mut Tree) {
    for name in [
        "!",
        "-",
        ".-",
        "..-",
        "...",
        ".x",
        "A",
        "a",
        "é",
        "\u{1f980}",
        "a b\t\\",
        "~",
    ] {
        put(
            tree,
            &format!("names/{name}"),
            Entry::symlink("x"),
            owned(0o777, 0, 0, &[]),
        );
    }
    for last in ["1", "2"] {
        let name = format!("names/{}{last}", "n".repeat(254));
        put(tree, &name, Entry::directory(0), owned(0o755, 0, 0, &[]));
    }
    for number in 0..3000 {
        let name = format!("names/many/file-with-a-name-{number:05}");
        put(tree, &name, Entry::file(0, ""), owned(0o644, 0, 0, &[]));
    }
    let deep = vec!["deep"; 60].join("/");
    put(tree, &deep, Entry::file(0, "bottom"), owned(0o644, 0, 0, &[]));
}

/// A small generator, so that a seed always gives the same tree (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

/// A tree of some hundred entries with sizes, names and attributes of all lengths.
pub(crate) fn random(seed: u64) -> Tree {
    let mut random = Random(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut tree = Tree::new();
    let mut folders = vec![String::new()];
    for number in 0..400 {
        let folder = folders[random.below(folders.len())].clone();
        let longest = [12, 12, 12, 12, 240][random.below(5)];
        let length = 1 + random.below(longest);
        let name = format!(
            "{folder}{}{number}",
            "!-.~aZ".repeat(length)[..length].trim_start_matches('.')
        );
        let Ok(at) = name.parse::<TreePath>() else {
            continue;
        };
        let mut entry = match random.below(8) {
            0 => Entry::symlink(&"s".repeat(1 + random.below(4095))),
            1 => Entry::directory(0o755),
            _ => {
                let longest = [64, 4200, 20_000][random.below(3)];
                Entry::file(0o644, bytes(random.below(longest)))
            }
        };
        entry.metadata.uid = [0, 0, 1000, 100_000][random.below(4)];
        entry.metadata.xattrs = attributes(&mut random);
        if entry.is_directory() {
            folders.push(format!("{name}/"));
        }
        tree.insert(at, entry).unwrap();
    }
    tree
}

fn attributes(random: &mut Random) -> BTreeMap<String, Vec<u8>> {
    if random.below(5) > 0 {
        return BTreeMap::new();
    }
    (0..random.below(4))
        .map(|number| {
            let limit = [8, 300, 4200][random.below(3)];
            (format!("trusted.{number}"), bytes(random.below(limit)))
        })
        .collect()
}
