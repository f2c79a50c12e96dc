//! Connections that start inside, over several packets: how their flows come, go and are told, and what peers tell of theirs.

use crate::frames::{ACK, FIN, RST, SYN, SYN_ACK};
use crate::node::{FLOWS, Node, node, sources};
use crate::rows::nat::{HOST, Packet, vip};
use crate::rows::source::{FIRST, SLICE, far, flow, ports, server};
use crate::rows::{self, Row};
use dsc_bpf::Put;
use dsc_wire::{FlowState, Protocol, Time};
use std::net::SocketAddr;

/// A packet from inside, and one from outside.
fn send(node: &Node, packet: Packet) -> Vec<(String, u64)> {
    let inside = packet.dest.ip() == far(packet.version, 0).ip();
    let from = if inside { HOST } else { rows::CLIENT };
    let row = Row::new("one", packet.frame(rows::ME, from));
    let row = if inside { row.inside() } else { row };
    node.counted(|| node.run_row(&row, &row.frame)).1
}

fn ends(version: u8, protocol: Protocol) -> (SocketAddr, SocketAddr, SocketAddr) {
    let (s, r) = (server(version, 5555), far(version, 443));
    (s, r, vip(version, ports(protocol, s, r)[0]))
}

#[test]
fn a_connection_is_followed_from_its_first_packet_to_the_next_one_between_its_ends() {
    let mut node = node();
    for version in [4, 6] {
        let (s, r, v) = ends(version, Protocol::Tcp);
        let out = |flags| Packet::tcp(s, r, flags);
        let back = |flags| Packet::tcp(r, v, flags);
        node.prepare(&Row::new("flow", Vec::new()));
        node.news.by_ref().count();
        use FlowState::{ClientClosed, Closed, Open, Opening, ServerClosed};
        let steps = [
            (out(SYN), "source_new", Opening, Some(Opening)),
            (out(SYN), "source_out", Opening, None),
            (back(SYN_ACK), "source_in", Open, Some(Open)),
            (out(ACK), "source_out", Open, None),
            (back(FIN | ACK), "source_in", ClientClosed, Some(ClientClosed)),
            (out(SYN), "source_out", ClientClosed, None),
            (out(FIN | ACK), "source_out", Closed, Some(ServerClosed)),
            (back(ACK), "source_in", Closed, None),
            (back(SYN), "source_in", Closed, None),
            (out(SYN), "source_new", Opening, Some(Opening)),
            (back(RST), "source_in", Closed, Some(Closed)),
            (out(SYN), "source_new", Opening, Some(Opening)),
        ];
        for (number, (packet, verdict, state, told)) in steps.into_iter().enumerate() {
            assert_eq!(send(&node, packet), [(verdict.to_owned(), 1)], "step {number}");
            let flows = node.all_flows();
            let [seen] = &flows[..] else { panic!("step {number}: {flows:?}") };
            let wanted = dsc_wire::Flow { state, ..flow(Protocol::Tcp, r, v, s) };
            assert_eq!((seen.flow, seen.backend), (wanted, None), "step {number}");
            let news: Vec<_> =
                node.news.by_ref().map(|told| (told.flow.kind, told.flow.state)).collect();
            let told: Vec<_> = told.into_iter().map(|state| (wanted.kind, state)).collect();
            assert_eq!(news, told, "step {number}");
        }
    }
}

#[test]
fn a_datagram_is_open_when_it_was_answered() {
    let mut node = node();
    for version in [4, 6] {
        let (s, r, v) = ends(version, Protocol::Udp);
        node.prepare(&Row::new("flow", Vec::new()));
        for (packet, verdict, state) in [
            (Packet::udp(s, r), "source_new", FlowState::Opening),
            (Packet::udp(s, r), "source_out", FlowState::Opening),
            (Packet::udp(r, v), "source_in", FlowState::Open),
        ] {
            assert_eq!(send(&node, packet), [(verdict.to_owned(), 1)]);
            assert_eq!(node.all_flows()[0].flow.state, state, "{verdict}");
        }
    }
}

/// A connection that seems new may be one that the other nodes know. Those that are known here go on meanwhile.
#[test]
fn no_connection_begins_before_it_is_known_which_there_are() {
    let mut node = node();
    let (s, r, v) = ends(4, Protocol::Tcp);
    node.prepare(&Row::new("known", Vec::new()).flows(&[flow(Protocol::Tcp, r, v, s)]));
    for (waits, verdict) in [(true, "source_early"), (false, "source_new")] {
        let (sources, zones) = sources(waits);
        node.datapath.set_sources(&sources, &zones).unwrap();
        let opening = Packet::tcp(server(4, 7_000), r, SYN);
        assert_eq!(send(&node, opening), [(verdict.to_owned(), 1)]);
        assert_eq!(send(&node, Packet::tcp(s, r, ACK)), [("source_out".to_owned(), 1)]);
        assert_eq!(send(&node, Packet::tcp(r, v, ACK)), [("source_in".to_owned(), 1)]);
    }
}

/// What a peer tells serves its packets here; a later connection between the same inner ends takes the place of an ended one.
#[test]
fn what_peers_tell_serves_here() {
    let mut node = node();
    let (s, r, _) = ends(4, Protocol::Tcp);
    let of = |port, state| dsc_wire::Flow { state, ..flow(Protocol::Tcp, r, vip(4, port), s) };
    node.prepare(&Row::new("told", Vec::new()));
    let first = of(FIRST, FlowState::Opening);
    assert_eq!(node.put(&first, Time(1)), Put::New);
    assert_eq!(send(&node, Packet::tcp(s, r, SYN)), [("source_out".to_owned(), 1)]);
    let answer = Packet::tcp(r, first.key.vip, SYN_ACK);
    assert_eq!(send(&node, answer), [("source_in".to_owned(), 1)]);
    // Another member made it anew, with another port; the end of the old one is told late.
    let second = of(FIRST + SLICE, FlowState::Opening);
    assert_eq!(node.put(&second, Time(1)), Put::New);
    node.flows.remove(&dsc_wire::Flow { state: FlowState::Gone, ..first }).unwrap();
    assert_eq!(node.all_flows().iter().map(|seen| seen.flow).collect::<Vec<_>>(), [second]);
    assert_eq!(send(&node, Packet::tcp(s, r, ACK)), [("source_out".to_owned(), 1)]);
    let answer = Packet::tcp(r, second.key.vip, ACK);
    assert_eq!(send(&node, answer), [("source_in".to_owned(), 1)]);
    let nobody = dsc_wire::Flow { backend: "10.2.0.9:5555".parse().unwrap(), ..second };
    assert_eq!(node.put(&nobody, Time(1)), Put::Foreign);
}

/// Nobody else's connections suffer, and no half of one is left.
#[test]
fn a_full_table_begins_no_connection() {
    let mut node = node();
    node.prepare(&Row::new("full", Vec::new()));
    let many = 2 * FLOWS as u16;
    let mut counts = std::collections::BTreeMap::new();
    for port in 1..=many {
        // Each to an end of its own, so that ports are no bound.
        for (name, count) in send(&node, Packet::tcp(server(4, port), far(4, port), SYN)) {
            *counts.entry(name).or_insert(0) += count;
        }
    }
    assert_eq!(counts["source_new"] + counts["nat_full"], u64::from(many), "{counts:?}");
    assert!(counts["source_new"] >= u64::from(FLOWS), "{counts:?}");
    assert_eq!(node.all_flows().len() as u64, counts["source_new"]);
    for seen in node.all_flows() {
        let packet = Packet::tcp(seen.flow.backend, seen.flow.key.client, ACK);
        assert_eq!(send(&node, packet), [("source_out".to_owned(), 1)]);
    }
}
