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
        Ok(Self {
            agent: agent(TIMEOUTS)?,
            url: url.to_owned(),
        })
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

    /// Answers one request with `answer`; what was asked for.
    fn serve(answer: &'static str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let line = line.unwrap();
                if line.is_empty() {
                    break;
                }
                request += &(line.to_lowercase() + "\n");
            }
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        (format!("http://localhost:{}/a.outcrop", address.port()), thread)
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
