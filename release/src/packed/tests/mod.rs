//! Finding, unpacking and repacking kernels, good ones and others.

mod fixture;
mod repacking;

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{arch::Architecture, units::Extent};
use fixture::{FRAME_START, X86_64, kernel, pack, payload, plain, recipe};

const PLAIN_BYTES: usize = 5000;

/// A boot payload with a small kernel, and the compressed kernel in it. Made once: the packer's tables have 80 MiB.
fn small() -> (Vec<u8>, Vec<u8>) {
    static SMALL: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
        let plain = plain(PLAIN_BYTES);
        let frame = pack(&recipe(Method::Single, true, &plain), &plain);
        (payload(X86_64, ".linux", &kernel(&frame, 5000)), frame)
    });
    SMALL.clone()
}

fn cut(bytes: &[u8], place: Extent) -> &[u8] {
    let start = usize::try_from(place.start).unwrap();
    &bytes[start..start + usize::try_from(place.len).unwrap()]
}

#[test]
fn a_kernel_is_found_where_it_lies_and_unpacks_to_what_went_in() {
    let (payload, frame) = small();
    let found = PackedKernel::find(payload.as_slice()).unwrap();
    assert_eq!(found.frame.start, FRAME_START);
    assert!(cut(&payload, found.frame) == frame);
    assert_eq!(found.plain_len.bytes(), 5000);
    assert!(unpack(&frame, found.plain_len).unwrap() == plain(PLAIN_BYTES));
}

#[test]
fn padding_to_the_slots_size_changes_nothing() {
    let (mut payload, _) = small();
    let found = PackedKernel::find(payload.as_slice()).unwrap();
    payload.resize(1 << 20, 0);
    assert_eq!(PackedKernel::find(payload.as_slice()).unwrap(), found);
}

#[test]
fn payloads_without_a_compressed_x86_kernel_are_refused_by_name() {
    let (_, frame) = small();
    let linux = kernel(&frame, 5000);
    let find = |file: &[u8]| PackedKernel::find(file).unwrap_err();
    let other = payload(0xaa64, ".linux", &linux);
    assert!(matches!(
        find(&other),
        FindError::Architecture(Architecture::Aarch64)
    ));
    assert!(matches!(
        find(&payload(X86_64, ".initrd", &linux)),
        FindError::Section
    ));
    assert!(matches!(find(&[0; 5000]), FindError::Pe(_)));
    let short = payload(X86_64, ".linux", &linux[..0x24f]);
    assert!(matches!(find(&short), FindError::Setup("the length")));
    for (offset, byte) in [(0x1fe, 0), (0x202, 0), (0x206, 7)] {
        let mut damaged = linux.clone();
        damaged[offset] = byte;
        assert!(matches!(
            find(&payload(X86_64, ".linux", &damaged)),
            FindError::Setup(_)
        ));
    }
}

#[test]
fn lengths_that_reach_out_of_the_kernel_are_refused() {
    let (_, frame) = small();
    let linux = kernel(&frame, 5000);
    for (offset, value) in [(0x248, u32::MAX), (0x24c, u32::MAX), (0x24c, 4), (0x24c, 0)] {
        let mut damaged = linux.clone();
        damaged[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        let error = PackedKernel::find(payload(X86_64, ".linux", &damaged).as_slice()).unwrap_err();
        assert!(matches!(error, FindError::Place { .. }), "{error}");
    }
    for len in [0, MAX_PLAIN_BYTES + 1, u32::MAX] {
        let file = payload(X86_64, ".linux", &kernel(&frame, len));
        let error = PackedKernel::find(file.as_slice()).unwrap_err();
        assert!(matches!(error, FindError::PlainLen(found) if found == len));
    }
}

#[test]
fn frames_that_repacking_never_makes_are_refused() {
    let header = |bytes: &[u8]| FrameHeader::parse(bytes).unwrap_err();
    assert_eq!(header(b"\x1f\x8b\x08\x00\x00\x00"), FrameError::Magic);
    assert_eq!(header(&[0x28, 0xb5, 0x2f]), FrameError::Magic);
    assert_eq!(header(&[0x28, 0xb5, 0x2f, 0xfd, 4]), FrameError::Truncated);
    assert_eq!(
        header(&[0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x68]),
        FrameError::Descriptor(0x20)
    );
    assert_eq!(
        header(&[0x28, 0xb5, 0x2f, 0xfd, 4, 0x69]),
        FrameError::Window(0x69)
    );
    // As the kernels of Debian's trixie begin.
    assert_eq!(
        FrameHeader::parse(&[0x28, 0xb5, 0x2f, 0xfd, 4, 0x88]),
        Ok(FrameHeader {
            window_log: 27,
            checksum: true
        })
    );
}

#[test]
fn a_frame_unpacks_whole_alone_and_at_its_length_or_not_at_all() {
    let (_, frame) = small();
    let len = |bytes| PlainLen::new(bytes).unwrap();
    assert!(matches!(unpack(&frame, len(4999)), Err(UnpackError::Zstd { .. })));
    assert!(matches!(
        unpack(&frame, len(5001)),
        Err(UnpackError::Length {
            found: 5000,
            expected: 5001
        })
    ));
    let two = [frame.as_slice(), &frame].concat();
    assert!(matches!(
        unpack(&two, len(10_000)),
        Err(UnpackError::Trailing { .. })
    ));
    let mut damaged = frame.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(
        unpack(&damaged, len(5000)),
        Err(UnpackError::Zstd { .. })
    ));
}

#[test]
fn a_frame_cut_off_anywhere_isnt_unpacked() {
    let (_, frame) = small();
    for end in 0..frame.len() {
        assert!(
            unpack(&frame[..end], PlainLen::new(5000).unwrap()).is_err(),
            "{end}"
        );
    }
}

#[test]
fn a_payload_cut_off_anywhere_before_its_kernels_end_is_refused() {
    let (payload, _) = small();
    for end in 0..payload.len() {
        assert!(PackedKernel::find(&payload[..end]).is_err(), "{end}");
    }
}

proptest! {
    #[test]
    fn garbage_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert!(PackedKernel::find(bytes.as_slice()).is_err());
        prop_assert!(unpack(&bytes, PlainLen::new(5000).unwrap()).is_err());
    }

    #[test]
    fn damaged_payloads_never_panic_and_whatever_is_found_lies_inside(
        changes in proptest::collection::vec((0..0x700_usize, any::<u8>()), 1..20),
    ) {
        let (mut payload, _) = small();
        for (offset, byte) in changes {
            payload[offset] = byte;
        }
        if let Ok(found) = PackedKernel::find(payload.as_slice()) {
            prop_assert!(found.frame.end() <= payload.len() as u64);
            let _ = unpack(cut(&payload, found.frame), found.plain_len);
        }
    }
}
