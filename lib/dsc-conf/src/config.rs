//! The configuration after all checks: what every program works from. It holds no place of the file except
//! for the messages of the machine check.

use crate::checks::{Check, NodeCheck, OnRed};
use crate::link::Link;
use crate::network::{AddressRange, Network};
use crate::numbered::Numbered;
use crate::problem::{Problem, Problems};
use crate::{FLOWS, HOLD, TEXT_MAX, check, digest, print, read, stored};
use dsc_wire::local::{BackendName, CheckName, Names};
use dsc_wire::{
    BackendId, BackendState, Balance, CheckId, Cluster, FlowTimeouts, NodeId, NodePlan, NodeSet,
    Partition, Persistence, Protocol, Rejoin, Routing, ServiceId, ServiceKind, SubnetId, SubnetSet,
    Timing, VipId, VipPlan,
};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A configuration that does not contradict itself. It is the same on every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The cluster's name.
    pub name: String,
    /// Absolute path of the cluster key.
    pub key_file: PathBuf,
    /// UDP port that ringd uses on every node address; the next is fwd's.
    pub port: u16,
    /// What a part of a cut cluster does.
    pub partition: Partition,
    /// What a node may do that comes back after a crash or a cut.
    pub rejoin: Rejoin,
    /// All time-outs.
    pub timing: Timing,
    /// Which of the cluster's configurations it is: one more with each that is applied. Not part of the digest.
    pub version: u64,
    /// 1..=8.
    pub subnets: Numbered<SubnetId, Subnet>,
    /// 1..=64.
    pub nodes: Numbered<NodeId, Node>,
    /// Every address of every pool; without `[numbers]` subnet by subnet, in the order of their pools.
    pub vips: Numbered<VipId, Vip>,
    /// At most 128. No two have an end (VIP, protocol, port) in common.
    pub services: Numbered<ServiceId, Service>,
    /// Every backend of every service; without `[numbers]` service by service, in the order of their lists; at most 1024.
    pub backends: Numbered<BackendId, Backend>,
    /// Whose connections leave as from a VIP; at most 16. No two have a VIP or an address inside in common.
    pub source_nats: Vec<SourceNat>,
    /// What nodes try of themselves; at most 64.
    pub checks: Numbered<CheckId, NodeCheck>,
    /// How flows are kept and routed.
    pub flows: Flows,
    /// Whether and how VIPs move to even out the load.
    pub balance: Balance,
    pub(crate) source: Source,
}

/// A subnet that nodes and VIPs are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Its name.
    pub name: String,
    /// Its networks, of either family; no network is in two subnets.
    pub networks: Vec<Network>,
    /// Its VIPs.
    pub pool: Vec<AddressRange>,
}

/// A machine of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its address on each subnet, by [`SubnetId`] up to the bound of the subnets; at least one.
    pub addresses: Vec<Option<IpAddr>>,
    /// Votes but never hosts.
    pub witness: bool,
}

/// A virtual address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vip {
    /// The address.
    pub address: IpAddr,
    /// The subnet whose pool it is in.
    pub subnet: SubnetId,
    /// The node that should host it; it is on the subnet and no witness.
    pub preferred: Option<NodeId>,
    /// How firmly it stays; without an entry of its own 1.
    pub persistence: Persistence,
}

/// A port of some VIPs, and what becomes of the packets to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name, which no other service has.
    pub name: String,
    /// Its VIPs, each once, at least one; in `nat` services all of the backends' family.
    pub vips: Vec<VipId>,
    /// What it is spoken over.
    pub protocol: Protocol,
    /// Its port on each of its VIPs; not 0.
    pub port: u16,
    /// What becomes of its packets.
    pub kind: ServiceKind,
    /// Its backends, whatever their state: none in a `local` service, at least one in any other.
    pub backends: Vec<BackendId>,
    /// How its backends are checked; not in `local` services. Without one they are not.
    pub check: Option<Check>,
    /// What becomes of the flows of a backend that the checks find red; means nothing without a check,
    /// and nothing in `link` services.
    pub on_red: OnRed,
    /// How long the share of new flows grows of a backend that is green or enabled again, whole seconds up to an hour; zero:
    /// it has all of it at once.
    pub slow_start: Duration,
    /// How it is proxied: in `link` services, which are spoken over TCP, and in no other.
    pub link: Option<Link>,
}

/// A server behind a `nat` or `link` service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The service it serves; a server of two services is two backends.
    pub service: ServiceId,
    /// Where it listens: inside a network of its subnet, no VIP and no node's address; the port is not 0.
    pub address: SocketAddr,
    /// The subnet whose neighbour it is. Every node that may host a VIP of its service is on it.
    pub subnet: SubnetId,
    /// Its share of new flows, relative to the service's others; 1..=100.
    pub weight: u32,
    /// What it is given until an operator says otherwise.
    pub state: BackendState,
}

/// What holds for the flows of `nat` services and source NAT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flows {
    /// How many the kernel's table holds; 1024..=4194304.
    pub max: u32,
    /// By which node backends' replies leave.
    pub routing: Routing,
    /// How long a reply whose flow is not known waits for it; 1..=1000 ms.
    pub hold: Duration,
    /// How long silent ones are kept; each 5 s to a week, whole seconds.
    pub timeouts: FlowTimeouts,
}

impl Default for Flows {
    fn default() -> Flows {
        let timeouts = FlowTimeouts::DEFAULT;
        Flows { max: FLOWS, routing: Routing::default(), hold: HOLD, timeouts }
    }
}

/// Connections that start inside, and leave as from a VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceNat {
    /// Whose: networks, each inside one of its subnet, all of the VIPs' family; 1..=16. Every node that may host a VIP of
    /// these subnets or of the VIPs' is on all of them.
    pub from: Vec<(Network, SubnetId)>,
    /// As from whom; 1..=16, each once, all of one family and on one subnet, which is none of those inside.
    pub vips: Vec<VipId>,
    /// The ports of these VIPs that are used, both included; no service of them has one.
    pub ports: (u16, u16),
}

impl SourceNat {
    /// Ports of each of so many nodes: the first node has the lowest ones, and a remainder is nobody's.
    pub fn slice(&self, nodes: usize) -> u16 {
        let all = usize::from(self.ports.1) + 1 - usize::from(self.ports.0);
        (all / nodes.max(1)) as u16
    }
}

impl Node {
    /// Its address on a subnet.
    pub fn address_on(&self, subnet: SubnetId) -> Option<IpAddr> {
        self.addresses.get(subnet.index()).copied().flatten()
    }
}

impl Backend {
    /// What people call it: `10.2.0.201:8080`, `[fd00:2::201]:8080`.
    pub fn called(&self) -> String {
        self.address.to_string()
    }
}

/// Where the values came from; two configurations from different places may be equal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    pub file: String,
    pub text: Arc<str>,
    pub node_addresses: Vec<Vec<Option<Range<usize>>>>,
    pub vips: Vec<Range<usize>>,
}

impl PartialEq for Source {
    fn eq(&self, _: &Source) -> bool {
        true
    }
}

impl Eq for Source {}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// All problems at once; one without a line if the file cannot be read.
    pub fn read(path: &Path) -> Result<Config, Problems> {
        Config::parse(&Config::read_text(path)?, &path.display().to_string())
    }

    /// Reads and checks what a reader gives, which messages call `name`.
    ///
    /// # Errors
    /// All problems at once; one without a line if it cannot be read.
    pub fn read_from(reader: impl Read, name: &str) -> Result<Config, Problems> {
        Config::parse(&text_of(reader, name)?, name)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read_text(path: &Path) -> Result<String, Problems> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| unreadable(&name, &e))?;
        text_of(file, &name)
    }

    /// Checks a text; `name` stands for the file in messages.
    ///
    /// # Errors
    /// All problems at once.
    pub fn parse(text: &str, name: &str) -> Result<Config, Problems> {
        if text.len() > TEXT_MAX {
            let message = format!("{name} is longer than {TEXT_MAX} bytes");
            return Err(without_place(name, message, "expected a dsc.toml"));
        }
        let mut problems = Problems::none(name, Arc::from(text));
        match read::draft(text, &mut problems).and_then(|d| check::config(d, &mut problems)) {
            Some(mut config) if problems.is_empty() => {
                config.source.file = name.to_owned();
                config.source.text = Arc::from(text);
                Ok(config)
            }
            _ => {
                let mut problems = problems.sorted();
                stored::of_newer_build(text, &mut problems);
                Err(problems)
            }
        }
    }

    /// The text that it was read from.
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// What the ring needs of it.
    pub fn cluster(&self) -> Cluster {
        let plan = |node: &Node| NodePlan {
            subnets: (0u8..)
                .zip(&node.addresses)
                .filter_map(|(i, a)| a.map(|_| SubnetId(i)))
                .collect(),
            witness: node.witness,
        };
        let vip = |v: &Vip| VipPlan {
            subnet: v.subnet,
            preferred: v.preferred,
            persistence: v.persistence,
        };
        Cluster {
            nodes: self.nodes.slots().map(|n| n.map_or(NodePlan::HOLE, plan)).collect(),
            vips: self.vips.slots().map(|v| v.map_or(VipPlan::HOLE, vip)).collect(),
            backends: self.backends.slots().map(|b| b.map(|b| b.state)).collect(),
            partition: self.partition,
            rejoin: self.rejoin,
            timing: self.timing,
            balance: self.balance,
            digest: self.digest(),
            version: self.version,
        }
    }

    /// What people call the things that have numbers.
    pub fn names(&self) -> Names {
        let called = |c: &NodeCheck| CheckName {
            name: c.name.clone(),
            nodes: c.nodes,
            critical: c.critical,
        };
        let no_check =
            || CheckName { name: String::new(), nodes: NodeSet::EMPTY, critical: SubnetSet::EMPTY };
        let nowhere = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let name = |name: Option<&String>| name.cloned().unwrap_or_default();
        let no_backend = BackendName {
            service: ServiceId(0),
            address: SocketAddr::new(nowhere, 0),
            state: BackendState::Disabled,
        };
        let backend =
            |b: &Backend| BackendName { service: b.service, address: b.address, state: b.state };
        Names {
            cluster: self.name.clone(),
            nodes: self.nodes.slots().map(|n| name(n.map(|n| &n.name))).collect(),
            subnets: self.subnets.slots().map(|s| name(s.map(|s| &s.name))).collect(),
            vips: self.vips.slots().map(|v| v.map_or(nowhere, |v| v.address)).collect(),
            vip_subnets: (self.vips.slots())
                // A reader takes no number beyond all; the address says that there is none.
                .map(|v| v.map_or(SubnetId(0), |v| v.subnet))
                .collect(),
            services: self.services.slots().map(|s| name(s.map(|s| &s.name))).collect(),
            backends: (self.backends.slots()).map(|b| b.map_or(no_backend, backend)).collect(),
            checks: self.checks.slots().map(|c| c.map_or(no_check(), called)).collect(),
        }
    }

    /// Digest of everything that must be equal on all nodes; the key file's path and the version need not be.
    pub fn digest(&self) -> u64 {
        digest::of(self)
    }

    /// The configuration as a file that reads back as the same configuration.
    pub fn to_toml(&self) -> String {
        print::toml(self)
    }

    /// The node of this name.
    pub fn node_named(&self, name: &str) -> Option<NodeId> {
        self.nodes.find(|n| n.name == name)
    }

    /// The VIP with this address.
    pub fn vip_with_address(&self, address: IpAddr) -> Option<VipId> {
        self.vips.find(|v| v.address == address)
    }

    /// The service of this name.
    pub fn service_named(&self, name: &str) -> Option<ServiceId> {
        self.services.find(|s| s.name == name)
    }

    /// What tells a backend from all others: `web 10.2.0.201:8080`.
    pub fn backend_called(&self, backend: &Backend) -> String {
        format!("{} {}", self.services[backend.service].name, backend.address)
    }

    /// Every end that a service has: protocol, VIP and port, each once; at most 128 * 1024, in the order of services.
    pub fn ends(&self) -> impl Iterator<Item = (Protocol, SocketAddr, ServiceId)> {
        self.services.iter().flat_map(move |(id, service)| {
            service.vips.iter().map(move |vip| {
                let address = self.vips[*vip].address;
                (service.protocol, SocketAddr::new(address, service.port), id)
            })
        })
    }

    /// The backends of a service, whatever their state.
    pub fn backends_of(&self, service: ServiceId) -> impl Iterator<Item = (BackendId, &Backend)> {
        let own = self.services.get(service).map_or(&[][..], |s| &s.backends);
        own.iter().map(|id| (*id, &self.backends[*id]))
    }

    /// The node that is named, or else the one that a machine with these addresses is.
    ///
    /// # Errors
    /// There is no node of that name; or the addresses belong to none, or to more than one.
    pub fn find_node(&self, name: Option<&str>, own: &[IpAddr]) -> Result<NodeId, NodeUnknown> {
        if let Some(name) = name {
            return self.node_named(name).ok_or_else(|| NodeUnknown::NoSuch(name.to_owned()));
        }
        let is_own = |node: &&Node| node.addresses.iter().flatten().any(|a| own.contains(a));
        let found: Vec<&Node> = self.nodes.values().filter(is_own).collect();
        match found.as_slice() {
            [node] => self.node_named(&node.name).ok_or(NodeUnknown::None),
            [] => Err(NodeUnknown::None),
            several => Err(NodeUnknown::Several(several.iter().map(|n| n.name.clone()).collect())),
        }
    }
}

fn text_of(reader: impl Read, name: &str) -> Result<String, Problems> {
    let mut bytes = Vec::new();
    let mut reader = reader.take(TEXT_MAX as u64 + 1);
    reader.read_to_end(&mut bytes).map_err(|e| unreadable(name, &e))?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let message = format!("{name} is not UTF-8 from byte {at} on");
        without_place(name, message, "expected a text file")
    })
}

fn unreadable(name: &str, error: &io::Error) -> Problems {
    let message = format!("cannot read {name}: {error}");
    without_place(name, message, "expected a readable dsc.toml; see dsc.toml(5)")
}

fn without_place(name: &str, message: String, expected: &str) -> Problems {
    let mut problems = Problems::none(name, Arc::from(""));
    problems.add(Problem::without_place(message, expected));
    problems
}

/// Why a machine is not known to be a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeUnknown {
    /// The configuration has no node of the name that was given.
    NoSuch(String),
    /// It has no address of any node.
    None,
    /// It has addresses of several nodes: their names.
    Several(Vec<String>),
}

impl fmt::Display for NodeUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeUnknown::NoSuch(name) => write!(f, "the configuration names no node {name}"),
            NodeUnknown::None => f.write_str(
                "this machine has no address of any node: are its interfaces up? else name the node with --node NAME",
            ),
            NodeUnknown::Several(names) => write!(
                f,
                "this machine has addresses of several nodes ({}): say which it is with --node NAME",
                names.join(", ")
            ),
        }
    }
}

impl std::error::Error for NodeUnknown {}
