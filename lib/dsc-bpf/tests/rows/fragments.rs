//! Fragments of packets of services. The programs keep the first one's ports for a moment, so each row has an id of its own.

use super::mtu::BODY;
use super::nat::{CLOSED, HOST, MAPPED, Packet, backend, client, flow, vip};
use super::*;
use crate::frames::{Ip4, ip4_packet, ip6_packet};
use dsc_wire::Protocol;

/// A packet in pieces.
#[derive(Clone, Copy)]
pub struct Pieces {
    pub packet: Packet,
    pub id: u16,
    /// Bytes of the first one's payload.
    pub cut: usize,
}

impl Pieces {
    fn piece(self, from: Mac, first: bool) -> Vec<u8> {
        let Pieces { packet, id, cut } = self;
        let head = if packet.version == 4 { 20 } else { 40 };
        let whole = &packet.frame(ME, from)[14 + head..];
        let part = if first { &whole[..cut] } else { &whole[cut..] };
        let (source, dest) = (packet.source.ip().to_string(), packet.dest.ip().to_string());
        let units = if first { 0 } else { (cut / 8) as u16 };
        if packet.version == 4 {
            let fragment = units | if first { 0x2000 } else { 0 };
            let ip = Ip4 { ttl: packet.ttl, id, fragment, ..PLAIN };
            let packet = ip4_packet(&source, &dest, ip, packet.protocol, part);
            frames::ethernet(ME, from, 0x0800, &packet)
        } else {
            let place = (units << 3 | u16::from(first)).to_be_bytes();
            let id = u32::from(id).to_be_bytes();
            let head = [&[packet.protocol, 0][..], &place, &id].concat();
            let part = [&head[..], part].concat();
            let packet = ip6_packet(&source, &dest, packet.ttl, 44, &part);
            frames::ethernet(ME, from, 0x86DD, &packet)
        }
    }

    pub fn first(self, from: Mac) -> Vec<u8> {
        self.piece(from, true)
    }

    pub fn later(self, from: Mac) -> Vec<u8> {
        self.piece(from, false)
    }

    pub fn on(self, source: std::net::SocketAddr, dest: std::net::SocketAddr) -> Pieces {
        Pieces { packet: self.packet.on(source, dest), ..self }
    }
}

fn of_protocol(version: u8, protocol: Protocol, ids: &mut impl Iterator<Item = u16>) -> Vec<Row> {
    let number = protocol.number();
    let name = |text: &str| -> &'static str {
        format!("fragment{version}: {text}, protocol {number}").leak()
    };
    let (c, v, b) = (client(version, 4444), vip(version, MAPPED), backend(version, MAPPED));
    let there = [flow(protocol, c, v, b)];
    let mut pieces = |source, dest| {
        let packet = match protocol {
            Protocol::Tcp => Packet::tcp(source, dest, ACK),
            Protocol::Udp => Packet::udp(source, dest),
        };
        let packet = Packet { body: &BODY[..64], ..packet };
        Pieces { packet, id: ids.next().unwrap(), cut: 40 }
    };
    let begins = if protocol == Protocol::Tcp { "nat_adopted" } else { "nat_new" };
    let mut rows = Vec::new();
    let p = pieces(c, v);
    rows.push(
        Row::new(name("first, no flow"), p.first(CLIENT)).send(begins, p.on(c, b).first(CLIENT)),
    );
    let p = pieces(c, v);
    rows.push(
        Row::new(name("first"), p.first(CLIENT))
            .flows(&there)
            .send("nat_request", p.on(c, b).first(CLIENT)),
    );
    let p = pieces(c, v);
    rows.push(
        Row::new(name("later"), p.later(CLIENT))
            .after(p.first(CLIENT))
            .send("nat_request", p.on(c, b).later(CLIENT)),
    );
    let p = pieces(c, v);
    rows.push(
        Row::new(name("later, its first is unknown"), p.later(CLIENT))
            .flows(&there)
            .after(pieces(c, v).first(CLIENT))
            .drop("nat_fragment_lost"),
    );
    let p = pieces(c, v);
    let last = Pieces { packet: Packet { ttl: 1, ..p.packet }, ..p };
    rows.push(
        Row::new(name("later, last hop"), last.later(CLIENT))
            .after(p.first(CLIENT))
            .drop("nat_hops"),
    );
    let p = pieces(c, v);
    rows.push(
        Row::new(name("later, no host"), p.later(CLIENT))
            .host(OFF)
            .after(p.first(CLIENT))
            .drop("dropped_off"),
    );
    let p = pieces(c, v);
    rows.push(
        Row::new(name("later at an old host, unknown there"), p.later(CLIENT))
            .host(steer(2))
            .send("steered", steered(p.later(CLIENT), NODE2)),
    );
    let p = pieces(c, v);
    let long = Packet { body: &BODY[..3200], ..p.packet };
    let p = Pieces { packet: long, cut: 800, ..p };
    rows.push(
        Row::new(name("later, too long"), p.later(CLIENT))
            .after(p.first(CLIENT))
            .drop("nat_too_big_lost"),
    );
    let p = pieces(c, vip(version, 53));
    rows.push(Row::new(name("first for a socket"), p.first(CLIENT)).past(&[2]).pass("delivered"));
    rows.push(
        Row::new(name("later for a socket"), p.later(CLIENT))
            .past(&[2])
            .after(p.first(CLIENT))
            .pass("delivered"),
    );
    let p = pieces(b, c);
    rows.push(
        Row::new(name("first of a reply"), p.first(HOST))
            .flows(&there)
            .send("nat_reply", p.on(v, c).first(HOST)),
    );
    let p = pieces(b, c);
    rows.push(
        Row::new(name("later of a reply"), p.later(HOST))
            .flows(&there)
            .after(p.first(HOST))
            .host(OFF)
            .send("nat_reply", p.on(v, c).later(HOST)),
    );
    let p = pieces(b, c);
    rows.push(
        Row::new(name("later of a reply, its first is unknown"), p.later(HOST))
            .flows(&there)
            .drop("nat_fragment_lost"),
    );
    let p = pieces(b, c);
    rows.push(
        Row::new(name("later of a reply of no flow"), p.later(HOST))
            .after(p.first(HOST))
            .drop("nat_fragment_lost"),
    );
    let p = pieces(backend(version, 22), c);
    rows.push(Row::new(name("first from another port"), p.first(HOST)).pass("other"));
    rows.push(
        Row::new(name("later from another port"), p.later(HOST)).after(p.first(HOST)).pass("other"),
    );
    let p = pieces(client(version, 1), backend(version, 1));
    rows.push(Row::new(name("later of strangers"), p.later(HOST)).pass("other"));
    if protocol == Protocol::Tcp {
        let p = pieces(c, vip(version, CLOSED));
        rows.push(
            Row::new(name("later, no backend"), p.later(CLIENT))
                .after(p.first(CLIENT))
                .drop("nat_fragment_lost"),
        );
        let p = Pieces { cut: 8, ..pieces(c, v) };
        rows.push(
            Row::new(name("first without a whole header"), p.first(CLIENT))
                .flows(&there)
                .drop("nat_fragment_lost"),
        );
        let p = Pieces { cut: 8, ..pieces(b, c) };
        rows.push(
            Row::new(name("first of a reply without a whole header"), p.first(HOST))
                .flows(&there)
                .drop("nat_fragment_lost"),
        );
    }
    rows
}

/// A datagram in one fragment (RFC 6946) is whole.
fn atomic(source: std::net::SocketAddr, dest: std::net::SocketAddr, ttl: u8) -> Vec<u8> {
    let datagram = &Packet::udp(source, dest).frame(ME, CLIENT)[54..];
    let body = [&[17, 0, 0, 0, 0, 0, 0, 9][..], datagram].concat();
    let (source, dest) = (source.ip().to_string(), dest.ip().to_string());
    frames::ethernet(ME, CLIENT, 0x86DD, &ip6_packet(&source, &dest, ttl, 44, &body))
}

pub fn rows() -> Vec<Row> {
    let mut ids = 1..;
    let mut rows = Vec::new();
    for version in [4, 6] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            rows.extend(of_protocol(version, protocol, &mut ids));
        }
    }
    let (c, v, b) = (client(6, 4444), vip(6, MAPPED), backend(6, MAPPED));
    rows.push(
        Row::new("fragment6: the only one", atomic(c, v, 64)).send("nat_new", atomic(c, b, 63)),
    );
    let echo = Ip4 { fragment: 0x00B9, ..PLAIN };
    let echo = ip4_packet("10.1.0.250", VIP4, echo, 1, &[0; 64]);
    let echo = frames::ethernet(ME, CLIENT, 0x0800, &echo);
    rows.push(Row::new("fragment4: later of a long echo", echo).pass("delivered"));
    rows
}
