//! A socket for whole Ethernet frames on one interface. The prober's own; nothing else in the lab sees frames.

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Which frames a socket receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// None: it only sends.
    Nothing,
    /// ARP.
    Arp,
    /// IPv6.
    Ip6,
}

/// The socket.
pub struct Frames(OwnedFd);

impl Frames {
    /// Opens one in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Not permitted, or no such interface.
    pub fn open(interface: &str, receive: Receive) -> nix::Result<Frames> {
        let protocol = match receive {
            Receive::Nothing => 0,
            Receive::Arp => libc::ETH_P_ARP as u16,
            Receive::Ip6 => libc::ETH_P_IPV6 as u16,
        }
        .to_be();
        let index = nix::net::if_::if_nametoindex(interface)?;
        // SAFETY: a plain system call; the result is checked before it is owned.
        let fd = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                libc::c_int::from(protocol),
            )
        };
        nix::errno::Errno::result(fd)?;
        // SAFETY: the descriptor was just made and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: protocol,
            sll_ifindex: index as i32,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: the address is initialised, outlives the call, and its size is given.
        let result = unsafe {
            libc::bind(
                fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        nix::errno::Errno::result(result)?;
        Ok(Frames(fd))
    }

    /// Sends frames; how many the kernel took.
    ///
    /// # Errors
    /// Those of the kernel, but for no room, which is none taken.
    pub fn send_all(&self, frames: &[Vec<u8>]) -> nix::Result<usize> {
        let part = |frame: &Vec<u8>| libc::iovec {
            iov_base: frame.as_ptr().cast_mut().cast(),
            iov_len: frame.len(),
        };
        let mut parts: Vec<libc::iovec> = frames.iter().map(part).collect();
        let header = |part: &mut libc::iovec| {
            // SAFETY: `mmsghdr` is a plain C structure for which all zeroes are valid.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header
        };
        let mut headers: Vec<libc::mmsghdr> = parts.iter_mut().map(header).collect();
        let (fd, count) = (self.0.as_raw_fd(), headers.len() as libc::c_uint);
        // SAFETY: every header points at a part, and every part at a frame, which outlive the call and are only read.
        let sent = unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
        match Errno::result(sent) {
            Ok(sent) => Ok(sent as usize),
            Err(Errno::EAGAIN | Errno::ENOBUFS) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Sends a frame; false if the kernel had no room for it.
    pub fn send(&self, frame: &[u8]) -> bool {
        send(self.0.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT).is_ok()
    }
}

impl AsFd for Frames {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
