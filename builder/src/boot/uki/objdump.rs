//! A UKI against `objdump` (Debian packages binutils and binutils-aarch64-linux-gnu), which nobody here wrote.

use std::{fs, process::Command};

use outcrop_release::arch::Architecture;

use super::{Uki, fixture};

#[test]
fn objdump_reads_every_section_with_its_size_and_finds_its_content() {
    check(Architecture::X86_64, "x86_64-linux-gnu-objdump");
    check(Architecture::Aarch64, "aarch64-linux-gnu-objdump");
}

fn check(arch: Architecture, program: &str) {
    let (stub, linux) = (fixture::stub(arch), fixture::kernel(arch));
    let uki = Uki {
        stub: &stub,
        architecture: arch,
        os_release: "ID=outcrop\n",
        command_line: "ro quiet",
        uname: "6.12",
        initrd: &[0x5a; 0x1234],
        linux: &linux,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("uki.efi");
    fs::write(&path, uki.build().unwrap()).unwrap();
    let objdump = |args: &[&str]| {
        let output = Command::new(program)
            .args(args)
            .arg(&path)
            .env("LC_ALL", "C")
            .output();
        let output = output
            .expect("objdump runs; it is in the Debian packages binutils and binutils-aarch64-linux-gnu");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let listing = objdump(&["-h"]);
    let lengths: Vec<(&str, u32)> = listing
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.len() == 7 && words[1].starts_with('.'))
        .map(|words| (words[1], u32::from_str_radix(words[2], 16).unwrap()))
        .collect();
    let added = [
        (".osrel", 11),
        (".cmdline", 8),
        (".uname", 4),
        (".initrd", 0x1234),
        (".linux", u32::try_from(linux.len()).unwrap()),
    ];
    assert_eq!(lengths[2..], added, "{listing}");
    let dump = objdump(&["-s", "-j", ".cmdline"]);
    assert!(dump.contains("ro quiet"), "{dump}");
    let headers = objdump(&["-p"]);
    assert!(headers.contains("SizeOfImage"), "{headers}");
}
