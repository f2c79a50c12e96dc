//! Lives of a peer: a restarted one is noticed at once, an old recording never taken for a living node.

use crate::net::{A, B, C, EXT, Net, ms};
use dsc_rml::{Input, Output};
use dsc_wire::packet::Packet;
use dsc_wire::{Incarnation, NodeId, Timing};

const DEFAULT: Timing = Timing::DEFAULT;

fn taken(net: &Net, node: NodeId) -> usize {
    let log = net.nodes[node.index()].log.iter();
    log.filter(|(_, o)| matches!(o, Output::Received { .. } | Output::Datagram { .. })).count()
}

fn busy() -> Net {
    let mut net = Net::new(3, 2, DEFAULT, 1);
    net.acquaint();
    for i in 0..10 {
        net.send(A, B, vec![i; 2_000]);
        net.send(B, A, vec![i; 10]);
        net.feed(A, Input::Datagram { to: B, body: vec![i] });
        net.run(ms(5));
    }
    net
}

#[test]
fn a_message_to_an_ended_life_fails_as_soon_as_the_new_one_is_known() {
    let mut net = busy();
    net.restart(B);
    let start = net.now;
    let id = net.send(A, B, vec![1]);
    net.run(ms(28));
    let took = net.failed(A, id).expect("delivered to another life").since(start);
    assert!(took < ms(2), "{took:?}");
    assert!(net.received(B).is_empty());
    let life = net.nodes[0].rml.peers().find(|p| p.node == B).unwrap().incarnation;
    assert_eq!(life, Some(net.nodes[1].incarnation));
    let id = net.send(A, B, vec![2]);
    net.run(ms(1));
    assert!(net.delivered(A, id).is_some());
}

#[test]
fn a_restarted_node_is_heard_within_a_millisecond() {
    let mut net = busy();
    net.delay_us = (100, 100);
    for round in 0..5 {
        net.restart(B);
        let start = net.now;
        let (to_a, to_c) = (net.send(B, A, vec![1]), net.send(B, C, vec![2]));
        net.run(ms(28));
        for id in [to_a, to_c] {
            let took = net.delivered(B, id).expect("failed").since(start);
            assert!(took < ms(1), "round {round}: {took:?}");
        }
    }
}

#[test]
fn both_restarting_at_once_find_each_other() {
    let mut net = busy();
    net.restart(A);
    net.restart(B);
    let (there, back) = (net.send(A, B, vec![1]), net.send(B, A, vec![2]));
    net.run(ms(2));
    assert!(net.delivered(A, there).is_some() && net.delivered(B, back).is_some());
}

#[test]
fn a_recording_played_back_changes_nothing() {
    let mut net = busy();
    let tape: Vec<Packet> = net.tape.iter().map(|(_, p)| p.clone()).collect();
    let (a, b) = (taken(&net, A), taken(&net, B));
    for packet in tape.clone() {
        net.replay(packet);
    }
    net.run(ms(50));
    assert_eq!((taken(&net, A), taken(&net, B)), (a, b));
    assert!(net.count(B, "packets_replayed") > 20);
    // The sender restarts: its earlier life is as dead as can be, even while the new one is known.
    net.restart(A);
    let id = net.send(A, B, vec![9]);
    net.run(ms(5));
    assert!(net.delivered(A, id).is_some());
    let b = taken(&net, B);
    for packet in tape.clone() {
        net.replay(packet);
    }
    net.run(ms(50));
    assert_eq!(taken(&net, B), b);
    // The receiver restarts and remembers nothing.
    net.restart(B);
    for packet in tape {
        net.replay(packet);
    }
    net.run(ms(50));
    assert_eq!(taken(&net, B), 0);
    let id = net.send(A, B, vec![9]);
    net.run(ms(5));
    assert!(net.delivered(A, id).is_some() || net.failed(A, id).is_some());
}

#[test]
fn a_replayed_hello_moves_nobody_to_a_dead_life() {
    let mut net = busy();
    let old: Vec<Packet> = net.tape.iter().map(|(_, p)| p.clone()).collect();
    let dead = net.nodes[0].incarnation;
    net.restart(A);
    let alive = net.nodes[0].incarnation;
    let id = net.send(A, B, vec![1]);
    net.run(ms(5));
    assert!(net.delivered(A, id).is_some());
    for packet in old.into_iter().filter(|p| p.header.incarnation == dead && p.header.to == B) {
        net.replay(packet);
        net.run(ms(5));
        let believed = net.nodes[1].rml.peers().find(|p| p.node == A).unwrap().incarnation;
        assert_eq!(believed, Some(alive));
    }
}

#[test]
fn misaddressed_packets_are_dropped() {
    let mut net = busy();
    let from_a = |p: &Packet| (p.header.from, p.header.to) == (A, B);
    let good = net.tape.iter().rev().find(|(_, p)| from_a(p)).unwrap().1.clone();
    let count = |net: &Net| net.count(B, "packets_misaddressed");
    let before = count(&net);
    let mut to_c = good.clone();
    to_c.header.to = C;
    let other_path = dsc_wire::SubnetId(1 - good.header.path.0);
    let nobody = NodeId(60);
    let mut unknown = good.clone();
    unknown.header.from = nobody;
    for (from, path, packet) in [
        (A, good.header.path, to_c),
        (A, other_path, good.clone()),
        (C, good.header.path, good.clone()),
        (nobody, EXT, unknown),
    ] {
        net.feed(B, Input::Packet { from, path, packet });
    }
    assert_eq!(count(&net), before + 4);
}

#[test]
fn a_stranger_who_cannot_answer_is_not_believed() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.acquaint();
    let mut packet = net.tape.iter().rev().find(|(_, p)| p.header.to == B).unwrap().1.clone();
    packet.header.incarnation = Incarnation(0xdead);
    packet.header.counter = 1 << 40;
    let before = net.count(B, "lives_proven");
    net.replay(packet);
    net.run(ms(50));
    assert_eq!(net.count(B, "packets_unproven"), 1);
    let believed = net.nodes[1].rml.peers().find(|p| p.node == A).unwrap().incarnation;
    assert_eq!(believed, Some(net.nodes[0].incarnation));
    assert!(net.count(B, "lives_proven") <= before + 1);
}
