//! What the program in the driver leaves to the stack, each for its own reason: of a flow whose packets it takes otherwise.

use crate::frames;
use crate::place;
use crate::rows;
use crate::rows::nat::{Packet, at, flow};
use crate::run::{self, EARLY_PASS, EARLY_REDIRECT};
use dsc_bpf::{Backend, Datapath, FlowTable, Hook, LeaseMap, Nic, Opened, Put};
use dsc_wire::local::HostState;
use dsc_wire::{BackendState, NodeId, Protocol, Routing, SubnetId, Time, VipId};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The neighbours behind the ways out, by the last byte of their MAC address.
const HOST: u8 = 0x99;
const OTHER_ROUTER: u8 = 0x98;
/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("cannot run ip");
    assert!(status.success(), "ip {arguments}");
}

/// What was asked for in a tick of the kernel is known until the next one.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "still not: {what}");
    }
}

fn gro(nic: &str, on: &str) {
    let status = Command::new("ethtool").args(["-K", nic, "gro", on]).status();
    assert!(status.expect("cannot run ethtool").success());
}

fn nic(name: &str, subnet: u8) -> Nic {
    let text = std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).unwrap();
    Nic {
        index: text.trim().parse().unwrap(),
        name: name.into(),
        subnet: SubnetId(subnet),
        mac: rows::ME,
        router: true,
        address4: None,
        address6: None,
    }
}

/// d0 is outside, e0 inside; o0 is no subnet's. As many VIPs as said, of IPv4 and of IPv6, a backend for each.
struct World {
    datapath: Datapath,
    _flows: FlowTable,
    _lease: LeaseMap,
    nics: [Nic; 2],
}

fn vip(version: u8, n: u16) -> SocketAddr {
    let (network, host) = (n % 2, n / 2);
    if version == 4 {
        at(&format!("10.1.{network}.{}", 100 + host), 80)
    } else {
        at(&format!("fd00:1::{network}:{}", 100 + host), 80)
    }
}

fn client(version: u8) -> SocketAddr {
    at(if version == 4 { "192.0.2.9" } else { "2001:db8::9" }, 4000)
}

fn backend(version: u8, n: u16) -> SocketAddr {
    at(if version == 4 { "10.2.0.201" } else { "fd00:2::201" }, 8080 + n)
}

fn world(count: u16) -> World {
    place::enter();
    ip("link set lo up");
    for (name, subnet) in [("d", 1), ("e", 2), ("o", 3)] {
        let [own, peer] = [0, 1].map(|n| format!("{name}{n}"));
        ip(&format!("link add {own} address 02:00:00:00:00:01 type veth peer name {peer}"));
        gro(&peer, "on");
        ip(&format!("addr add 10.{subnet}.0.1/24 dev {own}"));
        ip(&format!("addr add fd00:{subnet}::1/64 dev {own} nodad"));
        ip(&format!("link set {own} up"));
        ip(&format!("link set {peer} up"));
        for (n, mac) in [(201, HOST), (250, HOST), (251, OTHER_ROUTER)] {
            for to in [format!("10.{subnet}.0.{n}"), format!("fd00:{subnet}::{n}")] {
                ip(&format!("neigh add {to} lladdr 02:00:00:00:00:{mac:02x} dev {own}"));
            }
        }
    }
    ip("route add 192.0.2.0/24 via 10.1.0.250");
    ip("route add 2001:db8::/32 via fd00:1::250 metric 100");
    for family in ["ipv4", "ipv6"] {
        std::fs::write(format!("/proc/sys/net/{family}/conf/all/forwarding"), "1").unwrap();
    }
    let dir = Path::new(place::BPF_DIR);
    let lease = LeaseMap::open(dir).unwrap();
    let opened = Datapath::open(dir, NodeId(1), Hook::best().unwrap(), 1024, Routing::Direct);
    let Opened { mut datapath, mut flows, .. } = opened.unwrap();
    let ends: Vec<(u8, u16)> = (0..count).flat_map(|n| [(4, n), (6, n)]).collect();
    let vips: Vec<_> = (0u16..)
        .zip(&ends)
        .map(|(id, (version, n))| (VipId(id), vip(*version, *n).ip(), SubnetId(0)))
        .collect();
    datapath.set_vips(&vips).unwrap();
    let (protocol, subnet, state) = (Protocol::Tcp, SubnetId(1), BackendState::Enabled);
    let one = |(version, n): &(u8, u16)| {
        let address = backend(*version, *n);
        Backend { address, protocol, subnet, state }
    };
    let backends: Vec<Backend> = ends.iter().map(one).collect();
    datapath.set_services(&[], &backends).unwrap();
    flows.know(&vips, &backends, &[]).unwrap();
    let known = |(version, n): (u8, u16)| {
        flow(Protocol::Tcp, client(version), vip(version, n), backend(version, n))
    };
    let known: Vec<_> = ends.into_iter().map(known).collect();
    let mut became = Vec::new();
    flows.put(&known, Time(1), &mut became).unwrap();
    assert_eq!(became, vec![Put::New; known.len()]);
    lease.set_lease(Time::NEVER);
    vips.iter().for_each(|(vip, ..)| lease.set_host(*vip, HostState::On, &[]));
    let nics = [nic("d0", 0), nic("e0", 1)];
    let mut world = World { datapath, _flows: flows, _lease: lease, nics };
    world.start();
    world
}

impl World {
    fn start(&mut self) {
        self.datapath.want_early(true);
        self.datapath.set_nics(&self.nics).unwrap();
        assert!(self.datapath.faults().is_empty(), "{:?}", self.datapath.faults());
    }

    fn once(&self, inside: bool, frame: &[u8]) -> (i32, u8) {
        let nic = &self.nics[usize::from(inside)];
        let got = run::run_early(self.datapath.early_program(), nic.index, frame, 1);
        if got.action != EARLY_REDIRECT {
            assert_eq!((got.action, &got.frame[..]), (EARLY_PASS, frame), "left as it is");
        }
        (got.action, got.frame[5])
    }

    /// To whom the frame goes on. A packet a second is left to the stack in any case.
    fn goes_to(&self, inside: bool, frame: &[u8]) -> Option<u8> {
        let mut tries = (0..8).map(|_| self.once(inside, frame));
        tries.find(|(action, _)| *action == EARLY_REDIRECT).map(|(_, mac)| mac)
    }
}

fn request(version: u8) -> Packet {
    Packet::tcp(client(version), vip(version, 0), frames::ACK)
}

fn reply(version: u8, n: u16) -> Packet {
    Packet::tcp(backend(version, n), client(version), frames::ACK)
}

fn frame(packet: Packet) -> Vec<u8> {
    packet.frame(rows::ME, rows::CLIENT)
}

#[test]
fn a_frame_for_another_machine_is_not_ours() {
    if !place::drivers_tell() {
        return;
    }
    let world = world(1);
    for version in [4, 6] {
        assert_eq!(world.goes_to(false, &frame(request(version))), Some(HOST));
        for other in [rows::NODE2, [0xFF; 6]] {
            let frame = request(version).frame(other, rows::CLIENT);
            assert_eq!(world.goes_to(false, &frame), None, "{other:?}");
        }
    }
}

#[test]
fn what_does_not_fit_or_has_no_hop_left_is_the_stacks() {
    if !place::drivers_tell() {
        return;
    }
    let world = world(1);
    for version in [4, 6] {
        let last = Packet { ttl: 1, ..request(version) };
        assert_eq!(world.goes_to(false, &frame(last)), None);
        let long = Packet { body: &[7; 1300], ..request(version) };
        assert_eq!(world.goes_to(false, &frame(long)), Some(HOST));
        ip("link set e0 mtu 1300");
        until("a long packet passes", || world.goes_to(false, &frame(long)).is_none());
        assert_eq!(world.goes_to(false, &frame(request(version))), Some(HOST));
        ip("link set e0 mtu 1500");
    }
}

/// A driver that does not send what others redirect to it loses it without a word.
#[test]
fn nothing_goes_to_a_driver_that_does_not_send() {
    if !place::drivers_tell() {
        return;
    }
    let mut world = world(1);
    gro("e1", "off");
    world.start();
    let slow: Vec<u32> = world.datapath.slow().iter().map(|(nic, _)| *nic).collect();
    assert_eq!(slow, [world.nics[1].index]);
    for version in [4, 6] {
        assert_eq!(world.goes_to(false, &frame(request(version))), None);
        assert_eq!(world.goes_to(true, &frame(reply(version, 0))), Some(HOST));
    }
}

/// Of an interface that is no subnet's nobody has asked whether its driver sends.
#[test]
fn a_better_route_by_another_interface_is_not_taken() {
    if !place::drivers_tell() {
        return;
    }
    let world = world(1);
    assert_eq!(world.goes_to(true, &frame(reply(6, 0))), Some(HOST));
    ip("route add 2001:db8::/32 via fd00:3::250 metric 10");
    let passes = || world.goes_to(true, &frame(reply(6, 0))).is_none();
    until("a reply whose route leads elsewhere passes", passes);
}

/// Only the stack asks a neighbour whether it is still there.
#[test]
fn now_and_then_a_packet_is_left_to_the_stack() {
    if !place::drivers_tell() {
        return;
    }
    let world = world(1);
    let frame = frame(request(4));
    assert_eq!(world.goes_to(false, &frame), Some(HOST));
    until("a packet is left to the stack", || world.once(false, &frame).0 == EARLY_PASS);
}

/// Replies of many VIPs to one client, every other one with another router: more than there are places for ways out.
#[test]
fn the_way_out_is_that_of_the_source() {
    if !place::drivers_tell() {
        return;
    }
    const COUNT: u16 = 300;
    let world = world(COUNT);
    ip("rule add from 10.1.1.0/24 lookup 101");
    ip("route add default via 10.1.0.251 dev d0 table 101");
    let frames: Vec<_> = (0..COUNT).map(|n| frame(reply(4, n))).collect();
    for _ in 0..20 {
        for (n, frame) in frames.iter().enumerate() {
            let router = if n % 2 == 0 { HOST } else { OTHER_ROUTER };
            assert_eq!(world.goes_to(true, frame), Some(router), "VIP {n}");
        }
    }
}
