//! One member of the cluster: the ring on top of the reliable messages. The daemon's loop and the simulator feed
//! it packets, facts and the time, and carry out its effects in order. It knows no clock, socket or address.

use dsc_ring::Ring;
use dsc_rml::Rml;
use dsc_wire::local::{Counter, Event, HostState, PathDown, View};
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
    /// Starts node `me` of the cluster in a new life.
    pub fn new(cluster: Cluster, me: NodeId, incarnation: Incarnation, now: Time) -> Member {
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
mod tests {
    use super::*;
    use dsc_wire::local::RingState;
    use dsc_wire::{NodePlan, Partition, Persistence, SendId, Timing, VipPlan};
    use std::time::Duration;

    const HOP: Duration = Duration::from_micros(200);

    /// Two members, and a wire that loses what goes over the subnet that is cut.
    struct Pair {
        members: [Member; 2],
        wire: VecDeque<(Time, usize, SubnetId, Packet)>,
        now: Time,
        cut: Option<SubnetId>,
        log: Vec<(Time, usize, Effect)>,
    }

    impl Pair {
        fn new() -> Pair {
            let subnets: SubnetSet = [SubnetId(0), SubnetId(1)].into_iter().collect();
            let node = NodePlan { subnets, witness: false };
            let vip =
                VipPlan { subnet: SubnetId(0), preferred: None, persistence: Persistence::Current };
            let cluster = Cluster {
                nodes: vec![node; 2],
                vips: vec![vip; 4],
                backends: Vec::new(),
                partition: Partition::Serve,
                timing: Timing::DEFAULT,
                digest: 1,
            };
            let now = Time::from_ms(1_000);
            let member = |n: u8| {
                let incarnation = Incarnation(100 + u64::from(n));
                Member::new(cluster.clone(), NodeId(n), incarnation, now)
            };
            let mut members = [member(0), member(1)];
            for member in &mut members {
                member.input(now, dsc_ring::Input::Able { subnets }, &mut Vec::new());
            }
            Pair { members, wire: VecDeque::new(), now, cut: None, log: Vec::new() }
        }

        fn until(&mut self, what: &str, wanted: impl Fn(&Pair) -> bool) {
            let end = self.now + Duration::from_secs(5);
            while !wanted(self) {
                assert!(self.now < end, "never came to: {what}");
                self.turn();
            }
        }

        fn turn(&mut self) {
            let wire = self.wire.front().map_or(Time::NEVER, |(at, ..)| *at);
            let next = self.members.iter().map(Member::deadline).fold(wire, Time::min);
            self.now = self.now.max(next);
            let mut out = Vec::new();
            while self.wire.front().is_some_and(|(at, ..)| *at <= self.now) {
                let Some((_, to, path, packet)) = self.wire.pop_front() else { break };
                let from = packet.header.from;
                self.members[to].packet(self.now, from, path, packet, &mut out);
                self.carry_out(to, &mut out);
            }
            for n in 0..2 {
                self.members[n].tick(self.now, &mut out);
                self.carry_out(n, &mut out);
            }
        }

        fn carry_out(&mut self, n: usize, out: &mut Vec<Effect>) {
            for effect in out.drain(..) {
                if let Effect::Packet { to, path, packet } = &effect
                    && self.cut != Some(*path)
                {
                    self.wire.push_back((self.now + HOP, to.index(), *path, packet.clone()));
                }
                self.log.push((self.now, n, effect));
            }
        }

        fn formed(&self) -> bool {
            self.members.iter().all(|m| {
                let view = m.view(self.now);
                view.state == RingState::Member && view.vips.iter().all(|v| v.host.is_some())
            })
        }
    }

    #[test]
    fn two_members_form_a_ring_and_share_the_vips() {
        let mut pair = Pair::new();
        pair.until("one ring", Pair::formed);
        assert_eq!(pair.members[0].linked().iter().count(), 2);
        let hosts: Vec<_> = pair.members[1].view(pair.now).vips.iter().map(|v| v.host).collect();
        for node in [NodeId(0), NodeId(1)] {
            assert_eq!(hosts.iter().filter(|h| **h == Some(node)).count(), 2, "{hosts:?}");
        }
    }

    #[test]
    fn a_dead_path_to_a_member_is_told_until_it_works_again() {
        let mut pair = Pair::new();
        let down = |pair: &Pair, n: usize| {
            let member = &pair.members[n];
            member.paths_down(&member.view(pair.now).members)
        };
        pair.until("one ring", Pair::formed);
        pair.until("every path works", |p| down(p, 0).is_empty() && down(p, 1).is_empty());
        pair.cut = Some(SubnetId(1));
        let dead = |peer| vec![PathDown { peer: NodeId(peer), subnet: SubnetId(1) }];
        pair.until("both tell", |p| down(p, 0) == dead(1) && down(p, 1) == dead(0));
        assert_eq!(pair.members[0].paths_down(&[NodeId(0)]), [], "the peer is no member");
        pair.cut = None;
        pair.until("healed", |p| down(p, 0).is_empty() && down(p, 1).is_empty());
    }

    #[test]
    fn a_path_that_changes_makes_a_new_view() {
        let mut member = Pair::new().members[0].clone();
        let mut out = Vec::new();
        for up in [false, true] {
            let change = dsc_rml::Output::PathChanged { peer: NodeId(1), path: SubnetId(0), up };
            assert_eq!(member.hand_up(change, &mut out), None);
        }
        assert_eq!(out, [Effect::Changed, Effect::Changed]);
    }

    #[test]
    fn the_same_inputs_have_the_same_effects() {
        let (mut one, mut two) = (Pair::new(), Pair::new());
        one.until("one ring", Pair::formed);
        let mut copy = one.members[0].clone();
        two.until("one ring", Pair::formed);
        assert_eq!(one.log, two.log);
        let at = copy.deadline();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        copy.tick(at, &mut first);
        one.members[0].tick(at, &mut second);
        assert_eq!(first, second);
    }

    #[test]
    fn a_message_that_cannot_be_read_is_counted_and_answered() {
        let mut pair = Pair::new();
        pair.until("one ring", Pair::formed);
        let send = dsc_rml::Input::Send { id: SendId(u64::MAX), to: NodeId(1), message: vec![99] };
        let (now, mut out) = (pair.now, Vec::new());
        pair.members[0].feed_rml(now, send, &mut out);
        pair.carry_out(0, &mut out);
        let unread = |p: &Pair, n: usize| p.members[n].undecodable;
        pair.until("counted by the receiver", |p| unread(p, 1) == 1);
        pair.until("its empty answer counted by the sender", |p| unread(p, 0) == 1);
        pair.until("still one ring", Pair::formed);
    }
}
