//! The machine: takes one input, routes it to what it is about, tells the next deadline. Called by the daemon that has the
//! sockets and the table.

use super::api::{Config, Input, Lag, Output, Progress};
use super::count::{Count, Counts};
use super::gift::Gift;
use super::gone::Gone;
use super::join::Join;
use super::lag::Lags;
use super::log::{LOG_MAX, Log};
use super::message::{Message, Position};
use super::rule::is_sound;
use super::stream::Stream;
use dsc_wire::ids::NODES_MAX;
use dsc_wire::local::Counter;
use dsc_wire::{Flow, FlowState, Incarnation, NodeId, NodeSet, Time};

/// A peer that was known before tells its new life's records from the first on, if there are not many yet.
const YOUNG: u64 = 1_024;

/// What is known about a peer, in its present life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    pub life: Option<Incarnation>,
    /// It had another life before that was known here.
    renewed: bool,
    pub stream: Option<Stream>,
    pub gift: Option<Gift>,
    /// Records that it asked for in this turn: the first, how many.
    pub repeat: Option<(u64, u32)>,
    /// It is to hear in this turn how far this node's stream is.
    pub owed: bool,
}

/// The state of all sharing of one node.
#[derive(Clone, Debug)]
pub struct Share {
    pub(crate) me: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) join: Join,
    pub(crate) log: Log,
    /// By node; this node itself is there, and is never heard.
    pub(crate) peers: Vec<Peer>,
    pub(crate) gone: Gone,
    pub(crate) counts: Counts,
    lags: Lags,
    /// When the last turn was.
    pub(crate) turned: Time,
}

impl Share {
    /// Starts a life: `me` is the node, `incarnation` a number it never had before.
    pub fn new(config: Config, me: NodeId, incarnation: Incarnation, now: Time) -> Share {
        Share {
            me,
            incarnation,
            join: Join::new(me),
            log: Log::new(now),
            peers: vec![Peer::default(); config.nodes.min(NODES_MAX)],
            gone: Gone::default(),
            counts: Counts::new(),
            lags: Lags::new(now),
            turned: now,
        }
    }

    /// Goes on with so many nodes. One that is not there any more is forgotten; what it has told stays.
    pub fn change(&mut self, now: Time, config: Config) {
        let nodes = config.nodes.min(NODES_MAX);
        let others = self.join.others;
        if others.iter().any(|n| n.index() >= nodes) {
            let stay = others.iter().filter(|n| n.index() < nodes);
            self.members(now, stay.chain([self.me]).collect());
        }
        self.peers.resize_with(nodes, Peer::default);
    }

    /// Takes one input; appends what to do, in order.
    pub fn step(&mut self, now: Time, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Members(set) => self.members(now, set),
            Input::Changed(flow) => self.changed(now, flow, None),
            Input::Made { flow, at } => self.changed(now, flow, Some(at)),
            Input::Received { from, incarnation, at, body } => {
                match (self.is_peer(from), Message::decode(body)) {
                    (true, Ok(message)) => self.receive(now, (from, incarnation, at), message, out),
                    (true, Err(_)) | (false, _) => self.counts.add(Count::Malformed, 1),
                }
            }
            Input::CopyPart { to, copy, flows, last } => {
                self.copy_part(to, copy, &flows, last, out)
            }
            Input::Entered { flows, made } => self.lags.note(now, now.since(made), flows),
            Input::Tick => self.tick(now, out),
        }
    }

    /// When it wants its next [`Input::Tick`]: [`Time::ZERO`] for now, [`Time::NEVER`] if nothing is pending.
    pub fn deadline(&self) -> Time {
        self.due()
    }

    /// Does this node know all flows that there are to know? It may host no VIP before.
    pub fn is_ready(&self) -> bool {
        self.join.ready
    }

    /// How far the streams of the peers are that were heard in this life.
    pub fn progress(&self) -> impl Iterator<Item = Progress> {
        (0u8..).map(NodeId).zip(&self.peers).filter_map(|(node, peer)| {
            let stream = peer.stream.as_ref()?;
            Some(Progress {
                node,
                incarnation: peer.life?,
                known: stream.known(),
                received: stream.received(),
                ready: stream.ready,
            })
        })
    }

    /// How late the flows of the peers come here; none if no flow came for two minutes.
    pub fn lag(&self, now: Time) -> Option<Lag> {
        self.lags.lag(now)
    }

    /// Where this node's own stream is: records told in this life.
    pub fn position(&self) -> u64 {
        self.log.position()
    }

    /// Counts since start, and how much of the log is used.
    pub fn counters(&self) -> Vec<Counter> {
        let log = [
            ("log_records", self.log.used()),
            ("log_records_most", self.log.used_max),
            ("log_records_max", LOG_MAX),
        ];
        let log = log.map(|(name, n)| Counter { name: name.to_owned(), count: n as u64 });
        self.counts.list().into_iter().chain(log).collect()
    }

    fn is_peer(&self, node: NodeId) -> bool {
        node != self.me && node.index() < self.peers.len()
    }

    fn members(&mut self, now: Time, set: NodeSet) {
        let set = set.iter().filter(|node| node.index() < self.peers.len()).collect();
        let before = self.join.others;
        for node in self.join.members(set, now, &mut self.counts).iter() {
            self.peers[node.index()].owed = true;
        }
        let left = NodeSet(before.0 & !self.join.others.0);
        left.iter().for_each(|node| self.relay(now, node));
    }

    /// Tells the others what a peer told before it went: it may have died between one datagram and the next, and nobody
    /// else can repeat what it told.
    fn relay(&mut self, now: Time, node: NodeId) {
        let Some(stream) = &mut self.peers[node.index()].stream else { return };
        for flow in stream.last_words() {
            if !self.gone.has(now, &flow.key) {
                self.counts.add(Count::RecordRelayed, 1);
                self.log.add(flow, None);
            }
        }
    }

    fn changed(&mut self, now: Time, flow: Flow, made: Option<Time>) {
        if !is_sound(&flow) {
            self.counts.add(Count::RecordRefused, 1);
            return;
        }
        self.remember(now, &flow);
        self.counts.add(Count::RecordSent, 1);
        self.log.add(flow, made);
    }

    fn remember(&mut self, now: Time, flow: &Flow) {
        match flow.state {
            FlowState::Gone => self.gone.add(now, flow.key),
            _ => self.gone.forget(&flow.key),
        }
    }

    fn apply(&mut self, now: Time, flows: Vec<Flow>, out: &mut Vec<Output>) {
        flows.iter().for_each(|flow| self.remember(now, flow));
        if !flows.is_empty() {
            out.push(Output::Apply(flows));
        }
    }

    fn receive(
        &mut self,
        now: Time,
        (from, life, at): (NodeId, Incarnation, Time),
        message: Message,
        out: &mut Vec<Output>,
    ) {
        let before = self.peers[from.index()].life;
        if before != Some(life) {
            self.relay(now, from);
            let renewed = before.is_some();
            self.peers[from.index()] =
                Peer { life: Some(life), renewed, owed: true, ..Peer::default() };
            self.join.new_life(from, renewed, &mut self.counts);
        }
        match message {
            Message::Flows { first, age, flows } => {
                let made = age.map(|age| at.before(age));
                self.receive_flows(now, from, (first, flows), made, out);
            }
            Message::At { oldest, position, ready } => {
                self.receive_at(now, from, (oldest, position), ready, out);
            }
            Message::Ask { first, count } => {
                self.peers[from.index()].repeat = Some((first, count));
            }
            Message::CopyAsk { copy, base, beyond, any, again } => {
                self.receive_copy_ask(now, from, (copy, base), any, out);
                let gift = self.peers[from.index()].gift.as_mut();
                if let Some(gift) = gift.filter(|g| g.copy == copy) {
                    gift.asked(base, beyond, again, now);
                }
            }
            Message::CopyRefused { copy } => {
                self.join.is_refused(from, copy, now, &mut self.counts);
            }
            Message::CopyHead { copy, positions } => {
                if self.takes_piece(now, from, copy, 0, false) {
                    positions.into_iter().for_each(|p| self.begin_stream(p));
                }
            }
            Message::CopyPart { copy, index, last, mut flows } => {
                if self.takes_piece(now, from, copy, index, last) {
                    let all = flows.len();
                    flows.retain(|f| f.state != FlowState::Gone && !self.gone.has(now, &f.key));
                    self.counts.add(Count::CopyFlowGone, (all - flows.len()) as u64);
                    if !flows.is_empty() {
                        out.push(Output::Apply(flows));
                    }
                }
            }
        }
    }

    /// The stream of a peer, which begins at `position` unless it is known already; none if it cannot be that far.
    fn stream(&mut self, from: NodeId, position: u64) -> Option<&mut Stream> {
        let peer = &mut self.peers[from.index()];
        let young = peer.renewed && position <= YOUNG;
        let floor = if young { 0 } else { position };
        let stream = peer.stream.get_or_insert_with(|| Stream::new(floor));
        if stream.believes(position) {
            Some(stream)
        } else {
            self.counts.add(Count::Stale, 1);
            None
        }
    }

    fn receive_flows(
        &mut self,
        now: Time,
        from: NodeId,
        (first, flows): (u64, Vec<Flow>),
        made: Option<Time>,
        out: &mut Vec<Output>,
    ) {
        let end = first + flows.len() as u64;
        let Some(stream) = self.stream(from, first) else { return };
        let mut apply = Vec::with_capacity(flows.len());
        let taken = stream.take(now, first, flows, &mut apply);
        let gap = stream.learn(end);
        self.counts.add(Count::RecordReceived, taken.fresh);
        self.counts.add(Count::RecordKnown, taken.known);
        self.counts.add(Count::RecordUnheld, taken.unheld);
        self.counts.add(Count::Gap, gap.into());
        self.apply(now, apply, out);
        if let (Some(made), 1..) = (made, taken.opening) {
            out.push(Output::Entered { flows: taken.opening, made });
        }
    }

    fn receive_at(
        &mut self,
        now: Time,
        from: NodeId,
        (oldest, position): (u64, u64),
        ready: bool,
        out: &mut Vec<Output>,
    ) {
        if ready {
            self.join.is_ready(from);
        }
        let Some(stream) = self.stream(from, position) else { return };
        stream.ready = ready;
        let gap = stream.learn(position);
        let mut apply = Vec::new();
        if stream.give_up(oldest, &mut apply) {
            self.counts.add(Count::GapLost, 1);
            self.join.is_new(from);
        }
        self.counts.add(Count::Gap, gap.into());
        self.apply(now, apply, out);
    }

    /// Begins a copy for a peer, unless it is under way, or says that there is none.
    fn receive_copy_ask(
        &mut self,
        now: Time,
        from: NodeId,
        (copy, base): (u64, u32),
        any: bool,
        out: &mut Vec<Output>,
    ) {
        if self.peers[from.index()].gift.as_ref().is_some_and(|g| g.copy == copy) {
            return;
        }
        if base == 0 && (any || self.join.ready) {
            self.counts.add(Count::CopyGiven, 1);
            let gift = Gift::new(from, copy, self.positions(), now);
            self.peers[from.index()].gift = Some(gift);
        } else {
            self.counts.add(Count::CopyRefused, 1);
            out.push(Output::Send { to: from, body: Message::CopyRefused { copy }.encode() });
        }
    }

    /// The streams of this node, and of those whose flows are all known here.
    fn positions(&self) -> Vec<Position> {
        let own = Position {
            node: self.me,
            incarnation: self.incarnation,
            position: self.log.position(),
        };
        let peers = (0u8..).map(NodeId).zip(&self.peers).filter_map(|(node, peer)| {
            let position = peer.stream.as_ref().filter(|_| self.join.knows(node))?.received();
            Some(Position { node, incarnation: peer.life?, position })
        });
        peers.chain([own]).collect()
    }

    fn takes_piece(&mut self, now: Time, from: NodeId, copy: u64, index: u32, last: bool) -> bool {
        let taken = self.join.copy.as_mut().filter(|c| c.from == from && c.number == copy);
        let taken = taken.is_some_and(|c| c.take(index, last, now));
        if !taken {
            self.counts.add(Count::Stale, 1);
        }
        taken
    }

    /// A copy that begins has all that a node told before a position.
    fn begin_stream(&mut self, Position { node, incarnation, position }: Position) {
        if !self.is_peer(node) {
            return;
        }
        let peer = &mut self.peers[node.index()];
        if peer.life.is_none() {
            // Until the copy is whole.
            self.join.is_new(node);
        }
        if *peer.life.get_or_insert(incarnation) != incarnation {
            return;
        }
        let stream = peer.stream.get_or_insert_with(|| Stream::new(position));
        if stream.believes(position) {
            stream.go_back(position);
            if let Some(copy) = &mut self.join.copy {
                copy.covers.insert(node);
            }
        }
    }

    fn copy_part(
        &mut self,
        to: NodeId,
        copy: u64,
        flows: &[Flow],
        last: bool,
        out: &mut Vec<Output>,
    ) {
        let gift = self.peers.get_mut(to.index()).and_then(|p| p.gift.as_mut());
        if let Some(gift) = gift.filter(|g| g.copy == copy)
            && gift.part(flows, last)
        {
            gift.turn(out);
        }
    }
}
