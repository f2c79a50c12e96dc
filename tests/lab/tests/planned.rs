//! What an operator does on purpose costs nothing: no probe, no connection, however long it is open and whatever it
//! is doing.

use dsc_lab::cluster;
use dsc_lab::http::{Clients, Load, Parked};
use dsc_lab::lab::Lab;
use dsc_lab::probe::Prober;
use dsc_lab::scenario;
use dsc_lab::topology::Plan;
use dsc_lab::{clock, figures, program, wait};
use dsc_test_lab::{TestLab, assert_nothing_lost, assert_undisturbed};

/// Connections that are open and silent while addresses move.
const PARKED: usize = 1_000;
/// How long things are watched after an operation, ms.
const WATCH_MS: u64 = 1_500;
/// Longest wait for the cluster to be whole after a replacement, ms.
const WHOLE_MS: u64 = 30_000;

/// Which addresses of the owner leave it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moving {
    None,
    First,
    All,
}

/// Does something to the owner of the first address, under load, then undoes it; nothing may break.
fn costs_nothing(
    act: impl FnOnce(&Lab, usize) -> dsc_lab::error::Result<u64>,
    undo: impl FnOnce(&Lab, usize) -> dsc_lab::error::Result<u64>,
    moving: Moving,
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
        .filter(|v| match moving {
            Moving::None => false,
            Moving::First => **v == 0,
            Moving::All => prober.owner(**v) == Some(owner),
        })
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
    let seen = prober.stop().unwrap();
    let first = figures::judge(&seen.between(at_ns - 10_000_000, undone_ns), at_ns, &affected);
    assert!(affected.is_empty() || first.takeover_ms.is_some(), "nothing moved: {first:?}");
    assert_nothing_lost(&lab, None, &first);
    let second = figures::judge(&seen.between(undone_ns, u64::MAX), undone_ns, &new_owners);
    assert_nothing_lost(&lab, None, &second);
}

#[test]
fn an_address_is_moved_and_moved_back() {
    costs_nothing(
        |lab, owner| cluster::move_vip(lab, 0, (owner + 1) % lab.plan.nodes),
        |lab, owner| cluster::move_vip(lab, 0, owner),
        Moving::First,
    );
}

#[test]
fn a_node_is_drained_and_opened() {
    costs_nothing(cluster::drain, cluster::undo, Moving::All);
}

#[test]
fn a_node_is_closed_and_opened() {
    let close = |lab: &Lab, owner: usize| {
        let at = clock::now_ns();
        cluster::dscctl(lab, owner, &["node", "close", &lab.plan.node(owner)])?;
        Ok(at)
    };
    costs_nothing(close, cluster::undo, Moving::All);
}

/// As by an upgrade: the daemon ends when asked and another takes its place. There is nothing to undo but the wait
/// until the cluster is whole.
fn replaced(daemon: &'static str, moving: Moving) {
    let replace = |lab: &Lab, owner: usize| {
        let at = clock::now_ns();
        program::stop(lab, owner, daemon)?;
        program::start(lab, owner, daemon)?;
        Ok(at)
    };
    let whole = |lab: &Lab, _: usize| {
        cluster::wait_whole(lab, WHOLE_MS)?;
        Ok(clock::now_ns())
    };
    costs_nothing(replace, whole, moving);
}

#[test]
fn the_ring_daemon_is_replaced() {
    replaced("dsc-ringd", Moving::All);
}

#[test]
fn the_data_path_daemon_is_replaced() {
    replaced("dsc-fwd", Moving::None);
}

#[test]
fn the_health_daemon_is_replaced() {
    replaced("dsc-mon", Moving::None);
}
