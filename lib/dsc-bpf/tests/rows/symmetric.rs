//! Replies under symmetric routing: to the member that hosts the flow's VIP, as they are; from there to the client.

use super::errors::{Message, seen};
use super::fragments::Pieces;
use super::mtu::{BODY, OUTSIDE};
use super::nat::{HOST, MAPPED, Packet, backend, client, flow, vip};
use super::*;
use crate::frames::SYN_ACK;
use dsc_wire::Protocol;

fn of_protocol(version: u8, protocol: Protocol, ids: &mut impl Iterator<Item = u16>) -> Vec<Row> {
    let number = protocol.number();
    let name = |text: &str| -> &'static str {
        format!("symmetric{version}: {text}, protocol {number}").leak()
    };
    let (c, v, b) = (client(version, 4444), vip(version, MAPPED), backend(version, MAPPED));
    let there = [flow(protocol, c, v, b)];
    let packet = |source, dest, flags| match protocol {
        Protocol::Tcp => Packet::tcp(source, dest, flags),
        Protocol::Udp => Packet::udp(source, dest),
    };
    let reply = packet(b, c, ACK);
    let row = |text: &str, from| Row::new(name(text), reply.frame(ME, from)).flows(&there);
    let sent = |from| reply.on(v, c).frame(ME, from);
    let handed = |ttl, from, to| steered(Packet { ttl, ..reply }.frame(ME, from), to);
    let mut rows = vec![
        row("at the host", HOST).send("nat_reply", sent(HOST)),
        row("at the host, handed there", NODE0).send("nat_reply", sent(NODE0)),
        row("at the next host, handed there", NODE0)
            .host(INCOMING)
            .no_lease()
            .send("nat_reply", sent(NODE0)),
        row("the host is another", HOST)
            .host(steer(2))
            .send("nat_steered", handed(64, HOST, NODE2)),
        row("the host is another, no lease", HOST)
            .host(steer(2))
            .no_lease()
            .send("nat_steered", handed(64, HOST, NODE2)),
        row("handed to an old host", NODE0)
            .host(steer(2))
            .send("nat_steered", handed(63, NODE0, NODE2)),
        Row::new(name("handed to an old host, last hop"), {
            Packet { ttl: 1, ..reply }.frame(ME, NODE0)
        })
        .flows(&there)
        .host(steer(2))
        .drop("dropped_hops"),
        row("no host is known", HOST).host(OFF).send("nat_reply", sent(HOST)),
        row("no host is known, handed here", NODE0).host(OFF).send("nat_reply", sent(NODE0)),
        row("the lease is over", HOST).no_lease().send("nat_reply", sent(HOST)),
        row("the host's address is not known", HOST).host(steer(3)).send("nat_reply", sent(HOST)),
        Row::new(name("in a frame to everybody"), reply.frame([0xFF; 6], HOST))
            .flows(&there)
            .host(steer(2))
            .drop("dropped_off"),
        Row::new(name("no flow yet"), packet(b, c, SYN_ACK).frame(ME, HOST))
            .host(steer(2))
            .drop("nat_held"),
        Row::new(name("request at the host"), packet(c, v, ACK).frame(ME, CLIENT))
            .flows(&there)
            .send("nat_request", packet(c, v, ACK).on(c, b).frame(ME, CLIENT)),
    ];
    // Where it leaves it is too long; that is the host's to say.
    let long = Packet { body: &BODY[..usize::from(OUTSIDE)], ..reply }.frame(ME, HOST);
    rows.push(
        Row::new(name("too long"), long.clone())
            .flows(&there)
            .host(steer(2))
            .send("nat_steered", steered(long, NODE2)),
    );
    let quoted = &seen(packet(c, b, ACK));
    let kind = if version == 4 { (3, 3) } else { (1, 4) };
    let error = Message { source: b.ip(), dest: c.ip(), kind, quoted, ttl: 64 }.frame(HOST);
    rows.push(
        Row::new(name("error"), error.clone())
            .flows(&there)
            .host(steer(2))
            .send("nat_steered", steered(error, NODE2)),
    );
    let mut pieces = || {
        let packet = Packet { body: &BODY[..64], ..reply };
        Pieces { packet, id: ids.next().unwrap(), cut: 40 }
    };
    let p = pieces();
    rows.push(
        Row::new(name("first fragment"), p.first(HOST))
            .flows(&there)
            .host(steer(2))
            .send("nat_steered", steered(p.first(HOST), NODE2)),
    );
    let p = pieces();
    rows.push(
        Row::new(name("later fragment"), p.later(HOST))
            .flows(&there)
            .host(steer(2))
            .after(p.first(HOST))
            .send("nat_steered", steered(p.later(HOST), NODE2)),
    );
    let p = pieces();
    rows.push(
        Row::new(name("later fragment, handed to the host"), p.later(NODE0))
            .flows(&there)
            .after(p.first(NODE0))
            .send("nat_reply", p.on(v, c).later(NODE0)),
    );
    rows
}

/// For programs that were loaded with symmetric routing.
pub fn rows() -> Vec<Row> {
    // No fragment of the other rows has these.
    let mut ids = 40_000..;
    let mut rows = Vec::new();
    for version in [4, 6] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            rows.extend(of_protocol(version, protocol, &mut ids));
        }
    }
    rows
}
