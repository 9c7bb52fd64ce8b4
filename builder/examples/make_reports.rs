//! Makes a fleet's reports, each signed by a device of its own: `cargo run --example make_reports -- FOLDER COUNT`. One in a hundred has
//! failed its update. `cargo xtask bench fleet` reads them.

use std::{error::Error, fs, path::PathBuf};

use jiff::Timestamp;
use outcrop_builder::keys::PrivateKey;
use outcrop_release::{
    agent::Waits,
    digest::FileDigest,
    journal::{Fate, Head},
    name::ReleaseName,
    report::{Drift, Followed, Health, LastUpdate, Reason, Report, Standing},
    signed,
    trust::{Purpose, Signatures},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, count] = arguments.as_slice() else {
        return Err("usage: make_reports FOLDER COUNT".into());
    };
    let (folder, count) = (PathBuf::from(folder), count.parse::<u64>()?);
    for number in 0..count {
        // No folder of a server has a hundred thousand files.
        let folder = folder.join(format!("{:03}", number / 1000));
        fs::create_dir_all(&folder)?;
        let mut seed = [5; 32];
        seed.iter_mut()
            .zip(number.to_le_bytes())
            .for_each(|(seed, byte)| *seed = byte);
        let key = PrivateKey::from_seed(&seed);
        let report = report(number, &key)?;
        let document = report.to_bytes();
        let mut signatures = Signatures::default();
        signatures.add(key.sign(Purpose::Report, &document)?)?;
        fs::write(
            folder.join(report.file_name()),
            signed::join(&document, &signatures),
        )?;
    }
    Ok(())
}

fn report(number: u64, key: &PrivateKey) -> Result<Report, Box<dyn Error>> {
    let has_failed = number % 100 == 7;
    Ok(Report {
        key: key.public()?,
        sequence: 41,
        at: Timestamp::now(),
        hostname: Some(format!("till-{number}")),
        labels: [("site".to_owned(), format!("shop-{}", number / 8))].into(),
        running: ReleaseName {
            image: "edge".parse()?,
            version: if has_failed { "1.1.0" } else { "1.2.0" }.parse()?,
            architecture: "x86_64".parse()?,
            board: "efi".parse()?,
        },
        manifest: FileDigest::of(b"manifest"),
        slot: "a".to_owned(),
        channel: Some(Followed {
            name: "stable".to_owned(),
            serial: 12,
        }),
        last: has_failed.then(|| LastUpdate {
            fate: Fate::Failed,
            version: "1.2.0".to_owned(),
            reason: Some(Reason::CheckFailed),
            detail: Some("the check ssh didn't hold".to_owned()),
        }),
        health: Health::Healthy,
        agent: Some(Standing {
            waits: Waits::News,
            version: None,
            reason: None,
            detail: None,
        }),
        drift: Some(Drift {
            differences: 0,
            fingerprint: FileDigest::of(b""),
        }),
        history: Some(Head {
            number,
            digest: FileDigest::of(&number.to_le_bytes()),
        }),
    })
}
