//! What an operator does on purpose costs nothing: no probe, no connection, however long it is open and whatever it
//! is doing.

use dsc_lab::cluster;
use dsc_lab::http::{Clients, Load, Parked};
use dsc_lab::lab::Lab;
use dsc_lab::probe::Prober;
use dsc_lab::scenario::{self, Event};
use dsc_lab::topology::Plan;
use dsc_lab::{clock, figures, wait};
use dsc_test_lab::{TestLab, assert_nothing_lost, assert_undisturbed, run};

/// Connections that are open and silent while addresses move.
const PARKED: usize = 1_000;
/// How long things are watched after an operation, ms.
const WATCH_MS: u64 = 1_500;

/// Does something to the owner of the first address, under load, then undoes it; nothing may break.
fn costs_nothing(
    act: impl FnOnce(&Lab, usize) -> dsc_lab::error::Result<u64>,
    undo: impl FnOnce(&Lab, usize) -> dsc_lab::error::Result<u64>,
    moves_all: bool,
) {
    let lab = TestLab::up(Plan::default());
    let (vips, addresses) = (lab.vips(), lab.addresses());
    let prober = Prober::start(&lab, &vips).unwrap();
    scenario::calm(&lab, &prober).unwrap();
    let clients = Clients { kept: 8, fresh: 4, downloads: 8 };
    let load = Load::start(&lab, &addresses, clients).unwrap();
    let mut parked = Parked::open(&lab, &addresses, PARKED).unwrap();
    let owner = prober.owner(0).unwrap();
    let affected: Vec<(usize, usize)> = vips
        .iter()
        .filter(|v| **v == 0 || moves_all && prober.owner(**v) == Some(owner))
        .map(|v| (*v, owner))
        .collect();
    let at_ns = act(&lab, owner).unwrap();
    wait::observe(WATCH_MS);
    let after = parked.ask_all();
    assert_undisturbed(&after);
    assert_eq!(after.pages, PARKED as u64);
    let undone_ns = undo(&lab, owner).unwrap();
    wait::observe(WATCH_MS);
    assert_undisturbed(&parked.ask_all());
    assert_undisturbed(&load.stop());
    let new_owners: Vec<(usize, usize)> =
        affected.iter().map(|(v, _)| (*v, prober.owner(*v).unwrap())).collect();
    let seen = prober.stop();
    let first = figures::judge(&seen.between(at_ns - 10_000_000, undone_ns), at_ns, &affected);
    assert!(first.takeover_ms.is_some(), "nothing moved: {first:?}");
    assert_nothing_lost(&lab, None, &first);
    let second = figures::judge(&seen.between(undone_ns, u64::MAX), undone_ns, &new_owners);
    assert_nothing_lost(&lab, None, &second);
}

#[test]
fn an_address_is_moved_and_moved_back() {
    costs_nothing(
        |lab, owner| cluster::move_vip(lab, 0, (owner + 1) % lab.plan.nodes),
        |lab, owner| cluster::move_vip(lab, 0, owner),
        false,
    );
}

#[test]
fn a_node_is_drained_and_opened() {
    costs_nothing(cluster::drain, cluster::undo, true);
}

#[test]
fn a_node_is_closed_and_opened() {
    let close = |lab: &Lab, owner: usize| {
        let at = clock::now_ns();
        cluster::dscctl(lab, owner, &["node", "close", &lab.plan.node(owner)])?;
        Ok(at)
    };
    costs_nothing(close, cluster::undo, true);
}

/// As by an upgrade: the daemon ends when asked and another takes its place.
fn replaced(daemon: &'static str) {
    let (lab, outcome) = run(Plan::default(), &Event::Replace(daemon));
    assert_nothing_lost(&lab, None, &outcome.event);
    assert_nothing_lost(&lab, None, &outcome.undoing);
}

#[test]
fn the_ring_daemon_is_replaced() {
    replaced("dsc-ringd");
}

#[test]
fn the_data_path_daemon_is_replaced() {
    replaced("dsc-fwd");
}

#[test]
fn the_health_daemon_is_replaced() {
    replaced("dsc-mon");
}
