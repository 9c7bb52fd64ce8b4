//! `[network]`: units of systemd-networkd, and the proxy as every unit's environment.
//!
//! Source: systemd.network(5), systemd.netdev(5), systemd-system.conf(5).

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    super::{Addressing, Interface, InterfaceKind, Link, Network},
    ReleaseFacts, Rendered, wifi,
};

/// Where networkd looks, below `/etc`. Names decide which of several that match counts: the first.
const FOLDER: &str = "systemd/network";
/// What never goes through a proxy.
const LOCAL: &str = "localhost,127.0.0.0/8,::1";

/// The proxy's address is of letters, digits and signs that mean nothing to systemd, but for `%`.
pub(super) fn proxy(rendered: &mut Rendered, network: &Network) {
    let Some(proxy) = &network.proxy else { return };
    let mut without = LOCAL.to_owned();
    for place in &network.no_proxy {
        without += ",";
        without += place;
    }
    let address = proxy.expose().replace('%', "%%");
    let mut words = String::new();
    for (name, value) in [
        ("HTTP_PROXY", &address),
        ("HTTPS_PROXY", &address),
        ("NO_PROXY", &without),
    ] {
        for name in [name.to_owned(), name.to_ascii_lowercase()] {
            // Writing to a string can't fail.
            let _ = write!(words, " \"{name}={value}\"");
        }
    }
    let text = format!("[Manager]\nDefaultEnvironment={}\n", words.trim_start());
    rendered.private("systemd/system.conf.d/50-device.conf", text);
}

/// What is said of one physical interface.
#[derive(Default)]
struct Physical<'a> {
    own: Option<&'a Interface>,
    vlans: Vec<u16>,
}

pub(super) fn interfaces(rendered: &mut Rendered, interfaces: &[Interface], release: &ReleaseFacts) {
    if interfaces.is_empty() {
        return;
    }
    if !release.networkd {
        rendered.complain("network.interface", "doesn't run systemd-networkd");
    }
    let mut physical: BTreeMap<&Link, Physical<'_>> = BTreeMap::new();
    for interface in interfaces {
        let entry = physical.entry(&interface.link).or_default();
        if let InterfaceKind::Vlan(id) = interface.kind {
            entry.vlans.push(id);
            vlan(rendered, id, &interface.addressing);
        } else {
            entry.own = Some(interface);
        }
    }
    for (number, (link, physical)) in physical.into_iter().enumerate() {
        // One that is told exactly goes before one that matches many.
        let rank = if link.is_pattern() { 20 } else { 10 };
        let path = format!("{FOLDER}/{rank}-device-{number:02}.network");
        rendered.public(&path, unit(link, &physical));
        if let Some(Interface {
            kind: InterfaceKind::Wifi(wifi),
            link: Link::Name(name),
            ..
        }) = physical.own
        {
            wifi::wifi(rendered, name, wifi, release);
        }
    }
}

/// A link of the kernel's own making (a bridge, a VLAN) may have a physical one's address, or match a pattern.
fn matching(link: &Link) -> String {
    match link {
        Link::Name(name) if link.is_pattern() => format!("[Match]\nName={name}\nKind=!*\n"),
        Link::Name(name) => format!("[Match]\nName={name}\n"),
        Link::Mac(mac) => format!("[Match]\nMACAddress={mac}\nKind=!*\n"),
    }
}

fn unit(link: &Link, physical: &Physical<'_>) -> String {
    let mut text = matching(link);
    let untold = Addressing {
        dhcp: true,
        ..Addressing::default()
    };
    let addressing = physical.own.map_or(&untold, |own| &own.addressing);
    if physical.own.is_none() {
        // It carries VLANs; whether it has an address itself is nobody's concern.
        text += "\n[Link]\nRequiredForOnline=no\n";
    }
    text += &network(addressing);
    for id in &physical.vlans {
        let _ = writeln!(text, "VLAN=vlan{id}");
    }
    text + &names_of_the_network(addressing)
}

fn vlan(rendered: &mut Rendered, id: u16, addressing: &Addressing) {
    let name = format!("vlan{id}");
    let device = format!("[NetDev]\nName={name}\nKind=vlan\n\n[VLAN]\nId={id}\n");
    rendered.public(&format!("{FOLDER}/10-device-{name}.netdev"), device);
    let text = format!("[Match]\nName={name}\n") + &network(addressing) + &names_of_the_network(addressing);
    rendered.public(&format!("{FOLDER}/10-device-{name}.network"), text);
}

/// The section `[Network]`, last in what is written so far.
fn network(addressing: &Addressing) -> String {
    let dhcp = if addressing.dhcp { "yes" } else { "no" };
    let mut text = format!("\n[Network]\nDHCP={dhcp}\n");
    let mut line = |key: &str, value: String| {
        let _ = writeln!(text, "{key}={value}");
    };
    for (address, prefix) in &addressing.addresses {
        line("Address", format!("{address}/{prefix}"));
    }
    for gateway in &addressing.gateways {
        line("Gateway", gateway.to_string());
    }
    for server in &addressing.dns {
        line("DNS", server.to_string());
    }
    if !addressing.search.is_empty() {
        line("Domains", addressing.search.join(" "));
    }
    text
}

/// Servers that the file names take the place of those that the network names.
fn names_of_the_network(addressing: &Addressing) -> String {
    if addressing.dns.is_empty() {
        return String::new();
    }
    ["DHCPv4", "DHCPv6", "IPv6AcceptRA"]
        .iter()
        .map(|section| format!("\n[{section}]\nUseDNS=no\n"))
        .collect()
}
