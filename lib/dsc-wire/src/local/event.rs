//! What an operator wants to know later: events, as ringd keeps and tells them. Part of the local messages, with
//! the same rule for daemons of two builds.

use super::{Duty, Mac};
use crate::cluster::Persistence;
use crate::flow::{BackendId, BackendState};
use crate::health::{CheckId, Reason};
use crate::ids::{NodeId, SubnetId, VipId};
use serde::{Deserialize, Serialize};

/// Something an operator wants to know later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the log of the ringd that was asked.
    #[serde(default)]
    pub number: u64,
    /// Wall clock of the node it happened on, milliseconds since 1970.
    pub wall_ms: u64,
    /// The node it happened on.
    pub node: NodeId,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// The node began to answer for a VIP.
    Took {
        /// Which.
        vip: VipId,
        /// Its previous host.
        from: Option<NodeId>,
        /// By failover (else a hand-over on purpose or a first assignment).
        failover: bool,
    },
    /// The node handed a VIP over on purpose.
    HandedOver {
        /// Which.
        vip: VipId,
        /// To whom.
        to: NodeId,
    },
    /// The node took `peer` off the ring.
    Removed {
        /// Who could not be reached.
        peer: NodeId,
    },
    /// The node let `peer` into the ring.
    Joined {
        /// Who asked.
        peer: NodeId,
    },
    /// The node made a lost token again.
    Regenerated,
    /// The node founded a ring.
    Founded,
    /// The node gave up its ring for a greater one, heard from `peer`.
    Merged {
        /// Whose beacon it was.
        peer: NodeId,
    },
    /// The lease ended before it was renewed, for `gap_ms`.
    Lapsed {
        /// How long the node was silent.
        gap_ms: u64,
    },
    /// What the node may do changed.
    DutyChanged {
        /// Of whom.
        peer: NodeId,
        /// From now on.
        duty: Duty,
    },
    /// Where the node can host changed.
    AbleChanged {
        /// The subnet.
        subnet: SubnetId,
        /// Can it?
        able: bool,
    },
    /// Preference of a VIP changed.
    Pinned {
        /// Which.
        vip: VipId,
        /// Preferred host.
        preferred: Option<NodeId>,
        /// How firmly.
        persistence: Persistence,
    },
    /// A machine outside the cluster answers for a VIP.
    Conflict {
        /// Which.
        vip: VipId,
        /// Who.
        mac: Mac,
    },
    /// `peer` runs another configuration and was not let in.
    ConfigDiffers {
        /// Who.
        peer: NodeId,
    },
    /// An operator said what a backend may be given.
    BackendChanged {
        /// Which.
        backend: BackendId,
        /// From now on.
        state: BackendState,
    },
    /// The node gave a VIP away to even out the load. Bytes per second, both directions, smoothed; loads are those of before.
    Balanced {
        /// Which.
        vip: VipId,
        /// To whom.
        to: NodeId,
        /// The VIP's.
        bytes_per_s: u64,
        /// Of all VIPs of the node that gave it.
        from_bytes_per_s: u64,
        /// Of all VIPs of the node that got it.
        to_bytes_per_s: u64,
        /// The node that gave it was short of processor time.
        cpu: bool,
    },
    /// The node found that the health of a backend changed.
    BackendChecked {
        /// Which.
        backend: BackendId,
        /// Red; else green.
        red: bool,
        /// Why.
        reason: Reason,
    },
    /// A check of nodes became red on the node, or was red and is green.
    LightChanged {
        /// Which.
        check: CheckId,
        /// Red; else green.
        red: bool,
        /// Why.
        reason: Reason,
    },
    /// Critical checks of the node: should it host something on the subnet?
    FitChanged {
        /// The subnet.
        subnet: SubnetId,
        /// Should it?
        fit: bool,
    },
    /// An operator switched a check of nodes.
    CheckSwitched {
        /// Which.
        check: CheckId,
        /// On which node; on all where none is named.
        peer: Option<NodeId>,
        /// Is it made from now on?
        on: bool,
    },
    /// A new configuration came into force.
    ConfigChanged {
        /// Its version.
        version: u64,
        /// Where it was applied.
        by: NodeId,
    },
    /// A new configuration was given up, and the old one stayed in force.
    ConfigDropped {
        /// Its version.
        version: u64,
        /// Where it was applied.
        by: NodeId,
        /// Who cannot work with it; none if not all members were ready in time.
        peer: Option<NodeId>,
    },
    /// Another kind, of a newer build.
    #[serde(other)]
    Unknown,
}
