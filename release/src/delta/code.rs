//! Machine code, made easier to compress: calls hold where they lead to instead of how far that is.
//!
//! A function that is called from many places is then the same bytes everywhere. Both directions take the same decisions, so that any
//! bytes come back, code or not. Sources for the method: liblzma, "BCJ filters"; for the instructions: Intel SDM volume 2, "CALL" and "JMP"; Arm ARM, "BL"
//! and "ADRP".

/// What code a frame has among its extra bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Code {
    /// None.
    #[default]
    None,
    /// x86_64's.
    X86,
    /// aarch64's.
    Arm64,
}

/// From distances to places, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToPlaces,
    ToDistances,
}

impl Code {
    /// The number that stands for it in an index.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::None => 0,
            Self::X86 => 1,
            Self::Arm64 => 2,
        }
    }

    /// What a number in an index stands for.
    #[must_use]
    pub const fn of_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::X86),
            2 => Some(Self::Arm64),
            _ => None,
        }
    }

    /// Makes code easier to compress: a whole run, whose first byte is the `at`th that its frame makes.
    pub fn encode(self, at: u64, run: &mut [u8]) {
        self.turn(at, run, Direction::ToPlaces);
    }

    /// Makes code of what [`Code::encode`] made, as much as can be known without what follows: how many bytes. Less than
    /// [`Code::LONGEST`] are left.
    pub(super) fn decode(self, at: u64, run: &mut [u8]) -> usize {
        self.turn(at, run, Direction::ToDistances)
    }

    /// Bytes of the longest instruction that is looked at.
    pub(super) const LONGEST: usize = 5;

    fn turn(self, at: u64, run: &mut [u8], direction: Direction) -> usize {
        match self {
            Self::None => run.len(),
            Self::X86 => x86(at, run, direction),
            Self::Arm64 => arm64(at, run, direction),
        }
    }
}

/// Calls and jumps of less than 16 MiB: one byte, and the distance, 25 bits with their sign.
///
/// What is done at one byte doesn't change whether it is done there, but may change whether it is done right before. So one direction goes
/// from the end to the start, and the other back.
fn x86(start: u64, run: &mut [u8], direction: Direction) -> usize {
    let count = run.len().saturating_sub(Code::LONGEST - 1);
    match direction {
        Direction::ToPlaces => (0..count).rev().for_each(|at| x86_at(start, run, at, direction)),
        Direction::ToDistances => (0..count).for_each(|at| x86_at(start, run, at, direction)),
    }
    count
}

fn x86_at(start: u64, run: &mut [u8], at: usize, direction: Direction) {
    const BITS: u32 = 25;
    let instruction = run
        .get_mut(at..)
        .and_then(<[u8]>::first_chunk_mut::<{ Code::LONGEST }>);
    let Some([0xe8 | 0xe9, distance @ ..]) = instruction else {
        return;
    };
    if !matches!(distance, [.., 0 | 0xff]) {
        return;
    }
    let place = low(start.wrapping_add(at as u64));
    let turned = turned(u32::from_le_bytes(*distance), place, direction);
    // The highest of the bits is the sign, and fills those above.
    let signed = (turned << (u32::BITS - BITS)).cast_signed() >> (u32::BITS - BITS);
    *distance = signed.to_le_bytes();
}

/// `BL`, in words, and `ADRP`, in pages: instructions of four bytes, aligned.
fn arm64(start: u64, run: &mut [u8], direction: Direction) -> usize {
    const WORD: usize = 4;
    let before = (0..WORD).find(|before| start.wrapping_add(*before as u64).is_multiple_of(WORD as u64));
    let first = before.unwrap_or(0);
    let words = run.get_mut(first..).unwrap_or_default().as_chunks_mut().0;
    let mut end = first;
    for word in words {
        let at = start.wrapping_add(end as u64);
        let instruction = u32::from_le_bytes(*word);
        let turned = if instruction & 0xfc00_0000 == 0x9400_0000 {
            0x9400_0000 | turned(instruction, low(at >> 2), direction) & 0x03ff_ffff
        } else if instruction & 0x9f00_0000 == 0x9000_0000 {
            let pages = (instruction >> 5 & 0x7_ffff) << 2 | instruction >> 29 & 3;
            let pages = turned(pages, low(at >> 12), direction);
            instruction & 0x9f00_001f | (pages >> 2 & 0x7_ffff) << 5 | (pages & 3) << 29
        } else {
            instruction
        };
        *word = turned.to_le_bytes();
        end += WORD;
    }
    end.min(run.len())
}

const fn turned(value: u32, place: u32, direction: Direction) -> u32 {
    match direction {
        Direction::ToPlaces => value.wrapping_add(place),
        Direction::ToDistances => value.wrapping_sub(place),
    }
}

/// The lowest 32 bits.
const fn low(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Code; 3] = [Code::None, Code::X86, Code::Arm64];

    #[test]
    fn calls_of_one_function_become_the_same_bytes() {
        // call rel32, to byte 1000, from bytes 0 and 5.
        let mut run = [0xe8, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0];
        run[1..5].copy_from_slice(&1000_u32.to_le_bytes());
        run[6..].copy_from_slice(&995_u32.to_le_bytes());
        Code::X86.encode(64, &mut run);
        assert_eq!(run[..5], run[5..]);
        // bl, to word 100, from words 16 and 17.
        let mut run = [0x9400_0000_u32 | 84, 0x9400_0000 | 83]
            .map(u32::to_le_bytes)
            .concat();
        Code::Arm64.encode(64, &mut run);
        assert_eq!(run[..4], run[4..]);
    }

    #[test]
    fn numbers_stand_for_kinds_of_code_and_others_for_none() {
        for code in ALL {
            assert_eq!(Code::of_number(code.number()), Some(code));
        }
        assert_eq!(Code::of_number(3), None);
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(at: u64, picks in proptest::collection::vec(0..6_usize, 0..300)) {
            let bytes: Vec<u8> = picks.iter().map(|pick| [0xe8, 0xe9, 0, 0xff, 0x94, 0x90][*pick]).collect();
            for code in ALL {
                let mut run = bytes.clone();
                code.encode(at, &mut run);
                let done = code.decode(at, &mut run);
                prop_assert!(run.len() - done < Code::LONGEST);
                prop_assert_eq!(&run, &bytes);
            }
        }
    }
}
