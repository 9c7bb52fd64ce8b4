//! New lists from old ones: each has a serial of its own.

use jiff::{SignedDuration, Timestamp};

use super::{
    Channel, ChannelName, LabelSelector, MAX_OFFERS, MAX_WITHDRAWN, Offer, Waves, Withdrawn,
    json::{MAX_REASON_BYTES, is_reason},
};
use crate::{digest::FileDigest, manifest::RollbackIndex, name::ReleaseName};

/// When a list is made, and how long it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// When it is made.
    pub issued: Timestamp,
    /// How long it counts.
    pub counts_for: SignedDuration,
}

/// A release that is to be offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Which one.
    pub release: ReleaseName,
    /// Digest of its manifest.
    pub manifest: FileDigest,
    /// Length of its bundle, in bytes.
    pub bytes: u64,
    /// What it says of older ones.
    pub rollback_index: RollbackIndex,
    /// Who gets it first.
    pub waves: Waves,
    /// Who doesn't get it.
    pub hold_back: Vec<LabelSelector>,
}

/// A change that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// No offer of that name.
    #[error("the channel doesn't offer {0}")]
    Unknown(String),
    /// A version that several products have.
    #[error("several products of the channel have {version}: {}", names(.releases))]
    Ambiguous {
        /// The version.
        version: String,
        /// Whose it is.
        releases: Vec<ReleaseName>,
    },
    /// A text that no list can have.
    #[error("a reason is at most {MAX_REASON_BYTES} bytes on one line: {}", .0.chars().take(80).collect::<String>().escape_debug())]
    Reason(String),
    /// A release of that name, or these very bytes, was offered before.
    #[error(
        "the channel has {0} already: a release is published once, and a fixed one gets a version of its own"
    )]
    Known(Box<ReleaseName>),
    /// It was withdrawn.
    #[error("{release} was withdrawn: {reason}")]
    Withdrawn {
        /// Which one.
        release: Box<ReleaseName>,
        /// Why.
        reason: String,
    },
    /// All waves are open.
    #[error("{0} is open to all devices already")]
    Open(Box<ReleaseName>),
    /// A paused release isn't promoted.
    #[error("{0} is paused: resume it first")]
    Paused(Box<ReleaseName>),
    /// It is as it shall be.
    #[error("{0} isn't paused")]
    NotPaused(Box<ReleaseName>),
    /// As long as nothing has been said about time.
    #[error("a channel can't expire at {0}")]
    Time(Timestamp),
}

fn names(releases: &[ReleaseName]) -> String {
    let names: Vec<String> = releases.iter().map(ToString::to_string).collect();
    names.join(", ")
}

impl Channel {
    /// A first, empty list.
    ///
    /// # Errors
    /// [`EditError::Time`].
    pub fn new(name: ChannelName, lifetime: Lifetime) -> Result<Self, EditError> {
        Ok(Self {
            name,
            serial: 1,
            issued: lifetime.issued,
            expires: lifetime.expires()?,
            offers: Vec::new(),
            withdrawn: Vec::new(),
        })
    }

    /// The same list, once more.
    ///
    /// # Errors
    /// [`EditError::Time`].
    pub fn refreshed(&self, lifetime: Lifetime) -> Result<Self, EditError> {
        Ok(Self {
            serial: self.serial.saturating_add(1),
            issued: lifetime.issued,
            expires: lifetime.expires()?,
            ..self.clone()
        })
    }

    /// A list that offers these releases, too: first to their first wave. Of a product's older releases, those that all devices get stay,
    /// as long as the newer one isn't for all.
    ///
    /// # Errors
    /// [`EditError::Known`], [`EditError::Withdrawn`], [`EditError::Time`].
    pub fn publish(&self, new: Vec<Publication>, lifetime: Lifetime) -> Result<Self, EditError> {
        let mut next = self.refreshed(lifetime)?;
        for publication in new {
            next.check_new(&publication)?;
            next.offers.push(Offer {
                release: publication.release,
                manifest: publication.manifest,
                bytes: publication.bytes,
                rollback_index: publication.rollback_index,
                waves: publication.waves,
                open: 1,
                paused: false,
                hold_back: publication.hold_back,
            });
        }
        next.forget();
        Ok(next)
    }

    /// Opens the next wave of a release. A version means it for each architecture and board, as in all changes.
    ///
    /// # Errors
    /// [`EditError::Unknown`], [`EditError::Ambiguous`], [`EditError::Open`], [`EditError::Paused`], [`EditError::Time`].
    pub fn promote(&self, name: &str, lifetime: Lifetime) -> Result<Self, EditError> {
        let mut next = self.change(name, lifetime, |offer| {
            if offer.paused {
                return Err(EditError::Paused(Box::new(offer.release.clone())));
            }
            if offer.is_open_to_all() {
                return Err(EditError::Open(Box::new(offer.release.clone())));
            }
            offer.open += 1;
            Ok(())
        })?;
        next.forget();
        Ok(next)
    }

    /// Offers a release to nobody for the time being.
    ///
    /// # Errors
    /// [`EditError::Unknown`], [`EditError::Ambiguous`], [`EditError::Paused`], [`EditError::Time`].
    pub fn pause(&self, name: &str, lifetime: Lifetime) -> Result<Self, EditError> {
        self.change(name, lifetime, |offer| {
            if std::mem::replace(&mut offer.paused, true) {
                return Err(EditError::Paused(Box::new(offer.release.clone())));
            }
            Ok(())
        })
    }

    /// Offers a paused release again, to those to whom it was offered.
    ///
    /// # Errors
    /// [`EditError::Unknown`], [`EditError::Ambiguous`], [`EditError::NotPaused`], [`EditError::Time`].
    pub fn resume(&self, name: &str, lifetime: Lifetime) -> Result<Self, EditError> {
        self.change(name, lifetime, |offer| {
            if std::mem::replace(&mut offer.paused, false) {
                return Ok(());
            }
            Err(EditError::NotPaused(Box::new(offer.release.clone())))
        })
    }

    /// Takes an offer back for good.
    ///
    /// # Errors
    /// [`EditError::Unknown`], [`EditError::Ambiguous`], [`EditError::Reason`], [`EditError::Time`].
    pub fn withdraw(&self, name: &str, reason: &str, lifetime: Lifetime) -> Result<Self, EditError> {
        if !is_reason(reason) {
            return Err(EditError::Reason(reason.to_owned()));
        }
        let meant = self.meant(name)?;
        let mut next = self.refreshed(lifetime)?;
        let (taken_back, offers) = next
            .offers
            .into_iter()
            .partition(|offer| meant.contains(&offer.release));
        next.offers = offers;
        let taken_back: Vec<Offer> = taken_back;
        next.withdrawn
            .extend(taken_back.into_iter().map(|offer| Withdrawn {
                release: offer.release,
                manifest: offer.manifest,
                reason: reason.to_owned(),
            }));
        let most = next.withdrawn.len().saturating_sub(MAX_WITHDRAWN);
        next.withdrawn.drain(..most);
        Ok(next)
    }

    fn change(
        &self,
        name: &str,
        lifetime: Lifetime,
        change: impl Fn(&mut Offer) -> Result<(), EditError>,
    ) -> Result<Self, EditError> {
        let meant = self.meant(name)?;
        let mut next = self.refreshed(lifetime)?;
        let offers = next
            .offers
            .iter_mut()
            .filter(|offer| meant.contains(&offer.release));
        let done: Vec<Result<(), EditError>> = offers.map(change).collect();
        // One architecture may be further than another; a change that changes nothing is an error.
        if done.iter().any(Result::is_ok) {
            return Ok(next);
        }
        done.into_iter().collect::<Result<(), EditError>>()?;
        Ok(next)
    }

    /// The releases that are meant: the one with the whole name, or a product's with the version, whatever they are built for.
    fn meant(&self, name: &str) -> Result<Vec<ReleaseName>, EditError> {
        let meant: Vec<ReleaseName> = self
            .offers
            .iter()
            .filter(|offer| offer.is_called(name))
            .map(|offer| offer.release.clone())
            .collect();
        let Some(first) = meant.first() else {
            return Err(EditError::Unknown(name.to_owned()));
        };
        if meant.iter().any(|release| release.image != first.image) {
            return Err(EditError::Ambiguous {
                version: name.to_owned(),
                releases: meant,
            });
        }
        Ok(meant)
    }

    fn check_new(&self, new: &Publication) -> Result<(), EditError> {
        let gone = |old: &&Withdrawn| old.release == new.release || old.manifest == new.manifest;
        if let Some(old) = self.withdrawn.iter().find(gone) {
            return Err(EditError::Withdrawn {
                release: Box::new(old.release.clone()),
                reason: old.reason.clone(),
            });
        }
        let is_known = |offer: &&Offer| offer.release == new.release || offer.manifest == new.manifest;
        match self.offers.iter().find(is_known) {
            Some(offer) => Err(EditError::Known(Box::new(offer.release.clone()))),
            None => Ok(()),
        }
    }

    /// Forgets offers that nobody would take: a newer one of the same product is for all. And the oldest, of too many.
    fn forget(&mut self) {
        let newest: Vec<ReleaseName> = self
            .offers
            .iter()
            .filter(|offer| offer.is_open_to_all() && !offer.paused && offer.hold_back.is_empty())
            .map(|offer| offer.release.clone())
            .collect();
        self.offers.retain(|offer| {
            let replaces = |newer: &ReleaseName| {
                (&newer.image, newer.architecture, newer.board)
                    == (
                        &offer.release.image,
                        offer.release.architecture,
                        offer.release.board,
                    )
                    && newer.version > offer.release.version
            };
            !newest.iter().any(replaces)
        });
        let most = self.offers.len().saturating_sub(MAX_OFFERS);
        self.offers.drain(..most);
    }
}

impl Lifetime {
    fn expires(&self) -> Result<Timestamp, EditError> {
        let expires = self.issued.checked_add(self.counts_for).ok();
        expires
            .filter(|expires| *expires > self.issued)
            .ok_or(EditError::Time(self.issued))
    }
}
