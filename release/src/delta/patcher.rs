//! Makes new bytes from old ones: what `bspatch` does, as a stream and in bounded memory.
//!
//! The control stream is a row of steps: where to go on in the old bytes (relative to where the last step ended), how many new bytes
//! are old ones plus the difference stream's, how many are the extra stream's. Source for the method: C. Percival, "Naive
//! differences of executable code" (2003).

use std::io::{self, Read};

use super::varint;

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
    /// Appends the step to a control stream.
    pub fn encode(&self, out: &mut Vec<u8>) {
        varint::put_signed(out, self.seek);
        varint::put(out, self.add);
        varint::put(out, self.copy);
    }

    fn decode(from: &mut impl Read) -> io::Result<Self> {
        Ok(Self {
            seek: varint::get_signed(from)?,
            add: varint::get(from)?,
            copy: varint::get(from)?,
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
}

impl<R: Read> Patcher<R> {
    /// A patcher over `old_len` old bytes.
    pub const fn new(control: R, difference: R, extra: R, old_len: u64) -> Self {
        Self {
            control,
            difference,
            extra,
            old_len,
            at: 0,
            add: 0,
            copy: 0,
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
            } else {
                self.extra.read_exact(now).map_err(PatchError::Stream)?;
                self.copy -= count as u64;
            }
            out = later;
        }
        Ok(())
    }

    fn next_step<E>(&mut self) -> Result<(), PatchError<E>> {
        let step = Control::decode(&mut self.control).map_err(PatchError::Stream)?;
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
                Ok(())
            }
            _ => Err(outside),
        }
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
        steps.iter().for_each(|step| step.encode(&mut control));
        Patcher::new(
            Box::new(io::Cursor::new(control)),
            Box::new(difference),
            Box::new(extra),
            old_len,
        )
    }

    fn step(seek: i64, add: u64, copy: u64) -> Control {
        Control { seek, add, copy }
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
        fn any_streams_give_bytes_or_an_error(control: Vec<u8>, difference: Vec<u8>, extra: Vec<u8>) {
            let mut old: &[u8] = &[7; 100];
            let mut patcher = Patcher::new(control.as_slice(), difference.as_slice(), extra.as_slice(), 100);
            let _bytes_or_error = patcher.fill(&mut old, &mut [0; 500]);
        }
    }
}
