//! Lists from a web server: small, asked for often, and only when they have changed.

use std::{
    io::{self, Read as _},
    time::Duration,
};

use outcrop_release::channel::{ChannelName, MAX_CHANNEL_BYTES};
use ureq::{Agent, Body, http::Response, http::Uri};

use super::fetch::{FetchError, Fetched, ListSource};
use crate::web::{Timeouts, agent};

/// How long a server is waited for.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(15),
    stall: Duration::from_secs(30),
    whole: Some(Duration::from_secs(120)),
};
/// Redirects that are followed.
const MOST_REDIRECTS: usize = 4;
/// Longest `ETag` that is kept.
const MOST_TAG_BYTES: usize = 256;

/// A publish tree on a web server.
#[derive(Debug)]
pub struct WebList {
    agent: Agent,
    /// Address of the tree, without a slash at its end.
    tree: String,
}

impl WebList {
    /// The tree at `tree`.
    ///
    /// # Errors
    /// When the image's certificates are there and can't be read.
    pub fn new(tree: &str) -> io::Result<Self> {
        Ok(Self::asked_by(agent(TIMEOUTS)?, tree))
    }

    /// The tree at `tree`, asked by `agent`.
    pub(crate) fn asked_by(agent: Agent, tree: &str) -> Self {
        let tree = tree.to_owned();
        Self { agent, tree }
    }

    fn ask(&self, url: &str, tag: Option<&str>) -> Result<Response<Body>, FetchError> {
        let mut request = self.agent.get(url).config().max_redirects(0).build();
        if let Some(tag) = tag {
            request = request.header("If-None-Match", tag);
        }
        request.call().map_err(|error| FetchError::Unreachable {
            url: url.to_owned(),
            source: error.into_io(),
        })
    }
}

impl ListSource for WebList {
    fn fetch(&mut self, channel: &ChannelName, tag: Option<&str>) -> Result<Fetched, FetchError> {
        let mut url = format!("{}/{}", self.tree, channel.file_name());
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.ask(&url, tag)?;
            match answer.status().as_u16() {
                200 => return list(&url, answer),
                304 if tag.is_some() => return Ok(Fetched::Same),
                301 | 302 | 303 | 307 | 308 => url = redirected(&url, &answer)?,
                status => return Err(FetchError::Status { url, status }),
            }
        }
        Err(FetchError::Circle(url))
    }
}

fn header<'a>(answer: &'a Response<Body>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

fn list(url: &str, answer: Response<Body>) -> Result<Fetched, FetchError> {
    let kind = header(&answer, "content-type");
    if kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html")) {
        return Err(FetchError::WebPage(url.to_owned()));
    }
    let tag = header(&answer, "etag")
        .filter(|tag| tag.len() <= MOST_TAG_BYTES)
        .map(str::to_owned);
    let mut bytes = Vec::new();
    let mut body = answer
        .into_body()
        .into_reader()
        .take(MAX_CHANNEL_BYTES as u64 + 1);
    body.read_to_end(&mut bytes)
        .map_err(|source| FetchError::Unreachable {
            url: url.to_owned(),
            source,
        })?;
    if bytes.len() > MAX_CHANNEL_BYTES {
        return Err(FetchError::TooLong(url.to_owned()));
    }
    Ok(Fetched::List { bytes, tag })
}

/// Where an answer sends to, if that is the same host and no less safe.
fn redirected(url: &str, answer: &Response<Body>) -> Result<String, FetchError> {
    let to = header(answer, "location").unwrap_or_default();
    let refused = || FetchError::Redirected {
        url: url.to_owned(),
        to: to.chars().take(200).collect(),
    };
    let from: Uri = url.parse().map_err(|_| refused())?;
    let (scheme, authority) = from.scheme_str().zip(from.authority()).ok_or_else(refused)?;
    // A path that begins with two slashes names a host.
    if to.starts_with('/') && !to.starts_with("//") {
        return Ok(format!("{scheme}://{authority}{to}"));
    }
    let target: Uri = to.parse().map_err(|_| refused())?;
    let is_same_host = target.host().is_some() && target.host() == from.host();
    let is_as_safe = target.scheme_str() == Some("https") || target.scheme_str() == Some(scheme);
    if is_same_host
        && is_as_safe
        && target
            .authority()
            .is_some_and(|there| !there.as_str().contains('@'))
    {
        Ok(to.to_owned())
    } else {
        Err(refused())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        net::TcpListener,
        thread,
    };

    use super::*;
    use crate::testing::tls::{self, identity};

    /// Answers each request with the next of `answers`; PORT in them is the server's. What was asked for, in order.
    fn serve(answers: &[&str]) -> (WebList, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers: Vec<String> = answers
            .iter()
            .map(|text| text.replace("PORT", &port.to_string()))
            .collect();
        let thread = thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let request: Vec<String> = lines
                    .map(Result::unwrap)
                    .take_while(|line| !line.is_empty())
                    .collect();
                requests.push(request.join("\n").to_lowercase());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            requests
        });
        (
            WebList::new(&format!("http://127.0.0.1:{port}/edge")).unwrap(),
            thread,
        )
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        )
    }

    fn fetch(answers: &[&str], tag: Option<&str>) -> (Result<Fetched, FetchError>, Vec<String>) {
        let (mut list, thread) = serve(answers);
        let fetched = list.fetch(&"stable".parse().unwrap(), tag);
        (fetched, thread.join().unwrap())
    }

    #[test]
    fn a_list_comes_with_its_tag_and_is_not_sent_again_while_it_has_not_changed() {
        let (fetched, requests) = fetch(&[&answer("200 OK", "ETag: W/\"7\"\r\n", "list")], None);
        let wanted = Fetched::List {
            bytes: b"list".to_vec(),
            tag: Some("W/\"7\"".to_owned()),
        };
        assert_eq!(fetched.unwrap(), wanted);
        assert!(
            requests[0].starts_with("get /edge/stable.channel "),
            "{requests:?}"
        );
        let (fetched, requests) = fetch(&[&answer("304 Not Modified", "", "")], Some("W/\"7\""));
        assert_eq!(fetched.unwrap(), Fetched::Same);
        assert!(requests[0].contains("if-none-match: w/\"7\""), "{requests:?}");
    }

    #[test]
    fn not_modified_is_no_answer_to_who_knows_nothing() {
        let (fetched, _) = fetch(&[&answer("304 Not Modified", "", "")], None);
        assert!(matches!(fetched, Err(FetchError::Status { status: 304, .. })));
    }

    #[test]
    fn redirects_are_followed_on_the_same_host_and_nowhere_else() {
        for to in ["/b", "http://127.0.0.1:PORT/b"] {
            let first = answer("302 Found", &format!("Location: {to}\r\n"), "");
            let (fetched, requests) = fetch(&[&first, &answer("200 OK", "", "list")], None);
            assert!(fetched.is_ok(), "{to}: {fetched:?}");
            assert!(requests[1].starts_with("get /b "), "{requests:?}");
        }
        for to in [
            "http://elsewhere.example/stable.channel",
            "//elsewhere.example/x",
            "https://elsewhere.example/",
            "ftp://127.0.0.1/x",
            "http://a:b@127.0.0.1/x",
            "file:///etc/passwd",
            "x",
            "",
        ] {
            let (fetched, _) = fetch(&[&answer("302 Found", &format!("Location: {to}\r\n"), "")], None);
            assert!(
                matches!(fetched, Err(FetchError::Redirected { .. })),
                "{to}: {fetched:?}"
            );
        }
        let again = answer("302 Found", "Location: /edge/stable.channel\r\n", "");
        let (fetched, _) = fetch(&[again.as_str(); MOST_REDIRECTS + 1], None);
        assert!(matches!(fetched, Err(FetchError::Circle(_))));
    }

    #[test]
    fn what_is_no_list_is_told_for_what_it_is() {
        for kind in ["text/html; charset=utf-8", "Text/HTML"] {
            let kind = format!("Content-Type: {kind}\r\n");
            let page = answer("200 OK", &kind, "<html>Please log in");
            assert!(matches!(fetch(&[&page], None).0, Err(FetchError::WebPage(_))));
        }
        let (fetched, _) = fetch(&[&answer("404 Not Found", "", "")], None);
        assert!(matches!(fetched, Err(FetchError::Status { status: 404, .. })));
        let long = answer("200 OK", "", &"x".repeat(MAX_CHANNEL_BYTES + 1));
        assert!(matches!(fetch(&[&long], None).0, Err(FetchError::TooLong(_))));
        let cut = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nabc";
        assert!(matches!(
            fetch(&[cut], None).0,
            Err(FetchError::Unreachable { .. })
        ));
        let nobody = WebList::new("http://127.0.0.1:1")
            .unwrap()
            .fetch(&"stable".parse().unwrap(), None);
        assert!(matches!(nobody, Err(FetchError::Unreachable { .. })));
    }

    #[test]
    fn a_list_that_drips_is_given_up_however_steadily_it_comes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tree = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            // Until nobody listens any more.
            while stream.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let timeouts = Timeouts {
            connect: Duration::from_secs(5),
            stall: Duration::from_secs(5),
            whole: Some(Duration::from_millis(500)),
        };
        let mut list = WebList::asked_by(agent(timeouts).unwrap(), &tree);
        let fetched = list.fetch(&"stable".parse().unwrap(), None);
        assert!(
            matches!(fetched, Err(FetchError::Unreachable { .. })),
            "{fetched:?}"
        );
    }

    #[test]
    fn a_poll_without_news_asks_in_under_a_kilobyte() {
        let (_, requests) = fetch(&[&answer("304 Not Modified", "", "")], Some("\"7\""));
        assert!(requests[0].len() < 400, "{}", requests[0]);
    }

    #[test]
    fn a_server_whose_certificate_nobody_vouches_for_or_that_is_past_gives_no_list() {
        use std::error::Error as _;
        for years in [[2000, 4000], [2000, 2001], [3000, 4000]] {
            let (certificate, key) = identity(years);
            let (port, server) = tls::serve(
                certificate,
                &key,
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlist",
            );
            let mut list = WebList::new(&format!("https://127.0.0.1:{port}")).unwrap();
            let error = list.fetch(&"stable".parse().unwrap(), None).unwrap_err();
            let FetchError::Unreachable { url, .. } = &error else {
                panic!("{error:?}")
            };
            assert!(url.ends_with("/stable.channel"));
            let why = error.source().unwrap().to_string();
            assert!(why.contains("certificate"), "{why}");
            assert_eq!(server.join().unwrap(), "", "nothing was asked of it");
        }
    }
}
