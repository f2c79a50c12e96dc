//! The ring's rules as small stories: each names what happens and what must follow.

mod world;

use dsc_wire::local::EventKind;
use world::{World, cluster};

#[test]
fn nodes_started_together_form_a_ring_and_share_the_vips() {
    for n in [1, 2, 3, 5, 8, 16] {
        let world = World::formed(cluster(n, 4 * n));
        for i in 0..n {
            assert_eq!(world.hosts_of(i), 4, "{n} nodes: {}", world.describe());
        }
    }
}

#[test]
fn a_quiet_ring_stays_as_it_is() {
    let mut world = World::formed(cluster(3, 6));
    world.run(200);
    let before: Vec<_> = (0..6).map(|v| world.who(v)).collect();
    let events = world.seats[0].events.len();
    for _ in 0..500 {
        world.run(4);
        let now: Vec<_> = (0..6).map(|v| world.who(v)).collect();
        assert_eq!(now, before, "{}", world.describe());
    }
    assert_eq!(world.seats[0].events.len(), events);
    let rotation = world.view(0).rotation_us;
    assert!((19_000..=21_000).contains(&rotation), "rotation {rotation} µs");
}

#[test]
fn the_vips_of_a_crashed_node_are_taken_when_its_lease_must_have_ended() {
    for n in [2, 3, 5, 8] {
        for phase in 0..12 {
            let mut world = World::formed(cluster(n, 2 * n));
            world.run(100 + 2 * phase);
            world.crash(0);
            let gap = world.until("takeover", 1_000, World::all_answered);
            assert!(gap <= 105, "{n} nodes, phase {phase}: {gap} ms");
            assert_eq!(world.count(|k| matches!(k, EventKind::Removed { .. })), 1);
        }
    }
}
