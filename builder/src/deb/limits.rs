//! How much a package may ask for.

/// What reading one package may cost at most. Beyond it the package is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the control member after decompression.
    pub control_bytes: u64,
    /// Bytes of one file in the control member (the longest in practice: `md5sums`).
    pub control_file_bytes: u64,
    /// Bytes of the data member after decompression.
    pub data_bytes: u64,
    /// Entries in one member.
    pub entries: u32,
    /// Bytes of memory that decompression may take. `xz -9` needs 65 MiB.
    pub decoder_memory: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            control_bytes: 32 << 20,
            control_file_bytes: 16 << 20,
            data_bytes: 4 << 30,
            entries: 500_000,
            decoder_memory: 80 << 20,
        }
    }
}
