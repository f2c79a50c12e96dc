//! The load balancer between two machines that speak for themselves: path MTU discovery, fragments, ICMP errors and used up hops
//! work for real sockets. Client, node and backend are network namespaces; what they say passes the programs on the node's two interfaces.

use crate::place;
use dsc_bpf::{Backend, Datapath, Hook, LeaseMap, MAGLEV_SIZE, Nic, Service, Source, Zone};
use dsc_wire::local::HostState;
use dsc_wire::{BackendState, NodeId, Protocol, Routing, ServiceKind, SubnetId, Time, VipId};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

const PORT: u16 = 8080;
/// Nobody listens there.
const SILENT: u16 = 8081;
const BACKEND_PORT: u16 = 80;
const LONG: usize = 1 << 20;
/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(20);
const VIPS: [(&str, u8); 4] =
    [("10.1.0.100", 0), ("fd00:1::100", 0), ("10.2.0.100", 1), ("fd00:2::100", 1)];
const BACKENDS: [&str; 2] = ["10.2.0.201", "fd00:2::201"];
const CLIENTS: [&str; 2] = ["10.1.0.250", "fd00:1::250"];

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("cannot run ip");
    assert!(status.success(), "ip {arguments}");
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ethtool(arguments: &[&str]) -> String {
    let out = Command::new("ethtool").args(arguments).output().expect("cannot run ethtool");
    assert!(out.status.success(), "ethtool {arguments:?}");
    String::from_utf8(out.stdout).unwrap()
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own. It does one job after another.
struct Machine {
    jobs: Sender<Job>,
    thread: i32,
}

impl Machine {
    fn new() -> Machine {
        let (jobs, todo) = channel::<Job>();
        let (tell, told) = channel();
        thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            tell.send(nix::unistd::gettid().as_raw()).unwrap();
            todo.into_iter().for_each(|job| job());
        });
        Machine { jobs, thread: told.recv().unwrap() }
    }

    fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        self.jobs.send(Box::new(move || drop(done.send(job())))).unwrap();
        result.recv().expect("the job failed")
    }
}

/// An interface of the node, its other end in `machine`.
fn wire(name: &str, mtu: u16, subnet: u8, number: u8, machine: &Machine) {
    let thread = machine.thread;
    ip(&format!("link add {name} mtu {mtu} type veth peer name wire mtu 1500 netns {thread}"));
    let subnet = subnet + 1;
    ip(&format!("addr add 10.{subnet}.0.2/24 dev {name}"));
    ip(&format!("addr add fd00:{subnet}::2/64 dev {name} nodad"));
    ip(&format!("link set {name} up"));
    machine.run(move || {
        ip("link set lo up");
        ip(&format!("addr add 10.{subnet}.0.{number}/24 dev wire"));
        ip(&format!("addr add fd00:{subnet}::{number}/64 dev wire nodad"));
        ip("link set wire up");
    });
}

fn nic(name: &str, subnet: u8) -> Nic {
    let read = |file: &str| std::fs::read_to_string(format!("/sys/class/net/{name}/{file}"));
    let mut mac = [0; 6];
    for (byte, text) in mac.iter_mut().zip(read("address").unwrap().trim().split(':')) {
        *byte = u8::from_str_radix(text, 16).unwrap();
    }
    Nic {
        index: read("ifindex").unwrap().trim().parse().unwrap(),
        name: name.into(),
        subnet: SubnetId(subnet),
        mac,
        router: true,
        address4: Some(format!("10.{}.0.2", subnet + 1).parse().unwrap()),
        address6: Some(format!("fd00:{}::2", subnet + 1).parse().unwrap()),
    }
}

/// Loads and attaches the programs, in the drivers too if `early`; every VIP is served by this node.
fn serve(early: bool) -> (Datapath, LeaseMap) {
    let dir = Path::new(place::BPF_DIR);
    let lease = LeaseMap::open(dir).unwrap();
    let mut datapath = Datapath::open(dir, NodeId(0), Hook::best().unwrap(), 64, Routing::Direct)
        .unwrap()
        .datapath;
    let vips: Vec<_> = (0..).zip(VIPS).collect();
    let vips: Vec<_> =
        vips.iter().map(|(i, (ip, subnet))| (VipId(*i), address(ip), SubnetId(*subnet))).collect();
    datapath.set_vips(&vips).unwrap();
    let (mut services, mut backends) = (Vec::new(), Vec::new());
    for (vip, backend) in (0..).zip(BACKENDS) {
        for (port, protocol) in
            [(PORT, Protocol::Tcp), (PORT, Protocol::Udp), (SILENT, Protocol::Udp)]
        {
            services.push(Service {
                vips: vec![VipId(vip)],
                protocol,
                port,
                kind: ServiceKind::Nat,
                slots: vec![backends.len() as u16; MAGLEV_SIZE],
            });
            let at = if port == PORT { BACKEND_PORT } else { port };
            backends.push(Backend {
                address: SocketAddr::new(address(backend), at),
                protocol,
                subnet: SubnetId(1),
                state: BackendState::Enabled,
            });
        }
    }
    datapath.set_services(&services, &backends).unwrap();
    translate(&mut datapath, &vips);
    let nics = [nic("outside", 0), nic("inside", 1)];
    datapath.set_macs(&nics.clone().map(|nic| (NodeId(0), nic.subnet, nic.mac))).unwrap();
    datapath.want_early(early);
    datapath.set_nics(&nics).unwrap();
    assert!(datapath.slow().is_empty(), "{:?}", datapath.slow());
    assert!(datapath.faults().is_empty(), "{:?}", datapath.faults());
    lease.set_lease(Time::NEVER);
    (0..4).for_each(|vip| lease.set_host(VipId(vip), HostState::On, &[]));
    (datapath, lease)
}

/// Connections from inside leave as from the outer VIP of their family.
fn translate(datapath: &mut Datapath, vips: &[(VipId, IpAddr, SubnetId)]) {
    let source = |(vip, ip, subnet): &(VipId, IpAddr, SubnetId)| Source {
        vips: vec![(*vip, *ip)],
        subnet: *subnet,
        first: 40_000,
        slice: 1000,
        nodes: 1,
        waits: false,
    };
    let sources: Vec<Source> = vips[..2].iter().map(source).collect();
    let zones = [("10.2.0.0", 24, 0), ("fd00:2::", 64, 1)].map(|(ip, prefix, number)| Zone {
        address: address(ip),
        prefix,
        subnet: SubnetId(1),
        source: Some(number),
        node: false,
    });
    datapath.set_sources(&sources, &zones).unwrap();
}

/// Takes what is sent and says how much it was, or sends as much as it is asked to.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut asked = [0; 8];
    stream.read_exact(&mut asked)?;
    match usize::from_be_bytes(asked) {
        0 => {
            let count = std::io::copy(&mut stream, &mut std::io::sink())?;
            stream.write_all(&count.to_be_bytes())
        }
        count => stream.write_all(&vec![7; count]),
    }
}

fn backend() -> Machine {
    let machine = Machine::new();
    wire("inside", 1500, 1, 201, &machine);
    machine.run(|| {
        ip("route add default via 10.2.0.100");
        ip("-6 route add default via fd00:2::100");
        listen(BACKENDS, BACKEND_PORT);
    });
    machine
}

/// Serves on the machine of this thread.
fn listen(addresses: [&'static str; 2], port: u16) {
    for ip in addresses {
        let listener = TcpListener::bind((address(ip), port)).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(stream));
            }
        });
        let socket = UdpSocket::bind((address(ip), port)).unwrap();
        thread::spawn(move || {
            let mut datagram = [0; 65536];
            while let Ok((bytes, from)) = socket.recv_from(&mut datagram) {
                drop(socket.send_to(&datagram[..bytes], from));
            }
        });
    }
}

fn dial(vip: &'static str) -> TcpStream {
    let stream =
        TcpStream::connect_timeout(&SocketAddr::new(address(vip), PORT), PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn upload(vip: &'static str) -> u64 {
    let mut stream = dial(vip);
    stream.write_all(&[0; 8]).unwrap();
    stream.write_all(&vec![9; LONG]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut count = [0; 8];
    stream.read_exact(&mut count).unwrap();
    u64::from_be_bytes(count)
}

fn download(vip: &'static str) -> u64 {
    let mut stream = dial(vip);
    stream.write_all(&LONG.to_be_bytes()).unwrap();
    std::io::copy(&mut stream, &mut std::io::sink()).unwrap()
}

fn talk(vip: &str, port: u16) -> UdpSocket {
    let vip = address(vip);
    let any = if vip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect((vip, port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

/// Says `bytes` until they come back; the first times teach both ends the MTU.
fn echo(vip: &str, bytes: usize) -> bool {
    let socket = talk(vip, PORT);
    let datagram: Vec<u8> = (0..bytes).map(|i| i as u8).collect();
    let mut back = vec![0; bytes + 1];
    (0..100).any(|_| {
        // Too long for the MTU that was learnt last is an error of `send`, once.
        drop(socket.send(&datagram));
        socket.recv(&mut back).is_ok_and(|n| back[..n] == datagram)
    })
}

fn refused(vip: &str) -> bool {
    let socket = talk(vip, SILENT);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send(b"anybody?").unwrap();
    socket.recv(&mut [0; 16]).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
}

/// Is who sends with a single hop told that it was used up?
fn exceeded(vip: &str) -> bool {
    let socket = talk(vip, PORT);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (level, hops, errors) = if address(vip).is_ipv4() {
        (libc::IPPROTO_IP, libc::IP_TTL, libc::IP_RECVERR)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, libc::IPV6_RECVERR)
    };
    for option in [hops, errors] {
        let one = 1i32;
        // SAFETY: the value lives during the call and its size is given.
        let result = unsafe {
            libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const one).cast(), 4)
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }
    socket.send(b"how far?").unwrap();
    socket.recv(&mut [0; 16]).is_err_and(|e| e.raw_os_error() == Some(libc::EHOSTUNREACH))
}

#[test]
fn packets_that_do_not_fit_are_sent_again_smaller() {
    place::enter();
    let client = Machine::new();
    wire("outside", 1500, 0, 250, &client);
    let backend = backend();
    let (datapath, _lease) = serve(false);
    let count = |name: &str| {
        let counts = datapath.verdicts().unwrap();
        counts.into_iter().find(|c| c.name == name).map_or(0, |c| c.count)
    };
    let far = [VIPS[0].0, VIPS[1].0];
    adapt(["inside", "outside"], [&client, &backend], far, &count);
    assert_eq!(count("nat_fragment_lost"), 0);
    assert_eq!(count("nat_error_reply"), 2);
}

/// The other way round: a machine inside begins, and the client answers, which has no route to it.
#[test]
fn connections_from_inside_find_the_mtu_as_well() {
    place::enter();
    let client = Machine::new();
    wire("outside", 1500, 0, 250, &client);
    client.run(|| listen(CLIENTS, PORT));
    let backend = backend();
    let (datapath, _lease) = serve(false);
    let count = |name: &str| {
        let counts = datapath.verdicts().unwrap();
        counts.into_iter().find(|c| c.name == name).map_or(0, |c| c.count)
    };
    adapt(["outside", "inside"], [&backend, &client], CLIENTS, &count);
    assert_eq!((count("nat_fragment_lost"), count("nat_new")), (0, 0));
    assert_eq!(count("nat_error_request"), 2);
    assert!(count("source_new") > 8 && count("source_in") > 1000 && count("source_out") > 1000);
}

/// The first machine's packets to `far`, and what comes back, through the node's interfaces on the way: both ways meet a
/// lesser MTU than their sender's, with long frames and short ones, datagrams in pieces, and a port where nobody listens.
fn adapt(
    way: [&str; 2],
    machines: [&Machine; 2],
    far: [&'static str; 2],
    count: &dyn Fn(&str) -> u64,
) {
    let [there, back] = way;
    for segments in ["65535", "1"] {
        // One segment in a frame, or as many as the sender likes.
        let limit = format!("link set wire gso_max_segs {segments}");
        for machine in machines {
            let limit = limit.clone();
            machine.run(move || ip(&limit));
        }
        for vip in far {
            let forget = || {
                for machine in machines {
                    machine.run(|| {
                        ip("route flush cache");
                        ip("-6 route flush cache");
                    });
                }
            };
            forget();
            let before = count("nat_too_big");
            ip(&format!("link set {there} mtu 1400"));
            assert_eq!(machines[0].run(|| upload(vip)), LONG as u64, "{vip} up, {segments}");
            ip(&format!("link set {there} mtu 1500"));
            let between = count("nat_too_big");
            assert!(between > before, "{vip} up, {segments}: nothing was too big");
            // Or the client would only ask for what it can send itself.
            forget();
            ip(&format!("link set {back} mtu 1400"));
            assert_eq!(machines[0].run(|| download(vip)), LONG as u64, "{vip} down, {segments}");
            ip(&format!("link set {back} mtu 1500"));
            assert!(count("nat_too_big") > between, "{vip} down, {segments}: nothing was too big");
        }
    }
    for vip in far {
        assert!(machines[0].run(|| echo(vip, 1440)), "{vip}: datagram");
        assert!(machines[0].run(|| echo(vip, 9000)), "{vip}: fragments");
        assert!(machines[0].run(|| refused(vip)), "{vip}: no error came");
        assert!(machines[0].run(|| exceeded(vip)), "{vip}: the last hop is not told of");
    }
    assert_eq!(count("nat_time_exceeded"), 2);
}

/// Senders leave the sum of a segment to their interface, which a veth never does: it is the node's interfaces here that have to
/// do it, after the programs have rewritten what it is of. The machines behind them look.
#[test]
fn sums_that_were_left_open_are_right_in_the_end() {
    place::enter();
    let client = Machine::new();
    wire("outside", 1500, 0, 250, &client);
    let _backend = backend();
    let _served = serve(false);
    for nic in ["outside", "inside"] {
        ethtool(&["-K", nic, "tx", "off"]);
    }
    for (vip, _) in &VIPS[..2] {
        assert_eq!(client.run(|| upload(vip)), LONG as u64, "{vip} up");
        assert_eq!(client.run(|| download(vip)), LONG as u64, "{vip} down");
        assert!(client.run(|| echo(vip, 1000)), "{vip}: datagram");
    }
}

/// The same machines with programs in the drivers of the node. A veth hands over what another machine's stack has made, so that
/// its senders have to fill in their sums, and its receivers to take what a driver sends.
#[test]
fn packets_of_known_flows_are_taken_in_the_driver() {
    if !place::drivers_tell() {
        return;
    }
    place::enter();
    let client = Machine::new();
    wire("outside", 1500, 0, 250, &client);
    let backend = backend();
    for machine in [&client, &backend] {
        machine.run(|| drop(ethtool(&["-K", "wire", "tx", "off", "gro", "on"])));
    }
    for family in ["ipv4", "ipv6"] {
        std::fs::write(format!("/proc/sys/net/{family}/conf/all/forwarding"), "1").unwrap();
    }
    let (datapath, _lease) = serve(true);
    let taken = |nic: &str| -> u64 {
        let counts = ethtool(&["-S", nic]);
        let of_queues = counts.lines().filter(|line| line.contains("xdp_redirect:"));
        of_queues.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    for (vip, _) in &VIPS[..2] {
        assert_eq!(client.run(|| upload(vip)), LONG as u64, "{vip} up");
        assert_eq!(client.run(|| download(vip)), LONG as u64, "{vip} down");
        assert!(client.run(|| echo(vip, 1000)), "{vip}: datagram");
        assert!(client.run(|| echo(vip, 9000)), "{vip}: fragments");
        assert!(client.run(|| refused(vip)), "{vip}: no error came");
        assert!(client.run(|| exceeded(vip)), "{vip}: the last hop is not told of");
    }
    let counts = datapath.verdicts().unwrap();
    let count = |name: &str| counts.iter().find(|c| c.name == name).unwrap().count;
    let least = 4 * LONG as u64 / 1500;
    assert!(
        taken("outside") > least / 4 && taken("inside") > least / 4,
        "{}",
        ethtool(&["-S", "outside"])
    );
    assert!(count("nat_request") >= taken("outside") && count("nat_reply") >= taken("inside"));
}
