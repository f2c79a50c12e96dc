//! The access log of a link: a line of JSON for each request, written by a thread of its own. When the disk is slower than the
//! clients, lines are dropped and counted; nobody waits.

use dsc_resume::ftp::Command;
use dsc_sys::clock;
use hyper::http::request::Parts;
use hyper::{StatusCode, Version, header};
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;
use tokio::time::Instant;

/// Most lines that wait for the disk.
const QUEUE_MAX: usize = 8192;
/// Longest text of a request that is written.
const TEXT_MAX: usize = 2048;
/// Between two tries to open a file that cannot be opened.
const RETRY: Duration = Duration::from_secs(1);

enum Order {
    Line(String),
    Reopen,
}

/// Where lines go. The thread ends with the value, when all lines are written.
pub struct AccessLog {
    path: PathBuf,
    orders: SyncSender<Order>,
}

impl AccessLog {
    /// Appends to the file at `path`, which is made if it is not there.
    pub fn new(path: &Path) -> AccessLog {
        let (orders, taken) = sync_channel(QUEUE_MAX);
        let own = path.to_owned();
        let thread = std::thread::Builder::new().name("access-log".to_owned());
        if let Err(e) = thread.spawn(move || write(&own, &taken)) {
            tracing::error!("no access log {}: {e}", path.display());
        }
        AccessLog { path: path.to_owned(), orders }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file has been moved away: goes on in a new one of its name.
    pub fn reopen(&self) {
        // A queue that is full of lines is opened again with the next signal.
        let _full = self.orders.try_send(Order::Reopen);
    }

    /// Writes a line; false if it is dropped.
    #[must_use]
    pub(crate) fn write(&self, entry: &Entry, end: &Ended) -> bool {
        self.orders.try_send(Order::Line(entry.line(end))).is_ok()
    }
}

fn write(path: &Path, orders: &Receiver<Order>) {
    let mut file: Option<BufWriter<File>> = None;
    let mut told = false;
    let mut wait: Option<Order> = None;
    loop {
        if file.is_none() {
            match OpenOptions::new().create(true).append(true).mode(0o640).open(path) {
                Ok(opened) => (file, told) = (Some(BufWriter::new(opened)), false),
                Err(e) if !told => {
                    tracing::error!("cannot write the access log {}: {e}", path.display());
                    told = true;
                }
                Err(_) => {}
            }
        }
        let order = match wait.take() {
            Some(order) => Ok(order),
            None => orders.recv_timeout(RETRY),
        };
        match order {
            Ok(Order::Line(line)) => {
                let written = file.as_mut().map_or(Ok(()), |f| f.write_all(line.as_bytes()));
                let next = orders.try_recv();
                let flushed = match (&next, &mut file) {
                    (Err(_), Some(file)) => file.flush(),
                    _ => Ok(()),
                };
                if written.and(flushed).is_err() {
                    file = None;
                }
                match next {
                    Ok(order) => wait = Some(order),
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            Ok(Order::Reopen) => file = None,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// A request, as it is logged when its response ends.
pub(crate) struct Entry {
    begun: Instant,
    client: SocketAddr,
    method: String,
    host: String,
    path: String,
    version: String,
}

/// How the response ended.
pub(crate) struct Ended {
    pub status: StatusCode,
    pub sent: u64,
    pub whole: bool,
    pub backend: Option<SocketAddr>,
    pub resumes: u32,
}

fn cut(text: &str) -> String {
    let end = (0..=TEXT_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text[..end.unwrap_or(0)].to_owned()
}

impl Entry {
    /// A request with this head begins.
    pub fn new(client: SocketAddr, head: &Parts, version: Version) -> Entry {
        let host = head.headers.get(header::HOST).map_or(&b""[..], |h| h.as_bytes());
        Entry {
            begun: Instant::now(),
            client,
            method: cut(head.method.as_str()),
            host: cut(&String::from_utf8_lossy(host)),
            path: cut(&head.uri.to_string()),
            version: format!("{version:?}"),
        }
    }

    /// A transfer of FTP begins.
    pub fn transfer(client: SocketAddr, command: &Command) -> Entry {
        Entry {
            begun: Instant::now(),
            client,
            method: command.word().to_owned(),
            host: String::new(),
            path: cut(&String::from_utf8_lossy(command.argument())),
            version: "FTP".to_owned(),
        }
    }

    fn line(&self, end: &Ended) -> String {
        // JSON leaves no way to write a line end, or anything that a terminal would take for a command.
        let value = json!({
            "wall_ms": clock::wall_ms(),
            "client": self.client,
            "method": self.method,
            "host": self.host,
            "path": self.path,
            "version": self.version,
            "status": end.status.as_u16(),
            "sent": end.sent,
            "whole": end.whole,
            "ms": self.begun.elapsed().as_millis() as u64,
            "backend": end.backend,
            "resumes": end.resumes,
        });
        format!("{value}\n")
    }
}
