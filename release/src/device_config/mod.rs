//! `device.toml`: what makes one device itself. A text on partition 1 that any PC can edit; the release checks it, keeps the last good one on
//! the data partition, and renders it into `/etc` at each boot.
//!
//! Everything that lies on partition 1 is anybody's bytes: whoever holds the card writes it. Each value is checked for what it is, and rendered
//! where nothing of it can be taken for syntax.

mod decide;
mod definition;
mod problem;
mod read;
mod reader;
pub mod render;
mod secret;
mod ssh_key;
mod template;
mod value;

use std::{collections::BTreeMap, net::IpAddr};

use serde::Serialize;

use crate::{agent::AgentOverrides, digest::FileDigest};

pub use decide::{Decision, Found, decide};
pub use definition::{DeviceDefinition, Import};
pub use problem::{ConfigProblems, Problem};
pub use read::Document;
pub use secret::Secret;
pub use ssh_key::ssh_key;
pub use template::{FILE_BYTES, template};
pub use value::{MAX_TOKEN_BYTES, join_server, join_token, node_label};

/// Its name on partition 1.
pub const FILE_NAME: &str = "device.toml";
/// Longest file that is read, in bytes.
pub const MAX_BYTES: usize = 64 << 10;

/// What a device is told about itself. The default leaves everything as the release has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DeviceConfig {
    /// `hostname`: at most 64 characters.
    pub hostname: Option<String>,
    /// `channel`: which releases it follows.
    pub channel: Option<String>,
    /// `update-url`: where its releases are published, if elsewhere than the release says.
    pub update_url: Option<String>,
    /// `time-servers`: names and addresses.
    pub time_servers: Vec<String>,
    /// `time-zone`: by which the site's clocks go.
    pub time_zone: Option<String>,
    /// `[update]`: how it looks after its updates, where that differs from the release.
    pub update: AgentOverrides,
    /// `blank-secrets`: whether secrets are to vanish from partition 1 once they are kept.
    pub blank_secrets: bool,
    /// `[labels]`: by which operators find it; its Kubernetes node has them too.
    pub labels: BTreeMap<String, String>,
    /// `[network]`
    pub network: Network,
    /// `[users.NAME]`: SSH keys beside those of the release.
    pub ssh_keys: BTreeMap<String, Vec<String>>,
    /// `[kubernetes]`: which cluster its node joins.
    pub kubernetes: Option<Join>,
}

/// `[network]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Network {
    /// `proxy`: address of the web proxy; it may hold a password.
    pub proxy: Option<Secret>,
    /// `no-proxy`: what is reached without it.
    pub no_proxy: Vec<String>,
    /// `[[network.interface]]`; none means what the release says: DHCP on every Ethernet.
    pub interfaces: Vec<Interface>,
}

/// `[[network.interface]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Which one.
    pub link: Link,
    /// What it is.
    pub kind: InterfaceKind,
    /// Its addresses.
    pub addressing: Addressing,
}

/// Which network interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Link {
    /// `name`: the kernel's or udev's; `*` and `?` stand for any. At most 15 characters.
    Name(String),
    /// `mac`: six bytes in lower-case hexadecimal digits with colons.
    Mac(String),
}

/// What an interface is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum InterfaceKind {
    /// A wire.
    Wired,
    /// `vlan`: the VLAN of this number, 1 to 4094, on the wire.
    Vlan(u16),
    /// `wifi`
    Wifi(Wifi),
}

/// `wifi`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wifi {
    /// `ssid`: 1 to 32 bytes.
    pub ssid: String,
    /// `password`: of WPA2 and WPA3; none is an open network, which the file has to say (`open = true`).
    pub password: Option<Secret>,
    /// `country`: whose rules the radio keeps; two capital letters.
    pub country: Option<String>,
    /// `hidden`: whether the network doesn't tell its name.
    pub hidden: bool,
}

/// Addresses of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Addressing {
    /// `dhcp`: whether they come from the network. What holds when no addresses are given.
    pub dhcp: bool,
    /// `addresses`, each with the length of its network's prefix.
    pub addresses: Vec<(IpAddr, u8)>,
    /// `gateways`: at most one of each family.
    pub gateways: Vec<IpAddr>,
    /// `dns`
    pub dns: Vec<IpAddr>,
    /// `search`: domains.
    pub search: Vec<String>,
}

/// `[kubernetes]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Join {
    /// `first = true`: the cluster's first device joins nobody.
    First,
    /// It joins others.
    Cluster {
        /// `server`: its address; k0s has it in the token.
        server: Option<String>,
        /// `token`: what lets it in.
        token: Secret,
    },
}

impl DeviceConfig {
    /// SHA-256 of what it says, whatever the file's words, order and comments. A secret counts as present or absent: a digest of it could be
    /// tried out.
    #[must_use]
    pub fn digest(&self) -> FileDigest {
        // Texts, numbers and lists of them: nothing here can fail to be JSON.
        FileDigest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
