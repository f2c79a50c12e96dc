//! What fwd is asked, and what it answers: the counters of this node's data path, its services and its flows. Each
//! question has an answer of its own type.

use super::{Counter, HostState, Names};
use crate::flow::{BackendId, BackendState, Flow, Protocol, ServiceId, ServiceKind};
use crate::health::Verdict;
use crate::ids::{NodeId, VipId};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Most flows in one answer, whatever was asked for.
pub const FLOWS_LISTED_MAX: u32 = 10_000;

/// A question to fwd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum FwdRequest {
    /// All counters of this node's data path: [`FwdCounters`].
    Counters,
    /// The services, their backends and what they have: [`FwdServices`].
    Services,
    /// Flows of this node's table: [`FwdFlows`].
    Flows {
        /// Which.
        #[serde(default)]
        filter: FlowFilter,
        /// No more than so many, and no more than [`FLOWS_LISTED_MAX`]; 0: only how many there are.
        limit: u32,
    },
}

/// Which flows: those for which everything that is given is true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowFilter {
    /// Of this service.
    pub service: Option<ServiceId>,
    /// Whose end outside has this address, whatever its port.
    pub client: Option<IpAddr>,
    /// Whose end inside this is.
    pub backend: Option<SocketAddr>,
}

/// fwd's answer to [`FwdRequest::Counters`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwdCounters {
    /// One per VIP, frames and bytes that this node took for it.
    pub vips: Vec<VipCounters>,
    /// Frames per verdict of the kernel program.
    pub verdicts: Vec<Counter>,
    /// Programs attached, one line each: interface, hook, direction.
    pub links: Vec<String>,
    /// How flows are shared; none without nat services and source NAT.
    #[serde(default)]
    pub sharing: Option<FwdSharing>,
}

/// How this node's flows come to the others, and theirs here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwdSharing {
    /// This node knows all flows that there are to know.
    pub ready: bool,
    /// Flows and their changes that this node has told since fwd started.
    pub told: u64,
    /// Those that it can still repeat.
    pub backlog: u64,
    /// Gaps that were found in what the others told, since fwd started.
    pub gaps: u64,
    /// How late new flows of the others come here; none if none came lately.
    #[serde(default)]
    pub lag: Option<FwdLag>,
    /// The others that it hears, in the order of the configuration.
    pub peers: Vec<FwdPeer>,
    /// What people call the keys in force, that which seals first.
    #[serde(default)]
    pub keys: Vec<String>,
}

/// From the moment that another node's kernel made a flow to the moment that it was in the table here, but for the time on
/// the wire; flows of the last one to two minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwdLag {
    /// How many.
    pub flows: u64,
    /// Half of them took no longer, microseconds.
    pub p50_us: u32,
    /// Of hundred, 99 took no longer.
    pub p99_us: u32,
    /// The longest.
    pub max_us: u32,
}

/// What another node tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwdPeer {
    /// The node.
    pub node: NodeId,
    /// It says that it knows all flows.
    pub ready: bool,
    /// Flows and changes that it has told, as far as this node knows.
    pub told: u64,
    /// Those of them that are not here yet.
    pub missing: u64,
}

/// Counts of one VIP on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipCounters {
    /// The address.
    pub vip: IpAddr,
    /// Its state in this node's kernel.
    pub state: HostState,
    /// Frames delivered here.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames steered to another node.
    pub steered: u64,
}

/// fwd's answer to [`FwdRequest::Services`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FwdServices {
    /// What people call the things that have numbers, here and in [`FwdFlow`].
    pub names: Names,
    /// By [`ServiceId`].
    pub services: Vec<FwdService>,
    /// By [`BackendId`].
    pub backends: Vec<FwdBackend>,
}

impl FwdServices {
    /// The services that are not gone.
    pub fn there(&self) -> impl Iterator<Item = &FwdService> {
        self.services.iter().filter(|service| !service.name.is_empty())
    }

    /// The backends that are not gone.
    pub fn backends_there(&self) -> impl Iterator<Item = &FwdBackend> {
        self.backends.iter().filter(|backend| backend.address.port() != 0)
    }
}

/// One service on this node; without a name, its number's service is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwdService {
    /// Its name.
    pub name: String,
    /// Its VIPs.
    pub vips: Vec<VipId>,
    /// What it is spoken over.
    pub protocol: Protocol,
    /// Its port on each of its VIPs.
    pub port: u16,
    /// What becomes of its packets.
    pub kind: ServiceKind,
    /// Its backends, whatever their state.
    pub backends: Vec<BackendId>,
    /// Its flows in this node's table now.
    pub flows: u64,
    /// Packets of clients and backends that this node forwarded for it.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Default for FwdService {
    fn default() -> FwdService {
        FwdService {
            name: String::new(),
            vips: Vec::new(),
            protocol: Protocol::Tcp,
            port: 0,
            kind: ServiceKind::Local,
            backends: Vec::new(),
            flows: 0,
            packets: 0,
            bytes: 0,
        }
    }
}

/// One backend on this node; with port 0, its number's backend is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwdBackend {
    /// The service it serves.
    pub service: ServiceId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of new flows, relative to the service's others.
    pub weight: u32,
    /// What it is given now.
    pub state: BackendState,
    /// Does its service have a check?
    #[serde(default)]
    pub checked: bool,
    /// Is it in this node's tables, so that it gets new flows?
    #[serde(default)]
    pub balanced: bool,
    /// The nodes whose checks find it in order.
    #[serde(default)]
    pub green: Vec<NodeId>,
    /// The nodes whose checks do not, and what they find.
    #[serde(default)]
    pub red: Vec<(NodeId, Verdict)>,
    /// While it starts slowly, so many of [`SHARES`](crate::health::SHARES) parts of its weight count.
    #[serde(default)]
    pub share: Option<u8>,
    /// Its flows in this node's table now.
    pub flows: u64,
    /// Packets to it and from it that this node forwarded.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Default for FwdBackend {
    fn default() -> FwdBackend {
        FwdBackend {
            service: ServiceId(0),
            address: SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
            weight: 0,
            state: BackendState::Disabled,
            checked: false,
            balanced: false,
            green: Vec::new(),
            red: Vec::new(),
            share: None,
            flows: 0,
            packets: 0,
            bytes: 0,
        }
    }
}

/// fwd's answer to [`FwdRequest::Flows`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FwdFlows {
    /// Flows that match, no more than were asked for, in no order.
    pub flows: Vec<FwdFlow>,
    /// How many match.
    pub matched: u32,
    /// The whole table.
    pub totals: FlowTotals,
}

/// One flow in this node's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwdFlow {
    /// Its ends, its backend and how far it has come.
    pub flow: Flow,
    /// The service it belongs to; none of source NAT, or if the configuration no longer has it.
    pub service: Option<ServiceId>,
    /// Seconds since a packet of it was seen, on any node as far as this one knows.
    pub age_s: u64,
    /// The node that forwards it, if it is known.
    #[serde(default)]
    pub owner: Option<NodeId>,
}

/// This node's table of flows as a whole; counts are since fwd started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowTotals {
    /// Flows that it can hold.
    pub max: u32,
    /// Flows in it now.
    pub now: u32,
    /// Flows that this node's kernel entered for a connection's first packet.
    pub made: u64,
    /// Flows entered because another node told of them.
    pub learned: u64,
    /// Flows removed: closed, reset, or silent for too long.
    pub ended: u64,
    /// Flows not entered because the table was full.
    pub refused: u64,
}
