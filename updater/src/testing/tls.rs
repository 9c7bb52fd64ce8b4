//! A server with a certificate of its own.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::Arc,
    thread,
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig, ServerConnection, Stream,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer},
};

/// A server's certificate, good in these years, and its key.
pub(crate) fn identity(years: [i32; 2]) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    [params.not_before, params.not_after] = years.map(|year| date_time_ymd(year, 1, 1));
    (params.self_signed(&key).unwrap().der().clone(), key)
}

/// A server that answers one request, as long as the client believes it; its port. The thread ends with the request that came.
pub(crate) fn serve(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    answer: &'static str,
) -> (u16, thread::JoinHandle<String>) {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut tls = Stream::new(&mut connection, &mut stream);
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            match tls.read(&mut byte) {
                Ok(1) => request.push(byte[0]),
                _ => break,
            }
        }
        if !answer.is_empty() {
            let _ = tls.write_all(answer.as_bytes());
            let _ = tls.flush();
        } else {
            // Until the client has gone.
            let _ = tls.read(&mut byte);
        }
        String::from_utf8_lossy(&request).into_owned()
    });
    (port, server)
}
