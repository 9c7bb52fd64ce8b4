//! A web server for bundles, as plain as any: whole files and byte ranges, and how many bytes were asked for.

use std::{
    fs::File,
    io::{self, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
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

/// Serves the files of a folder on the loopback interface, until the process ends.
#[derive(Debug)]
pub struct WebServer {
    address: SocketAddr,
    served: Arc<AtomicU64>,
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
        let (folder, counter) = (folder.to_owned(), Arc::clone(&served));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, counter) = (folder.clone(), Arc::clone(&counter));
                // A client that goes away ends its thread.
                thread::spawn(move || serve(&stream, &folder, &counter));
            }
        });
        Ok(Self { address, served })
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

/// Answers one request after the other.
fn serve(stream: &TcpStream, folder: &Path, served: &AtomicU64) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = Request::read(&mut reader)? {
        answer(&mut (&*stream), folder, &request, served)?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    file: String,
    /// Of each range the first byte, and the last one; none when everything is asked for.
    ranges: Vec<(u64, Option<u64>)>,
}

impl Request {
    fn read(reader: &mut impl io::BufRead) -> io::Result<Option<Self>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(None);
            }
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
        Ok(Some(Self { file, ranges }))
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
