//! Bad input at start: a clear error, and the cluster that is there does not notice.

use dsc_lab::{cluster, program, wait};
use dsc_test_lab::{beside_a_calm_cluster, refused};

#[test]
fn a_second_daemon_of_each_kind_is_refused() {
    beside_a_calm_cluster(None, |lab| {
        for daemon in program::daemons(&lab.plan.system) {
            let said = refused(lab, daemon, &[]);
            assert!(said.contains("running"), "it does not say what to do: {said}");
        }
    });
}

#[test]
fn a_broken_configuration_is_told_with_its_lines() {
    beside_a_calm_cluster(None, |lab| {
        let text =
            lab.plan.dsc_toml().replace("port = 7946", "port = 79460").replace("serve", "sieve");
        lab.node(0).unwrap().write("/etc/dsc/broken.toml", &text, 0o644).unwrap();
        for daemon in program::daemons(&lab.plan.system) {
            let said = refused(lab, daemon, &["--config", "/etc/dsc/broken.toml"]);
            assert!(said.contains("79460") && said.contains("sieve"), "not all at once: {said}");
        }
        let said = refused(lab, "dsc-ringd", &["--config", "/etc/dsc/nowhere.toml"]);
        assert!(said.contains("/etc/dsc/nowhere.toml"), "{said}");
    });
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    beside_a_calm_cluster(None, |lab| {
        let space = lab.node(0).unwrap();
        space.write("/etc/dsc/open-key", &format!("{}\n", "a5".repeat(32)), 0o644).unwrap();
        let text = lab.plan.dsc_toml().replace("/etc/dsc/key", "/etc/dsc/open-key");
        space.write("/etc/dsc/open.toml", &text, 0o644).unwrap();
        let run_dir = "/run/dsc/other";
        let said =
            refused(lab, "dsc-ringd", &["--config", "/etc/dsc/open.toml", "--run-dir", run_dir]);
        assert!(said.contains("/etc/dsc/open-key"), "{said}");
    });
}

#[test]
fn a_node_with_another_key_stays_outside() {
    let outsider = 2;
    beside_a_calm_cluster(Some(outsider), |lab| {
        let space = lab.node(outsider).unwrap();
        program::stop(lab, outsider, "dsc-ringd").unwrap();
        space.write("/etc/dsc/key", &format!("{}\n", "a5".repeat(32)), 0o600).unwrap();
        program::start(lab, outsider, "dsc-ringd").unwrap();
        wait::until("the others drop its datagrams", 10_000, || {
            let counters = cluster::dscctl(lab, 0, &["counters", "--json"]).ok()?;
            let rejected = |line: &str| {
                let row: serde_json::Value = serde_json::from_str(line).ok()?;
                let name = row["name"].as_str()?;
                (name.contains("seal") && row["count"].as_u64()? > 0).then_some(())
            };
            counters.lines().find_map(rejected)
        })
        .unwrap();
        let status = cluster::status(lab, 0).unwrap();
        assert_eq!(status["members"].as_array().unwrap().len(), 2, "{status}");
        // With the right key it is let in again, and the calm that follows wants all three.
        program::stop(lab, outsider, "dsc-ringd").unwrap();
        program::write_configuration(lab, outsider).unwrap();
        program::start(lab, outsider, "dsc-ringd").unwrap();
    });
}
