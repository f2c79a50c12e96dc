//! Measures what the ingress program costs per frame, in nanoseconds, by running it a million times on one frame in
//! namespaces of its own. Frames that it changes cannot be measured so: the second run would see the changed one.
//! Run as root: `cargo run --release -p dsc-bpf --example frame-ns`.

#[expect(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../tests/frames/mod.rs"]
mod frames;
#[path = "../tests/place/mod.rs"]
mod place;
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../tests/run/mod.rs"]
mod run;

use dsc_bpf::{Datapath, Hook, LeaseMap, Nic};
use dsc_wire::local::HostState;
use dsc_wire::{NodeId, SubnetId, Time, VipId};
use frames::{ACK, PLAIN, ethernet, ip4_packet, ip6_packet, tcp, udp};
use std::path::Path;

const REPEAT: u32 = 1_000_000;
const ROUNDS: usize = 5;
const ME: [u8; 6] = [2, 0, 0, 0, 0, 1];
const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 0xFA];

fn ip(arguments: &str) -> String {
    let out = std::process::Command::new("ip").args(arguments.split(' ')).output();
    let out = out.expect("cannot run ip");
    assert!(out.status.success(), "ip {arguments}");
    String::from_utf8(out.stdout).expect("ip prints text")
}

fn main() {
    place::enter();
    ip("link add d0 address 02:00:00:00:00:01 type veth peer name d1");
    let line = ip("-o link show d0");
    let nic: u32 = line.split(':').next().and_then(|n| n.parse().ok()).expect("an index");
    let dir = Path::new(place::BPF_DIR);
    let lease = LeaseMap::open(dir).expect("lease");
    let hook = Hook::best().expect("hook");
    let opened = Datapath::open(dir, NodeId(1), hook, 1024).expect("datapath");
    let mut datapath = opened.datapath;
    let vips: Vec<_> = (0..256u16)
        .map(|i| (VipId(i), [10, 1, 1, i as u8].into(), SubnetId(0)))
        .chain([(VipId(256), frames::v6("fd00:1::100").into(), SubnetId(0))])
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
    datapath.set_nics(&[nics]).expect("nics");
    lease.set_lease(Time::NEVER);
    for vip in 0..=256 {
        lease.set_host(VipId(vip), HostState::On, &[]);
    }
    lease.set_host(VipId(9), HostState::Off, &[NodeId(1)]);

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
    println!("{:<52} {:>6} {:>6} {:>6}", "ns per frame", "min", "median", "max");
    for (name, frame) in rows {
        let mut ns: Vec<u32> = (0..ROUNDS)
            .map(|_| {
                run::run(datapath.program_for(true), nic, &frame, 0, REPEAT).expect("a frame").ns
            })
            .collect();
        ns.sort_unstable();
        println!("{name:<52} {:>6} {:>6} {:>6}", ns[0], ns[ROUNDS / 2], ns[ROUNDS - 1]);
    }
}
