//! The echo on every node: answers probes from the address they were sent to, with the node's number and the time
//! at which the kernel took them. It runs as a process of its own, started by `program.rs`; the system under test
//! does not know it.

use crate::clock;
use crate::error::{Doing, Result};
use crate::packet::{Answer, ECHO_PORT, Question};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};

/// Answers for ever.
///
/// # Errors
/// The port cannot be bound.
pub fn run(node: u8) -> Result<()> {
    clock::go_ahead();
    let doing = || format!("listen on UDP port {ECHO_PORT}");
    let v4 = UdpSocket::bind(("0.0.0.0", ECHO_PORT)).doing(doing)?;
    setsockopt(&v4, sockopt::Ipv4PacketInfo, &true).doing(doing)?;
    let v6 = bind_v6_only().doing(doing)?;
    setsockopt(&v6, sockopt::Ipv6RecvPacketInfo, &true).doing(doing)?;
    for socket in [&v4, &v6] {
        clock::stamp_packets(socket).doing(doing)?;
    }
    loop {
        let mut ready = [&v4, &v6].map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN));
        if poll(&mut ready, PollTimeout::NONE).is_err() {
            continue;
        }
        for socket in [&v4, &v6] {
            while answer_one(socket, node) {}
        }
    }
}

/// Answers the next packet in the queue; false if there is none.
fn answer_one(socket: &UdpSocket, node: u8) -> bool {
    let mut buffer = [0u8; 256];
    let mut space = nix::cmsg_space!([u8; 256]);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let fd = socket.as_raw_fd();
    let Ok(message) = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut space), flags) else {
        return false;
    };
    let (mut accepted_ns, mut info4, mut info6) = (0, None, None);
    for control in message.cmsgs().into_iter().flatten() {
        match control {
            ControlMessageOwned::ScmTimestampns(stamp) => accepted_ns = clock::ns(stamp),
            ControlMessageOwned::Ipv4PacketInfo(info) => info4 = Some(info),
            ControlMessageOwned::Ipv6PacketInfo(info) => info6 = Some(info),
            _ => {}
        }
    }
    let (from, length) = (message.address, message.bytes);
    let Some(question) = Question::decode(&buffer[..length]) else { return true };
    let answer = Answer { question, node, accepted_ns }.encode();
    let mut control = Vec::new();
    if let Some(info) = &mut info4 {
        // Answer from the address asked, by whatever route there is.
        info.ipi_spec_dst = info.ipi_addr;
        info.ipi_ifindex = 0;
        control.push(ControlMessage::Ipv4PacketInfo(info));
    }
    if let Some(info) = &mut info6 {
        info.ipi6_ifindex = 0;
        control.push(ControlMessage::Ipv6PacketInfo(info));
    }
    // An answer that cannot be sent is a lost answer: the prober counts it.
    let _ = sendmsg(fd, &[IoSlice::new(&answer)], &control, flags, from.as_ref());
    true
}

fn bind_v6_only() -> nix::Result<UdpSocket> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn6, bind, socket};
    let fd = socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    let any = std::net::SocketAddrV6::new(std::net::Ipv6Addr::UNSPECIFIED, ECHO_PORT, 0, 0);
    bind(fd.as_raw_fd(), &SockaddrIn6::from(any))?;
    Ok(UdpSocket::from(fd))
}
