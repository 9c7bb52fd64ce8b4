//! Fetches pages of the index, for the frames that hold missing blocks.

use super::{BlockSet, Ledger, Part, Survey, SurveyError};
use crate::{
    bundle::{PageTable, PayloadName, PlacedFrame, TopTable},
    plan::ByteRange,
};

/// The pages that have the frames of a set of blocks, ascending.
fn pages_of(table: &PageTable, blocks: &BlockSet) -> Vec<usize> {
    let mut pages = Vec::new();
    let mut next = blocks.next(0);
    while let Some(page) = next.and_then(|block| table.page_of(block.into())) {
        pages.push(page);
        next = u32::try_from(table.end_block(page))
            .ok()
            .and_then(|end| blocks.next(end));
    }
    pages
}

/// Whether a frame holds a block of a set.
fn holds_any(frame: &PlacedFrame, blocks: &BlockSet) -> bool {
    let next = u32::try_from(frame.first)
        .ok()
        .and_then(|first| blocks.next(first));
    next.is_some_and(|block| u64::from(block) < frame.end_block())
}

impl<E: From<SurveyError>> Survey<'_, E> {
    /// The frames that hold these blocks, ascending. Pages of both payloads are asked for together.
    pub(super) fn frames(
        &mut self,
        top: &mut Option<TopTable>,
        wanted: [(PayloadName, &BlockSet); 2],
        ledger: &mut Ledger,
    ) -> Result<[Vec<PlacedFrame>; 2], E> {
        if wanted.iter().all(|(_, blocks)| blocks.is_empty()) {
            return Ok([Vec::new(), Vec::new()]);
        }
        let top = self.top(top, ledger)?.clone();
        let table = |payload: PayloadName| match payload {
            PayloadName::Boot => &top.boot,
            PayloadName::Root => &top.root,
        };
        let mut pages = Vec::new();
        for (place, (payload, blocks)) in wanted.into_iter().enumerate() {
            let numbers = pages_of(table(payload), blocks);
            pages.extend(numbers.into_iter().map(|number| (place, payload, blocks, number)));
        }
        let range = |payload, number| {
            let place = table(payload).place(number)?;
            Some(self.layout.index.range(place.start, place.start + place.bytes))
        };
        let ranges: Vec<ByteRange> = pages
            .iter()
            .filter_map(|(_, payload, _, number)| range(*payload, *number))
            .collect();
        ledger.fetch(Part::Index, &ranges)?;
        let mut found = [Vec::new(), Vec::new()];
        self.bundle.fetch(&ranges, &mut |at, bytes| {
            let Some((place, payload, blocks, number)) = pages.get(at) else {
                return Ok(());
            };
            let frames = table(*payload)
                .decode(*number, bytes)
                .map_err(SurveyError::from)?;
            let wanted = frames.into_iter().filter(|frame| holds_any(frame, blocks));
            if let Some(found) = found.get_mut(*place) {
                found.extend(wanted);
            }
            Ok(())
        })?;
        Ok(found)
    }
}
