//! One member of the cluster: the ring on top of the reliable messages. The daemon's loop and the simulator feed
//! it packets, facts and the time, and carry out its effects in order. It knows no clock, socket or address.

use crate::documents::{Configuration, Documents};
use dsc_ring::Ring;
use dsc_rml::Rml;
use dsc_wire::local::{Counter, Event, HostState, PathDown, View};
use dsc_wire::message::{Beacon, Message, Verdict};
use dsc_wire::packet::{Body, Packet};
use dsc_wire::{Incarnation, NodeId, SubnetId, SubnetSet, Time, VipId};
use std::collections::VecDeque;
use std::sync::Arc;

mod exchange;

/// Most rounds that ring and messages may go on talking to each other within one input. Each round follows
/// from an answer of the one before; far fewer happen, so more than this is a fault of our own.
const ROUNDS_MAX: usize = 10_000;

/// What the driver has to do, in this order: a lease that ends or a VIP switched off must be in the kernel before a
/// later packet gives it away.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Seal the packet and send it on the path.
    Packet {
        /// To whom.
        to: NodeId,
        /// Over which subnet.
        path: SubnetId,
        /// What.
        packet: Packet,
    },
    /// Store the lease; it may be in the past, which ends it now.
    Lease {
        /// When it ends.
        end: Time,
    },
    /// Store how the kernel treats frames for a VIP.
    Host {
        /// Which.
        vip: VipId,
        /// Answer, stay silent, or steer.
        state: HostState,
        /// Members that hosted it before, most recent first.
        past: Vec<NodeId>,
    },
    /// Log it.
    Event(Event),
    /// A command came to its end: every member's view shows it, or why not.
    Done {
        /// As given with the command.
        id: u64,
        /// What happened, for people.
        result: Result<String, String>,
    },
    /// The document of a new configuration is here: check it, store it beside the one in force, and say
    /// [`Member::prepared`] or [`dsc_ring::Input::Unfit`].
    Prepare {
        /// As others call it.
        version: u64,
        /// Its digest.
        digest: u64,
        /// It.
        document: Arc<[u8]>,
    },
    /// From now on this configuration is in force: the one that is prepared, or the same with another version.
    Configured {
        /// Its version.
        version: u64,
        /// Its digest.
        digest: u64,
    },
    /// This node is not in a configuration that is prepared, and leaves; [`Effect::Left`] follows.
    Removed {
        /// That configuration.
        configuration: Box<Configuration>,
    },
    /// The view changed in something a reader cares about.
    Changed,
    /// A planned stop is complete.
    Left,
}

/// One member.
#[derive(Clone)]
pub struct Member {
    ring: Ring,
    rml: Rml,
    me: NodeId,
    incarnation: Incarnation,
    documents: Documents,
    /// Packets sent beside the reliable messages, and the path of the last.
    beside: u64,
    linked: SubnetSet,
    from_ring: Vec<dsc_ring::Output>,
    from_rml: Vec<dsc_rml::Output>,
    to_ring: VecDeque<dsc_ring::Input>,
    undecodable: u64,
}

impl Member {
    /// Starts node `me` of the cluster in a new life.
    pub fn new(
        configuration: Configuration,
        me: NodeId,
        incarnation: Incarnation,
        now: Time,
    ) -> Member {
        let cluster = configuration.cluster.clone();
        let config = dsc_rml::Config::from(&cluster);
        Member {
            me,
            incarnation,
            documents: Documents::new(configuration),
            beside: 0,
            rml: Rml::new(config, me, incarnation, now),
            ring: Ring::new(cluster, me, incarnation, now),
            linked: SubnetSet::EMPTY,
            from_ring: Vec::new(),
            from_rml: Vec::new(),
            to_ring: VecDeque::new(),
            undecodable: 0,
        }
    }

    /// Takes a packet that was opened and is authentic. All packets at hand are fed before [`Member::tick`].
    pub fn packet(
        &mut self,
        now: Time,
        from: NodeId,
        path: SubnetId,
        packet: Packet,
        out: &mut Vec<Effect>,
    ) {
        match packet.body {
            Body::Ask { .. } | Body::Piece { .. } => {
                self.exchange(now, from, path, packet.body, out)
            }
            _ => self.feed_rml(now, dsc_rml::Input::Packet { from, path, packet }, out),
        }
        self.settle(now, out);
    }

    /// This node has stored the configuration beside the one in force.
    pub fn prepared(&mut self, now: Time, configuration: Configuration, out: &mut Vec<Effect>) {
        let (cluster, size) = (Box::new(configuration.cluster.clone()), configuration.size());
        self.documents.prepare(configuration, self.ring.prepared());
        self.input(now, dsc_ring::Input::Prepared { cluster, size }, out);
    }

    /// An operator asks for the configuration, which this node has stored beside the one in force.
    pub fn propose(
        &mut self,
        now: Time,
        id: u64,
        configuration: Configuration,
        out: &mut Vec<Effect>,
    ) {
        let (cluster, size) = (Box::new(configuration.cluster.clone()), configuration.size());
        self.documents.prepare(configuration, self.ring.prepared());
        self.input(now, dsc_ring::Input::Propose { id, cluster, size }, out);
    }

    /// The document of the configuration in force is this one: it was written anew with another version.
    pub fn restated(&mut self, document: Arc<[u8]>) {
        self.documents.in_force.document = document;
    }

    /// What is stored here and may come into force: it must be what a later life of this node finds.
    pub fn pending(&self) -> Option<&Configuration> {
        self.documents.prepared(self.ring.prepared()?)
    }

    /// Why a change that an operator asks for now would be refused, if it would: then it need not be stored, and cannot take
    /// the place of one that may come into force.
    pub fn busy(&self) -> Option<&'static str> {
        self.ring.changing().then_some(dsc_ring::BUSY)
    }

    /// The configuration in force.
    pub fn configuration(&self) -> &Configuration {
        &self.documents.in_force
    }

    /// Takes a fact or a command. Messages and the tick come from the member itself.
    pub fn input(&mut self, now: Time, input: dsc_ring::Input, out: &mut Vec<Effect>) {
        self.to_ring.push_back(input);
        self.settle(now, out);
    }

    /// Time has passed; owed at every wake-up, after the packets.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.feed_rml(now, dsc_rml::Input::Tick, out);
        self.settle(now, out);
        let step = self.documents.tick(now);
        self.go_on(now, step, out);
        let linked = self.rml.linked(now);
        if linked != self.linked {
            self.linked = linked;
            self.to_ring.push_back(dsc_ring::Input::Linked { subnets: linked });
        }
        self.to_ring.push_back(dsc_ring::Input::Tick);
        self.settle(now, out);
    }

    /// When to call [`Member::tick`] at the latest.
    pub fn deadline(&self) -> Time {
        self.ring.deadline().min(self.rml.deadline()).min(self.documents.deadline())
    }

    /// The cluster as this member knows it, without names and counters.
    pub fn view(&self, now: Time) -> View {
        self.ring.view(now)
    }

    /// Paths to those of `members` that answer on another path.
    pub fn paths_down(&self, members: &[NodeId]) -> Vec<PathDown> {
        let mut found = Vec::new();
        for peer in self.rml.peers().filter(|p| members.contains(&p.node)) {
            if peer.paths.iter().any(|p| p.up) {
                let down = peer.paths.iter().filter(|p| !p.up);
                found.extend(down.map(|p| PathDown { peer: peer.node, subnet: p.subnet }));
            }
        }
        found
    }

    /// Key of the last token accepted; [`dsc_wire::Key::ZERO`] before the first.
    pub fn accepted(&self) -> dsc_wire::Key {
        self.ring.accepted()
    }

    /// Subnets on which some peer's path works both ways.
    pub fn linked(&self) -> SubnetSet {
        self.linked
    }

    /// What the ring, the reliable messages and this glue have counted.
    pub fn counters(&self) -> Vec<Counter> {
        let mut counters = self.ring.counters();
        counters.extend(self.rml.counters());
        counters.extend(self.documents.counters());
        counters.push(Counter { name: "messages_undecodable".to_owned(), count: self.undecodable });
        counters
    }

    /// Lets ring and messages talk until both are quiet.
    fn settle(&mut self, now: Time, out: &mut Vec<Effect>) {
        for _ in 0..ROUNDS_MAX {
            let Some(input) = self.to_ring.pop_front() else { return };
            let mut outputs = std::mem::take(&mut self.from_ring);
            self.ring.step(now, input, &mut outputs);
            for output in outputs.drain(..) {
                self.carry_out(now, output, out);
            }
            self.from_ring = outputs;
        }
        panic!("ring and messages did not come to rest after {ROUNDS_MAX} rounds");
    }

    fn carry_out(&mut self, now: Time, output: dsc_ring::Output, out: &mut Vec<Effect>) {
        use dsc_ring::Output as O;
        match output {
            O::Send { id, to, message } => {
                let message = message.encode();
                self.feed_rml(now, dsc_rml::Input::Send { id, to, message }, out);
            }
            O::SendTacit { id, to, message } => {
                let message = message.encode();
                self.feed_rml(now, dsc_rml::Input::SendTacit { id, to, message }, out);
            }
            O::Arrived { id } => self.feed_rml(now, dsc_rml::Input::Arrived { id }, out),
            O::Insist { id } => self.feed_rml(now, dsc_rml::Input::Insist { id }, out),
            O::Cancel { id } => self.feed_rml(now, dsc_rml::Input::Cancel { id }, out),
            O::Answer { receipt, verdict } => {
                let verdict = verdict.encode();
                self.feed_rml(now, dsc_rml::Input::Answer { receipt, verdict }, out);
            }
            O::Keep { receipt, verdict } => {
                let verdict = verdict.encode();
                self.feed_rml(now, dsc_rml::Input::Keep { receipt, verdict }, out);
            }
            O::Beacon { to, beacon } => {
                let body = beacon.encode();
                self.feed_rml(now, dsc_rml::Input::Datagram { to, body }, out);
            }
            O::Lease { end } => out.push(Effect::Lease { end }),
            O::Host { vip, state, past } => out.push(Effect::Host { vip, state, past }),
            O::Event(event) => out.push(Effect::Event(event)),
            O::Done { id, result } => out.push(Effect::Done { id, result }),
            O::Prepare { version, digest, from } => {
                let step = self.documents.fetch(now, version, digest, from);
                self.go_on(now, step, out);
            }
            O::Configured { version, digest } => {
                self.switch(now, version, digest, out);
                out.push(Effect::Configured { version, digest });
            }
            O::Removed { digest } => {
                let configuration = self.documents.prepared(digest).cloned();
                let configuration = configuration.map(Box::new);
                out.extend(configuration.map(|configuration| Effect::Removed { configuration }));
            }
            O::Changed => out.push(Effect::Changed),
            O::Left => out.push(Effect::Left),
        }
    }

    /// The messages' room goes on with the nodes of the configuration that is in force now.
    fn switch(&mut self, now: Time, version: u64, digest: u64, out: &mut Vec<Effect>) {
        let here = self.documents.switch(version, digest);
        debug_assert!(here, "in force is what was prepared here");
        let config = dsc_rml::Config::from(&self.documents.in_force.cluster);
        let mut outputs = Vec::new();
        self.rml.change(now, config, &mut outputs);
        for output in outputs {
            if let Some(owed) = self.hand_up(output, out) {
                self.feed_rml(now, owed, out);
            }
        }
    }

    /// Feeds the messages' room. Its packets become effects at once, which keeps them in the order of what caused
    /// them; what it has for the ring waits for the ring's turn.
    fn feed_rml(&mut self, now: Time, input: dsc_rml::Input, out: &mut Vec<Effect>) {
        let mut outputs = std::mem::take(&mut self.from_rml);
        self.rml.step(now, input, &mut outputs);
        for output in outputs.drain(..) {
            if let Some(owed) = self.hand_up(output, out) {
                // An acknowledgement is all that follows from such an answer.
                self.feed_rml(now, owed, out);
            }
        }
        self.from_rml = outputs;
    }

    /// Turns what the messages' room gave into an effect or the ring's next input. A message that cannot be read is
    /// answered without a verdict, so that its sender need not wait for its time-out.
    fn hand_up(
        &mut self,
        output: dsc_rml::Output,
        out: &mut Vec<Effect>,
    ) -> Option<dsc_rml::Input> {
        use dsc_ring::Input as I;
        use dsc_rml::Output as O;
        match output {
            O::Packet { to, path, packet } => out.push(Effect::Packet { to, path, packet }),
            O::Received { from, incarnation, receipt, message } => {
                let Ok(message) = Message::decode(&message) else {
                    self.undecodable += 1;
                    return Some(dsc_rml::Input::Answer { receipt, verdict: Vec::new() });
                };
                self.to_ring.push_back(I::Received { from, incarnation, receipt, message });
            }
            O::Repeated { from } => self.to_ring.push_back(I::Repeated { from }),
            O::Datagram { from, incarnation, body } => match Beacon::decode(&body) {
                Ok(beacon) => self.to_ring.push_back(I::Beacon { from, incarnation, beacon }),
                Err(_) => self.undecodable += 1,
            },
            O::Delivered { id, verdict } => match Verdict::decode(&verdict) {
                Ok(verdict) => self.to_ring.push_back(I::Delivered { id, verdict }),
                Err(_) => {
                    self.undecodable += 1;
                    self.to_ring.push_back(I::Failed { id });
                }
            },
            O::Failed { id } => self.to_ring.push_back(I::Failed { id }),
            O::PathChanged { .. } => out.push(Effect::Changed),
        }
        None
    }
}

#[cfg(test)]
#[path = "member_tests.rs"]
mod tests;
