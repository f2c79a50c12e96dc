//! What goes in and what comes out.

use dsc_wire::packet::Packet;
use dsc_wire::{Cluster, Incarnation, NodeId, Receipt, SendId, SubnetId, SubnetSet, Time, Timing};

/// What reliable messages need to know of the cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// Subnets each configured node has an address on, by [`NodeId`].
    pub subnets: Vec<SubnetSet>,
    /// Time-outs.
    pub timing: Timing,
}

impl From<&Cluster> for Config {
    fn from(cluster: &Cluster) -> Config {
        Config {
            subnets: cluster.nodes.iter().map(|n| n.subnets).collect(),
            timing: cluster.timing,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A packet arrived; the driver opened its seal.
    Packet {
        /// The sender, as its header says.
        from: NodeId,
        /// The subnet whose socket it came in by.
        path: SubnetId,
        /// The packet.
        packet: Packet,
    },
    /// Deliver `message`, or say that it failed.
    Send {
        /// Comes back in the output.
        id: SendId,
        /// Receiver.
        to: NodeId,
        /// At most [`dsc_wire::delivery::MESSAGE_MAX`] bytes.
        message: Vec<u8>,
    },
    /// Bring `message` to its receiver once, without a time-out: its layer above learns by itself that it arrived
    /// ([`Input::Arrived`]), or wants it delivered after all ([`Input::Insist`]).
    SendTacit {
        /// Comes back in the output.
        id: SendId,
        /// Receiver.
        to: NodeId,
        /// At most [`dsc_wire::delivery::MESSAGE_MAX`] bytes.
        message: Vec<u8>,
    },
    /// What was sent tacitly arrived, which proves its path in that direction; it is forgotten.
    Arrived {
        /// As sent.
        id: SendId,
    },
    /// What was sent tacitly should have shown an effect by now: a time-out, after which it is delivered like any other.
    Insist {
        /// As sent.
        id: SendId,
    },
    /// Forget a message; neither [`Output::Delivered`] nor [`Output::Failed`] follows.
    Cancel {
        /// As sent.
        id: SendId,
    },
    /// Send once on every shared path, with no promise.
    Datagram {
        /// Receiver.
        to: NodeId,
        /// At most [`dsc_wire::packet::FRAGMENT_MAX`] bytes.
        body: Vec<u8>,
    },
    /// The verdict on a message received. Until it is given the sender gets no acknowledgement of the whole.
    Answer {
        /// From [`Output::Received`].
        receipt: Receipt,
        /// At most [`dsc_wire::delivery::VERDICT_MAX`] bytes.
        verdict: Vec<u8>,
    },
    /// As [`Input::Answer`]; to a message that was sent tacitly it is told only if the sender asks again.
    Keep {
        /// From [`Output::Received`].
        receipt: Receipt,
        /// At most [`dsc_wire::delivery::VERDICT_MAX`] bytes.
        verdict: Vec<u8>,
    },
    /// Time has passed. Given after all packets that were waiting, or a time-out would be judged too early.
    Tick,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a packet.
    Packet {
        /// Receiver.
        to: NodeId,
        /// On which subnet.
        path: SubnetId,
        /// What.
        packet: Packet,
    },
    /// A message arrived, whole, for the first time. It is answered with [`Input::Answer`].
    Received {
        /// Sender.
        from: NodeId,
        /// Its life, proven to be the present one.
        incarnation: Incarnation,
        /// Names it in the answer.
        receipt: Receipt,
        /// The message.
        message: Vec<u8>,
    },
    /// A message that has its verdict came again: its sender has not heard of it.
    Repeated {
        /// Sender.
        from: NodeId,
    },
    /// A datagram arrived; further copies are swallowed.
    Datagram {
        /// Sender.
        from: NodeId,
        /// Its life, proven to be the present one.
        incarnation: Incarnation,
        /// As sent.
        body: Vec<u8>,
    },
    /// The receiver has the whole message and judged it.
    Delivered {
        /// As sent.
        id: SendId,
        /// Its verdict.
        verdict: Vec<u8>,
    },
    /// Not acknowledged on any path within `timing.removal`, refused for want of room, or sent to a life that ended.
    Failed {
        /// As sent.
        id: SendId,
    },
    /// A path to a peer stopped or began to work both ways.
    PathChanged {
        /// The peer.
        peer: NodeId,
        /// The subnet.
        path: SubnetId,
        /// Does it work?
        up: bool,
    },
}

/// A peer, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerState {
    /// Which.
    pub node: NodeId,
    /// Its present life, once proven.
    pub incarnation: Option<Incarnation>,
    /// One per subnet shared with it.
    pub paths: Vec<PathState>,
}

/// A path to a peer, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathState {
    /// The subnet.
    pub subnet: SubnetId,
    /// Did it work both ways when last tried?
    pub up: bool,
    /// Smoothed round-trip time in microseconds; 0 before the first answer.
    pub srtt_us: u32,
    /// When the newest try that arrived was sent, as far as is known; zero if none did.
    pub confirmed: Time,
}
