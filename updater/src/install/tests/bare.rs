//! Boot payloads by way of their kernel's bare form.

use std::io::{self, Write as _};

use outcrop_release::{
    bare,
    delta::{BareBoot, BareKernel},
    slot::Slot,
    units::Extent,
    verity::BLOCK_BYTES,
};

use super::{super::*, verified};
use crate::testing::{
    bundle::{Bundle, MemorySource, Release, trust},
    delta::{Delta, Plain},
    sim::{Memory, SimDisk, Unwatched},
};

/// What lies before the kernel.
const BEFORE: usize = 100;

/// A boot payload with a compressed kernel, its kernel, and its expanded form.
struct Boot {
    payload: Vec<u8>,
    kernel: BareKernel,
    expanded: Vec<u8>,
}

impl Boot {
    /// The kernel is words in any order, with `end` behind them: that changes all of what it is packed to, and little of its bare form.
    fn new(end: u8) -> Self {
        let mut state = 1_u64;
        let mut text = Vec::new();
        for _ in 0..3000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = (state >> 33).to_le_bytes();
            text.extend([b"load", b"move", b"call", b"jump"][usize::from(number[0] % 4)]);
            text.extend(
                number
                    .iter()
                    .take(usize::from(number[1] % 4))
                    .map(|byte| byte % 50),
            );
        }
        text.extend([end; 50]);
        let mut encoder = zstd::Encoder::new(Vec::new(), 19).unwrap();
        encoder.write_all(&text).unwrap();
        let frame = encoder.finish().unwrap();
        let form: Vec<u8> = bare::prove(&frame)
            .unwrap()
            .into_iter()
            .flat_map(|chunk| chunk.bytes)
            .collect();
        let before = vec![end; BEFORE];
        let len = (BEFORE + frame.len() + 1).next_multiple_of(BLOCK_BYTES);
        let behind = vec![7; len - BEFORE - frame.len()];
        Self {
            payload: [before.as_slice(), &frame, &behind].concat(),
            kernel: BareKernel {
                frame: Extent {
                    start: BEFORE as u64,
                    len: frame.len() as u64,
                },
                bare: u32::try_from(form.len()).unwrap(),
            },
            expanded: [before.as_slice(), &form, &behind].concat(),
        }
    }
}

struct Pair {
    old: Release,
    new: Release,
    bundle: Bundle,
    delta: Delta,
}

/// Two releases whose kernels differ, and the delta between them.
fn pair(change: &dyn Fn(&mut Plain), lie: &dyn Fn(&mut BareBoot)) -> Pair {
    let (before, after) = (Boot::new(b'x'), Boot::new(b'y'));
    let old = Release {
        boot: before.payload,
        ..Release::new(1)
    };
    let new = Release {
        number: 2,
        boot: after.payload,
        ..old.clone()
    };
    let bundle = Bundle::of(&new);
    let mut boot = BareBoot {
        old: before.kernel,
        new: after.kernel,
        frames: Vec::new(),
    };
    lie(&mut boot);
    let delta = Delta::of(Some(&old), &new, &bundle);
    let delta = delta.with_bare(boot, (&before.expanded, &after.expanded), change);
    Pair {
        old,
        new,
        bundle,
        delta,
    }
}

/// Installs the new release on a device with the old one, in the end whole. Bytes of the delta and of the bundle's frames that that took.
fn installed(pair: &Pair, scratch: &mut impl Scratch) -> (u64, u64) {
    let mut disk = SimDisk::flashed(&pair.old);
    let mut source = MemorySource(pair.bundle.bytes.clone());
    let (head, release) = verified(&pair.bundle);
    let file = pair.delta.file();
    let search = Search {
        bundle: &mut source,
        layout: head.layout(&release.manifest().members),
        release: &release,
        trust: &trust(),
        running: root_hash_of(&disk, Slot::A).unwrap(),
        beside: &mut |from| from.map(|_| MemorySource(file.clone())),
    };
    let (mut delta, looked) = search.find(&mut |error| panic!("{error:?}")).unwrap();
    let mut installation = Installation {
        source: &mut source,
        disk: &mut disk,
        scratch,
        running: Slot::A,
        budget: None,
        delta: delta.as_mut(),
        looked,
        memory: 0,
        watch: &Unwatched,
    };
    let prepared = installation.prepare(&head, &release).unwrap();
    let spent = installation.carry_out(&prepared).unwrap();
    disk.assert_holds(Slot::B, &pair.new);
    (spent.fetch.delta, spent.fetch.frames)
}

#[test]
fn a_kernel_is_patched_in_its_bare_form_where_that_takes_fewer_bytes() {
    let mut pair = pair(&|_| {}, &|_| {});
    let (bare, frames) = installed(&pair, &mut Memory::default());
    assert_eq!(frames, 0);
    pair.delta.index.bare = None;
    let patched = pair.delta.index.boot.bytes() + pair.delta.index.root.bytes();
    pair.delta.data.truncate(usize::try_from(patched).unwrap());
    let (as_it_is, _) = installed(&pair, &mut Memory::default());
    assert!(bare * 2 < as_it_is, "{bare} of {as_it_is}");
}

/// What is wrong, and how it gets so.
type Change<'a, T> = (&'a str, &'a dyn Fn(&mut T));

#[test]
fn whatever_is_wrong_with_a_bare_form_the_bundle_makes_good() {
    let changes: [Change<Plain>; 3] = [
        ("streams that are cut", &|plain| plain.difference.truncate(500)),
        ("another header", &|plain| plain.difference[BEFORE + 5] ^= 1),
        ("a chunk of another length", &|plain| {
            plain.difference[BEFORE + 17] ^= 1;
        }),
    ];
    for (what, change) in changes {
        let (_, frames) = installed(&pair(change, &|_| {}), &mut Memory::default());
        assert!(frames > 0, "{what}");
    }
    let lies: [Change<BareBoot>; 5] = [
        ("the old kernel lies elsewhere", &|boot| boot.old.frame.start += 1),
        ("the old kernel lies behind the slot", &|boot| {
            boot.old.frame.start = 100 << 20;
        }),
        ("the old form is shorter", &|boot| boot.old.bare -= 8),
        ("the old form is longer", &|boot| boot.old.bare += 8),
        ("the new kernel lies elsewhere", &|boot| boot.new.frame.start += 8),
    ];
    for (what, lie) in lies {
        let (_, frames) = installed(&pair(&|_| {}, lie), &mut Memory::default());
        assert!(frames > 0, "{what}");
    }
}

#[test]
fn without_room_for_the_bare_form_the_bundle_is_taken() {
    /// Room for the trees alone.
    struct Full(Memory);

    impl Scratch for Full {
        fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
            if at + bytes.len() as u64 > 5 * BLOCK_BYTES as u64 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.write(at, bytes)
        }

        fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
            self.0.read(at, buffer)
        }
    }
    let (_, frames) = installed(&pair(&|_| {}, &|_| {}), &mut Full(Memory::default()));
    assert!(frames > 0);
}
