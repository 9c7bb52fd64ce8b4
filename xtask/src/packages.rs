//! System packages: what each task needs, and installing what is missing.

use std::process::Command;

use crate::{
    error::Error,
    host::{self, Arch},
    shell,
};

/// Whether missing packages are installed or only named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Install {
    /// Install them, through sudo when not root.
    Missing,
    /// Print the command and fail.
    Never,
}

/// To compile the builder (libostree, C parts of crates) and to run it (apt, gpgv, mke2fs).
const BUILD: &[&str] = &[
    "gcc",
    "libc6-dev",
    "pkg-config",
    "libostree-dev",
    "apt",
    "gpgv",
    "ca-certificates",
    "e2fsprogs",
];

/// To compile and link the device's programs for the other architecture.
const CROSS: &[&str] = if cfg!(target_arch = "aarch64") {
    &["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"]
} else {
    &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]
};

/// To boot images of both architectures.
const QEMU: &[&str] = &[
    "qemu-system-x86",
    "qemu-system-arm",
    "qemu-utils",
    "ovmf",
    "qemu-efi-aarch64",
    "ipxe-qemu",
];

/// Tools nobody here wrote, which the tests ask for a second opinion.
const CHECKERS: &[&str] = &[
    "binutils-aarch64-linux-gnu",
    "binutils-x86-64-linux-gnu",
    "bmap-tools",
    "cpio",
    "cryptsetup-bin",
    "dosfstools",
    "erofs-utils",
    "gdisk",
    "gnupg",
    "kmod",
    "libcap2-bin",
    "mtools",
    "openssh-client",
    "openssl",
    "sbsigntool",
    "squashfs-tools",
    "systemd-container",
];

/// The peers that the benches compare with.
const BENCH: &[&str] = &[
    "bmap-tools",
    "mmdebstrap",
    "erofs-utils",
    "cryptsetup-bin",
    "qemu-user-static",
    "arch-test",
    "time",
    // Of updates: peers, and Debian 12's keys.
    "bsdiff",
    "casync",
    "debian-archive-keyring",
    "rauc",
    "xdelta3",
    "xz-utils",
    "zstd",
];

/// A browser, to look at pages as people do.
const BROWSER: &[&str] = &["chromium"];

/// A TPM for machines of QEMU's.
const TPM: &[&str] = &["swtpm"];

/// libFuzzer is compiled from source.
const FUZZ: &[&str] = &["g++"];

/// To compile the Kubernetes that the tests run, from Debian 12's sources.
const KUBERNETES: &[&str] = &["apt", "ca-certificates", "curl", "dpkg"];

/// A task's needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Compiling the device's programs.
    Device,
    /// Building and booting them.
    Demo,
    /// All tests, and the fuzz targets.
    Test,
    /// What the soak needs beyond the tests.
    Soak,
    /// Compiling everything, the fuzz targets too.
    Fuzz,
    /// The benches.
    Bench,
    /// Compiling a Kubernetes.
    Kubernetes,
}

impl Needs {
    fn packages(self) -> Vec<String> {
        let groups: &[&[&str]] = match self {
            Self::Device => &[BUILD, CROSS],
            Self::Demo => &[BUILD, CROSS, QEMU],
            Self::Test => &[BUILD, CROSS, QEMU, CHECKERS, FUZZ],
            Self::Soak => &[BROWSER, TPM],
            Self::Fuzz => &[BUILD, FUZZ],
            Self::Kubernetes => &[KUBERNETES],
            Self::Bench => &[BUILD, CROSS, QEMU, CHECKERS, BENCH],
        };
        let mut names: Vec<String> = groups.concat().into_iter().map(str::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Makes sure that what a task needs is installed.
pub(crate) fn ensure(needs: Needs, install: Install) -> Result<(), Error> {
    ensure_named(&needs.packages(), install)
}

/// Makes sure that these packages are installed.
pub(crate) fn ensure_named(names: &[String], install: Install) -> Result<(), Error> {
    let missing: Vec<&String> = names.iter().filter(|name| !is_installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing
        .iter()
        .map(|name| name.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    if install == Install::Never {
        return Err(Error::Missing(by_hand(&format!(
            "apt-get install --no-install-recommends {list}"
        ))));
    }
    eprintln!("installing system packages: {list}");
    shell::run(apt_get()?.arg("update"))?;
    shell::run(
        apt_get()?
            .args(["install", "--yes", "--no-install-recommends"])
            .args(missing),
    )
}

/// Makes sure that apt knows packages of `arch` (for a foreign standard library).
pub(crate) fn ensure_foreign(arch: Arch, install: Install) -> Result<(), Error> {
    if arch == Arch::host() {
        return Ok(());
    }
    let known = shell::output(Command::new("dpkg").arg("--print-foreign-architectures"))?;
    if known.lines().any(|line| line == arch.debian()) {
        return Ok(());
    }
    if install == Install::Never {
        return Err(Error::Missing(by_hand(&format!(
            "dpkg --add-architecture {}",
            arch.debian()
        ))));
    }
    eprintln!("adding {} to dpkg's architectures", arch.debian());
    shell::run(host::as_root("dpkg")?.args(["--add-architecture", arch.debian()]))?;
    shell::run(apt_get()?.arg("update"))
}

/// A command as whoever started this has to type it: new package lists first, through sudo when not root.
fn by_hand(command: &str) -> String {
    let sudo = if host::is_root() { "" } else { "sudo " };
    let update = format!("{sudo}apt-get update");
    if command.starts_with("apt-get") {
        format!("{update} && {sudo}{command}")
    } else {
        format!("{sudo}{command} && {update}")
    }
}

/// Whether apt could install `name`.
pub(crate) fn is_available(name: &str) -> bool {
    shell::output(Command::new("apt-cache").args(["policy", name])).is_ok_and(|text| {
        text.lines()
            .any(|line| line.trim().starts_with("Candidate: ") && !line.ends_with("(none)"))
    })
}

fn apt_get() -> Result<Command, Error> {
    let mut command = host::as_root("env")?;
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    Ok(command)
}

fn is_installed(name: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status}", name])
        .output()
        .is_ok_and(|output| output.status.success() && output.stdout == b"installed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_run_needs_whatever_the_demo_needs_and_names_nothing_twice() {
        let (demo, test) = (Needs::Demo.packages(), Needs::Test.packages());
        assert!(demo.iter().all(|name| test.contains(name)));
        assert!(test.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn without_leave_to_install_the_error_is_the_command_to_type() {
        let error = ensure_named(&["outcrop-no-such-package".to_owned()], Install::Never).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("apt-get install --no-install-recommends outcrop-no-such-package")
        );
    }
}
