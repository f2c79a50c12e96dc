//! The cluster as the pure crates see it: counts and rules, no names, addresses or interfaces.
//! `dsc-conf` makes it from the configuration file; it is the same on every node.

use crate::flow::{BackendId, BackendState};
use crate::ids::{NodeId, NodeSet, SubnetId, SubnetSet, VipId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the ring needs to know before it starts. Numbers never change while the cluster lives: what a change of the
/// configuration takes away leaves a hole in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Every configured node; a [`NodeId`] is an index into it. Holes are [`NodePlan::HOLE`].
    pub nodes: Vec<NodePlan>,
    /// Every virtual address of every pool; a [`crate::ids::VipId`] is an index into it. Holes are [`VipPlan::HOLE`].
    pub vips: Vec<VipPlan>,
    /// What every backend of every service is given until an operator says otherwise; a [`crate::flow::BackendId`] is an
    /// index into it. At most [`crate::flow::BACKENDS_MAX`]. A hole is no backend.
    pub backends: Vec<Option<BackendState>>,
    /// What a part of a cut cluster does.
    pub partition: Partition,
    /// What a node may do that comes back after a crash or a cut.
    pub rejoin: Rejoin,
    /// All time-outs.
    pub timing: Timing,
    /// Whether and how VIPs move to even out the load.
    pub balance: Balance,
    /// Digest over everything that must be the same on every node; nodes that differ do not form a ring.
    pub digest: u64,
    /// Which of the cluster's configurations this is; not part of the digest. 0 if it was never applied.
    pub version: u64,
}

impl Cluster {
    /// Is it a node, and no hole?
    pub fn is_node(&self, node: NodeId) -> bool {
        self.nodes.get(node.index()).is_some_and(|n| !n.is_hole())
    }

    /// Every node.
    pub fn node_set(&self) -> NodeSet {
        (0..self.nodes.len() as u8).map(NodeId).filter(|n| self.is_node(*n)).collect()
    }

    /// Is it a VIP, and no hole?
    pub fn is_vip(&self, vip: VipId) -> bool {
        self.vips.get(vip.index()).is_some_and(|v| !v.is_hole())
    }

    /// Is it a backend, and no hole?
    pub fn is_backend(&self, backend: BackendId) -> bool {
        self.backends.get(backend.index()).is_some_and(Option::is_some)
    }
}

/// One configured node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePlan {
    /// Subnets it has an address on.
    pub subnets: SubnetSet,
    /// Votes in `majority` mode but never hosts a VIP: the third voter of two nodes.
    pub witness: bool,
}

impl NodePlan {
    /// A number that no node has any more: on no subnet, in no majority, never a member.
    pub const HOLE: NodePlan = NodePlan { subnets: SubnetSet::EMPTY, witness: false };

    /// Every node is on a subnet.
    pub fn is_hole(&self) -> bool {
        self.subnets.is_empty()
    }
}

/// One virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VipPlan {
    /// The subnet whose pool it belongs to; only nodes on it can host it.
    pub subnet: SubnetId,
    /// The node that should host it (§A.4).
    pub preferred: Option<NodeId>,
    /// How firmly it stays where it is.
    pub persistence: Persistence,
}

impl VipPlan {
    /// A number that no VIP has any more: no node can host it.
    pub const HOLE: VipPlan =
        VipPlan { subnet: SubnetId::NOWHERE, preferred: None, persistence: Persistence::Current };

    /// Every VIP is on a subnet.
    pub fn is_hole(&self) -> bool {
        self.subnet == SubnetId::NOWHERE
    }
}

/// §A.4's persistence flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Persistence {
    /// 0: may be moved to even out the load.
    Free,
    /// 1: stays with its current host; after a failover, with the new one.
    Current,
    /// 3: stays with its preferred host, and returns to it when it recovers.
    Preferred,
}

impl From<Persistence> for u8 {
    fn from(p: Persistence) -> u8 {
        match p {
            Persistence::Free => 0,
            Persistence::Current => 1,
            Persistence::Preferred => 3,
        }
    }
}

impl TryFrom<u8> for Persistence {
    type Error = String;

    fn try_from(n: u8) -> Result<Persistence, String> {
        match n {
            0 => Ok(Persistence::Free),
            1 => Ok(Persistence::Current),
            3 => Ok(Persistence::Preferred),
            _ => Err(format!("persistence is 0, 1 or 3, not {n}")),
        }
    }
}

/// What a part of a cut cluster does with the VIPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partition {
    /// Each side serves all VIPs of its subnets.
    Serve,
    /// Only the side with more than half of the configured nodes serves.
    Majority,
}

/// What a node may do when it comes back to a ring that lost it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejoin {
    /// What it did before.
    Auto,
    /// It is closed until an operator opens it.
    Manual,
}

/// How VIPs with persistence 0 move from loaded to idle members (§A.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Do they?
    pub on: bool,
    /// A move takes at least this share off the load of the member that gives; 1..=50.
    pub hysteresis_percent: u8,
    /// A VIP that was moved on purpose stays so long, and twice as long as before if it is moved again soon after.
    pub vip_cooldown: Duration,
    /// After any VIP changed hosts, or the membership changed, nothing is moved for so long.
    pub ring_cooldown: Duration,
    /// Time between two looks at the load; a new host's first two are not counted.
    pub sample: Duration,
}

impl Balance {
    /// Where the configuration says nothing.
    pub const DEFAULT: Balance = Balance {
        on: true,
        hysteresis_percent: 5,
        vip_cooldown: Duration::from_secs(3),
        ring_cooldown: Duration::from_millis(250),
        sample: Duration::from_secs(1),
    };
}

/// All time-outs, checked against each other by `dsc-conf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A full turn of an idle ring, whatever its size.
    pub rotation: Duration,
    /// A message unanswered on all paths for this long makes its receiver unreachable.
    pub removal: Duration,
    /// No token for this long: ask with a 911.
    pub starve: Duration,
    /// How long a node may answer for its VIPs after the pass that proved it a member.
    pub lease: Duration,
    /// The most to which a lease that lapsed from stalls may grow; equal to `lease` if it is fixed.
    pub lease_max: Duration,
    /// Time between beacons to nodes outside the ring.
    pub beacon: Duration,
    /// Own timers later than this: suspect yourself first (rule 11).
    pub stall: Duration,
}

impl Timing {
    /// `timing = "default"`.
    pub const DEFAULT: Timing = Timing {
        rotation: Duration::from_millis(20),
        removal: Duration::from_millis(28),
        starve: Duration::from_millis(40),
        lease: Duration::from_millis(95),
        lease_max: Duration::from_millis(200),
        beacon: Duration::from_millis(25),
        stall: Duration::from_millis(10),
    };

    /// `timing = "fast"`.
    pub const FAST: Timing = Timing {
        rotation: Duration::from_millis(4),
        removal: Duration::from_micros(4_500),
        starve: Duration::from_millis(7),
        lease: Duration::from_millis(23),
        lease_max: Duration::from_millis(200),
        beacon: Duration::from_millis(10),
        stall: Duration::from_micros(2_500),
    };

    /// The longest a lease granted now can last by any clock that drifts by at most 1 % (F in dsc-ring's RULES.md).
    pub fn fence(lease: Duration) -> Duration {
        lease + lease / 50 + Duration::from_millis(1)
    }
}
