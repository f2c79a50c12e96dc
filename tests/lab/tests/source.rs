//! Connections that hosts behind begin with somebody outside: they come from a virtual address, and whoever of the nodes
//! crashes, is emptied or loses a daemon, none breaks.

use dsc_lab::downloads::Report;
use dsc_lab::live::{self, Outcome, Whose};
use dsc_lab::openings::{Counts, Openings};
use dsc_lab::pace::Pace;
use dsc_lab::scenario::Event;
use dsc_lab::topology::{Plan, Subnet};
use dsc_lab::{cluster, services, wait};
use dsc_test_lab::TestLab;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// Live downloads of a test.
const DOWNLOADS: usize = 200;
/// New connections per second of a test.
const PER_S: u32 = 300;
/// Longest wait for something that must happen, ms.
const LIMIT_MS: u64 = 30_000;
/// Where somebody outside listens.
const PORT: u16 = 7000;

fn plan() -> Plan {
    Plan { services: true, source_nat: true, vips6: 1, vips6_int: 1, ..Plan::default() }
}

/// The first address of `ext` and the gateway on `int` are on different nodes, so that each way has its own.
fn apart(lab: &TestLab) {
    for v6 in [false, true] {
        let list = lab.plan.vip_list();
        let number = |subnet| {
            let gateway = lab.plan.gateway(subnet, v6);
            list.iter().position(|vip| Some(vip.address) == gateway).unwrap()
        };
        let (outside, inside) = (number(Subnet::Ext), number(Subnet::Int));
        let host = cluster::host_of(lab, outside).unwrap();
        if cluster::host_of(lab, inside) == Some(host) {
            cluster::move_vip(lab, inside, (host + 1) % lab.plan.nodes).unwrap();
            wait::until("the gateway is elsewhere", LIMIT_MS, || {
                cluster::host_of(lab, inside).filter(|now| *now != host)
            })
            .unwrap();
        }
    }
}

/// Flows that begin inside, as a node lists them.
fn listed(lab: &TestLab, node: usize) -> Vec<serde_json::Value> {
    let text = cluster::dscctl(lab, node, &["flows", "--json"]).unwrap();
    let all = text.lines().map(|line| serde_json::from_str(line).unwrap());
    all.filter(|flow: &serde_json::Value| flow["kind"] == "source-nat").collect()
}

/// Asks until the answer is there, as who speaks UDP does: a machine that stalls for longer than a lease loses a datagram.
/// Returns whom the server saw.
fn asked(socket: &UdpSocket, server: &UdpSocket) -> IpAddr {
    let mut bytes = [0; 8];
    for socket in [socket, server] {
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    }
    let answer = wait::until("an answer", LIMIT_MS, || {
        socket.send(b"question").unwrap();
        let (_, peer) = server.recv_from(&mut bytes).ok()?;
        server.send_to(b"answered", peer).unwrap();
        socket.recv(&mut bytes).ok().map(|_| peer)
    });
    let peer = answer.unwrap();
    assert_eq!(&bytes, b"answered");
    peer.ip()
}

/// Nobody outside sees an address from inside, by TCP or UDP, IPv4 or IPv6, at home or behind a router.
#[test]
fn who_is_outside_sees_a_virtual_address_and_its_answers_arrive() {
    let lab = TestLab::up(plan());
    live::settle(&lab, Whose::Inside).unwrap();
    apart(&lab);
    let (client, host) = (lab.space("client").unwrap(), lab.space("h1").unwrap());
    // Two addresses that the nodes know only by their default route.
    let (far4, far6): (IpAddr, IpAddr) =
        ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
    for far in [far4, far6] {
        client.run(&["ip", "address", "add", &far.to_string(), "dev", "lo"]).unwrap();
    }
    for node in 0..lab.plan.nodes {
        for v6 in [false, true] {
            let via =
                if v6 { IpAddr::V6(Subnet::Ext.v6(250)) } else { IpAddr::V4(Subnet::Ext.v4(250)) };
            let family = if v6 { "-6" } else { "-4" };
            let words = ["ip", family, "route", "replace", "default", "via", &via.to_string()];
            lab.node(node).unwrap().run(&words).unwrap();
        }
    }
    for (to, v6) in [
        (Plan::client_address(0, false), false),
        (Plan::client_address(0, true), true),
        (far4, false),
        (far6, true),
    ] {
        let vip = lab.plan.gateway(Subnet::Ext, v6).unwrap();
        let to = SocketAddr::new(to, PORT);
        let all: IpAddr =
            if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let listen = || Ok(TcpListener::bind((all, PORT)).unwrap());
        let listener = client.inside(listen).unwrap();
        let dial = || Ok(TcpStream::connect_timeout(&to, Duration::from_secs(10)).unwrap());
        let mut near = host.inside(dial).unwrap_or_else(|error| panic!("{to}: {error}"));
        let (mut far, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), vip, "{to}");
        assert_ne!(near.local_addr().unwrap().ip(), vip);
        near.write_all(b"question").unwrap();
        let mut bytes = [0; 8];
        far.read_exact(&mut bytes).unwrap();
        far.write_all(b"answered").unwrap();
        near.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        near.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"answered");
        let server = client.inside(|| Ok(UdpSocket::bind(to).unwrap())).unwrap();
        let socket = host.inside(|| Ok(UdpSocket::bind((all, 0)).unwrap())).unwrap();
        socket.connect(to).unwrap();
        assert_eq!(asked(&socket, &server), vip, "{to}");
    }
    // Every node knows them: four of each protocol.
    for node in 0..lab.plan.nodes {
        wait::until("every node lists the flows", LIMIT_MS, || {
            (listed(&lab, node).len() == 8).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {:?}", listed(&lab, node)));
    }
}

fn unharmed(half: &str, report: &Report) {
    assert_eq!((report.broken, report.reset), (0, 0), "{half}: {report:?}");
    assert_eq!(report.live, DOWNLOADS, "{half}: {report:?}");
}

/// Downloads by a host behind, IPv4 and IPv6, live through the event and its undoing.
fn downloads_live_through(event: Event, whose: Whose) {
    let mut lab = TestLab::up(plan());
    live::settle(&lab, whose).unwrap();
    apart(&lab);
    let to = [services::outside(false), services::outside(true)].concat();
    let outcome = live::downloads(&mut lab, Some(&event), whose, &to, DOWNLOADS, Pace::Steady);
    let Outcome { event: first, undoing: second, .. } =
        outcome.unwrap_or_else(|error| panic!("{}: {error}", event.name()));
    unharmed(&event.name(), &first);
    unharmed(event.undoing(), &second);
}

#[test]
fn crash_of_the_node_where_they_come_from_inside() {
    downloads_live_through(Event::Crash, Whose::Inside);
}

#[test]
fn crash_of_the_node_where_answers_arrive() {
    downloads_live_through(Event::Crash, Whose::Outside);
}

#[test]
fn the_gateway_is_moved() {
    downloads_live_through(Event::Move, Whose::Inside);
}

#[test]
fn the_external_address_is_moved() {
    downloads_live_through(Event::Move, Whose::Outside);
}

#[test]
fn freeze_and_thaw() {
    downloads_live_through(Event::Freeze, Whose::Inside);
}

#[test]
fn cut_off_and_merged() {
    downloads_live_through(Event::Drop, Whose::Inside);
}

#[test]
fn a_node_is_drained_and_opened() {
    downloads_live_through(Event::Drain, Whose::Inside);
}

#[test]
fn the_data_path_daemon_is_replaced() {
    downloads_live_through(Event::Replace("dsc-fwd"), Whose::Inside);
}

/// Answers arrive at a node that may not know the connection yet: it asks the owner of the port, and nothing is sent twice.
#[test]
fn requests_and_answers_at_different_nodes() {
    let lab = TestLab::up(plan());
    live::settle(&lab, Whose::Inside).unwrap();
    apart(&lab);
    let load = Openings::start(&lab, &services::outside(false), PER_S).unwrap();
    load.wait_served(u64::from(PER_S) * 5, LIMIT_MS).unwrap();
    let counts: Counts = load.stop();
    let lost = (counts.refused, counts.unanswered, counts.syn_retransmits, counts.skipped);
    assert_eq!(lost, (0, 0, 0, 0), "{:?}", counts.latest);
    assert_eq!((counts.broken, counts.served), (0, counts.opened), "{:?}", counts.latest);
}

/// Nobody whose SYN was answered is let down.
#[test]
fn whoever_saw_a_syn_ack_is_served_though_a_node_crashes() {
    for whose in [Whose::Inside, Whose::Outside] {
        let mut lab = TestLab::up(plan());
        live::settle(&lab, whose).unwrap();
        apart(&lab);
        let to = services::outside(false);
        let outcome = live::openings(&mut lab, Some(&Event::Crash), whose, &to, PER_S).unwrap();
        for (half, counts) in [("crash", outcome.event), ("rejoin", outcome.undoing)] {
            assert!(counts.accepted > 0, "{half} {whose:?}: none was accepted: {counts:?}");
            let lost = (counts.broken, counts.reset);
            assert_eq!(lost, (0, 0), "{half} {whose:?}: {:?}", counts.latest);
            assert_eq!(counts.served, counts.accepted, "{half} {whose:?}: {:?}", counts.latest);
        }
    }
}
