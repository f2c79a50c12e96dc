//! Messages between the processes of one node, as JSON over local ZeroMQ sockets. Views and facts are whole
//! values with a number, never deltas: a restarted reader is right after one message. Unknown fields are
//! ignored and missing ones defaulted, so that daemons of two builds can be mixed during an upgrade.

mod event;
mod fwd;

pub use event::{Event, EventKind};
pub use fwd::{
    FLOWS_LISTED_MAX, FlowFilter, FlowTotals, FwdBackend, FwdCounters, FwdFlow, FwdFlows, FwdLag,
    FwdPeer, FwdRequest, FwdService, FwdServices, FwdSharing, VipCounters,
};

use crate::cluster::{Partition, Persistence};
use crate::flow::{BackendId, BackendState, ServiceId};
use crate::ids::{Incarnation, NodeId, SubnetId, SubnetSet, VipId};
use crate::key::Key;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// Socket names below the run directory.
pub mod socket {
    /// ringd answers [`super::Request`]s that change nothing (group `dsc`).
    pub const STATUS: &str = "status";
    /// ringd answers every [`super::Request`] (root or group `dsc-admin`).
    pub const CONTROL: &str = "control";
    /// ringd takes [`super::Facts`] (root).
    pub const FACTS: &str = "facts";
    /// fwd answers [`super::FwdRequest`]s (group `dsc`).
    pub const FWD: &str = "fwd";
}

/// A MAC address.
pub type Mac = [u8; 6];

/// What a node's ring daemon is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RingState {
    /// Started; silent until a lease of its previous life must have ended (rule 12).
    Quiet,
    /// Asks to be let in, or who else is there.
    Joining,
    /// A member with a token seen in time.
    Member,
    /// A ring of one.
    Alone,
    /// A member that misses the token.
    Starving,
}

/// What the operator, or the configuration, lets a node do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duty {
    /// Hosts VIPs.
    Open,
    /// Gives its VIPs away one by one and takes none; closed when the last has gone.
    Draining,
    /// Hosts none until opened (§A.6).
    Closed,
    /// A voter that never hosts.
    Witness,
}

/// The whole cluster as one member knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Grows with each view this ring daemon publishes; starts again in a new incarnation.
    pub number: u64,
    /// This life of the ring daemon.
    pub incarnation: Incarnation,
    /// The node that speaks.
    pub me: NodeId,
    /// What it is doing.
    pub state: RingState,
    /// The last token accepted or made.
    pub key: Key,
    /// Members in ring order, as of that token; empty before the first.
    pub members: Vec<NodeId>,
    /// May this side serve (always true in `serve` mode)?
    pub quorum: bool,
    /// Partition mode.
    pub partition: Partition,
    /// When this node's lease ends; past if it has none.
    pub lease_end: Time,
    /// The lease in force, which may have adapted to stalls.
    pub lease_ms: u64,
    /// A full turn, smoothed, as this node sees it.
    pub rotation_us: u64,
    /// One per configured node.
    pub nodes: Vec<NodeView>,
    /// One per VIP.
    pub vips: Vec<VipView>,
    /// Digest of the configuration in force.
    pub config_digest: u64,
    /// Backends whose state an operator changed, by rising [`BackendId`]; all others have the state of the configuration.
    #[serde(default)]
    pub backends: Vec<BackendView>,
    /// What people call things; filled in by the daemon, empty in the pure ring.
    #[serde(default)]
    pub names: Names,
    /// Counters of this ring daemon, by name.
    #[serde(default)]
    pub counters: Vec<Counter>,
    /// The other daemons of this node; filled in by the daemon, empty in the pure ring.
    #[serde(default)]
    pub heard: Heard,
    /// Paths from this node to other members that do not work both ways; filled in by the daemon, empty in the pure ring.
    #[serde(default)]
    pub paths_down: Vec<PathDown>,
}

/// The state that an operator gave to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendView {
    /// Which.
    pub id: BackendId,
    /// What it may be given, whatever the configuration says.
    pub state: BackendState,
    /// When it was changed, milliseconds since 1970 by the clock of the node that was asked; later than the change before.
    pub changed_ms: u64,
    /// The node that was asked.
    pub by: NodeId,
}

/// A path from the node that speaks to another member that does not work both ways, while another path between the two
/// does. If none does, nothing is known of any single path, and none is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathDown {
    /// The member at its other end.
    pub peer: NodeId,
    /// The subnet it is on.
    pub subnet: SubnetId,
}

/// What the ring daemon last heard from the other daemons of its node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heard {
    /// When the health daemon last spoke.
    pub mon: Option<Time>,
    /// When the data path daemon last spoke.
    pub fwd: Option<Time>,
    /// The configuration the data path daemon works with, by digest.
    pub fwd_config_digest: Option<u64>,
    /// What it said about machines that claim VIPs.
    pub conflicts: Vec<Conflict>,
}

/// What people call the things that views name by index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The cluster.
    pub cluster: String,
    /// Nodes, by [`NodeId`].
    pub nodes: Vec<String>,
    /// Subnets, by [`SubnetId`].
    pub subnets: Vec<String>,
    /// Addresses, by [`VipId`].
    pub vips: Vec<IpAddr>,
    /// Their subnets, by [`VipId`].
    pub vip_subnets: Vec<SubnetId>,
    /// Services, by [`ServiceId`].
    #[serde(default)]
    pub services: Vec<String>,
    /// Backends, by [`BackendId`].
    #[serde(default)]
    pub backends: Vec<BackendName>,
}

/// What tells one backend from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendName {
    /// The service it serves.
    pub service: ServiceId,
    /// Where it listens.
    pub address: SocketAddr,
}

/// A named count since start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// Words joined by underscores.
    pub name: String,
    /// Only grows.
    pub count: u64,
}

/// One node as the ring knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// Which.
    pub id: NodeId,
    /// In the ring now?
    pub member: bool,
    /// What it may do.
    pub duty: Duty,
    /// Subnets on which it can host now: carrier, reachability and data path are in order.
    pub able: SubnetSet,
    /// Its MAC address per subnet, where known.
    pub macs: Vec<Option<Mac>>,
    /// Its load as of its last turn.
    pub load: Load,
}

/// A node's load (§A.4's load field).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Busy share of all processors, 0..=1000.
    pub cpu_permille: u16,
    /// Received and sent bytes per second, one per subnet.
    pub bytes_per_s: Vec<u64>,
}

/// One VIP as the ring knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VipView {
    /// Which.
    pub id: VipId,
    /// The node it is assigned to; none before the first assignment.
    pub host: Option<NodeId>,
    /// The node that takes over when the fence has passed.
    pub heir: Option<NodeId>,
    /// The node it is about to be handed to on purpose.
    pub next: Option<NodeId>,
    /// Time left of the fence, as of the view.
    pub fence_ms: u64,
    /// Where it would rather be.
    pub preferred: Option<NodeId>,
    /// How firmly.
    pub persistence: Persistence,
    /// Earlier hosts, most recent first, without the present one.
    pub past: Vec<NodeId>,
    /// Assignments so far.
    pub moves: u64,
}

/// How this node's kernel treats frames for one VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    /// Silent.
    Off,
    /// Answers while the lease lasts.
    On,
    /// Will be host at the end of a hand-over on purpose: takes what the old host steers here, answers no ARP.
    Incoming,
    /// Another member hosts it: frames that still come here are steered there.
    Steer(NodeId),
}

/// What a local daemon tells ringd. The newest that comes is the state: the socket keeps the order, and a daemon that is
/// started again counts from the start, so nobody compares the numbers. They tell the messages apart in ringd's trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub enum Facts {
    /// The health daemon.
    Mon {
        /// Grows with each message in one life of the daemon.
        number: u64,
        /// One per configured subnet of this node.
        nics: Vec<NicFacts>,
        /// Busy share of all processors, 0..=1000.
        cpu_permille: u16,
    },
    /// The data path daemon.
    Fwd {
        /// Grows with each message in one life of the daemon.
        number: u64,
        /// Maps are filled for this configuration; zero if something there is out of order.
        config_digest: u64,
        /// The subnets of this node whose interface is there and has programs. A daemon of an older build does not say; its
        /// digest was for all of them.
        #[serde(default = "every_subnet")]
        ready: SubnetSet,
        /// Other machines that answered for a VIP of ours in the last ten minutes.
        conflicts: Vec<Conflict>,
    },
}

fn every_subnet() -> SubnetSet {
    SubnetSet(u8::MAX)
}

/// A network interface of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicFacts {
    /// The subnet it is on.
    pub subnet: SubnetId,
    /// Cable, and interface administratively up.
    pub carrier: bool,
    /// Received bytes per second.
    pub rx_bytes_per_s: u64,
    /// Sent bytes per second.
    pub tx_bytes_per_s: u64,
}

/// A machine outside the cluster that claims a VIP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The address.
    pub vip: VipId,
    /// Who claims it.
    pub mac: Mac,
}

/// A question to ringd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// The view, once its number differs from `after` or `wait_ms` have passed. `after` 0 answers at once.
    View {
        /// Number of the view the asker has.
        after: u64,
        /// Longest wait; at most [`WAIT_MAX_MS`].
        wait_ms: u64,
    },
    /// Events with a number above `after`, once there is one or `wait_ms` have passed.
    Events {
        /// Number of the last event the asker has.
        after: u64,
        /// Longest wait; at most [`WAIT_MAX_MS`].
        wait_ms: u64,
    },
    /// Carry out a command; answered when every member's view shows it, or when it failed (control socket only).
    Command {
        /// What.
        command: Command,
        /// Give up waiting (not the command) after so long; at most [`WAIT_MAX_MS`].
        wait_ms: u64,
    },
}

/// Longest that ringd keeps a question open.
pub const WAIT_MAX_MS: u64 = 60_000;

/// A change an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Command {
    /// Hand `vip` to `node`.
    MoveVip {
        /// The address.
        vip: VipId,
        /// Its new host.
        node: NodeId,
    },
    /// Persistence 3 with `node` as preferred host, or 1 where it is if none is named.
    Pin {
        /// The address.
        vip: VipId,
        /// Preferred host.
        node: Option<NodeId>,
    },
    /// Persistence 0.
    Unpin {
        /// The address.
        vip: VipId,
    },
    /// Set what a node may do: `Open`, `Draining` or `Closed`.
    Duty {
        /// Which node.
        node: NodeId,
        /// What it may do from now on.
        duty: Duty,
    },
    /// Say what a backend may be given, whatever the configuration says.
    Backend {
        /// Which.
        backend: BackendId,
        /// From now on.
        state: BackendState,
    },
}

/// ringd's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Reply {
    /// To [`Request::View`].
    View {
        /// The latest.
        view: Box<View>,
    },
    /// To [`Request::Events`].
    Events {
        /// In order of their numbers; the oldest may have been forgotten.
        events: Vec<Event>,
    },
    /// To [`Request::Command`]: every member's view shows it.
    Done {
        /// What happened, for people.
        text: String,
    },
    /// Taken up, but not seen by every member within the time asked for (none with `wait_ms` 0): it may still happen.
    Pending {
        /// What is still missing, for people.
        text: String,
    },
    /// It was not carried out; nothing is left half done.
    Refused {
        /// Why, for people.
        reason: String,
    },
}
