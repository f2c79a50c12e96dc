//! The configuration of a running cluster is changed, under traffic and while daemons die: no client notices, and all nodes
//! have the same.

use dsc_lab::change::{self, stored};
use dsc_lab::topology::Plan;
use dsc_lab::traffic;
use dsc_lab::{cluster, program, services, wait};
use dsc_test_lab::{TestLab, assert_undisturbed_by};
use nix::sys::signal::Signal;

/// Longest wait for something that must happen, ms.
const LIMIT_MS: u64 = 20_000;

fn plan() -> Plan {
    Plan { hosts: 3, services: true, ..Plan::default() }
}

fn all(lab: &TestLab) -> Vec<usize> {
    (0..lab.plan.nodes).filter(|n| !lab.dark.contains(n)).collect()
}

/// The line of the first service for a host behind.
fn backend(host: usize) -> String {
    let address = services::host_address(host - 1, false);
    format!("  {{ address = \"{address}\", port = 8080, weight = 1, state = \"enabled\" }},\n")
}

/// The page that a client gets.
fn page(lab: &TestLab, url: &str) -> Option<String> {
    lab.space("client").ok()?.run(&["curl", "-sf", "-m", "1", url]).ok()
}

#[test]
fn a_vip_a_service_a_backend_and_a_weight_come_under_traffic() {
    let mut lab = TestLab::up(plan());
    cluster::wait_whole(&lab, LIMIT_MS).unwrap();
    // The third host behind is no backend of the web yet.
    change::replace(&lab, 0, &backend(3), "").unwrap();
    let ((), seen) = traffic::beside(&mut lab, |lab| {
        change::replace(lab, 0, "10.1.0.100-10.1.0.103", "10.1.0.100-10.1.0.104")?;
        let service = "\n[[service]]\nname = \"new\"\nvips = [\"10.1.0.104\"]\nport = 8088\n\
                       backends = [{ address = \"10.2.0.203\", port = 8080 }]\n\n[flows]";
        change::replace(lab, 1, "\n[flows]", service)?;
        change::replace(lab, 2, &backend(2), &(backend(2) + &backend(3)))?;
        change::replace(lab, 0, "weight = 1", "weight = 5").map(drop)
    })
    .unwrap();
    assert_undisturbed_by(&lab, "config apply", &seen);
    let (version, _) = change::wait_same(&lab, &all(&lab)).unwrap();
    assert_eq!(version, 5);
    wait::until("the new service on the new VIP serves", LIMIT_MS, || {
        page(&lab, "http://10.1.0.104:8088/").filter(|page| page.contains("h3"))
    })
    .unwrap();
    // A VIP that a service has cannot go alone.
    change::replace(&lab, 0, "10.1.0.100-10.1.0.104", "10.1.0.100-10.1.0.103").unwrap_err();
    let text = change::document(&lab, 0).unwrap();
    let at = text.find("[[service]]\nname = \"new\"").unwrap();
    let end = text[at..].find("\n[flows]").unwrap() + at;
    let without = format!("{}{}", &text[..at], &text[end..]);
    let without = without.replace("10.1.0.100-10.1.0.104", "10.1.0.100-10.1.0.103");
    change::apply(&lab, 1, &without).unwrap();
    change::wait_same(&lab, &all(&lab)).unwrap();
    for node in all(&lab) {
        let addresses = lab.node(node).unwrap().run(&["ip", "-o", "addr", "show", "lo"]).unwrap();
        assert!(addresses.contains("10.1.0.103/") && !addresses.contains("10.1.0.104/"));
    }
    assert!(page(&lab, "http://10.1.0.104:8088/").is_none());
}

#[test]
fn a_node_comes_and_another_goes_under_traffic() {
    let mut lab = TestLab::up(Plan { nodes: 4, spares: 1, ..plan() });
    let ((), seen) = traffic::beside(&mut lab, |lab| {
        change::add_node(lab, 0, 3)?;
        cluster::wait_whole(lab, LIMIT_MS)?;
        change::remove_node(lab, 3, 0)?;
        cluster::wait_whole(lab, LIMIT_MS)
    })
    .unwrap();
    assert_undisturbed_by(&lab, "node add and remove", &seen);
    assert_eq!(change::wait_same(&lab, &[1, 2, 3]).unwrap().0, 2);
    // It does not come back by a restart.
    program::start(&lab, 0, "dsc-ringd").unwrap();
    let ended = program::find(&lab, 0, "dsc-ringd");
    wait::until("the removed node's daemon ends again", LIMIT_MS, || {
        ended.iter().for_each(|pid| pid.reap());
        program::find(&lab, 0, "dsc-ringd").is_none().then_some(())
    })
    .unwrap();
}

#[test]
fn whoever_dies_in_the_middle_all_have_the_old_or_all_the_new_one() {
    let lab = TestLab::up(Plan { hosts: 0, services: false, ..Plan::default() });
    cluster::wait_whole(&lab, LIMIT_MS).unwrap();
    for (round, (victim, after_ms)) in [(0, 8), (1, 14), (0, 20), (2, 26)].into_iter().enumerate() {
        let (before, _) = change::wait_same(&lab, &all(&lab)).unwrap();
        let text = change::document(&lab, 0).unwrap();
        let end = 104 + round;
        let text = text.replacen(&format!("-10.1.0.{}\"", end - 1), &format!("-10.1.0.{end}\""), 1);
        std::thread::scope(|scope| {
            // Whether it is carried out is not certain.
            scope.spawn(|| change::apply(&lab, 0, &text));
            wait::observe(after_ms);
            program::signal(&lab, victim, "dsc-ringd", Signal::SIGKILL).unwrap();
            program::start(&lab, victim, "dsc-ringd").unwrap();
        });
        wait::until("the daemon is started again", LIMIT_MS, || {
            // What it had locked is free when its last thread has ended.
            if program::find(&lab, victim, "dsc-ringd").is_none() {
                let _ = program::start(&lab, victim, "dsc-ringd");
            }
            cluster::status(&lab, victim).ok().map(drop)
        })
        .unwrap();
        cluster::wait_whole(&lab, LIMIT_MS).unwrap();
        let (after, _) = change::wait_same(&lab, &all(&lab)).unwrap();
        assert!(after == before || after == before + 1, "round {round}: from {before} to {after}");
        if after > 0 {
            let kept: Vec<_> = all(&lab).into_iter().map(|node| stored(&lab, node)).collect();
            assert!(
                kept[0].is_some() && kept.iter().all(|k| *k == kept[0]),
                "round {round}: {kept:?}"
            );
        }
        if after == before {
            change::apply(&lab, 0, &text).unwrap();
        }
    }
}

#[test]
fn a_node_that_was_away_gets_what_is_in_force_when_it_comes() {
    let lab = TestLab::up(plan());
    cluster::wait_whole(&lab, LIMIT_MS).unwrap();
    for daemon in program::daemons(&lab.plan.system).iter().rev() {
        program::stop(&lab, 2, daemon).unwrap();
    }
    wait::until("the others go on", LIMIT_MS, || {
        change::replace(&lab, 0, "10.1.0.100-10.1.0.103", "10.1.0.100-10.1.0.104").ok()
    })
    .unwrap();
    for daemon in program::daemons(&lab.plan.system) {
        program::start(&lab, 2, daemon).unwrap();
    }
    cluster::wait_whole(&lab, LIMIT_MS).unwrap();
    assert_eq!(change::wait_same(&lab, &all(&lab)).unwrap().0, 1);
    assert_eq!(stored(&lab, 2), stored(&lab, 0));
}
