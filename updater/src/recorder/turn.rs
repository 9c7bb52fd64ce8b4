//! Whose turn it is: the history and what is remembered of releases are read, changed and written by one program at a time.
//!
//! The lock is on Outcrop's folder itself, and no file of it: there is one to lock on a full disk, too. Where it can't be had, nothing waits for it for
//! long: neither an update nor a way back.

use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};

use crate::lock_file::hold_folder;

/// How long another program's turn may take: some writes, and a TPM that unseals a key.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Another program doesn't end its turn.
#[derive(Debug, thiserror::Error)]
#[error("another program has been writing it for {} seconds", .0.as_secs())]
pub(super) struct NoTurn(Duration);

/// A turn; it ends when this is dropped. Without a file where nobody can lock: then nobody else has one either.
#[must_use]
pub(super) struct Turn {
    _folder: Option<File>,
}

/// Waits for a turn to change what is in Outcrop's folder `state`.
pub(super) fn to_write(state: &Path, patience: Duration) -> Result<Turn, NoTurn> {
    // Where it can't be made, nothing can be kept, and whoever tries to tells it.
    let _made_or_not = fs::create_dir_all(state);
    match hold_folder(state, true, patience) {
        Ok(None) => Err(NoTurn(patience)),
        held => Ok(Turn {
            _folder: held.ok().flatten(),
        }),
    }
}

/// Waits for a turn to read, together with others who do. Whoever waits for too long reads all the same: that damages nothing.
pub(super) fn to_read(state: &Path) -> Turn {
    Turn {
        _folder: hold_folder(state, false, PATIENCE).ok().flatten(),
    }
}
