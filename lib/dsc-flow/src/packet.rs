//! Reads a packet's ends and gives it others, as the kernel programs do. For the few replies that user space keeps until
//! their flow is known (§B.3), and for the comparison with the programs: every checksum is made anew, nothing is adjusted.

use dsc_wire::Protocol;
use std::net::{IpAddr, SocketAddr};

const ETHERNET: usize = 14;
const IP4: usize = 20;
const IP6: usize = 40;

/// The ends of an unfragmented packet without IPv6 extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it goes to.
    pub dest: SocketAddr,
    /// Where the transport header begins in the packet.
    transport: usize,
    /// Bytes of the packet, without link-layer header and padding.
    length: usize,
}

/// Reads a frame with its Ethernet header; None if it is none that could belong to a flow.
pub fn read(frame: &[u8]) -> Option<Ends> {
    let packet = frame.get(ETHERNET..)?;
    let (transport, protocol, source, dest, length) = match packet.first()? >> 4 {
        4 => {
            let head = usize::from(packet[0] & 15) * 4;
            let fragment = u16::from_be_bytes(packet.get(6..8)?.try_into().ok()?) & 0x3FFF;
            if head < IP4 || fragment != 0 {
                return None;
            }
            let length = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
            let end = |at: usize| -> Option<IpAddr> {
                Some(IpAddr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?))
            };
            (head, *packet.get(9)?, end(12)?, end(16)?, length)
        }
        6 => {
            let payload = usize::from(u16::from_be_bytes(packet.get(4..6)?.try_into().ok()?));
            let end = |at: usize| -> Option<IpAddr> {
                Some(IpAddr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?))
            };
            (IP6, *packet.get(6)?, end(8)?, end(24)?, IP6 + payload)
        }
        _ => return None,
    };
    let protocol = Protocol::of_number(protocol)?;
    let least = transport + if protocol == Protocol::Tcp { 20 } else { 8 };
    if length < least || packet.len() < length {
        return None;
    }
    let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    Some(Ends {
        protocol,
        source: SocketAddr::new(source, port(transport)),
        dest: SocketAddr::new(dest, port(transport + 2)),
        transport,
        length,
    })
}

/// The IP packet of `frame`, which [`read`] gave `ends` for, as it is but for the transport's checksum, which is made anew: a
/// sender on the same hardware leaves it to the interface.
pub fn packet(frame: &[u8], ends: &Ends) -> Vec<u8> {
    let mut packet = frame[ETHERNET..ETHERNET + ends.length].to_vec();
    set_checksum(&mut packet, ends, ends.source.ip(), ends.dest.ip());
    packet
}

/// The IP packet of `frame` as it goes on: from `source` to `dest`, one hop less. None if its hops are used up, or if the
/// new ends are of another family.
pub fn rewritten(
    frame: &[u8],
    ends: &Ends,
    source: SocketAddr,
    dest: SocketAddr,
) -> Option<Vec<u8>> {
    let mut packet = frame[ETHERNET..ETHERNET + ends.length].to_vec();
    let at = ends.transport;
    let hops = match (source.ip(), dest.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) if ends.source.is_ipv4() => {
            packet[12..16].copy_from_slice(&from.octets());
            packet[16..20].copy_from_slice(&to.octets());
            8
        }
        (IpAddr::V6(from), IpAddr::V6(to)) if ends.source.is_ipv6() => {
            packet[8..24].copy_from_slice(&from.octets());
            packet[24..40].copy_from_slice(&to.octets());
            7
        }
        _ => return None,
    };
    packet[hops] = packet[hops].checked_sub(1).filter(|left| *left > 0)?;
    packet[at..at + 2].copy_from_slice(&source.port().to_be_bytes());
    packet[at + 2..at + 4].copy_from_slice(&dest.port().to_be_bytes());
    set_checksum(&mut packet, ends, source.ip(), dest.ip());
    if source.is_ipv4() {
        packet[10..12].fill(0);
        let sum = !folded(sum_of(&packet[..at]));
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    Some(packet)
}

/// A packet without data that asks `dest` for one of its own connection with `source`: the answer to an opening that was
/// answered before. Who has the connection says where it is (RFC 9293 3.10.7.4, RFC 5961 4.2), whatever the numbers; who has
/// none resets it. None if the ends are of two families.
pub fn prompt(source: SocketAddr, dest: SocketAddr) -> Option<Vec<u8>> {
    const SYN_ACK: u8 = 0x12;
    let mut packet = match (source.ip(), dest.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let head = [0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
            [&head[..], &from.octets(), &to.octets()].concat()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let head = [0x60, 0, 0, 0, 0, 20, 6, 64];
            [&head[..], &from.octets(), &to.octets()].concat()
        }
        _ => return None,
    };
    let transport = packet.len();
    if source.is_ipv4() {
        let sum = !folded(sum_of(&packet));
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    packet.extend(source.port().to_be_bytes());
    packet.extend(dest.port().to_be_bytes());
    packet.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, SYN_ACK, 0, 0, 0, 0, 0, 0]);
    let length = packet.len();
    let ends = Ends { protocol: Protocol::Tcp, source, dest, transport, length };
    set_checksum(&mut packet, &ends, source.ip(), dest.ip());
    Some(packet)
}

fn set_checksum(packet: &mut [u8], ends: &Ends, source: IpAddr, dest: IpAddr) {
    let at = ends.transport;
    let place = at + if ends.protocol == Protocol::Tcp { 16 } else { 6 };
    let without = ends.protocol == Protocol::Udp && packet[place..place + 2] == [0, 0];
    if without {
        return;
    }
    packet[place..place + 2].fill(0);
    let sum = transport_sum(&packet[at..], source, dest, ends.protocol);
    // RFC 768: a sum of zero is sent as all ones, because zero means that there is none.
    let sum = if sum == 0 && ends.protocol == Protocol::Udp { u16::MAX } else { sum };
    packet[place..place + 2].copy_from_slice(&sum.to_be_bytes());
}

fn transport_sum(segment: &[u8], source: IpAddr, dest: IpAddr, protocol: Protocol) -> u16 {
    let end = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => sum_of(&ip.octets()),
        IpAddr::V6(ip) => sum_of(&ip.octets()),
    };
    let length = segment.len() as u64;
    !folded(end(source) + end(dest) + length + u64::from(protocol.number()) + sum_of(segment))
}

fn sum_of(bytes: &[u8]) -> u64 {
    bytes
        .chunks(2)
        .map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)))
        .sum()
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(six: bool, protocol: u8, ttl: u8) -> Vec<u8> {
        let mut segment = vec![0x1F, 0x90, 0x0F, 0xA0];
        if protocol == 6 {
            segment.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x12, 0x20, 0, 0xAA, 0xAA, 0, 0]);
        } else {
            segment.extend([0, 9, 0xAA, 0xAA, 7]);
        }
        let mut frame = vec![0; 14];
        if six {
            frame.extend([0x60, 0, 0, 0, 0, segment.len() as u8, protocol, ttl]);
            let ends: [std::net::Ipv6Addr; 2] =
                ["fd00:2::201", "fd00:1::250"].map(|a| a.parse().unwrap());
            ends.iter().for_each(|end| frame.extend(end.octets()));
        } else {
            frame.extend([0x45, 0, 0, 20 + segment.len() as u8, 0, 0, 0x40, 0, ttl, protocol]);
            frame.extend([0xAA, 0xAA, 10, 2, 0, 201, 10, 1, 0, 250]);
        }
        frame.extend(segment);
        frame
    }

    fn vip(six: bool) -> SocketAddr {
        if six { "[fd00:1::100]:80" } else { "10.1.0.100:80" }.parse().unwrap()
    }

    #[test]
    fn a_reply_comes_from_the_vip() {
        for six in [false, true] {
            for protocol in [6, 17] {
                // Frames have a padding behind the packet.
                let frame = [frame(six, protocol, 64), vec![0; 5]].concat();
                let ends = read(&frame).unwrap();
                assert_eq!(ends.source.port(), 8080);
                let sent = rewritten(&frame, &ends, vip(six), ends.dest).unwrap();
                let again = read(&[&[0; 14], &sent[..]].concat()).unwrap();
                assert_eq!((again.source, again.dest), (vip(six), ends.dest));
                let segment = &sent[ends.transport..];
                let sum = transport_sum(segment, vip(six).ip(), ends.dest.ip(), ends.protocol);
                assert_eq!(sum, 0, "the checksum does not fit");
                assert!(six || folded(sum_of(&sent[..20])) == 0xFFFF);
                assert_eq!(sent[if six { 7 } else { 8 }], 63);
            }
        }
    }

    #[test]
    fn a_prompt_is_an_answer_to_an_opening_with_right_checksums() {
        for six in [false, true] {
            let client =
                if six { "[fd00:1::250]:4444" } else { "10.1.0.250:4444" }.parse().unwrap();
            let sent = prompt(vip(six), client).unwrap();
            let ends = read(&[&[0; 14], &sent[..]].concat()).unwrap();
            assert_eq!((ends.source, ends.dest, ends.length), (vip(six), client, sent.len()));
            assert_eq!((ends.protocol, sent[ends.transport + 13]), (Protocol::Tcp, 0x12));
            let segment = &sent[ends.transport..];
            assert_eq!(transport_sum(segment, vip(six).ip(), client.ip(), Protocol::Tcp), 0);
            assert!(six || folded(sum_of(&sent[..20])) == 0xFFFF);
            assert_eq!(prompt(vip(!six), client), None);
        }
    }

    /// The checksum in `frame` is none of the packet's.
    #[test]
    fn what_goes_on_as_it_is_has_its_checksum() {
        for six in [false, true] {
            for protocol in [6, 17] {
                let frame = [frame(six, protocol, 64), vec![0; 5]].concat();
                let ends = read(&frame).unwrap();
                let sent = packet(&frame, &ends);
                let (head, segment) = sent.split_at(ends.transport);
                assert_eq!((head, sent.len()), (&frame[14..14 + ends.transport], ends.length));
                let sum = transport_sum(segment, ends.source.ip(), ends.dest.ip(), ends.protocol);
                assert_eq!(sum, 0, "the checksum does not fit");
            }
        }
    }

    #[test]
    fn what_is_no_packet_of_a_flow_is_left_alone() {
        for six in [false, true] {
            let good = frame(six, 6, 64);
            for cut in 0..good.len() {
                assert_eq!(read(&good[..cut]), None, "cut to {cut}");
            }
            let ends = read(&good).unwrap();
            assert_eq!(rewritten(&good, &ends, vip(!six), ends.dest), None);
            let last = frame(six, 6, 1);
            assert_eq!(rewritten(&last, &read(&last).unwrap(), vip(six), ends.dest), None);
            assert_eq!(read(&frame(six, 58, 64)), None);
        }
        let mut fragment = frame(false, 17, 64);
        fragment[20] = 0x20;
        assert_eq!(read(&fragment), None);
    }

    #[test]
    fn a_datagram_without_checksum_stays_so() {
        let mut plain = frame(false, 17, 64);
        plain[40..42].fill(0);
        let ends = read(&plain).unwrap();
        let sent = rewritten(&plain, &ends, vip(false), ends.dest).unwrap();
        assert_eq!(sent[26..28], [0, 0]);
        assert_eq!(packet(&plain, &ends), plain[14..]);
    }
}
