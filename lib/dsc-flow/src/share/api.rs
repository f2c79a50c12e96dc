//! What goes in and what comes out.

use dsc_wire::{Flow, Incarnation, NodeId, NodeSet, Time};

/// Most flows that the driver gives for one part of a copy.
pub const COPY_FLOWS_MAX: usize = 1_024;

/// What sharing needs to know of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Configured nodes, 1 to [`dsc_wire::ids::NODES_MAX`]; this node is one of them.
    pub nodes: usize,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// The members of the ring, this node among them; empty while it is in none, which changes nothing.
    Members(NodeSet),
    /// A flow was made or changed here, or has ended and was removed here ([`dsc_wire::FlowState::Gone`]); the table has
    /// it already. A key that begins anew is told as gone first, or others keep what they know of it.
    Changed(Flow),
    /// The same of a flow that the kernel made here, and when it did.
    Made {
        /// The flow; it is opening.
        flow: Flow,
        /// By this node's clock.
        at: Time,
    },
    /// A datagram arrived from a life of a peer that is proven to be its present one.
    Received {
        /// Sender.
        from: NodeId,
        /// Its life.
        incarnation: Incarnation,
        /// When the kernel had it; earlier than now by as long as it was waiting.
        at: Time,
        /// As in [`Output::Send`].
        body: &'a [u8],
    },
    /// The answer to [`Output::NeedCopy`].
    CopyPart {
        /// As asked.
        to: NodeId,
        /// As asked.
        copy: u64,
        /// At most [`COPY_FLOWS_MAX`]; they may be none.
        flows: Vec<Flow>,
        /// The walk is at its end.
        last: bool,
    },
    /// The answer to [`Output::Entered`], given when it is so.
    Entered {
        /// As told.
        flows: u32,
        /// As told.
        made: Time,
    },
    /// Time has passed. Given in every turn after all that was waiting: what changed in one turn is sent together then.
    Tick,
}

/// What to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram, with no promise.
    Send {
        /// Receiver.
        to: NodeId,
        /// At most [`dsc_wire::packet::FRAGMENT_MAX`] bytes.
        body: Vec<u8>,
    },
    /// Bring these into the table, in order, each where [`super::supersedes`] says so; one that is gone is removed.
    Apply(Vec<Flow>),
    /// Among the flows just brought in are so many that a peer has made. Answer with [`Input::Entered`] when they are in the
    /// table.
    Entered {
        /// How many.
        flows: u32,
        /// When the oldest was made, by this node's clock, had it not been on the way between the nodes.
        made: Time,
    },
    /// Walk on through the table for the copy that `to` takes, and answer with [`Input::CopyPart`]. A flow that is in the
    /// table from the first part to the last must be given. There is at most one copy for each peer: a new number ends
    /// the walk for the one before.
    NeedCopy {
        /// Who takes it.
        to: NodeId,
        /// Names the copy, among those that `to` takes.
        copy: u64,
        /// 0 begins the walk, each next one goes on with it.
        part: u32,
        /// Most flows to give.
        flows_max: usize,
    },
    /// This node knows all flows that there are to know: it may host. Comes once; see [`super::Share::is_ready`].
    Ready,
}

/// How far the stream of one peer has come here, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The peer.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
    /// Records that it has told in this life, as far as is known here.
    pub known: u64,
    /// Records of them that are here without a gap; at most `known`.
    pub received: u64,
    /// It knows all flows, as it said last.
    pub ready: bool,
}

/// How long it took from the moment that a peer's kernel made a flow to the moment that it was in the table here: flows of
/// all peers, of the last one to two minutes. No clocks of two nodes are compared: a peer tells how old the oldest new flow
/// of a datagram is when it makes the datagram, and all new flows in it are taken for that old. The time from there until
/// the datagram is in this node's socket is not counted. Figures are at most a sixteenth too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Flows that came in that time.
    pub flows: u64,
    /// Half of them took no longer, microseconds.
    pub p50_us: u32,
    /// Of hundred, 99 took no longer.
    pub p99_us: u32,
    /// The longest.
    pub max_us: u32,
}
