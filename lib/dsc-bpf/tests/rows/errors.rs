//! ICMP errors about packets of flows: from the client's side to the backend, from inside to the client. The quotes are built
//! anew on the far side, with all checksums made in full.

use super::nat::{HOST, MAPPED, Packet, TALK, WEB, at, backend, client, flow, vip};
use super::*;
use crate::frames::{Ip4, icmp_message, ip4_packet, ip6_packet};
use dsc_wire::Protocol;
use std::net::IpAddr;

/// An error about `quoted`.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    pub source: IpAddr,
    pub dest: IpAddr,
    pub kind: (u8, u8),
    pub quoted: &'a [u8],
    pub ttl: u8,
}

impl Message<'_> {
    pub fn frame(self, from: Mac) -> Vec<u8> {
        let rest = [0, 0, 5, 120];
        let body = icmp_message(self.source, self.dest, self.kind, rest, self.quoted);
        let (source, dest) = (self.source.to_string(), self.dest.to_string());
        if self.source.is_ipv4() {
            let ip = Ip4 { ttl: self.ttl, ..PLAIN };
            frames::ethernet(ME, from, 0x0800, &ip4_packet(&source, &dest, ip, 1, &body))
        } else {
            frames::ethernet(ME, from, 0x86DD, &ip6_packet(&source, &dest, self.ttl, 58, &body))
        }
    }

    /// As it goes on.
    pub fn on(self) -> Self {
        Message { ttl: self.ttl - 1, ..self }
    }
}

/// The packet without its Ethernet header, as a router on the way saw it.
pub fn seen(packet: Packet) -> Vec<u8> {
    Packet { ttl: 7, ..packet }.frame(ME, ME)[14..].to_vec()
}

fn of_version(version: u8) -> Vec<Row> {
    let name = |text: &str| -> &'static str { format!("error{version}: {text}").leak() };
    let head = if version == 4 { 20 } else { 40 };
    let (c, v, b) = (client(version, 4444), vip(version, MAPPED), backend(version, MAPPED));
    let (router, inner, other) = if version == 4 {
        ("192.0.2.7", "10.2.0.9", "10.1.0.77")
    } else {
        ("2001:db8::7", "fd00:2::9", "fd00:1::77")
    };
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let kinds: [(u8, u8); 4] = if version == 4 {
        [(3, 4), (3, 3), (11, 0), (12, 0)]
    } else {
        [(2, 0), (1, 4), (3, 0), (4, 1)]
    };
    let mut rows = Vec::new();
    for (protocol, there) in [(6, flow(Protocol::Tcp, c, v, b)), (17, flow(Protocol::Udp, c, v, b))]
    {
        let whole = |source, dest| {
            if protocol == 6 { Packet::tcp(source, dest, ACK) } else { Packet::udp(source, dest) }
        };
        let name = |text: &str| name(&format!("{text}, protocol {protocol}"));
        let there = [there];
        // A packet from the VIP to the client, as it left here and as the backend sent it.
        let (sent, made) = (seen(whole(v, c)), seen(whole(b, c)));
        // A packet from the client to the backend, as it left here and as the client sent it.
        let (passed, asked) = (seen(whole(c, b)), seen(whole(c, v)));
        for kind in kinds {
            for bytes in [head + 8, sent.len()] {
                let outside = |source| {
                    let quoted = &sent[..bytes];
                    Message { source, dest: v.ip(), kind, quoted, ttl: 64 }
                };
                let to_backend = |m: Message<'_>| {
                    Message { dest: b.ip(), quoted: &made[..bytes], ..m }.on().frame(CLIENT)
                };
                let inside = |source| {
                    let quoted = &passed[..bytes];
                    Message { source, dest: c.ip(), kind, quoted, ttl: 64 }
                };
                let to_client = |m: Message<'_>, source| {
                    Message { source, quoted: &asked[..bytes], ..m }.on().frame(HOST)
                };
                let name = |text: &str| name(&format!("{text}, {bytes} bytes of {kind:?}"));
                let (from_client, from_router) = (outside(c.ip()), outside(ip(router)));
                rows.push(
                    Row::new(name("from the client"), from_client.frame(CLIENT))
                        .flows(&there)
                        .send("nat_error_request", to_backend(from_client)),
                );
                rows.push(
                    Row::new(name("from a router"), from_router.frame(CLIENT))
                        .flows(&there)
                        .past(&[2])
                        .send("nat_error_request", to_backend(from_router)),
                );
                let (from_backend, from_inner) = (inside(b.ip()), inside(ip(inner)));
                rows.push(
                    Row::new(name("from the backend"), from_backend.frame(HOST))
                        .flows(&there)
                        .send("nat_error_reply", to_client(from_backend, v.ip())),
                );
                rows.push(
                    Row::new(name("from a router inside"), from_inner.frame(HOST))
                        .flows(&there)
                        .host(OFF)
                        .no_lease()
                        .send("nat_error_reply", to_client(from_inner, ip(inner))),
                );
            }
        }
        let kind = kinds[0];
        let error = Message { source: ip(router), dest: v.ip(), kind, quoted: &sent, ttl: 64 };
        let last = Message { ttl: 1, ..error };
        let from_host = Message { source: b.ip(), dest: c.ip(), quoted: &passed, ..error };
        rows.extend([
            Row::new(name("no flow"), error.frame(CLIENT)).pass("delivered"),
            Row::new(name("no lease"), error.frame(CLIENT))
                .flows(&there)
                .no_lease()
                .drop("dropped_lease"),
            Row::new(name("no host"), error.frame(CLIENT))
                .flows(&there)
                .host(OFF)
                .drop("dropped_off"),
            Row::new(name("old host"), error.frame(CLIENT))
                .flows(&there)
                .host(steer(2))
                .send("steered", steered(error.frame(CLIENT), NODE2)),
            Row::new(name("handed on to the next host"), error.frame(NODE0))
                .flows(&there)
                .host(INCOMING)
                .no_lease()
                .send("nat_error_request", {
                    Message { dest: b.ip(), quoted: &made, ..error }.on().frame(NODE0)
                }),
            Row::new(name("last hop"), last.frame(CLIENT)).flows(&there).drop("nat_hops"),
            Row::new(name("last hop, inside"), Message { ttl: 1, ..from_host }.frame(HOST))
                .flows(&there)
                .drop("nat_hops"),
            Row::new(name("inside, no flow"), from_host.frame(HOST)).pass("other"),
            Row::new(name("inside, to another than it quotes"), {
                Message { dest: ip(other), ..from_host }.frame(HOST)
            })
            .flows(&there)
            .pass("other"),
            Row::new(name("quotes another port"), {
                Message { quoted: &seen(whole(vip(version, 22), c)), ..error }.frame(CLIENT)
            })
            .flows(&there)
            .pass("delivered"),
            Row::new(name("quote cut off in its ports"), {
                Message { quoted: &sent[..head + 3], ..error }.frame(CLIENT)
            })
            .flows(&there)
            .pass("delivered"),
            Row::new(name("no error"), {
                let kind = if version == 4 { (8, 0) } else { (128, 0) };
                Message { kind, ..error }.frame(CLIENT)
            })
            .flows(&there)
            .pass("delivered"),
        ]);
    }
    let (v, b) = (vip(version, TALK), backend(version, TALK));
    if version == 4 {
        let unsummed = |source, dest| seen(Packet { summed: false, ..Packet::udp(source, dest) });
        let (sent, made) = (unsummed(v, c), unsummed(b, c));
        let error = Message { source: c.ip(), dest: v.ip(), kind: (3, 3), quoted: &sent, ttl: 64 };
        rows.push(
            Row::new(name("about a datagram without checksum"), error.frame(CLIENT))
                .flows(&[flow(Protocol::Udp, c, v, b)])
                .send("nat_error_request", {
                    Message { dest: b.ip(), quoted: &made, ..error }.on().frame(CLIENT)
                }),
        );
    }
    if version == 4 {
        let (v, b) = (vip(4, WEB), backend(4, WEB));
        let options =
            |packet: Packet| seen(Packet { options: &[7, 7, 4, 0, 0, 0, 0, 0], ..packet });
        let (sent, made) = (options(Packet::tcp(v, c, ACK)), options(Packet::tcp(b, c, ACK)));
        let error = Message { source: c.ip(), dest: v.ip(), kind: (3, 4), quoted: &sent, ttl: 64 };
        rows.push(
            Row::new(name("about a packet with options"), error.frame(CLIENT))
                .flows(&[flow(Protocol::Tcp, c, v, b)])
                .send("nat_error_request", {
                    Message { dest: b.ip(), quoted: &made, ..error }.on().frame(CLIENT)
                }),
        );
    } else {
        // The first fragment of a long answer, with an extension header.
        let in_headers = |source: std::net::SocketAddr, dest: std::net::SocketAddr| {
            let packet = &seen(Packet::udp(source, dest))[40..];
            let body = [&[44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 9][..], packet].concat();
            ip6_packet(&source.ip().to_string(), &dest.ip().to_string(), 7, 60, &body)
        };
        let (sent, made) = (in_headers(v, c), in_headers(b, c));
        let error = Message { source: c.ip(), dest: v.ip(), kind: (2, 0), quoted: &sent, ttl: 64 };
        rows.push(
            Row::new(name("about a first fragment"), error.frame(CLIENT))
                .flows(&[flow(Protocol::Udp, c, v, b)])
                .send("nat_error_request", {
                    Message { dest: b.ip(), quoted: &made, ..error }.on().frame(CLIENT)
                }),
        );
    }
    let here = at(if version == 4 { VIP4 } else { VIP6 }, 9999);
    let quoted = seen(Packet::udp(here, c));
    let about_nobody =
        Message { source: c.ip(), dest: here.ip(), kind: kinds[0], quoted: &quoted, ttl: 64 };
    rows.push(
        Row::new(name("about a datagram of no service"), about_nobody.frame(CLIENT))
            .host(steer(2))
            .send("steered", steered(about_nobody.frame(CLIENT), NODE2)),
    );
    rows
}

pub fn rows() -> Vec<Row> {
    [of_version(4), of_version(6)].concat()
}
