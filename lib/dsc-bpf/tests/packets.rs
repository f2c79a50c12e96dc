//! The rules of the kernel programs as rows: a frame, the state of the node, what becomes of it, and the frame that
//! leaves. One function walks the table. Add a row for each bug.

mod frames;
mod place;
mod rows;
mod run;

use dsc_bpf::{Datapath, Hook, LeaseMap, Nic};
use dsc_wire::local::HostState;
use dsc_wire::{NodeId, SubnetId, Time, VipId};
use rows::{ARRIVAL, Expect, Row, Way};
use run::{DROP, NEXT, Outcome, REDIRECT, run};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

/// Node 1 with an interface on subnet 0, the programs loaded, the VIPs on loopback, and one connection from
/// `CLIENT` to each VIP that ends here.
struct Node {
    datapath: Datapath,
    claims: dsc_bpf::Claims,
    lease: LeaseMap,
    nic: u32,
    ports: rows::Ports,
    _sockets: Vec<(TcpListener, TcpStream, TcpStream)>,
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("cannot run ip");
    assert!(status.success(), "ip {arguments}");
}

fn dial(server: IpAddr, client: IpAddr) -> TcpStream {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address((server, 80).into()), Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from((client, 0)).into()).unwrap();
    socket.connect(&std::net::SocketAddr::from((server, 80)).into()).unwrap();
    socket.into()
}

fn connect(server: IpAddr, client: IpAddr) -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind((server, 80)).unwrap();
    let mut near = dial(server, client);
    let (mut far, _) = listener.accept().unwrap();
    near.write_all(b"x").unwrap();
    far.read_exact(&mut [0]).unwrap();
    (listener, near, far)
}

/// A connection that the server closed first; the client's port.
fn close(listener: &TcpListener) -> u16 {
    let mut near = dial(listener.local_addr().unwrap().ip(), "10.1.0.250".parse().unwrap());
    let (far, client) = listener.accept().unwrap();
    drop(far);
    // The end of the stream: the server's FIN is here, and ours lets its socket wait for late segments.
    assert_eq!(near.read(&mut [0]).unwrap(), 0);
    drop(near);
    client.port()
}

fn node() -> Node {
    place::enter();
    ip("link set lo up");
    ip("link add d0 address 02:00:00:00:00:01 type veth peer name d1");
    for address in ["10.1.0.100/32", "10.1.0.250/32", "fd00:1::100/128", "fd00:1::250/128"] {
        ip(&format!(
            "addr add {address} dev lo{}",
            if address.contains(':') { " nodad" } else { "" }
        ));
    }
    let index: u32 =
        std::fs::read_to_string("/sys/class/net/d0/ifindex").unwrap().trim().parse().unwrap();
    let dir = Path::new(place::BPF_DIR);
    let lease = LeaseMap::open(dir).unwrap();
    let (mut datapath, claims) = Datapath::open(dir, NodeId(1), Hook::best().unwrap())
        .unwrap_or_else(|e| panic!("{e}: {e:#?}"));
    datapath
        .set_vips(&[
            (VipId(0), "10.1.0.100".parse().unwrap(), SubnetId(0)),
            (VipId(1), "fd00:1::100".parse().unwrap(), SubnetId(0)),
            (VipId(2), "10.2.0.100".parse().unwrap(), SubnetId(1)),
            (VipId(3), "fd00:2::100".parse().unwrap(), SubnetId(1)),
        ])
        .unwrap();
    datapath
        .set_macs(&[
            (NodeId(0), SubnetId(0), rows::NODE0),
            (NodeId(1), SubnetId(0), rows::ME),
            (NodeId(2), SubnetId(0), rows::NODE2),
        ])
        .unwrap();
    datapath
        .set_nics(&[Nic {
            index,
            name: "d0".into(),
            subnet: SubnetId(0),
            mac: rows::ME,
            router: true,
            address4: Some(frames::v4("10.1.0.2")),
            address6: Some(frames::v6("fe80::2")),
        }])
        .unwrap();
    let sockets = vec![
        connect("10.1.0.100".parse().unwrap(), "10.1.0.250".parse().unwrap()),
        connect("fd00:1::100".parse().unwrap(), "fd00:1::250".parse().unwrap()),
    ];
    let port = |i: usize| -> u16 { sockets[i].1.local_addr().unwrap().port() };
    let ports = rows::Ports { four: port(0), six: port(1), closed: close(&sockets[0].0) };
    Node { datapath, claims, lease, nic: index, ports, _sockets: sockets }
}

impl Node {
    fn prepare(&self, row: &Row) {
        self.lease.set_lease(if row.lease { Time::NEVER } else { Time(1) });
        let past: Vec<NodeId> = row.past.iter().map(|n| NodeId(*n)).collect();
        for vip in 0..4 {
            self.lease.set_host(VipId(vip), row.host, &past);
        }
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        self.datapath.verdicts().unwrap().into_iter().map(|c| (c.name, c.count)).collect()
    }

    fn run(&self, way: Way, frame: &[u8]) -> Outcome {
        self.try_run(way, frame).expect("the kernel refuses the frame")
    }

    fn try_run(&self, way: Way, frame: &[u8]) -> Option<Outcome> {
        run(self.datapath.program_for(way == Way::In), self.nic, frame, 1)
    }

    /// The verdicts that were counted during `f`.
    fn counted<T>(&self, f: impl FnOnce() -> T) -> (T, Vec<(String, u64)>) {
        let before = self.counts();
        let result = f();
        let grown = |(name, count): (String, u64)| {
            let grown = count - before[&name];
            (grown > 0).then_some((name, grown))
        };
        (result, self.counts().into_iter().filter_map(grown).collect())
    }
}

#[test]
fn each_row_holds() {
    let mut node = node();
    let table = rows::table(node.ports);
    let mut failures = Vec::new();
    for row in &table {
        node.prepare(row);
        let (outcome, counted) = node.counted(|| node.run(row.way, &row.frame));
        let (action, frame) = match &row.expect {
            Expect::Pass => (NEXT, &row.frame),
            Expect::Changed(frame) => (NEXT, frame),
            Expect::Drop => (DROP, &row.frame),
            Expect::Send(frame) => (REDIRECT, frame),
        };
        let verdicts: Vec<&str> = counted.iter().map(|(name, _)| name.as_str()).collect();
        let wanted: Vec<&str> = row.verdict.iter().copied().collect();
        if outcome.action != action || verdicts != wanted || outcome.frame != *frame {
            failures.push(format!(
                "{}:\n  wanted {action} {wanted:?} {frame:02x?}\n  got    {} {verdicts:?} {:02x?}",
                row.name, outcome.action, outcome.frame
            ));
        }
        let claims: Vec<_> = node.claims.by_ref().collect();
        assert_eq!(
            claims.len(),
            usize::from(row.verdict == Some("claim_conflict")),
            "{}",
            row.name
        );
        assert!(claims.iter().all(|c| c.mac == rows::STRANGER), "{}: {claims:?}", row.name);
    }
    assert!(
        failures.is_empty(),
        "{} of {} rows\n{}",
        failures.len(),
        table.len(),
        failures.join("\n")
    );
}

#[test]
fn every_verdict_has_a_row() {
    let node = node();
    let table = rows::table(node.ports);
    // The kernel fails to change a frame only without memory; a full ring has a test of its own.
    let elsewhere = ["dropped_failed", "claim_conflict_lost"];
    for name in node.counts().keys() {
        assert!(
            elsewhere.contains(&name.as_str()) || table.iter().any(|row| row.verdict == Some(name)),
            "no row ends as {name}"
        );
    }
}

#[test]
fn a_full_ring_of_claims_is_counted() {
    let mut node = node();
    let claim = rows::table(node.ports).into_iter().find(|r| r.verdict == Some("claim_conflict"));
    let claim = claim.unwrap();
    let (_, counted) =
        node.counted(|| (0..1000).for_each(|_| drop(node.run(Way::In, &claim.frame))));
    let [(first, told), (second, lost)] = &counted[..] else { panic!("{counted:?}") };
    assert_eq!((first.as_str(), second.as_str()), ("claim_conflict", "claim_conflict_lost"));
    assert_eq!(told + lost, 1000);
    assert_eq!(node.claims.by_ref().count() as u64, *told);
}

/// Whatever the bytes: one verdict, one of three actions, and nothing that is too short for a question is answered.
#[test]
fn cut_and_changed_frames_are_harmless() {
    let node = node();
    for row in rows::table(node.ports) {
        node.prepare(&row);
        for length in 14..row.frame.len() {
            let Some(outcome) = node.try_run(row.way, &row.frame[..length]) else {
                assert!(length < 14 + 40, "{} cut to {length} was not run", row.name);
                continue;
            };
            assert!(
                [NEXT, DROP, REDIRECT].contains(&outcome.action),
                "{} cut to {length}",
                row.name
            );
            let asks = matches!(row.verdict, Some("answered_arp" | "answered_nd"));
            assert!(
                !asks || outcome.action != REDIRECT,
                "{} cut to {length} was answered",
                row.name
            );
        }
        for at in 0..row.frame.len() {
            for flip in [0x01, 0x80, 0xFF] {
                let mut frame = row.frame.clone();
                frame[at] ^= flip;
                let outcome = node.run(row.way, &frame);
                assert!([NEXT, DROP, REDIRECT].contains(&outcome.action), "{} byte {at}", row.name);
                if outcome.action == REDIRECT {
                    assert_eq!(
                        outcome.frame[6..12],
                        rows::ME,
                        "{} byte {at}: not from us",
                        row.name
                    );
                }
                // Before it: MAC addresses and the traffic class, which anything may be.
                let body = at >= 18 && row.verdict == Some("answered_nd");
                assert!(!body || outcome.action != REDIRECT, "{} byte {at}: answered", row.name);
            }
        }
    }
}

#[test]
fn frames_are_counted_for_their_vip() {
    let node = node();
    let named = |name: &str| rows::table(node.ports).into_iter().find(|r| r.name == name).unwrap();
    for (name, packets, steered) in [(ARRIVAL, 1, 0), (rows::STEERED, 0, 1)] {
        let row = named(name);
        node.prepare(&row);
        let before = node.datapath.vip_count(VipId(0)).unwrap();
        node.run(Way::In, &row.frame);
        let after = node.datapath.vip_count(VipId(0)).unwrap();
        assert_eq!(after.packets - before.packets, packets, "{name}");
        assert_eq!(after.bytes - before.bytes, packets * row.frame.len() as u64, "{name}");
        assert_eq!(after.steered - before.steered, steered, "{name}");
    }
}

#[test]
fn entries_of_an_earlier_configuration_go() {
    let mut node = node();
    let row = rows::table(node.ports).into_iter().find(|r| r.name == ARRIVAL).unwrap();
    node.prepare(&Row { host: HostState::Off, ..row.clone() });
    assert_eq!(node.run(Way::In, &row.frame).action, DROP);
    node.datapath.set_vips(&[(VipId(0), "10.1.0.101".parse().unwrap(), SubnetId(0))]).unwrap();
    assert_eq!(node.run(Way::In, &row.frame).action, NEXT);
}
