use proptest::prelude::*;

use super::*;
use crate::manifest::tests::manifest;

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let one = (1..=MAX_FRAME_BLOCKS, 1..=4096_u32, any::<[u8; 32]>());
    let frame = one.prop_map(|(blocks, bytes, digest)| Frame {
        blocks,
        bytes,
        sha256: FileDigest::from_bytes(digest),
    });
    proptest::collection::vec(frame, 1..3 * PAGE_FRAMES)
}

fn index(boot: Vec<Frame>, root: Vec<Frame>) -> Index {
    Index {
        boot: FrameTable::new(boot).unwrap(),
        root: FrameTable::new(root).unwrap(),
    }
}

/// A manifest of a release that consists of these frames.
fn manifest_of(index: &Index) -> Manifest {
    let mut manifest = manifest();
    let tables = [
        (&index.boot, &mut manifest.boot, &mut manifest.members.boot),
        (&index.root, &mut manifest.root, &mut manifest.members.root),
    ];
    for (table, target, member) in tables {
        let (blocks, bytes) = table.totals();
        (target.bytes, member.bytes) = (blocks * 4096, bytes);
    }
    (manifest.members.index, manifest.members.index_top) = index.encode().members();
    manifest
}

/// Makes the manifest's digests those of an index that was changed.
fn sign(manifest: &mut Manifest, encoded: &EncodedIndex) {
    (manifest.members.index, manifest.members.index_top) = encoded.members();
}

proptest! {
    #[test]
    fn an_index_survives_being_written_and_read(boot in frames(), root in frames()) {
        let index = index(boot, root);
        prop_assert_eq!(Index::decode(&index.encode().bytes, &manifest_of(&index)), Ok(index));
    }

    #[test]
    fn each_page_is_read_by_itself_and_has_the_frames_of_its_blocks(boot in frames(), root in frames()) {
        let index = index(boot, root);
        let (encoded, manifest) = (index.encode(), manifest_of(&index));
        let top = TopTable::decode(&encoded.bytes[..encoded.top_bytes], &manifest).unwrap();
        for (pages, table) in [(&top.boot, &index.boot), (&top.root, &index.root)] {
            let mut all = Vec::new();
            for number in 0..pages.len() {
                let place = pages.place(number).unwrap();
                let start = usize::try_from(place.start).unwrap();
                let bytes = &encoded.bytes[start..start + usize::try_from(place.bytes).unwrap()];
                let frames = pages.decode(number, bytes).unwrap();
                prop_assert_eq!(pages.page_of(frames[0].first), Some(number));
                prop_assert_eq!(frames.last().unwrap().end_block(), pages.end_block(number));
                prop_assert_eq!(pages.page_of(pages.end_block(number) - 1), Some(number));
                all.extend(frames);
            }
            prop_assert_eq!(all.as_slice(), table.frames());
            prop_assert_eq!((pages.page_of(pages.blocks()), pages.place(pages.len())), (None, None));
        }
    }

    #[test]
    fn every_block_is_in_the_frame_that_is_found_for_it(frames in frames()) {
        let table = FrameTable::new(frames).unwrap();
        let (blocks, _) = table.totals();
        for block in (0..blocks).step_by(7) {
            let frame = table.frame_of(block).unwrap();
            prop_assert!(frame.first <= block && block < frame.end_block());
        }
        prop_assert_eq!(table.frame_of(blocks), None);
    }

    #[test]
    fn a_changed_bit_is_noticed_in_the_top_and_in_each_page(boot in frames(), root in frames(), place: prop::sample::Index, bit in 0..8) {
        let index = index(boot, root);
        let (mut encoded, manifest) = (index.encode(), manifest_of(&index));
        let place = place.index(encoded.bytes.len());
        encoded.bytes[place] ^= 1_u8 << bit;
        let error = Index::decode(&encoded.bytes, &manifest).unwrap_err();
        let in_top = place < encoded.top_bytes;
        prop_assert_eq!(matches!(error, IndexError::Top { .. }), in_top, "{}", error);
        prop_assert_eq!(matches!(error, IndexError::Page(_)), !in_top, "{}", error);
    }

    #[test]
    fn a_cut_or_longer_index_is_refused(boot in frames(), root in frames(), cut in 0..1000_usize) {
        let index = index(boot, root);
        let (bytes, manifest) = (index.encode().bytes, manifest_of(&index));
        prop_assert!(Index::decode(&bytes[..cut.min(bytes.len() - 1)], &manifest).is_err());
        prop_assert!(Index::decode(&[&bytes[..], &[0; 40]].concat(), &manifest).is_err());
    }

    /// Whatever a signed top table says, nothing of it is believed that can't be, and no arithmetic overflows.
    #[test]
    fn a_signed_top_table_of_nonsense_is_refused(
        boot in frames(), root in frames(), place in 8..200_usize, word: u64, also_frames: bool,
    ) {
        let index = index(boot, root);
        let (mut encoded, mut manifest) = (index.encode(), manifest_of(&index));
        let place = place.min(encoded.top_bytes - 8);
        let before = encoded.bytes.clone();
        encoded.bytes[place..place + 8].copy_from_slice(&word.to_le_bytes());
        if also_frames {
            encoded.bytes[12..20].copy_from_slice(&word.rotate_left(17).to_le_bytes());
        }
        sign(&mut manifest, &encoded);
        let is_same = encoded.bytes == before;
        // A digest of a page may be anything; then the page is refused.
        prop_assert_eq!(Index::decode(&encoded.bytes, &manifest).is_ok(), is_same);
    }
}

#[test]
fn frames_that_can_t_be_are_refused() {
    for (blocks, bytes) in [(0, 1), (MAX_FRAME_BLOCKS + 1, 1), (1, 0), (1, 4096 + 8192 + 1)] {
        let frame = Frame {
            blocks,
            bytes,
            sha256: FileDigest::of(b""),
        };
        assert_eq!(FrameTable::new([frame]), Err(IndexError::Frame(0, blocks, bytes)));
    }
}

#[test]
fn frames_that_are_not_all_of_the_release_are_refused() {
    let one = Frame {
        blocks: 2,
        bytes: 100,
        sha256: FileDigest::of(b""),
    };
    let index = index(vec![one], vec![one]);
    let mut manifest = manifest_of(&index);
    manifest.root.bytes += 4096;
    let error = Index::decode(&index.encode().bytes, &manifest).unwrap_err();
    assert_eq!(error, IndexError::Page(0));
    manifest.root.bytes += 300 * 4096;
    let error = Index::decode(&index.encode().bytes, &manifest).unwrap_err();
    assert_eq!(error.to_string(), "1 frames can't hold 303 blocks in 100 bytes");
    let mut manifest = manifest_of(&index);
    manifest.members.boot.bytes -= 1;
    assert!(Index::decode(&index.encode().bytes, &manifest).is_err());
}

#[test]
fn a_top_table_longer_than_any_is_refused_before_it_is_read() {
    let one = Frame {
        blocks: 1,
        bytes: 100,
        sha256: FileDigest::of(b""),
    };
    let index = index(vec![one; 2], vec![one; 200]);
    let mut manifest = manifest_of(&index);
    assert_eq!(TopTable::check_length(&manifest), Ok(()));
    manifest.members.index_top.bytes += 1;
    assert!(matches!(
        TopTable::check_length(&manifest),
        Err(IndexError::Length(_))
    ));
}
