//! Old bytes for a patch: a few here, a few behind them, then elsewhere.
//!
//! The kernel reads 128 KiB along with such, most of which nobody wants: twice of all that a patch starts from. On flash that costs more
//! than everything else of an installation but reading it back.

use outcrop_release::{delta::OldBytes, verity::BLOCK_BYTES};

use crate::disk::{Area, Disk, DiskError};

const BLOCK: u64 = BLOCK_BYTES as u64;
/// Bytes that are read at once where fewer are asked for; twice as many where they go on.
const WINDOW_BYTES: u64 = 16 << 10;

/// Bytes that were read, and may be asked for next.
#[derive(Default)]
pub(super) struct Window {
    start: u64,
    bytes: Vec<u8>,
}

/// An area of the running slot.
pub(super) struct OldArea<'a, D> {
    pub(super) disk: &'a D,
    pub(super) area: Area,
    pub(super) window: &'a mut Window,
}

impl Window {
    const fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The bytes from `at` on, as long as it has them.
    fn get(&self, at: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(at.checked_sub(self.start)?).ok()?;
        self.bytes.get(start..)?.get(..len)
    }
}

impl<D: Disk> OldArea<'_, D> {
    /// Reads a window around `len` bytes from `at` on.
    fn move_window(&mut self, at: u64, len: u64) -> Result<(), DiskError> {
        let goes_on = (self.window.start..=self.window.end()).contains(&at) && !self.window.bytes.is_empty();
        let ahead = if goes_on { 2 * WINDOW_BYTES } else { WINDOW_BYTES };
        let start = at - at % BLOCK;
        let end = (start + ahead).max((at + len).next_multiple_of(BLOCK));
        let end = end.min(self.disk.bytes(self.area)).max(at + len);
        let mut bytes = std::mem::take(&mut self.window.bytes);
        bytes.resize(usize::try_from(end - start).unwrap_or(usize::MAX), 0);
        self.disk.read_scattered(self.area, start, &mut bytes)?;
        *self.window = Window { start, bytes };
        Ok(())
    }
}

impl<D: Disk> OldBytes for OldArea<'_, D> {
    type Error = DiskError;

    fn read(&mut self, at: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        let len = buffer.len() as u64;
        if self.window.get(at, buffer.len()).is_none() && len < WINDOW_BYTES {
            // What can't be read may be a neighbour.
            let _ = self.move_window(at, len);
        }
        match self.window.get(at, buffer.len()) {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(())
            }
            None => self.disk.read_scattered(self.area, at, buffer),
        }
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
            window: &mut Window::default(),
        };
        let mut buffer = [0; 100];
        for at in (5000..40_000).step_by(100) {
            old.read(at, &mut buffer).unwrap();
        }
        old.read(200_000, &mut vec![0; 50_000]).unwrap();
        assert_eq!(
            *disk.reads.borrow(),
            [(4096, 16384), (16384, 32768), (200_000, 50_000)]
        );
    }

    #[test]
    fn a_block_that_can_t_be_read_takes_none_of_its_neighbours_along() {
        let disk = known(Some(9000));
        let mut old = OldArea {
            disk: &disk,
            area: AREA,
            window: &mut Window::default(),
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
            let mut window = Window::default();
            for (at, len) in reads {
                let mut buffer = vec![0; len];
                let read = OldArea { disk: &disk, area: AREA, window: &mut window }.read(at, &mut buffer);
                prop_assert_eq!(read.is_ok(), at + len as u64 <= LEN);
                if read.is_ok() {
                    prop_assert!(buffer.iter().zip(at..).all(|(found, at)| *found == byte(at)));
                }
            }
        }
    }
}
