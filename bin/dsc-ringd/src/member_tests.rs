//! Two members on a wire: what they say to each other, and what of it their drivers have to do.

use super::*;
use dsc_wire::local::RingState;
use dsc_wire::{Balance, Cluster, NodePlan, Partition, Persistence, SendId, Timing, VipPlan};
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
            rejoin: dsc_wire::Rejoin::Auto,
            timing: Timing::DEFAULT,
            balance: Balance { on: false, ..Balance::DEFAULT },
            digest: 1,
            version: 0,
        };
        let now = Time::from_ms(1_000);
        let member = |n: u8| {
            let incarnation = Incarnation(100 + u64::from(n));
            let configuration = Configuration { cluster: cluster.clone(), document: Arc::from([]) };
            Member::new(configuration, NodeId(n), incarnation, now)
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
