//! A compressed block: literals and sequences, with the tables that they are coded with. Source: RFC 8878, 3.1.1.3.

use super::{
    BareError, MAX_BLOCK_BYTES,
    literals::Literals,
    sequences::{SEQUENCE_BYTES, Sequences, Tables},
};

/// What a block hands on to the next: tables that it may use again.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) codes: Option<super::huffman::Codes>,
    pub(super) tables: Tables,
}

/// The bare form of a block's content: what describes it, and its sequences, each of [`SEQUENCE_BYTES`].
#[derive(Debug, Default)]
pub(super) struct Bare {
    pub(super) head: Vec<u8>,
    pub(super) sequences: Vec<u8>,
}

/// Takes the entropy coding off a block's content.
pub(super) fn strip(content: &[u8], memory: &mut Memory) -> Result<Bare, BareError> {
    let (literals, used) = Literals::parse(content)?;
    let (literals_part, rest) = content.split_at_checked(used).ok_or(CUT)?;
    let mut head = Vec::new();
    let count = literals.strip(literals_part, memory, &mut head)?;
    let (sequences, used) = Sequences::parse(rest, &mut memory.tables)?;
    let (description, stream) = rest.split_at_checked(used).ok_or(CUT)?;
    head.extend_from_slice(description);
    let sequences = sequences.read(stream, &memory.tables)?;
    check_length(count, &sequences)?;
    Ok(Bare { head, sequences })
}

/// Puts the entropy coding back on: `head` may have zeros behind it.
pub(super) fn code(bare: &[u8], memory: &mut Memory, out: &mut Vec<u8>) -> Result<(), BareError> {
    let (literals, _) = Literals::parse(bare)?;
    let (used, count) = literals.code(bare, memory, out)?;
    let rest = bare.get(used..).ok_or(CUT)?;
    let (sequences, used) = Sequences::parse(rest, &mut memory.tables)?;
    let (description, behind) = rest.split_at_checked(used).ok_or(CUT)?;
    out.extend_from_slice(description);
    let len = sequences.count() * SEQUENCE_BYTES;
    let (padding, stream) = behind
        .len()
        .checked_sub(len)
        .and_then(|padding| behind.split_at_checked(padding))
        .ok_or(CUT)?;
    if padding.len() >= SEQUENCE_BYTES || padding.iter().any(|byte| *byte != 0) {
        return Err(BareError::Damaged("a block's bare form has bytes left over"));
    }
    check_length(count, stream)?;
    sequences.write(stream, &memory.tables, out)
}

const CUT: BareError = BareError::Damaged("a block ends too early");

/// A block makes no more than it may, and its sequences take no more literals than there are.
fn check_length(literals: usize, sequences: &[u8]) -> Result<(), BareError> {
    let (mut taken, mut matched) = (0, 0);
    for record in sequences.as_chunks().0 {
        let sequence = super::sequences::Sequence::of_record(record);
        taken += u64::from(sequence.literals);
        matched += u64::from(sequence.matched);
    }
    if taken <= literals as u64 && literals as u64 + matched <= MAX_BLOCK_BYTES as u64 {
        Ok(())
    } else {
        Err(BareError::Damaged("a block is longer than a block may be"))
    }
}
