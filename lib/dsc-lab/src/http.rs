//! Web clients on the machine `client`: requests on kept and on new connections, slow downloads, and many connections
//! that are open and mostly silent. They count what broke and how; who is to blame is the caller's to judge.

use crate::error::{Doing, Error, Result};
use crate::lab::Lab;
use crate::nginx::{LARGE, LARGE_BYTES};
use crate::{clock, streams};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest wait for a connection or for bytes on it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two requests of one client, and between two reads of a slow download.
const PACE_NS: u64 = 5_000_000;
/// Bytes of a read of a slow download: 3 MB/s.
const SLOW_READ: usize = 16 * 1024;
/// Longest answer to a request for the page.
const PAGE_MAX: usize = 4096;

/// What happened to clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pages received.
    pub pages: u64,
    /// By the node that sent them.
    pub by_node: BTreeMap<String, u64>,
    /// Bytes of downloads.
    pub bytes: u64,
    /// Connections reset, or closed in the middle of something.
    pub resets: u64,
    /// Connections refused, timed out, or answered with something else than was asked for.
    pub errors: u64,
    /// The latest of either, in words.
    pub latest: Option<String>,
}

impl Counts {
    fn failed(&mut self, what: &str, error: &std::io::Error) {
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
                self.resets += 1;
            }
            _ => self.errors += 1,
        }
        let cause = match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("nothing for {PATIENCE:?}"),
            _ => error.to_string(),
        };
        self.latest = Some(format!("{what}: {cause}"));
    }
}

/// How many clients of each sort.
#[derive(Clone, Copy, Debug)]
pub struct Clients {
    /// Ask again and again on one connection.
    pub kept: usize,
    /// Make a connection for every request.
    pub fresh: usize,
    /// Download the large file, slowly.
    pub downloads: usize,
}

/// Clients at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    counts: Arc<Mutex<Counts>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts clients that spread over these addresses.
    ///
    /// # Errors
    /// The client's machine is gone.
    pub fn start(lab: &Lab, vips: &[IpAddr], clients: Clients) -> Result<Load> {
        if vips.is_empty() {
            return Err(Error::new("start web clients", "no address given"));
        }
        let space = lab.space("client")?.clone();
        let sorts: [(usize, Work); 3] = [
            (clients.kept, Worker::kept),
            (clients.fresh, Worker::fresh),
            (clients.downloads, Worker::downloads),
        ];
        let mut load = Load { stop: Arc::default(), counts: Arc::default(), threads: Vec::new() };
        let mut turn = 0;
        for (count, work) in sorts {
            for _ in 0..count {
                let worker = Worker {
                    to: SocketAddr::new(vips[turn % vips.len()], 80),
                    stop: load.stop.clone(),
                    counts: load.counts.clone(),
                };
                turn += 1;
                let space = space.clone();
                load.threads.push(std::thread::spawn(move || match space.enter_net() {
                    Ok(()) => work(&worker),
                    Err(error) => eprintln!("dsc-lab: {error}"),
                }));
            }
        }
        Ok(load)
    }

    /// What has happened until now.
    pub fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }

    /// Ends all clients and tells what happened.
    pub fn stop(mut self) -> Counts {
        self.end();
        self.counts()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic has been printed; the other clients' counts stand.
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What one sort of client does until it is stopped.
type Work = fn(&Worker);

/// One client.
struct Worker {
    to: SocketAddr,
    stop: Arc<AtomicBool>,
    counts: Arc<Mutex<Counts>>,
}

impl Worker {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn pace(&self) {
        clock::sleep_until(clock::now_ns() + PACE_NS);
    }

    fn failed(&self, what: &str, error: &std::io::Error) {
        lock(&self.counts).failed(&format!("{what} of {}", self.to.ip()), error);
    }

    fn page(&self, node: String) {
        let mut counts = lock(&self.counts);
        counts.pages += 1;
        *counts.by_node.entry(node).or_default() += 1;
    }

    fn kept(&self) {
        while !self.stopped() {
            let mut connection = match connect(self.to) {
                Ok(connection) => connection,
                Err(error) => {
                    self.failed("new connection", &error);
                    self.pace();
                    continue;
                }
            };
            while !self.stopped() {
                match ask(&mut connection, self.to) {
                    Ok(node) => self.page(node),
                    Err(error) => {
                        self.failed("request on a kept connection", &error);
                        break;
                    }
                }
                self.pace();
            }
        }
    }

    fn fresh(&self) {
        while !self.stopped() {
            match connect(self.to).and_then(|mut c| ask(&mut c, self.to)) {
                Ok(node) => self.page(node),
                Err(error) => self.failed("request on a new connection", &error),
            }
            self.pace();
        }
    }

    fn downloads(&self) {
        while !self.stopped() {
            if let Err(error) = self.download() {
                self.failed("download", &error);
                self.pace();
            }
        }
    }

    /// One slow download, until its end or until the clients are stopped.
    fn download(&self) -> std::io::Result<()> {
        let mut connection = connect(self.to)?;
        let (rest, length) = start_download(&mut connection, self.to)?;
        let mut received = rest;
        let mut buffer = [0; SLOW_READ];
        while received < length && !self.stopped() {
            match connection.read(&mut buffer)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => {
                    received += count as u64;
                    lock(&self.counts).bytes += count as u64;
                }
            }
            self.pace();
        }
        Ok(())
    }
}

fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let connection = TcpStream::connect_timeout(&to, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    connection.set_nodelay(true)?;
    Ok(connection)
}

fn request(connection: &mut TcpStream, to: SocketAddr, path: &str) -> std::io::Result<()> {
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", to.ip())
}

/// Asks for the page; returns the name of the node that sent it.
fn ask(connection: &mut TcpStream, to: SocketAddr) -> std::io::Result<String> {
    request(connection, to, "/")?;
    let (head, body, length) = read_head(connection)?;
    let mut body = body;
    let mut buffer = [0; PAGE_MAX];
    while (body.len() as u64) < length {
        match connection.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => body.extend(&buffer[..count]),
        }
    }
    if !head.starts_with("HTTP/1.1 200") {
        return Err(std::io::Error::new(ErrorKind::InvalidData, head));
    }
    Ok(String::from_utf8_lossy(&body).trim().to_owned())
}

/// Asks for the large file; returns how much of it has come with the head, and its length.
fn start_download(connection: &mut TcpStream, to: SocketAddr) -> std::io::Result<(u64, u64)> {
    request(connection, to, LARGE)?;
    let (head, body, length) = read_head(connection)?;
    if !head.starts_with("HTTP/1.1 200") || length != LARGE_BYTES {
        return Err(std::io::Error::new(ErrorKind::InvalidData, head));
    }
    Ok((body.len() as u64, length))
}

/// Reads an answer's head: itself, what came of the body, the length of the body.
fn read_head(connection: &mut TcpStream) -> std::io::Result<(String, Vec<u8>, u64)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; PAGE_MAX];
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head
                .lines()
                .find_map(|l| l.strip_prefix("Content-Length: ")?.trim().parse().ok())
                .ok_or_else(|| std::io::Error::new(ErrorKind::InvalidData, head.clone()))?;
            return Ok((head, bytes.split_off(end + 4), length));
        }
        if bytes.len() > PAGE_MAX {
            return Err(std::io::Error::new(ErrorKind::InvalidData, "a head without an end"));
        }
        match connection.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => bytes.extend(&buffer[..count]),
        }
    }
}

/// Connections that were used once and are kept open, to be used again.
pub struct Parked {
    connections: Vec<(SocketAddr, TcpStream)>,
}

impl Parked {
    /// Opens `count` of them, spread over these addresses, and asks once on each.
    ///
    /// # Errors
    /// One cannot be opened or is not answered.
    pub fn open(lab: &Lab, vips: &[IpAddr], count: usize) -> Result<Parked> {
        let doing = || format!("open {count} connections");
        streams::allow_many()?;
        lab.space("client")?.inside(|| {
            let mut connections = Vec::with_capacity(count);
            for vip in vips.iter().cycle().take(count) {
                let to = SocketAddr::new(*vip, 80);
                let mut connection = connect(to).doing(doing)?;
                ask(&mut connection, to).doing(doing)?;
                connections.push((to, connection));
            }
            Ok(Parked { connections })
        })
    }

    /// Asks once more on each.
    pub fn ask_all(&mut self) -> Counts {
        let mut counts = Counts::default();
        for (to, connection) in &mut self.connections {
            match ask(connection, *to) {
                Ok(node) => {
                    counts.pages += 1;
                    *counts.by_node.entry(node).or_default() += 1;
                }
                Err(error) => counts.failed(&format!("parked connection to {}", to.ip()), &error),
            }
        }
        counts
    }
}
