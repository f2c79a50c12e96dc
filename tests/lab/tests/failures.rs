//! What fails, and what it may cost: one gap, never two answers, and nothing at all when the failure is over.

use dsc_lab::scenario::Event;
use dsc_lab::topology::Plan;
use dsc_test_lab::{GAP_MAX_MS, assert_nothing_lost, assert_short_gap, run};

/// Longest time until two rings have heard each other and one has given up, ms: beacons are 25 ms apart.
const MERGE_MAX_MS: u64 = 300;

/// The victim loses its addresses; when it is back, nobody notices.
fn costs_one_gap(plan: Plan, event: Event) {
    let (lab, outcome) = run(plan, &event);
    assert_short_gap(&outcome.event);
    assert_nothing_lost(&lab, Some(outcome.victim), &outcome.undoing);
}

/// Clients notice neither the failure nor its end.
fn costs_nothing(event: Event) {
    let (lab, outcome) = run(Plan::default(), &event);
    assert_nothing_lost(&lab, None, &outcome.event);
    assert_nothing_lost(&lab, None, &outcome.undoing);
}

#[test]
fn crash_and_rejoin() {
    costs_one_gap(Plan::default(), Event::Crash);
}

#[test]
fn crash_and_rejoin_with_fast_timing() {
    costs_one_gap(Plan { timing: "\"fast\"".into(), ..Plan::default() }, Event::Crash);
}

#[test]
fn freeze_and_thaw() {
    costs_one_gap(Plan::default(), Event::Freeze);
}

#[test]
fn ring_daemon_killed_and_started() {
    costs_one_gap(Plan::default(), Event::Kill("dsc-ringd"));
}

/// A node whose ring daemon was killed and started again takes over, and clients hear of it, as quickly as any other.
#[test]
fn ring_daemons_killed_in_turn() {
    let plan = Plan { nodes: 2, ..Plan::default() };
    let (mut lab, outcome) = run(plan, &Event::Kill("dsc-ringd"));
    let vips = lab.vips();
    let second = dsc_lab::scenario::run(&mut lab, &Event::Kill("dsc-ringd"), &vips).unwrap();
    for outcome in [outcome, second] {
        assert_short_gap(&outcome.event);
        assert_nothing_lost(&lab, Some(outcome.victim), &outcome.undoing);
    }
}

#[test]
fn data_path_daemon_killed_and_started() {
    costs_nothing(Event::Kill("dsc-fwd"));
}

#[test]
fn health_daemon_killed_and_started() {
    costs_nothing(Event::Kill("dsc-mon"));
}

#[test]
fn one_subnet_silently_cut_and_healed() {
    costs_one_gap(Plan::default(), Event::CutOneSubnet);
}

#[test]
fn all_frames_silently_dropped_and_healed() {
    costs_one_gap(Plan { partition: "majority".into(), ..Plan::default() }, Event::Drop);
}

/// In `serve` mode the cut node goes on serving its side, which here has no clients. When the cable is mended both
/// sides are there until they have heard each other.
#[test]
fn two_sides_that_both_serve_become_one_ring() {
    let (_lab, outcome) = run(Plan::default(), &Event::Drop);
    assert_short_gap(&outcome.event);
    let merge = outcome.undoing;
    assert!(merge.duplicate_ms <= MERGE_MAX_MS, "the rings took long to merge: {merge:?}");
    assert!(merge.lost_ms <= GAP_MAX_MS, "the merge cost a gap: {merge:?}");
    assert_eq!(merge.unwanted_moves, 0, "the merge moved addresses: {merge:?}");
}

#[test]
fn carrier_lost_and_back() {
    costs_one_gap(Plan::default(), Event::Carrier);
}

#[test]
fn cut_off_all_peers_but_not_the_clients_in_majority_mode() {
    costs_one_gap(Plan { partition: "majority".into(), ..Plan::default() }, Event::CutAll);
}
