//! Which init scripts of a package have no unit.

use std::{collections::BTreeSet, fs::File};

use crate::deb::{Deb, DebError};

/// Init scripts for which systemd itself ships a unit.
const COVERED: [&str; 4] = ["hwclock.sh", "kmod", "procps", "udev"];

/// The package's init scripts without a unit of the same name: see [`super::Script::init_only`]. Only looked for when
/// `script` enables any.
///
/// # Errors
/// When the package can't be read.
pub fn init_only(deb: &mut Deb<File>, script: &[u8]) -> Result<Vec<String>, DebError> {
    if !String::from_utf8_lossy(script).contains("update-rc.d") {
        return Ok(Vec::new());
    }
    let (mut scripts, mut units) = (BTreeSet::new(), BTreeSet::new());
    let mut data = deb.data()?;
    while let Some(entry) = data.next_entry()? {
        let path = entry.path().to_string();
        if let Some(name) = path.strip_prefix("etc/init.d/") {
            scripts.insert(name.to_owned());
        }
        if let Some(name) = path
            .split_once("lib/systemd/system/")
            .and_then(|(_, name)| name.strip_suffix(".service"))
        {
            units.insert(name.to_owned());
        }
    }
    Ok(scripts
        .into_iter()
        .filter(|name| !units.contains(name) && !COVERED.contains(&name.as_str()))
        .collect())
}
