//! The machine: takes one input, routes it to the peer it is about, tells the next deadline. Called by
//! `dsc-ringd`'s glue and by the simulator.

use crate::api::{Config, Input, Output, PeerState};
use crate::count::{Count, Counts};
use crate::links::Links;
use crate::pace::Pace;
use crate::peer::Peer;
use crate::post::{Desk, Post};
use dsc_wire::delivery::MESSAGE_MAX;
use dsc_wire::local::Counter;
use dsc_wire::packet::{Body, FRAGMENT_MAX, FRAGMENTS_MAX, Packet};
use dsc_wire::{Incarnation, NodeId, SendId, SubnetId, SubnetSet, Time};

/// Most bytes of messages that are not whole yet, from all peers: eight of the longest.
const REASSEMBLY_MAX: usize = 8 * MESSAGE_MAX;

/// The state of all exchanges of one node.
#[derive(Clone, Debug)]
pub struct Rml {
    desk: Desk,
    /// By node; this node itself is there, with no path.
    peers: Vec<Peer>,
    /// When each of them wants its next tick. Most inputs concern one peer.
    dues: Vec<Time>,
    deadline: Time,
    /// A step came so late after the deadline that this node cannot have been running.
    stalled: bool,
}

impl Rml {
    /// Starts a life: `me` is the node, `incarnation` a number it never had before.
    pub fn new(config: Config, me: NodeId, incarnation: Incarnation, now: Time) -> Rml {
        let mine = config.subnets.get(me.index()).copied().unwrap_or_default();
        let peers = config.subnets.iter().enumerate().map(|(node, theirs)| {
            let shared = if node == me.index() { 0 } else { mine.0 & theirs.0 };
            Peer::new(NodeId(node as u8), SubnetSet(shared))
        });
        Rml {
            peers: peers.collect(),
            dues: vec![Time::NEVER; config.subnets.len()],
            desk: Desk {
                me,
                incarnation,
                pace: Pace::new(&config.timing),
                counts: Counts::new(),
                links: Links::new(mine, now),
                counter: 0,
                receipt: 0,
            },
            deadline: Time::NEVER,
            stalled: false,
        }
    }

    /// Takes one input; appends what to do, in order.
    pub fn step(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        if now > self.deadline + self.desk.pace.stall {
            self.stalled = true;
        }
        let Rml { desk, peers, dues, stalled, .. } = self;
        let post = &mut Post { now, desk, out };
        let concerned = concerned(&input);
        match input {
            Input::Packet { from, path, packet } => receive(peers, from, path, packet, post),
            Input::Send { id, to, message } => send(peers, id, to, message, false, post),
            Input::SendTacit { id, to, message } => send(peers, id, to, message, true, post),
            Input::Arrived { id } => peers.iter_mut().for_each(|p| p.arrived(id, post)),
            Input::Insist { id } => peers.iter_mut().for_each(|p| p.insist(id, post)),
            Input::Cancel { id } => peers.iter_mut().for_each(|p| p.cancel(id)),
            Input::Datagram { to, body } => match reachable(peers, to) {
                Some(peer) if body.len() <= FRAGMENT_MAX => peer.send_datagram(body, post),
                Some(_) | None => post.count(Count::DatagramRefused),
            },
            Input::Answer { receipt, verdict } => match reachable(peers, NodeId(receipt.0 as u8)) {
                Some(peer) => peer.answer(receipt, verdict, post),
                None => post.count(Count::VerdictRefused),
            },
            Input::Keep { receipt, verdict } => match reachable(peers, NodeId(receipt.0 as u8)) {
                Some(peer) => peer.keep(receipt, verdict, post),
                None => post.count(Count::VerdictRefused),
            },
            Input::Tick => tick(peers, dues, std::mem::take(stalled), post),
        }
        for (peer, due) in peers.iter().zip(&mut *dues) {
            if concerned.is_none_or(|node| node == peer.node) {
                *due = peer.deadline(post);
            }
        }
        let dues = dues.iter().copied().min().unwrap_or(Time::NEVER);
        // What turns out to be overdue is wanted now; only a tick later than that is late.
        self.deadline = dues.min(desk.links.deadline(&desk.pace, peers)).max(now);
    }

    /// Goes on with another configuration. Exchanges with nodes that stay go on; what was on its way to others fails.
    pub fn change(&mut self, now: Time, config: Config, out: &mut Vec<Output>) {
        let me = self.desk.me.index();
        let mine = config.subnets.get(me).copied().unwrap_or_default();
        let Rml { desk, peers, .. } = self;
        let post = &mut Post { now, desk, out };
        let nodes = config.subnets.len().max(peers.len()) as u8;
        for node in (0..nodes).map(NodeId) {
            let theirs = config.subnets.get(node.index()).copied().unwrap_or_default();
            let shared = SubnetSet(if node.index() == me { 0 } else { mine.0 & theirs.0 });
            match peers.get_mut(node.index()) {
                Some(peer) => peer.share(shared, post),
                None => peers.push(Peer::new(node, shared)),
            }
        }
        peers.truncate(config.subnets.len());
        desk.pace = Pace::new(&config.timing);
        desk.links.change(mine);
        self.dues = vec![now; self.peers.len()];
        self.deadline = now;
    }

    /// When it wants its next [`Input::Tick`]; [`Time::NEVER`] if nothing is pending.
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// Subnets of this node that work. A subnet is in when a peer answers on it. It is out when tries on it fail while
    /// the same peers answer on another one: within about three rotations, three short time-outs of it for certainty.
    /// When nobody answers anywhere the set stays as it is for 50 rotations and is empty then: that every subnet
    /// of this node died at once cannot be told from that the peers did.
    pub fn linked(&self, now: Time) -> SubnetSet {
        self.desk.links.linked(&self.desk.pace, now)
    }

    /// Every other configured node.
    pub fn peers(&self) -> impl Iterator<Item = PeerState> {
        let me = self.desk.me.index();
        self.peers.iter().enumerate().filter(move |(node, _)| *node != me).map(|(_, p)| p.state())
    }

    /// Counts since start.
    pub fn counters(&self) -> Vec<Counter> {
        self.desk.counts.list()
    }
}

/// The one peer whose exchanges an input can change; none if it may be any. Whoever lets go of a partial message to make
/// room for another's is asked at the next tick, which then comes early.
fn concerned(input: &Input) -> Option<NodeId> {
    match input {
        Input::Packet { from: node, .. }
        | Input::Send { to: node, .. }
        | Input::SendTacit { to: node, .. }
        | Input::Datagram { to: node, .. } => Some(*node),
        Input::Answer { receipt, .. } | Input::Keep { receipt, .. } => {
            Some(NodeId(receipt.0 as u8))
        }
        Input::Cancel { .. } | Input::Arrived { .. } | Input::Insist { .. } | Input::Tick => None,
    }
}

/// The peer, if it is configured and shares a subnet.
fn reachable(peers: &mut [Peer], node: NodeId) -> Option<&mut Peer> {
    peers.get_mut(node.index()).filter(|p| !p.paths.list.is_empty())
}

fn send(
    peers: &mut [Peer],
    id: SendId,
    to: NodeId,
    message: Vec<u8>,
    tacit: bool,
    post: &mut Post<'_>,
) {
    match reachable(peers, to) {
        Some(peer) if message.len() <= MESSAGE_MAX => peer.send(id, message, tacit, post),
        Some(_) | None => {
            post.count(Count::MessageRefused);
            post.out.push(Output::Failed { id });
        }
    }
}

fn receive(peers: &mut [Peer], from: NodeId, path: SubnetId, packet: Packet, post: &mut Post<'_>) {
    post.count(Count::PacketReceived);
    let Packet { header, body } = packet;
    if matches!(body, Body::Data { .. }) {
        make_room(peers, post);
    }
    let fits = header.from == from && header.to == post.desk.me && header.path == path;
    match reachable(peers, from) {
        Some(peer) if fits && peer.paths.all().contains(path) => peer.receive(&header, body, post),
        Some(_) | None => post.count(Count::PacketMisaddressed),
    }
    debug_assert!(held(peers) <= REASSEMBLY_MAX, "{} bytes of partial messages", held(peers));
}

/// Bytes of partial messages.
fn held(peers: &[Peer]) -> usize {
    peers.iter().map(|p| p.inbox.held()).sum()
}

/// Lets go of partial messages, those first that wait longest, until any message has room.
fn make_room(peers: &mut [Peer], post: &mut Post<'_>) {
    while held(peers) > REASSEMBLY_MAX - FRAGMENTS_MAX * FRAGMENT_MAX {
        let oldest = peers.iter().filter_map(|p| p.inbox.oldest()).min();
        let Some(limit) = oldest else { return };
        evict(peers, limit, post);
    }
}

fn evict(peers: &mut [Peer], limit: Time, post: &mut Post<'_>) {
    let evicted: usize = peers.iter_mut().map(|p| p.inbox.evict(limit)).sum();
    (0..evicted).for_each(|_| post.count(Count::MessageEvicted));
}

fn tick(peers: &mut [Peer], dues: &[Time], stalled: bool, post: &mut Post<'_>) {
    if stalled {
        post.count(Count::Stall);
        post.desk.links.restart(post.now);
        peers.iter_mut().for_each(|p| p.restart(post));
    }
    for (peer, due) in peers.iter_mut().zip(dues) {
        if stalled || *due <= post.now {
            peer.tick(post);
        }
    }
    let pace = post.pace();
    post.desk.links.tick(&pace, peers, post.now);
    evict(peers, post.now.before(pace.expiry), post);
    peers.iter_mut().for_each(|p| p.flush(post));
}
