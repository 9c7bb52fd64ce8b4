//! Old bytes for a patch: a few here, a few behind them, then elsewhere.
//!
//! The kernel reads 128 KiB along with such, most of which nobody wants: twice of all that a patch starts from. On flash that costs more
//! than everything else of an installation but reading it back.

use std::mem;

use outcrop_release::delta::OldBytes;

use crate::disk::{Area, Disk, DiskError};

/// Bytes that are read at once where fewer are asked for; twice as many where they go on.
const WINDOW_BYTES: usize = 16 << 10;
/// Windows that are kept: 512 KiB. Steps go back and forth in a file.
const WINDOWS: usize = 32;

/// Reads bytes from somewhere on.
type Source<'a, E> = &'a mut dyn FnMut(u64, &mut [u8]) -> Result<(), E>;

/// What was read of some bytes, and may be asked for again.
#[derive(Default)]
pub(super) struct Windows {
    /// By the lowest digits of its number: a window's number, and its bytes.
    kept: Vec<(u64, Vec<u8>)>,
    /// Of the window that was asked for last.
    last: Option<u64>,
    /// What is read at once, before it is cut into windows.
    read: Vec<u8>,
}

impl Windows {
    /// Fills `buffer` from `at` on, of `len` bytes that `source` reads.
    pub(super) fn read<E>(
        &mut self,
        (at, buffer): (u64, &mut [u8]),
        len: u64,
        source: Source<'_, E>,
    ) -> Result<(), E> {
        let is_there = buffer.len() < WINDOW_BYTES && self.fill((at, buffer), len, source).is_some();
        // What can't be read of a window may be a neighbour.
        if is_there { Ok(()) } else { source(at, buffer) }
    }

    /// None when a window can't be read, or hasn't got so much.
    fn fill<E>(
        &mut self,
        (mut at, mut buffer): (u64, &mut [u8]),
        len: u64,
        source: Source<'_, E>,
    ) -> Option<()> {
        while !buffer.is_empty() {
            let number = at / WINDOW_BYTES as u64;
            let offset = usize::try_from(at % WINDOW_BYTES as u64).ok()?;
            let window = self.window(number, len, source)?;
            let found = window.get(offset..).filter(|found| !found.is_empty())?;
            let count = found.len().min(buffer.len());
            let (now, later) = buffer.split_at_mut(count);
            now.copy_from_slice(found.get(..count)?);
            at += count as u64;
            buffer = later;
        }
        Some(())
    }

    fn window<E>(&mut self, number: u64, len: u64, source: Source<'_, E>) -> Option<&[u8]> {
        let goes_on = self.last.is_some_and(|last| last + 1 == number);
        self.last = Some(number);
        if self.slot(number)?.0 != number {
            let start = number * WINDOW_BYTES as u64;
            let wanted = WINDOW_BYTES << u32::from(goes_on);
            let left = usize::try_from(len.checked_sub(start)?).unwrap_or(usize::MAX);
            let mut read = mem::take(&mut self.read);
            read.resize(wanted.min(left), 0);
            let is_read = source(start, &mut read).is_ok();
            for (number, bytes) in (number..).zip(read.chunks(WINDOW_BYTES)).filter(|_| is_read) {
                let (place, kept) = self.slot(number)?;
                *place = number;
                kept.clear();
                kept.extend_from_slice(bytes);
            }
            self.read = read;
        }
        self.slot(number)
            .filter(|(place, _)| *place == number)
            .map(|(_, bytes)| bytes.as_slice())
    }

    fn slot(&mut self, number: u64) -> Option<&mut (u64, Vec<u8>)> {
        if self.kept.is_empty() {
            self.kept.resize(WINDOWS, (u64::MAX, Vec::new()));
        }
        let place = usize::try_from(number % WINDOWS as u64).ok()?;
        self.kept.get_mut(place)
    }
}

/// An area of the running slot.
pub(super) struct OldArea<'a, D> {
    pub(super) disk: &'a D,
    pub(super) area: Area,
    pub(super) windows: &'a mut Windows,
}

impl<D: Disk> OldBytes for OldArea<'_, D> {
    type Error = DiskError;

    fn read(&mut self, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let (disk, area) = (self.disk, self.area);
        let mut source = |at, buffer: &mut [u8]| disk.read_scattered(area, at, buffer);
        self.windows.read((at, buffer), disk.bytes(area), &mut source)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use outcrop_release::slot::Slot;
    use proptest::prelude::*;

    use super::*;

    const AREA: Area = Area::Root(Slot::A);
    const LEN: u64 = 300_000;

    /// Bytes that are known by their place, but for a block that can't be read; and what was read.
    struct Known {
        bad: Option<u64>,
        reads: RefCell<Vec<(u64, usize)>>,
    }

    fn byte(at: u64) -> u8 {
        u8::try_from(at * 7 % 251).unwrap()
    }

    impl Disk for Known {
        fn bytes(&self, _: Area) -> u64 {
            LEN
        }

        fn read(&self, area: Area, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
            self.reads.borrow_mut().push((at, buffer.len()));
            let end = at + buffer.len() as u64;
            let is_bad = self.bad.is_some_and(|bad| (at..end).contains(&bad));
            if is_bad || end > LEN {
                return Err(DiskError {
                    doing: "read",
                    area,
                    at,
                    source: std::io::ErrorKind::Other.into(),
                });
            }
            buffer
                .iter_mut()
                .zip(at..)
                .for_each(|(place, at)| *place = byte(at));
            Ok(())
        }

        fn read_medium(&self, area: Area, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
            self.read(area, at, buffer)
        }

        fn write(&mut self, _: Area, _: u64, _: &[u8]) -> Result<(), DiskError> {
            panic!("nobody writes")
        }

        fn flush(&mut self, _: Area) -> Result<(), DiskError> {
            panic!("nobody writes")
        }
    }

    fn known(bad: Option<u64>) -> Known {
        Known {
            bad,
            reads: RefCell::default(),
        }
    }

    #[test]
    fn a_row_of_small_reads_is_few_large_ones_and_a_large_read_is_none_but_itself() {
        let disk = known(None);
        let mut old = OldArea {
            disk: &disk,
            area: AREA,
            windows: &mut Windows::default(),
        };
        let mut buffer = [0; 100];
        for at in (5000..40_000).step_by(100) {
            old.read(at, &mut buffer).unwrap();
        }
        old.read(200_000, &mut vec![0; 50_000]).unwrap();
        assert_eq!(
            *disk.reads.borrow(),
            [(0, 16384), (16384, 32768), (200_000, 50_000)]
        );
    }

    #[test]
    fn a_block_that_can_t_be_read_takes_none_of_its_neighbours_along() {
        let disk = known(Some(9000));
        let mut old = OldArea {
            disk: &disk,
            area: AREA,
            windows: &mut Windows::default(),
        };
        let mut buffer = [0; 100];
        old.read(4200, &mut buffer).unwrap();
        assert_eq!(buffer[0], byte(4200));
        old.read(8950, &mut buffer).unwrap_err();
        old.read(LEN - 100, &mut buffer).unwrap();
        assert_eq!(buffer[99], byte(LEN - 1));
    }

    proptest! {
        #[test]
        fn bytes_are_those_of_the_area_whatever_is_asked_for(reads in proptest::collection::vec((0..LEN, 1..40_000_usize), 1..30)) {
            let disk = known(None);
            let mut windows = Windows::default();
            for (at, len) in reads {
                let mut buffer = vec![0; len];
                let read = OldArea { disk: &disk, area: AREA, windows: &mut windows }.read(at, &mut buffer);
                prop_assert_eq!(read.is_ok(), at + len as u64 <= LEN);
                if read.is_ok() {
                    prop_assert!(buffer.iter().zip(at..).all(|(found, at)| *found == byte(at)));
                }
            }
        }
    }
}
