//! Packets of services: to a backend, from a backend. Frames are built anew on the far side, with all checksums made in
//! full, so that no shortcut of the program is taken for right.

use super::*;
use crate::frames::{FIN, Ip4, RST, SYN_ACK, ip6_packet, with_checksum};
use dsc_wire::{Flow, FlowKey, FlowKind, FlowState, Protocol};
use std::net::{IpAddr, SocketAddr};

pub const HOST: Mac = [2, 0, 0, 0, 0, 0xCC];
/// Ports of the services: one backend, no backend that may be used, a backend where there is no interface, a backend
/// with another port.
pub const WEB: u16 = 8080;
pub const CLOSED: u16 = 8081;
pub const NOWHERE: u16 = 8082;
pub const MAPPED: u16 = 8083;
pub const TALK: u16 = 9000;

/// One packet, addressed on the wire.
#[derive(Clone, Copy)]
pub struct Packet {
    pub version: u8,
    pub protocol: u8,
    pub flags: u8,
    pub source: SocketAddr,
    pub dest: SocketAddr,
    pub ttl: u8,
    pub options: &'static [u8],
    pub body: &'static [u8],
    pub summed: bool,
}

pub fn client(version: u8, port: u16) -> SocketAddr {
    at(if version == 4 { "10.1.0.250" } else { "fd00:1::250" }, port)
}

pub fn vip(version: u8, port: u16) -> SocketAddr {
    at(if version == 4 { VIP4 } else { VIP6 }, port)
}

/// The backend of the service with this port.
pub fn backend(version: u8, port: u16) -> SocketAddr {
    let port = if port == MAPPED { 80 } else { port };
    at(if version == 4 { "10.2.0.201" } else { "fd00:2::201" }, port)
}

/// This node's address on the backends' subnet.
pub fn own(version: u8) -> IpAddr {
    at(if version == 4 { "10.2.0.2" } else { "fd00:2::2" }, 0).ip()
}

pub fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse::<IpAddr>().unwrap(), port)
}

impl Packet {
    pub fn tcp(source: SocketAddr, dest: SocketAddr, flags: u8) -> Packet {
        let version = if source.is_ipv4() { 4 } else { 6 };
        let (ttl, options, body, summed) = (64, &[][..], &b"dsc"[..], true);
        Packet { version, protocol: 6, flags, source, dest, ttl, options, body, summed }
    }

    pub fn udp(source: SocketAddr, dest: SocketAddr) -> Packet {
        Packet { protocol: 17, ..Packet::tcp(source, dest, 0) }
    }

    pub fn frame(self, to: Mac, from: Mac) -> Vec<u8> {
        let mut head = Vec::new();
        head.extend(self.source.port().to_be_bytes());
        head.extend(self.dest.port().to_be_bytes());
        if self.protocol == 6 {
            head.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, self.flags, 0x20, 0, 0, 0, 0, 0]);
        } else {
            head.extend((8 + self.body.len() as u16).to_be_bytes());
            head.extend([0, 0]);
        }
        head.extend(self.body);
        let place = if self.protocol == 6 { 16 } else { 6 };
        let (source, dest) = (self.source.ip().to_string(), self.dest.ip().to_string());
        if self.summed {
            with_checksum(&mut head, place, self.source.ip(), self.dest.ip(), self.protocol);
        }
        let (kind, packet) = if self.version == 4 {
            let ip = Ip4 { ttl: self.ttl, options: self.options, ..PLAIN };
            (0x0800, frames::ip4_packet(&source, &dest, ip, self.protocol, &head))
        } else {
            (0x86DD, ip6_packet(&source, &dest, self.ttl, self.protocol, &head))
        };
        frames::ethernet(to, from, kind, &packet)
    }

    /// As it goes on: other ends, one hop less.
    pub fn on(self, source: SocketAddr, dest: SocketAddr) -> Packet {
        Packet { source, dest, ttl: self.ttl - 1, ..self }
    }
}

pub fn flow(protocol: Protocol, client: SocketAddr, vip: SocketAddr, backend: SocketAddr) -> Flow {
    let (state, kind) = (FlowState::Open, FlowKind::Nat);
    Flow { key: FlowKey { protocol, client, vip }, backend, state, kind }
}

/// Rows for one version; the numbers of ports tell them apart.
fn of_version(version: u8) -> Vec<Row> {
    let name = |text: &str| -> &'static str { format!("nat{version}: {text}").leak() };
    let (c, v, b) = (client(version, 4444), vip(version, WEB), backend(version, WEB));
    let request = |flags| Packet::tcp(c, v, flags);
    let reply = |flags| Packet::tcp(b, c, flags);
    let there = vec![flow(Protocol::Tcp, c, v, b)];
    let to_backend = |flags| request(flags).on(c, b).frame(ME, CLIENT);
    let to_client = |flags| reply(flags).on(v, c).frame(ME, HOST);
    let from = |mac, flags| request(flags).frame(ME, mac);
    let (uv, ub) = (vip(version, TALK), backend(version, TALK));
    let datagram = Packet::udp(c, uv);
    let answer = Packet::udp(ub, c);
    let talk = vec![flow(Protocol::Udp, c, uv, ub)];
    let (mv, mb) = (vip(version, MAPPED), backend(version, MAPPED));
    let mapped = |protocol| vec![flow(protocol, c, mv, mb)];
    let inside = at(if version == 4 { "10.2.0.100" } else { "fd00:2::100" }, WEB);
    let mut rows = vec![
        Row::new(name("opening"), from(CLIENT, SYN)).send("nat_new", to_backend(SYN)),
        Row::new(name("opening, known"), from(CLIENT, SYN))
            .flows(&there)
            .send("nat_request", to_backend(SYN)),
        Row::new(name("known"), from(CLIENT, ACK))
            .flows(&there)
            .send("nat_request", to_backend(ACK)),
        Row::new(name("closing"), from(CLIENT, FIN | ACK))
            .flows(&there)
            .send("nat_request", to_backend(FIN | ACK)),
        Row::new(name("known, host with a past"), from(CLIENT, ACK))
            .past(&[2])
            .flows(&there)
            .send("nat_request", to_backend(ACK)),
        Row::new(name("unknown, not opening"), from(CLIENT, ACK))
            .send("nat_adopted", to_backend(ACK)),
        Row::new(name("unknown, not opening, host with a past"), from(CLIENT, ACK))
            .past(&[2])
            .send("nat_adopted", to_backend(ACK)),
        Row::new(name("reset"), from(CLIENT, RST))
            .flows(&there)
            .send("nat_request", to_backend(RST)),
        Row::new(name("reset, unknown"), from(CLIENT, RST)).drop("nat_stray"),
        Row::new(name("no lease"), from(CLIENT, ACK))
            .flows(&there)
            .no_lease()
            .drop("dropped_lease"),
        Row::new(name("no host"), from(CLIENT, ACK)).flows(&there).host(OFF).drop("dropped_off"),
        Row::new(name("old host"), from(CLIENT, ACK))
            .flows(&there)
            .host(steer(2))
            .send("steered", steered(from(CLIENT, ACK), NODE2)),
        Row::new(name("handed on to the next host"), from(NODE0, ACK))
            .flows(&there)
            .host(INCOMING)
            .no_lease()
            .send("nat_request", request(ACK).on(c, b).frame(ME, NODE0)),
        Row::new(name("from outside to the next host"), from(CLIENT, ACK))
            .flows(&there)
            .host(INCOMING)
            .drop("dropped_off"),
        Row::new(name("handed on to an old host"), from(NODE0, ACK))
            .flows(&there)
            .host(steer(2))
            .send(
                "steered_past",
                steered(Packet { ttl: 63, ..request(ACK) }.frame(ME, NODE0), NODE2),
            ),
        Row::new(name("no backend"), Packet::tcp(c, vip(version, CLOSED), SYN).frame(ME, CLIENT))
            .pass("nat_refused"),
        Row::new(
            name("flow of a disabled backend"),
            Packet::tcp(c, vip(version, CLOSED), ACK).frame(ME, CLIENT),
        )
        .flows(&[flow(Protocol::Tcp, c, vip(version, CLOSED), backend(version, CLOSED))])
        .pass("nat_refused"),
        Row::new(
            name("no interface"),
            Packet::tcp(c, vip(version, NOWHERE), SYN).frame(ME, CLIENT),
        )
        .drop("nat_no_way"),
        Row::new(name("the backend has it from another vip"), from(CLIENT, SYN))
            .flows(&[flow(Protocol::Tcp, c, inside, b)])
            .drop("nat_clash"),
        Row::new(name("another port"), Packet::tcp(c, vip(version, 80), SYN).frame(ME, CLIENT))
            .pass("delivered"),
        Row::new(name("reply"), reply(ACK).frame(ME, HOST))
            .flows(&there)
            .send("nat_reply", to_client(ACK)),
        Row::new(name("reply at a node without host or lease"), reply(SYN_ACK).frame(ME, HOST))
            .flows(&there)
            .host(OFF)
            .no_lease()
            .send("nat_reply", to_client(SYN_ACK)),
        Row::new(name("reply at a node that is not the host"), reply(ACK).frame(ME, HOST))
            .flows(&there)
            .host(steer(2))
            .send("nat_reply", to_client(ACK)),
        Row::new(name("first reply, no flow yet"), reply(SYN_ACK).frame(ME, HOST)).drop("nat_held"),
        Row::new(
            name("first reply, too long to keep"),
            Packet { body: &[7; 300], ..reply(SYN_ACK) }.frame(ME, HOST),
        )
        .drop("nat_held_lost"),
        Row::new(name("reply of no flow"), reply(ACK).frame(ME, HOST)).drop("nat_unknown"),
        Row::new(name("to another port"), Packet::tcp(c, mv, SYN).frame(ME, CLIENT))
            .send("nat_new", Packet::tcp(c, mv, SYN).on(c, mb).frame(ME, CLIENT)),
        Row::new(name("reply from another port"), Packet::tcp(mb, c, ACK).frame(ME, HOST))
            .flows(&mapped(Protocol::Tcp))
            .send("nat_reply", Packet::tcp(mb, c, ACK).on(mv, c).frame(ME, HOST)),
        Row::new(name("datagram to another port"), Packet::udp(c, mv).frame(ME, CLIENT))
            .send("nat_new", Packet::udp(c, mv).on(c, mb).frame(ME, CLIENT)),
        Row::new(name("datagram from another port"), Packet::udp(mb, c).frame(ME, HOST))
            .flows(&mapped(Protocol::Udp))
            .send("nat_reply", Packet::udp(mb, c).on(mv, c).frame(ME, HOST)),
        Row::new(name("from another port"), {
            Packet::tcp(backend(version, 22), c, ACK).frame(ME, HOST)
        })
        .flows(&there)
        .pass("other"),
        Row::new(name("datagram"), datagram.frame(ME, CLIENT))
            .send("nat_new", datagram.on(c, ub).frame(ME, CLIENT)),
        Row::new(name("datagram's answer"), answer.frame(ME, HOST))
            .flows(&talk)
            .send("nat_reply", answer.on(uv, c).frame(ME, HOST)),
        Row::new(name("datagram's answer, no flow yet"), answer.frame(ME, HOST)).drop("nat_held"),
    ];
    let martians: &[&str] = if version == 4 {
        &["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", VIP4]
    } else {
        &["::", "::1", "::ffff:10.1.0.250", "::10.1.0.250", "ff02::1", "fd00:2::100"]
    };
    for source in martians {
        let packet = Packet::tcp(at(source, 4444), v, SYN).frame(ME, CLIENT);
        rows.push(Row::new(name(&format!("from {source}")), packet).drop("nat_martian"));
    }
    let group = request(SYN).frame([0xFF; 6], CLIENT);
    rows.push(Row::new(name("in a frame to everybody"), group).drop("nat_martian"));
    let mut tagged = from(CLIENT, SYN);
    tagged.splice(12..12, [0x81, 0, 0, 7]);
    rows.push(Row::new(name("of a vlan"), tagged).pass("other"));
    let odd: &[&str] = if version == 4 {
        &["1.0.0.1", "126.255.255.255", "128.0.0.1", "223.255.255.255", "169.254.0.1"]
    } else {
        &["0:0:0:1::1", "::1:0:0:1", "fe80::1", "feff::1", "2001:db8::1"]
    };
    for source in odd {
        let packet = Packet::tcp(at(source, 4444), v, SYN);
        rows.push(
            Row::new(name(&format!("from {source}")), packet.frame(ME, CLIENT))
                .send("nat_new", packet.on(packet.source, b).frame(ME, CLIENT)),
        );
    }
    if version == 4 {
        let plain = Packet { summed: false, ..datagram };
        rows.push(
            Row::new(name("datagram without checksum"), plain.frame(ME, CLIENT))
                .send("nat_new", plain.on(c, ub).frame(ME, CLIENT)),
        );
        let options = Packet { options: &[1, 1, 1, 0], ..request(ACK) };
        rows.push(
            Row::new(name("with options"), options.frame(ME, CLIENT))
                .flows(&there)
                .send("nat_request", options.on(c, b).frame(ME, CLIENT)),
        );
    }
    rows
}

pub fn rows() -> Vec<Row> {
    [of_version(4), of_version(6)].concat()
}

/// What a backend sends to this node itself: for a connection of one of its programs, as probes are, it is no reply that is ahead
/// of its flow. One that listens has no connection with the backend.
pub fn own_connections(ports: Ports) -> Vec<Row> {
    let mut rows = Vec::new();
    for (version, at) in [(4, 0), (6, 1)] {
        let name = |text: &str| -> &'static str { format!("nat{version}: {text}").leak() };
        let from = |backend, port, flags| {
            Packet::tcp(backend, SocketAddr::new(own(version), port), flags).frame(ME, HOST)
        };
        let backend = |port| backend(version, port);
        let (probe, listening) = (ports.probes[at], ports.listening[at]);
        rows.extend([
            Row::new(name("to a probe"), from(backend(WEB), probe, ACK)).pass("other"),
            Row::new(name("first reply to a probe"), from(backend(WEB), probe, SYN_ACK))
                .pass("other"),
            Row::new(name("to a probe of another backend"), from(backend(NOWHERE), probe, ACK))
                .drop("nat_unknown"),
            Row::new(name("to a probe that is over"), from(backend(WEB), 1, ACK))
                .drop("nat_unknown"),
            Row::new(name("to who listens"), from(backend(WEB), listening, ACK))
                .drop("nat_unknown"),
            Row::new(name("first reply to who listens"), from(backend(WEB), listening, SYN_ACK))
                .drop("nat_held"),
        ]);
    }
    rows
}
