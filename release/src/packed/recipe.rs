//! How a frame was made, so that the same bytes can be made again.

use serde::{Deserialize, Serialize};
use zstd::zstd_safe;

use super::PlainLen;

/// A compression level of zstd whose memory is known: 19 to 22, the ones that kernels and initramfs are packed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Level(u8);

/// Sizes of a level, as powers of two. Source: zstd 1.5.7, `lib/compress/clevels.h`, inputs longer than 256 KiB or of unknown length;
/// for long distances `ZSTD_resolveEnableLdm` and `ZSTD_ldm_adjustParameters`.
const SIZES: [(u8, Sizes); 4] = [
    (19, Sizes::new(23, 24, 22, None)),
    (20, Sizes::new(25, 25, 23, None)),
    (21, Sizes::new(26, 26, 24, None)),
    (22, LARGEST),
];
const LARGEST: Sizes = Sizes::new(27, 27, 25, Some(23));

#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Bytes.
    window: u8,
    /// Entries of four bytes.
    chain: u8,
    /// Entries of four bytes.
    hash: u8,
    /// Entries of eight bytes for matches at long distances, which zstd looks for with windows of 128 MiB and more.
    distant: Option<u8>,
}

impl Sizes {
    const fn new(window: u8, chain: u8, hash: u8, distant: Option<u8>) -> Self {
        Self {
            window,
            chain,
            hash,
            distant,
        }
    }

    /// Bytes of tables for finding matches. All of it is touched, however short the input is.
    fn table_bytes(self) -> u64 {
        let near = 4 * ((1 << self.chain) + (1 << self.hash) + (1 << HASH3_LOG));
        near + self.distant.map_or(0, |entries| 8 << entries)
    }
}

/// The table for matches of three bytes. Source: zstd 1.5.7, `ZSTD_HASHLOG3_MAX`.
const HASH3_LOG: u8 = 17;

/// Which of zstd's two ways of compressing made the frame: they end its blocks at different places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// On worker threads, as `zstd` does by itself since 1.5.7. How many doesn't matter as long as there is one.
    Worker,
    /// Without threads, as `zstd --single-thread` and older ones do.
    Single,
}

/// All that decides the bytes of a frame beside what is in it. The frame has no content size and no dictionary; nothing follows it.
///
/// Serialised by serde: a map of five fields; what isn't one of them is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of the zstd that made the same bytes, as it calls itself: `1.5.7`. Others may make different ones.
    library: String,
    /// Its level, with the level's own window.
    level: Level,
    /// Its way of compressing.
    method: Method,
    /// Whether a checksum ends the frame.
    checksum: bool,
    /// Length of what is packed.
    plain_len: PlainLen,
}

/// A recipe that can't be followed here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// Proved with another version of zstd.
    #[error("the frame was repacked by zstd {proved}, this is zstd {own}: it might make other bytes")]
    Library {
        /// The version that made the same bytes.
        proved: String,
        /// The one in this program.
        own: &'static str,
    },
    /// A level whose memory nobody knows.
    #[error("level {0} isn't one that frames are repacked with: 19 to 22 are")]
    Level(u8),
    /// A length that nothing that is unpacked has.
    #[error("nothing of {0} bytes is repacked")]
    PlainLen(u32),
}

impl Level {
    /// Takes a number.
    ///
    /// # Errors
    /// [`RecipeError::Level`] for one outside of 19 to 22.
    pub fn new(number: u8) -> Result<Self, RecipeError> {
        let known = SIZES.iter().any(|(level, _)| *level == number);
        known.then_some(Self(number)).ok_or(RecipeError::Level(number))
    }

    /// The level whose window is that of a frame, a power of two in bytes.
    #[must_use]
    pub fn of_window(window_log: u8) -> Option<Self> {
        let found = SIZES.iter().find(|(_, sizes)| sizes.window == window_log);
        found.map(|(level, _)| Self(*level))
    }

    /// The number, as zstd's `-22`.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    fn sizes(self) -> Sizes {
        let found = SIZES.iter().find(|(level, _)| *level == self.0);
        found.map_or(LARGEST, |(_, sizes)| *sizes)
    }

    /// The job's length that zstd itself takes, in bytes. Source: zstd 1.5.7, `ZSTDMT_computeTargetJobLog`.
    pub(super) fn default_job_bytes(self) -> u64 {
        4 << self.sizes().window
    }
}

impl Recipe {
    /// A recipe for the zstd in this program. Whether it gives the wanted bytes, [`super::prove`] knows.
    #[must_use]
    pub fn new(level: Level, method: Method, checksum: bool, plain_len: PlainLen) -> Self {
        Self {
            library: zstd_safe::version_string().to_owned(),
            level,
            method,
            checksum,
            plain_len,
        }
    }

    /// Refuses a recipe that another version of zstd proved.
    ///
    /// # Errors
    /// [`RecipeError::Library`].
    pub fn check_library(&self) -> Result<(), RecipeError> {
        let own = zstd_safe::version_string();
        if self.library == own {
            return Ok(());
        }
        Err(RecipeError::Library {
            proved: self.library.clone(),
            own,
        })
    }

    /// Compression level.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Way of compressing.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Whether a checksum ends the frame.
    #[must_use]
    pub const fn checksum(&self) -> bool {
        self.checksum
    }

    /// Length of what is packed.
    #[must_use]
    pub const fn plain_len(&self) -> PlainLen {
        self.plain_len
    }

    /// Memory that [`super::Packer`] takes at most, in bytes, beside what its caller holds: to be compared with `MemAvailable`.
    ///
    /// The level's tables, the plain bytes (which the packer holds until it has them all), as much again for the packed ones and
    /// what else zstd and the allocator take.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.level.sizes().table_bytes() + 2 * u64::from(self.plain_len.bytes()) + MARGIN_BYTES
    }
}

/// What zstd holds for statistics, sequences and entropy tables (5 MiB), and a thread's stack.
const MARGIN_BYTES: u64 = 16 << 20;

impl TryFrom<u8> for Level {
    type Error = RecipeError;

    fn try_from(number: u8) -> Result<Self, RecipeError> {
        Self::new(number)
    }
}

impl From<Level> for u8 {
    fn from(level: Level) -> Self {
        level.0
    }
}

impl TryFrom<u32> for PlainLen {
    type Error = RecipeError;

    fn try_from(bytes: u32) -> Result<Self, RecipeError> {
        Self::new(bytes).ok_or(RecipeError::PlainLen(bytes))
    }
}

impl From<PlainLen> for u32 {
    fn from(len: PlainLen) -> Self {
        len.bytes()
    }
}
