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
    Agent, Proxy,
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
    let believed = certificates(Path::new(CERTIFICATES))?;
    Ok(agent_that_believes(believed, Proxy::try_from_env(), timeouts))
}

/// What asks servers that one of `believed` vouches for, through `proxy` if there is one.
///
/// Who goes through a proxy leaves it to find the names: where there is one, there is often no resolver.
pub(crate) fn agent_that_believes(believed: RootCerts, proxy: Option<Proxy>, timeouts: Timeouts) -> Agent {
    let tls = TlsConfig::builder().root_certs(believed);
    let config = Agent::config_builder()
        .tls_config(tls.build())
        .proxy(proxy)
        .http_status_as_error(false)
        .user_agent(concat!("outcrop-updater/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity") // a bundle's bytes as they are
        .timeout_resolve(Some(timeouts.connect))
        .timeout_connect(Some(timeouts.connect))
        .timeout_recv_response(Some(timeouts.stall))
        .timeout_per_read(Some(timeouts.stall))
        .timeout_global(timeouts.whole)
        .build();
    Agent::with_parts(config, DefaultConnector::new(), Getent)
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
    use outcrop_release::plan::ByteRange;
    use ureq::ProxyProtocol;

    use super::*;
    use crate::{
        channel::{FetchError, Fetched, ListSource as _, WebList},
        install::{Server as _, Wanted, WebServer},
        testing::{proxy, tls},
    };

    const PATIENCE: Timeouts = Timeouts {
        connect: Duration::from_secs(10),
        stall: Duration::from_secs(10),
        whole: None,
    };
    const UNCHANGED: &str = "HTTP/1.1 304 Not Modified\r\nETag: \"7\"\r\n\r\n";

    /// A server with a certificate in which an agent believes that goes through `proxy`.
    fn believed(
        proxy: impl FnOnce(u16) -> Option<Proxy>,
        answer: &'static str,
    ) -> (Agent, u16, std::thread::JoinHandle<String>) {
        let (certificate, key) = tls::identity([2000, 4000]);
        let roots = RootCerts::new_with_certs(&[Certificate::from_der(&certificate).to_owned()]);
        let (port, server) = tls::serve(certificate, &key, answer);
        (agent_that_believes(roots, proxy(port), PATIENCE), port, server)
    }

    fn through(proxy: &proxy::Proxy) -> Option<Proxy> {
        Some(Proxy::new(&format!("http://{}", proxy.address)).unwrap())
    }

    #[test]
    fn lists_and_bundles_come_through_a_proxy_that_finds_the_names() {
        // Nobody has an address for this name but the proxy.
        let tree = "http://releases.invalid/edge";
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = proxy::Proxy::to(listener.local_addr().unwrap().port());
        let server = std::thread::spawn(move || {
            use io::{BufRead as _, Write as _};
            let answers = [
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlist",
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/9\r\nContent-Length: 1\r\nConnection: close\r\n\r\na",
            ];
            answers.map(|answer| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut lines = io::BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                for line in lines {
                    if line.unwrap().is_empty() {
                        break;
                    }
                }
                stream.write_all(answer.as_bytes()).unwrap();
                first
            })
        });
        let agent = || agent_that_believes(RootCerts::WebPki, through(&proxy), PATIENCE);
        let list = WebList::asked_by(agent(), tree).fetch(&"stable".parse().unwrap(), None);
        assert!(matches!(list, Ok(Fetched::List { bytes, .. }) if bytes == b"list"));
        let first = Wanted::Ranges(vec![ByteRange { start: 0, end: 1 }]);
        let mut bundle = WebServer::asked_by(agent(), &format!("{tree}/releases/a.outcrop"));
        assert_eq!(bundle.get(&first).unwrap().status, 206);
        assert_eq!(
            proxy.asked(),
            ["CONNECT releases.invalid:80 HTTP/1.1"; 2],
            "{:?}",
            proxy.asked()
        );
        let asked = server.join().unwrap();
        assert_eq!(asked[0], "GET /edge/stable.channel HTTP/1.1");
        assert_eq!(asked[1], "GET /edge/releases/a.outcrop HTTP/1.1");
    }

    #[test]
    fn a_proxy_carries_tls_to_the_server_and_a_poll_through_it_stays_small() {
        let mut proxies = Vec::new();
        let (agent, port, server) = believed(
            |port| {
                let proxy = proxy::Proxy::to(port);
                let setting = through(&proxy);
                proxies.push(proxy);
                setting
            },
            UNCHANGED,
        );
        let mut list = WebList::asked_by(agent, &format!("https://127.0.0.1:{port}/edge"));
        let fetched = list.fetch(&"stable".parse().unwrap(), Some("\"7\""));
        assert_eq!(fetched.unwrap(), Fetched::Same);
        assert!(server.join().unwrap().contains("if-none-match: \"7\""));
        let proxy = &proxies[0];
        assert_eq!(proxy.asked(), [format!("CONNECT 127.0.0.1:{port} HTTP/1.1")]);
        // Mostly the handshake: the server's certificates come on top of this one's.
        println!("a poll without news over TLS: {} bytes", proxy.carried());
        assert!((1000..2560).contains(&proxy.carried()), "{}", proxy.carried());
    }

    #[test]
    fn hosts_that_no_proxy_is_for_are_asked_directly() {
        let refusing = proxy::Proxy::that_refuses();
        let directly = |_| {
            let builder = Proxy::builder(ProxyProtocol::Http);
            let builder = builder.host("127.0.0.1").port(refusing.address.port());
            Some(builder.no_proxy("127.0.0.1").build().unwrap())
        };
        let (agent, port, server) = believed(directly, UNCHANGED);
        let mut list = WebList::asked_by(agent, &format!("https://127.0.0.1:{port}"));
        let fetched = list.fetch(&"stable".parse().unwrap(), Some("\"7\""));
        assert_eq!(fetched.unwrap(), Fetched::Same);
        server.join().unwrap();
        assert!(refusing.asked().is_empty());
    }

    #[test]
    fn a_proxy_that_lets_nobody_through_is_told_as_the_reason() {
        let proxy = proxy::Proxy::that_refuses();
        let agent = agent_that_believes(RootCerts::WebPki, through(&proxy), PATIENCE);
        let mut list = WebList::asked_by(agent, "https://releases.invalid/edge");
        let Err(FetchError::Unreachable { source, .. }) = list.fetch(&"stable".parse().unwrap(), None) else {
            panic!("it was let through")
        };
        let why = source.to_string();
        assert!(
            why.to_lowercase().contains("proxy") && why.contains("407"),
            "{why}"
        );
        assert_eq!(proxy.asked(), ["CONNECT releases.invalid:443 HTTP/1.1"]);
    }

    #[test]
    fn each_address_of_a_name_is_taken_once() {
        let output = "127.0.0.1       STREAM localhost\n127.0.0.1       DGRAM\n::1 STREAM\nnonsense\n";
        let expected: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(addresses(output), expected);
        assert!(look_up("-x").unwrap().is_empty());
        assert_eq!(look_up("::1").unwrap(), expected[1..]);
    }
}
