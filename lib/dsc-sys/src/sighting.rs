//! Waits for one packet that is known by what it carries: where it leaves on an interface, or where it reaches this machine's own
//! programs. The kernel looks through what passes and hands over that packet only. Needs `CAP_NET_RAW`. Used by the health daemon.

use crate::readiness;
use libc::{sock_filter, sock_fprog, sockaddr_ll};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::os::fd::AsRawFd;
use tokio::io::unix::AsyncFd;

/// Header of an IPv6 packet.
const IP6: u32 = 40;
/// Where the flags are in a TCP header, and that of a SYN.
const TCP_FLAGS: u32 = 13;
const TCP_SYN: u32 = 2;
/// As many bytes of a packet as there are.
const WHOLE: u32 = 0xFFFF;

/// By what a packet is known, whatever has been rewritten in it on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A TCP SYN with this sequence number.
    Syn(u32),
    /// A UDP datagram or an ICMP echo whose data begin with these two words.
    Data([u32; 2]),
}

/// Who speaks it: the protocol's number.
pub type Number = u8;

/// A socket to which the packet comes.
pub struct Sighting(AsyncFd<Socket>);

impl Sighting {
    /// Of a packet that leaves by the interface with index `nic`: after every filter, before the cable.
    ///
    /// # Errors
    /// The system's.
    pub fn leaving(nic: u32, v6: bool, number: Number, mark: Mark) -> io::Result<Sighting> {
        // Protocol 0: it sees nothing before it is bound, and that comes after the filter.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
        attach(&socket, &filter(if v6 { Begins::Ip6 } else { Begins::Ip4 }, number, mark))?;
        // SAFETY: an all-zero `sockaddr_ll` is a valid value of a plain C structure.
        let mut place: sockaddr_ll = unsafe { std::mem::zeroed() };
        place.sll_family = libc::AF_PACKET as u16;
        // Only a socket for all protocols sees what leaves.
        place.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        place.sll_ifindex = nic as i32;
        // SAFETY: `place` lives during the call and its size is given.
        let bound = unsafe {
            libc::bind(
                socket.as_raw_fd(),
                std::ptr::from_ref(&place).cast(),
                size_of::<sockaddr_ll>() as u32,
            )
        };
        if bound < 0 {
            return Err(io::Error::last_os_error());
        }
        Sighting::watch(socket)
    }

    /// Of a packet for this machine itself, after every filter.
    ///
    /// # Errors
    /// The system's.
    pub fn arriving(v6: bool, number: Number, mark: Mark) -> io::Result<Sighting> {
        let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(number))))?;
        // A raw socket of IPv6 gets no header.
        attach(&socket, &filter(if v6 { Begins::Payload } else { Begins::Ip4 }, number, mark))?;
        socket.set_nonblocking(true)?;
        // What came before the filter was there.
        let mut bytes = [std::mem::MaybeUninit::uninit(); 1];
        while socket.recv(&mut bytes).is_ok() {}
        Sighting::watch(socket)
    }

    fn watch(socket: Socket) -> io::Result<Sighting> {
        socket.set_nonblocking(true)?;
        readiness::watch(socket).map(Sighting)
    }

    /// Waits until it has come.
    ///
    /// # Errors
    /// The system's: the interface has gone down.
    pub async fn seen(&self) -> io::Result<()> {
        let mut bytes = [std::mem::MaybeUninit::uninit(); 1];
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|socket| socket.get_ref().recv(&mut bytes)) {
                Ok(result) => return result.map(drop),
                Err(_would_block) => {}
            }
        }
    }
}

/// What a packet begins with, as the filter sees it.
#[derive(Clone, Copy)]
enum Begins {
    Ip4,
    Ip6,
    Payload,
}

/// Instructions, and what the value must be after them.
type Step = (Vec<(u16, u32)>, Option<u32>);

/// The filter: this protocol and this mark, or nothing (linux/filter.h).
fn filter(begins: Begins, number: Number, mark: Mark) -> Vec<sock_filter> {
    const BYTE: u16 = 0x30;
    const BYTE_X: u16 = 0x50;
    const WORD_X: u16 = 0x40;
    const AND: u16 = 0x54;
    const IS: u16 = 0x15;
    const HEADER_X: u16 = 0xB1;
    const CONSTANT_X: u16 = 0x01;
    const RETURN: u16 = 0x06;
    // X is where the payload begins.
    let mut steps: Vec<Step> = Vec::new();
    match begins {
        Begins::Ip4 => {
            steps.push((vec![(BYTE, 0), (AND, 0xF0)], Some(0x40)));
            steps.push((vec![(BYTE, 9)], Some(u32::from(number))));
            steps.push((vec![(HEADER_X, 0)], None));
        }
        Begins::Ip6 => {
            steps.push((vec![(BYTE, 0), (AND, 0xF0)], Some(0x60)));
            steps.push((vec![(BYTE, 6)], Some(u32::from(number))));
            steps.push((vec![(CONSTANT_X, IP6)], None));
        }
        Begins::Payload => steps.push((vec![(CONSTANT_X, 0)], None)),
    }
    match mark {
        Mark::Syn(sequence) => {
            steps.push((vec![(WORD_X, 4)], Some(sequence)));
            steps.push((vec![(BYTE_X, TCP_FLAGS)], Some(TCP_SYN)));
        }
        Mark::Data([one, two]) => {
            steps.push((vec![(WORD_X, 8)], Some(one)));
            steps.push((vec![(WORD_X, 12)], Some(two)));
        }
    }
    let step = |(code, k): (u16, u32)| sock_filter { code, jt: 0, jf: 0, k };
    let mut filter = Vec::new();
    for (loads, wanted) in steps {
        filter.extend(loads.into_iter().map(step));
        // If it is not, the next one, which refuses.
        if let Some(k) = wanted {
            filter.push(sock_filter { code: IS, jt: 1, jf: 0, k });
            filter.push(step((RETURN, 0)));
        }
    }
    filter.push(step((RETURN, WHOLE)));
    filter
}

fn attach(socket: &Socket, filter: &[sock_filter]) -> io::Result<()> {
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the filter, which lives during the call, and does not write to it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            std::ptr::from_ref(&program).cast(),
            size_of::<sock_fprog>() as u32,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::time::Duration;

    /// What is seen of a datagram with these data that this machine sends itself.
    fn seen(to: &str, data: &[u8], mark: Mark, leaving: bool) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let v6 = to.contains(':');
            let (udp, lo) = (17, 1);
            let sighting = match leaving {
                true => Sighting::leaving(lo, v6, udp, mark),
                false => Sighting::arriving(v6, udp, mark),
            };
            let sighting = sighting.unwrap();
            let receiver = UdpSocket::bind((to, 0)).unwrap();
            let sender = UdpSocket::bind((to, 0)).unwrap();
            sender.send_to(data, receiver.local_addr().unwrap()).unwrap();
            receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            receiver.recv(&mut [0; 64]).unwrap();
            // It is here: what was to be seen of it has been seen.
            tokio::time::timeout(Duration::from_millis(100), sighting.seen()).await.is_ok()
        })
    }

    #[test]
    fn only_the_packet_with_the_mark_is_seen() {
        let mark = Mark::Data([0x0102_0304, 0x0506_0708]);
        for to in ["127.0.0.1", "::1"] {
            for leaving in [false, true] {
                assert!(seen(to, &[1, 2, 3, 4, 5, 6, 7, 8], mark, leaving), "{to} {leaving}");
                assert!(!seen(to, &[1, 2, 3, 4, 5, 6, 7, 9], mark, leaving), "{to} {leaving}");
                assert!(!seen(to, &[1, 2, 3], mark, leaving), "{to} {leaving}");
                assert!(!seen(to, &[1, 2, 3, 4, 5, 6, 7, 8], Mark::Syn(9), leaving));
            }
        }
    }
}
