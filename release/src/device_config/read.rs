//! From a text to a [`DeviceConfig`].

use std::{collections::BTreeMap, net::IpAddr};

use toml::{Spanned, de::DeTable};

use super::{
    Addressing, DeviceConfig, Interface, InterfaceKind, Join, Link, MAX_BYTES, Network, Secret, Wifi,
    problem::{self, ConfigProblems, Problem},
    reader::{Reader, Section},
    secret, ssh_key, value,
};
use crate::agent::{AgentOverrides, BadAgentValue, Window, Windows};

/// Most items of one list.
const MOST: usize = 64;

/// A `device.toml` that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it says.
    pub config: DeviceConfig,
    /// Keys that this program doesn't know. On a PC they are mistakes; a device that went back to an older release meets those of the newer one.
    pub unknown: Vec<Problem>,
}

impl Document {
    /// Reads a file's bytes. Secrets that a device blanked can't be read.
    ///
    /// # Errors
    /// Everything that is wrong, keys that aren't known included.
    pub fn read(bytes: &[u8]) -> Result<Self, ConfigProblems> {
        Self::read_text(text_of(bytes)?)
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// As [`Document::read`].
    pub fn read_text(text: &str) -> Result<Self, ConfigProblems> {
        let problem = |problems| ConfigProblems::new(problems).unwrap_or_else(|| ConfigProblems::whole(""));
        let table = table_of(text).map_err(problem)?;
        let mut reader = Reader::new(text);
        let config = config(&mut reader, &Section::top(table.get_ref()));
        let (mut problems, unknown) = reader.finish();
        problems.extend(secret::places(text, table.get_ref()).1);
        if problems.is_empty() {
            return Ok(Self { config, unknown });
        }
        problems.extend(unknown);
        Err(problem(problems))
    }

    /// What it says, when it says nothing else.
    ///
    /// # Errors
    /// The keys that aren't known.
    pub fn strict(self) -> Result<DeviceConfig, ConfigProblems> {
        ConfigProblems::new(self.unknown).map_or(Ok(self.config), Err)
    }
}

/// The text of a file: UTF-8, perhaps with a mark of that in front, as editors write it.
pub(super) fn text_of(bytes: &[u8]) -> Result<&str, ConfigProblems> {
    if bytes.len() > MAX_BYTES {
        let message = format!("the file is longer than {} KiB", MAX_BYTES >> 10);
        return Err(ConfigProblems::whole(message));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(ConfigProblems::whole("the file is UTF-16: save it as UTF-8"));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let text = String::from_utf8_lossy(good);
        let problem = Problem::new(
            &text,
            text.len()..text.len(),
            "this is no UTF-8: save the file as such",
        );
        ConfigProblems::new(vec![problem]).unwrap_or_else(|| ConfigProblems::whole("the file is no UTF-8"))
    })
}

/// Parses TOML 1.1, or gives every error of its syntax.
pub(super) fn table_of(text: &str) -> Result<Spanned<DeTable<'_>>, Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(table);
    }
    Err(errors
        .iter()
        .take(problem::MOST)
        .map(|error| Problem::new(text, error.span().unwrap_or_default(), error.message()))
        .collect())
}

fn config<'t>(reader: &mut Reader<'t>, top: &Section<'t>) -> DeviceConfig {
    reader.known(
        top,
        &[
            "hostname",
            "channel",
            "update-url",
            "time-servers",
            "time-zone",
            "update",
            "blank-secrets",
            "labels",
            "network",
            "users",
            "kubernetes",
        ],
    );
    DeviceConfig {
        hostname: reader.text(top, "hostname", value::host_name),
        channel: reader.text(top, "channel", value::channel),
        update_url: reader.text(top, "update-url", crate::channel::tree_url),
        time_servers: list(reader, top, "time-servers", value::host),
        time_zone: reader.text(top, "time-zone", value::time_zone),
        update: update(reader, top),
        blank_secrets: reader.flag(top, "blank-secrets").unwrap_or_default(),
        labels: labels(reader, top),
        network: network(reader, top),
        ssh_keys: ssh_keys(reader, top),
        kubernetes: kubernetes(reader, top),
    }
}

/// A list of at most [`MOST`] values, none twice.
fn list<'t, T: PartialEq>(
    reader: &mut Reader<'t>,
    section: &Section<'t>,
    key: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut values = Vec::new();
    for (value, place) in reader.texts(section, key, parse) {
        if values.contains(&value) {
            reader.report(place, format!("{key} has this twice"));
        } else if values.len() == MOST {
            reader.report(place, format!("{key} has more than {MOST}"));
            break;
        } else {
            values.push(value);
        }
    }
    values
}

fn update<'t>(reader: &mut Reader<'t>, top: &Section<'t>) -> AgentOverrides {
    let Some(section) = reader.section(top, "update") else {
        return AgentOverrides::default();
    };
    reader.known(
        &section,
        &["mode", "windows", "download-windows", "daily-limit", "report-url"],
    );
    let in_words = |error: BadAgentValue| error.to_string();
    AgentOverrides {
        mode: reader.text(&section, "mode", |text| text.parse().map_err(in_words)),
        windows: windows(reader, &section, "windows"),
        download_windows: windows(reader, &section, "download-windows"),
        daily_limit: reader.text(&section, "daily-limit", str::parse),
        report_url: reader.text(&section, "report-url", crate::channel::tree_url),
    }
}

/// A list of windows; an empty one means at any time, whatever the release says.
fn windows<'t>(reader: &mut Reader<'t>, section: &Section<'t>, key: &str) -> Option<Windows> {
    let place = section.place_of(key)?;
    let parse = |text: &str| text.parse::<Window>().map_err(|error| error.to_string());
    let windows = Windows::new(list(reader, section, key, parse));
    windows
        .map_err(|error| reader.report(place, error.to_string()))
        .ok()
}

fn labels<'t>(reader: &mut Reader<'t>, top: &Section<'t>) -> BTreeMap<String, String> {
    let Some(section) = reader.section(top, "labels") else {
        return BTreeMap::new();
    };
    let mut labels = BTreeMap::new();
    for (key, key_place, text, place) in reader.named_texts(&section) {
        if let Err(message) = value::label_key(key) {
            reader.report(key_place, message);
        } else if let Err(message) = value::label_value(text) {
            reader.report(place, message);
        } else {
            labels.insert(key.to_owned(), text.to_owned());
        }
    }
    if labels.len() > MOST {
        reader.report(
            section.place(),
            format!("these are more labels than a device can have ({MOST})"),
        );
    }
    labels
}

fn network<'t>(reader: &mut Reader<'t>, top: &Section<'t>) -> Network {
    let Some(section) = reader.section(top, "network") else {
        return Network::default();
    };
    reader.known(&section, &["proxy", "no-proxy", "interface"]);
    let proxy = reader.text(&section, "proxy", |text| {
        value::proxy(text)
            .map(|()| Secret::new(text))
            .map_err(str::to_owned)
    });
    let mut interfaces: Vec<Interface> = Vec::new();
    for section in reader.sections(&section, "interface") {
        let Some(interface) = interface(reader, &section) else {
            continue;
        };
        if let Some(why) = interfaces.iter().find_map(|other| clash(&interface, other)) {
            reader.report(section.place(), why);
        }
        interfaces.push(interface);
    }
    if interfaces.len() > MOST {
        reader.report(section.place(), format!("these are more interfaces than {MOST}"));
    }
    Network {
        proxy,
        no_proxy: list(reader, &section, "no-proxy", value::no_proxy),
        interfaces,
    }
}

/// Why there can't be both.
fn clash(one: &Interface, other: &Interface) -> Option<&'static str> {
    match (&one.kind, &other.kind) {
        (InterfaceKind::Vlan(mine), InterfaceKind::Vlan(theirs)) => {
            (mine == theirs).then_some("this VLAN was described before")
        }
        (InterfaceKind::Vlan(_), InterfaceKind::Wifi(_))
        | (InterfaceKind::Wifi(_), InterfaceKind::Vlan(_)) => {
            (one.link == other.link).then_some("there are no VLANs on a Wi-Fi")
        }
        (InterfaceKind::Vlan(_), _) | (_, InterfaceKind::Vlan(_)) => None,
        _ => (one.link == other.link).then_some("this interface was described before"),
    }
}

fn interface<'t>(reader: &mut Reader<'t>, section: &Section<'t>) -> Option<Interface> {
    reader.known(
        section,
        &[
            "name",
            "mac",
            "vlan",
            "wifi",
            "dhcp",
            "addresses",
            "gateways",
            "dns",
            "search",
        ],
    );
    let name = reader.text(section, "name", value::interface_name);
    let mac = reader.text(section, "mac", value::mac);
    let vlan = reader.number(section, "vlan", 1..=4094);
    let wifi = reader
        .section(section, "wifi")
        .map(|wifi_section| (wifi(reader, &wifi_section), wifi_section.place()));
    let addressing = addressing(reader, section);
    let link = match (section.place_of("name"), section.place_of("mac")) {
        (Some(_), Some(place)) => {
            reader.report(place, "name says which interface it is already: leave one out");
            None
        }
        (Some(_), None) => name.map(Link::Name),
        (None, Some(_)) => mac.map(Link::Mac),
        (None, None) => {
            let message = "which interface? write name = \"eth0\", or mac = \"...\"";
            reader.report(section.place(), message);
            None
        }
    };
    let kind = match (vlan, wifi) {
        (Some(_), Some((_, place))) => {
            reader.report(place, "there are no VLANs on a Wi-Fi");
            return None;
        }
        (Some(vlan), None) => {
            if link.as_ref().is_some_and(Link::is_pattern) {
                let message = "a VLAN's interface is told by its whole name: write name = \"eth0\"";
                reader.report(section.place(), message);
            }
            InterfaceKind::Vlan(vlan)
        }
        (None, Some((wifi, place))) => {
            if matches!(&link, Some(link) if link.is_pattern() || matches!(link, Link::Mac(_))) {
                let message = "a Wi-Fi's interface is told by its whole name: write name = \"wlan0\"";
                reader.report(place, message);
            }
            InterfaceKind::Wifi(wifi?)
        }
        (None, None) => InterfaceKind::Wired,
    };
    Some(Interface {
        link: link?,
        kind,
        addressing,
    })
}

fn wifi<'t>(reader: &mut Reader<'t>, section: &Section<'t>) -> Option<Wifi> {
    reader.known(section, &["ssid", "password", "open", "country", "hidden"]);
    let ssid = reader.text(section, "ssid", value::ssid);
    let password = reader.text(section, "password", |text| {
        value::wifi_password(text)
            .map(|()| Secret::new(text))
            .map_err(str::to_owned)
    });
    let open = reader.flag(section, "open").unwrap_or_default();
    match section.place_of("password") {
        None if !open => reader.report(
            section.place(),
            "this Wi-Fi needs a password; open = true says that it has none",
        ),
        Some(place) if open => reader.report(place, "an open Wi-Fi has no password"),
        _ => {}
    }
    if section.place_of("ssid").is_none() {
        reader.report(section.place(), "this Wi-Fi needs its name: write ssid = \"...\"");
    }
    Some(Wifi {
        country: reader.text(section, "country", value::country),
        hidden: reader.flag(section, "hidden").unwrap_or_default(),
        ssid: ssid?,
        password,
    })
}

fn addressing<'t>(reader: &mut Reader<'t>, section: &Section<'t>) -> Addressing {
    let addresses = list(reader, section, "addresses", value::interface_address);
    let dhcp = reader.flag(section, "dhcp").unwrap_or(addresses.is_empty());
    let mut gateways: Vec<IpAddr> = Vec::new();
    for (gateway, place) in reader.texts(section, "gateways", value::address) {
        match gateway_problem(gateway, &addresses, &gateways) {
            Some(message) => reader.report(place, message),
            None => gateways.push(gateway),
        }
    }
    Addressing {
        dhcp,
        addresses,
        gateways,
        dns: list(reader, section, "dns", value::address),
        search: list(reader, section, "search", value::domain),
    }
}

fn gateway_problem(gateway: IpAddr, addresses: &[(IpAddr, u8)], others: &[IpAddr]) -> Option<&'static str> {
    if addresses.iter().any(|(address, _)| *address == gateway) {
        return Some("this is the interface's own address");
    }
    if others.iter().any(|other| other.is_ipv4() == gateway.is_ipv4()) {
        return Some("there is one gateway of each family at most");
    }
    // A gateway of IPv6 is often a link-local address, which no network here holds.
    let IpAddr::V4(gateway) = gateway else {
        return addresses
            .iter()
            .all(|(address, _)| address.is_ipv4())
            .then_some("no address of this interface is of IPv6, as this gateway is");
    };
    let reaches = |(address, prefix): &(IpAddr, u8)| match address {
        IpAddr::V4(address) => {
            let shift = 32 - u32::from((*prefix).clamp(1, 32));
            u32::from(*address) >> shift == u32::from(gateway) >> shift
        }
        IpAddr::V6(_) => false,
    };
    (!addresses.iter().any(reaches)).then_some("no address of this interface is in this gateway's network")
}

fn ssh_keys<'t>(reader: &mut Reader<'t>, top: &Section<'t>) -> BTreeMap<String, Vec<String>> {
    let Some(section) = reader.section(top, "users") else {
        return BTreeMap::new();
    };
    let mut users = BTreeMap::new();
    for (name, place, section) in reader.named_sections(&section) {
        reader.known(&section, &["ssh-keys"]);
        if let Err(message) = value::account(name) {
            reader.report(place, message);
        }
        let keys = list(reader, &section, "ssh-keys", ssh_key);
        if !keys.is_empty() {
            users.insert(name.to_owned(), keys);
        }
    }
    users
}

fn kubernetes<'t>(reader: &mut Reader<'t>, top: &Section<'t>) -> Option<Join> {
    let section = reader.section(top, "kubernetes")?;
    reader.known(&section, &["server", "token", "first"]);
    let server = reader.text(&section, "server", value::join_server);
    let token = reader.text(&section, "token", |text| {
        value::join_token(text)
            .map(|()| Secret::new(text))
            .map_err(|why| format!("this token {why}"))
    });
    let first = reader.flag(&section, "first").unwrap_or_default();
    let other = section.place_of("token").or_else(|| section.place_of("server"));
    match (first, other) {
        (true, Some(place)) => {
            reader.report(
                place,
                "the first device of a cluster joins nobody: leave this or `first` out",
            );
            None
        }
        (true, None) => Some(Join::First),
        (false, Some(place)) if section.place_of("token").is_none() => {
            reader.report(
                place,
                "joining takes the cluster's token too: write token = \"...\"",
            );
            None
        }
        (false, Some(_)) => Some(Join::Cluster {
            server,
            token: token?,
        }),
        (false, None) => None,
    }
}

impl Link {
    /// Whether it may match several.
    pub(super) fn is_pattern(&self) -> bool {
        matches!(self, Self::Name(name) if name.contains(['*', '?']))
    }
}
