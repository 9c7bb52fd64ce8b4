//! A web server for bundles, as plain as any: whole files and byte ranges, and how many bytes were asked for. It is a proxy, too, behind which
//! every name is its own.

use std::{
    fs::File,
    io::{self, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use crate::error::Error;

/// Address of the host as guests of QEMU's user network see it.
const HOST: &str = "10.0.2.2";
/// What separates the parts of an answer.
const BOUNDARY: &str = "outcrop-part";
/// Bytes that are sent at a time.
const PIECE_BYTES: usize = 64 << 10;
/// Longest body that is taken.
const MOST_BODY_BYTES: usize = 1 << 20;

/// Serves the files of a folder on the loopback interface, until the process ends.
#[derive(Debug)]
pub struct WebServer {
    address: SocketAddr,
    served: Arc<AtomicU64>,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    traffic: Arc<AtomicU64>,
    led: Arc<Mutex<Vec<String>>>,
}

impl WebServer {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub fn start(folder: &Path) -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::io("listen for web requests"))?;
        let address = listener
            .local_addr()
            .map_err(Error::io("listen for web requests"))?;
        let served = Arc::new(AtomicU64::new(0));
        let received = Arc::new(Mutex::new(Vec::new()));
        let traffic = Arc::new(AtomicU64::new(0));
        let led = Arc::new(Mutex::new(Vec::new()));
        let site = Site {
            folder: folder.to_owned(),
            served: Arc::clone(&served),
            received: Arc::clone(&received),
            traffic: Arc::clone(&traffic),
            led: Arc::clone(&led),
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let site = site.clone();
                // A client that goes away ends its thread.
                thread::spawn(move || serve(&stream, &site));
            }
        });
        Ok(Self {
            address,
            served,
            received,
            traffic,
            led,
        })
    }

    /// Bytes in both directions so far, heads and bodies; not what TCP adds.
    #[must_use]
    pub fn traffic(&self) -> u64 {
        self.traffic.load(Ordering::Relaxed)
    }

    /// Bodies that were sent to it by POST, the oldest first.
    ///
    /// # Panics
    /// Never: whoever keeps one does nothing else.
    #[must_use]
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.received.lock().map(|kept| kept.clone()).unwrap_or_default()
    }

    /// Servers to which it led as a proxy: a name and a port for each connection, the oldest first.
    #[must_use]
    pub fn led(&self) -> Vec<String> {
        self.led.lock().map(|led| led.clone()).unwrap_or_default()
    }

    /// The address of a file for guests.
    #[must_use]
    pub fn url(&self, file: &str) -> String {
        format!("http://{HOST}:{}/{file}", self.address.port())
    }

    /// Bytes of files that were sent so far.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

/// What a server has and counts.
#[derive(Debug, Clone)]
struct Site {
    folder: PathBuf,
    served: Arc<AtomicU64>,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    traffic: Arc<AtomicU64>,
    led: Arc<Mutex<Vec<String>>>,
}

/// Answers one request after the other.
fn serve(stream: &TcpStream, site: &Site) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = Counted {
        stream,
        traffic: &site.traffic,
    };
    while let Some(request) = Request::read(&mut reader)? {
        site.traffic.fetch_add(request.bytes, Ordering::Relaxed);
        if request.is_to_a_proxy {
            if let Ok(mut led) = site.led.lock() {
                led.push(request.file);
            }
            write!(stream, "HTTP/1.1 200 Connection established\r\n\r\n")?;
            continue;
        }
        if let Some(bytes) = request.body {
            let mut body = vec![0; bytes.min(MOST_BODY_BYTES)];
            reader.read_exact(&mut body)?;
            site.traffic.fetch_add(body.len() as u64, Ordering::Relaxed);
            if let Ok(mut received) = site.received.lock() {
                received.push(body);
            }
            write!(stream, "HTTP/1.1 204 No Content\r\n\r\n")?;
            continue;
        }
        answer(&mut stream, &site.folder, &request, &site.served)?;
    }
    Ok(())
}

/// Counts what is sent.
struct Counted<'s> {
    stream: &'s TcpStream,
    traffic: &'s AtomicU64,
}

impl io::Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(bytes)?;
        self.traffic.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    file: String,
    /// It names a server that it wants to be led to, not a file.
    is_to_a_proxy: bool,
    /// Of each range the first byte, and the last one; none when everything is asked for.
    ranges: Vec<(u64, Option<u64>)>,
    /// Length of what it brings, when it is a POST.
    body: Option<usize>,
    /// The version of the file that the client has.
    known: Option<String>,
    /// Bytes of the request's head.
    bytes: u64,
}

impl Request {
    fn read(reader: &mut impl io::BufRead) -> io::Result<Option<Self>> {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            let count = reader.read_line(&mut line)?;
            if count == 0 {
                return Ok(None);
            }
            bytes += count as u64;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            lines.push(line.to_owned());
        }
        let file = lines.first().and_then(|line| line.split(' ').nth(1));
        let file = file.unwrap_or_default().trim_start_matches('/').to_owned();
        let ranges = lines.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let ranges = value.trim().strip_prefix("bytes=")?;
            if !name.eq_ignore_ascii_case("range") {
                return None;
            }
            let range = |text: &str| {
                let (first, last) = text.split_once('-')?;
                Some((first.trim().parse().ok()?, last.parse().ok()))
            };
            ranges.split(',').map(range).collect::<Option<Vec<_>>>()
        });
        let ranges = ranges.unwrap_or_default();
        let header = |wanted: &str| {
            lines.iter().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
            })
        };
        let length = header("content-length").and_then(|value| value.parse().ok());
        let known = header("if-none-match");
        let is_to_a_proxy = lines.first().is_some_and(|line| line.starts_with("CONNECT "));
        let is_post = lines.first().is_some_and(|line| line.starts_with("POST "));
        let body = length.filter(|_| is_post);
        Ok(Some(Self {
            file,
            is_to_a_proxy,
            ranges,
            body,
            known,
            bytes,
        }))
    }
}

fn answer(
    stream: &mut impl io::Write,
    folder: &Path,
    request: &Request,
    served: &AtomicU64,
) -> io::Result<()> {
    let path: PathBuf = folder.join(&request.file);
    let file = match File::open(&path) {
        Ok(file) if !request.file.contains("..") => file,
        _ => return write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    };
    let len = file.metadata()?.len();
    let tag = format!("ETag: \"{len}\"\r\n");
    if request.known.as_deref().is_some_and(|known| tag.contains(known)) {
        return write!(stream, "HTTP/1.1 304 Not Modified\r\n{tag}\r\n");
    }
    let end = |last: Option<u64>| last.map_or(len, |last| (last + 1).min(len));
    let send = |stream: &mut dyn io::Write, start: u64, end: u64| send(stream, &file, start, end, served);
    match request.ranges.as_slice() {
        [] => {
            write!(stream, "HTTP/1.1 200 OK\r\n{tag}Content-Length: {len}\r\n\r\n")?;
            send(stream, 0, len)
        }
        &[(first, last)] => {
            let end = end(last);
            write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\n{tag}Content-Range: bytes {first}-{}/{len}\r\nContent-Length: {}\r\n\r\n",
                end.saturating_sub(1),
                end.saturating_sub(first)
            )?;
            send(stream, first, end)
        }
        several => {
            let heads: Vec<_> = several
                .iter()
                .map(|&(first, last)| {
                    let end = end(last);
                    let range = format!("{first}-{}/{len}", end.saturating_sub(1));
                    let head = format!("\r\n--{BOUNDARY}\r\nContent-Range: bytes {range}\r\n\r\n");
                    (head, first, end)
                })
                .collect();
            let foot = format!("\r\n--{BOUNDARY}--\r\n");
            let parts = heads
                .iter()
                .map(|(head, first, end)| head.len() as u64 + end.saturating_sub(*first));
            let all = parts.sum::<u64>() + foot.len() as u64;
            write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\n{tag}Content-Type: multipart/byteranges; boundary={BOUNDARY}\r\n\
                 Content-Length: {all}\r\n\r\n"
            )?;
            for (head, first, end) in heads {
                stream.write_all(head.as_bytes())?;
                send(stream, first, end)?;
            }
            stream.write_all(foot.as_bytes())
        }
    }
}

/// Sends the bytes of a file from `start` to the one before `end`.
fn send(stream: &mut dyn io::Write, file: &File, start: u64, end: u64, served: &AtomicU64) -> io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut at = start;
    while at < end {
        let count = usize::try_from(end - at).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        file.read_exact_at(&mut buffer[..count], at)?;
        stream.write_all(&buffer[..count])?;
        served.fetch_add(count as u64, Ordering::Relaxed);
        at += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), b"0123456789").unwrap();
        let request = Request::read(&mut text.as_bytes()).unwrap().unwrap();
        let (mut out, served) = (Vec::new(), AtomicU64::new(0));
        answer(&mut out, folder.path(), &request, &served).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn whole_files_ranges_and_what_is_missing_are_answered() {
        assert!(ask("GET /a HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n0123456789"));
        let part = ask("GET /a HTTP/1.1\r\nRange: bytes=2-4\r\n\r\n");
        assert!(
            part.starts_with("HTTP/1.1 206")
                && part.contains("bytes 2-4/10")
                && part.ends_with("\r\n\r\n234")
        );
        assert!(ask("GET /a HTTP/1.1\r\nrange: bytes=7-\r\n\r\n").ends_with("\r\n\r\n789"));
        let parts = ask("GET /a HTTP/1.1\r\nRange: bytes=1-2,5-5\r\n\r\n");
        let (head, body) = parts.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("boundary=outcrop-part") && head.ends_with(&format!(": {}", body.len())));
        assert!(body.contains("bytes 1-2/10\r\n\r\n12\r\n") && body.contains("bytes 5-5/10\r\n\r\n5\r\n"));
        assert!(ask("GET /b HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask("GET /../etc/passwd HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
    }
}
