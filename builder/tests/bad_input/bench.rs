//! A folder with a recipe, its lock, device programs and a cache; and the program run in it.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use outcrop_builder::lock::{
    self,
    format::{Archive, Lock, LockedPackage, LockedSuite, Role},
};
use outcrop_release::{arch::Architecture, digest::FileDigest};

use crate::server::{Reply, Server};

/// The least recipe.
pub(crate) const RECIPE: &str = "[image]\nname = \"x\"\nversion = \"1.0.0\"\narchitectures = [\"x86_64\"]\n\
    [base]\nsuite = \"trixie\"\n";

/// Everything that a build needs, in a folder of its own.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// With this recipe and no lock.
    pub(crate) fn new(recipe: &str) -> Self {
        let folder = tempfile::Builder::new()
            .permissions(mode(0o755))
            .tempdir()
            .unwrap();
        let bench = Self { folder };
        fs::create_dir_all(bench.path("device/x86_64")).unwrap();
        for name in ["outcrop-init", "outcrop-updater"] {
            fs::write(bench.path("device/x86_64").join(name), static_program()).unwrap();
        }
        fs::write(bench.path("x.toml"), recipe).unwrap();
        bench
    }

    /// With a lock of the least recipe that holds packages with these bodies, called `p0`, `p1`, ...
    pub(crate) fn locked(bodies: &[Vec<u8>]) -> Self {
        let bench = Self::new(RECIPE);
        bench.write_lock(&lock::text::write(&bench.lock(bodies)).unwrap());
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn lock(&self, bodies: &[Vec<u8>]) -> Lock {
        let recipe = outcrop_builder::recipe::load(&self.path("x.toml"))
            .unwrap()
            .recipe;
        let packages = bodies
            .iter()
            .enumerate()
            .map(|(i, body)| package(&format!("p{i}"), body));
        Lock {
            recipe: lock::recipe_digest(&recipe),
            suites: vec![LockedSuite {
                name: "trixie".to_owned(),
                archive: Archive::Main,
                in_release: FileDigest::of(b""),
                date: 1_795_176_000,
            }],
            packages: BTreeMap::from([(Architecture::X86_64, packages.collect())]),
        }
    }

    pub(crate) fn write_lock(&self, text: &str) {
        fs::write(self.path("x.lock"), text).unwrap();
    }

    /// `outcrop` with these arguments, told nothing of the caller's environment. Whatever isn't on this machine is behind
    /// a proxy that isn't there: no test asks the internet.
    pub(crate) fn outcrop(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outcrop"));
        self.prepare(&mut command, arguments);
        command
    }

    /// Gives a command that runs the program its arguments and environment.
    pub(crate) fn prepare(&self, command: &mut Command, arguments: &[&str]) {
        let proxy = format!("http://127.0.0.1:{}", closed_port());
        command
            .args(arguments)
            .arg("--cache-dir")
            .arg(self.path("cache"))
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.folder.path())
            .envs([
                ("http_proxy", &proxy),
                ("https_proxy", &proxy),
                ("ALL_PROXY", &proxy),
            ])
            .envs([("no_proxy", "127.0.0.1"), ("NO_PROXY", "127.0.0.1")])
            .stdin(Stdio::null());
    }

    pub(crate) fn build(&self, mirror: &str) -> Command {
        self.outcrop(&build_arguments(mirror))
    }

    /// Files and folders below the bench's, but for what is in the cache. Files with their content.
    pub(crate) fn listing(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut listing = BTreeMap::new();
        list(self.folder.path(), &self.path("cache"), &mut listing);
        listing
    }

    /// Runs `command` and checks that it refuses with `code`, says every needle, and leaves the folder as it was.
    #[track_caller]
    pub(crate) fn assert_refuses(&self, mut command: Command, code: i32, needles: &[&str]) {
        let before = self.listing();
        let output = command.output().unwrap();
        assert_refused(&output, code, needles);
        let mut after = self.listing();
        if !before.contains_key(&self.path("out")) {
            // The output folder may have been made; it must be empty.
            after.remove(&self.path("out"));
        }
        let names = |listing: &BTreeMap<PathBuf, Vec<u8>>| listing.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&after), names(&before), "{}", told(&output));
        assert!(after == before, "a file was changed: {}", told(&output));
    }

    /// Checks that a good mirror now gives the cache whole packages: the build gets past fetching, to packages that are
    /// none.
    #[track_caller]
    pub(crate) fn assert_good_mirror_works(&self, bodies: &[Vec<u8>]) {
        let server = good_server(bodies);
        self.assert_refuses(self.build(&server.url()), 6, &["import p", "ar archive"]);
        for body in bodies {
            let name = FileDigest::of(body).to_string();
            let cached = self.path("cache/packages").join(&name[..2]).join(&name);
            assert!(fs::read(cached).unwrap() == *body);
        }
        assert_eq!(self.partial_bytes(), None);
    }

    /// The length of the only unfinished download.
    pub(crate) fn partial_bytes(&self) -> Option<u64> {
        let partial = fs::read_dir(self.path("cache/packages/partial")).ok()?;
        partial
            .last()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
    }
}

pub(crate) fn build_arguments(mirror: &str) -> [&str; 8] {
    [
        "build",
        "x.toml",
        "--device-programs",
        "device",
        "--output",
        "out",
        "--mirror",
        mirror,
    ]
}

/// Checks exit code and what was said.
#[track_caller]
pub(crate) fn assert_refused(output: &Output, code: i32, needles: &[&str]) {
    let told = told(output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    // Where lines are broken is of no interest.
    let words = told
        .replace('│', " ")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    for needle in needles {
        assert!(words.contains(needle), "{needle:?} is not in:\n{told}");
    }
    assert!(output.stdout.is_empty(), "{output:?}");
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Serves the packages of [`Bench::locked`].
pub(crate) fn good_server(bodies: &[Vec<u8>]) -> Server {
    let bodies = bodies.to_owned();
    Server::start(move |request, _| {
        let name = |i| request.path == format!("/debian/{}", path_of(&format!("p{i}")));
        let found = (0..bodies.len()).find(|i| name(*i));
        found.map_or(Reply::Status(404), |i| Reply::File(bodies[i].clone()))
    })
}

/// A body that is no package.
pub(crate) fn body(length: usize) -> Vec<u8> {
    b"no package ".iter().copied().cycle().take(length).collect()
}

fn package(name: &str, body: &[u8]) -> LockedPackage {
    LockedPackage {
        name: name.to_owned(),
        version: "1.0".to_owned(),
        architecture: "amd64".to_owned(),
        role: Role::Root,
        archive: Archive::Main,
        path: path_of(name),
        size: body.len() as u64,
        sha256: FileDigest::of(body),
        scripts: Vec::new(),
    }
}

fn path_of(name: &str) -> String {
    format!("pool/main/{name}_1.0_amd64.deb")
}

/// A port that nobody listens on.
pub(crate) fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

pub(crate) fn mode(mode: u32) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::Permissions::from_mode(mode)
}

/// An ELF header of a static program for x86_64, and nothing else. Source: elf(5).
fn static_program() -> Vec<u8> {
    let mut elf = vec![0; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01"); // 64 bit, little-endian, version 1
    elf[16..20].copy_from_slice(&[2, 0, 62, 0]); // ET_EXEC, EM_X86_64
    elf[20] = 1; // version
    elf[52] = 64; // length of this header
    elf
}

fn list(folder: &Path, but: &Path, listing: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path == but {
            continue;
        }
        if path.is_dir() {
            list(&path, but, listing);
            listing.insert(path, Vec::new());
        } else {
            let content = fs::read(&path).unwrap();
            listing.insert(path, content);
        }
    }
}
