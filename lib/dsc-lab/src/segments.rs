//! Frames of clients that do not exist, by number: connections that only begin, datagrams of one of many flows, and what no
//! machine sends on purpose. Pure; `flood.rs` sends them.

use crate::packet::{ECHO_PORT, Kind, Question, checksum};
use crate::services::{UDP_PORT, WEB_PORT};
use std::net::Ipv4Addr;

/// Ports that one address of [`datagram`] uses.
pub const PORTS: u32 = 60_000;
/// The first of them.
const PORT_LEAST: u32 = 4_096;
/// The network of those who never answer (RFC 2544), 17 bits of hosts.
pub const STRANGERS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// Its prefix length.
pub const STRANGERS_PREFIX: u8 = 15;

/// Where frames go: the MAC address, the virtual address there, and the MAC address they come from.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Of the node that hosts the address.
    pub mac: [u8; 6],
    /// The address.
    pub vip: Ipv4Addr,
    /// Of the client.
    pub from: [u8; 6],
}

/// The first packet of the `number`-th connection to the web service, each from a stranger and a port of its own.
pub fn syn(target: &Target, number: u64) -> Vec<u8> {
    let mixed = mix(number);
    let source = Ipv4Addr::from(u32::from(STRANGERS) | (mixed as u32 & 0x1_ffff));
    let port = 1_024 + ((mixed >> 32) % 64_000) as u16;
    tcp(target, source, port, (mixed >> 17) as u32)
}

/// A datagram of the `flow`-th flow to the echo service: [`PORTS`] flows of each address that follows `first`.
pub fn datagram(target: &Target, first: Ipv4Addr, flow: u32) -> Vec<u8> {
    let source = Ipv4Addr::from(u32::from(first) + flow / PORTS);
    let port = (PORT_LEAST + flow % PORTS) as u16;
    let payload = Question { kind: Kind::Plain, vip: 0, tick: flow }.encode();
    udp(target, source, port, UDP_PORT, &payload)
}

/// A datagram to the echo of a host behind by its own address, as plain forwarding has it.
pub fn plain_datagram(target: &Target, source: Ipv4Addr, flow: u32) -> Vec<u8> {
    let port = (PORT_LEAST + flow % PORTS) as u16;
    let payload = Question { kind: Kind::Plain, vip: 0, tick: 0 }.encode();
    udp(target, source, port, ECHO_PORT, &payload)
}

/// The `number`-th of frames that are wrong in one way or another.
pub fn malformed(target: &Target, number: u64) -> Vec<u8> {
    let mixed = mix(number);
    let mut frame = syn(target, number);
    let (at, value) = ((mixed >> 8) as usize, (mixed >> 24) as u8);
    match mixed % 8 {
        // Ends too early, anywhere behind the Ethernet header.
        0 => frame.truncate(14 + at % (frame.len() - 14)),
        // A header that is too short, or too long for the frame.
        1 => frame[14] = 0x40 | (value & 0x0f),
        // Longer than the frame, or shorter than its headers.
        2 => frame[16..18].copy_from_slice(&[value, at as u8]),
        // A TCP header of an impossible length.
        3 => frame[46] = value << 4,
        // A fragment from anywhere of a datagram, with the headers of a whole one.
        4 => frame[20..22].copy_from_slice(&[value & 0x3f, at as u8]),
        // From loopback, a group, or the address itself.
        5 => {
            let source = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(224, 0, 0, 1), target.vip];
            frame[26..30].copy_from_slice(&source[at % 3].octets());
        }
        // All flags or none.
        6 => frame[47] = if value < 128 { 0xff } else { 0 },
        // Any byte of the packet.
        _ => {
            let at = 14 + at % (frame.len() - 14);
            frame[at] ^= value | 1;
        }
    }
    // The kernel refuses to send less than an Ethernet header, and pads nothing.
    frame
}

fn tcp(target: &Target, source: Ipv4Addr, port: u16, sequence: u32) -> Vec<u8> {
    let mut segment = Vec::with_capacity(24);
    segment.extend(port.to_be_bytes());
    segment.extend(WEB_PORT.to_be_bytes());
    segment.extend(sequence.to_be_bytes());
    // No acknowledgement; 24 bytes, SYN, a window, and a segment of 1460 at most.
    segment.extend([0, 0, 0, 0, 0x60, 0x02, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 5, 0xb4]);
    let pseudo = pseudo_header(source, target.vip, libc::IPPROTO_TCP as u8, segment.len());
    let sum = checksum(&[&pseudo, &segment]);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    packet(target, source, libc::IPPROTO_TCP as u8, &segment)
}

fn udp(target: &Target, source: Ipv4Addr, port: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(8 + payload.len());
    datagram.extend(port.to_be_bytes());
    datagram.extend(to.to_be_bytes());
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    let pseudo = pseudo_header(source, target.vip, libc::IPPROTO_UDP as u8, datagram.len());
    let sum = checksum(&[&pseudo, &datagram]);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    packet(target, source, libc::IPPROTO_UDP as u8, &datagram)
}

fn packet(target: &Target, source: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend((20 + payload.len() as u16).to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    header.extend(source.octets());
    header.extend(target.vip.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&target.mac[..], &target.from, &[0x08, 0x00], &header, payload].concat()
}

fn pseudo_header(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, length: usize) -> Vec<u8> {
    let [high, low] = (length as u16).to_be_bytes();
    [&from.octets()[..], &to.octets(), &[0, protocol, high, low]].concat()
}

/// Numbers into numbers that look drawn, each into another one (SplitMix64).
pub fn mix(number: u64) -> u64 {
    let n = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const TARGET: Target =
        Target { mac: [2, 0, 0, 0, 0, 1], vip: Ipv4Addr::new(10, 1, 0, 100), from: [2; 6] };

    fn sum(frame: &[u8]) -> u16 {
        let length = frame.len() - 34;
        let [source, dest] =
            [26, 30].map(|at| Ipv4Addr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).unwrap()));
        checksum(&[&pseudo_header(source, dest, frame[23], length), &frame[34..]])
    }

    #[test]
    fn checksums_add_up_to_all_ones() {
        let first = Ipv4Addr::new(10, 1, 9, 1);
        for number in 0..1_000 {
            for frame in [syn(&TARGET, number), datagram(&TARGET, first, number as u32 * 977)] {
                assert_eq!((checksum(&[&frame[14..34]]), sum(&frame)), (0xffff, 0xffff));
            }
        }
    }

    #[test]
    fn flows_and_strangers_are_as_many_as_their_numbers() {
        let ends = |frame: &[u8]| (frame[26..30].to_vec(), frame[34..36].to_vec());
        let first = Ipv4Addr::new(10, 1, 9, 1);
        let flows = (59_000..61_000).map(|n| ends(&datagram(&TARGET, first, n)));
        assert_eq!(flows.collect::<HashSet<_>>().len(), 2_000);
        let strangers: HashSet<_> = (0..20_000).map(|n| ends(&syn(&TARGET, n))).collect();
        assert!(strangers.len() > 19_900);
        assert!(strangers.iter().all(|(source, _)| source[0] == 198 && source[1] & 0xfe == 18));
    }

    #[test]
    fn malformed_frames_are_of_every_kind_and_have_a_header() {
        let frames: Vec<_> = (0..2_000).map(|n| (malformed(&TARGET, n), syn(&TARGET, n))).collect();
        assert!(frames.iter().all(|(frame, _)| frame.len() >= 14));
        assert!(frames.iter().filter(|(frame, right)| frame != right).count() > 1_900);
        let kinds: HashSet<u64> = (0..2_000).map(|n| mix(n) % 8).collect();
        assert_eq!(kinds.len(), 8);
    }
}
