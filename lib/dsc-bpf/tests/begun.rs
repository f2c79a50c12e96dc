//! What a backend does with a new flow is counted once for each, by the first thing that is heard of it.

use crate::frames::{ACK, RST, SYN, SYN_ACK};
use crate::node::{Node, node};
use crate::rows::errors::{Message, seen};
use crate::rows::nat::{HOST, Packet, TALK, WEB, backend, client, flow, vip};
use crate::rows::{CLIENT, ME, Row, Way};
use dsc_wire::{BackendId, Protocol};

/// An ICMP error of the backend about a packet that it got.
fn error(packet: Packet, kind: (u8, u8)) -> Vec<u8> {
    let (source, dest) = (packet.dest.ip(), packet.source.ip());
    Message { source, dest, kind, quoted: &seen(packet), ttl: 64 }.frame(HOST)
}

/// Flows that began, that both ends were heard of, that were refused.
fn count(node: &Node, number: u16) -> [u64; 3] {
    let count = node.datapath.backend_count(BackendId(number)).unwrap();
    [count.flows, count.opened, count.refused]
}

fn grown(node: &Node, number: u16, frames: &[Vec<u8>]) -> [u64; 3] {
    let before = count(node, number);
    frames.iter().for_each(|frame| drop(node.run(Way::In, frame)));
    let after = count(node, number);
    [0, 1, 2].map(|at| after[at] - before[at])
}

#[test]
fn each_beginning_is_counted_once() {
    let mut node = node();
    // Backends have the numbers of the services in `node`.
    for (version, web, talk) in [(4, 0, 5), (6, 6, 11)] {
        let c = client(version, 5000);
        let (v, b) = (vip(version, WEB), backend(version, WEB));
        let request = |flags| Packet::tcp(c, v, flags).frame(ME, CLIENT);
        let reply = |flags| Packet::tcp(b, c, flags).frame(ME, HOST);
        let (host, port, size) =
            if version == 4 { ((3, 1), (3, 3), (3, 4)) } else { ((1, 3), (1, 4), (2, 0)) };
        let about = |kind| error(Packet::tcp(c, b, SYN), kind);
        let (uv, ub) = (vip(version, TALK), backend(version, TALK));
        let datagram = || Packet::udp(c, uv).frame(ME, CLIENT);
        let answer = || Packet::udp(ub, c).frame(ME, HOST);
        let closed = || error(Packet::udp(c, ub), port);
        let stories = [
            (web, vec![request(SYN), reply(SYN_ACK), request(ACK), request(ACK)], [1, 1, 0]),
            (web, vec![request(SYN), request(SYN), reply(SYN_ACK)], [1, 0, 0]),
            (web, vec![request(SYN), reply(RST | ACK), reply(RST | ACK)], [1, 0, 1]),
            (web, vec![request(SYN), reply(SYN_ACK), reply(RST)], [1, 0, 0]),
            (web, vec![request(SYN), about(host), about(host), reply(RST | ACK)], [1, 0, 1]),
            (web, vec![request(SYN), about(size), reply(SYN_ACK)], [1, 0, 0]),
            (web, vec![request(SYN), reply(SYN_ACK), about(host)], [1, 0, 0]),
            (web, vec![request(ACK), request(ACK), reply(ACK)], [1, 0, 0]),
            (talk, vec![datagram(), closed(), closed(), datagram()], [1, 0, 1]),
            (talk, vec![datagram(), closed(), answer(), answer()], [1, 1, 1]),
            (talk, vec![datagram(), answer(), closed()], [1, 1, 0]),
        ];
        for (at, (number, frames, wanted)) in stories.into_iter().enumerate() {
            node.prepare(&Row::new("beginning", request(SYN)));
            assert_eq!(grown(&node, number, &frames), wanted, "IPv{version}, story {at}");
        }
        // What a peer told of as open was answered before.
        let open = flow(Protocol::Tcp, c, v, b);
        node.prepare(&Row::new("told", reply(RST)).flows(&[open]));
        assert_eq!(grown(&node, web, &[reply(RST)]), [0; 3]);
    }
}
