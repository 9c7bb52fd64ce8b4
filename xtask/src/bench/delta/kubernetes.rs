//! A Kubernetes of which a tenth has changed: the program that `cargo xtask kubernetes` compiles, and the same after edits that look
//! like those of another linking: in every tenth block of 4 KiB, every eighth word of 32 bits is another by a constant. Code and data that
//! stay but move have just their addresses changed, so.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    failed,
    fixtures::{Difference, Release, write},
    payload::each_block,
};
use crate::{error::Error, host::Arch, kubernetes, packages::Install};

/// Where the image has it: `recipes/edge-kube.toml`.
const PLACE: &str = "usr/bin/kube-single";
const EVERY_BLOCK: u64 = 10;
const EVERY_WORD: usize = 8;
/// How far things moved, in bytes.
const MOVED: u32 = 0x1240;

pub(super) fn difference(lock: &str, folder: &Path) -> Result<Difference, Error> {
    let built = kubernetes::build(Install::Missing, &[Arch::X86_64])?;
    let program = built.join(format!("kube-single-{}", Arch::X86_64.debian()));
    let release = |name: &str, every| -> Result<Release, Error> {
        let overlay = folder.join(name);
        edit(&program, &overlay.join(PLACE), every)?;
        Ok(Release {
            lock: lock.to_owned(),
            overlay: Some(overlay),
            ..Release::default()
        })
    };
    Ok(Difference {
        old: release("overlay-old", None)?,
        new: release("overlay-new", Some(EVERY_BLOCK))?,
        what: format!(
            "the program /{PLACE}: in every {EVERY_BLOCK}th block of 4 KiB every {EVERY_WORD}th word of 32 bits has {MOVED:#x} added"
        ),
        changed_files: None,
    })
}

/// A copy with every `every`-th block edited.
fn edit(from: &Path, to: &PathBuf, every: Option<u64>) -> Result<(), Error> {
    write(to, [])?;
    let mut file = BufWriter::new(File::create(to).map_err(failed("write", to))?);
    each_block(from, |index, block| match every {
        Some(every) if index % every == 0 => file.write_all(&edited(block)),
        _ => file.write_all(block),
    })?;
    let finish = || -> io::Result<()> {
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o755))
    };
    finish().map_err(failed("write", to))
}

fn edited(block: &[u8]) -> Vec<u8> {
    let mut block = block.to_owned();
    let (words, _) = block.as_chunks_mut::<4>();
    for word in words.iter_mut().step_by(EVERY_WORD) {
        *word = u32::from_le_bytes(*word).wrapping_add(MOVED).to_le_bytes();
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edited_block_is_as_long_and_every_eighth_word_of_it_differs() {
        let block: Vec<u8> = (0..70).collect();
        let edited = edited(&block);
        assert_eq!(edited.len(), block.len());
        let differ: Vec<_> = (0..70).filter(|&at| edited[at] != block[at]).collect();
        assert_eq!(differ, [0, 1, 32, 33, 64, 65]);
    }
}
