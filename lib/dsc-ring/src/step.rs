//! What goes into the ring and what comes out of it. Values only; the driver carries the outputs out in order.

use dsc_wire::health;
use dsc_wire::local::{Command, Event, HostState, Load, Mac, VipLoad};
use dsc_wire::message::{Beacon, Message, Verdict};
use dsc_wire::{
    BackendId, Cluster, Incarnation, NodeId, NodeSet, Receipt, SendId, SubnetSet, Time, VipId,
};

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A reliable message arrived whole; its answer comes out of the same step.
    Received {
        /// Who sent it.
        from: NodeId,
        /// In which of its lives.
        incarnation: Incarnation,
        /// Names it in the answer.
        receipt: Receipt,
        /// What.
        message: Message,
    },
    /// A beacon arrived.
    Beacon {
        /// Who sent it.
        from: NodeId,
        /// In which of its lives.
        incarnation: Incarnation,
        /// What.
        beacon: Beacon,
    },
    /// A message that was answered before came again: `from` has not heard of it.
    Repeated {
        /// Who sent it.
        from: NodeId,
    },
    /// A message of ours was answered.
    Delivered {
        /// Which.
        id: SendId,
        /// Its receiver's answer.
        verdict: Verdict,
    },
    /// A message of ours was not answered on any path in time.
    Failed {
        /// Which.
        id: SendId,
    },
    /// Subnets on which some peer's path works both ways.
    Linked {
        /// All of them.
        subnets: SubnetSet,
    },
    /// Subnets on which carrier and data path are in order.
    Able {
        /// All of them.
        subnets: SubnetSet,
    },
    /// This node's load.
    Load {
        /// As of now.
        load: Load,
    },
    /// What this node carries for the VIPs that it hosts.
    VipLoads {
        /// Bytes per second; a VIP that is not named has none. None while nobody counts.
        loads: Option<Vec<VipLoad>>,
    },
    /// This node's MAC addresses.
    Macs {
        /// Per subnet, where known.
        macs: Vec<Option<Mac>>,
    },
    /// What this node's checks of backends found.
    Checked {
        /// By rising number of the backend: all that have a verdict.
        verdicts: Vec<health::Verdict>,
    },
    /// Which of the green ones start slowly.
    Growing {
        /// By rising number of the backend.
        growing: Vec<health::Growth>,
    },
    /// Backends that take no new flow of those that this node's data path gives them.
    Failing {
        /// By rising number.
        backends: Vec<BackendId>,
    },
    /// What this node's own checks say of it.
    Lights {
        /// By rising number of the check: all of them.
        lights: Vec<health::NodeLight>,
        /// Where it should host nothing because of critical ones.
        unfit: SubnetSet,
    },
    /// An operator's command; ends with [`Output::Done`].
    Command {
        /// Names it there.
        id: u64,
        /// What.
        command: Command,
    },
    /// The new configuration that an operator asks for, which this node has checked and stored; ends with [`Output::Done`].
    Propose {
        /// Names it there.
        id: u64,
        /// It.
        cluster: Box<Cluster>,
        /// Bytes of its document.
        size: u32,
    },
    /// This node has a configuration, has checked it and stored it: what [`Output::Prepare`] asked for.
    Prepared {
        /// It.
        cluster: Box<Cluster>,
        /// Bytes of its document.
        size: u32,
    },
    /// This node cannot work with a configuration that [`Output::Prepare`] asked for.
    Unfit {
        /// Which.
        digest: u64,
        /// Why, for people; none if its document could not be had.
        reason: Option<String>,
    },
    /// A node says that this configuration is in force there.
    News {
        /// Who; none if it has no number here.
        from: Option<NodeId>,
        /// Which.
        version: u64,
        /// See `version`.
        digest: u64,
    },
    /// Planned stop: hand everything over, leave the ring, end with [`Output::Left`].
    Leave,
    /// The wall clock, for events.
    Wall {
        /// Milliseconds since 1970.
        wall_ms: u64,
    },
    /// Time has passed; owed at every wake-up, after everything that arrived.
    Tick,
}

/// Something is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send reliably.
    Send {
        /// Names it in [`Input::Delivered`] or [`Input::Failed`].
        id: SendId,
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Send once, without a time-out.
    SendTacit {
        /// Names it in what follows.
        id: SendId,
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// What was sent tacitly arrived.
    Arrived {
        /// Which.
        id: SendId,
    },
    /// Deliver reliably what was sent tacitly.
    Insist {
        /// Which.
        id: SendId,
    },
    /// Stop trying to send.
    Cancel {
        /// Which.
        id: SendId,
    },
    /// The answer owed to a message.
    Answer {
        /// To which.
        receipt: Receipt,
        /// What.
        verdict: Verdict,
    },
    /// The answer owed to a message, which its sender need not hear if it sent it tacitly and does not ask again.
    Keep {
        /// To which.
        receipt: Receipt,
        /// What.
        verdict: Verdict,
    },
    /// Send unreliably.
    Beacon {
        /// To whom.
        to: NodeId,
        /// What.
        beacon: Beacon,
    },
    /// The kernel's lease; may be in the past, which ends it now.
    Lease {
        /// When it ends.
        end: Time,
    },
    /// How the kernel treats frames for a VIP.
    Host {
        /// Which.
        vip: VipId,
        /// Answer, stay silent, or steer.
        state: HostState,
        /// Earlier hosts that may still have its connections, most recent first: members, and nodes that left on
        /// purpose less than [`crate::STEER`] ago.
        past: Vec<NodeId>,
    },
    /// Log it; every member's events come out at every member.
    Event(Event),
    /// A command came to its end.
    Done {
        /// As given with it.
        id: u64,
        /// Every member's view shows it, or why it was not carried out.
        result: Result<String, String>,
    },
    /// Get the document of this configuration from one of the nodes `from`, check it, store it, and answer with
    /// [`Input::Prepared`] or [`Input::Unfit`].
    Prepare {
        /// Its version.
        version: u64,
        /// Its digest.
        digest: u64,
        /// Nodes that have it.
        from: NodeSet,
    },
    /// From now on this configuration is in force: the one that is prepared, or the same with another version.
    Configured {
        /// Its version.
        version: u64,
        /// Its digest.
        digest: u64,
    },
    /// This node is not in a configuration that is prepared, and leaves.
    Removed {
        /// Digest of that configuration.
        digest: u64,
    },
    /// The view changed in something a reader cares about.
    Changed,
    /// The planned stop is complete.
    Left,
}
