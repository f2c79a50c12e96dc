//! Which subnets work: noticed in time, the right one blamed, nothing blamed for a stall, next to no packets.

use crate::net::{A, B, C, EXT, INT, Net, ms, us};
use dsc_wire::packet::Body;
use dsc_wire::{NodeId, SubnetId, Timing};
use std::time::Duration;

const DEFAULT: Timing = Timing::DEFAULT;

/// A rotating ring in steady state.
fn ring(nodes: usize, subnets: u8, timing: Timing, seed: u64) -> Net {
    let mut net = Net::new(nodes, subnets, timing, seed);
    net.acquaint();
    net.rotate(5);
    net
}

/// Rotates until the links of `node` are `expected`; returns how long that took.
fn until(net: &mut Net, node: NodeId, expected: &[u8], most: Duration) -> Duration {
    let start = net.now;
    let (n, mut turn) = (net.nodes.len(), 0);
    let hold = DEFAULT.rotation / n as u32;
    let mut next = net.now;
    while net.linked(node) != expected {
        assert!(net.now < start + most, "{:?} after {most:?}", net.linked(node));
        if net.now >= next {
            let (from, to) = (NodeId((turn % n) as u8), NodeId(((turn + 1) % n) as u8));
            net.send(from, to, vec![1; 300]);
            (turn, next) = (turn + 1, next + hold);
        }
        net.run(us(100));
    }
    net.now.since(start)
}

#[test]
fn a_quiet_ring_needs_no_probes_beyond_the_survey() {
    for nodes in [2, 3, 8] {
        let mut net = ring(nodes, 2, DEFAULT, 1);
        let (packets, retried) = (net.tape.len(), net.count(A, "messages_retried"));
        net.rotate(500);
        // Ten seconds: a message each rotation, and one probe a second.
        let each = (net.tape.len() - packets) as u64 / nodes as u64;
        assert!((500..=500 + 2 * 11).contains(&each), "{nodes} nodes: {each} packets each");
        assert_eq!(net.count(A, "messages_retried"), retried);
        for node in 0..nodes as u8 {
            assert_eq!(net.linked(NodeId(node)), [0, 1]);
        }
    }
}

#[test]
fn a_third_subnet_is_watched_by_a_few_probes() {
    let mut net = ring(3, 3, DEFAULT, 1);
    let before = net.count(A, "probes_sent");
    net.rotate(50);
    let probes = net.count(A, "probes_sent") - before;
    assert!((1..=3 * 20).contains(&probes), "{probes} in a second");
    assert_eq!(net.linked(A), [0, 1, 2]);
    net.cut(A, SubnetId(2), true, true);
    assert!(until(&mut net, A, &[0, 1], ms(100)) <= ms(80));
}

#[test]
fn a_dead_subnet_of_ours_is_noticed_whichever_way_it_is_cut() {
    for nodes in [2, 3, 5, 8, 64] {
        for (out, into) in [(true, true), (true, false), (false, true)] {
            let mut worst = us(0);
            for seed in 1..=if nodes == 64 { 1 } else { 5 } {
                let mut net = ring(nodes, 2, DEFAULT, seed);
                net.run(us(seed * 3_700));
                net.cut(B, EXT, out, into);
                worst = worst.max(until(&mut net, B, &[1], ms(150)));
                net.rotate(5);
                assert_eq!(net.linked(B), [1], "it stays known while the cut lasts");
                for other in (0..nodes as u8).map(NodeId).filter(|n| *n != B && nodes > 2) {
                    assert_eq!(net.linked(other), [0, 1], "{other} of {nodes} is not to blame");
                }
                net.heal();
                let back = until(&mut net, B, &[0, 1], ms(150));
                assert!(back <= ms(45), "{nodes} nodes: back after {back:?}");
            }
            assert!(worst <= ms(62), "{nodes} nodes, out {out}, in {into}: {worst:?}");
        }
    }
}

#[test]
fn the_fast_timing_notices_faster() {
    let mut net = Net::new(3, 2, Timing::FAST, 1);
    net.acquaint();
    net.rotate(5);
    net.cut(B, EXT, true, true);
    net.rotate(4);
    assert_eq!((net.linked(B), net.linked(A), net.linked(C)), (vec![1], vec![0, 1], vec![0, 1]));
}

#[test]
fn a_dead_subnet_is_noticed_when_the_only_other_peers_are_dead() {
    let mut net = ring(4, 2, DEFAULT, 1);
    // C and the fourth node crash; A and B go on as a ring of two.
    net.pause(C, Duration::from_secs(1_000));
    net.pause(NodeId(3), Duration::from_secs(1_000));
    let alternate = |net: &mut Net, turns: usize| {
        for turn in 0..turns {
            let (from, to) = if turn % 2 == 0 { (A, B) } else { (B, A) };
            net.send(from, to, vec![1]);
            net.run(ms(10));
        }
    };
    alternate(&mut net, 20);
    assert_eq!((net.linked(A), net.linked(B)), (vec![0, 1], vec![0, 1]));
    net.cut(A, EXT, true, true);
    alternate(&mut net, 10);
    assert_eq!(net.linked(A), [1]);
    net.heal();
    alternate(&mut net, 6);
    assert_eq!(net.linked(A), [0, 1]);
}

#[test]
fn stalls_and_crashes_of_peers_and_our_own_blame_no_subnet() {
    for nodes in [2, 3, 8] {
        for seed in 0..20 {
            let mut net = ring(nodes, 2, DEFAULT, seed);
            for turn in 0..20 {
                let victim = NodeId(net.draw.below(nodes as u64) as u8);
                let span = ms(20 + net.draw.below(100));
                net.pause(victim, span);
                for _ in 0..12 {
                    net.rotate(1);
                    for node in (0..nodes as u8).map(NodeId) {
                        assert_eq!(
                            net.linked(node),
                            [0, 1],
                            "{node} of {nodes}, seed {seed}, turn {turn}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_witness_that_stalls_is_waited_for() {
    let mut net = ring(3, 2, DEFAULT, 1);
    net.cuts.extend([(A, B, EXT), (B, A, EXT)]);
    net.pause(C, ms(60));
    for _ in 0..10 {
        net.rotate(1);
        assert_eq!(net.linked(A), [0, 1]);
    }
}

#[test]
fn a_path_that_died_long_ago_is_no_evidence_about_today() {
    let mut net = ring(3, 2, DEFAULT, 1);
    net.cuts.extend([(A, B, EXT), (B, A, EXT)]);
    net.rotate(20);
    net.pause(C, ms(400));
    for _ in 0..30 {
        net.rotate(1);
        assert_eq!(net.linked(A), [0, 1]);
    }
}

#[test]
fn everything_standing_still_at_once_blames_nothing() {
    let mut net = ring(3, 2, DEFAULT, 1);
    for _ in 0..10 {
        for node in [A, B, C] {
            net.pause(node, ms(110));
        }
        net.run(ms(110));
        net.rotate(5);
        for node in [A, B, C] {
            assert_eq!(net.linked(node), [0, 1]);
            assert_eq!(net.count(node, "messages_failed"), 0);
        }
    }
}

#[test]
fn loss_blames_no_subnet() {
    let mut net = ring(3, 2, DEFAULT, 1);
    net.loss = 50;
    for _ in 0..500 {
        net.rotate(1);
        for node in [A, B, C] {
            assert_eq!(net.linked(node), [0, 1]);
        }
    }
}

#[test]
fn after_a_long_silence_nothing_is_known() {
    let mut net = ring(2, 2, DEFAULT, 1);
    net.cut(B, EXT, true, true);
    net.cut(B, INT, true, true);
    net.send(A, B, vec![1]);
    net.run(ms(500));
    assert_eq!(net.linked(A), [0, 1]);
    net.run(ms(600));
    assert_eq!(net.linked(A), [0_u8; 0]);
    // Only ext comes back, and only ext is believed.
    net.heal();
    net.cut(B, INT, true, true);
    net.send(A, B, vec![1]);
    net.run(ms(30));
    assert_eq!((net.linked(A), net.linked(B)), (vec![0], vec![0]));
}

#[test]
fn a_subnet_dead_from_the_start_is_never_linked() {
    let mut net = Net::new(3, 2, DEFAULT, 1);
    net.cut(B, EXT, true, true);
    net.acquaint();
    net.rotate(10);
    assert_eq!((net.linked(A), net.linked(B), net.linked(C)), (vec![0, 1], vec![1], vec![0, 1]));
    net.heal();
    net.rotate(4);
    assert_eq!(net.linked(B), [0, 1]);
}

#[test]
fn a_node_alone_is_quiet() {
    let mut net = ring(3, 2, DEFAULT, 1);
    net.pause(B, Duration::from_secs(1_000));
    net.pause(C, Duration::from_secs(1_000));
    net.send(A, B, vec![1]);
    net.send(A, C, vec![1]);
    net.run(ms(200));
    let before = net.tape.len();
    net.run(Duration::from_secs(10));
    let sent: Vec<&Body> = net.tape[before..].iter().map(|(_, p)| &p.body).collect();
    assert!(sent.is_empty(), "{sent:?}");
}

#[test]
fn a_dead_path_between_two_is_asked_about_once_a_rotation() {
    let mut net = ring(3, 2, DEFAULT, 1);
    net.cuts.insert((A, B, EXT));
    net.rotate(10);
    assert_eq!(net.linked(A), [0, 1], "C still answers on it");
    let before = net.tape.len();
    net.rotate(50);
    let probes = net.tape[before..].iter().filter(|(_, p)| {
        matches!(p.body, Body::Probe { .. }) && p.header.from == A && p.header.to == B
    });
    let probes = probes.count();
    assert!((25..=55).contains(&probes), "{probes} in a second");
}
