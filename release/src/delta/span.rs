//! Where the blocks of a new payload come from: spans that follow one another, from its first block to its last.

use std::io::{self, Read};

use super::varint;

/// Data blocks below one leaf block of a hash tree: 512 KiB.
pub const GROUP_BLOCKS: u32 = 128;
/// Fewest bytes of a span in an index.
const MIN_SPAN_BYTES: usize = 1;

/// Where a span's blocks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpanSource {
    /// The old payload has the same blocks, from this one on.
    Old(u32),
    /// They are patched.
    Patch,
}

/// Neighbouring blocks of the new payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// First block in the new payload.
    pub first: u32,
    /// How many, at least one.
    pub blocks: u32,
    /// Where they come from.
    pub source: SpanSource,
}

/// All spans of a payload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spans {
    spans: Vec<Span>,
}

impl Span {
    /// The block behind the last one.
    #[must_use]
    pub const fn end(&self) -> u32 {
        self.first + self.blocks
    }

    /// The part of the span that lies in `first..end`; none when nothing does.
    #[must_use]
    pub fn within(&self, first: u32, end: u32) -> Option<Self> {
        let (start, stop) = (self.first.max(first), self.end().min(end));
        let skipped = start - self.first.min(start);
        (start < stop).then(|| Self {
            first: start,
            blocks: stop - start,
            source: match self.source {
                SpanSource::Old(block) => SpanSource::Old(block + skipped),
                SpanSource::Patch => SpanSource::Patch,
            },
        })
    }
}

impl Spans {
    /// Appends the next block; it joins the last span where it goes on like it. Blocks have numbers of 32 bits: one behind the last
    /// of them is left out, and no payload has it.
    pub fn push(&mut self, source: SpanSource) {
        let first = self.blocks();
        let joins = match (self.spans.last(), source) {
            (Some(last), SpanSource::Patch) => last.source == SpanSource::Patch,
            (Some(last), SpanSource::Old(block)) => {
                matches!(last.source, SpanSource::Old(old) if old.checked_add(last.blocks) == Some(block))
            }
            (None, _) => false,
        };
        match self.spans.last_mut().filter(|_| joins) {
            Some(last) if last.end() < u32::MAX => last.blocks += 1,
            Some(_) => {}
            None => self.spans.push(Span {
                first,
                blocks: 1,
                source,
            }),
        }
    }

    /// How many blocks there are.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        self.spans.last().map_or(0, Span::end)
    }

    /// All, in order.
    #[must_use]
    pub fn all(&self) -> &[Span] {
        &self.spans
    }

    /// The spans, or parts of them, in `first..end`.
    pub fn within(&self, first: u32, end: u32) -> impl Iterator<Item = Span> + '_ {
        let from = self.spans.partition_point(|span| span.end() <= first);
        self.spans
            .iter()
            .skip(from)
            .take_while(move |span| span.first < end)
            .filter_map(move |span| span.within(first, end))
    }

    /// How many blocks in `first..end` are patched.
    #[must_use]
    pub fn patched(&self, first: u32, end: u32) -> u32 {
        self.within(first, end)
            .filter(|span| span.source == SpanSource::Patch)
            .map(|span| span.blocks)
            .sum()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.spans.len() as u64);
        let mut expected = 0;
        for span in &self.spans {
            let patch = u64::from(span.source == SpanSource::Patch);
            varint::put(out, u64::from(span.blocks) << 1 | patch);
            if let SpanSource::Old(block) = span.source {
                varint::put_signed(out, i64::from(block) - i64::from(span.first) - expected);
                expected = i64::from(block) - i64::from(span.first);
            }
        }
    }

    /// Reads spans that lie in an old payload of `old_blocks`.
    pub(super) fn decode(from: &mut &[u8], old_blocks: u32) -> io::Result<Self> {
        let wrong = || io::Error::from(io::ErrorKind::InvalidData);
        let count = usize::try_from(varint::get(from)?).map_err(|_| wrong())?;
        if count > from.len() / MIN_SPAN_BYTES {
            return Err(wrong());
        }
        let mut spans = Vec::with_capacity(count);
        let (mut first, mut expected) = (0_u32, 0_i64);
        for _ in 0..count {
            let word = varint::get(from)?;
            let blocks = u32::try_from(word >> 1).map_err(|_| wrong())?;
            let end = first
                .checked_add(blocks)
                .filter(|_| blocks > 0)
                .ok_or_else(wrong)?;
            let source = if word & 1 == 1 {
                SpanSource::Patch
            } else {
                expected = expected
                    .checked_add(varint::get_signed(from)?)
                    .ok_or_else(wrong)?;
                old_span(expected, first, blocks, old_blocks).ok_or_else(wrong)?
            };
            spans.push(Span {
                first,
                blocks,
                source,
            });
            first = end;
        }
        Ok(Self { spans })
    }
}

/// The source that lies `shift` blocks away from the same place, if all of it is in the old payload.
fn old_span(shift: i64, first: u32, blocks: u32, old_blocks: u32) -> Option<SpanSource> {
    let block = u32::try_from(i64::from(first).checked_add(shift)?).ok()?;
    let end = block.checked_add(blocks)?;
    (end <= old_blocks).then_some(SpanSource::Old(block))
}

/// Reads a number of bytes that must be there.
pub(super) fn array<const N: usize>(from: &mut &[u8]) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn spans() -> impl Strategy<Value = Spans> {
        let source = prop_oneof![Just(SpanSource::Patch), (0..1000_u32).prop_map(SpanSource::Old)];
        let run = (source, 1..300_u32);
        proptest::collection::vec(run, 1..30).prop_map(|runs| {
            let mut spans = Spans::default();
            for (source, blocks) in runs {
                for number in 0..blocks {
                    spans.push(match source {
                        SpanSource::Old(block) => SpanSource::Old(block + number),
                        SpanSource::Patch => SpanSource::Patch,
                    });
                }
            }
            spans
        })
    }

    proptest! {
        #[test]
        fn spans_survive_being_written_and_read_and_none_leaves_the_old_payload(spans in spans()) {
            let mut bytes = Vec::new();
            spans.encode(&mut bytes);
            let highest = spans.all().iter().filter_map(|span| match span.source {
                SpanSource::Old(block) => Some(block + span.blocks),
                SpanSource::Patch => None,
            });
            let highest = highest.max().unwrap_or(0);
            prop_assert_eq!(&Spans::decode(&mut bytes.as_slice(), highest).unwrap(), &spans);
            if highest > 0 {
                prop_assert!(Spans::decode(&mut bytes.as_slice(), highest - 1).is_err());
            }
        }

        #[test]
        fn what_lies_in_a_range_is_every_block_of_it_once(spans in spans(), first in 0..2000_u32, len in 0..500_u32) {
            let end = first.saturating_add(len).min(spans.blocks());
            let mut next = first;
            for span in spans.within(first, end) {
                prop_assert_eq!(span.first, next);
                next = span.end();
                let whole = spans.all().iter().find(|whole| whole.first <= span.first && span.first < whole.end());
                let shift = |span: &Span| match span.source {
                    SpanSource::Old(block) => Some(i64::from(block) - i64::from(span.first)),
                    SpanSource::Patch => None,
                };
                prop_assert_eq!(shift(&span), shift(whole.unwrap()));
            }
            prop_assert_eq!(next, end.max(first));
        }

        #[test]
        fn any_bytes_are_spans_or_an_error(bytes: Vec<u8>) {
            let _spans_or_error = Spans::decode(&mut bytes.as_slice(), 1000);
        }
    }

    #[test]
    fn blocks_that_go_on_like_the_last_join_its_span() {
        let mut spans = Spans::default();
        for source in [
            SpanSource::Old(4),
            SpanSource::Old(5),
            SpanSource::Patch,
            SpanSource::Patch,
            SpanSource::Old(5),
        ] {
            spans.push(source);
        }
        let lengths: Vec<u32> = spans.all().iter().map(|span| span.blocks).collect();
        assert_eq!(
            (lengths.as_slice(), spans.blocks(), spans.patched(1, 4)),
            (&[2, 2, 1][..], 5, 2)
        );
    }
}
