//! Reads bytes as a verity partition, under the root hash that its own top block has: whole, and from the root down.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_release::verity::{BLOCK_BYTES, Descent, HashTree, Superblock, root_hash_of_top_block};

/// Whether every block that the root hash leads to is there and right.
fn descends(mut descent: Descent, blocks: &[[u8; BLOCK_BYTES]]) -> bool {
    while !descent.is_complete() {
        for wanted in descent.wanted().collect::<Vec<_>>() {
            let block = usize::try_from(wanted.number)
                .ok()
                .and_then(|number| blocks.get(number));
            if block.is_none_or(|block| descent.supply(wanted.number, block).is_err()) {
                return false;
            }
        }
        if descent.go_down().is_err() {
            return false;
        }
    }
    true
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(superblock) = Superblock::parse(bytes) else {
        return;
    };
    assert_eq!(Some(superblock.to_bytes()), bytes.first_chunk().copied());
    if let Some(top) = bytes.get(BLOCK_BYTES..).and_then(<[u8]>::first_chunk) {
        let root = root_hash_of_top_block(&superblock.salt, top);
        let tree = HashTree::parse(bytes, &root);
        if let Ok(tree) = &tree {
            assert_eq!(tree.to_bytes(), bytes);
        }
        // A shape that the bytes have no room for isn't worth the memory.
        if superblock.geometry.partition_bytes() <= bytes.len() as u64 {
            let descent = Descent::new(superblock.geometry, &root, superblock.salt);
            let whole = descends(descent, bytes.as_chunks().0);
            assert!(whole || tree.is_err());
        }
    }
});
