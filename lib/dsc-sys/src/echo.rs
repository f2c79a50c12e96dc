//! One question to a machine, one answer: ICMP and ICMPv6 echo (RFC 792, RFC 4443), ARP (RFC 826) and neighbour discovery
//! (RFC 4861). Needs `CAP_NET_RAW`. Used by the health daemon; who asks sets the time limit.

use crate::{random, readiness};
use dsc_wire::local::Mac;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use tokio::io::unix::AsyncFd;

const ECHO: [u8; 2] = [8, 128];
const ECHO_REPLY: [u8; 2] = [0, 129];
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const ARP: u16 = 0x0806;
const REPLY: u16 = 2;
/// Bytes of an IPv4 header's first part that tell its length.
const IPV4_HEADER: usize = 20;

/// Waits until `to` has answered an echo.
///
/// # Errors
/// The system's.
pub async fn echo(to: IpAddr) -> io::Result<()> {
    let v6 = usize::from(to.is_ipv6());
    let mut nonce = [0; 16];
    random::fill(&mut nonce)?;
    let mut question = [&[ECHO[v6], 0, 0, 0][..], &nonce].concat();
    if v6 == 0 {
        let sum = checksum(&question);
        question[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    let socket = raw(to)?;
    socket.get_ref().send_to(&question, &SockAddr::from(SocketAddr::new(to, 0)))?;
    hear(&socket, |packet, from| {
        // A raw socket of IPv4 gets the header, too.
        let body = match to {
            IpAddr::V4(_) => {
                let length = usize::from(*packet.first()? & 15) * 4;
                packet.get(length.max(IPV4_HEADER)..)?
            }
            IpAddr::V6(_) => packet,
        };
        let ours = from == Some(to) && body.first() == Some(&ECHO_REPLY[v6]);
        (ours && body.get(4..20) == Some(&nonce[..])).then_some(())
    })
    .await
}

/// Waits until the neighbour `to` has said where it is: its MAC address. `mac`, `from` and `nic` are this node's on that subnet;
/// with `from` unspecified it claims nothing, and is how one asks for an address of one's own (RFC 5227 2.1.1).
///
/// # Errors
/// The system's; two families.
pub async fn neighbour(nic: u32, mac: Mac, from: IpAddr, to: IpAddr) -> io::Result<Mac> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => arp(nic, mac, from, to).await,
        (_, IpAddr::V6(to)) => solicit(nic, mac, to).await,
        (IpAddr::V6(_), IpAddr::V4(to)) => arp(nic, mac, Ipv4Addr::UNSPECIFIED, to).await,
    }
}

async fn arp(nic: u32, mac: Mac, from: Ipv4Addr, to: Ipv4Addr) -> io::Result<Mac> {
    // Bound to ARP of one interface: no other frame is ever copied to it.
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(0)))?;
    socket.set_nonblocking(true)?;
    let mut place = link(nic, [0xFF; 6]);
    // SAFETY: `place` lives during the call and its size is given.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            std::ptr::from_ref(&place).cast(),
            size_of::<libc::sockaddr_ll>() as u32,
        )
    };
    if bound < 0 {
        return Err(io::Error::last_os_error());
    }
    let socket = readiness::watch(socket)?;
    let mut question = vec![0, 1, 8, 0, 6, 4, 0, 1];
    question.extend(mac);
    question.extend(from.octets());
    question.extend([0; 6]);
    question.extend(to.octets());
    place.sll_halen = 6;
    // SAFETY: buffer and address live during the call, and their sizes are given.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            question.as_ptr().cast(),
            question.len(),
            0,
            std::ptr::from_ref(&place).cast(),
            size_of::<libc::sockaddr_ll>() as u32,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    hear(&socket, |packet, _| {
        let reply = packet.get(6..8)? == REPLY.to_be_bytes() && packet.get(14..18)? == to.octets();
        let mac: Mac = packet.get(8..14)?.try_into().ok()?;
        reply.then_some(mac)
    })
    .await
}

fn link(nic: u32, mac: Mac) -> libc::sockaddr_ll {
    // SAFETY: an all-zero `sockaddr_ll` is a valid value of a plain C structure.
    let mut place: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    place.sll_family = libc::AF_PACKET as u16;
    place.sll_protocol = ARP.to_be();
    place.sll_ifindex = nic as i32;
    place.sll_addr[..6].copy_from_slice(&mac);
    place
}

async fn solicit(nic: u32, mac: Mac, to: Ipv6Addr) -> io::Result<Mac> {
    let socket = raw(IpAddr::V6(to))?;
    socket.get_ref().set_multicast_if_v6(nic)?;
    socket.get_ref().set_multicast_hops_v6(255)?;
    socket.get_ref().bind_device_by_index_v6(std::num::NonZeroU32::new(nic))?;
    let mut question = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    question.extend(to.octets());
    question.extend([1, 1]);
    question.extend(mac);
    let [.., x, y, z] = to.octets();
    let group = Ipv6Addr::from([0xFF, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xFF, x, y, z]);
    let group = std::net::SocketAddrV6::new(group, 0, 0, nic);
    socket.get_ref().send_to(&question, &SockAddr::from(group))?;
    hear(&socket, |packet, _| {
        let ours = *packet.first()? == ADVERTISEMENT && packet.get(8..24)? == to.octets();
        // Its link-layer address is an option, which an answer to a multicast has.
        let mac: Mac = packet.get(26..32)?.try_into().ok()?;
        (ours && packet.get(24..26)? == [2, 1]).then_some(mac)
    })
    .await
}

fn raw(to: IpAddr) -> io::Result<AsyncFd<Socket>> {
    let (domain, protocol) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    readiness::watch(socket)
}

/// Reads until `judge` says something of a packet and its sender.
async fn hear<T>(
    socket: &AsyncFd<Socket>,
    judge: impl Fn(&[u8], Option<IpAddr>) -> Option<T>,
) -> io::Result<T> {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 2048];
    loop {
        let mut ready = socket.readable().await?;
        match ready.try_io(|s| s.get_ref().recv_from(&mut buffer)) {
            Err(_would_block) => {}
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => return Err(error),
            Ok(Ok((length, from))) => {
                // SAFETY: the kernel has written so many bytes.
                let packet = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast(), length) };
                if let Some(heard) = judge(packet, from.as_socket().map(|s| s.ip())) {
                    return Ok(heard);
                }
            }
        }
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], *w.get(1).unwrap_or(&0)])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    !((folded & 0xFFFF) as u16 + (folded >> 16) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn within<T>(work: impl Future<Output = io::Result<T>>) -> Option<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let limit = Duration::from_millis(500);
        let end = runtime.block_on(async { tokio::time::timeout(limit, work).await });
        end.ok().map(Result::unwrap)
    }

    #[test]
    fn this_machine_answers_itself() {
        assert_eq!(within(echo("127.0.0.1".parse().unwrap())), Some(()));
        assert_eq!(within(echo("::1".parse().unwrap())), Some(()));
    }

    #[test]
    fn the_checksum_is_the_one_of_the_rfc() {
        assert_eq!(checksum(&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]), 0x220d);
        assert_eq!(checksum(&[1]), 0xfeff);
    }
}
