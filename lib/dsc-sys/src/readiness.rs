//! Descriptors that the runtime watches. It reports edges: a readiness stays until a try finds nothing, and what finds
//! nothing without a system call costs nothing.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// An owner of one descriptor.
///
/// # Safety
/// `as_raw_fd` always returns the same descriptor, which stays open for as long as the owner lives.
pub(crate) unsafe trait Steady: AsRawFd {}

// SAFETY: it owns its descriptor and closes it when dropped.
unsafe impl Steady for OwnedFd {}
// SAFETY: as above.
unsafe impl Steady for socket2::Socket {}

/// Watches `owner`'s descriptor for reading. Must be called inside a runtime.
pub(crate) fn watch<T: Steady>(owner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: `Steady` promises one open descriptor for as long as the owner lives, and the owner lives inside.
    Ok(unsafe { AsyncFd::register_with_interest(owner, Interest::READABLE) }?)
}

/// Takes a readiness back without a system call; the next edge sets it again.
pub(crate) fn forget<T: AsRawFd>(fd: &AsyncFd<T>) {
    let nothing: io::Result<()> =
        fd.try_io(Interest::READABLE, |_| Err(io::ErrorKind::WouldBlock.into()));
    debug_assert!(nothing.is_err());
}

/// Ready at the next edge, and not again until the one after.
pub(crate) fn poll_edge<T: AsRawFd>(fd: &AsyncFd<T>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    fd.poll_read_ready(cx).map_ok(|mut guard| guard.clear_ready())
}

/// A foreign descriptor, such as a kernel ring buffer's, that a daemon waits for.
pub struct Edge(AsyncFd<OwnedFd>);

impl Edge {
    /// Watches `fd`. Must be called inside a runtime.
    ///
    /// # Errors
    /// The system's, for a descriptor that cannot be watched.
    pub fn new(fd: OwnedFd) -> io::Result<Edge> {
        Ok(Edge(watch(fd)?))
    }

    /// Waits for the next edge. Read until nothing is left before waiting again.
    ///
    /// # Errors
    /// The runtime's, when it is shutting down.
    pub async fn next(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| poll_edge(&self.0, cx)).await
    }
}

impl AsRawFd for Edge {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
