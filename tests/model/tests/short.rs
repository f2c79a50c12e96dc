//! A short exploration in each test run; `scripts/model` goes on to the end.

use dsc_test_model::explore::{Task, explore, steady};
use dsc_test_model::menu::{Fault, Menu};
use dsc_wire::{NodeId, Partition};
use std::time::{Duration, Instant};

fn task(partition: Partition, menu: Menu, faults: usize, seconds: u64) -> Task {
    let settle = if partition == Partition::Serve && menu == Menu::Whole { 160 } else { 0 };
    Task {
        nodes: 3,
        partition,
        menu,
        faults,
        last: 36,
        after: 60,
        settle,
        until: Instant::now() + Duration::from_secs(seconds),
        jobs: 1,
    }
}

#[test]
fn no_single_fault_breaks_a_promise() {
    for (partition, menu) in [(Partition::Majority, Menu::All), (Partition::Serve, Menu::Whole)] {
        let outcome = explore(task(partition, menu, 1, 120)).unwrap();
        assert!(outcome.broken.is_none(), "{partition:?}: {outcome:?}");
        assert!(outcome.exhausted, "{partition:?}: {outcome:?}");
        assert!(outcome.runs > 100, "{outcome:?}");
    }
}

#[test]
fn no_pair_of_faults_found_in_a_few_seconds_breaks_a_promise() {
    for (partition, menu) in [(Partition::Majority, Menu::All), (Partition::Serve, Menu::Whole)] {
        let outcome = explore(task(partition, menu, 2, 8)).unwrap();
        assert!(outcome.broken.is_none(), "{partition:?}: {outcome:?}");
        assert!(outcome.runs > 100, "{outcome:?}");
    }
}

#[test]
fn a_world_in_which_most_nodes_are_off_is_not_settled() {
    let mut world = steady(3, Partition::Serve).unwrap();
    let digest = world.digest();
    assert_eq!(digest, world.clone().digest());
    world.apply(Fault::Crash(NodeId(0)));
    assert_ne!(digest, world.digest());
    world.apply(Fault::Crash(NodeId(1)));
    world.step(false).unwrap();
    assert!(world.settled().is_err());
}
