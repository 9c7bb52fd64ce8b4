//! The network and the clock, as far as fetching needs them.

use std::{
    fmt,
    io::{self, Read},
    thread,
    time::Duration,
};

/// A request that is ready to be made, by whatever thread: it returns the answer, or why none came.
pub type Call = Box<dyn FnOnce() -> Result<Response, TransportError> + Send>;

/// Gives files over HTTP.
pub trait Transport: Sync {
    /// What asks for `url` from byte `from` on (0: all of it). Redirects are followed; any status is an answer.
    fn get(&self, url: &str, from: u64) -> Call;
}

/// An answer.
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// `Content-Length`: bytes in the body.
    pub length: Option<u64>,
    /// `Content-Range`, for status 206.
    pub range: Option<String>,
    /// The body.
    pub body: Box<dyn Read + Send>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            length,
            range,
            ..
        } = self;
        write!(f, "Response({status}, length {length:?}, range {range:?})")
    }
}

/// No answer came, or it broke off.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct TransportError {
    what: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
    lasting: bool,
}

impl TransportError {
    /// A failure that another try may not meet.
    pub fn passing(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            what,
            source: source.into(),
            lasting: false,
        }
    }

    /// Whether another try would fail the same way: the address is no address, the certificate is wrong.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        self.lasting
    }
}

impl From<ureq::Error> for TransportError {
    fn from(error: ureq::Error) -> Self {
        use ureq::Error as E;
        let (what, lasting) = match &error {
            E::HostNotFound => ("find the server's address", false),
            E::Timeout(_) => ("wait for the server", false),
            E::Io(_) | E::ConnectionFailed => ("connect to the server", false),
            E::BadUri(_) | E::Http(_) => ("read the address", true),
            E::Tls(_) | E::Pem(_) | E::Rustls(_) => ("check who the server is", true),
            E::TooManyRedirects | E::RedirectFailed => ("follow the server's redirects", true),
            E::ConnectProxyFailed(_) | E::InvalidProxyUrl => ("connect through the proxy", true),
            _ => ("talk to the server", false),
        };
        Self {
            what,
            source: error.into(),
            lasting,
        }
    }
}

/// How long to wait for a server.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For its address and for a connection, each.
    pub connect: Duration,
    /// For the next bytes of an answer. Its first ones too: a caching mirror may fetch a whole file before it answers.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(60),
        }
    }
}

/// The real network. Keeps connections open between requests.
///
/// A proxy comes from the environment: `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY` (the first that is set, for all
/// addresses), `NO_PROXY`. It must allow CONNECT. A caching proxy for packages such as apt-cacher-ng is better used
/// as a mirror: `--mirror http://cache.example:3142/deb.debian.org`.
#[derive(Debug)]
pub struct Http {
    agent: ureq::Agent,
}

impl Http {
    /// With the environment's proxy, for at most `connections` requests at a time.
    #[must_use]
    pub fn new(timeouts: Timeouts, connections: usize) -> Self {
        Self::with_proxy(timeouts, connections, ureq::Proxy::try_from_env())
    }

    /// Without proxy, whatever the environment says.
    #[must_use]
    pub fn direct(timeouts: Timeouts, connections: usize) -> Self {
        Self::with_proxy(timeouts, connections, None)
    }

    fn with_proxy(timeouts: Timeouts, connections: usize, proxy: Option<ureq::Proxy>) -> Self {
        let config = ureq::Agent::config_builder()
            .proxy(proxy)
            .http_status_as_error(false)
            .user_agent(concat!("outcrop/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity") // a package's bytes as they are, lengths and ranges included
            .timeout_resolve(Some(timeouts.connect))
            .timeout_connect(Some(timeouts.connect))
            .timeout_recv_response(Some(timeouts.stall))
            .timeout_per_read(Some(timeouts.stall))
            .max_idle_connections(connections.max(1) * 2)
            .max_idle_connections_per_host(connections.max(1))
            .build();
        Self {
            agent: config.new_agent(),
        }
    }
}

impl Transport for Http {
    fn get(&self, url: &str, from: u64) -> Call {
        let mut request = self.agent.get(url);
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        Box::new(move || {
            let answer = request.call()?;
            let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
            Ok(Response {
                status: answer.status().as_u16(),
                length: header("content-length").and_then(|text| text.parse().ok()),
                range: header("content-range").map(str::to_owned),
                body: Box::new(answer.into_body().into_reader()),
            })
        })
    }
}

/// Waits.
pub trait Clock: Sync {
    /// Lets `time` pass.
    fn sleep(&self, time: Duration);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// What failed in the middle of a body.
pub(super) fn body_failure(error: io::Error) -> TransportError {
    TransportError::passing("read the answer's body", error)
}
