//! Flows between two real daemons: replies that reach a node before their flow does (§B.3) wait for it, and leave as the
//! configuration says; a silent flow is forgotten everywhere after its timeout.

use crate::net::{CONFIG, Node, World, until, until_within, world};
use dsc_conf::Config;
use dsc_sys::frames::FrameSender;
use dsc_sys::local::ask_blocking;
use dsc_wire::local::{FlowFilter, FwdCounters, FwdFlows, FwdRequest, HostState, socket};
use dsc_wire::{NodeId, VipId};
use std::io::Write;
use std::net::UdpSocket;
use std::ops::RangeInclusive;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const KEY: &str = "/mnt/key";
const VIP: VipId = VipId(3);
const SERVICE: &str = r#"
[[service]]
name = "talk"
vips = ["10.1.0.103"]
protocol = "udp"
port = 9000
backends = [{ address = "10.1.0.201" }]
[flows]
max = 1024
"#;
const PATIENCE: Duration = Duration::from_secs(5);

/// Both nodes with the service; the second hosts its VIP, and the first is where replies arrive.
fn world_with(flows: &str) -> World {
    let mut world = world();
    world.nodes.iter_mut().for_each(Node::kill);
    let mut options = std::fs::File::options();
    let mut key = options.write(true).create(true).truncate(true).mode(0o600).open(KEY).unwrap();
    key.write_all("5a".repeat(32).as_bytes()).unwrap();
    let keyed = CONFIG.replacen("[cluster]", &format!("[cluster]\nkey_file = \"{KEY}\""), 1);
    std::fs::write("/mnt/dsc.toml", keyed + SERVICE + flows).unwrap();
    let digest = Config::read(Path::new("/mnt/dsc.toml")).unwrap().digest();
    for node in &mut world.nodes {
        node.ringd.change(|v| v.config_digest = digest);
        node.spawn();
    }
    for node in &world.nodes {
        until("dsc-fwd is ready", || node.ringd.ready());
    }
    let [first, second] = &world.nodes;
    second.host(VIP, HostState::On, &[]);
    first.host(VIP, HostState::Steer(NodeId(1)), &[]);
    world
}

fn count(node: &Node, name: &str) -> u64 {
    let path = node.run_dir.join(socket::FWD);
    let counters: FwdCounters = ask_blocking(&path, &FwdRequest::Counters, PATIENCE).unwrap();
    let found = counters.verdicts.iter().find(|counter| counter.name == name);
    found.unwrap_or_else(|| panic!("no counter {name}")).count
}

/// The client's socket, and its port.
fn talk(world: &World) -> (UdpSocket, u16) {
    let socket = world.client.space.run(|| UdpSocket::bind("10.1.0.250:0").unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// What the backend says to the client reaches the first node.
fn early_reply(world: &World, port: u16) {
    early_replies(world, port..=port);
}

fn early_replies(world: &World, ports: RangeInclusive<u16>) {
    let to = world.nodes[0].machine.mac;
    let nic = world.client.nic();
    world.client.space.run(move || {
        let sender = FrameSender::open(nic).unwrap();
        ports.for_each(|port| sender.send(&reply(to, port)).unwrap());
    });
}

fn reply(to: [u8; 6], port: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(to);
    frame.extend([2, 0, 0, 0, 0, 201]);
    frame.extend([8, 0, 0x45, 0, 0, 33, 0, 0, 0x40, 0, 64, 17, 0x25, 0x08]);
    frame.extend([10, 1, 0, 201, 10, 1, 0, 250]);
    frame.extend(9000u16.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend([0, 13, 0, 0]);
    frame.extend(b"early");
    frame
}

fn heard(socket: &UdpSocket) -> (Vec<u8>, String) {
    let mut bytes = [0; 64];
    let (length, from) = socket.recv_from(&mut bytes).expect("nothing came");
    (bytes[..length].to_vec(), from.to_string())
}

/// The reply comes, then the request, whose flow the second node makes and tells the first.
fn reply_before_its_request(world: &World) {
    let (socket, port) = talk(world);
    early_reply(world, port);
    until("the reply is held", || count(&world.nodes[0], "nat_held") == 1);
    socket.send_to(b"hello", "10.1.0.103:9000").unwrap();
    assert_eq!(heard(&socket), (b"early".to_vec(), "10.1.0.103:9000".to_owned()));
}

/// The peers' replies wait for what it tells; nothing that it calls is as urgent.
#[test]
fn the_thread_that_shares_flows_and_no_other_comes_before_ordinary_ones() {
    const RR: i32 = 2;
    let world = world_with("");
    for node in &world.nodes {
        let schedules = node.schedules();
        assert_eq!(schedules[0], (RR, 1));
        assert!(
            schedules.len() > 1 && schedules[1..].iter().all(|s| *s == (0, 0)),
            "{schedules:?}"
        );
    }
}

#[test]
fn a_reply_that_waited_leaves_where_it_waited() {
    let world = world_with("hold_ms = 1000");
    reply_before_its_request(&world);
    let [first, second] = &world.nodes;
    let at_first = ["replies_released", "replies_handed"].map(|name| count(first, name));
    assert_eq!((at_first, count(second, "nat_reply")), ([1, 0], 0));
}

#[test]
fn a_reply_that_waited_leaves_by_the_vips_host_if_routing_is_symmetric() {
    let world = world_with("hold_ms = 1000\nrouting = \"symmetric\"");
    reply_before_its_request(&world);
    let [first, second] = &world.nodes;
    let at_first = ["replies_released", "replies_handed"].map(|name| count(first, name));
    assert_eq!((at_first, count(second, "nat_reply")), ([0, 1], 1));
    // Without a host the node sends it itself.
    first.host(VIP, HostState::Off, &[]);
    let (socket, port) = talk(&world);
    early_reply(&world, port);
    until("the reply is held", || count(first, "nat_held") == 2);
    socket.send_to(b"hello", "10.1.0.103:9000").unwrap();
    assert_eq!(heard(&socket), (b"early".to_vec(), "10.1.0.103:9000".to_owned()));
    let at_first = ["replies_released", "replies_handed"].map(|name| count(first, name));
    assert_eq!((at_first, count(second, "nat_reply")), ([1, 1], 1));
}

#[test]
fn a_reply_of_nobodys_flow_goes_on_after_the_time_that_is_configured() {
    let hold = Duration::from_millis(300);
    let world = world_with("hold_ms = 300");
    let (socket, port) = talk(&world);
    let begun = Instant::now();
    early_reply(&world, port);
    assert_eq!(heard(&socket), (b"early".to_vec(), "10.1.0.201:9000".to_owned()));
    assert!(begun.elapsed() >= hold, "{:?}", begun.elapsed());
    assert_eq!(count(&world.nodes[0], "replies_of_no_flow"), 1);
}

/// Of more than can be kept, those that came first have waited longest.
#[test]
fn too_many_replies_push_out_the_first() {
    const KEPT_MAX: u16 = 1024;
    let world = world_with("hold_ms = 1000");
    let [(first, first_port), (last, last_port)] = [(); 2].map(|()| talk(&world));
    early_reply(&world, first_port);
    until("the first is held", || count(&world.nodes[0], "nat_held") == 1);
    // Of ports at which nobody listens, in parts for which the programs have room.
    for part in 0..8 {
        let ports = 1000 + part * (KEPT_MAX / 8)..=999 + (part + 1) * (KEPT_MAX / 8);
        let held = 1 + u64::from((part + 1) * (KEPT_MAX / 8));
        early_replies(&world, ports);
        until("they are held", || count(&world.nodes[0], "nat_held") == held);
    }
    early_reply(&world, last_port);
    assert_eq!(heard(&last).0, b"early");
    first.set_nonblocking(true).unwrap();
    assert_eq!(heard(&first).0, b"early", "the last went on before the first");
}

/// A machine that stalls as a whole stalls who would tell of the flow, too.
#[test]
fn a_reply_outlasts_a_time_in_which_nobody_ran() {
    let world = world_with("hold_ms = 1000");
    let [first, second] = &world.nodes;
    let (socket, port) = talk(&world);
    early_reply(&world, port);
    until("the reply is held", || count(first, "nat_held") == 1);
    second.stopped(|| {
        first.stopped(|| {
            socket.send_to(b"hello", "10.1.0.103:9000").unwrap();
            let begun = Instant::now();
            until("time is over", || begun.elapsed() > Duration::from_millis(1200));
        });
        assert_eq!(count(first, "replies_of_no_flow"), 0, "it had no time to hear of the flow");
    });
    assert_eq!(heard(&socket), (b"early".to_vec(), "10.1.0.103:9000".to_owned()));
}

/// The table is walked through every 5 s, and knows to a second when a packet came.
#[test]
fn a_silent_flow_goes_everywhere_after_the_timeout_that_is_configured() {
    let world = world_with("udp_timeout_s = 5");
    let (socket, _) = talk(&world);
    let begun = Instant::now();
    socket.send_to(b"hello", "10.1.0.103:9000").unwrap();
    let flows = |node: &Node| {
        let question = FwdRequest::Flows { filter: FlowFilter::default(), limit: 10 };
        let answer: FwdFlows =
            ask_blocking(&node.run_dir.join(socket::FWD), &question, PATIENCE).unwrap();
        answer.flows.len()
    };
    for node in &world.nodes {
        until("the flow is known", || flows(node) == 1);
    }
    let most = Duration::from_secs(5 + 2 * 5 + 2);
    until_within(most, "the flow is forgotten", || world.nodes.iter().all(|n| flows(n) == 0));
    assert!(begun.elapsed() >= Duration::from_secs(5), "gone after {:?}", begun.elapsed());
}
