//! A proxy, as companies have them between their sites and the network.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// Leads whoever it lets through to one server, whatever name was asked for.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    carried: Arc<AtomicU64>,
}

impl Proxy {
    /// A proxy whose only server is this port of the host itself.
    pub(crate) fn to(port: u16) -> Self {
        Self::start(Some(port))
    }

    /// A proxy that wants to know who is asking, first.
    pub(crate) fn that_refuses() -> Self {
        Self::start(None)
    }

    fn start(to: Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            carried: Arc::default(),
        };
        let (asked, carried) = (Arc::clone(&proxy.asked), Arc::clone(&proxy.carried));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, to, &asked, &carried);
            }
        });
        proxy
    }

    /// The first line of each request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Bytes carried so far, in both directions.
    pub(crate) fn carried(&self) -> u64 {
        self.carried.load(Ordering::SeqCst)
    }
}

fn serve(
    mut client: TcpStream,
    to: Option<u16>,
    asked: &Mutex<Vec<String>>,
    carried: &Arc<AtomicU64>,
) -> io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    asked.lock().unwrap().push(first);
    // A client waits for the answer before it sends more: nothing but the head is in the buffer.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let Some(port) = to else {
        return client.write_all(
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    };
    let server = TcpStream::connect(("127.0.0.1", port))?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let ways = [(client.try_clone()?, server.try_clone()?), (server, client)];
    for (mut from, mut to) in ways {
        let carried = Arc::clone(carried);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = io::Read::read(&mut from, &mut piece) {
                carried.fetch_add(count as u64, Ordering::SeqCst);
                if to.write_all(&piece[..count]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
    Ok(())
}
