//! Modules as shipped (`.ko.xz`, `.ko.zst`, `.ko`) become uncompressed `.ko`: deltas between releases halve that way.

use std::io::{self, Read as _};

use liblzma::stream::{IGNORE_CHECK, Stream};
use rayon::prelude::*;

use super::module::ModuleInfo;
use crate::{
    finish::{error::KernelError, inputs::ContentStore},
    progress::Phase,
    tree::{Content, TreePath},
};

/// No module is larger: 512 MiB. The largest of Debian's is 35 MB.
const MAX_MODULE_BYTES: u64 = 512 << 20;
/// Memory for decompressing one: Debian's ask for 3 MiB.
const MAX_DECODER_BYTES: u64 = 128 << 20;

/// A module as it comes from its package.
#[derive(Debug, Clone)]
pub(super) struct Shipped {
    /// Its path in the tree.
    pub(super) path: TreePath,
    /// Its content, perhaps compressed.
    pub(super) content: Content,
}

/// A module in the form that goes into the image.
#[derive(Debug, Clone)]
pub(super) struct Unpacked {
    /// Path in the tree, ending in `.ko`.
    pub(super) path: TreePath,
    /// Its uncompressed content.
    pub(super) content: Content,
    /// What it says about itself.
    pub(super) info: ModuleInfo,
}

/// Unpacks `modules` on all processors; the result has their order. One module per processor is in memory at a time.
///
/// # Errors
/// When one can't be read, unpacked, understood or kept.
pub(super) fn unpack(
    modules: &[Shipped],
    store: &dyn ContentStore,
    phase: &dyn Phase,
) -> Result<Vec<Unpacked>, KernelError> {
    modules
        .par_iter()
        .map(|module| {
            phase.checkpoint().map_err(|stop| KernelError::Unpack {
                path: module.path.clone(),
                source: stop.into(),
            })?;
            let unpacked = unpack_one(module, store)?;
            phase.advance(1);
            Ok(unpacked)
        })
        .collect()
}

fn unpack_one(module: &Shipped, store: &dyn ContentStore) -> Result<Unpacked, KernelError> {
    let failed = |source| KernelError::Unpack {
        path: module.path.clone(),
        source,
    };
    let bytes = plain_bytes(module).map_err(failed)?;
    let info = ModuleInfo::read(&bytes).map_err(|reason| KernelError::Module {
        path: module.path.clone(),
        reason,
    })?;
    let content = if compression(&module.path).is_some() {
        store.keep(&bytes).map_err(KernelError::Store)?
    } else {
        module.content.clone()
    };
    Ok(Unpacked {
        path: plain_path(&module.path),
        content,
        info,
    })
}

/// `.xz` or `.zst` at the end of a path.
fn compression(path: &TreePath) -> Option<&'static str> {
    [".xz", ".zst", ".gz"]
        .into_iter()
        .find(|suffix| path.as_str().ends_with(suffix))
}

/// `path` without the suffix of its compression.
pub(in crate::finish) fn plain_path(path: &TreePath) -> TreePath {
    let plain = compression(path).and_then(|suffix| path.as_str().strip_suffix(suffix));
    plain
        .and_then(|plain| plain.parse().ok())
        .unwrap_or_else(|| path.clone())
}

fn plain_bytes(module: &Shipped) -> io::Result<Vec<u8>> {
    let file = io::BufReader::new(module.content.open()?);
    let mut bytes = Vec::new();
    match compression(&module.path) {
        Some(".xz") => {
            // Its own checksum isn't looked at: it came out of a package whose SHA-256 the lock names.
            let stream =
                Stream::new_stream_decoder(MAX_DECODER_BYTES, IGNORE_CHECK).map_err(io::Error::from)?;
            liblzma::bufread::XzDecoder::new_stream(file, stream)
                .take(MAX_MODULE_BYTES)
                .read_to_end(&mut bytes)?
        }
        Some(".zst") => zstd::Decoder::with_buffer(file)?
            .take(MAX_MODULE_BYTES)
            .read_to_end(&mut bytes)?,
        Some(_) => flate2::read::GzDecoder::new(file)
            .take(MAX_MODULE_BYTES)
            .read_to_end(&mut bytes)?,
        None => file.take(MAX_MODULE_BYTES).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}
