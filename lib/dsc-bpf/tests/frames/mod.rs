//! Frames for the packet rows, byte by byte, with right checksums.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub type Mac = [u8; 6];
pub const BROADCAST: Mac = [0xFF; 6];

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const SYN_ACK: u8 = 0x12;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

pub fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

pub fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

pub fn ethernet(to: Mac, from: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), payload].concat()
}

/// The Internet checksum over `parts`, each of even length but the last.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

pub fn arp(to: Mac, operation: u16, sender: (Mac, &str), target: (Mac, &str)) -> Vec<u8> {
    let body = [
        &[0, 1, 8, 0, 6, 4][..],
        &operation.to_be_bytes(),
        &sender.0,
        &v4(sender.1).octets(),
        &target.0,
        &v4(target.1).octets(),
    ]
    .concat();
    ethernet(to, sender.0, 0x0806, &body)
}

/// What an IPv4 header has besides addresses and protocol.
#[derive(Clone, Copy)]
pub struct Ip4 {
    pub ttl: u8,
    pub id: u16,
    pub fragment: u16,
    pub options: &'static [u8],
}

pub const PLAIN: Ip4 = Ip4 { ttl: 64, id: 0x1234, fragment: 0x4000, options: &[] };

pub fn ip4_packet(source: &str, dest: &str, ip: Ip4, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header_bytes = 20 + ip.options.len();
    let total = (header_bytes + payload.len()) as u16;
    let mut header = vec![0x40 | (header_bytes / 4) as u8, 0];
    header.extend(total.to_be_bytes());
    header.extend(ip.id.to_be_bytes());
    header.extend(ip.fragment.to_be_bytes());
    header.extend([ip.ttl, protocol, 0, 0]);
    header.extend(v4(source).octets());
    header.extend(v4(dest).octets());
    header.extend(ip.options);
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [header, payload.to_vec()].concat()
}

pub fn ip6_packet(source: &str, dest: &str, hop_limit: u8, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, hop_limit]);
    packet.extend(v6(source).octets());
    packet.extend(v6(dest).octets());
    packet.extend(payload);
    packet
}

/// A TCP head without options; its checksum is not looked at by anything here.
pub fn tcp(source: u16, dest: u16, flags: u8) -> Vec<u8> {
    let mut head = Vec::new();
    head.extend(source.to_be_bytes());
    head.extend(dest.to_be_bytes());
    head.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    head
}

pub fn udp(source: u16, dest: u16) -> Vec<u8> {
    let mut head = Vec::new();
    head.extend(source.to_be_bytes());
    head.extend(dest.to_be_bytes());
    head.extend([0, 12, 0, 0, b'd', b's', b'c', b'!']);
    head
}

/// Fills in the checksum at `place` of a TCP segment or UDP datagram (RFC 9293 §3.1, RFC 8200 §8.1).
pub fn with_checksum(segment: &mut [u8], place: usize, source: IpAddr, dest: IpAddr, protocol: u8) {
    let length = (segment.len() as u32).to_be_bytes();
    let kind = u32::from(protocol).to_be_bytes();
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    };
    let sum = checksum(&[&octets(source), &octets(dest), &length, &kind, segment]);
    segment[place..place + 2].copy_from_slice(&sum.to_be_bytes());
}

/// ICMP or ICMPv6 with `body` after the first eight bytes.
pub fn icmp(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0, 0, 0, 0][..], body].concat()
}

/// An ICMP or ICMPv6 message with its checksum: type, code, the rest of the first eight bytes, body.
pub fn icmp_message(
    source: IpAddr,
    dest: IpAddr,
    kind: (u8, u8),
    rest: [u8; 4],
    body: &[u8],
) -> Vec<u8> {
    let mut message = [&[kind.0, kind.1, 0, 0][..], &rest, body].concat();
    if source.is_ipv6() {
        with_checksum(&mut message, 2, source, dest, 58);
    } else {
        let sum = checksum(&[&message]);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

fn icmp6_sum(source: &str, dest: &str, message: &[u8]) -> u16 {
    checksum(&[
        &v6(source).octets(),
        &v6(dest).octets(),
        &(message.len() as u32).to_be_bytes(),
        &58u32.to_be_bytes(),
        message,
    ])
}

/// A neighbour solicitation (135) or advertisement (136).
pub struct Nd<'a> {
    pub to: Mac,
    pub from: Mac,
    pub source: &'a str,
    pub dest: &'a str,
    pub kind: u8,
    pub flags: u8,
    pub target: &'a str,
    pub options: &'a [u8],
}

impl Nd<'_> {
    pub fn frame(&self) -> Vec<u8> {
        let mut message = vec![self.kind, 0, 0, 0, self.flags, 0, 0, 0];
        message.extend(v6(self.target).octets());
        message.extend(self.options);
        let sum = icmp6_sum(self.source, self.dest, &message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let packet = ip6_packet(self.source, self.dest, 255, 58, &message);
        ethernet(self.to, self.from, 0x86DD, &packet)
    }
}

/// Option with a link-layer address: 1 source, 2 target.
pub fn nd_mac(kind: u8, mac: Mac) -> Vec<u8> {
    [&[kind, 1][..], &mac].concat()
}
