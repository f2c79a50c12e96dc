//! Messages between two nodes: delivered once, tried on every path, given up in time.

use crate::net::{A, B, C, EXT, INT, Net, ms, us, verdict};
use dsc_rml::{Input, Output};
use dsc_wire::delivery::{MESSAGE_MAX, VERDICT_MAX};
use dsc_wire::packet::FRAGMENT_MAX;
use dsc_wire::{NodeId, Receipt, SendId, Timing};
use std::collections::HashSet;

const DEFAULT: Timing = Timing::DEFAULT;

#[test]
fn the_first_message_pays_one_round_trip_for_the_challenge() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.delay_us = (100, 100);
    let start = net.now;
    let id = net.send(A, B, b"911".to_vec());
    net.run(ms(1));
    assert_eq!(net.delivered(A, id), Some(start + us(400)));
    assert_eq!(net.received(B), [b"911".to_vec()]);
    let log = &net.nodes[0].log;
    assert!(log.iter().any(|(_, o)| *o == Output::Delivered { id, verdict: verdict(b"911") }));
    assert_eq!((net.linked(A), net.linked(B)), (vec![0, 1], vec![0, 1]));
}

#[test]
fn a_known_peer_costs_two_packets_a_message_and_paths_take_turns() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.acquaint();
    let (start, before) = (net.now, net.tape.len());
    for _ in 0..10 {
        net.send(A, B, vec![1; 900]);
        net.run(ms(1));
    }
    assert_eq!(net.tape.len() - before, 20);
    let paths: Vec<u8> = net.tries(A, start).iter().map(|(_, path)| path.0).collect();
    assert!(paths.windows(2).all(|w| w[0] != w[1]), "{paths:?}");
}

#[test]
fn three_pieces_are_acknowledged_by_one_packet() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.delay_us = (100, 100);
    net.acquaint();
    let before = net.tape.len();
    net.send(A, B, vec![1; 2 * FRAGMENT_MAX + 1]);
    net.run(ms(2));
    assert_eq!(net.tape.len() - before, 4);
}

#[test]
fn any_size_arrives_whole() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    for len in [0, 1, FRAGMENT_MAX - 1, FRAGMENT_MAX, FRAGMENT_MAX + 1, 50_000, MESSAGE_MAX] {
        let message: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let id = net.send(A, B, message.clone());
        net.run(ms(28));
        assert!(net.delivered(A, id).is_some(), "{len} bytes");
        assert_eq!(net.received(B).last(), Some(&message));
    }
    assert_eq!(net.count(A, "messages_retried"), 0);
}

#[test]
fn what_cannot_be_sent_fails_at_once() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    for (to, len) in [(B, MESSAGE_MAX + 1), (A, 1), (NodeId(2), 1), (NodeId(63), 1)] {
        let id = net.send(A, to, vec![0; len]);
        assert_eq!(net.failed(A, id), Some(net.now));
    }
    assert_eq!(net.count(A, "messages_refused"), 4);
    net.feed(A, Input::Datagram { to: B, body: vec![0; FRAGMENT_MAX + 1] });
    net.feed(A, Input::Datagram { to: A, body: vec![] });
    assert_eq!(net.count(A, "datagrams_refused"), 2);
}

#[test]
fn messages_in_flight_are_bounded() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.acquaint();
    net.nodes[1].silent = true;
    let ids: Vec<SendId> = (0..20).map(|_| net.send(A, B, vec![1])).collect();
    let refused = ids.iter().filter(|id| net.failed(A, **id) == Some(net.now)).count();
    assert_eq!((refused, net.count(A, "messages_refused")), (4, 4));
    net.run(ms(28));
    assert!(ids.iter().all(|id| net.failed(A, *id).is_some()));
    net.nodes[1].silent = false;
    let id = net.send(A, B, vec![2]);
    net.run(ms(1));
    assert!(net.delivered(A, id).is_some(), "there is room again");
}

#[test]
fn a_dead_peer_fails_at_removal_after_tries_on_every_path() {
    for (timing, tries) in [
        (DEFAULT, [(0, 0), (4_000, 1), (12_000, 0)].as_slice()),
        (Timing::FAST, &[(0, 0), (1_500, 1)]),
    ] {
        let mut net = Net::new(2, 2, timing, 1);
        net.acquaint();
        net.cut(B, EXT, true, true);
        net.cut(B, INT, true, true);
        let start = net.now;
        let id = net.send(A, B, vec![1]);
        net.run(ms(100));
        assert_eq!(net.failed(A, id), Some(start + timing.removal));
        let made: Vec<(u64, u8)> = net
            .tries(A, start)
            .iter()
            .map(|(at, p)| (at.since(start).as_micros() as u64, p.0))
            .collect();
        let last = tries[tries.len() - 1].0;
        let alone: Vec<_> = made.iter().copied().filter(|(at, _)| *at < last).collect();
        let final_try: HashSet<u8> =
            made.iter().filter(|(at, _)| *at == last).map(|m| m.1).collect();
        assert_eq!(alone.len(), tries.len() - 1, "{made:?}");
        assert!(alone.iter().zip(tries).all(|(m, t)| m.0 == t.0), "{made:?}");
        assert_eq!(final_try, [0, 1].into(), "the last try goes out on all paths: {made:?}");
        assert!(net.nodes[0].rml.peers().all(|p| p.paths.iter().all(|p| !p.up)));
        assert_eq!(net.linked(A), [0, 1], "a dead peer says nothing about our subnets");
    }
}

#[test]
fn a_peer_never_heard_fails_at_removal_too() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.cut(B, EXT, true, true);
    net.cut(B, INT, true, true);
    let start = net.now;
    let id = net.send(A, B, vec![1]);
    net.run(ms(100));
    assert_eq!(net.failed(A, id), Some(start + DEFAULT.removal));
    assert_eq!(net.count(A, "hellos_sent"), 3);
    assert_eq!(net.linked(A), [0_u8; 0]);
}

#[test]
fn a_lost_challenge_is_sent_again_within_the_same_removal() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.loss = 1_000;
    let start = net.now;
    let id = net.send(A, B, vec![1]);
    net.run(ms(3));
    net.loss = 0;
    net.run(ms(30));
    let at = net.delivered(A, id).expect("failed");
    assert!(at.since(start) < ms(5), "{:?}", at.since(start));
}

#[test]
fn slow_answers_still_leave_two_tries_on_two_paths() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.acquaint();
    net.delay_us = (10_000, 10_000);
    for _ in 0..20 {
        net.send(A, B, vec![1]);
        net.run(ms(40));
    }
    net.cut(B, EXT, true, true);
    net.cut(B, INT, true, true);
    let start = net.now;
    let id = net.send(A, B, vec![1]);
    net.run(ms(40));
    assert_eq!(net.failed(A, id), Some(start + DEFAULT.removal));
    let tries = net.tries(A, start);
    assert!(tries.iter().any(|t| t.1 == EXT) && tries.iter().any(|t| t.1 == INT), "{tries:?}");
}

#[test]
fn one_path_dead_costs_one_time_out_and_then_nothing() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.acquaint();
    net.cut(B, EXT, true, true);
    let mut worst = us(0);
    for turn in 0..20 {
        let start = net.now;
        let id = net.send(A, B, vec![1]);
        net.run(ms(20));
        let took = net.delivered(A, id).expect("failed").since(start);
        worst = worst.max(took);
        assert!(turn < 4 || took < ms(1), "turn {turn} took {took:?}");
    }
    assert!(worst < ms(5), "{worst:?}");
    let lost = Output::PathChanged { peer: B, path: EXT, up: false };
    assert_eq!(net.nodes[0].log.iter().filter(|(_, o)| *o == lost).count(), 1);
    net.heal();
    net.run(ms(20));
    net.send(A, B, vec![1]);
    net.run(ms(20));
    let back = Output::PathChanged { peer: B, path: EXT, up: true };
    assert_eq!(net.nodes[0].log.iter().filter(|(_, o)| *o == back).count(), 1);
}

#[test]
fn paths_cut_crosswise_still_carry_messages() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.acquaint();
    net.cuts.insert((A, B, EXT));
    net.cuts.insert((B, A, INT));
    for turn in 0..10 {
        let start = net.now;
        let id = net.send(A, B, vec![1]);
        net.run(ms(28));
        let took = net.delivered(A, id).expect("failed").since(start);
        assert!(took < ms(if turn < 3 { 13 } else { 5 }), "turn {turn}: {took:?}");
    }
    assert_eq!(net.received(B).len(), 10);
    let b = net.nodes[0].rml.peers().find(|p| p.node == B).unwrap();
    assert!(b.paths.iter().all(|p| !p.up), "neither works both ways: {b:?}");
}

#[test]
fn a_receiver_without_a_verdict_lets_the_message_fail_but_its_paths_work() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.acquaint();
    net.nodes[1].silent = true;
    let start = net.now;
    let id = net.send(A, B, vec![1]);
    net.run(ms(30));
    assert_eq!(net.failed(A, id), Some(start + DEFAULT.removal));
    assert_eq!(net.received(B).len(), 1);
    net.nodes[1].silent = false;
    let id = net.send(A, B, vec![2]);
    net.run(ms(30));
    assert!(net.delivered(A, id).is_some());
}

#[test]
fn a_cancelled_message_is_never_heard_of_again() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.acquaint();
    let id = net.send(A, B, vec![1]);
    net.feed(A, Input::Cancel { id });
    net.run(ms(50));
    assert_eq!((net.delivered(A, id), net.failed(A, id)), (None, None));
}

#[test]
fn a_tick_after_a_stall_starts_attempts_again() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.acquaint();
    net.cut(B, EXT, true, true);
    net.cut(B, INT, true, true);
    let start = net.now;
    let id = net.send(A, B, vec![1]);
    net.pause(A, ms(60));
    net.run(ms(61));
    assert_eq!(net.failed(A, id), None, "judged although it was not running");
    assert_eq!(net.count(A, "stalls"), 1);
    net.run(ms(40));
    assert_eq!(net.failed(A, id), Some(start + ms(60) + DEFAULT.removal));
    // The answer that waited in the socket is taken before anything is judged.
    net.heal();
    net.acquaint();
    let id = net.send(A, B, vec![1]);
    net.pause(A, ms(60));
    net.run(ms(61));
    assert!(net.delivered(A, id).is_some());
}

#[test]
fn a_stalled_peer_loses_no_message_that_it_answers_in_time() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.acquaint();
    net.pause(B, ms(25));
    let id = net.send(A, B, vec![1]);
    net.run(ms(40));
    assert!(net.delivered(A, id).is_some());
    assert_eq!(net.received(B).len(), 1, "delivered once although tried three times");
}

#[test]
fn verdicts_are_owed_once_and_bounded() {
    let mut net = Net::new(2, 2, DEFAULT, 1);
    net.nodes[1].silent = true;
    net.send(A, B, vec![1]);
    net.run(ms(2));
    let receipt = match &net.nodes[1].log.last().unwrap().1 {
        Output::Received { receipt, .. } => *receipt,
        other => panic!("{other:?}"),
    };
    let answer = |receipt, len| Input::Answer { receipt, verdict: vec![0; len] };
    net.feed(B, answer(receipt, VERDICT_MAX + 1));
    net.feed(B, answer(Receipt(receipt.0 + 256), 1));
    net.feed(B, answer(Receipt(u64::MAX), 1));
    net.feed(B, answer(receipt, VERDICT_MAX));
    net.feed(B, answer(receipt, VERDICT_MAX));
    assert_eq!(net.count(B, "verdicts_refused"), 4);
    net.run(ms(1));
    assert_eq!(net.count(A, "messages_delivered"), 1);
}

#[test]
fn datagrams_arrive_once_and_wait_for_the_challenge() {
    let mut net = Net::new(3, 2, DEFAULT, 1);
    let datagrams = |net: &Net| {
        let log = net.nodes[1].log.iter();
        log.filter(|(_, o)| matches!(o, Output::Datagram { from: A, .. })).count()
    };
    net.feed(A, Input::Datagram { to: B, body: b"beacon".to_vec() });
    net.run(ms(2));
    assert_eq!(datagrams(&net), 1);
    net.feed(A, Input::Datagram { to: B, body: b"beacon".to_vec() });
    net.run(ms(2));
    assert_eq!((datagrams(&net), net.count(B, "datagrams_repeated")), (2, 2));
    // One that waited too long is stale.
    net.cut(C, EXT, true, true);
    net.cut(C, INT, true, true);
    net.feed(A, Input::Datagram { to: C, body: b"old".to_vec() });
    net.run(ms(200));
    net.heal();
    net.send(A, C, vec![1]);
    net.run(ms(5));
    assert!(!net.nodes[2].log.iter().any(|(_, o)| matches!(o, Output::Datagram { .. })));
    assert_eq!(net.count(A, "datagrams_unsent"), 1);
}
