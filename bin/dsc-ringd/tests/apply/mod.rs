//! A change of the configuration as operators meet it: real daemons that spread it, store it, and go on.

use crate::cluster::{Cluster, all_hosted};
use dsc_wire::NodeId;
use dsc_wire::local::{EventKind, Reply};
use std::fs;
use std::time::Instant;

fn file(cluster: &Cluster) -> String {
    fs::read_to_string(cluster.dir.join("dsc.toml")).unwrap()
}

/// One more VIP than the file has.
fn with_a_vip(cluster: &Cluster) -> String {
    file(cluster).replace("10.1.0.100-10.1.0.103", "10.1.0.100-10.1.0.104")
}

fn stored(cluster: &Cluster, n: usize) -> String {
    fs::read_to_string(cluster.state_dir(n).join("dsc.toml")).unwrap_or_default()
}

fn until_stored(cluster: &Cluster, n: usize, version: u64) {
    let is_there = || stored(cluster, n).contains(&format!("version = {version}\n")).then_some(());
    dsc_lab::wait::until("stored", 5_000, is_there).unwrap();
}

#[test]
fn a_change_comes_into_force_on_every_node_and_is_stored() {
    let mut cluster = Cluster::new(3);
    cluster.form();
    let before = cluster.view(1).unwrap();
    let start = Instant::now();
    let reply = cluster.apply(2, &with_a_vip(&cluster));
    let took = start.elapsed();
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    println!("in force everywhere after {took:?}");
    for n in 1..=3 {
        let view = cluster.view(n).unwrap();
        assert_eq!((view.config_version, view.vips.len()), (1, before.vips.len() + 1));
        assert_eq!(view.names.vips.len(), view.vips.len());
        let view = cluster.until(n, "the new VIP is hosted", all_hosted);
        for (old, new) in before.vips.iter().zip(&view.vips) {
            assert_eq!(
                (old.host, old.moves),
                (new.host, new.moves),
                "what stays, stays where it is"
            );
        }
        until_stored(&cluster, n, 1);
        assert_eq!(stored(&cluster, n), stored(&cluster, 1));
        let told =
            |k: &EventKind| matches!(k, EventKind::ConfigChanged { version: 1, by: NodeId(1) });
        assert!(cluster.events(n).iter().any(|e| told(&e.kind)));
    }
}

#[test]
fn a_change_that_was_made_from_another_version_or_cannot_be_is_refused() {
    let mut cluster = Cluster::new(2);
    cluster.form();
    let other = file(&cluster).replace("name = \"test\"", "name = \"prod\"");
    let reply = cluster.apply(1, &other);
    assert!(matches!(&reply, Reply::Refused { reason } if reason.contains("name")), "{reply:?}");
    assert_eq!(cluster.view(2).unwrap().config_version, 0);
    assert!(!cluster.state_dir(1).join("dsc.toml").exists());
}

#[test]
fn a_node_that_was_away_gets_what_is_in_force_and_a_removed_one_leaves_for_good() {
    let mut cluster = Cluster::new(3);
    cluster.form();
    cluster.kill(3);
    cluster.until(1, "two members", |v| v.members.len() == 2 && all_hosted(v));
    let reply = cluster.apply(1, &with_a_vip(&cluster));
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    cluster.start(3);
    cluster.until(3, "a member with the new one", |v| {
        v.members.len() == 3 && v.config_version == 1 && v.vips.len() == 7
    });
    until_stored(&cluster, 3, 1);
    cluster.tell_facts(3, true);
    let all = with_a_vip(&cluster);
    let at = all.find("\n[[node]]\nname = \"n3\"").unwrap();
    let end = all.find("\n[[service]]").unwrap();
    let without = format!("{}{}", &all[..at], &all[end..]);
    let reply = cluster.apply(2, &without);
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    assert_eq!(cluster.ended(3).code(), Some(78), "not to be started again");
    for n in [1, 2] {
        cluster.until(n, "two members host all", |v| {
            v.config_version == 2 && v.members.len() == 2 && all_hosted(v)
        });
    }
}

#[test]
fn a_new_machine_gets_the_configuration_from_one_address_when_it_is_put_in() {
    let mut cluster = Cluster::new(3);
    let all = file(&cluster);
    let at = all.find("\n[[node]]\nname = \"n3\"").unwrap();
    let end = all.find("\n[[service]]").unwrap();
    let (two, third) = (format!("{}{}", &all[..at], &all[end..]), all[at..end].to_owned());
    fs::write(cluster.dir.join("dsc.toml"), &two).unwrap();
    cluster.start(1);
    cluster.start(2);
    for n in [1, 2] {
        cluster.until(n, "a ring of two", |v| v.members.len() == 2);
        cluster.tell_facts(n, true);
    }
    let join = cluster.dir.join("join.toml");
    let key = cluster.dir.join("key");
    let named = |name: &str| {
        let text = format!(
            "[cluster]\njoin = \"10.1.0.1\"\nkey_file = \"{}\"\n\n[node]\nname = \"{name}\"\n",
            key.display()
        );
        fs::write(&join, text).unwrap();
    };
    for (name, told) in [("n2", "is the name in use"), ("n3", "dscctl node add")] {
        named(name);
        cluster.start_with(3, &join);
        let waits = || {
            let log = fs::read_to_string(cluster.dir.join("log3")).unwrap_or_default();
            log.contains(told).then_some(())
        };
        dsc_lab::wait::until("told why it is not in", 5_000, waits).unwrap();
        assert_eq!(stored(&cluster, 3), "");
        assert_eq!(cluster.view(1).unwrap().members.len(), 2);
        if name == "n2" {
            cluster.kill(3);
        }
    }
    let reply = cluster.apply(2, &format!("{two}{third}"));
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    for n in [1, 2, 3] {
        cluster.until(n, "a ring of three", |v| v.members.len() == 3 && v.config_version == 1);
    }
    until_stored(&cluster, 3, 1);
    cluster.tell_facts(3, true);
    cluster.kill(3);
    cluster.until(1, "two members", |v| v.members.len() == 2);
    cluster.start_with(3, &join);
    cluster.until(3, "a member with what it has stored", |v| v.members.len() == 3);
}

#[test]
fn a_node_that_was_removed_while_it_was_away_learns_it_when_it_comes_back() {
    let mut cluster = Cluster::new(3);
    cluster.form();
    cluster.kill(3);
    cluster.until(1, "two members", |v| v.members.len() == 2 && all_hosted(v));
    let all = file(&cluster);
    let at = all.find("\n[[node]]\nname = \"n3\"").unwrap();
    let end = all.find("\n[[service]]").unwrap();
    let reply = cluster.apply(1, &format!("{}{}", &all[..at], &all[end..]));
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    cluster.start(3);
    assert_eq!(cluster.ended(3).code(), Some(78));
    let log = fs::read_to_string(cluster.dir.join("log3")).unwrap();
    assert!(log.contains("n3 has left for good"), "{log}");
    for n in [1, 2] {
        let view = cluster.view(n).unwrap();
        assert_eq!((view.members.len(), view.config_version), (2, 1));
    }
}

#[test]
fn a_node_that_was_taken_out_and_put_in_while_it_was_away_comes_back_under_its_new_number() {
    let mut cluster = Cluster::new(3);
    cluster.form();
    let all = with_a_vip(&cluster);
    let reply = cluster.apply(1, &all);
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    until_stored(&cluster, 3, 1);
    cluster.kill(3);
    cluster.until(1, "two members", |v| v.members.len() == 2 && all_hosted(v));
    let at = all.find("\n[[node]]\nname = \"n3\"").unwrap();
    let end = all.find("\n[[service]]").unwrap();
    for text in [format!("{}{}", &all[..at], &all[end..]), all.clone()] {
        let reply = cluster.apply(1, &text);
        assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    }
    cluster.start(3);
    cluster.until(3, "a member under its new number", |v| {
        v.me.0 == 3 && v.members.len() == 3 && v.config_version == 3
    });
}

#[test]
fn a_machine_whose_file_has_another_order_of_nodes_hears_of_what_is_in_force_and_begins_anew() {
    let mut cluster = Cluster::new(3);
    cluster.start(1);
    cluster.start(2);
    for n in [1, 2] {
        cluster.until(n, "a ring of two", |v| v.members.len() == 2);
        cluster.tell_facts(n, true);
    }
    let reply = cluster.apply(1, &with_a_vip(&cluster));
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    let before = cluster.until(1, "all hosted", all_hosted);
    let all = file(&cluster);
    let first = all.find("\n[[node]]\nname = \"n1\"").unwrap();
    let last = all.find("\n[[node]]\nname = \"n3\"").unwrap();
    let end = all.find("\n[[service]]").unwrap();
    let (head, others, own, rest) =
        (&all[..first], &all[first..last], &all[last..end], &all[end..]);
    let config = cluster.dir.join("other.toml");
    fs::write(&config, format!("{head}{own}{others}{rest}")).unwrap();
    cluster.start_with(3, &config);
    until_stored(&cluster, 3, 1);
    assert_eq!(cluster.ended(3).code(), Some(1), "to be started again");
    let log = fs::read_to_string(cluster.dir.join("log3")).unwrap();
    assert!(log.contains("gives other numbers than here"), "{log}");
    cluster.start_with(3, &config);
    cluster.until(3, "a member under its number", |v| v.me.0 == 2 && v.members.len() == 3);
    for (old, new) in before.vips.iter().zip(&cluster.view(1).unwrap().vips) {
        assert_eq!((old.host, old.moves), (new.host, new.moves), "nobody else answered");
    }
}
