//! A node whose critical check turns red hands its addresses over under traffic, and may have them again when it is over. Where
//! it is red everywhere, everything stays and is served.

use dsc_lab::error::{Doing, Result};
use dsc_lab::lab::Lab;
use dsc_lab::topology::Plan;
use dsc_lab::{change, cluster, traffic, wait};
use dsc_test_lab::{TestLab, assert_undisturbed_by};
use serde_json::Value;

/// Longest wait for something that must happen, ms.
const LIMIT_MS: u64 = 30_000;
/// A script that finds something wrong while this file is there; each node has its own.
const BROKEN: &str = "/run/dsc/broken";

fn hosted(lab: &Lab, node: usize) -> usize {
    (0..lab.plan.vip_list().len()).filter(|v| cluster::host_of(lab, *v) == Some(node)).count()
}

fn broken(lab: &Lab, node: usize, is: bool) -> Result<()> {
    let path = lab.node(node)?.path(BROKEN);
    let done = if is { std::fs::write(&path, "") } else { std::fs::remove_file(&path) };
    done.doing(|| format!("write or remove {path}"))
}

/// Does node n1 show that node `of` should host nothing on some subnets?
fn unfit(lab: &Lab, of: usize) -> bool {
    let status = cluster::status(lab, 0).unwrap_or_default();
    let name = lab.plan.node(of);
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    let unfit = |n: &Value| n["unfit"].as_array().is_some_and(|list| !list.is_empty());
    nodes.iter().any(|n| n["name"] == *name && unfit(n))
}

fn until(what: &str, condition: impl Fn() -> bool) -> Result<()> {
    wait::until(what, LIMIT_MS, || condition().then_some(()))
}

#[test]
fn a_red_critical_check_moves_addresses_without_loss_and_all_red_moves_none() {
    let mut lab = TestLab::up(Plan { hosts: 2, services: true, ..Plan::default() });
    cluster::wait_whole(&lab, LIMIT_MS).unwrap();
    let ((), seen) = traffic::beside(&mut lab, |lab| {
        let check = format!(
            "\n[[check]]\nname = \"disk\"\nkind = \"script\"\n\
             command = [\"/usr/bin/test\", \"!\", \"-e\", \"{BROKEN}\"]\n\
             every_ms = 200\nrise = 2\nfall = 2\ncritical = \"all\"\nhold_down_s = 1\n\n[flows]"
        );
        change::replace(lab, 0, "\n[flows]", &check)?;
        if hosted(lab, 1) == 0 {
            cluster::move_vip(lab, 0, 1)?;
        }
        broken(lab, 1, true)?;
        until("n2 hosts nothing", || hosted(lab, 1) == 0 && unfit(lab, 1))?;
        broken(lab, 1, false)?;
        until("n2 is fit again", || !unfit(lab, 1))?;
        // It is switched off: what it finds does not count.
        cluster::dscctl(lab, 0, &["check", "disable", "disk", "n3"])?;
        let before = hosted(lab, 2);
        broken(lab, 2, true)?;
        wait::observe(1_000);
        assert_eq!(hosted(lab, 2), before, "n3 is not checked");
        cluster::dscctl(lab, 0, &["check", "enable", "disk", "n3"])?;
        until("n3 hosts nothing", || hosted(lab, 2) == 0 && unfit(lab, 2))?;
        broken(lab, 1, true)?;
        until("n2 is unfit, and n1 hosts everything", || {
            unfit(lab, 1) && hosted(lab, 0) == lab.plan.vip_list().len()
        })?;
        broken(lab, 0, true)?;
        until("all are red", || unfit(lab, 0))?;
        wait::observe(1_000);
        assert_eq!(hosted(lab, 0), lab.plan.vip_list().len(), "nothing moves");
        Ok(())
    })
    .unwrap();
    assert_undisturbed_by(&lab, "red checks", &seen);
    let said = cluster::status(&lab, 0).unwrap()["warnings"].to_string();
    assert!(said.contains("subnet-unfit"), "{said}");
}
