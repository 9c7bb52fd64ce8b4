//! Reads text as a maintainer script: the script gate follows it or says why it can't, and every line that it leaves is
//! a line of the script.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outcrop_builder::lock::{
    format::ScriptKind,
    gate::{Script, analyse},
};
use outcrop_release::arch::Architecture;

fuzz_target!(|body: &str| {
    let text = format!("#!/bin/sh\n{body}");
    for kind in [ScriptKind::Preinst, ScriptKind::Postinst] {
        let analysis = analyse(&Script {
            package: "linux-image-6.12.1-amd64",
            architecture: Architecture::X86_64,
            kind,
            bytes: text.as_bytes(),
            init_only: &["frob".to_owned()],
        });
        if analysis.unreadable.is_some() {
            assert!(
                analysis.residue.is_some(),
                "a script that can't be followed is all residue"
            );
        }
        if let Some(residue) = analysis.residue {
            let lines = text.lines().count();
            assert!(
                residue
                    .lines
                    .iter()
                    .all(|(number, _)| (1..=lines).contains(number))
            );
        }
    }
});
