//! Messages between the processes of one node, as JSON over local ZeroMQ sockets. Views and facts are whole
//! values with a number, never deltas: a restarted reader is right after one message. Unknown fields are
//! ignored and missing ones defaulted, so that daemons of two builds can be mixed during an upgrade.

mod event;
mod fwd;
mod link;
mod names;
mod request;

pub use event::{Event, EventKind};
pub use fwd::{
    FLOWS_LISTED_MAX, FlowFilter, FlowTotals, FwdBackend, FwdCounters, FwdFlow, FwdFlows, FwdLag,
    FwdPeer, FwdRequest, FwdService, FwdServices, FwdSharing, VipCounters,
};
pub use link::{
    DOWNLOADS_LISTED_MAX, LinkDownload, LinkDownloads, LinkRequest, LinkService, OBJECT_MAX,
};
pub use names::{BackendName, CheckName, Names};
pub use request::{Command, DOCUMENT_MAX, Reply, Request, WAIT_MAX_MS};

use crate::cluster::{Partition, Persistence};
use crate::flow::{BackendId, BackendState};
use crate::health::{CheckId, Checker, Growth, NodeLight, Verdict};
use crate::ids::{Incarnation, NodeId, NodeSet, SubnetId, SubnetSet, VipId};
use crate::key::Key;
use crate::time::Time;
use serde::{Deserialize, Serialize};

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
    /// dsc-link answers [`super::LinkRequest`]s (group `dsc`).
    pub const LINK: &str = "link";
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
    /// Its version; 0 from a daemon of an older build, and of a file that was never applied.
    #[serde(default)]
    pub config_version: u64,
    /// The file that the daemon was started with, if it says something else than what is in force; filled in by the daemon,
    /// empty in the pure ring.
    #[serde(default)]
    pub config_file: Option<ConfigFile>,
    /// Backends whose state an operator changed, by rising [`BackendId`]; all others have the state of the configuration.
    #[serde(default)]
    pub backends: Vec<BackendView>,
    /// What members found that check backends, by rising [`NodeId`]; also what was found last by nodes just lost.
    #[serde(default)]
    pub health: Vec<Checker>,
    /// Checks of nodes that operators switched, by rising [`CheckId`]; all others are made wherever the configuration says.
    #[serde(default)]
    pub switches: Vec<SwitchView>,
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
    /// What people call the keys in force, that which seals first; filled in by the daemon, empty in the pure ring.
    #[serde(default)]
    pub keys: Vec<String>,
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

/// Where operators switched a check of nodes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchView {
    /// Which.
    pub check: CheckId,
    /// On these nodes it is not made.
    pub off: NodeSet,
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

/// A configuration file that is not in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFile {
    /// Where it is, on the node that speaks.
    pub path: String,
    /// Its version.
    pub version: u64,
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
    /// The configuration the health daemon works with, by digest; none of an older build.
    pub mon_config_digest: Option<u64>,
    /// What it said about machines that claim VIPs.
    pub conflicts: Vec<Conflict>,
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
    /// What its own checks say of it, by rising [`CheckId`]; none while it is no member.
    #[serde(default)]
    pub lights: Vec<NodeLight>,
    /// Subnets on which a critical check is red, or was until just now: it hosts nothing there as long as another member can.
    #[serde(default)]
    pub unfit: SubnetSet,
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
    /// What its host carries for it, in both directions, as last measured; whole thousands.
    #[serde(default)]
    pub bytes_per_s: u64,
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
        /// The configuration that it works with, by digest; none from a daemon of an older build.
        #[serde(default)]
        config_digest: Option<u64>,
        /// Verdicts on the backends that this node checks, by rising [`BackendId`]: all of them. None before it knows which
        /// they are: what an earlier life of it found still stands.
        #[serde(default)]
        health: Option<Vec<Verdict>>,
        /// The green ones among them that start slowly, by rising [`BackendId`].
        #[serde(default)]
        growing: Vec<Growth>,
        /// What this node's own checks say of it, by rising [`CheckId`]: all of them. None from a daemon of an older build.
        #[serde(default)]
        lights: Option<Vec<NodeLight>>,
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
        /// What this node carried in the last second or so for the VIPs that it hosts; none from a daemon of an older build.
        #[serde(default)]
        vip_loads: Option<Vec<VipLoad>>,
        /// Backends that took no new flow lately of those that they were given here, by rising [`BackendId`].
        #[serde(default)]
        failing: Vec<BackendId>,
    },
}

fn every_subnet() -> SubnetSet {
    SubnetSet(u8::MAX)
}

/// What a VIP's host carries for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipLoad {
    /// Which.
    pub vip: VipId,
    /// Bytes per second, both directions.
    pub bytes_per_s: u64,
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
