//! Fetching from servers that misbehave.

mod damage;
mod network;
mod single;
mod together;

use std::{fs, ops::ControlFlow, path::PathBuf, sync::Mutex, time::Duration};

use outcrop_release::digest::FileDigest;

use super::{
    testing::{Counter, NotedSleeps, Reply, Request, Server},
    *,
};
use crate::{
    cache::Cache,
    failure::FailureClass,
    lock::format::{Archive, Lock, LockedSuite, Role},
};

/// A cache of its own, and everything else that fetching needs.
struct Bench {
    folder: tempfile::TempDir,
    shelf: Shelf,
    sources: Sources,
    mode: Mode,
    effort: Effort,
    http: Http,
    clock: NotedSleeps,
    progress: Counter,
}

impl Bench {
    fn new(servers: &[&Server]) -> Self {
        Self::with_urls(&servers.iter().map(|server| server.url()).collect::<Vec<_>>())
    }

    fn with_urls(urls: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let timeouts = Timeouts {
            connect: Duration::from_secs(5),
            stall: Duration::from_millis(400),
        };
        Self {
            shelf: Shelf::of(&Cache::at(folder.path())),
            folder,
            sources: Sources {
                mirrors: mirrors(urls),
                snapshot: None,
            },
            mode: Mode::Online,
            effort: Effort::default(),
            http: Http::direct(timeouts, 6),
            clock: NotedSleeps::default(),
            progress: Counter::new(),
        }
    }

    fn fetcher(&self) -> Fetcher<'_> {
        Fetcher {
            shelf: &self.shelf,
            sources: &self.sources,
            mode: self.mode,
            effort: self.effort,
            transport: &self.http,
            clock: &self.clock,
            progress: &self.progress,
        }
    }

    fn fetch(&self, packages: &[LockedPackage]) -> Result<Vec<PathBuf>, FetchError> {
        self.fetcher().fetch(packages)
    }

    /// Puts bytes where an interrupted download of `package` would have left them.
    fn leave_partial(&self, package: &LockedPackage, bytes: &[u8]) {
        fs::create_dir_all(self.shelf.partial_folder()).unwrap();
        fs::write(self.partial(package), bytes).unwrap();
    }

    fn partial(&self, package: &LockedPackage) -> PathBuf {
        self.shelf.partial_folder().join(package.sha256.to_string())
    }

    /// Checks that the cache holds exactly these files and nothing unfinished.
    #[track_caller]
    fn assert_holds(&self, bodies: &[&[u8]]) {
        for body in bodies {
            let path = self.shelf.path(&FileDigest::of(body));
            assert_eq!(fs::read(path).unwrap(), *body);
        }
        assert_eq!(fs::read_dir(self.shelf.partial_folder()).unwrap().count(), 0);
    }
}

fn mirrors(urls: &[String]) -> Mirrors {
    let folder = tempfile::tempdir().unwrap();
    let line = |url: &String| format!("deb {url}/debian trixie main\n");
    fs::write(
        folder.path().join("sources.list"),
        urls.iter().map(line).collect::<String>(),
    )
    .unwrap();
    Mirrors::of_apt(folder.path())
}

/// `length` bytes that depend on `seed`.
fn body(seed: u8, length: usize) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(length)
    .collect()
}

fn package(name: &str, body: &[u8]) -> LockedPackage {
    LockedPackage {
        name: name.to_owned(),
        version: "1:2.0~rc1+b1".to_owned(),
        architecture: "amd64".to_owned(),
        role: Role::Root,
        archive: Archive::Main,
        path: format!("pool/main/{name}.deb"),
        size: body.len() as u64,
        sha256: FileDigest::of(body),
        scripts: Vec::new(),
    }
}

/// A server's path of a package.
fn path_of(package: &LockedPackage) -> String {
    format!("/debian/{}", package.path)
}

/// The error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn help(error: &FetchError) -> String {
    miette::Diagnostic::help(error)
        .map(|help| help.to_string())
        .unwrap_or_default()
}
