//! Messages that nobody acknowledges: one packet each, proven by what follows from them, delivered like any other when
//! the layer above insists.

use crate::net::{A, B, EXT, INT, Net, ms, us};
use dsc_rml::{Input, Output};
use dsc_wire::packet::Body;
use dsc_wire::{NodeId, SendId, Time, Timing};

const DEFAULT: Timing = Timing::DEFAULT;

fn acquainted() -> Net {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.delay_us = (100, 100);
    net.acquaint();
    net.nodes.iter_mut().for_each(|n| n.keeps = true);
    net
}

/// The token of two nodes: each passes it on when it comes, which tells the other that its own pass arrived.
fn rotate(net: &mut Net, turns: usize) {
    let mut under_way: Option<(NodeId, SendId)> = None;
    for _ in 0..turns {
        for (from, to) in [(A, B), (B, A)] {
            let id = net.send_tacit(from, to, vec![7; 300]);
            if let Some((sender, id)) = under_way.replace((from, id)) {
                net.feed(sender, Input::Arrived { id });
            }
            net.run(DEFAULT.rotation / 2);
        }
    }
}

fn asked_again(net: &Net, node: NodeId) -> Vec<Time> {
    let log = net.nodes[node.index()].log.iter();
    log.filter(|(_, o)| matches!(o, Output::Repeated { .. })).map(|(at, _)| *at).collect()
}

#[test]
fn a_tacit_message_is_one_packet_and_paths_take_turns() {
    let mut net = acquainted();
    let start = net.now;
    rotate(&mut net, 50);
    let packets: Vec<_> = net.tape.iter().filter(|(at, _)| *at >= start).collect();
    let data = packets.iter().filter(|(_, p)| matches!(p.body, Body::Data { tacit: true, .. }));
    assert_eq!(data.count(), 100);
    // Round trips are still measured now and then: each node asks once in 50 rotations.
    assert!(packets.len() <= 104, "{} packets", packets.len());
    let paths: Vec<_> = net.tries(A, start).iter().map(|(_, path)| *path).collect();
    assert!(paths.windows(2).all(|w| w[0] != w[1]), "{paths:?}");
    assert_eq!((net.linked(A), net.linked(B)), (vec![0, 1], vec![0, 1]));
    assert_eq!(net.count(A, "messages_arrived"), 50);
    assert_eq!(net.count(A, "messages_retried"), 0);
}

#[test]
fn insisting_on_a_lost_message_is_its_first_time_out() {
    let mut net = acquainted();
    net.cuts.insert((A, B, EXT));
    net.cuts.insert((A, B, INT));
    let start = net.now;
    let id = net.send_tacit(A, B, b"token".to_vec());
    net.run(ms(500));
    assert_eq!(net.tries(A, start).len(), 1, "nobody insists");
    let first = net.tries(A, start)[0].1;
    net.cuts.remove(&(A, B, if first == EXT { INT } else { EXT }));
    let now = net.now;
    net.feed(A, Input::Insist { id });
    net.run(ms(1));
    assert_eq!(net.delivered(A, id), Some(now + us(200)), "answered, though B keeps its verdicts");
    assert_ne!(net.tries(A, now)[0].1, first);
    net.run(ms(60));
    assert_eq!(net.linked(A), [u8::from(first == EXT)], "the path that lost it is found out");
}

#[test]
fn a_receiver_that_is_asked_again_answers_and_says_so() {
    let mut net = acquainted();
    let id = net.send_tacit(A, B, b"token".to_vec());
    net.run(ms(10));
    assert_eq!((net.received(B).len(), net.delivered(A, id)), (1, None));
    let now = net.now;
    net.feed(A, Input::Insist { id });
    net.run(ms(1));
    assert_eq!(net.delivered(A, id), Some(now + us(200)));
    assert_eq!(asked_again(&net, B), [now + us(100)]);
    assert_eq!(net.received(B).len(), 1);
}

#[test]
fn a_dead_peer_fails_when_removal_has_passed_since_it_was_insisted_on() {
    let mut net = acquainted();
    net.cut(B, EXT, true, true);
    net.cut(B, INT, true, true);
    let id = net.send_tacit(A, B, vec![1]);
    net.run(ms(25));
    assert_eq!(net.failed(A, id), None);
    let now = net.now;
    net.feed(A, Input::Insist { id });
    net.run(ms(100));
    assert_eq!(net.failed(A, id), Some(now + DEFAULT.removal));
}

#[test]
fn a_subnet_that_carries_nothing_to_this_node_is_noticed_though_what_it_sends_arrives() {
    let mut net = acquainted();
    rotate(&mut net, 10);
    net.cut(B, EXT, true, false);
    let start = net.now;
    let mut noticed = None;
    for _ in 0..8 {
        rotate(&mut net, 1);
        if noticed.is_none() && net.linked(A) == [1] {
            noticed = Some(net.now.since(start));
        }
    }
    assert!(noticed.is_some_and(|after| after <= DEFAULT.rotation * 6), "{noticed:?}");
}

#[test]
fn what_was_not_sent_tacitly_is_not_insisted_on_and_an_arrival_is_taken_once() {
    let mut net = acquainted();
    net.nodes[1].keeps = false;
    net.nodes[1].silent = true;
    let (id, now) = (net.send(A, B, vec![1]), net.now);
    net.run(ms(2));
    net.feed(A, Input::Insist { id });
    net.run(ms(100));
    assert_eq!(net.failed(A, id), Some(now + DEFAULT.removal), "its time runs since it was sent");
    let id = net.send_tacit(A, B, vec![2]);
    net.run(ms(2));
    net.feed(A, Input::Arrived { id });
    net.feed(A, Input::Arrived { id });
    assert_eq!(net.count(A, "messages_arrived"), 1);
}
