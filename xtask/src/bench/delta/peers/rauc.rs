//! RAUC's adaptive mode: a bundle in verity format, whose images have a `block-hash-index`.
//!
//! A device reads the bundle's indexes, and of the squashfs the compressed blocks with 4 KiB blocks that it can't find in the older release.
//! That is counted, not installed: installing needs RAUC's service, a system bus and real slots. What isn't counted: the hashes of the bundle's
//! dm-verity on the way to these blocks, and what the kernel reads ahead. Both are more for RAUC.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use super::{Costs, Job, failed, length};
use crate::{
    bench::{
        delta::{
            fixtures::write,
            payload::{BLOCK_BYTES, blocks, each_block, missing},
            squashfs::{FilePlacement, placement},
        },
        measure::{Cost, measure},
    },
    error::Error,
    shell,
};

const MANIFEST: &str = "[update]\ncompatible=bench\nversion=2\n[bundle]\nformat=verity\n\
    [image.rootfs]\nfilename=root.img\nadaptive=block-hash-index\n[image.boot]\nfilename=boot.img\nadaptive=block-hash-index\n";
/// Inodes stay readable: the bench looks up in them where blocks are. That costs a bundle some thousand bytes.
const SQUASHFS: &str = "-comp zstd -Xcompression-level 19 -b 64k -noI";
/// SHA-256 of one block.
const INDEX_BYTES: u64 = 32;

pub(super) fn run(job: &Job<'_>) -> Result<Costs, Error> {
    let (bundle, make) = bundle(job)?;
    let placement = placement(&bundle).map_err(failed("read the squashfs in", &bundle))?;
    let old: HashSet<[u8; 32]> = [&job.old.root, &job.old.boot]
        .into_iter()
        .map(|path| blocks(path))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect();
    let (mut content, mut index) = (0, placement.tables);
    let lacking = job.folder.join("lacking");
    let mut stream = BufWriter::new(File::create(&lacking).map_err(failed("write", &lacking))?);
    for image in [&job.new.root, &job.new.boot] {
        let new = blocks(image)?;
        let places = missing(&old, &new);
        let bytes = length(image)?;
        let file = placement.files.iter().find(|file| file.bytes == bytes);
        let file =
            file.ok_or_else(|| Error::Unexpected(format!("the bundle has no file of {bytes} bytes")))?;
        content += pieces(file, &places, u64::from(placement.block_bytes));
        // Hashes can't be compressed.
        index += new.len() as u64 * INDEX_BYTES;
        copy_blocks(image, &places, &mut stream)?;
    }
    stream.flush().map_err(failed("write", &lacking))?;
    Ok(Costs {
        fetched: content + index,
        at_best: Some(compressed(&lacking)? + index),
        index,
        make,
        apply: None,
    })
}

/// Stored bytes of the squashfs' blocks that hold one of these blocks of the file, each once. The end of a file that shares a block with others
/// isn't counted.
fn pieces(file: &FilePlacement, places: &[u64], piece_bytes: u64) -> u64 {
    let each = piece_bytes / BLOCK_BYTES as u64;
    let wanted: HashSet<u64> = places.iter().map(|place| place / each).collect();
    let stored = |piece: u64| file.blocks.get(usize::try_from(piece).ok()?);
    wanted
        .into_iter()
        .filter_map(stored)
        .map(|&bytes| u64::from(bytes))
        .sum()
}

fn copy_blocks(image: &Path, places: &[u64], to: &mut impl std::io::Write) -> Result<(), Error> {
    let wanted: HashSet<u64> = places.iter().copied().collect();
    each_block(image, |place, block| match wanted.contains(&place) {
        true => to.write_all(block),
        false => Ok(()),
    })
}

fn compressed(path: &Path) -> Result<u64, Error> {
    let packed = path.with_extension("zst");
    let mut zstd = Command::new("zstd");
    shell::run(
        zstd.args(["-q", "-f", "-19", "--long=27", "-o"])
            .args([&packed, path]),
    )?;
    length(&packed)
}

fn bundle(job: &Job<'_>) -> Result<(PathBuf, Cost), Error> {
    let (content, bundle) = (job.folder.join("content"), job.folder.join("bench.raucb"));
    write(&content.join("manifest.raucm"), MANIFEST)?;
    for (payload, name) in [(&job.new.root, "root.img"), (&job.new.boot, "boot.img")] {
        let link = content.join(name);
        fs::hard_link(payload, &link).map_err(failed("link to", &link))?;
    }
    let [key, certificate] = ["key.pem", "certificate.pem"].map(|name| job.folder.join(name));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=bench",
        "-keyout",
    ]);
    shell::run(openssl.arg(&key).arg("-out").arg(&certificate))?;
    let mut rauc = Command::new("rauc");
    rauc.arg("--key").arg(&key).arg("--cert").arg(&certificate);
    rauc.arg(format!("--mksquashfs-args={SQUASHFS}"));
    let make = measure(rauc.arg("bundle").args([&content, &bundle]))?;
    Ok((bundle, make))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_counts_once_however_many_of_its_blocks_are_missing() {
        let file = FilePlacement {
            bytes: 3 << 16,
            blocks: vec![100, 200, 300],
            has_fragment: false,
        };
        assert_eq!(pieces(&file, &[0, 15, 32, 47], 1 << 16), 400);
        assert_eq!(pieces(&file, &[], 1 << 16), 0);
    }
}
