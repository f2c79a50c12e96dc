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

/// Among faults of every kind, some VIPs move for the load.
#[test]
fn vips_that_move_for_the_load_break_no_promise() {
    let mut balanced = 0;
    let seeds = (8_000..8_400).map(|seed| Plan::new(seed, Wish::default()));
    for plan in seeds.filter(|plan| plan.cluster.balance.on) {
        match run(&plan, Trace(0)) {
            Ok(seen) => balanced += seen.balanced,
            Err(what) => panic!("seed {}: {what}", plan.seed),
        }
    }
    assert!(balanced > 100, "{balanced} moves");
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
        as_it_was(&Plan::still(seed, Wish::default()));
    }
}

/// A link came back, the ring was put in another order in the middle of a rotation, and another member held for all once
/// more: that long those behind it missed the token.
#[test]
fn the_token_is_held_once_in_a_rotation_in_whatever_order() {
    for seed in [50_244_932, 50_671_199, 50_801_253] {
        all_hold(seed..seed + 1, Wish::default());
        as_it_was(&Plan::still(seed, Wish::default()));
    }
    // The member behind the one that holds was put at the end, and that one held again.
    all_hold(89_037_434..89_037_435, Wish::default());
}

/// A plan as it was before there were things that a seed has more of now.
fn as_it_was(plan: &Plan) {
    let outcome = run(plan, Trace(0));
    assert!(outcome.is_ok(), "seed {} as it was: {outcome:?}", plan.seed);
}

/// Each of these broke a promise once.
#[test]
fn seeds_that_found_a_fault_hold() {
    for seed in [
        7_001_736, 20_003_099, 20_089_053, 20_163_760, 20_200_360, 20_202_297, 30_054_813,
        40_024_382, 90_000_466, 90_000_763,
    ] {
        all_hold(seed..seed + 1, Wish::default());
        // As it was when it did, before VIPs moved for the load, and before there were commands for backends.
        let mut plan = Plan::still(seed, Wish::default());
        as_it_was(&plan);
        plan.faults.retain(|(_, fault)| {
            !matches!(fault, Fault::Command { command: Command::Backend { .. }, .. })
        });
        as_it_was(&plan);
    }
}

/// A node that slept took its VIPs again when the ring was whole, because the one that had them meanwhile was no node any more;
/// its kernel still answered.
#[test]
fn a_node_that_is_taken_out_is_waited_for_by_who_slept() {
    all_hold(84_004_369..84_004_370, Wish::default());
}

/// Two nodes decided on a third, told it, and died before they had stored that it was in force. They came back with the
/// configuration before, in which it has no number: only from it can they hear of what they have prepared.
#[test]
fn what_was_decided_comes_back_from_who_has_no_number_here() {
    all_hold(85_010_129..85_010_130, Wish::default());
}

/// An operator went on asking for changes while one was under way: they were stored before they were refused, and took the place
/// of the one that came into force.
#[test]
fn a_refused_change_does_not_take_the_place_of_one_under_way() {
    all_hold(85_005_714..85_005_715, Wish::default());
}

/// A change went back to the contents of the configuration before the one in force. A member that had just joined and did not have it
/// yet took the token for one of before, and everybody behind it went on with what was in force.
#[test]
fn a_way_back_is_not_taken_for_what_was() {
    all_hold(84_020_540..84_020_541, Wish::default());
}

/// A node slept a moment, too short to doubt itself, and was removed; the others handed a VIP on among themselves, and the one that
/// had it now slept in turn. The first still had its token, in which another one had the VIP, and took it from that one.
#[test]
fn what_a_ring_without_this_node_handed_on_is_waited_for() {
    all_hold(85_016_245..85_016_246, Wish::default());
    let mut plan = Plan::new(85_016_245, Wish::default());
    let kept = [0, 1, 2, 3, 5, 7, 8, 10, 11, 12];
    plan.faults = kept.map(|i| plan.faults[i].clone()).to_vec();
    as_it_was(&plan);
}

/// The same with a VIP that nobody had: the others took it while a node that they had removed still had the token of before.
#[test]
fn what_a_ring_without_this_node_took_first_is_waited_for() {
    all_hold(91_020_579..91_020_580, Wish::default());
    let mut plan = Plan::new(91_020_579, Wish::default());
    let kept = [0, 1, 2, 3, 4, 7, 8, 12, 17, 18];
    plan.faults = kept.map(|i| plan.faults[i].clone()).to_vec();
    as_it_was(&plan);
}
