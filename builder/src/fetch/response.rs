//! What an answer means for a download that has some bytes already. Pure.

/// What to do with an answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Append it to what is there.
    Continue,
    /// Drop what is there: the body begins at byte 0.
    Restart,
    /// The server says that the range is impossible: drop what is there and ask again.
    AskForAll,
    /// The file is longer than the lock says.
    TooLong,
    /// The server hasn't got the file (404, 410).
    Absent,
    /// The server is in trouble (5xx, 408, 429): try again.
    TryAgain,
    /// Another status: trying again is pointless.
    GiveUp,
}

/// An answer to a request from byte `have` on, of a file of `expected` bytes. RFC 9110, sections 14 and 15.
pub(super) fn plan(status: u16, length: Option<u64>, range: Option<&str>, have: u64, expected: u64) -> Plan {
    match status {
        200 => whole(length, expected),
        206 if have > 0 => part(length, range, have, expected),
        416 if have > 0 => Plan::AskForAll,
        404 | 410 => Plan::Absent,
        408 | 425 | 429 | 500..=599 => Plan::TryAgain,
        _ => Plan::GiveUp,
    }
}

fn whole(length: Option<u64>, expected: u64) -> Plan {
    if length.is_some_and(|length| length > expected) {
        return Plan::TooLong;
    }
    Plan::Restart
}

fn part(length: Option<u64>, range: Option<&str>, have: u64, expected: u64) -> Plan {
    let Some((start, total)) = range.and_then(content_range) else {
        return Plan::AskForAll;
    };
    if total.is_some_and(|total| total > expected) || length.is_some_and(|length| length > expected - have) {
        return Plan::TooLong;
    }
    if start == have {
        Plan::Continue
    } else {
        Plan::AskForAll
    }
}

/// First byte and, if stated, the whole length: `bytes 100-199/200`, `bytes 100-199/*`. RFC 9110, section 14.4.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end): (u64, u64) = (start.trim().parse().ok()?, end.trim().parse().ok()?);
    let total = match total.trim() {
        "*" => None,
        digits => Some(digits.parse().ok()?),
    };
    (start <= end && total.is_none_or(|total| end < total)).then_some((start, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_continued_only_where_it_was_asked_to_begin() {
        let answer = |range| plan(206, None, range, 100, 200);
        assert_eq!(answer(Some("bytes 100-199/200")), Plan::Continue);
        assert_eq!(answer(Some("bytes 100-199/*")), Plan::Continue);
        for other in [
            None,
            Some("bytes 0-199/200"),
            Some("bytes 99-199/200"),
            Some("bytes 100-99/200"),
            Some("bytes 100-200/200"),
            Some("pages 100-199/200"),
            Some("bytes */200"),
        ] {
            assert_eq!(answer(other), Plan::AskForAll, "{other:?}");
        }
        assert_eq!(answer(Some("bytes 100-200/201")), Plan::TooLong);
        assert_eq!(
            plan(206, Some(101), Some("bytes 100-199/200"), 100, 200),
            Plan::TooLong
        );
    }

    #[test]
    fn a_server_that_ignores_the_range_makes_the_download_begin_again() {
        assert_eq!(plan(200, Some(200), None, 100, 200), Plan::Restart);
        assert_eq!(plan(200, None, None, 0, 200), Plan::Restart);
        assert_eq!(plan(200, Some(201), None, 0, 200), Plan::TooLong);
        assert_eq!(plan(416, None, None, 100, 200), Plan::AskForAll);
    }

    #[test]
    fn statuses_say_whether_trying_again_makes_sense() {
        for (status, expected) in [
            (404, Plan::Absent),
            (410, Plan::Absent),
            (500, Plan::TryAgain),
            (503, Plan::TryAgain),
            (429, Plan::TryAgain),
            (403, Plan::GiveUp),
            (206, Plan::GiveUp),
            (416, Plan::GiveUp),
            (304, Plan::GiveUp),
        ] {
            assert_eq!(plan(status, None, None, 0, 200), expected, "{status}");
        }
    }
}
