use std::{error::Error as _, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::CertificateDer;

use super::*;
use crate::testing::tls::{identity, serve};

const SECONDS: Duration = Duration::from_secs(10);

fn pem(certificate: &CertificateDer<'_>) -> Vec<u8> {
    let text = STANDARD.encode(certificate);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
    .into_bytes()
}

fn client(port: u16, trust: ServerTrust, timeout: Duration) -> Client {
    let access = Access {
        server: format!("https://127.0.0.1:{port}"),
        trust,
        credentials: Credentials::Token("s3cret".to_owned()),
    };
    Client::new(access, timeout).unwrap()
}

/// Asks a server with a certificate of these years, which is the authority too.
fn ask(years: [i32; 2], answer: &'static str, timeout: Duration) -> (Result<Vec<u8>, ApiError>, String) {
    let (certificate, key) = identity(years);
    let trust = ServerTrust::Authorities(pem(&certificate));
    let (port, server) = serve(certificate, &key, answer);
    let client = client(port, trust, timeout);
    let answer = client.request(Method::Get, "/readyz", None);
    drop(client);
    (answer, server.join().unwrap())
}

const NOW: [i32; 2] = [2000, 4000];

#[test]
fn a_server_with_the_right_certificate_is_asked_with_the_token() {
    let (answer, request) = ask(NOW, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", SECONDS);
    assert_eq!(answer.unwrap(), b"ok");
    assert!(request.starts_with("GET /readyz HTTP/1.1\r\n"), "{request}");
    assert!(
        request
            .to_lowercase()
            .contains("authorization: bearer s3cret\r\n"),
        "{request}"
    );
}

#[test]
fn a_server_that_answers_500_says_why() {
    let answer = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 16\r\n\r\n[-]etcd failed\r\n";
    let (answer, _) = ask(NOW, answer, SECONDS);
    let error = answer.unwrap_err();
    assert_eq!(error.to_string(), "/readyz answers 500: [-]etcd failed");
    assert_eq!(error.status(), Some(500));
}

#[test]
fn a_certificate_that_is_over_or_not_yet_begun_makes_one_look_at_the_clock() {
    for years in [[1990, 2000], [3000, 4000]] {
        let (answer, request) = ask(years, "", SECONDS);
        let error = answer.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("look whether the device's clock is right"),
            "{error}"
        );
        assert!(!request.contains("s3cret"), "the token stays here");
    }
}

#[test]
fn a_server_that_nobody_vouches_for_is_not_asked() {
    let (certificate, key) = identity(NOW);
    let (other, _) = identity(NOW);
    let (port, server) = serve(certificate, &key, "");
    let client = client(port, ServerTrust::Authorities(pem(&other)), SECONDS);
    let error = client.request(Method::Get, "/readyz", None).unwrap_err();
    assert!(
        matches!(&error, ApiError::Unreachable { hint: "", .. }),
        "{error:?}"
    );
    drop(client);
    assert!(!server.join().unwrap().contains("s3cret"));
}

#[test]
fn a_server_that_never_answers_is_not_waited_for() {
    let begin = Instant::now();
    let (answer, _) = ask(NOW, "", Duration::from_secs(1));
    let error = answer.unwrap_err();
    assert!(
        error.source().unwrap().to_string().contains("timeout"),
        "{error:?}"
    );
    assert!(begin.elapsed() < SECONDS);
}

#[test]
fn credentials_that_are_none_are_told() {
    let access = |chain: &[u8]| Access {
        server: "https://127.0.0.1:1".to_owned(),
        trust: ServerTrust::System,
        credentials: Credentials::Certificate {
            chain: chain.to_vec(),
            key: b"key".to_vec(),
        },
    };
    let (certificate, _) = identity(NOW);
    for (chain, why) in [
        (b"chain".to_vec(), "certificate is no PEM"),
        (pem(&certificate), "key is no PEM"),
    ] {
        let error = Client::new(access(&chain), SECONDS).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn the_reason_of_a_refusal_is_the_api_s_message_or_its_first_line() {
    assert_eq!(
        reason(br#"{"kind":"Status","message":"no such node"}"#),
        ": no such node"
    );
    assert_eq!(reason(b"\n[+]ping ok\n[-]etcd failed"), ": [+]ping ok");
    assert_eq!(reason(b"{}"), ": {}");
    assert_eq!(reason(b""), "");
    assert_eq!(
        reason("\u{e9}".repeat(1000).as_bytes()).chars().count(),
        MAX_REASON + 2
    );
}
