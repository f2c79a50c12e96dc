//! Rule 21: a configuration comes into force on all members or on none, and nobody loses a VIP by it.

use crate::world::{World, cluster};
use dsc_ring::{Beacon, Input, Output};
use dsc_wire::local::{EventKind, HostState};
use dsc_wire::{Cluster, Epoch, Incarnation, Key, NodeId, VipPlan};

/// The one that follows `plan`: another digest, and the last VIP is gone.
fn next(plan: &Cluster, digest: u64) -> Box<Cluster> {
    let mut new = plan.clone();
    new.vips[3] = VipPlan::HOLE;
    (new.version, new.digest) = (plan.version + 1, digest);
    Box::new(new)
}

/// Members answer what they were asked to prepare.
fn prepare(world: &mut World, but: &[usize], new: &Cluster) {
    for i in 0..world.seats.len() {
        let asked = std::mem::take(&mut world.seats[i].configs);
        let wanted =
            |o: &Output| matches!(o, Output::Prepare { digest, .. } if *digest == new.digest);
        if asked.iter().any(wanted) && !but.contains(&i) {
            let cluster = Box::new(new.clone());
            world.input(i, Input::Prepared { cluster, size: 9 });
        }
    }
}

fn versions(world: &World) -> Vec<u64> {
    (0..world.seats.len()).map(|i| world.view(i).config_version).collect()
}

#[test]
fn a_change_is_in_force_when_all_have_prepared_it_and_what_stays_stays() {
    let plan = cluster(3, 4);
    let mut world = World::formed(plan.clone());
    world.run(1_000);
    let before = world.view(0).vips.clone();
    assert!(before.iter().all(|v| v.host.is_some()));
    let new = next(&plan, 77);
    world.input(0, Input::Propose { id: 5, cluster: new.clone(), size: 9 });
    world.run(50);
    prepare(&mut world, &[2], &new);
    world.run(200);
    assert_eq!(versions(&world), [0, 0, 0], "one has not prepared it");
    world.input(2, Input::Prepared { cluster: new.clone(), size: 9 });
    world.run(100);
    assert_eq!(versions(&world), [1, 1, 1]);
    assert_eq!(world.seats[0].done, [(5, Ok("version 1 is in force on 3 members".to_owned()))]);
    let after = world.view(1).vips.clone();
    for (old, new) in before.iter().zip(&after).take(3) {
        assert_eq!((old.host, old.moves), (new.host, new.moves));
    }
    assert_eq!(after[3].host, None, "what is gone is hosted by nobody");
    assert!((0..3).all(|i| !world.answers(i, 3)), "nor answered");
}

#[test]
fn one_that_refuses_or_is_silent_leaves_all_as_it_was_and_the_operator_is_told() {
    let plan = cluster(3, 4);
    let mut world = World::formed(plan.clone());
    let new = next(&plan, 77);
    world.input(0, Input::Propose { id: 5, cluster: new.clone(), size: 9 });
    world.run(50);
    world.input(1, Input::Unfit { digest: 77, reason: Some("no such interface".to_owned()) });
    world.run(100);
    let told = "node#1 refuses it: no such interface".to_owned();
    assert_eq!(world.seats[0].done, [(5, Err(told))]);
    let other = next(&plan, 78);
    world.input(0, Input::Propose { id: 6, cluster: other.clone(), size: 9 });
    world.run(50);
    prepare(&mut world, &[2], &other);
    world.run(5_500);
    let (_, result) = &world.seats[0].done[1];
    assert!(
        result.as_ref().is_err_and(|r| r.starts_with("node#2 had not stored it")),
        "{result:?}"
    );
    assert_eq!(versions(&world), [0, 0, 0]);
}

#[test]
fn of_two_changes_at_once_one_wins_and_the_other_is_told() {
    let plan = cluster(3, 4);
    let mut world = World::formed(plan.clone());
    let (one, two) = (next(&plan, 77), next(&plan, 78));
    world.input(0, Input::Propose { id: 5, cluster: one.clone(), size: 9 });
    world.input(1, Input::Propose { id: 6, cluster: two.clone(), size: 9 });
    for _ in 0..5 {
        world.run(50);
        prepare(&mut world, &[], &one);
        prepare(&mut world, &[], &two);
        for (seat, new) in [(0, &two), (1, &one)] {
            // Who was refused gets the other's.
            world.input(seat, Input::Prepared { cluster: new.clone(), size: 9 });
        }
    }
    let results: Vec<bool> =
        [0, 1].iter().map(|i| world.seats[*i].done.iter().any(|(_, r)| r.is_ok())).collect();
    assert_eq!(results.iter().filter(|ok| **ok).count(), 1, "{:?}", world.seats[1].done);
    assert_eq!(versions(&world), [1, 1, 1]);
    assert!(world.view(0).config_digest == world.view(1).config_digest);
}

#[test]
fn a_node_that_is_not_in_it_hands_over_and_leaves() {
    let plan = cluster(3, 4);
    let mut world = World::formed(plan.clone());
    let mut new = next(&plan, 77);
    new.nodes[2] = dsc_wire::NodePlan::HOLE;
    world.input(0, Input::Propose { id: 5, cluster: new.clone(), size: 9 });
    world.run(50);
    prepare(&mut world, &[], &new);
    world.run(200);
    assert!(world.seats[2].left);
    let view = world.view(0);
    assert_eq!((view.members.len(), view.config_version), (2, 1));
    let hosted = view.vips[..3].iter().all(|v| v.host.is_some_and(|h| h != NodeId(2)));
    assert!(hosted && view.vips[3].host.is_none());
}

/// How long an address is unanswered after its host was lost, ms; `rival` tells that a node which was added has a ring of its own.
fn silent_for(rival: bool) -> u64 {
    let all = cluster(4, 4);
    let plan = Cluster { nodes: all.nodes[..3].to_vec(), ..all.clone() };
    let mut world = World::new(all.clone());
    for i in 0..3 {
        world.start_with(i, plan.clone());
    }
    world.run(2_000);
    let new = Box::new(Cluster { nodes: all.nodes, ..*next(&plan, 77) });
    world.input(0, Input::Propose { id: 5, cluster: new.clone(), size: 9 });
    world.run(50);
    prepare(&mut world, &[], &new);
    world.run(1_000);
    assert!((0..3).all(|i| world.view(i).config_version == 1));
    let (epoch, from, incarnation) = (world.view(0).key.epoch, NodeId(3), Incarnation(99));
    let epoch = Epoch { counter: epoch.counter + 5, proposer: from, incarnation };
    let (key, counter) = (Key { epoch, seq: 9 }, epoch.counter);
    let heard = world.view(0).members.iter().copied().collect();
    let beacon =
        Beacon { size: 1, key, counter, want: false, digest: new.digest, heard, version: 1 };
    for i in world.running().into_iter().filter(|_| rival) {
        world.input(i, Input::Beacon { from, incarnation, beacon });
    }
    let host = world.who(0)[0];
    world.kill(host);
    world.until("another one answers", 1_000, |w| w.who(0).iter().any(|i| *i != host))
}

/// Rule 6: another ring that hears this one may have had what a lost node had.
#[test]
fn what_a_lost_node_had_is_not_taken_while_another_ring_may_answer_for_it() {
    let timing = dsc_wire::Timing::DEFAULT;
    let fence = dsc_wire::Timing::fence(timing.lease_max) + 2 * timing.beacon;
    let (alone, beside) = (silent_for(false), silent_for(true));
    assert!(alone < 150, "{alone} ms");
    let least = fence.as_millis() as u64;
    assert!((least..least + 100).contains(&beside), "{beside} ms, {least} at least");
}

/// Nobody need mend anything about a node that is to get in a moment what is in force.
#[test]
fn who_has_an_earlier_configuration_does_not_differ() {
    let plan = cluster(3, 4);
    let mut world = World::formed(plan.clone());
    let new = next(&plan, 77);
    world.input(0, Input::Propose { id: 5, cluster: new.clone(), size: 9 });
    world.run(50);
    prepare(&mut world, &[], &new);
    world.run(200);
    assert_eq!(versions(&world), [1, 1, 1]);
    for (version, digest) in [(0, plan.digest), (0, 8), (1, 8)] {
        world.input(0, Input::News { from: Some(NodeId(2)), version, digest });
    }
    assert_eq!(world.count(|kind| matches!(kind, EventKind::ConfigDiffers { .. })), 0);
}

#[test]
fn what_was_refused_can_be_asked_for_again_when_it_is_mended() {
    let plan = cluster(3, 4);
    let mut world = World::formed(plan.clone());
    let new = next(&plan, 77);
    world.input(0, Input::Propose { id: 5, cluster: new.clone(), size: 9 });
    world.run(50);
    prepare(&mut world, &[1], &new);
    world.input(1, Input::Unfit { digest: 77, reason: Some("no space left".to_owned()) });
    world.run(200);
    assert_eq!(world.seats[0].done.len(), 1);
    world.input(0, Input::Propose { id: 6, cluster: new.clone(), size: 9 });
    world.run(50);
    prepare(&mut world, &[], &new);
    world.run(200);
    assert!(world.seats[0].done[1].1.is_ok(), "{:?}", world.seats[0].done);
    assert_eq!(versions(&world), [1, 1, 1]);
}

#[test]
fn what_is_in_force_elsewhere_and_refused_here_is_not_offered_without_end() {
    let plan = cluster(3, 4);
    let mut world = World::formed(plan.clone());
    let new = next(&plan, 77);
    world.input(0, Input::News { from: Some(NodeId(2)), version: 1, digest: 77 });
    world.input(0, Input::Prepared { cluster: new, size: 9 });
    world.run(50);
    world.input(1, Input::Unfit { digest: 77, reason: Some("no space left".to_owned()) });
    world.run(20_000);
    let dropped = world.count(|kind| matches!(kind, EventKind::ConfigDropped { .. }));
    assert_eq!(dropped, 1);
    assert_eq!(versions(&world), [0, 0, 0]);
    // What was wrong is mended, and it is offered again by itself.
    world.run(15_000);
    world.input(1, Input::Prepared { cluster: next(&plan, 77), size: 9 });
    world.input(2, Input::Prepared { cluster: next(&plan, 77), size: 9 });
    world.run(1_000);
    assert_eq!(versions(&world), [1, 1, 1]);
}

#[test]
fn a_way_back_that_is_only_prepared_is_not_taken_for_decided() {
    let mut plan = cluster(3, 4);
    plan.version = 1;
    let mut world = World::formed(plan.clone());
    let new = next(&plan, 77);
    world.input(0, Input::Propose { id: 5, cluster: new.clone(), size: 9 });
    world.run(50);
    prepare(&mut world, &[], &new);
    world.run(200);
    assert_eq!(versions(&world), [2, 2, 2]);
    let back = Box::new(Cluster { version: 3, ..plan.clone() });
    world.input(0, Input::Propose { id: 6, cluster: back.clone(), size: 9 });
    world.run(50);
    prepare(&mut world, &[2], &back);
    // One that has slept since the first version calls.
    world.input(1, Input::News { from: Some(NodeId(2)), version: 1, digest: plan.digest });
    world.run(200);
    assert_eq!(versions(&world), [2, 2, 2], "one has not stored it");
    world.input(2, Input::Prepared { cluster: back, size: 9 });
    world.run(200);
    assert_eq!(versions(&world), [3, 3, 3]);
}

#[test]
fn an_address_that_comes_back_under_another_number_waits_for_who_may_still_answer_under_the_old_one()
 {
    let mut plan = cluster(3, 4);
    plan.timing.lease = plan.timing.lease_max;
    let mut world = World::formed(plan.clone());
    world.run(1_000);
    let lost = world.who(3)[0];
    let others: Vec<usize> = (0..3).filter(|i| *i != lost).collect();
    world.kill(lost);
    world.until("two members", 200, |w| others.iter().all(|i| w.view(*i).members.len() == 2));
    let without = next(&plan, 77);
    let mut back = without.clone();
    back.vips.push(plan.vips[3]);
    (back.version, back.digest) = (2, 78);
    for seat in &mut world.seats {
        seat.hosts.push(seat.hosts[0].clone());
        seat.hosts[4].0 = HostState::Off;
    }
    for (id, new) in [(1, without), (2, back)] {
        let version = new.version;
        world.input(others[0], Input::Propose { id, cluster: new.clone(), size: 9 });
        world.until("asked to prepare it", 50, |w| {
            w.seats[others[1]].configs.iter().any(|o| matches!(o, Output::Prepare { .. }))
        });
        prepare(&mut world, &[lost], &new);
        world.until("in force", 100, |w| {
            others.iter().all(|i| w.view(*i).config_version == version)
        });
    }
    assert!(world.answers(lost, 3), "the kernel of the lost one goes on");
    world.until("answered for", 500, |w| {
        let by_others = others.iter().filter(|i| w.answers(**i, 4)).count();
        assert!(by_others == 0 || !w.answers(lost, 3), "two answer for the address");
        by_others == 1
    });
}
