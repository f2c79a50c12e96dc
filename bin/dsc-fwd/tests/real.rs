//! dsc-fwd and its programs on real frames: two nodes and a client around a switch in network namespaces.

use crate::net::probe::{Asker, Probes, echo};
use crate::net::{self, VIP4, VIP6, World, on_each_hook, until, vip4, vip6, world};
use dsc_sys::clock;
use dsc_sys::local::ask_blocking;
use dsc_wire::local::{Conflict, Facts, FwdCounters, FwdRequest, HostState, socket};
use dsc_wire::{SubnetId, Time, VipId};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

const V4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 100);

/// P3: the lease ends in the kernel, with nobody alive to end it.
#[test]
fn only_the_host_answers_and_only_while_its_lease_lasts() {
    on_each_hook(the_lease_ends);
}

fn the_lease_ends(mut world: World) {
    let mut asker = Asker::new(&world.client);
    world.nodes[0].host(VIP4, HostState::On, &[]);
    world.nodes.iter_mut().for_each(net::Node::kill);
    let end = clock::now() + Duration::from_millis(300);
    world.nodes[0].lease.set_lease(end);
    let mut questions = Vec::new();
    while clock::now() < end + Duration::from_millis(200) {
        questions.push(asker.ask(V4, questions.len() % 7 == 0));
        thread::sleep(Duration::from_millis(1));
    }
    // One that is answered for sure ends the waiting.
    world.nodes[0].lease.set_lease(Time::NEVER);
    let last = asker.ask(V4, false);
    until("the last question is answered", || asker.answers().contains_key(&last));
    let answers = asker.answers();
    assert!(answers.values().all(|by| *by == [world.nodes[0].machine.mac]), "{answers:?}");
    let late: Vec<&u16> = questions
        .iter()
        .filter(|q| answers.contains_key(q) && asker.asked_at(**q) >= end)
        .collect();
    assert!(late.is_empty(), "answered after the end of the lease: {late:?}");
    let in_time =
        questions.iter().filter(|q| asker.asked_at(**q) + Duration::from_millis(20) < end);
    let missed: Vec<&u16> = in_time.clone().filter(|q| !answers.contains_key(q)).collect();
    assert!(missed.is_empty() && in_time.count() > 50, "not answered in time: {missed:?}");
}

fn serve(node: &net::Node, vip: IpAddr) {
    node.machine.space.run(move || {
        let listener = TcpListener::bind((vip, 80)).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let mut line = [0; 5];
                    while stream.read_exact(&mut line).is_ok() {
                        stream.write_all(&line).unwrap();
                    }
                });
            }
        });
    });
}

fn round_trip(stream: &mut TcpStream) {
    stream.write_all(b"hello").unwrap();
    let mut line = [0; 5];
    stream.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"hello");
}

/// P4: connections stay with the socket they end in, and new ones go to the new host.
#[test]
fn a_planned_move_resets_no_connection_and_loses_no_probe() {
    on_each_hook(move_under_load);
}

fn move_under_load(world: World) {
    // Linux solicits for nobody from an interface whose only own address is still tentative, and tries again a second later.
    for node in &world.nodes {
        until("the link-local address is in force", || {
            node.machine.space.ip("-6 addr show dev eth0 tentative").is_empty()
        });
    }
    for (vip, address) in [(VIP4, vip4()), (VIP6, vip6())] {
        world.nodes[0].host(vip, HostState::On, &[]);
        for node in &world.nodes {
            echo(node, address);
            serve(node, address);
        }
        let connect = move || {
            let stream = TcpStream::connect((address, 80)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stream
        };
        let mut old: Vec<TcpStream> = (0..20).map(|_| world.client.space.run(connect)).collect();
        old.iter_mut().for_each(round_trip);
        let probes = Probes::start(&world.client, address);
        probes.go_on(200);
        world.move_to_second(vip);
        for _ in 0..20 {
            old.iter_mut().for_each(round_trip);
        }
        // The announcement has reached the client: what follows comes straight to the new host.
        let second = world.nodes[1].machine.mac.map(|b| format!("{b:02x}")).join(":");
        until("the client has learned the new host", || {
            world.client.space.ip(&format!("neigh show {address}")).contains(&second)
        });
        let mut new = world.client.space.run(connect);
        round_trip(&mut new);
        // Under a flood the first segment of a new connection carries a cookie and meets no socket; it is not handed back.
        world.nodes[1].machine.space.run(|| {
            std::fs::write("/proc/sys/net/ipv4/tcp_syncookies", "2").unwrap();
        });
        let mut by_cookie = world.client.space.run(connect);
        round_trip(&mut by_cookie);
        old.iter_mut().for_each(round_trip);
        probes.go_on(200);
        let report = probes.stop();
        assert!(report.lost.is_empty() && report.doubled.is_empty(), "{report:?}");
        assert!(report.by_node[&1] >= 200 && report.by_node[&2] >= 200, "{report:?}");
        let nodes: Vec<FwdCounters> = world.nodes.iter().map(counters).collect();
        let of = |node: usize, verdict: &str| {
            nodes[node].verdicts.iter().find(|c| c.name == verdict).unwrap().count
        };
        // Both ways were taken: by the old connections at the new host, and by their socket at the old one.
        assert!(of(1, "steered_past") > 0 && of(0, "delivered_steered") > 0);
    }
}

fn conflicts(node: &net::Node) -> Vec<Conflict> {
    match node.ringd.facts() {
        Some(Facts::Fwd { conflicts, .. }) => conflicts,
        other => panic!("no facts of dsc-fwd: {other:?}"),
    }
}

fn counted(node: &net::Node, verdict: &str) -> u64 {
    let counted = counters(node);
    counted.verdicts.iter().find(|c| c.name == verdict).unwrap().count
}

fn counters(node: &net::Node) -> FwdCounters {
    let path = node.run_dir.join(socket::FWD);
    ask_blocking(&path, &FwdRequest::Counters, Duration::from_secs(5)).unwrap()
}

/// P4: the daemon can be killed and replaced; the kernel goes on.
#[test]
fn a_replaced_daemon_loses_no_probe_and_keeps_the_counters() {
    on_each_hook(replace_under_load);
}

fn replace_under_load(mut world: World) {
    world.nodes[0].host(VIP4, HostState::On, &[]);
    echo(&world.nodes[0], vip4());
    let probes = Probes::start(&world.client, vip4());
    for _ in 0..3 {
        probes.go_on(100);
        world.nodes[0].kill();
        probes.go_on(100);
        world.nodes[0].start();
    }
    probes.go_on(100);
    let report = probes.stop();
    assert!(report.lost.is_empty() && report.doubled.is_empty(), "{report:?}");
    let counted = counters(&world.nodes[0]);
    let vip = counted.vips.iter().find(|v| v.vip == vip4()).unwrap();
    assert!(vip.packets >= report.sent && vip.state == HostState::On, "{vip:?}");
    let hook = world.nodes[0].hook.unwrap();
    assert_eq!(counted.links, [format!("eth0 {hook} ingress"), format!("eth0 {hook} egress")]);
}

/// What a build with another layout of the maps left behind is no use to this one, but its programs serve until they are
/// replaced.
#[test]
fn the_programs_of_a_build_with_other_maps_are_replaced_under_load() {
    on_each_hook(replace_other_maps);
}

fn replace_other_maps(mut world: World) {
    let bpf = std::path::Path::new("/sys/fs/bpf/n1");
    world.nodes[0].host(VIP4, HostState::On, &[]);
    echo(&world.nodes[0], vip4());
    let probes = Probes::start(&world.client, vip4());
    probes.go_on(100);
    world.nodes[0].kill();
    std::fs::rename(bpf.join(dsc_bpf::LAYOUT), bpf.join("v3")).unwrap();
    for other in ["vendor", "v"] {
        std::fs::create_dir(bpf.join(other)).unwrap();
    }
    probes.go_on(100);
    world.nodes[0].start();
    probes.go_on(100);
    let report = probes.stop();
    assert!(report.lost.is_empty() && report.doubled.is_empty(), "{report:?}");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut left: Vec<_> = std::fs::read_dir(bpf).unwrap().map(name).collect();
    left.sort();
    let expected = ["hosts", "lease", "links", "qdiscs", "v", dsc_bpf::LAYOUT, "vendor"];
    assert_eq!(left, expected);
    let counted = counters(&world.nodes[0]);
    let vip = counted.vips.iter().find(|v| v.vip == vip4()).unwrap();
    assert!((100..report.sent).contains(&vip.packets), "its own maps, from the start on: {vip:?}");
}

#[test]
fn a_second_daemon_is_refused() {
    let world = world();
    let (code, said) = world.nodes[0].run_once(&[]);
    assert_eq!(code, Some(1));
    assert!(said.starts_with("dsc-fwd: another dsc-fwd is running (pid "), "{said}");
}

#[test]
fn addresses_that_another_program_removes_come_back() {
    let world = world();
    let node = &world.nodes[0].machine;
    node.space.ip("addr del 10.1.0.101/32 dev lo");
    node.space.ip("addr del fd00:1::100/128 dev lo");
    node.space.ip("addr del ff02::1:ff00:100/128 dev eth0");
    for (nic, address) in
        [("lo", "10.1.0.101/32"), ("lo", "fd00:1::100/128"), ("eth0", "ff02::1:ff00:100/128")]
    {
        until("the address is back", || {
            node.space.ip(&format!("addr show dev {nic}")).contains(address)
        });
    }
}

#[test]
fn a_machine_that_takes_a_vip_is_reported_and_finds_it_taken() {
    let world = world();
    world.nodes[0].host(VIP4, HostState::On, &[]);
    world.nodes[0].host(VIP6, HostState::On, &[]);
    // Duplicate address detection meets the answer of the kernel program.
    world.client.space.ip("addr add fd00:1::100/64 dev eth0");
    until("the client gives the IPv6 address up", || {
        world.client.space.ip("addr show dev eth0").contains("dadfailed")
    });
    // IPv4 has no such detection in Linux: the client announces by asking for somebody.
    world.client.space.ip("addr add 10.1.0.100/24 dev eth0");
    let mac = world.client.mac;
    let client = world.client.space.run(move || {
        dsc_sys::frames::FrameSender::open(dsc_sys::address::index_of("eth0").unwrap()).unwrap()
    });
    let claim = [
        &[0xFF; 6][..],
        &mac,
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        &mac,
        &V4.octets(),
        &[0; 6],
        &V4.octets(),
    ]
    .concat();
    client.send(&claim).unwrap();
    let conflict = Conflict { vip: VIP4, mac };
    for node in &world.nodes {
        until("the conflict is told", || conflicts(node).contains(&conflict));
    }
    // What members announce is none.
    for node in &world.nodes {
        let told = conflicts(node);
        assert!(told.iter().all(|c| c.mac == mac), "{told:?}");
    }
}

/// It has the addresses and says so to nobody who does not ask.
#[test]
fn a_silent_machine_that_has_a_vip_is_found_by_asking_and_nobody_else_hears_it() {
    let world = world();
    world.client.space.ip("addr add 10.1.0.100/24 dev eth0");
    world.client.space.ip("addr add fd00:1::100/64 dev eth0 nodad");
    world.nodes[0].host(VIP4, HostState::On, &[]);
    world.nodes[0].host(VIP6, HostState::On, &[]);
    for vip in [VIP4, VIP6] {
        let conflict = Conflict { vip, mac: world.client.mac };
        until("the conflict is told", || conflicts(&world.nodes[0]).contains(&conflict));
    }
    until("all six questions were answered", || counted(&world.nodes[0], "claim_conflict") == 6);
    assert_eq!(counted(&world.nodes[1], "claim_conflict"), 0, "the machine spoke to others too");
}

/// A member that answers, rightly or not, is no stranger.
#[test]
fn the_answer_of_a_member_is_no_conflict() {
    let mut world = world();
    // Without its daemon it announces nothing; its kernel answers.
    world.nodes[1].kill();
    for node in &world.nodes {
        node.host(VIP4, HostState::On, &[]);
        node.host(VIP6, HostState::On, &[]);
    }
    until("all six questions were answered", || counted(&world.nodes[0], "claim_member") == 6);
    assert_eq!(counted(&world.nodes[0], "claim_conflict"), 0);
    assert_eq!(conflicts(&world.nodes[0]), []);
}

/// After a merge the winner's state did not change, but the neighbours may believe the loser.
#[test]
fn a_new_epoch_is_announced() {
    let world = world();
    let ear = Asker::new(&world.client);
    world.nodes[0].host(VIP4, HostState::On, &[]);
    until("the burst of the new host", || ear.announced() == 5);
    world.client.space.ip("neigh replace 10.1.0.100 dev eth0 lladdr 02:00:00:00:00:02 nud stale");
    world.nodes[0].ringd.publish();
    world.nodes[0].ringd.change(|view| view.key.epoch.counter += 1);
    until("the burst of the new epoch", || ear.announced() == 10);
    let learned = world.client.space.ip("neigh show 10.1.0.100");
    assert!(learned.contains("02:00:00:00:00:01"), "{learned}");
}

/// The other node's daemon may believe that it is host; its kernel knows better.
#[test]
fn nobody_announces_without_a_lease() {
    let world = world();
    let ear = Asker::new(&world.client);
    world.nodes[1].lease.set_lease(Time::ZERO);
    world.nodes[1].host(VIP4, HostState::On, &[]);
    let held = || counted(&world.nodes[1], "egress_claim");
    until("the burst was dropped on its way out", || held() == 5);
    assert_eq!(ear.announced(), 0);
}

#[test]
fn an_interface_that_was_replaced_gets_its_programs() {
    on_each_hook(replace_interface);
}

fn replace_interface(world: World) {
    world.nodes[0].host(VIP4, HostState::On, &[]);
    let node = &world.nodes[0];
    node.machine.pull_out();
    until("dsc-fwd says that it is not ready", || !node.ringd.ready());
    node.machine.plug_in();
    until("dsc-fwd is ready again", || node.ringd.ready());
    let mut asker = Asker::new(&world.client);
    // The switch may lose frames until it has noticed the carrier.
    let mut asked = Vec::new();
    until("the new interface answers", || {
        asked.push(asker.ask(V4, false));
        asker.answers().keys().any(|question| asked.contains(question))
    });
    assert!(asker.answers().values().all(|answered| *answered == [node.machine.mac]));
}

/// The node goes on being a host where it can.
#[test]
fn a_missing_interface_takes_nothing_from_the_other_subnets() {
    let mut world = world();
    world.nodes[0].host(VIP4, HostState::On, &[]);
    world.add_subnet();
    let node = &world.nodes[0];
    node.machine.space.ip("link del eth1");
    let first = [SubnetId(0)].into_iter().collect();
    until("dsc-fwd is ready on the first only", || node.ringd.ready_on() == first);
    let mut asker = Asker::new(&world.client);
    let question = asker.ask(V4, false);
    until("the first subnet's interface answers", || asker.answers().contains_key(&question));
    node.machine.space.ip("link add eth1 type veth peer name far1");
    node.machine.space.ip("addr add 10.2.0.1/24 dev eth1");
    until("dsc-fwd is ready on both again", || node.ringd.ready());
}

#[test]
fn detaching_leaves_nothing_but_not_while_the_lease_is_renewed() {
    on_each_hook(detach);
}

fn detach(mut world: World) {
    let node = &mut world.nodes[0];
    node.kill();
    let (code, said) = node.run_once(&["--detach"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("stop dsc-ringd first"), "{said}");
    node.lease.set_lease(Time::ZERO);
    assert_eq!(node.run_once(&["--detach"]), (Some(0), String::new()));
    assert!(!std::path::Path::new("/sys/fs/bpf/n1").exists());
    assert!(!node.machine.space.tc("qdisc show dev eth0").contains("clsact"));
    let addresses = node.machine.space.ip("addr");
    assert!(!addresses.contains("10.1.0.10") && !addresses.contains("00:100"), "{addresses}");
    // Nothing was said about VIPs that another node hosts.
    assert_eq!(world.nodes[1].lease.host(VipId(0)).0, HostState::Off);
}
