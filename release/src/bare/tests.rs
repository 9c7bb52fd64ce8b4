use proptest::prelude::*;
use std::io::Write as _;

use super::*;

/// A frame as a stream makes it: without the content's length.
fn frame(content: &[u8], level: i32) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), level).unwrap();
    encoder.include_checksum(level % 2 == 0).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn bare_bytes(frame: &[u8]) -> Result<Vec<u8>, BareError> {
    let mut all = Vec::new();
    bare(frame, |chunk| {
        assert_eq!(chunk.bytes.len() % ALIGN, 0);
        assert_eq!(chunk.sequences % ALIGN, 0);
        all.extend(chunk.bytes);
        Ok(())
    })?;
    Ok(all)
}

/// Content of every kind: noise, text, runs, and what repeats from far back.
fn content(seed: u32, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap()
    };
    let mut bytes = vec![b'x'; 20];
    while bytes.len() < len {
        match next() % 8 {
            0 => (0..next() % 300).for_each(|_| bytes.push(next().to_le_bytes()[0])),
            1 => bytes.resize(bytes.len() + next() % 3000, 7),
            2..5 => (0..next() % 200).for_each(|_| bytes.push(b"etaoin shrdlu"[next() % 13])),
            _ => {
                let (from, count) = (next() % bytes.len(), next() % 90);
                let copy: Vec<u8> = bytes.iter().skip(from).take(count).copied().collect();
                bytes.extend(copy);
            }
        }
    }
    bytes
}

#[test]
fn frames_of_zstd_come_back_byte_for_byte_whatever_the_level() {
    for (level, len) in [
        (1, 500_000),
        (3, 300_000),
        (6, 1),
        (9, 300_000),
        (15, 200_000),
        (19, 400_000),
        (22, 300_000),
    ] {
        let content = content(u32::try_from(level).unwrap(), len);
        let frame = frame(&content, level);
        let chunks = prove(&frame).unwrap_or_else(|| panic!("level {level}"));
        assert!(level == 6 || chunks.iter().any(|chunk| chunk.sequences < chunk.bytes.len()));
    }
    for content in [vec![9; 400_000], content(3, 60)] {
        assert!(prove(&frame(&content, 19)).is_some());
    }
}

#[test]
fn what_comes_out_does_not_depend_on_the_pieces_that_went_in() {
    let frame = frame(&content(5, 300_000), 12);
    let form = bare_bytes(&frame).unwrap();
    for piece in [1, 7, 4096, form.len()] {
        let (mut encoder, mut made) = (BareEncoder::default(), Vec::new());
        for bytes in form.chunks(piece) {
            assert!(!encoder.is_complete());
            encoder.push(bytes, &mut made).unwrap();
        }
        assert!(encoder.is_complete() && made == frame, "{piece}");
        assert!(encoder.push(&[8, 0, 0, 0, 0, 0, 0, 0], &mut made).is_err());
    }
}

#[test]
fn frames_that_are_cut_or_have_a_length_are_no_frames() {
    let frame = frame(&content(9, 20_000), 3);
    for cut in [0, 5, 6, 8, 100, frame.len() - 1] {
        assert!(bare_bytes(&frame[..cut]).is_err(), "{cut}");
    }
    assert!(bare_bytes(&[frame.as_slice(), &[0]].concat()).is_err());
    let with_length = zstd::bulk::compress(&content(9, 20_000), 3).unwrap();
    assert!(matches!(bare_bytes(&with_length), Err(BareError::Frame(_))));
}

proptest! {
    #[test]
    fn frames_of_any_content_come_back(seed: u32, len in 0..30_000_usize, level in 1..20_i32) {
        prop_assert!(prove(&frame(&content(seed, len), level)).is_some());
    }

    #[test]
    fn a_damaged_frame_is_an_error_or_another_one(seed: u32, place: prop::sample::Index, bit in 0..8_u8) {
        let mut frame = frame(&content(seed, 5000), 7);
        let place = place.index(frame.len());
        frame[place] ^= 1 << bit;
        let _form_or_error = bare_bytes(&frame);
    }

    #[test]
    fn a_damaged_form_is_an_error_or_another_frame(seed: u32, place: prop::sample::Index, bit in 0..8_u8) {
        let mut form = bare_bytes(&frame(&content(seed, 5000), 7)).unwrap();
        let place = place.index(form.len());
        form[place] ^= 1 << bit;
        let _frame_or_error = BareEncoder::default().push(&form, &mut Vec::new());
    }
}
