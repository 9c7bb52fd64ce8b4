//! Images laid out after older ones.

use std::collections::BTreeSet;

use super::*;
use crate::erofs::{Extent, LayoutReport, Previous, PreviousError};

/// A release in a test: its tree, its image.
#[derive(Clone)]
struct Release {
    tree: Tree,
    image: Vec<u8>,
}

impl Release {
    fn first(tree: Tree) -> Self {
        let image = image(&tree);
        Self { tree, image }
    }

    fn next(&self, tree: Tree) -> (Self, LayoutReport) {
        let reader = Reader::open(&self.image[..]).unwrap();
        let previous = Previous::read(&reader).unwrap();
        let (image, report) = image_after(&tree, &previous);
        (Self { tree, image }, report)
    }

    fn place(&self, at: &str) -> (u64, Option<Extent>) {
        let found = Reader::open(&self.image[..]).unwrap().find(&path(at)).unwrap();
        let entry = found.unwrap();
        (entry.inode, entry.blocks)
    }

    /// Of the files in blocks that are the same in both, and have the same name: all, and those at another place.
    fn unchanged_and_moved(&self, newer: &Self) -> (usize, usize) {
        let (old, new) = (entries(&self.image), entries(&newer.image));
        let same = |(at, entry): &(&TreePath, &Entry)| {
            let bytes = |tree: &Tree| match &tree.get(at.as_str())?.node {
                tree::Node::File(content, _) => content.read().ok(),
                _ => None,
            };
            let before = old.get(*at).and_then(|entry| entry.blocks);
            before.is_some() && entry.blocks.is_some() && bytes(&self.tree) == bytes(&newer.tree)
        };
        let same: Vec<_> = new
            .iter()
            .filter(same)
            .filter(|(_, entry)| is_file(entry))
            .collect();
        let moved = same.iter().filter(|(at, entry)| old[*at].blocks != entry.blocks);
        (same.len(), moved.count())
    }
}

fn is_file(entry: &Entry) -> bool {
    matches!(entry.node, Node::File { .. })
}

fn image_after(tree: &Tree, previous: &Previous<'_>) -> (Vec<u8>, LayoutReport) {
    let (plan, report) = Plan::after(tree, &options(), previous, &Silent).unwrap();
    let mut image = Vec::new();
    plan.write(&mut image, &Silent).unwrap();
    assert_eq!(image.len() as u64, plan.size_bytes());
    assert_bounded(&report, plan.blocks());
    (image, report)
}

fn assert_bounded(report: &LayoutReport, blocks: u32) {
    assert_eq!(report.blocks, blocks);
    assert!(
        report.free_blocks <= LayoutReport::most_free(blocks),
        "{report:?}"
    );
    let most = report.fresh_blocks + LayoutReport::most_free(report.fresh_blocks);
    assert!(blocks <= most, "{report:?}");
}

/// Bytes that no other `seed` gives.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

fn put(tree: &mut Tree, at: &str, content: impl Into<Content>) {
    tree.insert_all(path(at), tree::Entry::file(0o644, content))
        .unwrap();
}

/// A tree like a release's: some hundred files from nothing to twenty blocks.
fn sample() -> Tree {
    let mut tree = Tree::new();
    for number in 0..400_u64 {
        let length = usize::try_from(number * number % 79_003).unwrap();
        let folder = number % 13;
        put(
            &mut tree,
            &format!("usr/{folder}/{number}"),
            bytes(number, length),
        );
    }
    tree
}

/// What of `old` isn't in `removed`, and all of `added` that can be put there.
fn mixed(old: &Tree, removed: &[u8], added: &Tree) -> Tree {
    let mut tree = old.clone();
    for ((at, entry), dice) in old.iter().zip(removed.iter().cycle()) {
        if *dice < 80 && !entry.is_directory() {
            tree.remove(at);
        }
    }
    for (at, entry) in added.iter() {
        let mut entry = entry.clone();
        if let tree::Node::File(_, Some(group)) = &mut entry.node {
            group.0 += 1000; // none of the older ones
        }
        let _ = tree.insert_all(at.clone(), entry);
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn any_tree_after_any_other_reads_back_as_it_was_and_twice_the_same(
        old in any_tree(),
        added in any_tree(),
        removed in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let first = Release::first(old.clone());
        let new = mixed(&old, &removed, &added);
        let (second, report) = first.next(new.clone());
        assert_same(&new, &second.image);
        assert!(first.next(new).0.image == second.image);
        if report.moved_blocks == 0 {
            assert_eq!(first.unchanged_and_moved(&second).1, 0);
        }
        let nothing = Release::first(Tree::new()).next(old.clone()).0;
        assert_same(&old, &nothing.image);
    }

    #[test]
    fn the_layout_of_a_damaged_image_never_panics_and_never_harms_the_next(
        old in any_tree(),
        damage in proptest::collection::vec((0_usize..40_000, any::<u8>()), 1..20),
    ) {
        let mut image = image(&old);
        image[1032] = 0; // no checksum
        for (at, byte) in damage {
            let length = image.len();
            image[4096 + at % (length - 4096)] = byte;
        }
        let reader = Reader::open(&image[..]).unwrap();
        if let Ok(previous) = Previous::read(&reader) {
            assert_same(&old, &image_after(&old, &previous).0);
        }
    }
}

#[test]
fn the_same_tree_after_itself_gives_the_same_bytes() {
    let first = Release::first(sample());
    let (second, report) = first.next(sample());
    assert!(first.image == second.image);
    assert_eq!((report.moved_blocks, report.fresh), (0, false));
    assert_eq!(report.kept_inodes, report.inodes);
}

#[test]
fn unchanged_files_keep_their_blocks_and_numbers_when_others_come_go_and_change() {
    // Given a release, and one in which a file of each kind comes, goes, grows, shrinks
    let first = Release::first(sample());
    let mut tree = sample();
    tree.remove(&path("usr/5/200"));
    put(&mut tree, "usr/5/199b", bytes(9000, 30_000));
    put(&mut tree, "usr/7/7", bytes(9001, 900)); // was 49 bytes
    put(&mut tree, "usr/0/390", bytes(9002, 12_000)); // was 19 blocks
    put(&mut tree, "usr/1/391", bytes(9003, 100_000)); // was 19 blocks
    // When it is laid out after the first
    let (second, report) = first.next(tree.clone());
    // Then it reads back, and all others lie where they were
    assert_same(&tree, &second.image);
    let (unchanged, moved) = first.unchanged_and_moved(&second);
    assert!(unchanged > 300 && moved == 0, "{unchanged} {moved}");
    assert_eq!((report.moved_blocks, report.fresh), (0, false), "{report:?}");
    assert!(report.inodes - report.kept_inodes <= 4, "{report:?}");
    for same in ["usr/6/6", "usr/12/12", "usr/1/1"] {
        assert_eq!(first.place(same), second.place(same), "{same}");
    }
    // And the file that shrank still begins where it began
    let (old, new) = (
        first.place("usr/0/390").1.unwrap(),
        second.place("usr/0/390").1.unwrap(),
    );
    assert_eq!(old.offset, new.offset);
    // And the blocks that differ are few
    let fresh = first
        .image
        .chunks(BLOCK_BYTES)
        .zip(second.image.chunks(BLOCK_BYTES));
    let differ = fresh.filter(|(old, new)| old != new).count();
    assert!(differ < 60, "{differ}");
}

#[test]
fn freed_space_is_used_before_the_image_grows() {
    let first = Release::first(sample());
    let mut tree = sample();
    tree.remove(&path("usr/0/390"));
    put(&mut tree, "usr/0/other", bytes(9002, 70_000));
    let (second, report) = first.next(tree);
    assert!(second.image.len() <= first.image.len());
    let (old, new) = (
        first.place("usr/0/390").1.unwrap(),
        second.place("usr/0/other").1.unwrap(),
    );
    assert_eq!(old.offset, new.offset, "{report:?}");
}

#[test]
fn the_modules_of_a_new_kernel_lie_where_those_of_the_old_one_lay() {
    let tree = |version: &str, changed: u64| {
        let mut tree = sample();
        for number in 0..200_u64 {
            let seed = if number == changed { 7777 } else { 5000 + number };
            let module = format!("usr/lib/modules/{version}/kernel/drivers/{number}.ko");
            put(
                &mut tree,
                &module,
                bytes(seed, 5000 + 37 * usize::try_from(number).unwrap()),
            );
        }
        tree
    };
    let first = Release::first(tree("6.12.48+deb13-amd64", 1000));
    let (second, report) = first.next(tree("6.12.57+deb13-amd64", 3));
    let at = |release: &Release, version: &str, number: u64| {
        release.place(&format!("usr/lib/modules/{version}/kernel/drivers/{number}.ko"))
    };
    for number in 0..200 {
        let (old, new) = (
            at(&first, "6.12.48+deb13-amd64", number),
            at(&second, "6.12.57+deb13-amd64", number),
        );
        assert_eq!(old, new, "module {number}");
    }
    assert_eq!(
        (report.moved_blocks, report.kept_inodes),
        (0, report.inodes),
        "{report:?}"
    );
}

#[test]
fn a_content_that_got_another_name_keeps_its_blocks() {
    let first = Release::first(sample());
    let mut tree = sample();
    tree.remove(&path("usr/0/390"));
    put(&mut tree, "opt/renamed", bytes(390, 390 * 390 % 79_003));
    let (second, report) = first.next(tree);
    assert_eq!(
        first.place("usr/0/390").1,
        second.place("opt/renamed").1,
        "{report:?}"
    );
    assert_eq!(report.moved_blocks, 0);
}

#[test]
fn twenty_random_releases_one_after_the_other_stay_within_the_bounds() {
    // Given a product whose releases each replace, add and remove a few files
    let mut random = bytes(42, 100_000).into_iter();
    let mut dice = move || u64::from(random.next().unwrap()) << 8 | u64::from(random.next().unwrap());
    let mut release = Release::first(sample());
    let first_blocks = release.image.len() / BLOCK_BYTES;
    for number in 0..20_u64 {
        let mut tree = release.tree.clone();
        for change in 0..25 {
            let at = format!("usr/{}/{}", dice() % 13, dice() % 400);
            let seed = 10_000 + number * 100 + change;
            match dice() % 5 {
                0 => drop(tree.remove(&path(&at))),
                1 | 2 => put(&mut tree, &at, bytes(seed, usize::try_from(dice()).unwrap())),
                _ => put(
                    &mut tree,
                    &at,
                    bytes(seed, usize::try_from(dice() % 4000).unwrap()),
                ),
            }
        }
        // When each is laid out after the one before
        let (next, report) = release.next(tree);
        // Then it is within the bounds (checked there), reads back, and most stays in place
        assert_same(&next.tree, &next.image);
        let (unchanged, moved) = release.unchanged_and_moved(&next);
        assert!(
            !report.fresh && moved * 10 <= unchanged,
            "release {number}: {moved} of {unchanged}: {report:?}"
        );
        release = next;
    }
    let fresh = image(&release.tree).len() / BLOCK_BYTES;
    let grown = release.image.len() / BLOCK_BYTES;
    assert!(
        grown * 100 <= fresh * 105 && fresh > first_blocks,
        "{grown} {fresh}"
    );
}

#[test]
fn a_release_that_shrank_by_a_third_is_compacted_until_the_bound_holds() {
    let first = Release::first(sample());
    let mut tree = sample();
    for number in (0..400_u64).step_by(3) {
        tree.remove(&path(&format!("usr/{}/{number}", number % 13)));
    }
    let (second, report) = first.next(tree.clone());
    assert_same(&tree, &second.image);
    assert!(
        !report.fresh && report.kept_blocks > report.moved_blocks,
        "{report:?}"
    );
}

#[test]
fn what_a_root_folder_grows_by_never_takes_it_out_of_reach() {
    let first = Release::first(sample());
    let mut tree = sample();
    for number in 0..300 {
        tree.insert(
            path(&format!("a-name-in-the-root-{number}")),
            tree::Entry::symlink("x"),
        )
        .unwrap();
    }
    let (second, _) = first.next(tree.clone());
    assert_same(&tree, &second.image);
}

#[test]
fn a_tree_with_its_addresses_has_the_layout_of_its_image() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = sample();
    for name in ["usr/links/a", "usr/links/b"] {
        let mut entry = tree::Entry::file(0o644, stored(folder.path(), "linked", &[5; 9000]));
        entry.node = tree::Node::File(stored(folder.path(), "linked", &[5; 9000]), Some(LinkGroup(3)));
        old.insert_all(path(name), entry).unwrap();
    }
    let other = stored(folder.path(), "linked", &[5; 9000]);
    put(&mut old, "usr/copy", other); // the same blocks, another inode
    old.insert(path("long"), tree::Entry::symlink(&"t".repeat(4090)))
        .unwrap();
    // Given a second release, whose layout isn't a fresh one
    let (second, _) = Release::first(sample()).next(old.clone());
    let first_image = image(&sample());
    let reader = Reader::open(&first_image[..]).unwrap();
    let before = Previous::read(&reader).unwrap();
    let (plan, _) = Plan::after(&old, &options(), &before, &Silent).unwrap();
    // When its layout is read from the image, and taken from tree and addresses
    let reader = Reader::open(&second.image[..]).unwrap();
    let read = Previous::read(&reader).unwrap();
    let kept = Previous::stored(&old, &plan.addresses()).unwrap();
    // Then both are the same, and so is what is laid out after them
    assert_eq!(format!("{read:?}"), format!("{kept:?}"));
    let mut new = old.clone();
    put(&mut new, "usr/3/3", bytes(1, 50_000));
    new.remove(&path("usr/links/a"));
    assert!(image_after(&new, &read).0 == image_after(&new, &kept).0);
}

#[test]
fn addresses_of_another_tree_or_outside_the_image_are_refused() {
    let plan = Plan::new(&sample(), &options()).unwrap();
    let good = plan.addresses();
    let mut other = sample();
    other.remove(&path("usr/0/390"));
    let mut far = good.clone();
    far[4..12].fill(0xff);
    for (tree, addresses) in [
        (&other, &good[..]),
        (&sample(), &good[..good.len() - 1]),
        (&sample(), &[]),
        (&sample(), &far),
    ] {
        let error = Previous::stored(tree, addresses).unwrap_err();
        assert!(matches!(error, PreviousError::Addresses), "{error:?}");
    }
}

#[test]
fn an_image_that_is_malformed_has_no_layout() {
    let mut image = image(&sample());
    image[4096] = 0xff; // the root's inode
    let reader = Reader::open(&image[..]).unwrap();
    let error = Previous::read(&reader).unwrap_err();
    assert!(
        matches!(error, PreviousError::Read(ReadError::Malformed { .. })),
        "{error:?}"
    );
}

#[test]
fn an_older_image_that_can_t_be_read_is_named_with_the_file() {
    struct Failing(Vec<u8>, u64);
    impl crate::read_at::ReadAt for Failing {
        fn len(&self) -> u64 {
            crate::read_at::ReadAt::len(&self.0)
        }
        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            if offset >= self.1 {
                return Err(io::Error::other("worn out"));
            }
            self.0.read_exact_at(buffer, offset)
        }
    }
    let release = Release::first(sample());
    let entries = entries(&release.image);
    let blocks: BTreeSet<u64> = entries
        .values()
        .filter_map(|entry| Some(entry.blocks?.offset))
        .collect();
    let reader = Reader::open(Failing(release.image, *blocks.last().unwrap())).unwrap();
    let previous = Previous::read(&reader).unwrap();
    let error = Plan::after(&sample(), &options(), &previous, &Silent).unwrap_err();
    assert!(matches!(error, ErofsError::Previous { .. }), "{error:?}");
}
