//! A small HTTP/1.1 server on loopback that misbehaves as told. It needs nothing but the standard library, so that tests of
//! the whole program include this file too.

use std::{
    io::{BufRead as _, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// First byte of the range; 0 without one.
    pub(crate) from: u64,
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// The file, from the asked byte on.
    File(Vec<u8>),
    /// The whole file, whatever was asked.
    Whole(Vec<u8>),
    /// Announces what is asked for, and closes the connection after so many bytes of it.
    Cut(Vec<u8>, usize),
    /// The file without a stated length, ended by the connection's end.
    Unmeasured(Vec<u8>),
    /// The first bytes of the file, then nothing more, for this long or until the server is dropped.
    Stall(Vec<u8>, usize, Duration),
    /// No body.
    Status(u16),
    /// Look there.
    Redirect(String),
}

type Handler = dyn Fn(&Request, usize) -> Reply + Send + Sync;

struct Shared {
    handler: Box<Handler>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    body_bytes: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    /// Waits for `time`, or until the server is dropped.
    fn wait(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.stop.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Answers until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    /// `handler` gets each request with the number of requests before it.
    pub(crate) fn start(handler: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            body_bytes: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let for_accept = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if for_accept.stop.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&for_accept);
                shared.connections.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || serve(&shared, stream.unwrap()));
            }
        });
        Self { address, shared }
    }

    /// Serves these files, and 404 for everything else.
    pub(crate) fn with_files(files: Vec<(String, Vec<u8>)>) -> Self {
        Self::start(move |request, _| {
            let file = files.iter().find(|(path, _)| *path == request.path);
            file.map_or(Reply::Status(404), |(_, body)| Reply::File(body.clone()))
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Bytes of all bodies that went out.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.shared.body_bytes.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _wakes_accept = TcpStream::connect(self.address);
    }
}

/// Answers one connection's requests until either side ends it.
fn serve(shared: &Shared, mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(request) = read_request(&mut reader) {
        let number = {
            let mut requests = shared.requests.lock().unwrap();
            requests.push(request.clone());
            requests.len() - 1
        };
        let reply = (shared.handler)(&request, number);
        match answer(shared, &mut stream, &request, reply) {
            Ok(true) => {}
            Ok(false) | Err(_) => {
                let _gone_already = stream.shutdown(Shutdown::Both);
                return;
            }
        }
    }
}

fn read_request(reader: &mut impl std::io::BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut from = 0;
    for header in reader.lines() {
        let header = header.ok()?.to_ascii_lowercase();
        if header.is_empty() {
            return Some(Request { path, from });
        }
        if let Some(range) = header.strip_prefix("range: bytes=") {
            from = range.strip_suffix('-')?.parse().ok()?;
        }
    }
    None
}

/// Whether the connection stays open.
fn answer(shared: &Shared, stream: &mut TcpStream, request: &Request, reply: Reply) -> std::io::Result<bool> {
    match reply {
        Reply::Status(status) => {
            write!(stream, "HTTP/1.1 {status} Told\r\nContent-Length: 0\r\n\r\n")?;
            Ok(true)
        }
        Reply::Redirect(location) => {
            write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            )?;
            Ok(true)
        }
        Reply::File(body) => {
            let rest = head(stream, request, &body)?;
            send(shared, stream, rest).map(|()| true)
        }
        Reply::Whole(body) => {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )?;
            send(shared, stream, &body).map(|()| true)
        }
        Reply::Cut(body, length) => {
            let rest = head(stream, request, &body)?;
            send(shared, stream, &rest[..length.min(rest.len())]).map(|()| false)
        }
        Reply::Unmeasured(body) => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            send(shared, stream, &body).map(|()| false)
        }
        Reply::Stall(body, length, time) => {
            let rest = head(stream, request, &body)?;
            send(shared, stream, &rest[..length.min(rest.len())])?;
            shared.wait(time);
            Ok(false)
        }
    }
}

/// Writes the headers; returns what is to follow them.
fn head<'b>(stream: &mut TcpStream, request: &Request, body: &'b [u8]) -> std::io::Result<&'b [u8]> {
    let from = usize::try_from(request.from).unwrap();
    let length = body.len();
    if from == 0 {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")?;
    } else if from >= length {
        write!(stream, "HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(&[]);
    } else {
        let (last, rest) = (length - 1, length - from);
        write!(
            stream,
            "HTTP/1.1 206 Part\r\nContent-Range: bytes {from}-{last}/{length}\r\nContent-Length: {rest}\r\n\r\n"
        )?;
    }
    Ok(&body[from..])
}

fn send(shared: &Shared, stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    for piece in body.chunks(16 << 10) {
        stream.write_all(piece)?;
        shared.body_bytes.fetch_add(piece.len() as u64, Ordering::SeqCst);
    }
    stream.flush()
}
