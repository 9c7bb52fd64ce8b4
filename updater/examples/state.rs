//! How long a copy of state takes, and bringing it back: `state ROOT` copies `ROOT/var/lib/datastore` and brings it back, and prints both
//! times in seconds. `cargo xtask bench kubernetes` compares them with `cp` and `sync`.

use std::{env, error::Error, io::Write as _, path::PathBuf, time::Instant};

use outcrop_updater::state::{Kind, Label, Snapshots};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::args_os().nth(1).ok_or("usage: state ROOT")?);
    let snapshots = Snapshots::new(root.join("var/lib/outcrop/state"), root);
    let label = |kind| Label {
        kind,
        owner: None,
        machine: String::new(),
        at: 0,
    };
    let begin = Instant::now();
    let before = Kind::Before {
        version: "2.0.0".to_owned(),
    };
    let taken = snapshots.take(label(before), &["/var/lib/datastore".parse()?])?;
    let take = begin.elapsed();
    let begin = Instant::now();
    let aside = snapshots.free_number()?;
    snapshots.bring_back(taken, aside, label(Kind::Replaced), &mut || Ok(()))?;
    let back = begin.elapsed();
    snapshots.remove(aside)?;
    writeln!(std::io::stdout(), "{} {}", take.as_secs_f64(), back.as_secs_f64())?;
    Ok(())
}
