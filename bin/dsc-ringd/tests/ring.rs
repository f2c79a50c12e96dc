//! The ring daemon as an operator meets it: real processes, real sockets, a network of its own.

use crate::cluster::{Cluster, PATIENCE, all_hosted, counter, failed, hosts_none};
use dsc_sys::local::{AskError, ask_blocking};
use dsc_wire::local::{Command, EventKind, PathDown, Reply, Request, RingState, View, socket};
use dsc_wire::{BackendId, BackendState, NodeId, SubnetId, VipId};
use std::os::unix::process::CommandExt;

#[test]
fn a_ring_forms_and_another_takes_over_from_a_node_that_was_killed() {
    let mut cluster = Cluster::new(3);
    cluster.form();
    let first = NodeId(0);
    let before = cluster.view(1).unwrap();
    assert!(!hosts_none(&before, first), "VIPs are spread over all: {:#?}", before.vips);
    cluster.kill(1);
    for n in [2, 3] {
        let view = cluster.until(n, "heirs host what node 1 had", |v| {
            v.members.len() == 2 && hosts_none(v, first) && all_hosted(v)
        });
        assert_eq!(view.state, RingState::Member);
    }
    let failovers = |n| {
        let events = cluster.events(n);
        events.iter().any(|e| matches!(e.kind, EventKind::Took { failover: true, .. }))
    };
    assert!(failovers(2) && failovers(3), "every member tells of the failover");
}

#[test]
fn a_planned_stop_hands_over_and_a_restarted_node_is_let_in_again() {
    let mut cluster = Cluster::new(2);
    cluster.form();
    let status = cluster.stop(1);
    assert_eq!(status.code(), Some(0));
    let view = cluster.until(2, "all VIPs here", |v| hosts_none(v, NodeId(0)) && all_hosted(v));
    assert_eq!(view.state, RingState::Alone);
    let events = cluster.events(2);
    let failover = events.iter().find(|e| matches!(e.kind, EventKind::Took { failover: true, .. }));
    assert_eq!(failover, None, "a planned stop is no failover");
    cluster.start(1);
    cluster.until(1, "a member again", |v| v.members.len() == 2);
}

#[test]
fn a_move_is_done_when_every_view_shows_it() {
    let mut cluster = Cluster::new(2);
    cluster.form();
    let vip = VipId(0);
    let host = cluster.view(1).unwrap().vips[0].host.unwrap();
    let other = NodeId(1 - host.0);
    let command = Command::MoveVip { vip, node: other };
    let request = Request::Command { command, wait_ms: 5_000 };
    let reply = ask_blocking(&cluster.socket(1, socket::CONTROL), &request, PATIENCE).unwrap();
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    for n in [1, 2] {
        assert_eq!(cluster.view(n).unwrap().vips[0].host, Some(other));
    }
    let refused = ask_blocking(&cluster.socket(1, socket::STATUS), &request, PATIENCE).unwrap();
    assert!(matches!(refused, Reply::Refused { .. }), "{refused:?}");
}

#[test]
fn a_state_of_a_backend_outlives_the_daemon_that_was_asked() {
    let mut cluster = Cluster::new(2);
    cluster.form();
    let backend = BackendId(1);
    let command = Command::Backend { backend, state: BackendState::Draining };
    let request = Request::Command { command, wait_ms: 5_000 };
    let control = cluster.socket(1, socket::CONTROL);
    let reply: Reply = ask_blocking(&control, &request, PATIENCE).unwrap();
    assert_eq!(reply, Reply::Done { text: "backend#1 is draining".to_owned() });
    let view = cluster.view(1).unwrap();
    let shown = view.backends.clone();
    assert_eq!((shown[0].id, shown[0].state), (backend, BackendState::Draining));
    assert_eq!(view.names.backends[1].address.to_string(), "10.2.0.202:80");
    assert_eq!(cluster.view(2).unwrap().backends, shown);
    cluster.kill(1);
    cluster.until(2, "alone", |v| v.members.len() == 1);
    assert_eq!(cluster.view(2).unwrap().backends, shown);
    cluster.start(1);
    let view = cluster.until(1, "a member again", |v| v.members.len() == 2);
    assert_eq!(view.backends, shown);
    // The other one goes, and the one that has learned it is left.
    cluster.kill(2);
    let view = cluster.until(1, "alone", |v| v.members.len() == 1);
    assert_eq!(view.backends, shown);
}

#[test]
fn a_lost_carrier_gives_up_the_vips_of_that_subnet_only() {
    let mut cluster = Cluster::new(2);
    cluster.form();
    cluster.tell_facts(1, false);
    let on = |v: &dsc_wire::local::View, subnet: SubnetId| {
        let of_node = |x: &&dsc_wire::local::VipView| x.host == Some(NodeId(0));
        v.vips
            .iter()
            .filter(of_node)
            .filter(|x| v.names.vip_subnets[x.id.index()] == subnet)
            .count()
    };
    let view = cluster.until(2, "no VIP of ext on node 1", |v| on(v, SubnetId(0)) == 0);
    assert!(on(&view, SubnetId(1)) > 0, "those of int stay: {:#?}", view.vips);
}

#[test]
fn a_dead_path_is_in_the_view_until_it_works_again() {
    let mut cluster = Cluster::new(2);
    cluster.form();
    let all_work = |v: &View| v.members.len() == 2 && v.paths_down.is_empty();
    cluster.until(1, "every path works", all_work);
    // One way only, in silence, and the carrier stays.
    let drop =
        "table ip cut { chain in { type filter hook input priority 0; iifname eth1 drop; }; }";
    cluster.shell(2, &format!("nft '{drop}'"));
    let dead = |peer| [PathDown { peer: NodeId(peer), subnet: SubnetId(1) }];
    cluster.until(1, "node 1 tells", |v| v.paths_down == dead(1));
    cluster.until(2, "node 2 tells", |v| v.paths_down == dead(0));
    cluster.shell(2, "nft delete table ip cut");
    cluster.until(1, "healed", all_work);
    cluster.until(2, "healed", all_work);
}

#[test]
fn a_second_daemon_is_refused_and_told_the_pid() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    cluster.until(1, "alone", |v| v.state == RingState::Alone);
    let error = failed(cluster.command(1, &cluster.dir.join("dsc.toml")), 1);
    assert!(error.starts_with("dsc-ringd: another dsc-ringd is running (pid "), "{error}");
    cluster.until(1, "still alone", |v| v.state == RingState::Alone);
}

#[test]
fn a_node_with_another_key_is_counted_and_changes_nothing() {
    let mut cluster = Cluster::new(2);
    cluster.start(1);
    cluster.until(1, "alone", |v| v.state == RingState::Alone);
    let foreign = cluster.foreign_config();
    cluster.start_with(2, &foreign);
    let view = cluster
        .until(1, "datagrams counted", |v| counter(v, "datagrams_not_sealed_with_our_key") > 5);
    assert_eq!(view.members, [NodeId(0)]);
    assert_eq!(view.state, RingState::Alone);
}

#[test]
fn what_strangers_send_is_counted_by_kind() {
    let mut cluster = Cluster::new(2);
    cluster.start(1);
    cluster.until(1, "alone", |v| v.state == RingState::Alone);
    let kinds = [
        ("printf x", "datagrams_too_short_or_long"),
        ("head -c 3000 /dev/zero", "datagrams_too_short_or_long"),
        ("head -c 200 /dev/zero", "datagrams_malformed"),
        // Version 2, a known kind, from node 1 to node 0 on path 0; the seal is nonsense.
        ("printf '\\002\\003\\001\\000\\000%060d' 7", "datagrams_not_sealed_with_our_key"),
    ];
    for (sender, kind) in kinds {
        let before = counter(&cluster.view(1).unwrap(), kind);
        cluster.shell(2, &format!("{sender} > /dev/udp/10.1.0.1/7946"));
        cluster.until(1, kind, |v| counter(v, kind) == before + 1);
    }
    let kind = "datagrams_from_an_unknown_address";
    cluster.shell(2, "ip address del 10.1.0.2/24 dev eth0; ip address add 10.1.0.66/24 dev eth0");
    cluster.shell(2, "printf x > /dev/udp/10.1.0.1/7946");
    cluster.until(1, kind, |v| counter(v, kind) == 1);
    let view = cluster.view(1).unwrap();
    assert_eq!((view.members.as_slice(), view.state), (&[NodeId(0)][..], RingState::Alone));
}

#[test]
fn a_broken_start_says_what_and_why() {
    let cluster = Cluster::new(1);
    let config = cluster.dir.join("dsc.toml");
    let mut unknown = cluster.command(1, &config);
    unknown.args(["--node", "n9"]);
    assert_eq!(failed(unknown, 1), "dsc-ringd: the configuration names no node n9\n");
    let absent = failed(cluster.command(1, &cluster.dir.join("none.toml")), 78);
    assert!(absent.contains("none.toml"), "{absent}");
    let key = cluster.dir.join("key");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&key, open).unwrap();
    let readable = failed(cluster.command(1, &config), 1);
    assert!(readable.contains(&format!("{}", key.display())), "{readable}");
    assert!(readable.contains("0600"), "{readable}");
}

#[test]
fn a_user_without_the_right_is_refused() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    cluster.until(1, "alone", |v| v.state == RingState::Alone);
    for name in [socket::STATUS, socket::CONTROL, socket::FACTS] {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ring::asked_as_another_user", "--nocapture"])
            .env("DSC_ASK", cluster.socket(1, name))
            .uid(65_534)
            .gid(65_534)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("permission denied"), "{name}: {text}");
    }
}

/// Run by the test above, as another user; by itself it has nothing to ask.
#[test]
fn asked_as_another_user() {
    let Some(path) = std::env::var_os("DSC_ASK") else { return };
    let request = Request::View { after: 0, wait_ms: 0 };
    let refused = ask_blocking::<_, Reply>(path.as_ref(), &request, PATIENCE).unwrap_err();
    assert!(matches!(refused, AskError::Denied { .. }), "{refused}");
    println!("{refused}");
}
