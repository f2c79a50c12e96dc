//! VIPs that move to even out the load, in rings that hand each other the token (rule 20). What is chosen is tested with
//! `src/load.rs`; here, that it is carried out like any move on purpose.

use crate::world::{World, cluster};
use dsc_ring::Input;
use dsc_wire::local::{Command, Event, EventKind, VipLoad};
use dsc_wire::{Balance, Cluster, NodeId, Persistence, SubnetId, VipId};
use std::time::Duration;

/// Each VIP's load, bytes per second.
const LOADS: [u64; 8] =
    [4_000_000, 3_000_000, 2_000_000, 2_000_000, 1_000_000, 1_000_000, 500_000, 500_000];

fn plan(nodes: usize) -> Cluster {
    let mut plan = cluster(nodes, LOADS.len());
    plan.balance = Balance::DEFAULT;
    for vip in &mut plan.vips {
        (vip.subnet, vip.persistence) = (SubnetId(0), Persistence::Free);
        // All on one, until the load is known.
        vip.preferred = Some(NodeId(0));
    }
    plan
}

fn measure(world: &mut World, loads: &[u64]) {
    let load = |(vip, load): (u16, &u64)| VipLoad { vip: VipId(vip), bytes_per_s: *load };
    let loads: Vec<VipLoad> = (0u16..).zip(loads).map(load).collect();
    for i in world.running() {
        world.input(i, Input::VipLoads { loads: Some(loads.clone()) });
    }
}

fn carried(world: &World) -> Vec<u64> {
    let mut carried = vec![0; world.seats.len()];
    for (vip, load) in LOADS.iter().enumerate() {
        for node in world.who(vip) {
            carried[node] += load;
        }
    }
    carried
}

fn moves(world: &World, of: usize) -> Vec<&Event> {
    let events = world.seats[of].events.iter();
    events.filter(|e| matches!(e.kind, EventKind::Balanced { .. })).collect()
}

#[test]
fn a_loaded_node_gives_and_everybody_is_told_the_figures() {
    let mut world = World::formed(plan(4));
    assert_eq!(world.hosts_of(0), LOADS.len(), "{}", world.describe());
    measure(&mut world, &LOADS);
    world.run(10_000);
    let after = carried(&world);
    // 14 MB/s on four.
    assert!(after.iter().all(|load| *load <= 4_200_000), "{after:?}");
    let count = moves(&world, 0).len();
    for node in 1..4 {
        assert_eq!(moves(&world, node), moves(&world, 0), "node {node}");
    }
    let EventKind::Balanced { bytes_per_s, from_bytes_per_s, to_bytes_per_s, cpu, .. } =
        moves(&world, 0)[0].kind
    else {
        panic!("another event");
    };
    assert_eq!((from_bytes_per_s, to_bytes_per_s, cpu), (14_000_000, 0, false));
    assert_eq!(bytes_per_s, 4_000_000);
    world.run(30_000);
    assert_eq!(moves(&world, 0).len(), count, "it has come to rest");
}

#[test]
fn one_at_a_time_and_none_unserved() {
    let mut world = World::formed(plan(4));
    measure(&mut world, &LOADS);
    for _ in 0..8_000 {
        world.run(1);
        let next = world.view(0).vips.iter().filter(|v| v.next.is_some()).count();
        assert!(next <= 1, "{}", world.describe());
        assert!(world.who(0).len() <= 1);
    }
    assert!(!moves(&world, 0).is_empty());
}

/// However often loads are looked at: a move that was begun has the turns that it takes.
#[test]
fn a_move_is_not_given_up_before_the_next_turn() {
    let mut plan = plan(24);
    plan.balance.sample = Duration::from_millis(1);
    let mut world = World::formed(plan);
    measure(&mut world, &LOADS);
    world.run(10_000);
    assert!(moves(&world, 0).len() > 1, "{}", world.describe());
}

#[test]
fn switched_off_nothing_moves_but_the_load_is_told() {
    let mut plan = plan(2);
    plan.balance.on = false;
    let mut world = World::formed(plan);
    measure(&mut world, &LOADS);
    world.run(10_000);
    assert_eq!(world.hosts_of(0), LOADS.len());
    assert_eq!(world.view(1).vips[0].bytes_per_s, LOADS[0]);
}

#[test]
fn pinned_vips_stay_until_they_are_unpinned() {
    let mut plan = plan(2);
    plan.vips.iter_mut().for_each(|vip| vip.persistence = Persistence::Current);
    let mut world = World::formed(plan);
    measure(&mut world, &LOADS);
    world.run(10_000);
    assert_eq!(world.hosts_of(0), LOADS.len());
    world.input(1, Input::Command { id: 1, command: Command::Unpin { vip: VipId(1) } });
    world.run(5_000);
    assert_eq!((world.who(1), world.hosts_of(1)), (vec![1], 1));
}

#[test]
fn nothing_moves_while_nobody_counts_and_to_whom_nobody_may() {
    let mut world = World::formed(plan(3));
    world.run(5_000);
    let closed = Command::Duty { node: NodeId(2), duty: dsc_wire::local::Duty::Closed };
    world.input(0, Input::Command { id: 1, command: closed });
    assert_eq!(world.hosts_of(0), LOADS.len());
    measure(&mut world, &LOADS);
    world.run(10_000);
    assert_eq!(world.hosts_of(2), 0);
    assert!(world.hosts_of(1) > 0);
    for i in 0..3 {
        world.input(i, Input::VipLoads { loads: None });
    }
    world.run(5_000);
    assert_eq!(world.view(2).vips[0].bytes_per_s, LOADS[0], "what was said last stands");
}

#[test]
fn a_node_that_was_drained_is_filled_again_when_it_opens() {
    let mut world = World::formed(plan(3));
    measure(&mut world, &LOADS);
    world.run(10_000);
    let duty = |duty| Command::Duty { node: NodeId(2), duty };
    use dsc_wire::local::Duty::{Draining, Open};
    world.input(0, Input::Command { id: 1, command: duty(Draining) });
    world.until("a drained node", 3_000, |w| w.hosts_of(2) == 0);
    world.run(20_000);
    assert_eq!(world.hosts_of(2), 0);
    world.input(0, Input::Command { id: 2, command: duty(Open) });
    world.run(10_000);
    let after = carried(&world);
    assert!(after.iter().all(|load| *load <= 5_600_000), "14 MB/s on three: {after:?}");
}

/// Load is in every view, but makes none.
#[test]
fn a_load_that_changes_publishes_no_view() {
    let mut plan = plan(2);
    plan.balance.on = false;
    let mut world = World::formed(plan);
    world.run(3_000);
    let changes: Vec<u64> = world.seats.iter().map(|s| s.changes).collect();
    for i in 0..20u64 {
        measure(&mut world, &[1_000_000 * i; 8]);
        world.run(500);
    }
    assert!(world.view(1).vips[7].bytes_per_s > 0);
    assert_eq!(world.seats.iter().map(|s| s.changes).collect::<Vec<_>>(), changes);
}
