//! /etc/nsswitch.conf: libc-bin's default, with the modules that are installed.
//!
//! Format: nsswitch.conf(5). The order of systemd's modules is that of nss-systemd(8), nss-resolve(8) and
//! nss-myhostname(8).

use outcrop_release::arch::Architecture;

use super::{edit, error::FinishError};
use crate::tree::{Tree, TreePath};

const DEFAULT: &str = "usr/share/libc-bin/nsswitch.conf";
const PATH: &str = "etc/nsswitch.conf";

/// Writes the file unless a layer brought one.
///
/// # Errors
/// When libc-bin is missing.
pub(super) fn run(tree: &mut Tree, architecture: Architecture) -> Result<(), FinishError> {
    if tree.contains(PATH) {
        return Ok(());
    }
    let path: TreePath = DEFAULT.parse().map_err(FinishError::Path)?;
    let text = edit::read_text(tree, &path)?.ok_or(FinishError::Missing {
        path,
        package: "libc-bin",
    })?;
    let has = |module: &str| {
        tree.contains(&format!(
            "usr/lib/{}/libnss_{module}.so.2",
            architecture.multiarch()
        ))
    };
    let installed = Installed {
        systemd: has("systemd"),
        resolve: has("resolve"),
        myhostname: has("myhostname"),
    };
    let text: String = text.lines().map(|line| installed.line(line) + "\n").collect();
    edit::write_text(tree, PATH, &text)
}

struct Installed {
    systemd: bool,
    resolve: bool,
    myhostname: bool,
}

impl Installed {
    fn line(&self, line: &str) -> String {
        match line.split_once(':').map(|(database, _)| database) {
            Some(database @ ("passwd" | "shadow" | "gshadow")) if self.systemd => {
                format!("{:<16}files systemd", format!("{database}:"))
            }
            Some("group") if self.systemd => "group:          files [SUCCESS=merge] systemd".to_owned(),
            Some("hosts") => format!("hosts:          {}", self.hosts()),
            _ => line.to_owned(),
        }
    }

    fn hosts(&self) -> String {
        let parts = [
            Some("files"),
            self.resolve.then_some("resolve [!UNAVAIL=return]"),
            self.myhostname.then_some("myhostname"),
            Some("dns"),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finish::testing;

    fn finished(modules: &[&str]) -> String {
        let mut tree = testing::tree(&[(
            DEFAULT,
            "# x\npasswd:         files\ngroup: files\nhosts: files dns\nrpc: db files\n",
        )]);
        for module in modules {
            edit::write_text(
                &mut tree,
                &format!("usr/lib/aarch64-linux-gnu/libnss_{module}.so.2"),
                "",
            )
            .unwrap();
        }
        run(&mut tree, Architecture::Aarch64).unwrap();
        testing::text(&tree, PATH)
    }

    #[test]
    fn only_installed_modules_are_named() {
        assert_eq!(
            finished(&[]),
            "# x\npasswd:         files\ngroup: files\nhosts:          files dns\nrpc: db files\n"
        );
        assert_eq!(
            finished(&["systemd", "resolve", "myhostname"]),
            "# x\npasswd:         files systemd\ngroup:          files [SUCCESS=merge] systemd\n\
             hosts:          files resolve [!UNAVAIL=return] myhostname dns\nrpc: db files\n"
        );
    }
}
