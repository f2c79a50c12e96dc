//! Measures what the program of frames that come in costs per frame, in nanoseconds, and the one in the driver, by running
//! them a million times on one frame in namespaces of its own. A frame that it changes is seen changed by the next run: for those there are two flows, and each
//! makes a packet of the other one. They lose a hop each time, so that every 250 runs begin with a new frame.
//! Run as root: `cargo run --release -p dsc-bpf --example frame-ns`.

#[expect(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../tests/frames/mod.rs"]
mod frames;
#[path = "../tests/place/mod.rs"]
mod place;
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../tests/run/mod.rs"]
mod run;

use dsc_bpf::{Backend, Datapath, FlowTable, Hook, LeaseMap, MAGLEV_SIZE, Nic, Put, Service};
use dsc_wire::local::HostState;
use dsc_wire::{
    BackendState, Flow, FlowKey, FlowKind, FlowState, NodeId, Protocol, Routing, ServiceKind,
    SubnetId, Time, VipId,
};
use frames::{ACK, Ip4, PLAIN, ethernet, ip4_packet, ip6_packet, tcp, udp};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

const REPEAT: u32 = 1_000_000;
const ROUNDS: usize = 5;
/// Runs of a frame that loses a hop each time.
const HOPS: u8 = 250;
/// What a packet of a flow may cost at most, in the stack and in the driver.
const NAT_TARGET_NS: [u32; 2] = [200, 120];
const ME: [u8; 6] = [2, 0, 0, 0, 0, 1];
const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 0xFA];

fn ip(arguments: &str) -> String {
    let out = std::process::Command::new("ip").args(arguments.split(' ')).output();
    let out = out.expect("cannot run ip");
    assert!(out.status.success(), "ip {arguments}");
    String::from_utf8(out.stdout).expect("ip prints text")
}

/// Ways out for the program in the driver. Everybody's MAC address is the interface's own, so that a frame which has left can
/// come in.
fn pave() {
    let status = std::process::Command::new("ethtool").args(["-K", "d1", "gro", "on"]).status();
    assert!(status.expect("cannot run ethtool").success());
    ip("addr add 10.1.0.1/16 dev d0");
    ip("addr add fd00:1::1/64 dev d0 nodad");
    ip("link set d0 up");
    ip("link set d1 up");
    for other in PAIRS.as_flattened().iter().map(|end| end.1).chain([CLIENT4, CLIENT6]) {
        ip(&format!("neigh add {other} lladdr 02:00:00:00:00:01 dev d0"));
    }
    for family in ["ipv4", "ipv6"] {
        let switch = format!("/proc/sys/net/{family}/conf/all/forwarding");
        std::fs::write(switch, "1").expect("forwarding");
    }
}

/// Each pair of VIPs is each other's backend.
const PAIRS: [[(u16, &str, u16); 2]; 2] = [
    [(20, "10.1.1.20", 8080), (21, "10.1.1.21", 8081)],
    [(256, "fd00:1::100", 8080), (257, "fd00:1::101", 8081)],
];
const CLIENT4: &str = "10.1.0.250";
const CLIENT6: &str = "fd00:1::250";

fn end(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), port)
}

/// The services of both pairs, and a flow between each two ends in a table.
fn balance(datapath: &mut Datapath, flows: &mut FlowTable, vips: &[(VipId, IpAddr, SubnetId)]) {
    let (mut services, mut backends, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for pair in PAIRS {
        for (own, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            let (id, vip, port) = own;
            let (protocol, address) = (Protocol::Tcp, end(other.1, other.2));
            services.push(Service {
                vips: vec![VipId(id)],
                protocol,
                port,
                kind: ServiceKind::Nat,
                slots: vec![backends.len() as u16; MAGLEV_SIZE],
            });
            let (subnet, state) = (SubnetId(0), BackendState::Enabled);
            backends.push(Backend { address, protocol, subnet, state });
            let vip = end(vip, port);
            let client = end(if vip.is_ipv4() { CLIENT4 } else { CLIENT6 }, 4444);
            let key = FlowKey { protocol, client, vip };
            known.push(Flow { key, backend: address, state: FlowState::Open, kind: FlowKind::Nat });
        }
    }
    datapath.set_services(&services, &backends).expect("services");
    flows.know(vips, &backends, &[]).expect("flows");
    let mut became = Vec::new();
    flows.put(&known, Time(1), &mut became).expect("flows");
    assert_eq!(became, vec![Put::New; known.len()]);
}

/// A TCP segment with as many hops as there are, and a right checksum.
fn segment(source: SocketAddr, dest: SocketAddr, body: usize) -> Vec<u8> {
    let mut payload = [tcp(source.port(), dest.port(), ACK), vec![7; body]].concat();
    frames::with_checksum(&mut payload, 16, source.ip(), dest.ip(), 6);
    let (from, to) = (source.ip().to_string(), dest.ip().to_string());
    if source.is_ipv4() {
        let ip = Ip4 { ttl: 255, ..PLAIN };
        ethernet(ME, CLIENT, 0x0800, &ip4_packet(&from, &to, ip, 6, &payload))
    } else {
        ethernet(ME, CLIENT, 0x86DD, &ip6_packet(&from, &to, 255, 6, &payload))
    }
}

/// Mean nanoseconds of a run on a frame that is another one each time, in the stack or in the driver.
fn changing(datapath: &Datapath, nic: u32, frame: &[u8], early: bool) -> u32 {
    let rounds = REPEAT / u32::from(HOPS);
    let sum: u64 = (0..rounds)
        .map(|_| {
            let (outcome, redirect) = if early {
                let program = datapath.early_program();
                (run::run_early(program, nic, frame, u32::from(HOPS)), run::EARLY_REDIRECT)
            } else {
                let program = datapath.program_for(true);
                let outcome = run::run(program, nic, frame, 0, u32::from(HOPS)).expect("a frame");
                (outcome, run::REDIRECT)
            };
            let hops = outcome.frame[if frame[14] >> 4 == 4 { 22 } else { 21 }];
            // A packet a second is left to the stack, of each of the two flows.
            let least = if early { HOPS - 2 } else { HOPS };
            let passed = early && outcome.action == run::EARLY_PASS;
            assert!(outcome.action == redirect || passed, "{outcome:?}");
            assert!((least..=HOPS).contains(&(255 - hops)), "{outcome:?}");
            u64::from(outcome.ns)
        })
        .sum();
    (sum / u64::from(rounds)) as u32
}

fn print(name: &str, mut ns: Vec<u32>) -> u32 {
    ns.sort_unstable();
    println!("{name:<60} {:>6} {:>6} {:>6}", ns[0], ns[ROUNDS / 2], ns[ROUNDS - 1]);
    ns[ROUNDS / 2]
}

fn main() {
    place::enter();
    ip("link add d0 address 02:00:00:00:00:01 type veth peer name d1");
    pave();
    let line = ip("-o link show d0");
    let nic: u32 = line.split(':').next().and_then(|n| n.parse().ok()).expect("an index");
    let dir = Path::new(place::BPF_DIR);
    let lease = LeaseMap::open(dir).expect("lease");
    let hook = Hook::best().expect("hook");
    let opened = Datapath::open(dir, NodeId(1), hook, 1024, Routing::Direct).expect("datapath");
    let mut datapath = opened.datapath;
    let vips: Vec<_> =
        (0..256u16)
            .map(|i| (VipId(i), [10, 1, 1, i as u8].into(), SubnetId(0)))
            .chain([256, 257].map(|i| {
                (VipId(i), frames::v6(&format!("fd00:1::{}", i - 156)).into(), SubnetId(0))
            }))
            .collect();
    datapath.set_vips(&vips).expect("vips");
    let macs = [(NodeId(1), SubnetId(0), ME), (NodeId(2), SubnetId(0), [2, 0, 0, 0, 0, 2])];
    datapath.set_macs(&macs).expect("macs");
    let nics = Nic {
        index: nic,
        name: "d0".into(),
        subnet: SubnetId(0),
        mac: ME,
        router: false,
        address4: None,
        address6: None,
    };
    datapath.want_early(true);
    datapath.set_nics(&[nics]).expect("nics");
    assert!(datapath.slow().is_empty(), "{:?}", datapath.slow());
    lease.set_lease(Time::NEVER);
    for vip in 0..=257 {
        lease.set_host(VipId(vip), HostState::On, &[]);
    }
    lease.set_host(VipId(9), HostState::Off, &[NodeId(1)]);
    let mut flows = opened.flows;
    balance(&mut datapath, &mut flows, &vips);

    let to = |address: &str, protocol, payload: &[u8]| {
        ethernet(ME, CLIENT, 0x0800, &ip4_packet("10.1.0.250", address, PLAIN, protocol, payload))
    };
    let to6 = |address: &str, payload: &[u8]| {
        ethernet(ME, CLIENT, 0x86DD, &ip6_packet("fd00:1::250", address, 64, 17, payload))
    };
    let rows = [
        ("not IP", ethernet(ME, CLIENT, 0x88CC, &[0; 46])),
        ("IPv4, not a VIP", to("192.0.2.1", 6, &tcp(1, 2, ACK))),
        ("IPv6, not a VIP", to6("fd00:9::1", &udp(1, 2))),
        ("IPv4 UDP to a VIP, delivered", to("10.1.1.7", 17, &udp(1, 2))),
        ("IPv4 TCP to a VIP, delivered", to("10.1.1.7", 6, &tcp(1, 2, ACK))),
        ("IPv6 UDP to a VIP, delivered", to6("fd00:1::100", &udp(1, 2))),
        ("IPv4 TCP to a VIP hosted elsewhere, socket searched", to("10.1.1.9", 6, &tcp(1, 2, ACK))),
    ];
    println!("{:<60} {:>6} {:>6} {:>6}", "ns per frame", "min", "median", "max");
    for (name, frame) in rows {
        let program = datapath.program_for(true);
        let once = || run::run(program, nic, &frame, 0, REPEAT).expect("a frame").ns;
        print(name, (0..ROUNDS).map(|_| once()).collect());
    }
    let mut worst = [0; 2];
    for [(_, vip, port), (_, backend, backend_port)] in PAIRS {
        let (version, client) = if vip.contains(':') { (6, CLIENT6) } else { (4, CLIENT4) };
        let (c, v, b) = (end(client, 4444), end(vip, port), end(backend, backend_port));
        for (what, source, dest) in [("request", c, v), ("reply", b, c)] {
            for body in [0, 1300] {
                let frame = segment(source, dest, body);
                for (early, place) in [(false, ""), (true, ", in the driver")] {
                    let once = |_| changing(&datapath, nic, &frame, early);
                    let ns = (0..ROUNDS).map(once).collect();
                    let bytes = frame.len();
                    let name = format!("IPv{version} TCP of a flow, {what}, {bytes} bytes{place}");
                    let worst = &mut worst[usize::from(early)];
                    *worst = print(&name, ns).max(*worst);
                }
            }
        }
    }
    for ((worst, target), place) in worst.iter().zip(NAT_TARGET_NS).zip(["stack", "driver"]) {
        let verdict = if *worst <= target { "met" } else { "missed" };
        println!(
            "a packet of a flow in the {place}: the worst median is {worst} ns, target {target}: {verdict}"
        );
    }
}
