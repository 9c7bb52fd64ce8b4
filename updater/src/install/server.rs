//! The real web server behind a URL.

use std::{io, time::Duration};

use outcrop_release::plan::ByteRange;
use ureq::Agent;

use super::http::{Answer, Server, Wanted};
use crate::web::{Timeouts, agent};

/// How long a server is waited for before it is asked again.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(15),
    stall: Duration::from_secs(60),
    whole: None,
};

/// A bundle's address on a web server.
#[derive(Debug)]
pub struct WebServer {
    agent: Agent,
    url: String,
}

impl WebServer {
    /// The server of `url`. Proxies come from the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
    ///
    /// # Errors
    /// When the image's certificates are there and can't be read.
    pub fn new(url: &str) -> io::Result<Self> {
        Ok(Self::asked_by(agent(TIMEOUTS)?, url))
    }

    /// The server of `url`, asked by `agent`.
    pub(crate) fn asked_by(agent: Agent, url: &str) -> Self {
        let url = url.to_owned();
        Self { agent, url }
    }
}

impl Server for WebServer {
    fn get(&mut self, wanted: &Wanted) -> io::Result<Answer> {
        let range = match wanted {
            Wanted::From(start) => format!("bytes={start}-"),
            Wanted::Ranges(ranges) => {
                let range = |range: &ByteRange| format!("{}-{}", range.start, range.end.saturating_sub(1));
                format!("bytes={}", ranges.iter().map(range).collect::<Vec<_>>().join(","))
            }
        };
        let answer = self.agent.get(&self.url).header("Range", range).call();
        let answer = answer.map_err(ureq::Error::into_io)?;
        let header = |name: &str| {
            let value = answer.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        // A weak tag doesn't promise equal bytes. Source: RFC 9110, section 8.8.1.
        let tag = header("etag").filter(|tag| !tag.starts_with("W/"));
        Ok(Answer {
            status: answer.status().as_u16(),
            range: header("content-range"),
            content_type: header("content-type"),
            version: tag.or_else(|| header("last-modified")),
            body: Box::new(answer.into_body().into_reader()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use super::*;
    use crate::testing::tls;

    /// Answers one request with `answer`; what was asked for.
    fn serve(answer: &'static str) -> (String, thread::JoinHandle<String>) {
        serve_each(vec![answer], Duration::ZERO)
    }

    /// Answers a request with each of `answers`, on connections of their own, each open for `linger` longer; what was asked for last.
    fn serve_each(answers: Vec<&'static str>, linger: Duration) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let mut request = String::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                request.clear();
                for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                    let line = line.unwrap();
                    if line.is_empty() {
                        break;
                    }
                    request += &(line.to_lowercase() + "\n");
                }
                stream.write_all(answer.as_bytes()).unwrap();
                thread::sleep(linger);
            }
            request
        });
        (format!("http://localhost:{}/a.outcrop", address.port()), thread)
    }

    fn first_byte() -> Wanted {
        Wanted::Ranges(vec![ByteRange { start: 0, end: 1 }])
    }

    #[test]
    fn a_redirect_is_followed_with_the_range_that_was_asked_for() {
        let answers = vec![
            "HTTP/1.1 302 Found\r\nLocation: /b.outcrop\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\nContent-Range: bytes 0-0/9\r\nConnection: close\r\n\r\na",
        ];
        let (url, thread) = serve_each(answers, Duration::ZERO);
        let answer = WebServer::new(&url).unwrap().get(&first_byte()).unwrap();
        assert_eq!(answer.status, 206);
        let request = thread.join().unwrap();
        assert!(request.starts_with("get /b.outcrop "), "{request}");
        assert!(request.contains("range: bytes=0-0\n"), "{request}");
    }

    #[test]
    fn a_bundle_may_lie_on_another_host_since_its_signature_says_whose_it_is() {
        let (elsewhere, there) = serve(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\nContent-Range: bytes 0-0/9\r\nConnection: close\r\n\r\na",
        );
        let elsewhere = elsewhere.replace("localhost", "127.0.0.1");
        let redirect = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let (url, here) = serve(redirect.leak());
        let answer = WebServer::new(&url).unwrap().get(&first_byte()).unwrap();
        assert_eq!(
            (answer.status, answer.range.as_deref()),
            (206, Some("bytes 0-0/9"))
        );
        here.join().unwrap();
        let request = there.join().unwrap();
        assert!(
            request.contains("range: bytes=0-0\n") && request.contains("host: 127.0.0.1:"),
            "{request}"
        );
    }

    #[test]
    fn a_server_whose_certificate_nobody_vouches_for_gives_no_byte_of_a_bundle() {
        let (certificate, key) = tls::identity([2000, 4000]);
        let (port, server) = tls::serve(
            certificate,
            &key,
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\nContent-Range: bytes 0-0/9\r\n\r\na",
        );
        let mut bundle = WebServer::new(&format!("https://127.0.0.1:{port}/a.outcrop")).unwrap();
        let Err(error) = bundle.get(&first_byte()) else {
            panic!("it was believed")
        };
        assert!(error.to_string().contains("certificate"), "{error}");
        assert_eq!(server.join().unwrap(), "", "nothing was asked of it");
    }

    #[test]
    fn a_server_that_redirects_for_ever_is_an_error() {
        let again =
            "HTTP/1.1 302 Found\r\nLocation: /a.outcrop\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        // As many as are followed: it would wait for another one.
        let (url, thread) = serve_each(vec![again; 11], Duration::ZERO);
        let result = WebServer::new(&url).unwrap().get(&first_byte());
        assert!(result.is_err());
        thread.join().unwrap();
    }

    #[test]
    fn a_body_that_stalls_or_ends_before_its_length_is_an_error_and_not_a_short_file() {
        let answer =
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 9\r\nContent-Range: bytes 0-8/9\r\n\r\nabc";
        let timeouts = Timeouts {
            connect: Duration::from_secs(5),
            stall: Duration::from_millis(300),
            whole: None,
        };
        for linger in [Duration::ZERO, Duration::from_secs(3)] {
            let (url, thread) = serve_each(vec![answer], linger);
            let mut server = WebServer::asked_by(agent(timeouts).unwrap(), &url);
            let mut body = Vec::new();
            let result = server.get(&first_byte()).unwrap().body.read_to_end(&mut body);
            assert!(result.is_err(), "{linger:?}: {body:?}");
            assert_eq!(body, b"abc");
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_range_is_asked_for_and_its_version_is_the_strong_tag_or_the_date() {
        for (tag, version) in [("\"x\"", "\"x\""), ("W/\"x\"", "yesterday")] {
            let answer = format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nContent-Range: bytes 5-7/9\r\nETag: {tag}\r\n\
                 Last-Modified: yesterday\r\nConnection: close\r\n\r\nabc"
            );
            let (url, thread) = serve(answer.leak());
            let wanted = Wanted::Ranges(vec![ByteRange { start: 5, end: 8 }]);
            let mut answer = WebServer::new(&url).unwrap().get(&wanted).unwrap();
            let mut body = String::new();
            answer.body.read_to_string(&mut body).unwrap();
            assert_eq!((answer.status, body.as_str()), (206, "abc"));
            assert_eq!(answer.range.as_deref(), Some("bytes 5-7/9"));
            assert_eq!(answer.version.as_deref(), Some(version));
            assert!(thread.join().unwrap().contains("range: bytes=5-7\n"));
        }
    }

    #[test]
    fn several_ranges_are_one_request() {
        let (url, thread) = serve(
            "HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=b\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n",
        );
        let ranges = [(5, 8), (10, 11)].map(|(start, end)| ByteRange { start, end });
        let wanted = Wanted::Ranges(ranges.to_vec());
        let answer = WebServer::new(&url).unwrap().get(&wanted).unwrap();
        assert_eq!(
            answer.content_type.as_deref(),
            Some("multipart/byteranges; boundary=b")
        );
        assert!(thread.join().unwrap().contains("range: bytes=5-7,10-10\n"));
    }
}
