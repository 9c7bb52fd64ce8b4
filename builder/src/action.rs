//! What a maintainer script would have done, said as data.
//!
//! The script gate (`lock`) turns every preinst and postinst into a list of these; the lock file holds them, so a
//! reviewer sees in a diff what a package newly wants; `finish` carries them out on the tree. There is no action that
//! runs anything.

use serde::{Deserialize, Serialize};

/// One change to the tree that stands for lines of a maintainer script. Paths are absolute, as scripts write them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// `update-alternatives --install`. The highest priority wins.
    Alternative {
        /// Generic name: `awk`.
        name: String,
        /// The generic path: `/usr/bin/awk`.
        link: String,
        /// What it may point to: `/usr/bin/mawk`.
        path: String,
        /// The automatic choice is the highest.
        priority: i32,
        /// Links that follow the choice (manual pages and the like).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        slaves: Vec<AlternativeSlave>,
    },
    /// `dpkg-divert --add --rename`: what others ship at `path` goes to `to`.
    Divert {
        /// The diverted path.
        path: String,
        /// Where the other packages' file goes.
        to: String,
    },
    /// `deb-systemd-helper enable`: the unit is enabled unless a preset or the recipe says otherwise.
    EnableUnit {
        /// `ssh.service`.
        unit: String,
    },
    /// `deb-systemd-helper --user enable`.
    EnableUserUnit {
        /// `pipewire.socket`.
        unit: String,
    },
    /// `chown`, `chgrp`, `chmod`, `dpkg-statoverride`: owner and permissions of one path that a package ships. What is
    /// left out stays.
    Own {
        /// An existing path.
        path: String,
        /// User name, resolved after the accounts exist.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Group name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// Permission bits in octal (`"4754"`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<String>,
    },
    /// `setcap`.
    Capability {
        /// An existing file.
        path: String,
        /// In the text form of capabilities(7): `cap_net_raw+ep`.
        capabilities: String,
    },
    /// `adduser --system` for packages without sysusers.d.
    SystemUser {
        /// User name; its group has the same name unless `group` says otherwise.
        name: String,
        /// Primary group.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// Home folder; `/nonexistent` when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        home: Option<String>,
        /// Login shell; `/usr/sbin/nologin` when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shell: Option<String>,
    },
    /// `addgroup --system`.
    SystemGroup {
        /// Group name.
        name: String,
    },
    /// `mkdir`, `install -d`, a system user's home. A folder that is there already stays as it is.
    Directory {
        /// The folder; parents are made.
        path: String,
        /// Permission bits in octal.
        mode: String,
        /// User name.
        user: String,
        /// Group name.
        group: String,
    },
    /// `ln -s`.
    Symlink {
        /// Where the link is made.
        path: String,
        /// What it says.
        target: String,
    },
    /// A file that the script writes, with its text.
    File {
        /// Where.
        path: String,
        /// Permission bits in octal.
        mode: String,
        /// What it holds.
        content: String,
    },
    /// `cp`, `ucf`: a shipped file is the first version of a configuration file.
    Copy {
        /// A path that a package ships.
        from: String,
        /// Where it goes.
        to: String,
        /// Permission bits in octal; the shipped file's when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<String>,
    },
    /// `add-shell`: a line in `/etc/shells`.
    Shell {
        /// `/usr/bin/zsh`.
        path: String,
    },
    /// `rm`: a path that the package ships only for its script.
    Remove {
        /// What goes away, with what is below it.
        path: String,
    },
}

/// A link that follows its alternative's choice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlternativeSlave {
    /// Generic name.
    pub name: String,
    /// The generic path.
    pub link: String,
    /// What it points to.
    pub path: String,
}
