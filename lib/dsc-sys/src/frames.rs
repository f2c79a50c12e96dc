//! Raw frames out of one interface. Used by the data path daemon to announce VIPs; it receives nothing.

use std::io;
use std::os::fd::AsRawFd;

/// Sends frames.
pub struct FrameSender {
    socket: socket2::Socket,
}

impl FrameSender {
    /// For the interface with index `nic`.
    ///
    /// # Errors
    /// The system's: `CAP_NET_RAW` is missing, or there is no such interface.
    pub fn open(nic: u32) -> io::Result<FrameSender> {
        // Protocol 0: a socket that sends only, so no frame is ever copied to it.
        let socket = socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, None)?;
        socket.set_nonblocking(true)?;
        // SAFETY: an all-zero `sockaddr_ll` is a valid value of a plain C structure.
        let mut place: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        place.sll_family = libc::AF_PACKET as u16;
        place.sll_ifindex = nic as i32;
        // SAFETY: `place` lives during the call and its size is given.
        let result = unsafe {
            libc::bind(
                socket.as_raw_fd(),
                std::ptr::from_ref(&place).cast(),
                size_of::<libc::sockaddr_ll>() as u32,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(FrameSender { socket }) }
    }

    /// Sends one frame, Ethernet header included; never waits.
    ///
    /// # Errors
    /// The system's: the interface is down, or its queue is full.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_does_not_exist_is_refused() {
        assert!(FrameSender::open(u32::MAX >> 1).is_err());
    }
}
