//! Asking web servers from a small static program.
//!
//! * Names are found by the system's own resolver (`getent`): this program is static, and glibc's resolver wants shared
//!   libraries of exactly its version. What the device is told about names (`/etc/hosts`, resolved, search domains) holds here too.
//! * Who a server is, is checked against the image's certificates. What it gives isn't believed for that: bundles are signed.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use ureq::{
    Agent,
    config::Config,
    http::Uri,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

/// The image's certificates.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Addresses of a server that are tried.
const ADDRESSES: usize = 8;

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a server's address and for a connection, each.
    pub connect: Duration,
    /// For the next bytes of an answer.
    pub stall: Duration,
    /// For all of an answer, where it is small; none for one that may take hours.
    pub whole: Option<Duration>,
}

/// What asks servers. Proxies come from the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
///
/// # Errors
/// When the image's certificates are there and can't be read.
pub fn agent(timeouts: Timeouts) -> io::Result<Agent> {
    let tls = TlsConfig::builder().root_certs(certificates(Path::new(CERTIFICATES))?);
    let config = Agent::config_builder()
        .tls_config(tls.build())
        .http_status_as_error(false)
        .user_agent(concat!("outcrop-updater/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity") // a bundle's bytes as they are
        .timeout_resolve(Some(timeouts.connect))
        .timeout_connect(Some(timeouts.connect))
        .timeout_recv_response(Some(timeouts.stall))
        .timeout_per_read(Some(timeouts.stall))
        .timeout_global(timeouts.whole)
        .build();
    Ok(Agent::with_parts(config, DefaultConnector::new(), Getent))
}

/// What asks servers of this device itself, past any proxy, and waits at most `timeout` for each answer.
#[must_use]
pub fn local_agent(tls: TlsConfig, timeout: Duration) -> Agent {
    let config = Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .http_status_as_error(false)
        .user_agent(concat!("outcrop-updater/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .timeout_global(Some(timeout))
        .build();
    Agent::with_parts(config, DefaultConnector::new(), Getent)
}

/// The status with which `url` answers.
///
/// # Errors
/// When no answer comes in time.
pub fn status(url: &str, timeout: Duration) -> io::Result<u16> {
    let agent = agent(Timeouts {
        connect: timeout,
        stall: timeout,
        whole: None,
    })?;
    let answer = agent.get(url).call().map_err(ureq::Error::into_io)?;
    Ok(answer.status().as_u16())
}

/// The certificates in `path`; where the image has none, those compiled in.
fn certificates(path: &Path) -> io::Result<RootCerts> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(RootCerts::WebPki),
        Err(error) => return Err(error),
    };
    let certificates: Vec<Certificate<'static>> = parse_pem(&bytes)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    Ok(RootCerts::new_with_certs(&certificates))
}

/// `getent ahosts`
#[derive(Debug)]
struct Getent;

impl Resolver for Getent {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let authority = uri.authority().ok_or(ureq::Error::HostNotFound)?;
        let scheme = uri.scheme().ok_or(ureq::Error::HostNotFound)?;
        let with_port = DefaultResolver::host_and_port(scheme, authority);
        let port = with_port.and_then(|text| text.rsplit_once(':')?.1.parse().ok());
        let port: u16 = port.ok_or(ureq::Error::HostNotFound)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let found = look_up(host)?;
        let mut addresses = self.empty();
        for address in found.into_iter().take(ADDRESSES) {
            addresses.push(SocketAddr::new(address, port));
        }
        if addresses.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        Ok(addresses)
    }
}

/// The addresses of a name; an address is its own.
///
/// # Errors
/// When the resolver can't be asked. A name that has no address is no error.
pub fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    // No name begins with a hyphen, so none is taken for an option.
    if host.starts_with('-') {
        return Ok(Vec::new());
    }
    let run = Command::new("/usr/bin/getent")
        .args(["ahosts", host])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    Ok(addresses(&String::from_utf8_lossy(&run.stdout)))
}

/// The addresses that `getent ahosts` printed, each once, in its order.
fn addresses(output: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in output.lines() {
        let first = line.split_whitespace().next();
        if let Some(address) = first.and_then(|text| text.parse().ok())
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_of_a_name_is_taken_once() {
        let output = "127.0.0.1       STREAM localhost\n127.0.0.1       DGRAM\n::1 STREAM\nnonsense\n";
        let expected: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(addresses(output), expected);
        assert!(look_up("-x").unwrap().is_empty());
        assert_eq!(look_up("::1").unwrap(), expected[1..]);
    }
}
