//! What operators say about backends reaches the kernel, and a daemon that is started anew takes nothing of it back.

use crate::net::{self, CONFIG, Node, VIP4, until, world};
use BackendState::{Disabled, Draining, Enabled};
use dsc_conf::Config;
use dsc_sys::local::ask_blocking;
use dsc_wire::local::{BackendView, FwdRequest, FwdServices, HostState, socket};
use dsc_wire::{BackendId, BackendState, NodeId, SubnetSet, VipId};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

const KEY: &str = "/mnt/key";
const SERVICE: &str = r#"
[[service]]
name = "web"
vips = ["10.1.0.103"]
port = 80
backends = [{ address = "10.1.0.201" }, { address = "10.1.0.202", state = "disabled" }]
[flows]
max = 1024
"#;

/// With services dsc-fwd shares flows, under the cluster's key.
fn config() -> String {
    let mut options = std::fs::File::options();
    let mut key = options.write(true).create(true).truncate(true).mode(0o600).open(KEY).unwrap();
    key.write_all("5a".repeat(32).as_bytes()).unwrap();
    CONFIG.replacen("[cluster]", &format!("[cluster]\nkey_file = \"{KEY}\""), 1) + SERVICE
}

/// As dsc-fwd says; none while it does not answer.
fn states(node: &Node) -> Option<Vec<BackendState>> {
    let path = node.run_dir.join(socket::FWD);
    let services = ask_blocking(&path, &FwdRequest::Services, Duration::from_secs(1));
    let services: FwdServices = services.ok()?;
    Some(services.backends.iter().map(|b| b.state).collect())
}

fn order(node: &Node, changed: &[(u16, BackendState)]) {
    let view = |(id, state): &(u16, BackendState)| BackendView {
        id: BackendId(*id),
        state: *state,
        changed_ms: 1_700_000_000_000,
        by: NodeId(1),
    };
    node.ringd.change(|v| v.backends = changed.iter().map(view).collect());
}

#[test]
fn the_ring_says_what_backends_are_given_and_a_new_daemon_asks_before_it_changes_anything() {
    let mut world = world();
    let node = &mut world.nodes[0];
    node.kill();
    std::fs::write("/mnt/dsc.toml", config()).unwrap();
    let digest = Config::read(Path::new("/mnt/dsc.toml")).unwrap().digest();
    node.ringd.change(|v| v.config_digest = digest);
    node.start();
    assert_eq!(states(node), Some(vec![Enabled, Disabled]), "the file's");
    order(node, &[(0, Draining), (1, Enabled)]);
    until("the ring's", || states(node) == Some(vec![Draining, Enabled]));
    for _ in 0..3 {
        node.kill();
        node.spawn();
        until("it answers", || states(node).is_some());
        assert_eq!(states(node), Some(vec![Draining, Enabled]), "from the start");
        until("dsc-fwd is ready", || node.ringd.ready());
    }

    // A ring daemon that is in no ring knows nothing, and what was in force stays so.
    node.ringd.change(|v| {
        v.members.clear();
        v.backends.clear();
    });
    assert!((0..50).all(|_| states(node) == Some(vec![Draining, Enabled])));
    order(node, &[(0, Disabled)]);
    node.ringd.change(|v| v.members = vec![NodeId(0)]);
    until("the ring's again", || states(node) == Some(vec![Disabled, Disabled]));
}

#[test]
fn a_node_that_has_another_number_now_goes_on_under_it() {
    let mut world = world();
    let node = &mut world.nodes[0];
    until("dsc-fwd is ready", || node.ringd.ready());
    let at = CONFIG.find("[[node]]").unwrap();
    let next = at + 1 + CONFIG[at + 1..].find("[[node]]").unwrap();
    let other = format!("{}{}{}", &CONFIG[..at], &CONFIG[next..], &CONFIG[at..next]);
    std::fs::write("/mnt/dsc.toml", &other).unwrap();
    let digest = Config::read(Path::new("/mnt/dsc.toml")).unwrap().digest();
    assert!(!node.ringd.ready(), "it is another configuration");
    node.ringd.change(|v| {
        (v.config_digest, v.me) = (digest, NodeId(1));
        v.nodes.reverse();
        (v.nodes[0].id, v.nodes[1].id) = (NodeId(0), NodeId(1));
    });
    until("dsc-fwd is ready on what it has under its number", || node.ringd.ready());
}

#[test]
fn a_new_daemon_tells_nothing_while_no_ring_says_what_backends_are_given() {
    let mut world = world();
    let node = &mut world.nodes[0];
    node.kill();
    std::fs::write("/mnt/dsc.toml", config()).unwrap();
    let digest = Config::read(Path::new("/mnt/dsc.toml")).unwrap().digest();
    node.ringd.change(|v| {
        v.config_digest = digest;
        v.members.clear();
    });
    node.spawn();
    until("it answers", || states(node).is_some());
    // It tells what it has to tell in its first turn, and these are fifty more.
    assert!((0..50).all(|_| states(node) == Some(vec![Enabled, Disabled])));
    assert_eq!(node.ringd.facts(), None);
    order(node, &[(0, Draining)]);
    node.ringd.change(|v| v.members = vec![NodeId(0), NodeId(1)]);
    until("dsc-fwd is ready", || node.ringd.ready());
    assert_eq!(states(node), Some(vec![Draining, Disabled]), "before it was ready");
}

/// Starts dsc-fwd of the first node anew with nat services, in a ring of two whose other node shares no flows.
fn start_with_services(world: &mut net::World) -> &mut Node {
    let node = &mut world.nodes[0];
    node.kill();
    std::fs::write("/mnt/dsc.toml", config()).unwrap();
    let digest = Config::read(Path::new("/mnt/dsc.toml")).unwrap().digest();
    node.ringd.change(|v| {
        v.config_digest = digest;
        v.members = vec![NodeId(0), NodeId(1)];
    });
    node.ringd.forget_facts();
    node.spawn();
    until("it has told something", || node.ringd.facts().is_some());
    node
}

#[test]
fn a_node_is_not_ready_before_it_knows_the_flows_of_the_others() {
    let mut world = world();
    for vip in 0..5 {
        world.nodes[0].host(VipId(vip), HostState::Off, &[]);
    }
    let node = start_with_services(&mut world);
    assert_eq!(node.ringd.ready_on(), SubnetSet::EMPTY, "nobody has told it of flows");
    // Nobody ever does, and then it knows as much as any.
    until("dsc-fwd is ready", || node.ringd.ready());
}

/// What its kernel has is what it knew; were it not ready, its addresses would be taken away for a restart.
#[test]
fn a_node_that_hosts_stays_ready_while_its_daemon_is_replaced() {
    let mut world = world();
    world.nodes[0].host(VIP4, HostState::On, &[]);
    let node = start_with_services(&mut world);
    assert!(node.ringd.ready(), "{:?}", node.ringd.facts());
}
