//! Shows what the script gate makes of a package's maintainer scripts and triggers: `residue ARCH PACKAGE.deb...`. For
//! people who review: the digest goes to `builder/src/lock/scripts.toml`, after reading the lines.
#![allow(clippy::print_stdout)] // its purpose

use std::{error::Error, path::Path};

use outcrop_builder::{
    deb::{Deb, Limits},
    lock::{
        format::ScriptKind,
        gate::{self, Residue, Script},
    },
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let architecture = arguments
        .next()
        .ok_or("an architecture, then packages")?
        .parse()?;
    for path in arguments {
        let mut deb = Deb::open(Path::new(&path), Limits::default())?;
        let control = deb.control()?;
        let package = control.package().to_string();
        for kind in [ScriptKind::Preinst, ScriptKind::Postinst] {
            if let Some(bytes) = control.file(kind.as_str()) {
                let init_only = &gate::init_only(&mut deb, bytes)?;
                show(&Script {
                    package: &package,
                    architecture,
                    kind,
                    bytes,
                    init_only,
                });
            }
        }
        let triggers = control.file("triggers").unwrap_or_default();
        if let Err(refused) = gate::triggers::judge(&package, triggers, &[]) {
            println!("{package} triggers: nobody stands for");
            lines(&refused.residue);
        }
    }
    Ok(())
}

fn show(script: &Script<'_>) {
    let verdict = gate::judge(script, &[]).map(|locked| locked.verdict);
    let analysis = gate::analyse(script);
    println!("{} {}: {:?}", script.package, script.kind.as_str(), verdict.ok());
    if let Some(why) = analysis.unreadable {
        println!("  can't be followed: {why}");
    }
    for action in analysis.actions {
        println!("  {action:?}");
    }
    if let Some(residue) = analysis.residue {
        println!("  residue {}", residue.digest);
        lines(&residue);
    }
}

fn lines(residue: &Residue) {
    for (number, line) in &residue.lines {
        println!("  {number:>4} {line}");
    }
}
