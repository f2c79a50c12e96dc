//! A socket for whole Ethernet frames on one interface. The prober's own; nothing else in the lab sees frames.

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
