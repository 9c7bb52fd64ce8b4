//! Questions to the API server.

use std::{io, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::{
    Agent, Body,
    http::{Request, Response},
    tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem},
};

use super::{
    access::{Access, AccessError, Credentials, ServerTrust},
    objects::Status,
};
use crate::web;

/// Longer answers aren't read: a device has no list that long. 64 MiB.
const MAX_BYTES: u64 = 64 << 20;
/// Longest reason that is kept of an answer.
const MAX_REASON: usize = 300;

/// A method of HTTP that the API is asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes an object.
    Post,
    /// Changes some fields (JSON merge patch, RFC 7396).
    Patch,
}

/// Who answers for the API: the server, or a fake in tests.
pub trait Api {
    /// The answer to a request, as it came.
    ///
    /// # Errors
    /// When there is none, or it says no.
    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Vec<u8>, ApiError>;
}

/// The API didn't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody knows how to reach it.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Its credentials can't be used.
    #[error("the credentials for the API can't be used: {0}")]
    Credentials(&'static str),
    /// No answer came.
    #[error("ask {server}{hint}")]
    Unreachable {
        /// The server.
        server: String,
        /// What else to look at; may be empty.
        hint: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It said no.
    #[error("{path} answers {status}{reason}")]
    Status {
        /// What was asked for.
        path: String,
        /// HTTP's status.
        status: u16,
        /// `: ` and why, or nothing.
        reason: String,
    },
    /// It said something else than JSON, or another object.
    #[error("{path} answers what can't be understood")]
    Answer {
        /// What was asked for.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
}

impl ApiError {
    /// HTTP's status, where there is one.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Asks for an object.
///
/// # Errors
/// See [`ApiError`].
pub(super) fn get<T: DeserializeOwned>(api: &dyn Api, path: &str) -> Result<T, ApiError> {
    let bytes = api.request(Method::Get, path, None)?;
    serde_json::from_slice(&bytes).map_err(|source| ApiError::Answer {
        path: path.to_owned(),
        source,
    })
}

/// A connection to the API server.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    access: Access,
}

impl Client {
    /// One that waits at most `timeout` for an answer.
    ///
    /// # Errors
    /// When the credentials can't be used.
    pub fn new(access: Access, timeout: Duration) -> Result<Self, ApiError> {
        let mut tls = TlsConfig::builder();
        match &access.trust {
            ServerTrust::System => {}
            ServerTrust::Any => tls = tls.disable_verification(true),
            ServerTrust::Authorities(pem) => {
                tls = tls.root_certs(RootCerts::new_with_certs(&certificates(pem)));
            }
        }
        if let Credentials::Certificate { chain, key } = &access.credentials {
            let chain = certificates(chain);
            if chain.is_empty() {
                return Err(ApiError::Credentials("the certificate is no PEM"));
            }
            let key = PrivateKey::from_pem(key).map_err(|_| ApiError::Credentials("the key is no PEM"))?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
        }
        Ok(Self {
            agent: web::local_agent(tls.build(), timeout),
            access,
        })
    }

    fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response<Body>, ureq::Error> {
        let mut request = Request::builder()
            .method(match method {
                Method::Get => "GET",
                Method::Post => "POST",
                Method::Patch => "PATCH",
            })
            .uri(format!("{}{path}", self.access.server));
        if let Credentials::Token(token) = &self.access.credentials {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let kind = match method {
            Method::Patch => "application/merge-patch+json",
            Method::Get | Method::Post => "application/json",
        };
        let request = request
            .header("Content-Type", kind)
            .header("Accept", "application/json, */*");
        match body {
            None => self.agent.run(request.body(())?),
            Some(body) => self.agent.run(request.body(body.to_string())?),
        }
    }
}

impl Api for Client {
    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Vec<u8>, ApiError> {
        let unreachable = |error: ureq::Error| {
            let source = error.into_io();
            ApiError::Unreachable {
                server: self.access.server.clone(),
                hint: hint(&source.to_string()),
                source,
            }
        };
        let mut answer = self.send(method, path, body).map_err(unreachable)?;
        let status = answer.status().as_u16();
        let bytes = answer
            .body_mut()
            .with_config()
            .limit(MAX_BYTES)
            .read_to_vec()
            .map_err(unreachable)?;
        if (200..300).contains(&status) {
            return Ok(bytes);
        }
        Err(ApiError::Status {
            path: path.to_owned(),
            status,
            reason: reason(&bytes),
        })
    }
}

/// What to look at when a server can't be believed: on a device, its own clock is the first suspect.
fn hint(why: &str) -> &'static str {
    let why = why.to_lowercase();
    if why.contains("expired") || why.contains("not valid yet") || why.contains("notvalidyet") {
        " (the certificate's time: look whether the device's clock is right)"
    } else {
        ""
    }
}

/// Why the API said no: the message of its `Status` object, else the first line.
fn reason(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let message = serde_json::from_slice::<Status>(bytes).map(|status| status.message);
    let line = match &message {
        Ok(message) if !message.is_empty() => message.as_str(),
        _ => text
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default(),
    };
    match line.trim() {
        "" => String::new(),
        line => format!(": {}", line.chars().take(MAX_REASON).collect::<String>()),
    }
}

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;
