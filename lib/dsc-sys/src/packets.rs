//! Whole IP packets by the kernel's routes, header and all. Used by the data path daemon for replies that had to wait; it
//! receives nothing.

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Sends packets of both families.
pub struct PacketSender {
    four: Socket,
    /// None on a machine without IPv6.
    six: Option<Socket>,
}

impl PacketSender {
    /// Opens its sockets.
    ///
    /// # Errors
    /// The system's: `CAP_NET_RAW` is missing.
    pub fn open() -> io::Result<PacketSender> {
        // Sockets of this protocol bring their own header and never receive (raw(7)).
        let raw = Protocol::from(libc::IPPROTO_RAW);
        let open = |domain| {
            let socket = Socket::new(domain, Type::RAW, Some(raw))?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        Ok(PacketSender { four: open(Domain::IPV4)?, six: open(Domain::IPV6).ok() })
    }

    /// Sends `packet`, whose header says `to`; never waits.
    ///
    /// # Errors
    /// The system's: no route, or a full queue.
    pub fn send(&self, packet: &[u8], to: IpAddr) -> io::Result<()> {
        let socket = match to {
            IpAddr::V4(_) => &self.four,
            IpAddr::V6(_) => self.six.as_ref().ok_or(io::ErrorKind::Unsupported)?,
        };
        socket.send_to(packet, &SockAddr::from(SocketAddr::new(to, 0))).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::time::Duration;

    #[test]
    fn a_packet_arrives_with_the_header_it_was_given() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let port = receiver.local_addr().unwrap().port();
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 127, 9, 9, 9, 127, 0, 0, 1];
        packet.extend([0x10, 0x92]);
        packet.extend(port.to_be_bytes());
        packet.extend([0, 12, 0, 0]);
        packet.extend(b"late");
        PacketSender::open().unwrap().send(&packet, "127.0.0.1".parse().unwrap()).unwrap();
        let mut bytes = [0; 16];
        let (count, from) = receiver.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..count], from), (&b"late"[..], "127.9.9.9:4242".parse().unwrap()));
    }
}
