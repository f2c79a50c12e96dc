//! TCP connections that are opened and read without waiting, by the thousand: `downloads.rs` and `openings.rs` drive them
//! from one thread each. And one that waits. It knows sockets and readiness, and nothing of what is asked on them.

use crate::error::{Doing, Result};
use crate::services::Ends;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Most connections that are reported ready at once; the next look finds the rest.
const READY_MAX: usize = 1024;

/// Which connections are ready, each known by its owner's number.
pub struct Ready {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl Ready {
    /// Watches none yet.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn new() -> Result<Ready> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC);
        let epoll = epoll.doing(|| "watch connections".into())?;
        Ok(Ready { epoll, events: vec![EpollEvent::empty(); READY_MAX] })
    }

    /// Watches for the end of an attempt to connect. A connection that is dropped is watched no more.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn until_connected(&self, stream: &TcpStream, number: usize) -> io::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLOUT, number as u64);
        Ok(self.epoll.add(stream, event)?)
    }

    /// Watches for bytes from now on.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn for_bytes(&self, stream: &TcpStream, number: usize) -> io::Result<()> {
        let mut event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
        Ok(self.epoll.modify(stream, &mut event)?)
    }

    /// Those that are ready now, without waiting; `full` says that there may be more.
    pub fn now(&mut self) -> (Vec<usize>, bool) {
        let count = self.epoll.wait(&mut self.events, EpollTimeout::ZERO).unwrap_or(0);
        let numbers = self.events[..count].iter().map(|e| e.data() as usize).collect();
        (numbers, count == READY_MAX)
    }
}

/// Begins to connect.
///
/// # Errors
/// No socket is left, or the address cannot be reached at all.
pub fn open(ends: Ends) -> io::Result<TcpStream> {
    let family = if ends.to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Stream, flags, None)?;
    if let Some(from) = ends.from {
        // The port is chosen when it is known where to, so that one port serves for several places.
        setsockopt(&fd, sockopt::IpBindAddressNoPort, &true)?;
        bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
    }
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(ends.to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from(fd)),
        Err(error) => Err(error.into()),
    }
}

/// Connects, and lets the connection wait, no longer than `patience` for each thing.
///
/// # Errors
/// It cannot connect in time.
pub fn connected(ends: Ends, patience: Duration) -> io::Result<TcpStream> {
    let stream = open(ends)?;
    let mut ready = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
    let limit = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    if poll(&mut ready, limit)? == 0 {
        return Err(ErrorKind::TimedOut.into());
    }
    stream.take_error()?.map_or(Ok(()), Err)?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(patience))?;
    Ok(stream)
}

/// Connects, and asks for a page on this connection alone.
///
/// # Errors
/// As [`connected`].
pub fn ask(ends: Ends, path: &str, patience: Duration) -> io::Result<TcpStream> {
    let mut stream = connected(ends, patience)?;
    let host = ends.to.ip();
    let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes())?;
    Ok(stream)
}

/// Did the other side reset the connection?
pub fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// Segments that this side had to send again; on a connection just made, only SYNs can be among them.
pub fn retransmits(stream: &TcpStream) -> u32 {
    // SAFETY: all zeros is a value of this structure of integers.
    let mut state: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into a structure of that size.
    let refused = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut state).cast(),
            &mut length,
        )
    };
    if refused == 0 { state.tcpi_total_retrans } else { 0 }
}

/// Lets this process open as many files as it is allowed to.
///
/// # Errors
/// The kernel refuses.
pub fn allow_many() -> Result<()> {
    let doing = || "open many connections".to_owned();
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).doing(doing)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).doing(doing)
}
