//! A cluster's network in memory, in virtual time, from one seed: delay, loss, duplication, reordering, cuts one way,
//! pauses, restarts. It drives each node as the daemon does: all packets at hand, then the tick.

use dsc_rml::{Config, Input, Output, Rml};
use dsc_wire::packet::{Body, Packet};
use dsc_wire::{Incarnation, NodeId, SendId, SubnetId, SubnetSet, Time, Timing};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

pub const A: NodeId = NodeId(0);
pub const B: NodeId = NodeId(1);
pub const C: NodeId = NodeId(2);
pub const EXT: SubnetId = SubnetId(0);
pub const INT: SubnetId = SubnetId(1);

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

/// A small generator (xorshift64*), so that a seed means the same run for ever.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Draw {
        Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    pub fn permille(&mut self, p: u64) -> bool {
        self.below(1_000) < p
    }
}

pub struct Node {
    pub rml: Rml,
    pub incarnation: Incarnation,
    /// What came out, but packets.
    pub log: Vec<(Time, Output)>,
    /// Packets that arrived and were not fed yet, because the node is paused.
    queue: Vec<(NodeId, SubnetId, Packet)>,
    paused_until: Time,
    /// Gives no verdicts.
    pub silent: bool,
    /// Keeps its verdicts for those who ask again, where the sender does not wait.
    pub keeps: bool,
}

struct Flight {
    from: NodeId,
    to: NodeId,
    path: SubnetId,
    packet: Packet,
}

pub struct Net {
    pub now: Time,
    pub nodes: Vec<Node>,
    flights: BTreeMap<(Time, u64), Flight>,
    order: u64,
    config: Config,
    lives: u64,
    sends: u64,
    /// What was passed tacitly and is not known to have arrived.
    under_way: Vec<(SendId, NodeId, NodeId, Vec<u8>)>,
    pub draw: Draw,
    pub delay_us: (u64, u64),
    pub loss: u64,
    pub duplication: u64,
    /// Directions that drop silently.
    pub cuts: HashSet<(NodeId, NodeId, SubnetId)>,
    /// Lives that ended.
    pub graves: Vec<Node>,
    /// Every packet ever sent, and when.
    pub tape: Vec<(Time, Packet)>,
}

impl Net {
    pub fn new(nodes: usize, subnets: u8, timing: Timing, seed: u64) -> Net {
        let all: SubnetSet = (0..subnets).map(SubnetId).collect();
        let mut net = Net {
            now: Time::from_ms(1_000),
            nodes: Vec::new(),
            flights: BTreeMap::new(),
            order: 0,
            config: Config { subnets: vec![all; nodes], timing },
            lives: 0,
            sends: 0,
            under_way: Vec::new(),
            draw: Draw::new(seed),
            delay_us: (50, 150),
            loss: 0,
            duplication: 0,
            cuts: HashSet::new(),
            graves: Vec::new(),
            tape: Vec::new(),
        };
        for node in 0..nodes {
            let node = net.life(NodeId(node as u8));
            net.nodes.push(node);
        }
        net
    }

    fn life(&mut self, node: NodeId) -> Node {
        self.lives += 1;
        let incarnation = Incarnation(self.lives << 8 | u64::from(node.0));
        Node {
            rml: Rml::new(self.config.clone(), node, incarnation, self.now),
            incarnation,
            log: Vec::new(),
            queue: Vec::new(),
            paused_until: Time::ZERO,
            silent: false,
            keeps: false,
        }
    }

    /// The node loses its memory.
    pub fn restart(&mut self, node: NodeId) {
        let life = self.life(node);
        let ended = std::mem::replace(&mut self.nodes[node.index()], life);
        self.graves.push(ended);
    }

    /// The node does not run for `span`.
    pub fn pause(&mut self, node: NodeId, span: Duration) {
        self.nodes[node.index()].paused_until = self.now + span;
    }

    /// Drops everything between `node` and everybody on `path`: what it sends, what it is sent, or both.
    pub fn cut(&mut self, node: NodeId, path: SubnetId, out: bool, into: bool) {
        for other in (0..self.nodes.len() as u8).map(NodeId).filter(|n| *n != node) {
            if out {
                self.cuts.insert((node, other, path));
            }
            if into {
                self.cuts.insert((other, node, path));
            }
        }
    }

    pub fn heal(&mut self) {
        self.cuts.clear();
        self.loss = 0;
        self.duplication = 0;
        self.delay_us = (50, 150);
    }

    pub fn send(&mut self, from: NodeId, to: NodeId, message: Vec<u8>) -> SendId {
        self.sends += 1;
        let id = SendId(self.sends);
        self.feed(from, Input::Send { id, to, message });
        id
    }

    pub fn send_tacit(&mut self, from: NodeId, to: NodeId, message: Vec<u8>) -> SendId {
        self.sends += 1;
        let id = SendId(self.sends);
        self.feed(from, Input::SendTacit { id, to, message });
        id
    }

    pub fn feed(&mut self, node: NodeId, input: Input) {
        let mut out = Vec::new();
        let at = node.index();
        self.nodes[at].rml.step(self.now, input, &mut out);
        for output in out {
            match output {
                Output::Packet { to, path, packet } => self.carry(node, to, path, packet),
                Output::Received { from, incarnation, receipt, message } => {
                    let verdict = verdict(&message);
                    let log = Output::Received { from, incarnation, receipt, message };
                    self.nodes[at].log.push((self.now, log));
                    if self.nodes[at].keeps {
                        self.feed(node, Input::Keep { receipt, verdict });
                    } else if !self.nodes[at].silent {
                        self.feed(node, Input::Answer { receipt, verdict });
                    }
                }
                other => self.nodes[at].log.push((self.now, other)),
            }
        }
    }

    fn carry(&mut self, from: NodeId, to: NodeId, path: SubnetId, packet: Packet) {
        assert_eq!((packet.header.from, packet.header.to, packet.header.path), (from, to, path));
        self.tape.push((self.now, packet.clone()));
        if self.cuts.contains(&(from, to, path)) {
            return;
        }
        let copies = 1 + u64::from(self.draw.permille(self.duplication));
        for _ in 0..copies {
            if self.draw.permille(self.loss) {
                continue;
            }
            let (least, most) = self.delay_us;
            let at = self.now + us(least + self.draw.below(most - least + 1));
            self.order += 1;
            let flight = Flight { from, to, path, packet: packet.clone() };
            self.flights.insert((at, self.order), flight);
        }
    }

    /// Puts a packet on the wire again, as an attacker without the key can.
    pub fn replay(&mut self, packet: Packet) {
        let (from, to, path) = (packet.header.from, packet.header.to, packet.header.path);
        self.feed(to, Input::Packet { from, path, packet });
    }

    fn next(&self) -> Time {
        let arrival = self.flights.keys().next().map_or(Time::NEVER, |(at, _)| *at);
        let wakes = self.nodes.iter().map(|n| n.rml.deadline().max(n.paused_until));
        let fed = self.nodes.iter().filter(|n| !n.queue.is_empty()).map(|n| n.paused_until);
        wakes.chain(fed).chain([arrival]).min().unwrap_or(Time::NEVER).max(self.now)
    }

    /// Runs for `span`.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        let mut idle = 0;
        while self.next() <= end {
            let next = self.next();
            idle = if next > self.now { 0 } else { idle + 1 };
            assert!(idle < 1_000, "busy at {:?}", self.now);
            self.now = next;
            while let Some(entry) = self.flights.first_entry().filter(|e| e.key().0 <= next) {
                let Flight { from, to, path, packet } = entry.remove();
                self.nodes[to.index()].queue.push((from, path, packet));
            }
            for at in 0..self.nodes.len() {
                let node = &mut self.nodes[at];
                let wakes = !node.queue.is_empty() || node.rml.deadline() <= next;
                if !wakes || node.paused_until > next {
                    continue;
                }
                let me = NodeId(at as u8);
                for (from, path, packet) in std::mem::take(&mut node.queue) {
                    self.feed(me, Input::Packet { from, path, packet });
                }
                self.feed(me, Input::Tick);
            }
        }
        self.now = end;
    }

    /// Has every node pass a message to the next one once in a rotation, as an idle ring does, `turns` times: one after
    /// the other without acknowledgements, then a rest. What did not arrive is insisted on.
    pub fn rotate(&mut self, turns: usize) {
        let n = self.nodes.len();
        let rotation = self.config.timing.rotation;
        let kept: Vec<bool> = self.nodes.iter().map(|node| node.keeps).collect();
        self.nodes.iter_mut().for_each(|node| node.keeps = true);
        for _ in 0..turns {
            let start = self.now;
            for (id, from, to, message) in std::mem::take(&mut self.under_way) {
                if self.received(to).contains(&message) {
                    self.feed(from, Input::Arrived { id });
                }
            }
            for at in 0..n {
                let (from, to) = (NodeId(at as u8), NodeId(((at + 1) % n) as u8));
                if self.nodes[at].paused_until <= self.now {
                    let message = [&self.sends.to_be_bytes()[..], &[7; 300]].concat();
                    let id = self.send_tacit(from, to, message.clone());
                    self.under_way.push((id, from, to, message));
                }
                self.run(us(50));
            }
            self.run(self.config.timing.removal / 5);
            for (id, from, to, message) in std::mem::take(&mut self.under_way) {
                if !self.received(to).contains(&message) {
                    self.feed(from, Input::Insist { id });
                } else {
                    self.under_way.push((id, from, to, message));
                }
            }
            self.run((start + rotation).since(self.now));
        }
        self.nodes.iter_mut().zip(kept).for_each(|(node, kept)| node.keeps = kept);
    }

    pub fn timing(&self) -> Timing {
        self.config.timing
    }

    pub fn linked(&self, node: NodeId) -> Vec<u8> {
        self.nodes[node.index()].rml.linked(self.now).iter().map(|s| s.0).collect()
    }

    pub fn count(&self, node: NodeId, name: &str) -> u64 {
        let counters = self.nodes[node.index()].rml.counters();
        counters.iter().find(|c| c.name == name).expect("no such counter").count
    }

    pub fn delivered(&self, node: NodeId, id: SendId) -> Option<Time> {
        let is = |o: &Output| matches!(o, Output::Delivered { id: i, .. } if *i == id);
        self.nodes[node.index()].log.iter().find(|(_, o)| is(o)).map(|(at, _)| *at)
    }

    pub fn failed(&self, node: NodeId, id: SendId) -> Option<Time> {
        let is = |o: &Output| *o == Output::Failed { id };
        self.nodes[node.index()].log.iter().find(|(_, o)| is(o)).map(|(at, _)| *at)
    }

    pub fn received(&self, node: NodeId) -> Vec<Vec<u8>> {
        let messages = self.nodes[node.index()].log.iter().filter_map(|(_, o)| match o {
            Output::Received { message, .. } => Some(message.clone()),
            _ => None,
        });
        messages.collect()
    }

    /// Times and paths of the pieces of messages sent by `from` since `since`.
    pub fn tries(&self, from: NodeId, since: Time) -> Vec<(Time, SubnetId)> {
        let data = self.tape.iter().filter(|(at, p)| {
            *at >= since && p.header.from == from && matches!(p.body, Body::Data { .. })
        });
        data.map(|(at, p)| (*at, p.header.path)).collect()
    }

    /// Everybody knows everybody and has used each path.
    pub fn acquaint(&mut self) {
        let n = self.nodes.len() as u8;
        for from in (0..n).map(NodeId) {
            for to in (0..n).map(NodeId).filter(|to| *to != from) {
                self.send(from, to, b"hello".to_vec());
            }
        }
        self.run(ms(5));
        for node in &mut self.nodes {
            node.log.clear();
        }
    }
}

/// The verdict that every node gives: a digest of the message, so that a mixed-up one is noticed.
pub fn verdict(message: &[u8]) -> Vec<u8> {
    let sum = message.iter().fold(7_u64, |sum, b| sum.wrapping_mul(31).wrapping_add(u64::from(*b)));
    sum.to_be_bytes().to_vec()
}
