//! Makes new bytes from old ones: what `bspatch` does, as a stream and in bounded memory.
//!
//! The control stream is a row of steps: where to go on in the old bytes (relative to where the last step ended), how many new bytes
//! are old ones plus the difference stream's, how many are the extra stream's. Source for the method: C. Percival, "Naive
//! differences of executable code" (2003).

use std::io::{self, Read};

use super::{code::Code, varint};

/// Code that is read at a time.
const CODE_BYTES: usize = 16 << 10;

/// The old bytes: an old payload, or several behind one another.
pub trait OldBytes {
    /// Why they can't be read.
    type Error;

    /// Fills `buffer` from `at` on. The patcher never asks beyond the length that it was given.
    ///
    /// # Errors
    /// When they can't be read there.
    fn read(&mut self, at: u64, buffer: &mut [u8]) -> Result<(), Self::Error>;
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Control {
    /// From the end of the last step's old bytes to the start of this one's.
    pub seek: i64,
    /// New bytes that are old bytes plus differences.
    pub add: u64,
    /// New bytes behind them that are extra.
    pub copy: u64,
    /// Whether these are code. Only in frames that have some.
    pub is_code: bool,
}

/// New bytes can't be made.
#[derive(Debug, thiserror::Error)]
pub enum PatchError<E> {
    /// The old bytes can't be read.
    #[error("read the old bytes")]
    Old(#[source] E),
    /// A stream ends too early or isn't what it should be.
    #[error("a patch is damaged")]
    Stream(#[source] io::Error),
    /// A step leads out of the old bytes.
    #[error("a patch reads behind the {len} old bytes, or before them")]
    Outside {
        /// How many there are.
        len: u64,
    },
}

impl Control {
    /// Appends the step to the control stream of a frame that has this code.
    pub fn encode(&self, code: Code, out: &mut Vec<u8>) {
        varint::put_signed(out, self.seek);
        varint::put(out, self.add);
        varint::put(
            out,
            match code {
                Code::None => self.copy,
                Code::X86 | Code::Arm64 => self.copy << 1 | u64::from(self.is_code),
            },
        );
    }

    fn decode(code: Code, from: &mut impl Read) -> io::Result<Self> {
        let (seek, add) = (varint::get_signed(from)?, varint::get(from)?);
        let copy = varint::get(from)?;
        let (copy, is_code) = match code {
            Code::None => (copy, false),
            Code::X86 | Code::Arm64 => (copy >> 1, copy & 1 == 1),
        };
        Ok(Self {
            seek,
            add,
            copy,
            is_code,
        })
    }
}

/// Gives a frame's new bytes one after the other. Memory: what its streams need.
#[derive(Debug)]
pub struct Patcher<R> {
    control: R,
    difference: R,
    extra: R,
    old_len: u64,
    /// Where the step's old bytes go on.
    at: u64,
    /// What is left of the step.
    add: u64,
    copy: u64,
    is_code: bool,
    code: Code,
    /// How many bytes were made.
    made: u64,
    /// Code that was read, and how much of it is as it shall be.
    waiting: Vec<u8>,
    ready: usize,
}

impl<R: Read> Patcher<R> {
    /// A patcher over `old_len` old bytes, of a frame that has this code.
    pub fn new([control, difference, extra]: [R; 3], code: Code, old_len: u64) -> Self {
        Self {
            control,
            difference,
            extra,
            old_len,
            at: 0,
            add: 0,
            copy: 0,
            is_code: false,
            code,
            made: 0,
            waiting: Vec::new(),
            ready: 0,
        }
    }

    /// Fills `out` with the next new bytes. Streams give what is asked for and no more, whatever they hold.
    ///
    /// # Errors
    /// See [`PatchError`].
    pub fn fill<O: OldBytes>(&mut self, old: &mut O, mut out: &mut [u8]) -> Result<(), PatchError<O::Error>> {
        while !out.is_empty() {
            let wanted = if self.add > 0 { self.add } else { self.copy };
            if wanted == 0 {
                self.next_step()?;
                continue;
            }
            let count = usize::try_from(wanted).map_or(out.len(), |wanted| wanted.min(out.len()));
            let (now, later) = out.split_at_mut(count);
            if self.add > 0 {
                self.added(old, now)?;
            } else if self.is_code {
                self.coded(now).map_err(PatchError::Stream)?;
            } else {
                self.extra.read_exact(now).map_err(PatchError::Stream)?;
                self.copy -= count as u64;
                self.made += count as u64;
            }
            out = later;
        }
        Ok(())
    }

    fn next_step<E>(&mut self) -> Result<(), PatchError<E>> {
        let step = Control::decode(self.code, &mut self.control).map_err(PatchError::Stream)?;
        if step.add == 0 && step.copy == 0 {
            // A stream of nothing but these would never end.
            return Err(PatchError::Stream(io::ErrorKind::InvalidData.into()));
        }
        let outside = PatchError::Outside { len: self.old_len };
        let start = self.at.checked_add_signed(step.seek);
        let end = start.and_then(|start| start.checked_add(step.add));
        match (start, end) {
            (Some(start), Some(end)) if end <= self.old_len => {
                (self.at, self.add, self.copy) = (start, step.add, step.copy);
                self.is_code = step.is_code;
                Ok(())
            }
            _ => Err(outside),
        }
    }

    /// Fills `out` with code, of which the step has as much.
    fn coded(&mut self, mut out: &mut [u8]) -> io::Result<()> {
        while !out.is_empty() {
            if self.ready == 0 {
                self.read_code()?;
            }
            let count = self.ready.min(out.len());
            let (now, later) = out.split_at_mut(count);
            for (place, byte) in now.iter_mut().zip(self.waiting.drain(..count)) {
                *place = byte;
            }
            self.ready -= count;
            self.copy -= count as u64;
            self.made += count as u64;
            out = later;
        }
        Ok(())
    }

    /// Reads a piece of the step's code. What can't be turned without what follows waits for that.
    fn read_code(&mut self) -> io::Result<()> {
        let len = usize::try_from(self.copy).map_or(CODE_BYTES, |copy| copy.min(CODE_BYTES));
        let kept = self.waiting.len().min(len);
        self.waiting.resize(len, 0);
        let (_, room) = self.waiting.split_at_mut(kept);
        self.extra.read_exact(room)?;
        self.ready = self.code.decode(self.made, &mut self.waiting);
        if self.copy == len as u64 {
            self.ready = len;
        }
        Ok(())
    }

    fn added<O: OldBytes>(&mut self, old: &mut O, out: &mut [u8]) -> Result<(), PatchError<O::Error>> {
        const PIECE: usize = 4096;
        old.read(self.at, out).map_err(PatchError::Old)?;
        let mut difference = [0; PIECE];
        for piece in out.chunks_mut(PIECE) {
            let (difference, _) = difference.split_at_mut(piece.len());
            self.difference
                .read_exact(difference)
                .map_err(PatchError::Stream)?;
            for (byte, difference) in piece.iter_mut().zip(difference) {
                *byte = byte.wrapping_add(*difference);
            }
        }
        self.at += out.len() as u64;
        self.add -= out.len() as u64;
        self.made += out.len() as u64;
        Ok(())
    }
}

impl OldBytes for &[u8] {
    type Error = io::Error;

    fn read(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        crate::read_at::ReadAt::read_exact_at(*self, buffer, at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patcher<'a>(
        steps: &[Control],
        difference: &'a [u8],
        extra: &'a [u8],
        old_len: u64,
    ) -> Patcher<Box<dyn Read + 'a>> {
        let mut control = Vec::new();
        steps
            .iter()
            .for_each(|step| step.encode(Code::None, &mut control));
        let streams: [Box<dyn Read + 'a>; 3] = [
            Box::new(io::Cursor::new(control)),
            Box::new(difference),
            Box::new(extra),
        ];
        Patcher::new(streams, Code::None, old_len)
    }

    fn step(seek: i64, add: u64, copy: u64) -> Control {
        Control {
            seek,
            add,
            copy,
            is_code: false,
        }
    }

    #[test]
    fn new_bytes_are_old_ones_plus_differences_and_extra_ones_however_they_are_asked_for() {
        let mut old: &[u8] = b"abcdefgh";
        let steps = [step(2, 3, 2), step(-5, 2, 0), step(0, 0, 1)];
        for piece in 1..=8 {
            let mut patcher = patcher(&steps, &[0, 1, 0, 0, 255], b"XYZ", 8);
            let mut out = [0; 8];
            for part in out.chunks_mut(piece) {
                patcher.fill(&mut old, part).unwrap();
            }
            assert_eq!(
                &out,
                b"cee\
                XYaaZ"
            );
        }
    }

    #[test]
    fn steps_out_of_the_old_bytes_are_refused_before_anything_is_read() {
        struct Never;
        impl OldBytes for Never {
            type Error = io::Error;
            fn read(&mut self, _: u64, _: &mut [u8]) -> io::Result<()> {
                panic!("it must not be read")
            }
        }
        for (seek, add) in [
            (-1, 1),
            (0, 9),
            (9, 1),
            (8, u64::MAX),
            (i64::MAX, 1),
            (i64::MIN, 1),
            (5, 4),
        ] {
            let error = patcher(&[step(seek, add, 0)], &[], &[], 8)
                .fill(&mut Never, &mut [0; 4])
                .unwrap_err();
            assert!(matches!(error, PatchError::Outside { len: 8 }), "{seek} {add}");
        }
    }

    #[test]
    fn streams_that_end_too_early_and_steps_that_give_nothing_are_refused() {
        let mut old: &[u8] = b"abcdefgh";
        for (steps, difference, extra) in [
            (vec![], &[][..], &[][..]),
            (vec![step(0, 2, 0)], &[0; 2], &[]),
            (vec![step(0, 4, 0)], &[0; 3], &[]),
            (vec![step(0, 0, 4)], &[], &[0; 3]),
            (vec![step(0, 0, 0); 100_000], &[], &[]),
        ] {
            let error = patcher(&steps, difference, extra, 8)
                .fill(&mut old, &mut [0; 4])
                .unwrap_err();
            assert!(matches!(error, PatchError::Stream(_)), "{steps:.3?}");
        }
    }

    proptest! {
        #[test]
        fn code_comes_back_however_it_is_cut_and_asked_for(
            runs in proptest::collection::vec((any::<bool>(), 1..40_000_usize), 1..4),
            seed: u8,
            piece in 1..30_000_usize,
        ) {
            for code in [Code::X86, Code::Arm64] {
                let (mut control, mut extra, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
                for (is_code, len) in &runs {
                    let copy = *len as u64;
                    Control { seek: 0, add: 0, copy, is_code: *is_code }.encode(code, &mut control);
                    let at = wanted.len() as u64;
                    let run = (at..at + copy).map(|at| [0xe8, 0, 0xff, 0x94, 0x90][usize::try_from((at * 7 + at / 5 + u64::from(seed)) % 5).unwrap()]);
                    let mut run: Vec<u8> = run.collect();
                    wanted.extend_from_slice(&run);
                    if *is_code {
                        code.encode(at, &mut run);
                    }
                    extra.extend(run);
                }
                let mut patcher = Patcher::new([control.as_slice(), &[], &extra], code, 0);
                let mut found = vec![0; wanted.len()];
                let mut old: &[u8] = &[];
                for part in found.chunks_mut(piece) {
                    patcher.fill(&mut old, part).unwrap();
                }
                prop_assert!(found == wanted);
            }
        }

        #[test]
        fn any_streams_give_bytes_or_an_error(control: Vec<u8>, difference: Vec<u8>, extra: Vec<u8>) {
            let mut old: &[u8] = &[7; 100];
            for code in [Code::None, Code::X86, Code::Arm64] {
                let streams = [control.as_slice(), difference.as_slice(), extra.as_slice()];
                let _bytes_or_error = Patcher::new(streams, code, 100).fill(&mut old, &mut [0; 500]);
            }
        }
    }
}
