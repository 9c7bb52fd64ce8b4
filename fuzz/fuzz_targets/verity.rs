//! Reads bytes as a verity partition, under the root hash that its own top block has.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_release::verity::{BLOCK_BYTES, HashTree, Superblock, root_hash_of_top_block};

fuzz_target!(|bytes: &[u8]| {
    let Ok(superblock) = Superblock::parse(bytes) else {
        return;
    };
    assert_eq!(Some(superblock.to_bytes()), bytes.first_chunk().copied());
    if let Some(top) = bytes.get(BLOCK_BYTES..).and_then(<[u8]>::first_chunk) {
        let root = root_hash_of_top_block(&superblock.salt, top);
        if let Ok(tree) = HashTree::parse(bytes, &root) {
            assert_eq!(tree.to_bytes(), bytes);
        }
    }
});
