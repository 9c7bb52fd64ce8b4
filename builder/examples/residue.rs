//! Shows what the script gate makes of maintainer scripts: `residue ARCH PACKAGE.preinst PACKAGE.postinst...` (files
//! named so). For people who review: the digest goes to `builder/src/lock/scripts.toml`, after reading the lines.

use std::{error::Error, fs, path::Path};

use outcrop_builder::lock::{format::ScriptKind, gate};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let architecture = arguments.next().ok_or("an architecture, then scripts")?.parse()?;
    for path in arguments {
        let bytes = fs::read(&path)?;
        let name = Path::new(&path)
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let (package, kind) = match (name.strip_suffix(".preinst"), name.strip_suffix(".postinst")) {
            (Some(package), _) => (package, ScriptKind::Preinst),
            (_, Some(package)) => (package, ScriptKind::Postinst),
            _ => return Err(format!("{path}: neither PACKAGE.preinst nor PACKAGE.postinst").into()),
        };
        show(&gate::Script {
            package,
            architecture,
            kind,
            bytes: &bytes,
            init_only: &[],
        });
    }
    Ok(())
}

#[allow(clippy::print_stdout)] // its purpose
fn show(script: &gate::Script<'_>) {
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
        residue
            .lines
            .iter()
            .for_each(|(number, line)| println!("  {number:>4} {line}"));
    }
}
