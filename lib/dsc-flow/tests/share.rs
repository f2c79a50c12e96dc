//! Sharing, one behaviour at a time: what is sent when, what a gap costs, who is ready when.

use crate::world::{World, flow, ms, us};
use dsc_flow::share::{Input, LOG_MAX, Output};
use dsc_wire::{FlowState, NodeId, NodeSet, Time};
use std::time::Duration;

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
const C: NodeId = NodeId(2);

/// So many nodes that know each other and are ready.
fn settled(nodes: usize) -> World {
    let mut world = World::new(nodes, 7);
    world.join();
    world.run(ms(500));
    assert!(world.nodes.iter().all(|n| n.ready));
    world
}

#[test]
fn what_changes_in_one_turn_is_sent_at_once_in_few_datagrams() {
    let mut world = settled(3);
    world.delay_us = (100, 100);
    let before = world.nodes[0].sent["at"];
    for n in 0..100 {
        world.change(A, flow(n, 1, FlowState::Opening));
    }
    world.run(us(200));
    assert_eq!(world.nodes[0].sent["flows"], 4, "two datagrams to each of two");
    for node in [B, C] {
        assert_eq!(world.nodes[node.index()].table, world.nodes[0].table);
        assert_eq!(world.count(node, "records_received"), 100);
    }
    world.run(ms(21));
    assert_eq!(world.nodes[0].sent["at"] - before, 4, "its position 5 and 20 ms later");
}

#[test]
fn a_gap_is_repaired_within_a_round_trip_and_later_flows_do_not_wait() {
    let mut world = settled(2);
    let copies = world.count(B, "copies_asked");
    world.loss = 1_000;
    world.change(A, flow(1, 1, FlowState::Opening));
    world.run(us(200));
    world.loss = 0;
    world.change(A, flow(2, 1, FlowState::Opening));
    world.run(us(160));
    assert_eq!(world.nodes[1].table.len(), 1, "the second is here");
    world.run(us(400));
    assert_eq!(world.nodes[1].table, world.nodes[0].table);
    assert_eq!((world.count(B, "gaps"), world.count(B, "gaps_asked")), (1, 1));
    assert_eq!(world.count(A, "records_repeated"), 1);
    assert_eq!(world.count(B, "copies_asked"), copies);
}

#[test]
fn the_loss_of_the_last_datagram_shows_within_5_ms() {
    let mut world = settled(2);
    world.loss = 1_000;
    world.change(A, flow(1, 1, FlowState::Opening));
    world.run(ms(1));
    world.loss = 0;
    world.run(ms(5));
    assert_eq!(world.nodes[1].table.len(), 1);
}

#[test]
fn a_key_that_begins_anew_holds_its_new_backend_whatever_is_lost() {
    for lost in 0..3 {
        let mut world = settled(2);
        world.change(A, flow(1, 1, FlowState::Open));
        world.run(ms(1));
        let steps = [
            flow(1, 1, FlowState::Closed),
            flow(1, 1, FlowState::Gone),
            flow(1, 9, FlowState::Opening),
        ];
        for (n, step) in steps.into_iter().enumerate() {
            world.loss = if n == lost { 1_000 } else { 0 };
            world.change(A, step);
            world.run(us(1));
        }
        world.loss = 0;
        world.run(ms(10));
        assert_eq!(world.nodes[1].table.values().collect::<Vec<_>>(), [&steps[2]], "{lost}");
    }
}

#[test]
fn what_the_log_no_longer_has_comes_with_a_copy() {
    let mut world = settled(2);
    let whole = world.count(B, "copies_whole");
    world.loss = 1_000;
    for n in 0..LOG_MAX as u32 + 10 {
        world.change(A, flow(n, 1, FlowState::Opening));
    }
    world.run(us(1));
    world.loss = 0;
    world.run(ms(1_500));
    assert_eq!(world.count(B, "gaps_lost"), 1);
    assert_eq!(world.count(B, "copies_whole"), whole + 1);
    assert_eq!(world.nodes[1].table.len(), LOG_MAX + 10);
    assert_eq!(world.count(A, "log_records"), LOG_MAX as u64);
    assert!(world.nodes[1].ready);
}

#[test]
fn a_restarted_node_is_ready_only_with_a_whole_copy_and_the_streams_go_on_meanwhile() {
    let mut world = settled(3);
    for n in 0..50_000 {
        world.change(A, flow(n, 1, FlowState::Open));
        if n % 500 == 0 {
            world.run(us(200));
        }
    }
    world.run(ms(20));
    world.restart(C, false);
    world.join();
    let mut made = 50_000;
    while !world.nodes[2].ready {
        world.change(B, flow(made, 2, FlowState::Opening));
        made += 1;
        world.run(us(100));
        assert!(made < 100_000, "never ready");
        assert!(!world.nodes[2].ready || world.nodes[2].table.len() >= 50_000);
    }
    world.run(ms(5));
    assert_eq!(world.nodes[2].table, world.nodes[0].table);
    assert_eq!(world.nodes[2].table.len(), made as usize);
    assert!(made > 50_100, "flows were made while the copy was taken");
}

#[test]
fn nodes_that_start_together_do_not_wait_for_each_other() {
    let mut world = World::new(4, 3);
    world.join();
    world.run(ms(150));
    assert!(world.nodes.iter().all(|n| n.ready));
    assert_eq!(world.count(A, "copies_forgone"), 1);
}

#[test]
fn a_node_alone_is_ready_and_one_in_no_ring_is_not() {
    let mut world = World::new(2, 3);
    world.tell_members(A, NodeSet::EMPTY);
    world.tell_members(B, [B].into_iter().collect());
    world.run(ms(50));
    assert!(!world.nodes[0].ready && world.nodes[1].ready);
    assert_eq!(world.nodes[0].share.deadline(), Time::NEVER);
}

#[test]
fn members_that_never_answer_are_waited_for_two_seconds() {
    let mut world = World::new(3, 3);
    world.sides = vec![0, 1, 2];
    world.tell_members(C, [A, B, C].into_iter().collect());
    world.run(ms(1_900));
    assert!(!world.nodes[2].ready);
    world.run(ms(200));
    assert!(world.nodes[2].ready);
    assert_eq!(world.count(C, "copies_forgone"), 1);
    assert!(world.count(C, "copies_abandoned") >= 4, "each was asked more than once");
}

#[test]
fn two_rings_that_merge_bring_each_other_all_they_have() {
    let mut world = settled(4);
    world.sides = vec![0, 0, 1, 1];
    world.join();
    world.run(ms(50));
    for n in 0..3_000 {
        world.change(NodeId((n % 4) as u8), flow(n, (n % 4) as u8, FlowState::Open));
    }
    world.run(ms(50));
    // Node 1 is gone with what only its side had heard.
    world.restart(B, false);
    world.sides = vec![0; 4];
    world.join();
    world.run(ms(1_500));
    for node in world.all() {
        assert_eq!(world.nodes[node.index()].table.len(), 3_000, "{node}");
    }
}

#[test]
fn a_flow_that_ends_while_a_copy_is_on_its_way_is_not_brought_back() {
    let mut world = settled(3);
    for n in 0..20_000 {
        world.change(A, flow(n, 1, FlowState::Open));
    }
    world.run(ms(100));
    world.restart(C, false);
    world.join();
    world.delay_us = (50, 5_000);
    for n in 0..20_000 {
        world.change(A, flow(n, 1, FlowState::Gone));
        if n % 20 == 0 {
            world.run(us(100));
        }
    }
    world.run(ms(1_000));
    assert!(world.nodes.iter().all(|n| n.ready && n.table.is_empty()));
    assert!(world.count(C, "copy_flows_gone") > 0, "the race happened");
}

#[test]
fn a_node_that_slept_takes_copies_though_its_members_are_the_same() {
    let mut world = settled(2);
    let asked = world.count(A, "copies_asked");
    let mut out = Vec::new();
    let later = world.now + ms(3_000);
    world.nodes[0].share.step(later, Input::Tick, &mut out);
    assert!(out.iter().any(|o| matches!(o, Output::Send { to: B, .. })));
    assert_eq!(world.count(A, "copies_asked"), asked + 1);
}

#[test]
fn the_progress_of_each_peer_is_told() {
    let mut world = settled(2);
    world.loss = 1_000;
    (0..5).for_each(|n| world.change(A, flow(n, 1, FlowState::Opening)));
    world.run(us(1));
    world.loss = 0;
    world.change(A, flow(5, 1, FlowState::Opening));
    world.run(us(155));
    let progress = world.nodes[1].share.progress().next().expect("a peer");
    assert_eq!((progress.node, progress.known, progress.received, progress.ready), (A, 6, 0, true));
    world.run(ms(1));
    let progress = world.nodes[1].share.progress().next().expect("a peer");
    assert_eq!((progress.known, progress.received), (6, 6));
    assert_eq!(world.nodes[0].share.position(), 6);
}

/// A flow that the kernel made so long ago, and then the turn that tells of it.
fn made(world: &mut World, node: NodeId, n: u32, ago: Duration) {
    let at = world.now.before(ago);
    world.make(node, flow(n, 1, FlowState::Opening), at);
    world.run(us(1));
}

#[test]
fn the_lag_of_new_flows_is_without_their_time_on_the_wire() {
    let mut world = settled(2);
    world.delay_us = (700, 700);
    let lag = |world: &World, node: NodeId| world.nodes[node.index()].share.lag(world.now);
    assert_eq!(lag(&world, B), None);
    made(&mut world, A, 1, us(90));
    world.run(ms(1));
    let told = lag(&world, B).unwrap();
    assert_eq!((told.flows, told.max_us), (1, 90));
    // What only goes on has no age.
    world.change(A, flow(1, 1, FlowState::Open));
    world.change(A, flow(2, 1, FlowState::Closed));
    world.run(ms(1));
    assert_eq!(lag(&world, B).unwrap().flows, 1);
    assert_eq!(lag(&world, A), None, "it has made them itself");
}

#[test]
fn the_lag_of_a_flow_whose_datagram_was_lost_is_until_it_comes_again() {
    let mut world = settled(2);
    world.delay_us = (100, 100);
    world.loss = 1_000;
    made(&mut world, A, 1, us(50));
    world.loss = 0;
    world.run(ms(8));
    let lag = world.nodes[1].share.lag(world.now).unwrap();
    assert_eq!(lag.flows, 1);
    // Its position is told after 5 ms, which is asked for at once; it comes twice, and the second time is known.
    assert!((5_100..5_500).contains(&lag.max_us), "{lag:?}");
}

#[test]
fn what_a_node_told_only_some_before_it_died_reaches_all() {
    let mut world = settled(3);
    world.sides = vec![0, 1, 0];
    world.change(A, flow(1, 1, FlowState::Opening));
    world.change(A, flow(2, 1, FlowState::Opening));
    world.change(A, flow(2, 1, FlowState::Gone));
    world.run(us(200));
    world.sides = vec![0, 1, 1];
    let left: NodeSet = [B, C].into_iter().collect();
    world.tell_members(B, left);
    world.tell_members(C, left);
    world.run(ms(50));
    assert_eq!(world.nodes[1].table.len(), 1, "from the one that had heard it");
    assert_eq!(world.count(C, "records_relayed"), 1);
    assert_eq!(world.nodes[1].table, world.nodes[2].table);
}

/// Three nodes, the last of which was cut off, has a flow that only a copy tells, and is heard again by the second alone.
fn met_by_one(flow_of_it: u32) -> World {
    let mut world = settled(3);
    world.sides = vec![0, 0, 1];
    world.join();
    world.run(ms(50));
    world.change(C, flow(flow_of_it, 1, FlowState::Open));
    world.restart(C, true);
    world.sides = vec![0, 1, 1];
    world
}

#[test]
fn a_node_that_dies_after_only_some_took_its_copy_leaves_it_to_all() {
    let mut world = met_by_one(1);
    let all: NodeSet = world.all().collect();
    for node in world.all() {
        world.tell_members(node, all);
    }
    // It may try the first node before, in vain.
    world.run(ms(2_500));
    assert_eq!((world.nodes[0].table.len(), world.nodes[1].table.len()), (0, 1));
    world.sides = vec![0, 0, 1];
    let left: NodeSet = [A, B].into_iter().collect();
    world.tell_members(A, left);
    world.tell_members(B, left);
    world.run(ms(1_500));
    assert_eq!(world.nodes[0].table.len(), 1);
}

#[test]
fn a_node_whose_ring_daemon_was_away_learns_what_it_missed() {
    let mut world = met_by_one(1);
    world.tell_members(A, NodeSet::EMPTY);
    world.tell_members(B, [B, C].into_iter().collect());
    world.tell_members(C, [B, C].into_iter().collect());
    world.run(ms(200));
    assert_eq!((world.nodes[0].table.len(), world.nodes[1].table.len()), (0, 1));
    world.sides = vec![0, 0, 1];
    let left: NodeSet = [A, B].into_iter().collect();
    world.tell_members(A, left);
    world.tell_members(B, left);
    world.run(ms(1_500));
    assert_eq!(world.nodes[0].table.len(), 1);
}
