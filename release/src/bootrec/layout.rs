//! Offsets of a record's fields, in bytes, and the codes in them. Numbers are little-endian. What isn't named is zero.
//!
//! U-Boot's script is made of them too ([`crate::uboot`]).

use super::state::BadReason;

pub(crate) const VERSION: usize = 8;
pub(crate) const SEQUENCE: usize = 12;
pub(crate) const DEFAULT: usize = 16;
/// Slot, stage and tries of the trial.
pub(crate) const TRIAL: usize = 17;
pub(crate) const SWITCHED: usize = 20;
/// Slot A's bytes; slot B's follow [`SLOT_BYTES`] later.
pub(crate) const SLOTS: usize = 32;
pub(crate) const SLOT_BYTES: usize = 64;
/// Inside a slot's bytes.
pub(crate) const STATE: usize = 0;
pub(crate) const ATTEMPTS: usize = 1;
pub(crate) const REASON: usize = 2;
pub(crate) const STARTS: usize = 3;
pub(crate) const RELEASE: usize = 16;
/// Length and CRC-32.
pub(crate) const KERNEL: usize = 48;
pub(crate) const INITRAMFS: usize = 56;
/// The end of what the CRC covers.
pub(crate) const CRC: usize = 508;

/// At the beginning, as two numbers.
pub(crate) const MAGIC_WORDS: [u32; 2] = [0x4354_554f, 0x4250_4f52];
/// The version that this program writes.
pub(crate) const KNOWN_VERSION: u32 = 1;
/// A boot loader's script that can't pick the sum out of a record checks all of it: that gives this constant.
pub(crate) const CRC_RESIDUE: u32 = 0x2144_df1c;
/// In place of a slot: none.
pub(crate) const NO_SLOT: u8 = 0xff;

/// Stages of a trial.
pub(crate) const ARMING: u8 = 1;
pub(crate) const ARMED: u8 = 2;
pub(crate) const RUNNING: u8 = 3;

/// States of a slot.
pub(crate) const EMPTY: u8 = 0;
pub(crate) const WRITTEN: u8 = 1;
pub(crate) const GOOD: u8 = 2;
pub(crate) const BAD: u8 = 3;

/// The code of a bad slot's reason: its place in [`BadReason::ALL`], from 1.
pub(crate) fn reason_code(reason: BadReason) -> u8 {
    let place = BadReason::ALL.iter().position(|known| *known == reason);
    place
        .and_then(|place| u8::try_from(place + 1).ok())
        .unwrap_or_default()
}
