//! A server that follows a script, connection by connection: it can end in every way that a server can.

use socket2::SockRef;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request as it came.
pub struct Request {
    /// Which of all to this backend, from 0.
    pub number: usize,
    /// Its head, up to the empty line.
    pub head: String,
    /// Its body, if its length was announced; chunks as they came.
    pub body: Vec<u8>,
}

impl Request {
    /// A field's value.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }
}

/// What follows the bytes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The next request.
    Keep,
    /// The connection is closed.
    Close,
    /// It is reset.
    Reset,
    /// Nothing, and it stays open.
    Silent,
    /// Of HTTP/2: the stream is reset, and nothing is said to be wrong.
    Stop,
    /// Of HTTP/2: the connection is given up, with a word (GOAWAY).
    Away,
    /// Of HTTP/2: all is well, but the connection takes no other request (GOAWAY).
    Last,
    /// Of HTTP/2: the request was not looked at (REFUSED_STREAM).
    Refuse,
}

/// An answer: the bytes, and what follows.
pub type Answer = (Vec<u8>, End);

type Script = dyn Fn(&Request) -> Answer + Send + Sync;

struct Shared {
    script: Box<Script>,
    requests: AtomicUsize,
    connections: AtomicUsize,
    stopped: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// The server; it ends with the value.
pub struct Backend {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    pub fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Backend {
        Backend::at("127.0.0.1:0", script)
    }

    /// At a given address.
    pub fn at(
        address: &str,
        script: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Backend {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            script: Box::new(script),
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        let own = shared.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if own.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                own.connections.fetch_add(1, Ordering::SeqCst);
                own.open.lock().unwrap().extend(stream.try_clone());
                let own = own.clone();
                std::thread::spawn(move || serve(stream, &own));
            }
        });
        Backend { address, shared, thread: Some(thread) }
    }

    /// Requests that came.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Connections that came.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer, &shared.requests) {
        let (bytes, end) = (shared.script)(&request);
        if stream.write_all(&bytes).is_err() {
            return;
        }
        match end {
            End::Keep => {}
            End::Close | End::Stop | End::Away | End::Last | End::Refuse => {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            End::Reset => {
                // A reset overtakes what was not acknowledged.
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                shared
                    .open
                    .lock()
                    .unwrap()
                    .retain(|s| s.peer_addr().ok() != stream.peer_addr().ok());
                return;
            }
            End::Silent => {
                let mut one = [0; 1];
                // Until the other end, or the test, ends it.
                while matches!(stream.read(&mut one), Ok(n) if n > 0) {}
                return;
            }
        }
    }
}

fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>, number: &AtomicUsize) -> Option<Request> {
    let mut more = [0; 4096];
    let head = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break String::from_utf8_lossy(&buffer.drain(..at + 4).collect::<Vec<_>>())
                .into_owned();
        }
        match stream.read(&mut more) {
            Ok(n) if n > 0 => buffer.extend_from_slice(&more[..n]),
            _ => return None,
        }
    };
    let mut request = Request { number: 0, head, body: Vec::new() };
    let length: usize = request.field("content-length").map_or(0, |l| l.parse().expect("a number"));
    let chunked = request.field("transfer-encoding").is_some();
    while buffer.len() < length || chunked && !buffer.ends_with(b"0\r\n\r\n") {
        match stream.read(&mut more) {
            Ok(n) if n > 0 => buffer.extend_from_slice(&more[..n]),
            _ => return None,
        }
    }
    let end = if chunked { buffer.len() } else { length };
    request.body = buffer.drain(..end).collect();
    request.number = number.fetch_add(1, Ordering::SeqCst);
    Some(request)
}
