use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;

use super::*;
use crate::trust::PublicKey;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::from_bytes(key(seed).verifying_key().as_bytes()).unwrap()
}

fn fate(version: &str) -> Event {
    Event::Release {
        fate: Fate::Installed,
        version: version.to_owned(),
        slot: "b".to_owned(),
        reason: None,
    }
}

/// A history of these events, a line each.
fn lines(seed: u8, events: &[Event]) -> Vec<Vec<u8>> {
    let (device, mut last) = (DeviceId::of(&public(seed)), None);
    let mut lines = Vec::new();
    for (number, event) in (0..).zip(events) {
        let at = Timestamp::from_second(1_795_000_000 + number).unwrap();
        let entry = Entry::after(last.as_ref(), at, device, event.clone());
        let json = entry.to_json();
        lines.push(line(&json, &key(seed).sign(&signed_message(&json)).to_bytes()));
        last = Some(entry.last());
    }
    lines
}

fn some() -> Vec<Event> {
    let refused = Event::Refused {
        what_was: "edge 1.0.0".to_owned(),
        reason: "it is older".to_owned(),
    };
    vec![
        Event::Began {
            damaged: false,
            fates: 0,
        },
        fate("1.0.0"),
        refused.clone(),
        Event::Checkpoint,
        refused,
        fate("1.1.0"),
    ]
}

fn found(lines: &[Vec<u8>]) -> Result<Verified, JournalError> {
    verify(&lines.concat(), &public(1))
}

#[test]
fn a_whole_history_is_whole_and_tells_its_head() {
    let lines = lines(1, &some());
    let verified = found(&lines).unwrap();
    let last = verified.last.unwrap();
    assert_eq!(
        (
            verified.entries.len(),
            last.head.number,
            last.fates,
            verified.torn
        ),
        (6, 6, 2, 0)
    );
    assert_eq!(verified.has(&last.head).unwrap(), Kept::There);
    assert_eq!(verified.entries[1].event, fate("1.0.0"));
    assert_eq!(found(&[]).unwrap().last, None);
}

#[test]
fn an_edited_event_is_found() {
    let mut lines = lines(1, &some());
    lines[1] = String::from_utf8(lines[1].clone())
        .unwrap()
        .replace("1.0.0", "2.0.0")
        .into_bytes();
    assert!(matches!(found(&lines), Err(JournalError::Edited { number: 2 })));
}

#[test]
fn a_removed_event_and_another_order_are_found() {
    let all = lines(1, &some());
    for place in 1..all.len() - 1 {
        let mut lines = all.clone();
        lines.remove(place);
        assert!(
            matches!(found(&lines), Err(JournalError::Order { .. })),
            "{place}"
        );
        let mut lines = all.clone();
        lines.swap(place, place + 1);
        assert!(
            matches!(found(&lines), Err(JournalError::Order { .. })),
            "{place}"
        );
    }
    let mut twice = all.clone();
    twice.insert(2, all[1].clone());
    assert!(matches!(
        found(&twice),
        Err(JournalError::Order {
            expected: 3,
            found: 2
        })
    ));
}

#[test]
fn the_oldest_events_may_go_up_to_a_checkpoint_and_no_other() {
    let all = lines(1, &some());
    for first in 1..all.len() {
        let result = found(&all[first..]);
        match first {
            3 => assert_eq!(result.unwrap().entries.len(), 3),
            _ => assert!(matches!(result, Err(JournalError::Beginning { .. })), "{first}"),
        }
    }
}

#[test]
fn a_cut_end_is_found_by_who_kept_a_head_and_so_is_a_history_written_anew() {
    let all = lines(1, &some());
    let head = found(&all).unwrap().last.unwrap().head;
    let cut = found(&all[..4]).unwrap();
    assert!(matches!(
        cut.has(&head),
        Err(JournalError::Cut { last: 4, kept: 6 })
    ));
    let mut others = some();
    others[5] = fate("9.9.9");
    let anew = found(&lines(1, &others)).unwrap();
    assert!(matches!(
        anew.has(&head),
        Err(JournalError::Replaced { number: 6 })
    ));
}

#[test]
fn an_event_that_is_older_than_all_that_are_kept_is_neither_there_nor_missing() {
    let all = lines(1, &some());
    let kept = found(&all[..2]).unwrap().last.unwrap().head;
    let short = found(&all[3..]).unwrap();
    let forged = Head {
        digest: FileDigest::of(b"x"),
        ..kept
    };
    for head in [kept, forged] {
        assert_eq!(short.has(&head).unwrap(), Kept::Older { oldest: 4 });
    }
}

#[test]
fn an_event_that_was_replaced_by_a_signed_one_of_another_branch_is_found() {
    let all = lines(1, &some());
    let mut others = some();
    others[1] = fate("9.9.9");
    let mut mixed = all.clone();
    mixed[1].clone_from(&lines(1, &others)[1]);
    assert!(matches!(found(&mixed), Err(JournalError::Chain { number: 3 })));
}

#[test]
fn another_devices_history_is_foreign() {
    let foreign = lines(2, &some());
    assert!(matches!(
        found(&foreign),
        Err(JournalError::Foreign { number: 1, .. })
    ));
}

#[test]
fn what_a_power_cut_left_behind_the_last_line_is_no_error_wherever_it_cut() {
    let all = lines(1, &some());
    let (whole, last) = (all[..5].concat(), &all[5]);
    for len in 0..last.len() {
        let torn = [whole.as_slice(), &last[..len]].concat();
        let verified = verify(&torn, &public(1)).unwrap();
        assert_eq!((verified.entries.len(), verified.torn), (5, len));
    }
}

#[test]
fn texts_are_cut_so_that_a_line_never_gets_too_long() {
    let event = Event::Refused {
        what_was: "ü".repeat(5000),
        reason: "\u{1}".repeat(5000),
    };
    let lines = lines(
        1,
        &[
            Event::Began {
                damaged: true,
                fates: 9,
            },
            event,
        ],
    );
    assert!(lines[1].len() <= MAX_LINE_BYTES, "{}", lines[1].len());
    found(&lines).unwrap();
}

#[test]
fn lines_that_are_no_events_are_told() {
    let good = String::from_utf8(lines(1, &some()).concat()).unwrap();
    for (bad, line) in [
        ("\n".to_owned(), 1),
        (format!("{good}x\n"), 7),
        (good.replace("\"fates\"", "\"fetes\""), 1),
        ("a".repeat(MAX_LINE_BYTES + 10) + "\n", 1),
    ] {
        let result = verify(bad.as_bytes(), &public(1));
        assert!(
            matches!(result, Err(JournalError::Line { line: found }) if found == line),
            "{result:?}"
        );
    }
    let newer = good.replace("\"format\":1", "\"format\":2");
    assert!(matches!(
        verify(newer.as_bytes(), &public(1)),
        Err(JournalError::Format { format: 2, .. })
    ));
}

proptest! {
    #[test]
    fn any_change_of_any_byte_but_of_the_torn_end_is_found(place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let whole = lines(1, &some()).concat();
        let mut changed = whole.clone();
        let place = place.index(whole.len());
        changed[place] ^= 1 << bit;
        // A line end that is gone makes the last line torn; digits in capitals mean the same signature.
        let same = verify(&whole, &public(1)).unwrap();
        if let Ok(verified) = verify(&changed, &public(1)) {
            prop_assert!(verified.entries.len() < 6 || verified == same);
        }
    }

    #[test]
    fn any_bytes_are_a_history_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _history_or_error = verify(&bytes, &public(1));
    }
}
