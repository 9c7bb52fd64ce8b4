//! zstd for the kernel, on several threads, with the same bytes for any number of them.

use std::io;

use zstd::{Encoder, zstd_safe::CParameter};

use super::InitramfsError;

/// Compression level. 18 MB of Debian's modules, processor time and result: level 6: 0.36 s, 3.55 MB; 9: 0.81 s, 3.40 MB;
/// 12: 1.9 s, 3.37 MB; 15: 5.3 s, 3.36 MB; 19: 19 s, 3.00 MB.
const LEVEL: i32 = 9;
/// Input of one compression job. Fixed, since the job's length decides the bytes.
const JOB_BYTES: u32 = 4 << 20;

/// Compresses what `write` writes. The stream has a checksum, which the kernel checks.
///
/// zstd's multi-threaded mode cuts the input into jobs of fixed length, so its output doesn't depend on the number of
/// workers as long as there is at least one; its single-threaded mode gives other bytes and isn't used.
pub(super) fn zstd(
    threads: u32,
    write: impl FnOnce(&mut Encoder<'static, Vec<u8>>) -> Result<(), InitramfsError>,
) -> Result<Vec<u8>, InitramfsError> {
    let mut encoder = encoder(threads).map_err(InitramfsError::Write)?;
    write(&mut encoder)?;
    encoder.finish().map_err(InitramfsError::Write)
}

fn encoder(threads: u32) -> io::Result<Encoder<'static, Vec<u8>>> {
    let mut encoder = Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_parameter(CParameter::NbWorkers(threads.max(1)))?;
    encoder.set_parameter(CParameter::JobSize(JOB_BYTES))?;
    Ok(encoder)
}
