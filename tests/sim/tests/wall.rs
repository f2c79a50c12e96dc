//! The wall clock is for people: however it jumps, the cluster does the same, and what it tells bears the new time.

use dsc_ring::Input;
use dsc_test_sim::plan::{Class, MS, Plan, Wish};
use dsc_test_sim::trace::Trace;
use dsc_test_sim::world::World;
use dsc_wire::NodeId;

const NODES: u8 = 3;
/// Between two readings of the wall clock, ms.
const STEP: u64 = 10;
const STEPS: u64 = 300;
/// The crash of the last node, and its return: without them there is little to tell.
const CRASH: u64 = 100;
const RETURN: u64 = 200;
/// 2023.
const DAY: u64 = 1_700_000_000_000;
const TEN_YEARS: u64 = 315_576_000_000;

fn steady(step: u64, _: NodeId) -> u64 {
    DAY + step * STEP
}

/// Another time after each twentieth step, on each node another one.
fn jumping(step: u64, node: NodeId) -> u64 {
    let now = steady(step, node);
    match (step / 20 + u64::from(node.0)) % 5 {
        0 => now,
        1 => now + TEN_YEARS,
        2 => step * STEP,
        3 => u64::MAX,
        _ => now - 3_600_000,
    }
}

/// All that a cluster does: what its kernels hold after each step, and what it counts. Of each event, its distance from
/// the wall clock of the node that told it, ms.
fn run(wall: fn(u64, NodeId) -> u64) -> (Vec<String>, Vec<u64>) {
    let plan = Plan::new(11, Wish { class: Some(Class::Quiet), nodes: Some(NODES.into()) });
    let mut world = World::new(plan, Trace(0));
    let last = NodeId(NODES - 1);
    let (mut done, mut apart) = (Vec::new(), Vec::new());
    for step in 0..STEPS {
        match step {
            CRASH => world.machine(last).stop(),
            RETURN => world.start(last),
            _ => {}
        }
        for node in (0..NODES).map(NodeId) {
            world.give(node, Input::Wall { wall_ms: wall(step, node) });
        }
        world.run_until((step + 1) * STEP * MS).unwrap();
        for machine in &mut world.machines {
            for event in machine.events.drain(..).filter(|e| e.node == machine.id) {
                apart.push(event.wall_ms.abs_diff(wall(step, machine.id)));
            }
            done.push(format!("{:?}", machine.kernel));
        }
        done.push(format!("{:?}", world.audit.seen));
    }
    (done, apart)
}

#[test]
fn whatever_the_wall_clock_says_the_cluster_does_the_same_and_its_events_follow() {
    let (calm, _) = run(steady);
    let (shaken, apart) = run(jumping);
    for (number, (one, other)) in calm.iter().zip(&shaken).enumerate() {
        assert_eq!(one, other, "row {number}");
    }
    assert!(apart.len() > 5, "little was told: {apart:?}");
    // A tenth of a step more: the node's own clock may run fast.
    assert!(apart.iter().all(|ms| *ms <= STEP + STEP / 10), "{apart:?}");
}
