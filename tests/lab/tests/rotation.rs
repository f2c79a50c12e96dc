//! The cluster key is rotated by the steps of dscctl(8), and every node's daemons are replaced as by an upgrade, under
//! traffic: no client notices.

use dsc_lab::error::Result;
use dsc_lab::lab::Lab;
use dsc_lab::topology::Plan;
use dsc_lab::traffic::{self, Seen};
use dsc_lab::{cluster, upgrade, wait};
use dsc_test_lab::{TestLab, assert_undisturbed_by};
use serde_json::Value;
use std::fs;

/// Longest wait for every daemon to have the keys of its file, ms.
const TAKEN_MS: u64 = 10_000;

fn plan() -> Plan {
    Plan { hosts: 2, services: true, ..Plan::default() }
}

/// The keys in force in a node's dsc-ringd and dsc-fwd.
fn keys(lab: &Lab, node: usize) -> Option<[Vec<String>; 2]> {
    let status = cluster::dscctl(lab, node, &["status", "--local", "--json"]).ok()?;
    let status: Value = serde_json::from_str(&status).ok()?;
    let list = |keys: &Value| serde_json::from_value(keys.clone()).ok();
    Some([list(&status["keys"])?, list(&status["sharing"]["keys"])?])
}

/// One step of dscctl(8): on the first node, then the file is copied to the others. Ends when all daemons of all nodes have the
/// keys that are wanted, and returns them.
fn step(lab: &Lab, option: &str, wanted: impl Fn(&[String]) -> bool) -> Result<Vec<String>> {
    cluster::dscctl(lab, 0, &["keygen", option])?;
    let text = fs::read_to_string(lab.node(0)?.path("/etc/dsc/key")).unwrap();
    for node in 1..lab.plan.nodes {
        // As a copy over the network does: the file that is there is written anew.
        fs::write(lab.node(node)?.path("/etc/dsc/key"), &text).unwrap();
    }
    wait::until(&format!("every daemon has the keys of {option}"), TAKEN_MS, || {
        let all: Option<Vec<_>> = (0..lab.plan.nodes).map(|node| keys(lab, node)).collect();
        let all = all?.concat();
        let first = all.first()?;
        (wanted(first) && all.iter().all(|k| k == first)).then(|| first.clone())
    })
}

#[test]
fn the_cluster_key_is_rotated() {
    let mut lab = TestLab::up(plan());
    let (retired, seen) = traffic::beside(&mut lab, |lab| {
        let [before, _] = keys(lab, 0).unwrap();
        let added = step(lab, "--add", |keys| keys.len() == 2 && keys[0] == before[0])?;
        step(lab, "--switch", |keys| {
            keys.len() == 2 && keys[0] == added[1] && keys[1] == added[0]
        })?;
        step(lab, "--retire", |keys| keys.len() == 1 && keys[0] == added[1])
    })
    .unwrap();
    assert_undisturbed_by(&lab, "rotation", &seen);
    // A key that nobody else has is not taken while the daemons run.
    cluster::dscctl(&lab, 0, &["keygen", "--force"]).unwrap();
    let log =
        |name| fs::read_to_string(dsc_lab::program::log_file(&lab, 0, name)).unwrap_or_default();
    wait::until("both daemons refuse it", TAKEN_MS, || {
        let said = |name| log(name).contains("has none of the keys in force");
        (said("dsc-ringd") && said("dsc-fwd")).then_some(())
    })
    .unwrap();
    assert_eq!(keys(&lab, 0).unwrap(), [retired.clone(), retired]);
}

#[test]
fn every_daemon_is_replaced_node_by_node() {
    let mut lab = TestLab::up(plan());
    let ((), seen): ((), Seen) = traffic::beside(&mut lab, |lab| {
        (0..lab.plan.nodes).try_for_each(|node| upgrade::replace(lab, node))
    })
    .unwrap();
    assert_undisturbed_by(&lab, "upgrade", &seen);
}
