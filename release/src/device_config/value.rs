//! Values that are more than text: each function takes the text and says what is wrong with it. Secrets are never quoted.

use std::net::{IpAddr, Ipv4Addr};

use super::reader::quoted;
use crate::channel::ChannelName;

/// Longest token, in bytes: those of k0s hold two certificates.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;

/// Longest host name, in bytes. Source: Linux, `HOST_NAME_MAX`.
const MAX_HOST_NAME: usize = 64;
/// Longest name in DNS. Source: RFC 1035, section 2.3.4.
const MAX_DNS_NAME: usize = 253;
/// Longest name of a network interface. Source: Linux, `IFNAMSIZ`.
const MAX_INTERFACE: usize = 15;

/// Labels of letters, digits and inner hyphens. Source: RFC 1123, section 2.1.
fn is_dns_name(text: &str, most: usize) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= most && text.split('.').all(is_label)
}

/// The device's own name.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    is_dns_name(text, MAX_HOST_NAME)
        .then(|| text.to_owned())
        .ok_or_else(|| {
            format!(
                "{} is no host name: it takes at most {MAX_HOST_NAME} letters, digits and `-`, in parts with dots between",
                quoted(text)
            )
        })
}

/// A name in DNS, or an address.
pub(super) fn host(text: &str) -> Result<String, String> {
    if text.parse::<IpAddr>().is_ok() || is_dns_name(text, MAX_DNS_NAME) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{} is neither a host's name nor its address",
            quoted(text)
        ))
    }
}

/// A domain.
pub(super) fn domain(text: &str) -> Result<String, String> {
    is_dns_name(text, MAX_DNS_NAME)
        .then(|| text.to_owned())
        .ok_or_else(|| format!("{} is no domain", quoted(text)))
}

/// A channel's name.
pub(super) fn channel(text: &str) -> Result<String, String> {
    let name: Result<ChannelName, _> = text.parse();
    name.map(|name| name.to_string()).map_err(|_| {
        format!(
            "{} is no channel: it takes at most 64 lower-case letters, digits, `-`, `_` and `.`",
            quoted(text)
        )
    })
}

/// Name of a time zone, as in `/usr/share/zoneinfo`: no path out of that folder. Source: tz database, "Theory and pragmatics of the tz code and data", "Timezone identifiers".
pub(super) fn time_zone(text: &str) -> Result<String, String> {
    let is_part = |part: &str| {
        (1..=64).contains(&part.len())
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || b"_+-".contains(&c))
    };
    (text.len() <= 64 && text.split('/').all(is_part))
        .then(|| text.to_owned())
        .ok_or_else(|| {
            format!(
                "{} is no time zone: it is one of the tz database, like \"Europe/Berlin\"",
                quoted(text)
            )
        })
}

/// The middle of a label is freer than its ends. Source: Kubernetes, "Labels and Selectors", "Syntax and character set".
fn is_label_part(text: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    (1..=63).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && is_end(text.chars().next())
        && is_end(text.chars().next_back())
}

/// A label's key.
pub(super) fn label_key(text: &str) -> Result<(), String> {
    let (prefix, name) = text
        .split_once('/')
        .map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let good = is_label_part(name)
        && prefix.is_none_or(|prefix| {
            is_dns_name(prefix, MAX_DNS_NAME) && !prefix.contains(|c: char| c.is_ascii_uppercase())
        });
    good.then_some(()).ok_or_else(|| {
        format!(
            "{} is no label: it takes letters, digits, `-`, `_` and `.`, at most 63, with a letter or digit at both ends, \
             and may have a domain and `/` before it",
            quoted(text)
        )
    })
}

/// A label's value.
pub(super) fn label_value(text: &str) -> Result<(), String> {
    (text.is_empty() || is_label_part(text)).then_some(()).ok_or_else(|| {
        format!(
            "{} can't be a label's value: it takes letters, digits, `-`, `_` and `.`, at most 63, with a letter or digit at \
             both ends",
            quoted(text)
        )
    })
}

/// Takes a label as commands do, `KEY=VALUE`.
///
/// # Errors
/// When it is none, in words for people.
pub fn node_label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{} is no label: write KEY=VALUE", quoted(text)))?;
    label_key(key)?;
    label_value(value)?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The address of a web proxy: scheme, perhaps a name and password, host, perhaps a port. Not quoted: it may hold a password.
pub(super) fn proxy(text: &str) -> Result<(), &'static str> {
    const WRONG: &str = "this is no proxy: write it like \"http://proxy.example:3128\"; NAME:PASSWORD@ goes before the host, \
                         with %XX for all but letters, digits and -._~";
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .ok_or(WRONG)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (user, host) = rest
        .rsplit_once('@')
        .map_or(("", rest), |(user, host)| (user, host));
    let is_user = |c: char| c.is_ascii_alphanumeric() || "-._~%!&'()*+,;=:".contains(c) && c != '\'';
    let good = text.len() <= 1024 && user.chars().all(is_user) && is_host_and_port(host);
    good.then_some(()).ok_or(WRONG)
}

/// `HOST`, `HOST:PORT`, `[IPV6]:PORT`
fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => (None, port),
        Some(_) => return false,
        None => {
            let end = text.find(':').unwrap_or(text.len());
            (text.get(..end), text.get(end..).unwrap_or_default())
        }
    };
    let is_port = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| is_number(port) && port.parse::<u16>().is_ok_and(|port| port != 0));
    host.is_none_or(|host| is_dns_name(host, MAX_DNS_NAME)) && is_port
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

/// What is reached without the proxy.
pub(super) fn no_proxy(text: &str) -> Result<String, String> {
    let name = text.strip_prefix('.').unwrap_or(text);
    if text == "*" || network(text).is_ok() || name.parse::<IpAddr>().is_ok() || is_host_and_port(name) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{} is no place that a proxy could be left out for: write a host, a .domain, an address or a network like \
             10.0.0.0/8",
            quoted(text)
        ))
    }
}

/// An address and the length of its network's prefix.
fn network(text: &str) -> Result<(IpAddr, u8), ()> {
    let (address, prefix) = text.split_once('/').ok_or(())?;
    let address: IpAddr = address.parse().map_err(|_| ())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = Some(prefix)
        .filter(|prefix| is_number(prefix) && prefix.len() <= 3)
        .and_then(|prefix| prefix.parse().ok())
        .filter(|prefix| *prefix <= most);
    Ok((address, prefix.ok_or(())?))
}

/// An interface's address with its network.
pub(super) fn interface_address(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || {
        format!(
            "{} is no address of an interface: write it with its network, like \"192.168.7.10/24\"",
            quoted(text)
        )
    };
    let (address, prefix) = network(text).map_err(|()| wrong())?;
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() || prefix == 0 {
        return Err(wrong());
    }
    if let (IpAddr::V4(address), 1..=30) = (address, prefix) {
        let mask = u32::MAX << (32 - u32::from(prefix));
        let host = u32::from(address) & !mask;
        if host == 0 || host == !mask {
            let what = if host == 0 {
                "names the network itself"
            } else {
                "is the broadcast address"
            };
            return Err(format!(
                "{} {what}, of {}/{prefix}: no interface can have it",
                quoted(text),
                Ipv4Addr::from(u32::from(address) & mask)
            ));
        }
    }
    Ok((address, prefix))
}

/// An address.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse::<IpAddr>()
        .ok()
        .filter(|address| !address.is_unspecified() && !address.is_multicast())
        .ok_or_else(|| format!("{} is no address: write it like \"192.168.7.1\"", quoted(text)))
}

/// Name of a network interface, in which `*` and `?` stand for any.
pub(super) fn interface_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.*?".contains(c);
    let good = (1..=MAX_INTERFACE).contains(&text.len())
        && text.chars().all(legal)
        && !text.starts_with(['.', '-'])
        && text != "lo";
    good.then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "{} is no network interface: write a name like \"eth0\", of at most {MAX_INTERFACE} characters; `e*` stands for all that \
             begin with e",
            quoted(text)
        )
    })
}

/// A hardware address; the result has lower-case digits.
pub(super) fn mac(text: &str) -> Result<String, String> {
    let text_lower = text.to_ascii_lowercase();
    let mut parts = text_lower.split(':');
    let is_byte = |part: &str| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit());
    let good = parts.clone().count() == 6 && parts.all(is_byte) && text_lower != "00:00:00:00:00:00";
    good.then(|| text_lower.clone()).ok_or_else(|| {
        format!(
            "{} is no hardware address: write it like \"dc:a6:32:01:02:03\"",
            quoted(text)
        )
    })
}

/// Name of a Wi-Fi network. Source: IEEE 802.11-2020, section 9.4.2.2.
pub(super) fn ssid(text: &str) -> Result<String, String> {
    (1..=32)
        .contains(&text.len())
        .then(|| text.to_owned())
        .ok_or_else(|| format!("{} is no name of a Wi-Fi: it has 1 to 32 bytes", quoted(text)))
}

/// Password of a Wi-Fi: a passphrase, or the key itself. Source: IEEE 802.11-2020, annex J.4.1.
pub(super) fn wifi_password(text: &str) -> Result<(), &'static str> {
    let is_phrase = (8..=63).contains(&text.len()) && text.bytes().all(|c| (b' '..=b'~').contains(&c));
    let is_key = text.len() == 64 && text.bytes().all(|c| c.is_ascii_hexdigit());
    (is_phrase || is_key)
        .then_some(())
        .ok_or("this is no password of a Wi-Fi: it has 8 to 63 letters, digits and signs of ASCII")
}

/// Two letters of ISO 3166-1.
pub(super) fn country(text: &str) -> Result<String, String> {
    let good = text.len() == 2 && text.bytes().all(|c| c.is_ascii_uppercase());
    good.then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "{} is no country: write two capital letters, like \"DE\"",
            quoted(text)
        )
    })
}

/// Name of an account.
pub(super) fn account(text: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let good = text.len() <= 31
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text.chars().all(legal);
    good.then_some(())
        .ok_or_else(|| format!("{} can't be an account", quoted(text)))
}

/// Checks the address of a Kubernetes server.
///
/// # Errors
/// When it is none, in words for people.
pub fn join_server(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").unwrap_or_default();
    let host = host.strip_suffix('/').unwrap_or(host);
    is_host_and_port(host)
        .then(|| text.to_owned())
        .ok_or_else(|| format!("{} is no server: it takes https:// and a host", quoted(text)))
}

/// Checks the token that lets a device into a cluster. The answer doesn't hold it.
///
/// # Errors
/// What is wrong, to be put behind "the token".
pub fn join_token(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        Err("is empty")
    } else if text.len() > MAX_TOKEN_BYTES {
        Err("is too long to be one")
    } else if !text.bytes().all(|c| c.is_ascii_graphic()) {
        Err("has blanks or control characters in it")
    } else {
        Ok(())
    }
}
