//! Sockets between the processes of one node: ZeroMQ over `ipc://` below the run directory, one JSON text in one frame.
//! A server answers many askers; who may ask is decided by the socket file's group and mode, so that an asker without
//! the right never gets as far as the daemon.

mod client;
mod server;
mod views;

pub use client::{Client, Teller, ask_blocking};
pub use server::{Access, Asker, OpenError, Server};
pub use views::Views;

use crate::readiness::{self, Steady};
use dsc_wire::local::DOCUMENT_MAX;
use nix::fcntl::Flock;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Waker, Poll};
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// Most bytes of one request or of facts. The longest are facts with conflicts.
pub const REQUEST_MAX: usize = 64 * 1024;
/// Most bytes of one request at a socket for changes: a configuration as a JSON string, most of whose characters stand for
/// themselves.
pub const CHANGE_MAX: usize = 2 * DOCUMENT_MAX;
/// Most bytes of one answer: a view of 64 nodes, 1024 VIPs and 1024 backends is about 600 KiB, 10000 IPv6 flows are 2.8 MB.
pub const REPLY_MAX: usize = 4 * 1024 * 1024;
/// Most messages waiting on one connection in each direction.
const QUEUE_MAX: i32 = 64;
/// The kernel's limit for a socket's path, without the terminating zero.
const PATH_MAX: usize = 107;
/// The operators' groups; root can do everything anyway.
pub const GROUP_READ: &str = "dsc";
/// See [`GROUP_READ`].
pub const GROUP_CHANGE: &str = "dsc-admin";

/// ZeroMQ's threads for one process. Clones share them.
#[derive(Clone, Default)]
pub struct Context(Arc<Shared>);

/// The locks come last: ZeroMQ removes a closed socket's file in a thread of its own, which has ended when its context
/// has, and until then no other daemon may serve the name.
#[derive(Default)]
struct Shared {
    zmq: zmq::Context,
    locks: Mutex<Vec<Flock<File>>>,
}

impl Context {
    /// Starts no thread yet: the first socket does.
    pub fn new() -> Context {
        Context::default()
    }

    fn socket(&self, kind: zmq::SocketType) -> io::Result<zmq::Socket> {
        self.0.zmq.socket(kind).map_err(system)
    }

    fn keep(&self, lock: Flock<File>) {
        self.0.locks.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
    }
}

/// Why an answer was not had.
#[derive(Debug)]
pub enum AskError {
    /// Nobody listens at the path.
    NoDaemon {
        /// The socket.
        path: PathBuf,
    },
    /// The socket's mode keeps this user out.
    Denied {
        /// The socket.
        path: PathBuf,
    },
    /// No answer in time; what was asked for may still happen.
    TimedOut {
        /// The socket.
        path: PathBuf,
        /// How long it waited.
        after: Duration,
    },
    /// Something answered that is not a daemon of a fitting build.
    BadAnswer {
        /// The socket.
        path: PathBuf,
        /// What was wrong with it.
        problem: String,
    },
    /// The system or ZeroMQ failed.
    System {
        /// The socket.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::NoDaemon { path } => {
                write!(f, "no daemon at {}: is {} running?", path.display(), daemon_at(path))
            }
            AskError::Denied { path } => write!(
                f,
                "permission denied: {}: needs root or group {}",
                path.display(),
                group_at(path)
            ),
            AskError::TimedOut { path, after } => {
                write!(f, "no answer from {} within {} ms", path.display(), after.as_millis())
            }
            AskError::BadAnswer { path, problem } => {
                write!(
                    f,
                    "cannot understand the answer from {}: {problem}: do the builds fit?",
                    path.display()
                )
            }
            AskError::System { path, source } => {
                write!(f, "cannot ask {}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for AskError {}

fn daemon_at(path: &Path) -> &'static str {
    match path.file_name() {
        Some(name) if name == dsc_wire::local::socket::FWD => "dsc-fwd",
        Some(name) if name == dsc_wire::local::socket::LINK => "dsc-link",
        _ => "dsc-ringd",
    }
}

fn group_at(path: &Path) -> &'static str {
    match path.file_name() {
        Some(name) if name == dsc_wire::local::socket::CONTROL => GROUP_CHANGE,
        _ => GROUP_READ,
    }
}

fn endpoint(path: &Path) -> io::Result<String> {
    let text = path.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    if text.len() > PATH_MAX {
        let problem = format!("the path is longer than {PATH_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    Ok(format!("ipc://{text}"))
}

fn system(error: zmq::Error) -> io::Error {
    io::Error::from_raw_os_error(error.to_raw())
}

/// A ZeroMQ socket with the descriptor that becomes readable when ZeroMQ has news. It is edge-triggered: try first, wait
/// only after the socket said that there is nothing.
struct Watched {
    // Before the socket, so that the runtime lets go of the descriptor before ZeroMQ closes it.
    fd: AsyncFd<Descriptor>,
    socket: zmq::Socket,
}

struct Descriptor(RawFd);

// SAFETY: ZeroMQ keeps the descriptor until its socket is closed, which `Watched` drops later.
unsafe impl Steady for Descriptor {}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl Watched {
    fn new(socket: zmq::Socket) -> io::Result<Watched> {
        let fd = socket.get_fd().map_err(system)?;
        Ok(Watched { fd: readiness::watch(Descriptor(fd))?, socket })
    }

    fn poll_news(&self, cx: &mut Waker<'_>) -> Poll<io::Result<()>> {
        readiness::poll_edge(&self.fd, cx)
    }

    /// The next message's frames without waiting.
    fn take(&self) -> io::Result<Option<Vec<Vec<u8>>>> {
        loop {
            match self.socket.recv_multipart(zmq::DONTWAIT) {
                Ok(frames) => return Ok(Some(frames)),
                Err(zmq::Error::EAGAIN) => return Ok(None),
                Err(zmq::Error::EINTR) => {}
                Err(e) => return Err(system(e)),
            }
        }
    }
}

/// Bounds that hold for every socket.
fn bound(socket: &zmq::Socket, message_max: usize) -> zmq::Result<()> {
    socket.set_maxmsgsize(message_max as i64)?;
    socket.set_sndhwm(QUEUE_MAX)?;
    socket.set_rcvhwm(QUEUE_MAX)?;
    // A closing daemon does not wait for a reader that is gone.
    socket.set_linger(0)
}

#[cfg(test)]
mod tests;
