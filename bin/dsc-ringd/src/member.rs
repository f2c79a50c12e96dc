//! One member of the cluster: the ring on top of the reliable messages. The daemon's loop and the simulator feed
//! it packets, facts and the time, and carry out its effects in order. It knows no clock, socket or address.

use dsc_ring::Ring;
use dsc_rml::Rml;
use dsc_wire::local::{Counter, Event, HostState, View};
use dsc_wire::message::{Beacon, Message, Verdict};
use dsc_wire::packet::Packet;
use dsc_wire::{Cluster, Incarnation, NodeId, SubnetId, SubnetSet, Time, VipId};
use std::collections::VecDeque;

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
    linked: SubnetSet,
    from_ring: Vec<dsc_ring::Output>,
    from_rml: Vec<dsc_rml::Output>,
    to_ring: VecDeque<dsc_ring::Input>,
    undecodable: u64,
}

impl Member {
    /// Starts node `me` of the cluster in a new life. `seed` is random, or the simulator's, and only has to be hard
    /// to guess for those without the cluster's key.
    pub fn new(
        cluster: Cluster,
        me: NodeId,
        incarnation: Incarnation,
        _seed: u64,
        now: Time,
    ) -> Member {
        let config = dsc_rml::Config::from(&cluster);
        Member {
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
        self.feed_rml(now, dsc_rml::Input::Packet { from, path, packet }, out);
        self.settle(now, out);
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
        self.ring.deadline().min(self.rml.deadline())
    }

    /// The cluster as this member knows it, without names.
    pub fn view(&self, now: Time) -> View {
        self.ring.view(now)
    }

    /// Subnets on which some peer's path works both ways.
    pub fn linked(&self) -> SubnetSet {
        self.linked
    }

    /// What the reliable messages and this glue have counted.
    pub fn counters(&self) -> Vec<Counter> {
        let mut counters = self.rml.counters();
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
            O::Cancel { id } => self.feed_rml(now, dsc_rml::Input::Cancel { id }, out),
            O::Answer { receipt, verdict } => {
                let verdict = verdict.encode();
                self.feed_rml(now, dsc_rml::Input::Answer { receipt, verdict }, out);
            }
            O::Beacon { to, beacon } => {
                let body = beacon.encode();
                self.feed_rml(now, dsc_rml::Input::Datagram { to, body }, out);
            }
            O::Lease { end } => out.push(Effect::Lease { end }),
            O::Host { vip, state, past } => out.push(Effect::Host { vip, state, past }),
            O::Event(event) => out.push(Effect::Event(event)),
            O::Done { id, result } => out.push(Effect::Done { id, result }),
            O::Changed => out.push(Effect::Changed),
            O::Left => out.push(Effect::Left),
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
            O::PathChanged { .. } => {}
        }
        None
    }
}
