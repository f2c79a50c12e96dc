//! What the nodes' own checks say (rule 22): each story names which check turns red where, and who must host what then.

use crate::world::{World, cluster};
use dsc_ring::Input;
use dsc_wire::health::{CheckId, NodeLight};
use dsc_wire::local::{Command, EventKind};
use dsc_wire::*;

/// The first check of node `at` is red, or green; a critical one on these subnets.
fn lit(world: &mut World, at: usize, red: bool, unfit: SubnetSet) {
    let light = if red { Light::Red } else { Light::Green };
    let reason = if red { Reason::TimedOut } else { Reason::Answered };
    let since_ms = if red { 1_700_000_000_000 } else { 0 };
    let lights = vec![NodeLight { check: CheckId(0), light, reason, since_ms }];
    world.input(at, Input::Lights { lights, unfit });
}

const ALL: SubnetSet = SubnetSet(3);

/// How many VIPs each node answers for.
fn hosted(world: &World) -> Vec<usize> {
    world.running().into_iter().map(|i| (0..4).filter(|v| world.answers(i, *v)).count()).collect()
}

#[test]
fn a_node_with_a_red_critical_check_hands_over_and_may_host_again_when_it_is_over() {
    let mut world = World::formed(cluster(3, 4));
    world.until("served", 2_000, World::all_answered);
    assert!(hosted(&world)[1] > 0, "{}", world.describe());
    lit(&mut world, 1, true, ALL);
    world.until("handed over", 1_000, |w| hosted(w)[1] == 0 && w.all_answered());
    world.run(200);
    for i in 0..3 {
        let shown = &world.view(i).nodes[1];
        assert_eq!((shown.unfit, shown.lights[0].light), (ALL, Light::Red), "view of n{i}");
        assert_eq!(shown.able, ALL, "carrier and data path are in order");
    }
    for kind in [
        EventKind::LightChanged { check: CheckId(0), red: true, reason: Reason::TimedOut },
        EventKind::FitChanged { subnet: SubnetId(0), fit: false },
    ] {
        let told = |i: usize| world.seats[i].events.iter().filter(|e| e.kind == kind).count();
        assert_eq!([told(0), told(1), told(2)], [1; 3], "{kind:?}");
    }
    // Nothing else moves by itself, but it may be given VIPs again.
    let refused = world.view(0).vips[0].id;
    let ask = Command::MoveVip { vip: refused, node: NodeId(1) };
    world.input(0, Input::Command { id: 7, command: ask });
    world.run(200);
    assert_eq!(hosted(&world)[1], 0);
    lit(&mut world, 1, false, SubnetSet::EMPTY);
    world.run(100);
    world.input(0, Input::Command { id: 8, command: ask });
    world.until("moved as asked", 500, |w| w.answers(1, 0));
    assert!(world.two_answers.is_empty());
}

#[test]
fn where_all_are_red_everything_stays_and_is_served() {
    let mut world = World::formed(cluster(3, 4));
    world.until("served", 2_000, World::all_answered);
    lit(&mut world, 0, true, ALL);
    world.until("handed over", 1_000, |w| hosted(w)[0] == 0 && w.all_answered());
    lit(&mut world, 1, true, ALL);
    world.until("all on the third", 1_000, |w| hosted(w)[2] == 4);
    lit(&mut world, 2, true, ALL);
    world.run(10_000);
    assert_eq!(hosted(&world), [0, 0, 4], "{}", world.describe());
    // A crash is another matter: they are served by those that are left.
    world.crash(2);
    world.until("served in spite of the lights", 2_000, World::all_answered);
    lit(&mut world, 0, false, SubnetSet::EMPTY);
    world.until("on the one in order", 1_000, |w| hosted(w)[0] == 4);
    assert!(world.two_answers.is_empty());
}

#[test]
fn lights_go_with_their_node_and_those_of_an_earlier_life_do_not_come_back() {
    let mut world = World::formed(cluster(3, 4));
    lit(&mut world, 1, true, ALL);
    let unfit = |w: &World, i: usize| w.view(i).nodes[1].unfit;
    world.until("shown", 100, |w| unfit(w, 0) == ALL && unfit(w, 2) == ALL);
    world.kill(1);
    world.start(1);
    world.until("the whole ring", 3_000, World::whole);
    world.run(100);
    assert!(
        (0..3).all(|i| unfit(&world, i).is_empty() && world.view(i).nodes[1].lights.is_empty())
    );
    // One that says it twice, and out of order.
    let light = |check| NodeLight {
        check: CheckId(check),
        light: Light::Yellow,
        reason: Reason::Disabled,
        since_ms: 4,
    };
    let lights = vec![light(2), light(2), light(1), light(3)];
    world.input(0, Input::Lights { lights, unfit: SubnetSet::EMPTY });
    world.until("the legal ones", 100, |w| w.view(2).nodes[0].lights == [light(2), light(3)]);
}

#[test]
fn a_check_is_switched_everywhere_and_the_later_word_counts() {
    let mut world = World::formed(cluster(3, 4));
    let word = |node, on| Command::Check { check: CheckId(5), node, on };
    let off = |w: &World, i: usize| w.view(i).switches.first().map_or(0, |s| s.off.0);
    world.input(2, Input::Command { id: 1, command: word(Some(NodeId(0)), false) });
    world.until("off on one", 200, |w| (0..3).all(|i| off(w, i) == 1));
    world.input(1, Input::Command { id: 2, command: word(None, false) });
    world.until("off everywhere", 200, |w| (0..3).all(|i| off(w, i) == 7));
    world.input(0, Input::Command { id: 3, command: word(Some(NodeId(1)), true) });
    world.until("on again on one", 200, |w| (0..3).all(|i| off(w, i) == 5));
    // Two rings have two words, and agree on the later one when they meet.
    (0..2).for_each(|a| world.cut_both(a, 2, true));
    world.run(3_000);
    world.input(0, Input::Command { id: 4, command: word(None, true) });
    world.run(100);
    assert_eq!((off(&world, 1), off(&world, 2)), (0, 5));
    (0..2).for_each(|a| world.cut_both(a, 2, false));
    world.until("one ring", 2_000, World::whole);
    world.until("one word", 200, |w| (0..3).all(|i| off(w, i) == 0));
    world.two_answers.clear();
}
