//! When a device asks next. No two ask in step, and who gets no answer asks less and less often, but never less than once in an interval.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::PollInterval;
use crate::device_id::DeviceId;

/// What precedes a device's name where its next moment is drawn.
const DOMAIN: &[u8] = b"outcrop poll 1\0";
/// The first try after one that failed comes after this part of the interval; each further one takes twice as long.
const FIRST_PART: i64 = 16;

/// The next moment after one that went well: an interval later, an eighth less or more.
#[must_use]
pub fn next_after_success(device: DeviceId, now: Timestamp, interval: PollInterval) -> Timestamp {
    spread(device, now, interval.seconds())
}

/// The next moment after `failures` in a row that went wrong, this one included.
#[must_use]
pub fn next_after_failure(
    device: DeviceId,
    now: Timestamp,
    interval: PollInterval,
    failures: u32,
) -> Timestamp {
    let first = (interval.seconds() / FIRST_PART).max(1);
    let doubled = first.checked_mul(1_i64.checked_shl(failures.saturating_sub(1).min(31)).unwrap_or(1));
    spread(device, now, doubled.unwrap_or(i64::MAX).min(interval.seconds()))
}

/// Whether it is time to ask. A moment that is further off than any that is drawn was drawn by a clock that was wrong.
#[must_use]
pub fn is_due(next: Option<Timestamp>, now: Timestamp, interval: PollInterval) -> bool {
    let longest = SignedDuration::from_secs(interval.seconds() + interval.seconds() / 8);
    next.is_none_or(|next| next <= now || next.duration_since(now) > longest)
}

/// `seconds` from now, an eighth less or more, drawn by device and moment.
fn spread(device: DeviceId, now: Timestamp, seconds: i64) -> Timestamp {
    let hash = Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(device.as_bytes())
        .chain_update(now.as_second().to_le_bytes())
        .finalize();
    let drawn = i64::from(hash.first_chunk().copied().map_or(0, u16::from_le_bytes));
    let eighth = seconds / 8;
    let shift = eighth * drawn / i64::from(u16::MAX) * 2 - eighth;
    let wait = SignedDuration::from_secs((seconds + shift).max(1));
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hour() -> PollInterval {
        "1h".parse().unwrap()
    }

    fn seconds(from: Timestamp, to: Timestamp) -> i64 {
        to.duration_since(from).as_secs()
    }

    #[test]
    fn five_hundred_devices_don_t_ask_in_step() {
        let now = Timestamp::from_second(1_796_000_000).unwrap();
        let mut quarters = [0; 4];
        for number in 0..500_u128 {
            let next = next_after_success(DeviceId::from_bytes(number.to_le_bytes()), now, hour());
            let place = usize::try_from((seconds(now, next) - 3150) / 225).unwrap();
            quarters[place.min(3)] += 1;
        }
        assert!(
            quarters.iter().all(|count| (80..170).contains(count)),
            "{quarters:?}"
        );
    }

    #[test]
    fn who_gets_no_answer_waits_longer_each_time_but_no_longer_than_an_interval() {
        let now = Timestamp::from_second(1_796_000_000).unwrap();
        let device = DeviceId::from_bytes([7; 16]);
        let waits: Vec<i64> = (1..9)
            .map(|failures| seconds(now, next_after_failure(device, now, hour(), failures)))
            .collect();
        assert!(
            waits[0] <= 255 && waits.windows(2).all(|pair| pair[0] <= pair[1]),
            "{waits:?}"
        );
        assert!((3150..=4050).contains(&waits[7]), "{waits:?}");
        assert!((3150..=4050).contains(&seconds(now, next_after_failure(device, now, hour(), u32::MAX))));
    }

    #[test]
    fn a_moment_that_a_wrong_clock_drew_doesn_t_count() {
        let now = Timestamp::from_second(1_796_000_000).unwrap();
        let after = |seconds| now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        assert!(is_due(None, now, hour()));
        assert!(!is_due(Some(after(4050)), now, hour()));
        // A month in the past: the network is back. A year ahead: the clock was.
        assert!(is_due(Some(after(-30 * 86_400)), now, hour()));
        assert!(is_due(Some(after(365 * 86_400)), now, hour()));
    }

    proptest! {
        #[test]
        fn the_next_moment_is_always_drawn_near_enough_to_count(
            device in any::<[u8; 16]>(), second in 0..4_000_000_000_i64, interval in 60..700_000_i64, failures in 0..100_u32
        ) {
            let (device, now) = (DeviceId::from_bytes(device), Timestamp::from_second(second).unwrap());
            let interval: PollInterval = format!("{interval}s").parse().unwrap_or_else(|_| hour());
            for next in [next_after_success(device, now, interval), next_after_failure(device, now, interval, failures)] {
                prop_assert!(next > now && !is_due(Some(next), now, interval));
            }
        }
    }
}
