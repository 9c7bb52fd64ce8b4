//! Reads bytes as the index of a release whose sizes and digests are whatever the bytes add up to, and as the headers around it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_release::{
    bundle::{Index, MemberName, PAGE_FRAMES, TopTable, parse_header},
    digest::FileDigest,
    manifest::{Manifest, Member},
};

const MANIFEST: &[u8] = include_bytes!("../seeds/manifest/manifest.json");

fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u64::from(u32::from_le_bytes(*word)))
}

/// Blocks and bytes of some entries of frames.
fn sums(entries: &[u8]) -> (u64, u64) {
    let entries = entries.chunks_exact(40);
    entries.fold((0, 0), |(blocks, bytes), entry| {
        (blocks + word(entry, 0), bytes + word(entry, 4))
    })
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(header) = bytes.first_chunk::<512>() {
        for name in MemberName::ALL {
            let _any = parse_header(name, header);
        }
    }
    let mut manifest = Manifest::parse(MANIFEST).expect("the seed is a manifest");
    // The manifest that such an index would be signed with, so that more than digests is tried.
    let (boot, root) = (word(bytes, 12), word(bytes, 16));
    let top = 32 + 48 * (boot.div_ceil(PAGE_FRAMES as u64) + root.div_ceil(PAGE_FRAMES as u64));
    let entries = usize::try_from(top).ok().and_then(|top| bytes.get(top..));
    let Some((entries, boot)) = entries.zip(usize::try_from(boot).ok()) else {
        return;
    };
    let Some((boot, root)) = entries.split_at_checked(boot.saturating_mul(40)) else {
        return;
    };
    let mut bytes = bytes.to_vec();
    let mut at = 32 + 16;
    for page in boot.chunks(PAGE_FRAMES * 40).chain(root.chunks(PAGE_FRAMES * 40)) {
        if let Some(place) = bytes.get_mut(at..at + 32) {
            // Pages whose first digest byte is odd keep theirs, and are refused.
            if place[0] % 2 == 0 {
                place.copy_from_slice(FileDigest::of(page).as_bytes());
            }
        }
        at += 48;
    }
    let member = |bytes: &[u8]| Member {
        bytes: bytes.len() as u64,
        sha256: FileDigest::of(bytes),
    };
    manifest.members.index = member(&bytes);
    manifest.members.index_top = member(bytes.get(..usize::try_from(top).unwrap_or(0)).unwrap_or_default());
    for (target, member, (blocks, bytes)) in [
        (&mut manifest.boot, &mut manifest.members.boot, sums(boot)),
        (&mut manifest.root, &mut manifest.members.root, sums(root)),
    ] {
        (target.bytes, member.bytes) = (blocks * 4096, bytes);
    }
    let top = bytes.get(..usize::try_from(top).unwrap_or(0)).unwrap_or_default();
    if let Ok(top) = TopTable::decode(top, &manifest) {
        for pages in [&top.boot, &top.root] {
            let last = pages
                .blocks()
                .checked_sub(1)
                .and_then(|block| pages.page_of(block));
            assert_eq!(last, pages.len().checked_sub(1));
            assert_eq!(pages.page_of(pages.blocks()), None);
        }
    }
    if let Ok(index) = Index::decode(&bytes, &manifest) {
        assert_eq!(index.encode().bytes, bytes);
        let (blocks, _) = index.root.totals();
        assert!(index.root.frame_of(blocks - 1).is_some());
        assert_eq!(index.root.frame_of(blocks), None);
    }
});
