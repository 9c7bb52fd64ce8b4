//! One look at a channel.

use std::path::Path;

use jiff::Timestamp;
use outcrop_release::{
    channel::{Accepted, Admission, ChannelName, ChannelRefusal, accept},
    trust::Trust,
};

use super::{
    fetch::{FetchError, Fetched, ListSource},
    state::{Remembered, StateError},
};
use crate::{
    chain,
    durable::DurableError,
    journal::give_up_reserve,
    medium::{DataPartition, Medium, is_full},
};

/// A device that follows a channel.
#[derive(Debug, Clone, Copy)]
pub struct Follower<'a> {
    /// Whom it trusts.
    pub trust: &'a Trust,
    /// Which channel.
    pub channel: &'a ChannelName,
    /// Where it remembers: in Outcrop's folder on the data partition, beside the history.
    pub folder: &'a Path,
    /// Its clock.
    pub now: Timestamp,
    /// When what runs was made.
    pub built: Timestamp,
}

/// A list that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The list.
    pub list: Accepted,
    /// Whether it is another one than the last time.
    pub is_news: bool,
    /// Why it isn't remembered, for people, if it couldn't be: it is to be asked for again the next time.
    pub unkept: Option<String>,
}

/// Why there is no list that counts. What was remembered is untouched then.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// None came.
    #[error("fetch the channel {channel}")]
    Fetch {
        /// Which one.
        channel: ChannelName,
        /// Why not.
        source: FetchError,
    },
    /// It doesn't count.
    #[error("follow the channel {channel}")]
    Refused {
        /// Which one.
        channel: ChannelName,
        /// Why not.
        source: ChannelRefusal,
    },
    /// What is remembered can't be used.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Follower<'_> {
    /// Asks `source`, and remembers what it gives if that counts.
    ///
    /// # Errors
    /// See [`FollowError`].
    pub fn look(&self, source: &mut impl ListSource) -> Result<Followed, FollowError> {
        self.look_on(source, &DataPartition)
    }

    /// The same on a medium.
    ///
    /// # Errors
    /// As [`Follower::look`].
    pub fn look_on(
        &self,
        source: &mut impl ListSource,
        medium: &dyn Medium,
    ) -> Result<Followed, FollowError> {
        let known = Remembered::load(self.folder, self.channel)?;
        let there = known.as_ref().filter(|known| self.has_list(known));
        let tag = there.and_then(|known| known.tag.as_deref());
        let fetched = source
            .fetch(self.channel, tag)
            .map_err(|source| FollowError::Fetch {
                channel: self.channel.clone(),
                source,
            })?;
        let (bytes, tag) = match (fetched, &known) {
            // Whether the list still counts is asked each time: a server that says "the same" for ever freezes nobody.
            (Fetched::Same, Some(known)) => (known.list.clone(), known.tag.clone()),
            (Fetched::Same, None) => (Vec::new(), None),
            (Fetched::List { bytes, tag }, _) => (bytes, tag),
        };
        let list = self.accept(&bytes, known.as_ref())?;
        let is_news = known.as_ref().is_none_or(|known| known.seen != list.seen());
        let remembered = Remembered {
            seen: list.seen(),
            tag,
            checked: self.now,
            list: bytes,
        };
        // A look without news writes nothing: it needs no room then, and a list's lifetime is held against the clock each time anyway.
        let is_known = known.as_ref().is_some_and(|known| remembered.is_known(known));
        let unkept = match is_known {
            true => None,
            false => self.keep(&remembered, medium).err(),
        };
        Ok(Followed {
            list,
            is_news,
            unkept: unkept.map(|error| {
                format!(
                    "the list counts, and can't be remembered: {}",
                    chain::describe(&error)
                )
            }),
        })
    }

    /// Keeps a list that counts. On a full disk the history's reserve is given up for it.
    ///
    /// One that can't be kept is acted on all the same: it may have the release that makes room. Nothing older gets in by that: what is kept
    /// stays, serials only go up from it, and the list in hand is no older. What could be played back to the device later is what lies between
    /// the two, which whoever keeps lists from a device could give to it anyway, and only until it expires.
    fn keep(&self, remembered: &Remembered, medium: &dyn Medium) -> Result<(), DurableError> {
        let save = || remembered.save(self.folder, self.channel, medium);
        let state = self.folder.parent().unwrap_or(self.folder);
        match save() {
            Err(error) if is_full(&error.source) && give_up_reserve(state) => save(),
            saved => saved,
        }
    }

    /// The list that is remembered, if it still counts. Nobody is asked, nothing written.
    #[must_use]
    pub fn recall(&self) -> Option<Accepted> {
        // A damaged memory is told when the channel is asked.
        let known = Remembered::load(self.folder, self.channel).ok().flatten()?;
        self.accept(&known.list, Some(&known)).ok()
    }

    /// Whether the kept list is whole; without it, "the same as the last time" would say nothing. What the time alone speaks against is there.
    fn has_list(&self, known: &Remembered) -> bool {
        let untimely = |source: &ChannelRefusal| {
            matches!(
                source,
                ChannelRefusal::Clock { .. } | ChannelRefusal::Future { .. } | ChannelRefusal::Expired { .. }
            )
        };
        match self.accept(&known.list, Some(known)) {
            Ok(_) => true,
            Err(FollowError::Refused { source, .. }) => untimely(&source),
            Err(_) => false,
        }
    }

    fn accept(&self, bytes: &[u8], known: Option<&Remembered>) -> Result<Accepted, FollowError> {
        let admission = Admission {
            trust: self.trust,
            name: self.channel,
            seen: known.map(|known| known.seen),
            now: self.now,
            built: self.built,
        };
        accept(bytes, &admission).map_err(|source| FollowError::Refused {
            channel: self.channel.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, fs, path::PathBuf};

    use ed25519_dalek::{Signer as _, SigningKey};
    use jiff::SignedDuration;
    use outcrop_release::{
        channel::{Channel, Lifetime},
        signed,
        trust::{PublicKey, Purpose, Role, Signature, Signatures, signed_message},
    };

    use super::*;
    use crate::testing::full_disk::FullDisk;

    const KEY: u8 = 2;

    fn public(seed: u8) -> PublicKey {
        PublicKey::from_bytes(SigningKey::from_bytes(&[seed; 32]).verifying_key().as_bytes()).unwrap()
    }

    fn trust() -> Trust {
        let role = Role::new(1, vec![("c".to_owned(), public(KEY))]).unwrap();
        let trust = Trust::new(1, vec![("r".to_owned(), public(1))]).unwrap();
        trust.with_channel(role).unwrap()
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn list(serial: u64) -> Vec<u8> {
        list_of(serial, "2026-11-30T00:00:00Z")
    }

    fn list_of(serial: u64, issued: &str) -> Vec<u8> {
        let lifetime = Lifetime {
            issued: time(issued),
            counts_for: SignedDuration::from_hours(24),
        };
        let channel = Channel {
            serial,
            ..Channel::new("stable".parse().unwrap(), lifetime).unwrap()
        };
        let document = channel.to_bytes();
        let bytes = SigningKey::from_bytes(&[KEY; 32])
            .sign(&signed_message(Purpose::Channel, &document))
            .to_bytes();
        let mut signatures = Signatures::default();
        let key = public(KEY);
        signatures.add(Signature { key, bytes }).unwrap();
        signed::join(&document, &signatures)
    }

    /// Gives these answers; what it was asked with.
    struct Given(VecDeque<Result<Fetched, FetchError>>, Vec<Option<String>>);

    impl Given {
        fn list(serial: u64) -> Self {
            let tag = Some(format!("\"{serial}\""));
            Self(
                [Ok(Fetched::List {
                    bytes: list(serial),
                    tag,
                })]
                .into(),
                Vec::new(),
            )
        }

        fn same() -> Self {
            Self([Ok(Fetched::Same)].into(), Vec::new())
        }
    }

    impl ListSource for Given {
        fn fetch(&mut self, _: &ChannelName, tag: Option<&str>) -> Result<Fetched, FetchError> {
            self.1.push(tag.map(str::to_owned));
            self.0.pop_front().unwrap()
        }
    }

    struct Fixture {
        state: tempfile::TempDir,
        disk: FullDisk,
    }

    impl Fixture {
        fn new() -> Self {
            let state = tempfile::tempdir().unwrap();
            let disk = FullDisk::new(state.path());
            Self { state, disk }
        }

        fn folder(&self) -> PathBuf {
            self.state.path().join("channels")
        }

        fn reserve(&self) -> PathBuf {
            self.state.path().join("history/reserve")
        }

        fn look(&self, source: &mut Given, now: &str) -> Result<Followed, FollowError> {
            let (trust, channel) = (trust(), "stable".parse().unwrap());
            let follower = Follower {
                trust: &trust,
                channel: &channel,
                folder: &self.folder(),
                now: time(now),
                built: time("2026-11-01T00:00:00Z"),
            };
            follower.look_on(source, &self.disk)
        }

        fn kept(&self) -> Remembered {
            let kept = Remembered::load(&self.folder(), &"stable".parse().unwrap());
            kept.unwrap().unwrap()
        }
    }

    const NOON: &str = "2026-11-30T12:00:00Z";

    #[test]
    fn a_list_is_news_once_and_its_tag_is_asked_with() {
        let fixture = Fixture::new();
        assert!(fixture.look(&mut Given::list(3), NOON).unwrap().is_news);
        let mut same = Given::same();
        assert!(!fixture.look(&mut same, NOON).unwrap().is_news);
        assert_eq!(same.1, [Some("\"3\"".to_owned())]);
        assert!(!fixture.look(&mut Given::list(3), NOON).unwrap().is_news);
        assert!(fixture.look(&mut Given::list(4), NOON).unwrap().is_news);
    }

    #[test]
    fn a_replayed_list_is_refused_and_the_newer_one_stays() {
        let fixture = Fixture::new();
        fixture.look(&mut Given::list(4), NOON).unwrap();
        let refused = fixture.look(&mut Given::list(3), NOON);
        assert!(matches!(
            refused,
            Err(FollowError::Refused {
                source: ChannelRefusal::Replayed { .. },
                ..
            })
        ));
        assert_eq!(
            fixture.look(&mut Given::same(), NOON).unwrap().list.seen().serial,
            4
        );
    }

    #[test]
    fn a_server_that_says_the_same_for_ever_freezes_nobody() {
        let fixture = Fixture::new();
        fixture.look(&mut Given::list(3), NOON).unwrap();
        let refused = fixture.look(&mut Given::same(), "2026-12-01T00:00:00Z");
        assert!(matches!(
            refused,
            Err(FollowError::Refused {
                source: ChannelRefusal::Expired { .. },
                ..
            })
        ));
    }

    #[test]
    fn what_cannot_be_fetched_or_is_no_list_changes_nothing() {
        let fixture = Fixture::new();
        fixture.look(&mut Given::list(3), NOON).unwrap();
        let page = FetchError::WebPage("x".to_owned());
        let mut source = Given([Err(page)].into(), Vec::new());
        assert!(matches!(
            fixture.look(&mut source, NOON),
            Err(FollowError::Fetch { .. })
        ));
        let bytes = b"<html>".to_vec();
        let mut source = Given([Ok(Fetched::List { bytes, tag: None })].into(), Vec::new());
        assert!(matches!(
            fixture.look(&mut source, NOON),
            Err(FollowError::Refused { .. })
        ));
        assert_eq!(
            fixture.look(&mut Given::same(), NOON).unwrap().list.seen().serial,
            3
        );
    }

    #[test]
    fn off_the_network_for_a_month_it_takes_the_next_list() {
        let fixture = Fixture::new();
        fixture.look(&mut Given::list(3), NOON).unwrap();
        let later = "2026-12-30T12:00:00Z";
        assert!(
            fixture.look(&mut Given::list(3), later).is_err(),
            "the old one has expired"
        );
        let bytes = list_of(90, "2026-12-30T00:00:00Z");
        let mut source = Given([Ok(Fetched::List { bytes, tag: None })].into(), Vec::new());
        assert_eq!(fixture.look(&mut source, later).unwrap().list.seen().serial, 90);
    }

    #[test]
    fn a_look_without_news_writes_nothing() {
        let fixture = Fixture::new();
        fixture.look(&mut Given::list(3), NOON).unwrap();
        let before = fixture.kept();
        for mut source in [Given::same(), Given::list(3)] {
            assert_eq!(
                fixture.look(&mut source, "2026-11-30T13:00:00Z").unwrap().unkept,
                None
            );
            assert_eq!(fixture.kept(), before, "the time of the look would differ");
        }
    }

    #[test]
    fn on_a_full_disk_a_look_without_news_is_fine_and_a_new_list_gets_the_history_s_reserve() {
        let fixture = Fixture::new();
        fixture.look(&mut Given::list(3), NOON).unwrap();
        fs::create_dir(fixture.state.path().join("history")).unwrap();
        fs::write(fixture.reserve(), [0xff; 64 << 10]).unwrap();
        fixture.disk.leave(0);
        assert_eq!(fixture.look(&mut Given::same(), NOON).unwrap().unkept, None);
        assert!(fixture.reserve().exists(), "nothing needed it");
        let followed = fixture.look(&mut Given::list(4), NOON).unwrap();
        assert!(followed.is_news && followed.unkept.is_none());
        assert!(!fixture.reserve().exists(), "it is given up");
        assert_eq!(fixture.kept().seen.serial, 4);
    }

    #[test]
    fn without_any_room_a_new_list_counts_and_is_news_until_it_is_kept_and_an_old_one_is_still_refused() {
        let fixture = Fixture::new();
        fixture.look(&mut Given::list(3), NOON).unwrap();
        fixture.disk.leave(0);
        for _ in 0..2 {
            let mut source = Given::list(5);
            let followed = fixture.look(&mut source, NOON).unwrap();
            assert_eq!(followed.list.seen().serial, 5);
            assert!(followed.is_news && followed.unkept.is_some());
            assert_eq!(source.1, [Some("\"3\"".to_owned())], "it is asked for again");
        }
        assert_eq!(fixture.kept().seen.serial, 3);
        assert!(matches!(
            fixture.look(&mut Given::list(2), NOON),
            Err(FollowError::Refused {
                source: ChannelRefusal::Replayed { seen: 3, .. },
                ..
            })
        ));
        fixture.disk.leave(1 << 20);
        assert_eq!(fixture.look(&mut Given::list(5), NOON).unwrap().unkept, None);
        assert_eq!(fixture.kept().seen.serial, 5);
    }

    #[test]
    fn where_the_kept_list_is_lost_or_damaged_it_is_asked_for_without_its_tag() {
        let fixture = Fixture::new();
        fixture.look(&mut Given::list(3), NOON).unwrap();
        for damage in [None, Some(list(2)), Some(b"<html>".to_vec())] {
            let path = fixture.folder().join("stable.channel");
            match damage {
                Some(bytes) => fs::write(path, bytes).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
            let mut source = Given::list(3);
            assert!(!fixture.look(&mut source, NOON).unwrap().is_news);
            assert_eq!(source.1, [None]);
            assert_eq!(fixture.kept().list, list(3), "it is kept again");
        }
        // One that has expired is there all the same, and isn't sent again and again.
        let mut source = Given::same();
        assert!(fixture.look(&mut source, "2026-12-30T12:00:00Z").is_err());
        assert_eq!(source.1, [Some("\"3\"".to_owned())]);
    }
}
