//! One record as bytes.

use super::{
    layout as at,
    layout::{KNOWN_VERSION as VERSION, NO_SLOT, reason_code},
    sequence::Sequence,
    state::{BadReason, Payload, PayloadPart, SlotRecord, SlotState, Trial, TrialStage},
};
use crate::{digest::FileDigest, slot::Slot};

/// Length of a record, in bytes: one sector.
pub const RECORD_BYTES: usize = 512;

const MAGIC: [u8; 8] = *b"OUTCROPB";
/// Bytes that are no boot record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The signature is missing: the sector was never written, or something else was.
    #[error("no boot record: the signature is missing")]
    Magic,
    /// The sum doesn't match: a torn write, or worn flash.
    #[error("the boot record is damaged: its CRC-32 doesn't match")]
    Crc,
    /// A newer Outcrop wrote it.
    #[error("the boot record has version {0}, this program knows version {VERSION}")]
    Version(u32),
    /// A field has a value that nothing writes.
    #[error("the boot record says {value} for {field}, which means nothing")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u8,
    },
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BootRecord {
    /// Which of two records is newer.
    pub sequence: Sequence,
    /// The slot that is started when no trial is due.
    pub default: Slot,
    /// The slot on trial, if there is one.
    pub trial: Option<Trial>,
    /// Whether the default was changed because of failed attempts, and no boot was healthy since.
    pub switched: bool,
    pub(super) slots: [SlotRecord; 2],
}

impl BootRecord {
    /// The record of an image that nothing was installed on yet: slot A runs and is good, slot B is empty.
    #[must_use]
    pub const fn fresh(a: SlotRecord) -> Self {
        Self {
            sequence: Sequence(1),
            default: Slot::A,
            trial: None,
            switched: false,
            slots: [a, SlotRecord::EMPTY],
        }
    }

    /// What is known of a slot.
    #[must_use]
    pub const fn slot(&self, slot: Slot) -> &SlotRecord {
        let [a, b] = &self.slots;
        match slot {
            Slot::A => a,
            Slot::B => b,
        }
    }

    /// What is known of a slot, to be changed.
    #[must_use]
    pub const fn slot_mut(&mut self, slot: Slot) -> &mut SlotRecord {
        let [a, b] = &mut self.slots;
        match slot {
            Slot::A => a,
            Slot::B => b,
        }
    }

    /// The record as it is written.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut writer = Writer([0; RECORD_BYTES]);
        writer.put(0, &MAGIC);
        writer.put(at::VERSION, &VERSION.to_le_bytes());
        writer.put(at::SEQUENCE, &self.sequence.0.to_le_bytes());
        writer.put(at::DEFAULT, &[slot_code(self.default)]);
        let trial = self.trial.map_or([NO_SLOT, 0, 0], |trial| {
            [slot_code(trial.slot), stage_code(trial.stage), trial.tries]
        });
        writer.put(at::TRIAL, &trial);
        writer.put(at::SWITCHED, &[u8::from(self.switched)]);
        for (slot, base) in Slot::ALL.into_iter().zip((at::SLOTS..).step_by(at::SLOT_BYTES)) {
            writer.slot(base, self.slot(slot));
        }
        let crc = crc32fast::hash(&writer.0[..at::CRC]);
        writer.put(at::CRC, &crc.to_le_bytes());
        writer.0
    }

    /// Reads a record.
    ///
    /// # Errors
    /// See [`RecordError`]. The sum is checked before anything else is believed.
    pub fn decode(bytes: &[u8; RECORD_BYTES]) -> Result<Self, RecordError> {
        let reader = Reader(bytes);
        if reader.bytes::<8>(0) != MAGIC {
            return Err(RecordError::Magic);
        }
        if crc32fast::hash(&bytes[..at::CRC]) != reader.number(at::CRC) {
            return Err(RecordError::Crc);
        }
        let version = reader.number(at::VERSION);
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        Ok(Self {
            sequence: Sequence(reader.number(at::SEQUENCE)),
            default: slot_of(reader.byte(at::DEFAULT), "the default slot")?,
            trial: reader.trial()?,
            switched: reader.flag(at::SWITCHED, "whether the default was changed")?,
            slots: [reader.slot(at::SLOTS)?, reader.slot(at::SLOTS + at::SLOT_BYTES)?],
        })
    }
}

const fn slot_code(slot: Slot) -> u8 {
    match slot {
        Slot::A => 0,
        Slot::B => 1,
    }
}

const fn slot_of(code: u8, field: &'static str) -> Result<Slot, RecordError> {
    match code {
        0 => Ok(Slot::A),
        1 => Ok(Slot::B),
        value => Err(RecordError::Field { field, value }),
    }
}

const fn stage_code(stage: TrialStage) -> u8 {
    match stage {
        TrialStage::Arming => at::ARMING,
        TrialStage::Armed => at::ARMED,
        TrialStage::Running => at::RUNNING,
    }
}

/// The codes of state and reason.
fn state_codes(state: SlotState) -> [u8; 2] {
    match state {
        SlotState::Empty => [at::EMPTY, 0],
        SlotState::Written => [at::WRITTEN, 0],
        SlotState::Good => [at::GOOD, 0],
        SlotState::Bad(reason) => [at::BAD, reason_code(reason)],
    }
}

fn state_of(state: u8, reason: u8) -> Result<SlotState, RecordError> {
    let plain = |state| match reason {
        0 => Ok(state),
        value => Err(RecordError::Field {
            field: "the reason of a slot that isn't bad",
            value,
        }),
    };
    match state {
        at::EMPTY => plain(SlotState::Empty),
        at::WRITTEN => plain(SlotState::Written),
        at::GOOD => plain(SlotState::Good),
        at::BAD => usize::from(reason)
            .checked_sub(1)
            .and_then(|place| BadReason::ALL.get(place))
            .map(|reason| SlotState::Bad(*reason))
            .ok_or(RecordError::Field {
                field: "the reason of a bad slot",
                value: reason,
            }),
        value => Err(RecordError::Field {
            field: "a slot's state",
            value,
        }),
    }
}

struct Writer([u8; RECORD_BYTES]);

impl Writer {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (place, byte) in self.0.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    }

    fn slot(&mut self, base: usize, slot: &SlotRecord) {
        let [state, reason] = state_codes(slot.state);
        self.put(base + at::STATE, &[state]);
        self.put(base + at::ATTEMPTS, &[slot.attempts]);
        self.put(base + at::REASON, &[reason]);
        self.put(base + at::STARTS, &[slot.starts]);
        self.put(base + at::RELEASE, slot.release.as_bytes());
        let Payload { kernel, initramfs } = slot.payload;
        for (at, part) in [(at::KERNEL, kernel), (at::INITRAMFS, initramfs)] {
            self.put(base + at, &part.len.to_le_bytes());
            self.put(base + at + 4, &part.crc32.to_le_bytes());
        }
    }
}

struct Reader<'a>(&'a [u8; RECORD_BYTES]);

impl Reader<'_> {
    /// `N` bytes at a constant offset that is within the record.
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|index| self.0.get(at + index).copied().unwrap_or_default())
    }

    fn byte(&self, at: usize) -> u8 {
        let [byte] = self.bytes(at);
        byte
    }

    fn number(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    fn flag(&self, at: usize, field: &'static str) -> Result<bool, RecordError> {
        match self.byte(at) {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(RecordError::Field { field, value }),
        }
    }

    fn trial(&self) -> Result<Option<Trial>, RecordError> {
        let [slot, stage, tries] = self.bytes(at::TRIAL);
        if slot == NO_SLOT {
            let field = "the stage or tries of no trial";
            return match stage.max(tries) {
                0 => Ok(None),
                value => Err(RecordError::Field { field, value }),
            };
        }
        let stage = match stage {
            at::ARMING => TrialStage::Arming,
            at::ARMED => TrialStage::Armed,
            at::RUNNING => TrialStage::Running,
            value => {
                return Err(RecordError::Field {
                    field: "the trial's stage",
                    value,
                });
            }
        };
        let slot = slot_of(slot, "the slot on trial")?;
        Ok(Some(Trial { slot, stage, tries }))
    }

    fn slot(&self, base: usize) -> Result<SlotRecord, RecordError> {
        let part = |at| PayloadPart {
            len: self.number(base + at),
            crc32: self.number(base + at + 4),
        };
        Ok(SlotRecord {
            state: state_of(self.byte(base + at::STATE), self.byte(base + at::REASON))?,
            attempts: self.byte(base + at::ATTEMPTS),
            starts: self.byte(base + at::STARTS),
            release: FileDigest::from_bytes(self.bytes(base + at::RELEASE)),
            payload: Payload {
                kernel: part(at::KERNEL),
                initramfs: part(at::INITRAMFS),
            },
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slot_record() -> impl Strategy<Value = SlotRecord> {
        let reason = proptest::sample::select(BadReason::ALL.to_vec());
        let state = prop_oneof![
            Just(SlotState::Empty),
            Just(SlotState::Written),
            Just(SlotState::Good),
            reason.prop_map(SlotState::Bad),
        ];
        let part = any::<(u32, u32)>().prop_map(|(len, crc32)| PayloadPart { len, crc32 });
        (state, any::<[u8; 2]>(), any::<[u8; 32]>(), [part.clone(), part]).prop_map(
            |(state, [attempts, starts], release, [kernel, initramfs])| SlotRecord {
                state,
                attempts,
                starts,
                release: FileDigest::from_bytes(release),
                payload: Payload { kernel, initramfs },
            },
        )
    }

    pub(crate) fn record() -> impl Strategy<Value = BootRecord> {
        let slot = proptest::sample::select(Slot::ALL.to_vec());
        let stages = vec![TrialStage::Arming, TrialStage::Armed, TrialStage::Running];
        let trial = (slot.clone(), proptest::sample::select(stages), any::<u8>())
            .prop_map(|(slot, stage, tries)| Trial { slot, stage, tries });
        (
            any::<u32>(),
            slot,
            proptest::option::of(trial),
            any::<bool>(),
            [slot_record(), slot_record()],
        )
            .prop_map(|(sequence, default, trial, switched, slots)| BootRecord {
                sequence: Sequence(sequence),
                default,
                trial,
                switched,
                slots,
            })
    }

    proptest! {
        #[test]
        fn a_record_survives_being_written_and_read(record in record()) {
            prop_assert_eq!(BootRecord::decode(&record.encode()), Ok(record));
        }

        #[test]
        fn a_flipped_bit_is_noticed(record in record(), bit in 0..RECORD_BYTES * 8) {
            let mut bytes = record.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(BootRecord::decode(&bytes).is_err());
        }

        #[test]
        fn any_sector_is_read_without_a_panic_and_what_is_read_is_written_alike(
            mut bytes in proptest::collection::vec(any::<u8>(), RECORD_BYTES),
        ) {
            bytes[..8].copy_from_slice(&MAGIC);
            bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
            let crc = crc32fast::hash(&bytes[..at::CRC]);
            bytes[at::CRC..].copy_from_slice(&crc.to_le_bytes());
            let bytes: [u8; RECORD_BYTES] = bytes.try_into().unwrap();
            if let Ok(record) = BootRecord::decode(&bytes) {
                prop_assert_eq!(BootRecord::decode(&record.encode()), Ok(record));
            }
        }
    }

    #[test]
    fn the_offsets_are_those_of_docs_formats_md() {
        let mut record = BootRecord::fresh(SlotRecord {
            state: SlotState::Good,
            attempts: 2,
            ..SlotRecord::EMPTY
        });
        record.sequence = Sequence(0x0403_0201);
        record.trial = Some(Trial {
            slot: Slot::B,
            stage: TrialStage::Armed,
            tries: 1,
        });
        *record.slot_mut(Slot::B) = SlotRecord {
            state: SlotState::Bad(BadReason::Deadline),
            attempts: 0,
            starts: 9,
            release: FileDigest::from_bytes([0xaa; 32]),
            payload: Payload {
                kernel: PayloadPart { len: 1, crc32: 2 },
                initramfs: PayloadPart { len: 3, crc32: 4 },
            },
        };
        let bytes = record.encode();
        assert_eq!(
            &bytes[..24],
            b"OUTCROPB\x01\0\0\0\x01\x02\x03\x04\0\x01\x02\x01\0\0\0\0"
        );
        assert_eq!(bytes[32..35], [2, 2, 0]);
        assert_eq!(bytes[96..100], [3, 0, 2, 9]);
        assert_eq!(bytes[112..144], [0xaa; 32]);
        assert_eq!(bytes[144..160], [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]);
        assert_eq!(crc32fast::hash(&bytes), at::CRC_RESIDUE);
        let words = [0, 4].map(|start| u32::from_le_bytes([0, 1, 2, 3].map(|at| bytes[start + at])));
        assert_eq!(words, at::MAGIC_WORDS);
    }

    #[test]
    fn other_sectors_and_versions_are_told_apart() {
        assert_eq!(BootRecord::decode(&[0; RECORD_BYTES]), Err(RecordError::Magic));
        let mut bytes = BootRecord::fresh(SlotRecord::EMPTY).encode();
        bytes[8] = 9;
        assert_eq!(BootRecord::decode(&bytes), Err(RecordError::Crc));
        let crc = crc32fast::hash(&bytes[..508]);
        bytes[508..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(BootRecord::decode(&bytes), Err(RecordError::Version(9)));
    }
}
