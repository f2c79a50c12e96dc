//! The tacit pass (rule 17) as small stories.

use crate::world::{World, cluster};
use dsc_ring::Input;
use dsc_wire::SubnetSet;
use dsc_wire::local::EventKind;

#[test]
fn nobody_acknowledges_the_token_of_a_ring_at_rest() {
    for n in [2, 3, 8] {
        let mut world = World::formed(cluster(n, 2 * n));
        world.run(1_000);
        world.verdicts = 0;
        world.seats.iter_mut().for_each(|s| s.sent = 0);
        world.run(1_000);
        assert_eq!(world.verdicts, 0, "{n} nodes");
        let sent: Vec<u64> = world.seats.iter().map(|s| s.sent).collect();
        assert!(sent.iter().all(|s| (49..=51).contains(s)), "{n} nodes: {sent:?}");
    }
}

#[test]
fn a_lost_token_goes_on_before_any_lease_ends() {
    for n in [2, 3, 5] {
        for phase in 0..n {
            let mut world = World::formed(cluster(n, 2 * n));
            world.run(500);
            let order: Vec<usize> = world.view(0).members.iter().map(|m| m.index()).collect();
            let (from, to) = (order[phase], order[(phase + 1) % n]);
            let seq = world.view(to).key.seq;
            world.lose = Some((from, to));
            let after = world.until("the next token", 100, |w| {
                assert!(w.all_answered(), "{}", w.describe());
                w.lose.is_none() && w.view(to).key.seq > seq + 1
            });
            assert!(after <= 60, "{n} nodes, {from} to {to}: {after} ms");
            world.run(100);
            assert!(world.all_answered());
            assert_eq!(world.count(|k| matches!(k, EventKind::Removed { .. })), 0);
        }
    }
}

#[test]
fn whoever_dies_in_a_ring_at_rest_is_removed_before_its_lease_has_ended() {
    for n in [2, 3, 5] {
        for phase in 0..24 {
            let mut world = World::formed(cluster(n, 2 * n));
            world.run(500 + phase);
            world.crash(phase as usize % n);
            let after = world
                .until("removal", 95, |w| w.count(|k| matches!(k, EventKind::Removed { .. })) == 1);
            assert!(after <= 80, "{n} nodes, phase {phase}: {after} ms");
            world.until("takeover", 100, World::all_answered);
        }
    }
}

#[test]
fn who_has_something_to_change_does_not_wait_for_the_holder() {
    for n in [2, 3, 5] {
        for phase in 0..10 {
            for node in 0..n {
                let mut world = World::formed(cluster(n, 2 * n));
                world.run(500 + 2 * phase);
                world.input(node, Input::Able { subnets: SubnetSet(0b10) });
                assert!(!world.all_answered(), "its carrier is lost");
                let after = world.until("takeover", 50, World::all_answered);
                assert!(after <= 5, "{n} nodes, n{node}, phase {phase}: {after} ms");
            }
        }
    }
}

#[test]
fn a_node_alone_without_peers_on_a_subnet_gives_its_vips_there_up_a_rotation_later() {
    for phase in 0..10 {
        for node in 0..3 {
            let mut world = World::formed(cluster(3, 6));
            world.run(500 + 2 * phase);
            let here = |w: &World| (0..6).step_by(2).any(|v| w.who(v) == [node]);
            assert!(here(&world));
            world.input(node, Input::Linked { subnets: SubnetSet(0b10) });
            let after = world.until("hand-over", 50, |w| !here(w));
            assert!((20..=26).contains(&after), "n{node}, phase {phase}: {after} ms");
        }
    }
}

#[test]
fn two_that_die_together_cost_the_others_nothing() {
    for n in [3, 4, 5] {
        for phase in 0..12 {
            for (a, b) in [(0, 1), (0, n - 1), (n - 2, n - 1)] {
                let mut world = World::formed(cluster(n, 2 * n));
                world.run(500 + 2 * phase);
                let left = (0..n).find(|i| *i != a && *i != b).expect("a survivor");
                let own: Vec<usize> = (0..2 * n).filter(|v| world.who(*v) == [left]).collect();
                world.crash(a);
                world.crash(b);
                world.until("takeover", 250, |w| {
                    assert!(own.iter().all(|v| w.answers(left, *v)), "{}", w.describe());
                    w.all_answered()
                });
            }
        }
    }
}
