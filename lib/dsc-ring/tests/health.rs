//! What checks of backends found (rule 19): each story names who finds what, what goes wrong, and what every node must show.

use crate::world::{World, cluster};
use dsc_ring::Input;
use dsc_wire::health::{Growth, Verdict, finding};
use dsc_wire::local::EventKind;
use dsc_wire::*;

/// Node `at` finds these backends red, and the others of the list green.
fn finds(world: &mut World, at: usize, found: &[(u16, bool)]) {
    let verdict = |(backend, red): &(u16, bool)| Verdict {
        backend: BackendId(*backend),
        red: *red,
        reason: if *red { Reason::Refused } else { Reason::Answered },
        since_ms: 1_700_000_000_000,
    };
    world.input(at, Input::Checked { verdicts: found.iter().map(verdict).collect() });
}

fn light(world: &World, i: usize, backend: u16) -> Light {
    finding(&world.view(i).health, BackendId(backend)).light
}

fn all_show(world: &World, wanted: [Light; 3]) -> bool {
    let shown = |i: usize| [0, 1, 2].map(|backend| light(world, i, backend));
    world.running().iter().all(|i| shown(*i) == wanted)
}

use Light::{Green as G, Red as R, Yellow as Y};

#[test]
fn a_verdict_is_in_every_view_after_a_hurried_turn_and_in_every_log() {
    for n in [1, 2, 3, 8] {
        let mut world = World::formed(cluster(n, 4));
        world.run(500);
        finds(&mut world, 0, &[(0, false), (2, false)]);
        world.until("green everywhere", 100, |w| all_show(w, [G, Y, G]));
        world.run(500);
        let (start, changes) = (world.now, world.seats[n - 1].changes);
        finds(&mut world, 0, &[(0, false), (2, true)]);
        world.until("red everywhere", 100, |w| all_show(w, [G, Y, R]));
        assert!(world.now.since(start).as_millis() <= 25, "{:?}", world.now.since(start));
        assert!(world.seats[n - 1].changes > changes, "readers are told");
        world.run(100);
        let (backend, reason) = (BackendId(2), Reason::Refused);
        let wanted = EventKind::BackendChecked { backend, red: true, reason };
        for i in 0..n {
            let told = world.seats[i].events.iter().filter(|e| e.kind == wanted);
            assert_eq!(told.map(|e| e.node).collect::<Vec<_>>(), [NodeId(0)], "log of n{i}");
        }
    }
}

#[test]
fn one_that_sees_it_answer_is_believed_and_who_has_no_verdict_does_not_count() {
    let mut world = World::formed(cluster(3, 4));
    finds(&mut world, 0, &[(0, true)]);
    finds(&mut world, 1, &[(1, false)]);
    world.until("red", 100, |w| all_show(w, [R, G, Y]));
    finds(&mut world, 1, &[(0, false), (1, false)]);
    world.until("disputed", 100, |w| all_show(w, [G, G, Y]));
    finds(&mut world, 1, &[(0, true), (1, false)]);
    world.until("both agree", 100, |w| all_show(w, [R, G, Y]));
}

#[test]
fn a_share_that_grows_is_in_every_view_with_the_next_turn_and_goes_with_its_green_light() {
    let mut world = World::formed(cluster(3, 4));
    let grows = |world: &mut World, shares: &[(u16, u8)]| {
        let growth =
            |(backend, share): &(u16, u8)| Growth { backend: BackendId(*backend), share: *share };
        world.input(0, Input::Growing { growing: shares.iter().map(growth).collect() });
    };
    let all_show = |world: &World, wanted: [Option<u8>; 3]| {
        let share = |i, backend| finding(&world.view(i).health, BackendId(backend)).share;
        world.running().iter().all(|i| [0, 1, 2].map(|backend| share(*i, backend)) == wanted)
    };
    finds(&mut world, 0, &[(0, false), (1, true), (2, false)]);
    // A red one has no share, one without a verdict neither, and none is nothing or everything.
    grows(&mut world, &[(0, 1), (1, 3), (2, 8), (3, 3)]);
    world.until("its first share", 100, |w| all_show(w, [Some(1), None, None]));
    let (now, changes) = (world.now, world.seats[2].changes);
    grows(&mut world, &[(0, 2), (2, 1)]);
    world.until("more", 100, |w| all_show(w, [Some(2), None, Some(1)]));
    assert!(world.now.since(now).as_millis() <= 50, "{:?}", world.now.since(now));
    assert!(world.seats[2].changes > changes, "readers are told");
    finds(&mut world, 0, &[(0, true), (1, true), (2, false)]);
    world.until("red again", 100, |w| all_show(w, [None, None, Some(1)]));
    world.crash(0);
    world.until("its node is gone", 1_000, |w| all_show(w, [None, None, None]));
}

#[test]
fn failing_flows_are_told_in_a_hurry_by_who_checks_nothing_too_and_give_no_verdict() {
    let mut world = World::formed(cluster(3, 4));
    let fails = |world: &mut World, backends: &[u16]| {
        let backends = backends.iter().copied().map(BackendId).collect();
        world.input(2, Input::Failing { backends });
    };
    let all_show = |world: &World, wanted: &[u16]| {
        let shown = |i: usize| -> Vec<u16> {
            world.view(i).health.iter().flat_map(|c| &c.failing).map(|b| b.0).collect()
        };
        world.running().iter().all(|i| shown(*i) == wanted)
    };
    let silent = world.view(0).health;
    assert!(silent.is_empty());
    world.run(500);
    let start = world.now;
    // The cluster has three backends.
    fails(&mut world, &[1, 0, 2, 3]);
    world.until("failing", 100, |w| all_show(w, &[1, 2]));
    assert!(world.now.since(start).as_millis() <= 25, "{:?}", world.now.since(start));
    assert_eq!([0, 1, 2].map(|backend| light(&world, 0, backend)), [Y, Y, Y]);
    let counters = world.seats[2].ring.as_ref().unwrap().counters();
    assert_eq!(counters.iter().find(|c| c.name == "failing_dropped").unwrap().count, 2);
    fails(&mut world, &[]);
    world.until("over", 100, |w| w.view(0).health.is_empty());
    fails(&mut world, &[1]);
    world.until("failing again", 100, |w| all_show(w, &[1]));
    world.crash(2);
    world.until("who said so is gone", 1_000, |w| all_show(w, &[]));
}

#[test]
fn what_a_lost_node_found_red_stands_until_another_knows_better_or_a_while() {
    let mut world = World::formed(cluster(3, 4));
    finds(&mut world, 2, &[(0, true), (1, true), (2, false)]);
    world.until("its word", 100, |w| all_show(w, [R, R, G]));
    world.crash(2);
    world.until("without it", 1_000, |w| w.view(0).members.len() == 2);
    world.run(100);
    assert!(all_show(&world, [R, R, Y]), "{}", world.describe());
    finds(&mut world, 0, &[(1, false)]);
    world.until("another's word", 100, |w| all_show(w, [R, G, Y]));
    world.until("forgotten", 3_500, |w| all_show(w, [Y, G, Y]));
    let token = world.view(0).health;
    assert_eq!(token.iter().map(|c| c.node).collect::<Vec<_>>(), [NodeId(0)]);
}

#[test]
fn nothing_of_an_earlier_life_comes_back() {
    let mut world = World::formed(cluster(3, 4));
    finds(&mut world, 1, &[(0, true)]);
    world.until("its word", 100, |w| all_show(w, [R, Y, Y]));
    world.kill(1);
    world.start(1);
    world.until("the whole ring", 3_000, World::whole);
    world.run(100);
    assert!(all_show(&world, [Y, Y, Y]), "{}", world.describe());
}

#[test]
fn both_sides_of_a_cut_agree_when_they_meet() {
    let mut world = World::formed(cluster(5, 4));
    finds(&mut world, 0, &[(0, true), (1, false)]);
    finds(&mut world, 4, &[(0, true), (2, true)]);
    world.until("both words", 100, |w| all_show(w, [R, G, R]));
    let part = |world: &mut World, cut| {
        (0..2).for_each(|a| (2..5).for_each(|b| world.cut_both(a, b, cut)));
    };
    part(&mut world, true);
    world.run(5_000);
    finds(&mut world, 4, &[(0, true), (2, false)]);
    world.run(100);
    assert_eq!((light(&world, 0, 2), light(&world, 4, 2)), (Y, G));
    part(&mut world, false);
    world.until("one ring", 1_000, World::whole);
    world.run(100);
    assert!(all_show(&world, [R, G, G]), "{}", world.describe());
    let first = world.view(0).health;
    assert!((1..5).all(|i| world.view(i).health == first));
    world.two_answers.clear();
}

#[test]
fn a_silent_health_daemon_has_no_verdicts_and_nonsense_is_counted() {
    let mut world = World::formed(cluster(2, 4));
    finds(&mut world, 0, &[(0, true), (0, false), (7, true)]);
    world.until("what is legal", 100, |w| all_show(w, [R, Y, Y]));
    let counters = world.seats[0].ring.as_ref().unwrap().counters();
    let refused = counters.iter().find(|c| c.name == "verdicts_refused").unwrap();
    assert_eq!(refused.count, 2);
    finds(&mut world, 0, &[]);
    world.until("nothing", 100, |w| all_show(w, [Y, Y, Y]));
    assert!(world.view(1).health.is_empty());
}
