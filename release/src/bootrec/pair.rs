//! The two copies, and which of them counts.

use super::record::{BootRecord, RECORD_BYTES, RecordError};

/// Where the copies lie, in bytes from the start of the partition: 4 MiB apart, so that no flash page holds both.
pub const COPY_OFFSETS: [u64; 2] = [0, 4 << 20];

/// What both places hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copies {
    records: [Result<BootRecord, RecordError>; 2],
}

/// The record that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it says.
    pub record: BootRecord,
    /// Which of [`COPY_OFFSETS`] holds it.
    pub copy: usize,
}

impl Copies {
    /// Reads both sectors.
    #[must_use]
    pub fn read(sectors: [&[u8; RECORD_BYTES]; 2]) -> Self {
        Self {
            records: sectors.map(BootRecord::decode),
        }
    }

    /// The newest whole record; none when both are damaged, which means slot A.
    #[must_use]
    pub fn newest(&self) -> Option<Found> {
        let found = |copy: usize, record: &BootRecord| {
            let record = *record;
            Some(Found { record, copy })
        };
        match &self.records {
            [Ok(one), Ok(two)] if two.sequence.is_newer_than(one.sequence) => found(1, two),
            [Ok(one), _] => found(0, one),
            [Err(_), Ok(two)] => found(1, two),
            [Err(_), Err(_)] => None,
        }
    }

    /// What is wrong with each copy.
    #[must_use]
    pub fn damage(&self) -> [Option<&RecordError>; 2] {
        let [one, two] = &self.records;
        [one.as_ref().err(), two.as_ref().err()]
    }

    /// Where the next record goes: over the copy that doesn't count, so that the other one stays whole until the write is.
    ///
    /// # Errors
    /// [`RecordError::Version`] when a newer Outcrop wrote one of the copies: it may be the newest, and nothing that this
    /// program writes may go over it.
    pub fn next_copy(&self) -> Result<usize, RecordError> {
        let newer = self.records.iter().find_map(|copy| match copy {
            Err(error @ RecordError::Version(_)) => Some(error.clone()),
            _ => None,
        });
        newer.map_or_else(|| Ok(self.newest().map_or(0, |found| 1 - found.copy)), Err)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{record::tests::record, sequence::Sequence, state::SlotRecord},
        *,
    };

    fn fresh(sequence: u32) -> BootRecord {
        BootRecord {
            sequence: Sequence(sequence),
            ..BootRecord::fresh(SlotRecord::EMPTY)
        }
    }

    #[test]
    fn the_newer_copy_counts_also_after_the_number_wrapped_around() {
        for (old, new) in [(1, 2), (u32::MAX, 0), (0x7fff_ffff, 0x8000_0000)] {
            let (old, new) = (fresh(old).encode(), fresh(new).encode());
            assert_eq!(Copies::read([&old, &new]).newest().unwrap().copy, 1);
            let copies = Copies::read([&new, &old]);
            assert_eq!((copies.newest().unwrap().copy, copies.next_copy()), (0, Ok(1)));
        }
    }

    #[test]
    fn two_damaged_copies_say_nothing_and_the_next_write_goes_to_the_first() {
        let copies = Copies::read([&[0; RECORD_BYTES], &[0xff; RECORD_BYTES]]);
        assert_eq!((copies.newest(), copies.next_copy()), (None, Ok(0)));
        assert_eq!(copies.damage(), [Some(&RecordError::Magic); 2]);
    }

    #[test]
    fn a_newer_program_s_record_is_never_written_over() {
        let mut newer = fresh(7).encode();
        newer[8] = 2;
        let sum = crc32fast::hash(&newer[..508]);
        newer[508..].copy_from_slice(&sum.to_le_bytes());
        let old = fresh(6).encode();
        for sectors in [[&newer, &old], [&old, &newer]] {
            let copies = Copies::read(sectors);
            assert_eq!(copies.next_copy(), Err(RecordError::Version(2)));
            assert_eq!(copies.newest().unwrap().record.sequence, Sequence(6));
        }
    }

    #[test]
    fn of_equal_numbers_and_of_opposite_ones_the_first_copy_counts() {
        for (one, two) in [(5, 5), (0, 1 << 31), (1 << 31, 0)] {
            let copies = [fresh(one).encode(), fresh(two).encode()];
            assert_eq!(Copies::read([&copies[0], &copies[1]]).newest().unwrap().copy, 0);
        }
    }

    proptest! {
        /// Sectors are torn at any byte: the new one up to there, the old one behind it.
        #[test]
        fn a_torn_write_leaves_the_record_before_it_or_the_new_one(
            before in record(),
            after in record(),
            old in proptest::collection::vec(any::<u8>(), RECORD_BYTES),
            torn in 0..=RECORD_BYTES,
        ) {
            let after = BootRecord { sequence: before.sequence.next(), ..after };
            let mut sector: [u8; RECORD_BYTES] = old.try_into().unwrap();
            sector[..torn].copy_from_slice(&after.encode()[..torn]);
            let found = Copies::read([&before.encode(), &sector]).newest().map(|found| found.record);
            prop_assert!(found == Some(before) || (torn == RECORD_BYTES && found == Some(after)));
        }
    }
}
