//! The machine that the packet tests run on: the programs loaded in namespaces of their own, with everything that the rows
//! take for granted.

use crate::frames;
use crate::place;
use crate::rows::{self, Row, Way};
use crate::run::{Outcome, run};
use dsc_bpf::{
    Backend, Claims, Datapath, FlowTable, Held, Hook, LeaseMap, MAGLEV_EMPTY, MAGLEV_SIZE, News,
    Nic, Opened, Put, Seen, Service, Source, Walk, Zone,
};
use dsc_wire::{
    BackendState, Flow, FlowState, NodeId, Protocol, Routing, ServiceKind, SubnetId, Time, VipId,
};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

const VIPS: [(u16, &str, u8); 4] =
    [(0, "10.1.0.100", 0), (1, "fd00:1::100", 0), (2, "10.2.0.100", 1), (3, "fd00:2::100", 1)];

/// Room for so many flows.
pub const FLOWS: u32 = 64;

/// The clock of the kernel programs.
pub fn now() -> Time {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `at` is exclusively ours; with a valid clock and pointer the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut at) };
    Time(at.tv_sec as u64 * 1_000_000_000 + at.tv_nsec as u64)
}

/// Node 1 with an interface on subnet 0, the programs loaded, the VIPs on loopback, and one connection from
/// `CLIENT` to each VIP that ends here.
pub struct Node {
    pub datapath: Datapath,
    pub claims: Claims,
    pub flows: FlowTable,
    pub news: News,
    pub held: Held,
    pub lease: LeaseMap,
    pub nic: u32,
    /// The one inside.
    pub inside: u32,
    pub ports: rows::Ports,
    _sockets: Vec<(TcpListener, TcpStream, TcpStream)>,
    _listeners: [TcpListener; 3],
}

pub fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("cannot run ip");
    assert!(status.success(), "ip {arguments}");
}

fn dial(server: SocketAddr, client: IpAddr) -> TcpStream {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((client, 0)).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    socket.into()
}

fn connect(server: SocketAddr, client: IpAddr) -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind(server).unwrap();
    let mut near = dial(server, client);
    let (mut far, _) = listener.accept().unwrap();
    near.write_all(b"x").unwrap();
    far.read_exact(&mut [0]).unwrap();
    (listener, near, far)
}

/// A connection that the server closed first; the client's port.
fn close(listener: &TcpListener) -> u16 {
    let mut near = dial(listener.local_addr().unwrap(), "10.1.0.250".parse().unwrap());
    let (far, client) = listener.accept().unwrap();
    drop(far);
    // The end of the stream: the server's FIN is here, and ours lets its socket wait for late segments.
    assert_eq!(near.read(&mut [0]).unwrap(), 0);
    drop(near);
    client.port()
}

fn index_of(nic: &str) -> u32 {
    let text = std::fs::read_to_string(format!("/sys/class/net/{nic}/ifindex")).unwrap();
    text.trim().parse().unwrap()
}

/// The services of `rows::nat`, one backend each.
fn serve(datapath: &mut Datapath, flows: &mut FlowTable) {
    use rows::nat::{CLOSED, MAPPED, NOWHERE, TALK, WEB, backend};
    let (mut services, mut backends) = (Vec::new(), Vec::new());
    for version in [4, 6] {
        let outside = VipId(u16::from(version == 6));
        for (port, protocol) in [
            (WEB, Protocol::Tcp),
            (CLOSED, Protocol::Tcp),
            (NOWHERE, Protocol::Tcp),
            (MAPPED, Protocol::Tcp),
            (MAPPED, Protocol::Udp),
            (TALK, Protocol::Udp),
        ] {
            let number = if port == CLOSED { MAGLEV_EMPTY } else { backends.len() as u16 };
            services.push(Service {
                vips: vec![outside, VipId(outside.0 + 2)],
                protocol,
                port,
                kind: ServiceKind::Nat,
                slots: vec![number; MAGLEV_SIZE],
            });
            backends.push(Backend {
                address: backend(version, port),
                protocol,
                subnet: SubnetId(if port == NOWHERE { 2 } else { 1 }),
                state: if port == CLOSED { BackendState::Disabled } else { BackendState::Enabled },
            });
        }
    }
    datapath.set_services(&services, &backends).unwrap();
    let (sources, zones) = sources(false);
    datapath.set_sources(&sources, &zones).unwrap();
    let vips = VIPS.map(|(id, ip, subnet)| (VipId(id), ip.parse().unwrap(), SubnetId(subnet)));
    flows.know(&vips, &backends, &zones).unwrap();
}

/// Of `rows::source`, one for each family.
pub fn sources(waits: bool) -> (Vec<Source>, Vec<Zone>) {
    use rows::source::{FIRST, NODES, SLICE};
    let source = |vip: u16| Source {
        vips: vec![(VipId(vip), VIPS[usize::from(vip)].1.parse().unwrap())],
        subnet: SubnetId(0),
        first: FIRST,
        slice: SLICE,
        nodes: NODES,
        waits,
    };
    let zone = |address: &str, prefix, subnet, source| Zone {
        address: address.parse().unwrap(),
        prefix,
        subnet: SubnetId(subnet),
        source,
        node: prefix == 32 || prefix == 128,
    };
    let zones = vec![
        zone("10.1.0.0", 24, 0, None),
        zone("10.2.0.0", 24, 1, None),
        zone("10.2.0.64", 26, 1, Some(0)),
        zone("10.2.0.65", 32, 1, None),
        zone("10.1.0.2", 32, 0, None),
        zone("10.3.0.0", 24, 2, None),
        zone("fd00:1::", 64, 0, None),
        zone("fd00:2::", 64, 1, None),
        zone("fd00:2::ff00:0", 112, 1, Some(1)),
        zone("fd00:2::ff00:41", 128, 1, None),
        zone("fd00:1::2", 128, 0, None),
        zone("fd00:3::", 64, 2, None),
    ];
    (vec![source(0), source(1)], zones)
}

pub fn node() -> Node {
    node_with(Routing::Direct)
}

pub fn node_with(routing: Routing) -> Node {
    place::enter();
    ip("link set lo up");
    ip("link add d0 address 02:00:00:00:00:01 type veth peer name d1");
    // Those inside are a backend and this node, for a connection between them.
    for address in [
        "10.1.0.100/32",
        "10.1.0.250/32",
        "fd00:1::100/128",
        "fd00:1::250/128",
        "10.2.0.201/32",
        "10.2.0.2/32",
        "fd00:2::201/128",
        "fd00:2::2/128",
    ] {
        ip(&format!(
            "addr add {address} dev lo{}",
            if address.contains(':') { " nodad" } else { "" }
        ));
    }
    ip("link add e0 address 02:00:00:00:00:01 type veth peer name e1");
    ip(&format!("link set d0 mtu {}", rows::mtu::OUTSIDE));
    ip(&format!("link set e0 mtu {}", rows::mtu::INSIDE));
    let index = index_of("d0");
    let dir = Path::new(place::BPF_DIR);
    let lease = LeaseMap::open(dir).unwrap();
    let Opened { mut datapath, claims, flows, news, held, .. } =
        Datapath::open(dir, NodeId(1), Hook::best().unwrap(), FLOWS, routing)
            .unwrap_or_else(|e| panic!("{e}: {e:#?}"));
    datapath
        .set_vips(&VIPS.map(|(id, ip, subnet)| (VipId(id), ip.parse().unwrap(), SubnetId(subnet))))
        .unwrap();
    datapath
        .set_macs(&[
            (NodeId(0), SubnetId(0), rows::NODE0),
            (NodeId(1), SubnetId(0), rows::ME),
            (NodeId(2), SubnetId(0), rows::NODE2),
        ])
        .unwrap();
    let outside = Nic {
        index,
        name: "d0".into(),
        subnet: SubnetId(0),
        mac: rows::ME,
        router: true,
        address4: Some(frames::v4("10.1.0.2")),
        address6: Some(frames::v6("fe80::2")),
    };
    let (name, subnet) = ("e0".into(), SubnetId(1));
    let inside_index = index_of("e0");
    let inside = Nic { index: inside_index, name, subnet, ..outside.clone() };
    datapath.set_nics(&[outside, inside]).unwrap();
    let mut flows = flows;
    serve(&mut datapath, &mut flows);
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    let everywhere = IpAddr::from([0; 16]);
    let listeners = [rows::nat::own(4), rows::nat::own(6), everywhere];
    let listeners = listeners.map(|address| TcpListener::bind((address, 0)).unwrap());
    let sockets = vec![
        connect((ip("10.1.0.100"), 80).into(), ip("10.1.0.250")),
        connect((ip("fd00:1::100"), 80).into(), ip("fd00:1::250")),
        connect(rows::nat::backend(4, rows::nat::WEB), rows::nat::own(4)),
        connect(rows::nat::backend(6, rows::nat::WEB), rows::nat::own(6)),
    ];
    let port = |i: usize| -> u16 { sockets[i].1.local_addr().unwrap().port() };
    let ports = rows::Ports {
        four: port(0),
        six: port(1),
        closed: close(&sockets[0].0),
        probes: [port(2), port(3)],
        listening: [0, 1].map(|i| listeners[i].local_addr().unwrap().port()),
        everywhere: listeners[2].local_addr().unwrap().port(),
    };
    Node {
        datapath,
        claims,
        flows,
        news,
        held,
        lease,
        nic: index,
        inside: inside_index,
        ports,
        _sockets: sockets,
        _listeners: listeners,
    }
}

impl Node {
    pub fn prepare(&mut self, row: &Row) {
        for old in self.all_flows() {
            self.flows.remove(&old.flow).unwrap();
        }
        for flow in &row.flows {
            assert_eq!(self.put(flow, Time(1)), Put::New, "{}", row.name);
        }
        self.lease.set_lease(if row.lease { Time::NEVER } else { Time(1) });
        let past: Vec<NodeId> = row.past.iter().map(|n| NodeId(*n)).collect();
        for vip in 0..4 {
            self.lease.set_host(VipId(vip), row.host, &past);
        }
        for frame in &row.before {
            self.run_row(row, frame);
        }
    }

    /// Puts one flow in.
    pub fn put(&mut self, flow: &Flow, now: Time) -> Put {
        let mut became = Vec::new();
        self.flows.put(std::slice::from_ref(flow), now, &mut became).unwrap();
        assert_eq!(became.len(), 1);
        became[0]
    }

    pub fn all_flows(&self) -> Vec<Seen> {
        let (mut walk, mut found) = (Walk::default(), Vec::new());
        while self.flows.walk(&mut walk, Time(1), 256, &mut found).unwrap() {}
        found
    }

    /// The same for a question: how many there are, and those of this state by the request's entry alone.
    pub fn asked(&self, state: FlowState) -> (usize, Vec<Seen>) {
        let (mut walk, mut all, mut found) = (Walk::default(), 0, Vec::new());
        let mut met = |flow: &Flow| {
            all += 1;
            flow.state == state
        };
        while self.flows.ask(&mut walk, 256, &mut met, &mut found).unwrap() {}
        (all, found)
    }

    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.datapath.verdicts().unwrap().into_iter().map(|c| (c.name, c.count)).collect()
    }

    pub fn run(&self, way: Way, frame: &[u8]) -> Outcome {
        self.try_run(way, frame).expect("the kernel refuses the frame")
    }

    pub fn try_run(&self, way: Way, frame: &[u8]) -> Option<Outcome> {
        run(self.datapath.program_for(way == Way::In), self.nic, frame, 0, 1)
    }

    /// The same by the interface of the row.
    pub fn run_row(&self, row: &Row, frame: &[u8]) -> Outcome {
        self.try_run_row(row, frame).expect("the kernel refuses the frame")
    }

    pub fn try_run_row(&self, row: &Row, frame: &[u8]) -> Option<Outcome> {
        let nic = if row.inside { self.inside } else { self.nic };
        run(self.datapath.program_for(row.way == Way::In), nic, frame, 0, 1)
    }

    /// The verdicts that were counted during `f`.
    pub fn counted<T>(&self, f: impl FnOnce() -> T) -> (T, Vec<(String, u64)>) {
        let before = self.counts();
        let result = f();
        let grown = |(name, count): (String, u64)| {
            let grown = count - before[&name];
            (grown > 0).then_some((name, grown))
        };
        (result, self.counts().into_iter().filter_map(grown).collect())
    }
}
