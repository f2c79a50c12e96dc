//! Some hundreds of seeds in each test run; `scripts/sim` runs as many as one likes.

use dsc_test_sim::fault::Fault;
use dsc_test_sim::plan::{Class, Plan, Wish};
use dsc_test_sim::run::run;
use dsc_test_sim::trace::Trace;
use dsc_wire::local::Command;

fn all_hold(seeds: std::ops::Range<u64>, wish: Wish) {
    for seed in seeds {
        if let Err(what) = run(&Plan::new(seed, wish), Trace(0)) {
            panic!(
                "seed {seed}: {what}; scripts/sim --start {seed} --seeds 1 tells more, {wish:?}"
            );
        }
    }
}

fn class(class: Class, seeds: std::ops::Range<u64>) {
    all_hold(seeds, Wish { class: Some(class), nodes: None });
}

#[test]
fn in_peace_no_vip_moves_and_no_lease_lapses() {
    class(Class::Quiet, 1_000..1_020);
}

#[test]
fn commands_and_planned_restarts_leave_no_vip_alone() {
    class(Class::Operator, 2_000..2_030);
}

#[test]
fn after_a_crash_every_vip_answers_again_within_the_fence() {
    class(Class::Crash, 3_000..3_040);
}

#[test]
fn nodes_that_come_back_take_no_vip_from_the_greater_ring() {
    class(Class::Heal, 3_500..3_540);
}

#[test]
fn serve_without_a_cut_never_has_two_hosts() {
    class(Class::Whole, 4_000..4_100);
}

#[test]
fn serve_across_a_cut_has_two_hosts_only_until_they_hear_each_other() {
    class(Class::Cut, 5_000..5_060);
}

#[test]
fn majority_never_has_two_hosts() {
    class(Class::Majority, 6_000..6_100);
}

#[test]
fn sixty_four_nodes_form_one_ring() {
    all_hold(7_000..7_001, Wish { class: Some(Class::Majority), nodes: Some(64) });
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let plan = Plan::new(77, Wish { class: Some(Class::Majority), nodes: Some(5) });
    let told =
        || run(&plan, Trace(0)).map(|seen| (seen.turns, seen.moves, seen.span, seen.settled));
    assert_eq!(told(), told());
}

/// In each of these a command was done in one formation, or with one word, and the same turn went on to another: the audit
/// has to know which.
#[test]
fn what_was_done_is_not_mixed_up_with_what_came_next() {
    for seed in [
        20_613_817, 20_627_750, 20_709_262, 20_725_570, 20_735_813, 20_743_510, 20_841_600,
        20_952_859, 50_002_308,
    ] {
        all_hold(seed..seed + 1, Wish::default());
    }
}

/// Each of these broke a promise once.
#[test]
fn seeds_that_found_a_fault_hold() {
    for seed in [
        7_001_736, 20_003_099, 20_089_053, 20_163_760, 20_200_360, 20_202_297, 30_054_813,
        40_024_382, 90_000_466, 90_000_763,
    ] {
        all_hold(seed..seed + 1, Wish::default());
        // As it was when it did, before there were commands for backends.
        let mut plan = Plan::new(seed, Wish::default());
        plan.faults.retain(|(_, fault)| {
            !matches!(fault, Fault::Command { command: Command::Backend { .. }, .. })
        });
        let outcome = run(&plan, Trace(0));
        assert!(outcome.is_ok(), "seed {seed} without states of backends: {outcome:?}");
    }
}
