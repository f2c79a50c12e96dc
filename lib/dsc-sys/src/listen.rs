//! Listening sockets of addresses that this machine need not have yet, and how one process hands them to another that takes its
//! place.
//!
//! ```text
//!   new ── connect ──▶ old        a Unix socket that only the same user may use
//!   new ◀── sockets ── old        in pieces, each with a byte for every socket; then a byte that says: all
//!   new ──── heard ──▶ old        from here on the new one accepts, and the old one no more
//!   new ◀──── end ──── old        it has let go of its locks
//! ```

use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, getsockopt, recvmsg, sendmsg,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Connections that wait to be accepted; the kernel's own limit may be lower.
const BACKLOG: i32 = 4096;
/// Sockets in one message; the kernel takes up to 253.
const PIECE: usize = 128;
/// Most sockets that are taken over: every end of every service.
const SOCKETS_MAX: usize = 65_536;
/// Longest wait for the other process.
const PATIENCE: Duration = Duration::from_secs(10);
/// More sockets follow, no more do, and: they are heard.
const MORE: u8 = 1;
const ALL: u8 = 2;
const HEARD: u8 = 3;

/// Listens at `address`, whether or not this machine has it; the socket does not block.
///
/// # Errors
/// The system's.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Of both families: the kernel keeps one flag.
    socket.set_freebind_v4(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Where a process waits for the one that takes its place. Its file goes with the value.
pub struct Heirs {
    socket: UnixListener,
    path: PathBuf,
}

impl Heirs {
    /// Waits at `path`; a file there that nobody listens at is replaced.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Heirs> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let socket = UnixListener::bind(path)?;
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))?;
        socket.set_nonblocking(true)?;
        Ok(Heirs { socket, path: path.to_owned() })
    }

    /// The next one that asks, if one does.
    ///
    /// # Errors
    /// The system's.
    pub fn take(&self) -> io::Result<Option<Heir>> {
        match self.socket.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Some(Heir(stream)))
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl Drop for Heirs {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The process that takes another's place, as that one sees it. The value's end tells it that the locks are free.
pub struct Heir(UnixStream);

impl Heir {
    /// Its number.
    ///
    /// # Errors
    /// None that an open socket can cause.
    pub fn pid(&self) -> io::Result<u32> {
        Ok(getsockopt(&self.0, PeerCredentials)?.pid() as u32)
    }

    /// Gives it the sockets, and waits until it accepts from them. It may take seconds, and blocks.
    ///
    /// # Errors
    /// It did not take them: nothing has changed.
    pub fn give(&mut self, sockets: &[RawFd]) -> io::Result<()> {
        for piece in sockets.chunks(PIECE) {
            let bytes = vec![MORE; piece.len()];
            let fds = [ControlMessage::ScmRights(piece)];
            let iov = [IoSlice::new(&bytes)];
            let sent = sendmsg::<()>(self.0.as_raw_fd(), &iov, &fds, MsgFlags::MSG_NOSIGNAL, None)?;
            self.0.write_all(&bytes[sent..])?;
        }
        self.0.write_all(&[ALL])?;
        let mut answer = [0];
        self.0.read_exact(&mut answer)?;
        match answer {
            [HEARD] => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The process whose place is taken.
pub struct Elder(UnixStream);

/// Asks the process at `path` for its sockets. None if there is none.
///
/// # Errors
/// The system's, or that what came is nothing that [`Heir::give`] sends.
pub fn inherit(path: &Path) -> io::Result<Option<(Elder, Vec<TcpListener>)>> {
    let mut stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(e)
            if [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&e.kind()) =>
        {
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut found = Vec::new();
    while found.len() <= SOCKETS_MAX {
        if receive(&mut stream, &mut found)? {
            return Ok(Some((Elder(stream), found)));
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// Takes one piece; true if it was the last.
fn receive(stream: &mut UnixStream, found: &mut Vec<TcpListener>) -> io::Result<bool> {
    let mut bytes = [0; PIECE];
    let mut room = nix::cmsg_space!([RawFd; PIECE]);
    let mut iov = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let got = recvmsg::<()>(stream.as_raw_fd(), &mut iov, Some(&mut room), flags)?;
    let count = got.bytes;
    for message in got.cmsgs()? {
        let ControlMessageOwned::ScmRights(fds) = message else { continue };
        for fd in fds {
            // SAFETY: the kernel has just made it for this process, and nobody else knows of it.
            found.push(TcpListener::from(unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    match &bytes[..count] {
        [] => Err(io::ErrorKind::UnexpectedEof.into()),
        // Bytes of two pieces are never read at once: the kernel stops between their sockets.
        [.., ALL] => Ok(true),
        more if more.iter().all(|b| *b == MORE) => Ok(false),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

impl Elder {
    /// From now on this process accepts. Waits until the other has let go of its locks.
    ///
    /// # Errors
    /// The other is gone, or does not end its part.
    pub fn heard(mut self) -> io::Result<()> {
        self.0.write_all(&[HEARD])?;
        match self.0.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn path(test: &str) -> PathBuf {
        std::env::temp_dir().join(format!("dsc-listen-{test}-{}", std::process::id()))
    }

    #[test]
    fn an_address_that_is_not_here_is_listened_at() {
        let address: SocketAddr = "192.0.2.7:0".parse().unwrap();
        let socket = listen(address).unwrap();
        assert_eq!(socket.local_addr().unwrap().ip(), address.ip());
        listen("[2001:db8::7]:0".parse().unwrap()).unwrap();
    }

    #[test]
    fn sockets_are_handed_on_and_what_waits_in_them_too() {
        let path = path("hand");
        assert!(inherit(&path).unwrap().is_none());
        let heirs = Heirs::open(&path).unwrap();
        assert!(heirs.take().unwrap().is_none());
        // More than one message has.
        let own: Vec<TcpListener> =
            (0..PIECE + 3).map(|_| listen("127.0.0.1:0".parse().unwrap()).unwrap()).collect();
        let addresses: Vec<SocketAddr> = own.iter().map(|s| s.local_addr().unwrap()).collect();
        let _waits = TcpStream::connect(addresses[PIECE]).unwrap();
        let there = path.clone();
        let heir = std::thread::spawn(move || {
            let (elder, sockets) = inherit(&there).unwrap().unwrap();
            let found: Vec<SocketAddr> = sockets.iter().map(|s| s.local_addr().unwrap()).collect();
            let accepted = sockets[PIECE].accept().is_ok();
            elder.heard().unwrap();
            (found, accepted)
        });
        let mut asked = None;
        while asked.is_none() {
            asked = heirs.take().unwrap();
        }
        let mut asked = asked.unwrap();
        let fds: Vec<RawFd> = own.iter().map(AsRawFd::as_raw_fd).collect();
        assert_eq!(asked.pid().unwrap(), std::process::id());
        asked.give(&fds).unwrap();
        drop((asked, own));
        assert_eq!(heir.join().unwrap(), (addresses, true));
        drop(heirs);
        assert!(!path.exists());
    }

    #[test]
    fn one_who_leaves_changes_nothing() {
        let path = path("leave");
        let heirs = Heirs::open(&path).unwrap();
        let stream = UnixStream::connect(&path).unwrap();
        let mut asked = heirs.take().unwrap().unwrap();
        drop(stream);
        let own = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(asked.give(&[own.as_raw_fd()]).is_err());
        TcpStream::connect(own.local_addr().unwrap()).unwrap();
    }
}
