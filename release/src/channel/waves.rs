//! Waves: which share of the devices gets a release first, and which device belongs to which share.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

use crate::{device_id::DeviceId, name::ImageName};

/// All devices, in hundredths of a percent.
const ALL: u16 = 10_000;
/// Most waves of a release.
const MAX_WAVES: usize = 16;
/// What precedes a device's name where its place is drawn.
const DOMAIN: &[u8] = b"outcrop wave 1\0";

/// A share of all devices, more than none. Text form: a percentage with at most two decimals, `0.5%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

/// Shares that follow each other, each larger than the one before; the last one is all. Text form: `1%,10%,100%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waves(Vec<Share>);

/// A text that is no wave, or waves that don't follow each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWaves {
    /// A text that is no share.
    #[error("{0:?} is no share of the devices: it is a percentage like 1%, 0.25% or 100%")]
    Share(String),
    /// A wave that isn't larger than the one before.
    #[error("the wave {1} comes behind {0}: each is larger than the one before")]
    Order(Share, Share),
    /// The last wave isn't all.
    #[error("the waves end with {0}: the last one is 100%")]
    End(Share),
    /// None, or more than a release has.
    #[error("a release has 1 to {MAX_WAVES} waves, not {0}")]
    Count(usize),
}

/// Where a device stands among all of its product: it never changes, so that the same devices always go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u16);

impl Position {
    /// The place of a device: evenly spread, and the same wherever it is asked for.
    #[must_use]
    pub fn of(image: &ImageName, device: &DeviceId) -> Self {
        let hash = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(image.as_str())
            .chain_update([0])
            .chain_update(device.as_bytes())
            .finalize();
        let drawn = hash.first_chunk().copied().map_or(0, u64::from_be_bytes);
        // Scaled without a remainder's bias, and below `ALL` by what a product's upper half can be.
        Self(u16::try_from((u128::from(drawn) * u128::from(ALL)) >> 64).unwrap_or(0))
    }

    /// Whether a share has it.
    #[must_use]
    pub const fn is_in(self, share: Share) -> bool {
        self.0 < share.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Share(self.0))
    }
}

impl Share {
    /// All devices.
    #[must_use]
    pub const fn all() -> Self {
        Self(ALL)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match rest {
            0 => write!(f, "{whole}%"),
            rest if rest % 10 == 0 => write!(f, "{whole}.{}%", rest / 10),
            rest => write!(f, "{whole}.{rest:02}%"),
        }
    }
}

impl FromStr for Share {
    type Err = BadWaves;

    fn from_str(text: &str) -> Result<Self, BadWaves> {
        let bad = || BadWaves::Share(text.to_owned());
        let number = text.strip_suffix('%').ok_or_else(bad)?;
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |part: &str, most: usize| {
            (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(whole, 3) || !is_number(decimals, 2) {
            return Err(bad());
        }
        let whole: u32 = whole.parse().map_err(|_| bad())?;
        let hundredths: u32 = format!("{decimals:0<2}").parse().map_err(|_| bad())?;
        let share = u16::try_from(whole * 100 + hundredths).map_err(|_| bad())?;
        if (1..=ALL).contains(&share) {
            Ok(Self(share))
        } else {
            Err(bad())
        }
    }
}

impl Waves {
    /// All devices at once.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![Share(ALL)])
    }

    /// Takes waves that follow each other.
    ///
    /// # Errors
    /// See [`BadWaves`].
    pub fn new(shares: Vec<Share>) -> Result<Self, BadWaves> {
        if !(1..=MAX_WAVES).contains(&shares.len()) {
            return Err(BadWaves::Count(shares.len()));
        }
        let mut pairs = shares.iter().zip(shares.iter().skip(1));
        if let Some((before, behind)) = pairs.find(|(before, behind)| before >= behind) {
            return Err(BadWaves::Order(*before, *behind));
        }
        match shares.last() {
            Some(last) if last.0 != ALL => Err(BadWaves::End(*last)),
            _ => Ok(Self(shares)),
        }
    }

    /// The shares, ascending.
    #[must_use]
    pub fn shares(&self) -> &[Share] {
        &self.0
    }
}

impl fmt::Display for Waves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, share) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{share}")?;
        }
        Ok(())
    }
}

impl FromStr for Waves {
    type Err = BadWaves;

    fn from_str(text: &str) -> Result<Self, BadWaves> {
        let shares = text.split(',').map(|share| share.trim().parse());
        Self::new(shares.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> BadWaves {
        text.parse::<Waves>().unwrap_err()
    }

    #[test]
    fn waves_are_shares_that_grow_to_all_devices() {
        for text in ["100%", "1%,10%,100%", "0.01%,0.5%,33.33%,100%"] {
            assert_eq!(text.parse::<Waves>().unwrap().to_string(), text);
        }
        assert_eq!(" 1% , 100% ".parse::<Waves>().unwrap().to_string(), "1%,100%");
        assert_eq!(
            refused("10%,1%,100%").to_string(),
            "the wave 1% comes behind 10%: each is larger than the one before"
        );
        assert!(matches!(refused("1%,1%,100%"), BadWaves::Order(..)));
        assert!(matches!(refused("1%,10%"), BadWaves::End(_)));
        assert!(matches!(refused(&["100%"; 17].join(",")), BadWaves::Count(17)));
        for text in [
            "",
            "%",
            "0%",
            "1",
            "1%%",
            "-1%",
            "+1%",
            "1.%",
            ".5%",
            "1.234%",
            "101%",
            "1e1%",
            "1%,,100%",
            "ten%",
            "9999999999%",
        ] {
            assert!(matches!(refused(text), BadWaves::Share(_)), "{text}");
        }
    }

    #[test]
    fn each_share_has_about_as_many_devices_as_it_says_and_the_smaller_ones_devices_too() {
        let image: ImageName = "edge".parse().unwrap();
        let shares: Vec<Share> = ["1%", "10%", "50%", "100%"]
            .map(|text| text.parse().unwrap())
            .into();
        let mut counts = [0; 4];
        for number in 0..10_000_u32 {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            let position = Position::of(&image, &DeviceId::from_bytes(bytes));
            for (count, share) in counts.iter_mut().zip(&shares) {
                *count += u32::from(position.is_in(*share));
            }
        }
        assert!((70..130).contains(&counts[0]), "{counts:?}");
        assert!((900..1100).contains(&counts[1]), "{counts:?}");
        assert!((4800..5200).contains(&counts[2]), "{counts:?}");
        assert_eq!(counts[3], 10_000);
    }

    #[test]
    fn a_device_has_the_same_place_for_ever() {
        let position = |image: &str| Position::of(&image.parse().unwrap(), &DeviceId::from_bytes([7; 16]));
        assert_eq!(
            (position("edge").to_string(), position("shop").to_string()),
            ("58.05%".to_owned(), "87.54%".to_owned())
        );
    }

    proptest! {
        #[test]
        fn any_share_survives_its_text(hundredths in 1..=ALL) {
            let share = Share(hundredths);
            prop_assert_eq!(share.to_string().parse::<Share>().unwrap(), share);
        }
    }
}
