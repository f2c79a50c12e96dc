//! Packets of connections that start inside: out as from the VIP, and back in. Node 1 has the ports 40002 and 40003 of both
//! VIPs, node 3 has no known MAC address.

use super::errors::{Message, seen};
use super::fragments::Pieces;
use super::mtu::{BODY, Told};
use super::nat::{HOST, Packet, at, vip};
use super::*;
use crate::frames::{FIN, RST, SYN_ACK};
use dsc_flow::model;
use dsc_wire::{Flow, FlowKey, FlowKind, FlowState, Protocol};
use std::net::SocketAddr;

/// The lowest port, how many each node has, and how many nodes.
pub const FIRST: u16 = 40_000;
pub const SLICE: u16 = 2;
pub const NODES: u16 = 4;

/// A machine inside whose connections are translated.
pub fn server(version: u8, port: u16) -> SocketAddr {
    at(if version == 4 { "10.2.0.70" } else { "fd00:2::ff00:70" }, port)
}

/// Somebody it speaks to, behind routers.
pub fn far(version: u8, port: u16) -> SocketAddr {
    at(if version == 4 { "192.0.2.9" } else { "2001:db8::9" }, port)
}

/// The port of this node's that a connection gets if all are free, and the other one.
pub fn ports(protocol: Protocol, server: SocketAddr, far: SocketAddr) -> [u16; 2] {
    let hash = model::hash(&FlowKey { protocol, client: server, vip: far });
    let own = FIRST + SLICE;
    let pick = (hash % u32::from(SLICE)) as u16;
    [own + pick, own + (pick + 1) % SLICE]
}

pub fn flow(protocol: Protocol, far: SocketAddr, vip: SocketAddr, server: SocketAddr) -> Flow {
    let key = FlowKey { protocol, client: far, vip };
    Flow { key, backend: server, state: FlowState::Open, kind: FlowKind::SourceNat }
}

fn of_protocol(version: u8, protocol: Protocol, ids: &mut impl Iterator<Item = u16>) -> Vec<Row> {
    let name =
        |text: &str| -> &'static str { format!("source{version}: {text}, {protocol}").leak() };
    let tcp = protocol == Protocol::Tcp;
    let packet = |source, dest, flags| {
        if tcp { Packet::tcp(source, dest, flags) } else { Packet::udp(source, dest) }
    };
    let (s, r) = (server(version, 5555), far(version, 443));
    let [port, other] = ports(protocol, s, r);
    let v = vip(version, port);
    let there = [flow(protocol, r, v, s)];
    let out = |flags| packet(s, r, flags);
    let back = |flags| packet(r, v, flags);
    let outward = |flags| out(flags).on(v, r).frame(ME, HOST);
    let inward = |flags, from| back(flags).on(r, s).frame(ME, from);
    let taken = |port| flow(protocol, r, vip(version, port), server(version, 20_000 + port));
    let local = if version == 4 { "10.2.0.9" } else { "fd00:2::9" };
    let node = if version == 4 { "10.1.0.2" } else { "fd00:1::2" };
    let third = if version == 4 { "10.3.0.9" } else { "fd00:3::9" };
    let near = if version == 4 { "10.1.0.77" } else { "fd00:1::77" };
    let own_node = if version == 4 { "10.2.0.65" } else { "fd00:2::ff00:41" };
    let known = |server| flow(protocol, r, v, server);
    let last = |packet| Packet { ttl: 1, ..packet };
    let (outgoing, incoming) = (last(packet(server(version, port), r, ACK)), last(back(ACK)));
    // By this node's own address, but where that would not reach a machine behind a router.
    let own = if version == 4 { "10.1.0.2".parse().unwrap() } else { v.ip() };
    let exceeded = |packet: Packet, from, by| {
        let quoted = (packet.frame(ME, from).len() - 14) & !3;
        Told { packet, from, by, mtu: 0 }.frame(quoted)
    };
    let mut rows = vec![
        Row::new(name("opening"), out(SYN).frame(ME, HOST))
            .inside()
            .send("source_new", outward(SYN)),
        Row::new(name("opening where no VIP is hosted"), out(SYN).frame(ME, HOST))
            .inside()
            .host(OFF)
            .send("source_new", outward(SYN)),
        Row::new(name("opening without a lease"), out(SYN).frame(ME, HOST))
            .inside()
            .no_lease()
            .drop("source_lease"),
        Row::new(name("opening, its first port is taken"), out(SYN).frame(ME, HOST))
            .inside()
            .flows(&[taken(port)])
            .send("source_new", out(SYN).on(vip(version, other), r).frame(ME, HOST)),
        Row::new(name("opening, every port is taken"), out(SYN).frame(ME, HOST))
            .inside()
            .flows(&[taken(port), taken(other)])
            .drop("source_full"),
        Row::new(name("opening, the ports are taken to another end"), out(SYN).frame(ME, HOST))
            .inside()
            .flows(&[port, other].map(|port| {
                flow(protocol, far(version, 80), vip(version, port), server(version, port))
            }))
            .send("source_new", outward(SYN)),
        Row::new(name("known"), out(ACK).frame(ME, HOST))
            .inside()
            .flows(&there)
            .send("source_out", outward(ACK)),
        Row::new(name("known, at a node without host or lease"), out(ACK).frame(ME, HOST))
            .inside()
            .flows(&there)
            .host(OFF)
            .no_lease()
            .send("source_out", outward(ACK)),
        Row::new(name("last hop"), outgoing.frame(ME, HOST))
            .inside()
            .flows(&[known(server(version, port))])
            .send("nat_time_exceeded", exceeded(outgoing, HOST, own)),
        Row::new(name("to the VIP's subnet"), packet(s, at(near, 443), SYN).frame(ME, HOST))
            .inside()
            .send("source_new", {
                let port = ports(protocol, s, at(near, 443))[0];
                packet(s, at(near, 443), SYN).on(vip(version, port), at(near, 443)).frame(ME, HOST)
            }),
        Row::new(name("answer"), back(SYN_ACK).frame(ME, CLIENT))
            .flows(&there)
            .send("source_in", inward(SYN_ACK, CLIENT)),
        Row::new(name("answer, host with a past"), back(ACK).frame(ME, CLIENT))
            .flows(&there)
            .past(&[2])
            .send("source_in", inward(ACK, CLIENT)),
        Row::new(name("answer, no lease"), back(ACK).frame(ME, CLIENT))
            .flows(&there)
            .no_lease()
            .drop("dropped_lease"),
        Row::new(name("answer, no host"), back(ACK).frame(ME, CLIENT))
            .flows(&there)
            .host(OFF)
            .drop("dropped_off"),
        Row::new(name("answer at an old host"), back(ACK).frame(ME, CLIENT))
            .flows(&there)
            .host(steer(2))
            .send("steered", steered(back(ACK).frame(ME, CLIENT), NODE2)),
        Row::new(name("answer that the host handed on"), back(ACK).frame(ME, NODE2))
            .flows(&there)
            .host(steer(2))
            .no_lease()
            .send("source_in", inward(ACK, NODE2)),
        Row::new(name("answer, last hop"), incoming.frame(ME, CLIENT))
            .flows(&[known(server(version, port))])
            .send("nat_time_exceeded", exceeded(incoming, CLIENT, v.ip())),
    ];
    // The owner of a port is known by the port.
    let to = |port| packet(r, vip(version, port), SYN_ACK);
    rows.extend([
        Row::new(name("answer of no flow here, another's port"), to(FIRST + 4).frame(ME, CLIENT))
            .send("source_asked", steered(to(FIRST + 4).frame(ME, CLIENT), NODE2)),
        Row::new(name("answer of no flow here, the first port"), to(FIRST).frame(ME, CLIENT))
            .send("source_asked", steered(to(FIRST).frame(ME, CLIENT), NODE0)),
        Row::new(name("answer of no flow here, the last port"), to(FIRST + 7).frame(ME, CLIENT))
            .drop("dropped_no_mac"),
        Row::new(name("answer beyond the last port"), to(FIRST + 8).frame(ME, CLIENT))
            .pass("delivered"),
        Row::new(name("answer before the first port"), to(FIRST - 1).frame(ME, CLIENT))
            .pass("delivered"),
        Row::new(name("answer of no flow, this node's port"), back(SYN_ACK).frame(ME, CLIENT))
            .pass("delivered"),
        Row::new(name("answer of no flow here, no lease"), to(FIRST + 4).frame(ME, CLIENT))
            .no_lease()
            .drop("dropped_lease"),
        Row::new(name("answer of no flow here, old host"), to(FIRST + 4).frame(ME, CLIENT))
            .host(steer(0))
            .send("steered", steered(to(FIRST + 4).frame(ME, CLIENT), NODE0)),
        Row::new(name("answer of no flow here from an old host"), to(FIRST + 4).frame(ME, NODE0))
            .send("steered_past", {
                let less = Packet { ttl: 63, ..to(FIRST + 4) };
                steered(less.frame(ME, NODE0), NODE2)
            }),
    ]);
    for (text, dest) in
        [("to its own subnet", local), ("to a node", node), ("to a third subnet", third)]
    {
        let frame = packet(s, at(dest, 443), SYN).frame(ME, HOST);
        rows.push(Row::new(name(text), frame).inside().pass("other"));
    }
    let nobody: &[&str] = if version == 4 {
        &["0.0.0.1", "127.0.0.1", "169.254.1.1", "224.0.0.251", "255.255.255.255"]
    } else {
        &["::1", "fe80::9", "ff02::fb", "::ffff:192.0.2.9"]
    };
    for dest in nobody {
        let frame = packet(s, at(dest, 443), SYN).frame(ME, HOST);
        rows.push(Row::new(name(&format!("to {dest}")), frame).inside().pass("other"));
    }
    rows.extend([
        Row::new(name("from a node"), packet(at(own_node, 5555), r, SYN).frame(ME, HOST))
            .inside()
            .pass("other"),
        Row::new(name("from a neighbour of another kind"), {
            packet(at(local, 5555), r, SYN).frame(ME, HOST)
        })
        .inside()
        .pass("other"),
        Row::new(name("from outside, with an address from inside"), out(SYN).frame(ME, HOST))
            .pass("other"),
        Row::new(name("in a frame to everybody"), out(SYN).frame([0xFF; 6], HOST))
            .inside()
            .pass("other"),
    ]);
    if tcp {
        rows.extend([
            Row::new(name("unknown, not opening"), out(ACK).frame(ME, HOST))
                .inside()
                .pass("source_unknown"),
            Row::new(name("unknown, answers"), out(SYN_ACK).frame(ME, HOST))
                .inside()
                .pass("source_unknown"),
            Row::new(name("known, resets"), out(RST).frame(ME, HOST))
                .inside()
                .flows(&there)
                .send("source_out", outward(RST)),
            Row::new(name("known, closes"), out(FIN | ACK).frame(ME, HOST))
                .inside()
                .flows(&there)
                .send("source_out", outward(FIN | ACK)),
            Row::new(name("opening from outside"), to_port(version, FIRST + 4, SYN, CLIENT))
                .pass("delivered"),
            Row::new(name("lost at its owner"), back(ACK).frame(ME, NODE2))
                .host(steer(2))
                .pass("refused"),
        ]);
    }
    rows.extend(errors(version, protocol, v));
    let mut pieces = |source, dest| {
        let packet = Packet { body: &BODY[..64], ..packet(source, dest, SYN) };
        Pieces { packet, id: ids.next().unwrap(), cut: 40 }
    };
    let p = pieces(s, r);
    rows.push(
        Row::new(name("first fragment"), p.first(HOST))
            .inside()
            .send("source_new", p.on(v, r).first(HOST)),
    );
    let p = pieces(s, r);
    rows.push(
        Row::new(name("later fragment"), p.later(HOST))
            .inside()
            .after(p.first(HOST))
            .send("source_out", p.on(v, r).later(HOST)),
    );
    let p = pieces(s, r);
    rows.push(
        Row::new(name("later fragment, its first is unknown"), p.later(HOST))
            .inside()
            .drop("nat_fragment_lost"),
    );
    let p = pieces(s, at(local, 443));
    rows.push(
        Row::new(name("later fragment that stays inside"), p.later(HOST)).inside().pass("other"),
    );
    let p = pieces(r, v);
    rows.push(
        Row::new(name("later fragment of an answer"), p.later(CLIENT))
            .flows(&there)
            .after(p.first(CLIENT))
            .send("source_in", p.on(r, s).later(CLIENT)),
    );
    rows
}

fn to_port(version: u8, port: u16, flags: u8, from: Mac) -> Vec<u8> {
    Packet::tcp(far(version, 443), vip(version, port), flags).frame(ME, from)
}

/// Errors about either end's packets.
fn errors(version: u8, protocol: Protocol, v: SocketAddr) -> Vec<Row> {
    let name =
        |text: &str| -> &'static str { format!("source{version}: {text}, {protocol}").leak() };
    let packet = |source, dest| match protocol {
        Protocol::Tcp => Packet::tcp(source, dest, ACK),
        Protocol::Udp => Packet::udp(source, dest),
    };
    let (s, r) = (server(version, 5555), far(version, 443));
    let there = [flow(protocol, r, v, s)];
    let router = if version == 4 { "198.51.100.7" } else { "2001:db8:1::7" };
    let kind = if version == 4 { (3, 4) } else { (2, 0) };
    let (sent, made) = (seen(packet(v, r)), seen(packet(s, r)));
    let (passed, asked) = (seen(packet(r, s)), seen(packet(r, v)));
    let source = router.parse().unwrap();
    let outside = Message { source, dest: v.ip(), kind, quoted: &sent, ttl: 64 };
    let inside = Message { source: s.ip(), dest: r.ip(), kind, quoted: &passed, ttl: 64 };
    let unknown = vip(version, FIRST + 4);
    let foreign = seen(packet(unknown, r));
    let foreign = Message { quoted: &foreign, ..outside };
    vec![
        Row::new(name("error from a router"), outside.frame(CLIENT)).flows(&there).send(
            "nat_error_request",
            Message { dest: s.ip(), quoted: &made, ..outside }.on().frame(CLIENT),
        ),
        Row::new(name("error from inside"), inside.frame(HOST)).inside().flows(&there).send(
            "nat_error_reply",
            Message { source: v.ip(), quoted: &asked, ..inside }.on().frame(HOST),
        ),
        Row::new(name("error from inside of no flow"), inside.frame(HOST)).inside().pass("other"),
        Row::new(name("error about another node's port"), foreign.frame(CLIENT))
            .send("source_asked", steered(foreign.frame(CLIENT), NODE2)),
    ]
}

pub fn rows() -> Vec<Row> {
    // Those of the other drawer begin at 1.
    let mut ids = 1000..;
    let mut rows = Vec::new();
    for version in [4, 6] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            rows.extend(of_protocol(version, protocol, &mut ids));
        }
    }
    rows
}
