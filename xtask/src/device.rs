//! The static programs of the device (`outcrop-init`, `outcrop-updater`), for both architectures.
//!
//! The compiler is the installed one where its standard library knows the target (rustup adds it when it can);
//! else Debian's own, whose standard library for another architecture is a package.

use std::{fs, path::PathBuf, process::Command, thread};

use crate::{
    error::Error,
    host::Arch,
    packages::{self, Install},
    project, shell,
};

const PROGRAMS: [&str; 2] = ["outcrop-init", "outcrop-updater"];

/// A compiler that can build for a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compiler {
    /// Whatever cargo uses by itself.
    Default,
    /// Debian's, at this path.
    Debian(&'static str),
}

/// Builds the programs for every architecture, into [`project::device_programs`].
pub(crate) fn build(install: Install) -> Result<(), Error> {
    Toolchains::find(install)?.build()
}

/// What the programs are built with.
pub(crate) struct Toolchains(Vec<(Arch, Compiler)>);

impl Toolchains {
    /// Installs what is missing.
    pub(crate) fn find(install: Install) -> Result<Self, Error> {
        let one = |arch| Ok((arch, compiler_for(arch, install)?));
        Arch::ALL.into_iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Builds the programs. The last step of each is one processor's: the architectures are built at the same time.
    pub(crate) fn build(&self) -> Result<(), Error> {
        thread::scope(|scope| {
            let builds: Vec<_> = self
                .by_compiler()
                .into_iter()
                .map(|(compiler, archs)| scope.spawn(move || build_with(compiler, &archs)))
                .collect();
            builds.into_iter().try_for_each(|build| {
                let panicked =
                    || Error::Unexpected("a thread that builds the device's programs panicked".to_owned());
                build.join().unwrap_or_else(|_| Err(panicked()))
            })
        })
    }

    fn by_compiler(&self) -> Vec<(Compiler, Vec<Arch>)> {
        let mut groups: Vec<(Compiler, Vec<Arch>)> = Vec::new();
        for (arch, compiler) in &self.0 {
            match groups.iter_mut().find(|(known, _)| known == compiler) {
                Some((_, archs)) => archs.push(*arch),
                None => groups.push((*compiler, vec![*arch])),
            }
        }
        groups
    }
}

fn build_with(compiler: Compiler, archs: &[Arch]) -> Result<(), Error> {
    let mut cargo = project::cargo();
    cargo.args([
        "build",
        "--locked",
        "--profile",
        "device",
        "--package",
        "outcrop-updater",
        "--bins",
    ]);
    cargo.arg("--target-dir").arg(target_folder(compiler));
    configure(&mut cargo, compiler);
    for arch in archs {
        cargo.args(["--target", arch.target()]);
        configure_linker(&mut cargo, *arch);
    }
    shell::run(&mut cargo)?;
    for arch in archs {
        PROGRAMS
            .into_iter()
            .try_for_each(|name| publish(*arch, compiler, name))?;
    }
    Ok(())
}

/// Static, and the same wherever the project and the registry lie.
fn configure(cargo: &mut Command, compiler: Compiler) {
    let home = std::env::var("CARGO_HOME").unwrap_or_else(|_| {
        std::env::var("HOME").map_or_else(|_| "/nonexistent".to_owned(), |home| format!("{home}/.cargo"))
    });
    let flags = [
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Crelocation-model=static".to_owned(),
        format!("--remap-path-prefix={}=/outcrop", project::root().display()),
        format!("--remap-path-prefix={home}=/cargo"),
    ];
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    if let Compiler::Debian(rustc) = compiler {
        cargo.env("RUSTC", rustc);
    }
}

fn configure_linker(cargo: &mut Command, arch: Arch) {
    if arch != Arch::host() {
        let gcc = format!("{}-gcc", arch.gnu());
        let target = arch.target().replace('-', "_");
        cargo.env(format!("CARGO_TARGET_{}_LINKER", target.to_uppercase()), &gcc);
        cargo.env(format!("CC_{target}"), &gcc);
    }
}

fn compiler_for(arch: Arch, install: Install) -> Result<Compiler, Error> {
    if arch == Arch::host() {
        return Ok(Compiler::Default);
    }
    if knows(arch) || (install == Install::Missing && rustup_adds(arch)) {
        return Ok(Compiler::Default);
    }
    debian_compiler(arch, install)
}

/// Whether the default compiler has the target's standard library.
fn knows(arch: Arch) -> bool {
    let sysroot = shell::output(Command::new("rustc").args(["--print", "sysroot"])).unwrap_or_default();
    PathBuf::from(sysroot.trim())
        .join("lib/rustlib")
        .join(arch.target())
        .join("lib")
        .is_dir()
}

fn rustup_adds(arch: Arch) -> bool {
    shell::succeeds(Command::new("rustup").args(["target", "add", arch.target()])) && knows(arch)
}

fn debian_compiler(arch: Arch, install: Install) -> Result<Compiler, Error> {
    if !packages::is_available("rustc-web") {
        let why = format!(
            "rustup can't add it, and this Debian has no package rustc-web: `rustup target add {}`",
            arch.target()
        );
        return Err(Error::Toolchain {
            target: arch.target(),
            why,
        });
    }
    packages::ensure_foreign(arch, install)?;
    let library = "libstd-rust-web-dev";
    let names = [
        "rustc-web".to_owned(),
        library.to_owned(),
        format!("{library}:{}", arch.debian()),
    ];
    packages::ensure_named(&names, install)?;
    Ok(Compiler::Debian("/usr/bin/rustc"))
}

/// Another compiler's artefacts must not mix with the default one's.
fn target_folder(compiler: Compiler) -> PathBuf {
    match compiler {
        Compiler::Default => project::target(),
        Compiler::Debian(_) => project::target().join("debian-rustc"),
    }
}

fn publish(arch: Arch, compiler: Compiler, name: &str) -> Result<(), Error> {
    let built = target_folder(compiler)
        .join(arch.target())
        .join("device")
        .join(name);
    let folder = project::device_programs().join(arch.as_str());
    fs::create_dir_all(&folder).map_err(|source| Error::File {
        doing: "create folder",
        path: folder.clone(),
        source,
    })?;
    fs::copy(&built, folder.join(name))
        .map(drop)
        .map_err(|source| Error::File {
            doing: "copy program",
            path: built,
            source,
        })
}
