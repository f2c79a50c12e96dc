//! The programs and the model of their decision (dsc_flow::model) on the same random packets, one after another on one
//! node: same verdict, same frame, same flows after each. A difference names its seed.

mod draw;

use crate::place;
use crate::rows;
use crate::rows::nat::Packet as Built;
use crate::run::{self, DROP, EARLY_PASS, EARLY_REDIRECT, NEXT, REDIRECT};
use draw::{Random, draw};
use dsc_bpf::{Datapath, FlowTable, Hook, LeaseMap, Nic, Opened, Walk};
use dsc_flow::maglev::{self, Candidate};
use dsc_flow::model::{Backend, Begun, Model, Outcome, Packet, Service, Source, Zone};
use dsc_flow::packet;
use dsc_wire::local::HostState;
use dsc_wire::{
    BackendId, BackendState, Flow, NodeId, Protocol, Routing, ServiceKind, SubnetId, Time, VipId,
};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

const SEEDS: u64 = 12;
const STEPS: usize = 1600;
const VIPS: [(&str, u8); 4] =
    [("10.1.0.100", 0), ("10.1.0.101", 0), ("fd00:1::100", 0), ("fd00:1::101", 0)];

/// Ports of source NAT: three for each of three nodes, so that they run out.
const FIRST: u16 = 40_000;
const SLICE: u16 = 3;
const NODES: u16 = 3;

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("cannot run ip");
    assert!(status.success(), "ip {arguments}");
}

fn index_of(nic: &str) -> u32 {
    let text = std::fs::read_to_string(format!("/sys/class/net/{nic}/ifindex")).unwrap();
    text.trim().parse().unwrap()
}

/// Two interfaces, two services with three backends each, for both families; TCP and UDP.
struct Pair {
    datapath: Datapath,
    flows: FlowTable,
    lease: LeaseMap,
    /// On subnets 0 and 1.
    nics: [u32; 2],
    model: Model,
    /// Frames meet the program in the driver first.
    early: bool,
    /// So many went on from there.
    taken_early: Cell<u64>,
}

fn address(text: &str, port: u16) -> SocketAddr {
    SocketAddr::new(text.parse::<IpAddr>().unwrap(), port)
}

/// Ways out, as a driver's program wants them: routes, known neighbours, and peers that take what a driver sends.
fn pave() {
    let places = [("d0", "d1", 1, &[250, 251][..]), ("e0", "e1", 2, &[70, 72, 73, 200, 201, 202])];
    for (nic, peer, subnet, others) in places {
        let status = Command::new("ethtool").args(["-K", peer, "gro", "on"]).status();
        assert!(status.expect("cannot run ethtool").success());
        ip(&format!("addr add 10.{subnet}.0.1/24 dev {nic}"));
        ip(&format!("addr add fd00:{subnet}::1/64 dev {nic} nodad"));
        ip(&format!("link set {nic} up"));
        ip(&format!("link set {peer} up"));
        for other in others {
            for to in [format!("10.{subnet}.0.{other}"), format!("fd00:{subnet}::{other}")] {
                ip(&format!("neigh add {to} lladdr 02:00:00:00:00:99 dev {nic}"));
            }
        }
    }
    ip("route add 192.0.2.0/24 via 10.1.0.250");
    ip("route add 2001:db8::/32 via fd00:1::250");
    for family in ["ipv4", "ipv6"] {
        std::fs::write(format!("/proc/sys/net/{family}/conf/all/forwarding"), "1").unwrap();
    }
}

fn pair(random: &mut Random, routing: Routing, early: bool) -> Pair {
    place::enter();
    ip("link set lo up");
    ip("link add d0 address 02:00:00:00:00:01 type veth peer name d1");
    ip("link add e0 address 02:00:00:00:00:01 type veth peer name e1");
    pave();
    let dir = Path::new(place::BPF_DIR);
    let lease = LeaseMap::open(dir).unwrap();
    let opened = Datapath::open(dir, NodeId(1), Hook::best().unwrap(), 4096, routing).unwrap();
    let Opened { mut datapath, mut flows, .. } = opened;
    let vips: Vec<(VipId, IpAddr, SubnetId)> = (0u16..)
        .zip(VIPS)
        .map(|(id, (ip, subnet))| (VipId(id), ip.parse().unwrap(), SubnetId(subnet)))
        .collect();
    datapath.set_vips(&vips).unwrap();
    let macs = [(0, rows::NODE0), (1, rows::ME), (2, rows::NODE2)];
    datapath.set_macs(&macs.map(|(n, mac)| (NodeId(n), SubnetId(0), mac))).unwrap();
    let nic = |name: &str, subnet| Nic {
        index: index_of(name),
        name: name.into(),
        subnet: SubnetId(subnet),
        mac: rows::ME,
        router: true,
        address4: None,
        address6: None,
    };
    datapath.want_early(early);
    datapath.set_nics(&[nic("d0", 0), nic("e0", 1)]).unwrap();
    assert!(datapath.faults().is_empty() && datapath.slow().is_empty(), "{:?}", datapath.slow());
    let mut model = Model {
        me: 1,
        lease: true,
        routing,
        host: HostState::On,
        vips: vips.iter().map(|(_, ip, subnet)| (*ip, *subnet)).collect(),
        services: Default::default(),
        backends: Vec::new(),
        sources: Vec::new(),
        zones: Vec::new(),
        doors: vec![SubnetId(0), SubnetId(1)],
        flows: BTreeMap::new(),
        begun: BTreeMap::new(),
    };
    let (mut services, mut kernel_backends) = (Vec::new(), Vec::new());
    for (four, protocol) in [
        (true, Protocol::Tcp),
        (false, Protocol::Tcp),
        (true, Protocol::Udp),
        (false, Protocol::Udp),
    ] {
        let mut candidates = Vec::new();
        for n in 0..3u8 {
            let id = BackendId(model.backends.len() as u16);
            let text = if four { format!("10.2.0.20{n}") } else { format!("fd00:2::20{n}") };
            let state = random.of(&[
                BackendState::Enabled,
                BackendState::Enabled,
                BackendState::Enabled,
                BackendState::Draining,
                BackendState::Disabled,
            ]);
            // Now and then one that no interface leads to.
            let subnet = SubnetId(if random.below(12) == 0 { 2 } else { 1 });
            let backend = Backend { address: address(&text, 8080), protocol, subnet, state };
            let weight = u32::from(state == BackendState::Enabled);
            candidates.push(Candidate { id, address: backend.address, weight });
            model.backends.push(backend);
            let address = backend.address;
            kernel_backends.push(dsc_bpf::Backend { address, protocol, subnet, state });
        }
        let slots = maglev::table(&candidates);
        let mine: Vec<usize> = if four { vec![0, 1] } else { vec![2, 3] };
        for vip in &mine {
            let service = Service { kind: ServiceKind::Nat, slots: slots.clone() };
            model.services.insert((protocol, SocketAddr::new(vips[*vip].1, 80)), service);
        }
        services.push(dsc_bpf::Service {
            vips: mine.iter().map(|vip| vips[*vip].0).collect(),
            protocol,
            port: 80,
            kind: ServiceKind::Nat,
            slots,
        });
    }
    datapath.set_services(&services, &kernel_backends).unwrap();
    let (sources, zones) = translate(&mut model, &vips);
    datapath.set_sources(&sources, &zones).unwrap();
    flows.know(&vips, &kernel_backends, &zones).unwrap();
    let (nics, taken_early) = ([index_of("d0"), index_of("e0")], Cell::new(0));
    Pair { nics, datapath, flows, lease, model, early, taken_early }
}

/// Source NAT for the machines inside, as either VIP of their family; the same for the model.
fn translate(
    model: &mut Model,
    vips: &[(VipId, IpAddr, SubnetId)],
) -> (Vec<dsc_bpf::Source>, Vec<dsc_bpf::Zone>) {
    let mut sources = Vec::new();
    for mine in [&vips[..2], &vips[2..]] {
        let as_from: Vec<_> = mine.iter().map(|(id, ip, _)| (*id, *ip)).collect();
        let vips = mine.iter().map(|(_, ip, _)| *ip).collect();
        model.sources.push(Source { vips, first: FIRST, slice: SLICE, nodes: NODES });
        let subnet = SubnetId(0);
        let (first, slice, nodes) = (FIRST, SLICE, NODES);
        let waits = false;
        sources.push(dsc_bpf::Source { vips: as_from, subnet, first, slice, nodes, waits });
    }
    let mut zones = Vec::new();
    for (address, prefix, subnet, source, node) in [
        ("10.1.0.0", 24, 0, None, false),
        ("10.2.0.0", 24, 1, Some(0), false),
        ("10.2.0.71", 32, 1, None, true),
        ("fd00:1::", 64, 0, None, false),
        ("fd00:2::", 64, 1, Some(1), false),
        ("fd00:2::71", 128, 1, None, true),
    ] {
        let (address, subnet) = (address.parse().unwrap(), SubnetId(subnet));
        let number = source.map(usize::from);
        model.zones.push(Zone { address, prefix, subnet, source: number, node });
        zones.push(dsc_bpf::Zone { address, prefix, subnet, source, node });
    }
    (sources, zones)
}

impl Pair {
    fn change(&mut self, random: &mut Random) {
        if random.below(10) != 0 {
            return;
        }
        self.model.lease = random.below(8) != 0;
        self.model.host = random.of(&[
            HostState::On,
            HostState::On,
            HostState::On,
            HostState::Off,
            HostState::Incoming,
            HostState::Steer(NodeId(2)),
        ]);
        self.lease.set_lease(if self.model.lease { Time::NEVER } else { Time(1) });
        for vip in 0..VIPS.len() as u16 {
            self.lease.set_host(VipId(vip), self.model.host, &[]);
        }
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        self.datapath.verdicts().unwrap().into_iter().map(|c| (c.name, c.count)).collect()
    }

    fn table(&self) -> Vec<Flow> {
        let (mut walk, mut found) = (Walk::default(), Vec::new());
        while self.flows.walk(&mut walk, Time(1), 1024, &mut found).unwrap() {}
        let mut flows: Vec<Flow> = found.into_iter().map(|seen| seen.flow).collect();
        flows.sort_unstable_by_key(|flow| flow.key);
        flows
    }

    /// In the driver and, if it passes there, in the stack.
    fn run(&self, frame: &[u8], by: SubnetId) -> run::Outcome {
        let nic = self.nics[by.index()];
        if self.early {
            let got = run::run_early(self.datapath.early_program(), nic, frame, 0);
            if got.action == EARLY_REDIRECT {
                assert_eq!(got.frame[..6], [2, 0, 0, 0, 0, 0x99], "to the neighbour");
                self.taken_early.set(self.taken_early.get() + 1);
                return run::Outcome { action: REDIRECT, ..got };
            }
            assert_eq!((got.action, &got.frame[..]), (EARLY_PASS, frame), "left as it is");
        }
        let program = self.datapath.program_for(true);
        run::run(program, nic, frame, 1, 0).expect("the kernel refuses the frame")
    }

    fn step(&mut self, what: &str, built: Built, from_member: bool, by: SubnetId) {
        let from = if from_member { rows::NODE0 } else { rows::CLIENT };
        let frame = built.frame(rows::ME, from);
        let ends = packet::read(&frame).unwrap();
        let outcome = self.model.step(&Packet {
            protocol: ends.protocol,
            source: ends.source,
            dest: ends.dest,
            flags: built.flags,
            hops: built.ttl,
            bytes: frame.len(),
            from_member,
            by,
        });
        let before = self.counts();
        let got = self.run(&frame, by);
        let Some(outcome) = outcome else { return };
        let after = self.counts();
        // Interfaces that are up speak for themselves now and then.
        let grown = after.iter().filter(|(n, c)| *n != "other" && **c > before[*n]);
        let grown: Vec<&str> = grown.map(|(n, _)| n.as_str()).collect();
        let (name, action) = match outcome {
            Outcome::Pass(name) => (name, NEXT),
            Outcome::Drop(name) => (name, DROP),
            Outcome::Steer(name) | Outcome::Tell(name) | Outcome::Route(name, ..) => {
                (name, REDIRECT)
            }
        };
        assert_eq!((grown, got.action), (vec![name], action), "{what}: {outcome:?}");
        if let Outcome::Route(_, source, dest) = outcome {
            let wanted = packet::rewritten(&frame, &ends, source, dest).expect("it goes on");
            assert_eq!(got.frame[14..], wanted, "{what}: {outcome:?}");
        }
        let mut wanted = self.model.flows();
        wanted.sort_unstable_by_key(|flow| flow.key);
        assert_eq!(self.table(), wanted, "{what}: {outcome:?}");
        let begun = (0..self.model.backends.len() as u16).map(|number| {
            let count = self.datapath.backend_count(BackendId(number)).unwrap();
            Begun { opened: count.opened, refused: count.refused }
        });
        let model = |number: usize| self.model.begun.get(&(number as u16)).copied();
        let wanted = (0..self.model.backends.len()).map(|number| model(number).unwrap_or_default());
        assert!(begun.eq(wanted), "{what}: {outcome:?}: {:?}", self.model.begun);
    }
}

/// Seeds with an odd number have the program in the driver before the others.
#[test]
fn the_programs_decide_as_their_model_does() {
    let mut outcomes = BTreeMap::new();
    for seed in 1..=SEEDS {
        // Each seed has a thread, and with it namespaces, of its own.
        let thread = std::thread::spawn(move || {
            let mut random = Random(seed);
            let routing = if seed / 2 % 2 == 0 { Routing::Symmetric } else { Routing::Direct };
            let early = seed % 2 == 1 && place::drivers_tell();
            let mut pair = pair(&mut random, routing, early);
            pair.lease.set_lease(Time::NEVER);
            (0..VIPS.len() as u16)
                .for_each(|vip| pair.lease.set_host(VipId(vip), HostState::On, &[]));
            for step in 0..STEPS {
                pair.change(&mut random);
                let (built, from_member, by) = draw(&mut random, &pair.model);
                pair.step(&format!("seed {seed}, step {step}"), built, from_member, by);
            }
            let mut counts = pair.counts();
            counts.insert("early".to_owned(), pair.taken_early.get());
            for begun in pair.model.begun.values() {
                *counts.entry("opened".to_owned()).or_default() += begun.opened;
                *counts.entry("refused_first".to_owned()).or_default() += begun.refused;
            }
            counts
        });
        for (name, count) in thread.join().expect("the seed is in the message above") {
            *outcomes.entry(name).or_insert(0) += count;
        }
    }
    // The world is small enough that everything happens.
    for name in [
        "early",
        "opened",
        "refused_first",
        "nat_new",
        "nat_adopted",
        "nat_request",
        "nat_reply",
        "nat_refused",
        "nat_unknown",
        "nat_clash",
        "nat_time_exceeded",
        "nat_stray",
        "nat_no_way",
        "nat_held",
        "nat_held_lost",
        "source_new",
        "source_out",
        "source_in",
        "source_unknown",
        "source_lease",
        "source_full",
        "source_asked",
        "refused",
        "steered",
        "steered_past",
        "nat_steered",
        "dropped_lease",
        "dropped_off",
        "dropped_hops",
    ] {
        let happens = name != "early" || place::drivers_tell();
        assert!(!happens || outcomes[name] > 0, "{name} never happened: {outcomes:?}");
    }
}
