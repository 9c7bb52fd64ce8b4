//! What a boot record says of slots and trials.

use crate::{digest::FileDigest, slot::Slot, verity::BLOCK_BYTES};

/// Why a release isn't started any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BadReason {
    /// A required health check failed for good.
    CheckFailed,
    /// The health checks didn't come to an end in time.
    Deadline,
    /// The kernel panicked.
    Panic,
    /// The hardware watchdog reset the machine.
    Watchdog,
    /// Trial boots ended too often without a verdict.
    TooManyTries,
    /// It was the default, and boots of it ended too often before the device was healthy.
    TooManyAttempts,
    /// Its bytes don't match what was signed.
    Damaged,
    /// Somebody said so.
    Operator,
}

impl BadReason {
    /// All, in the order of their codes, which start at 1.
    pub const ALL: [Self; 8] = [
        Self::CheckFailed,
        Self::Deadline,
        Self::Panic,
        Self::Watchdog,
        Self::TooManyTries,
        Self::TooManyAttempts,
        Self::Damaged,
        Self::Operator,
    ];
}

/// What is known of a slot's release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlotState {
    /// Nothing whole is in the slot: it is never started.
    Empty,
    /// A release was written, read back and found whole; it was never committed.
    Written,
    /// A release was committed: its health checks held.
    Good,
    /// A release failed and isn't started by itself any more.
    Bad(BadReason),
}

/// One file of a boot payload, by which damage is found: by the boot loader, or by the running system for the other slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PayloadPart {
    /// Length, in bytes.
    pub len: u32,
    /// CRC-32 (IEEE 802.3) of those bytes.
    pub crc32: u32,
}

impl PayloadPart {
    /// Sums up a file that comes in pieces; none when it is 4 GiB or longer.
    #[must_use]
    pub fn of<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> Option<Self> {
        let (mut sum, mut len) = (crc32fast::Hasher::new(), 0_u64);
        for piece in pieces {
            sum.update(piece);
            len += piece.len() as u64;
        }
        let len = u32::try_from(len).ok()?;
        Some(Self {
            len,
            crc32: sum.finalize(),
        })
    }
}

/// What a slot's boot payload is, to find damage; zeros say that it isn't known, and nothing is checked then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Payload {
    /// The kernel. On board `efi` the boot payload itself, in whole blocks of 4096 bytes.
    pub kernel: PayloadPart,
    /// The initramfs; zeros on board `efi`.
    pub initramfs: PayloadPart,
}

impl Payload {
    /// What is said of a UKI.
    #[must_use]
    pub fn of_uki(uki: &[u8]) -> Self {
        let padding = vec![0; uki.len().next_multiple_of(BLOCK_BYTES) - uki.len()];
        Self {
            kernel: PayloadPart::of([uki, &padding]).unwrap_or_default(),
            initramfs: PayloadPart::default(),
        }
    }

    /// What is said of a kernel and an initramfs that the boot loader reads as files of their own.
    #[must_use]
    pub fn of_files(kernel: &[u8], initramfs: &[u8]) -> Self {
        Self {
            kernel: PayloadPart::of([kernel]).unwrap_or_default(),
            initramfs: PayloadPart::of([initramfs]).unwrap_or_default(),
        }
    }

    /// Length of a UKI, in bytes; none when it isn't known, or these are files of their own.
    #[must_use]
    pub fn uki_bytes(&self) -> Option<u64> {
        let is_uki = self.kernel.len > 0 && self.initramfs == PayloadPart::default();
        is_uki.then_some(self.kernel.len.into())
    }
}

/// What is known of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotRecord {
    /// The state of its release.
    pub state: SlotState,
    /// Boots of it, as the default, since the device was last healthy; stays at 255.
    pub attempts: u8,
    /// Starts of it, as the default, by a loader that reads the record itself, since it last came to its own code; stays at 255.
    pub starts: u8,
    /// Digest of the release's manifest; all zero when the slot is empty or its image was flashed unsigned.
    pub release: FileDigest,
    /// What the boot loader checks.
    pub payload: Payload,
}

impl SlotRecord {
    /// A slot that holds nothing.
    pub const EMPTY: Self = Self {
        state: SlotState::Empty,
        attempts: 0,
        starts: 0,
        release: FileDigest::from_bytes([0; 32]),
        payload: Payload {
            kernel: PayloadPart { len: 0, crc32: 0 },
            initramfs: PayloadPart { len: 0, crc32: 0 },
        },
    };
}

/// How far a trial has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrialStage {
    /// The updater is telling the firmware to start the slot once; whether it has heard is not known.
    Arming,
    /// The next boot starts the slot.
    Armed,
    /// The slot was started and waits for its verdict.
    Running,
}

/// A slot that is started once, whatever the default is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trial {
    /// The slot on trial: never the one that runs.
    pub slot: Slot,
    /// How far it has come.
    pub stage: TrialStage,
    /// How often it was started without coming to a verdict.
    pub tries: u8,
}
