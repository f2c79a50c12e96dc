//! A few rings, one tick a hop, and what must hold after each tick. Called by the explorer, which clones it.

use crate::exchange::{Body, Exchange, Packet, RETRY, TRIES};
use crate::menu::Fault;
use dsc_ring::{Input, Output, Ring};
use dsc_wire::local::{HostState, RingState};
use dsc_wire::{
    Balance, Cluster, Incarnation, NodeId, NodePlan, Partition, Persistence, Rejoin, SubnetId,
    SubnetSet, Time, Timing, VipId, VipPlan,
};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

/// One tick is one millisecond, and one hop.
pub type Tick = u32;
/// VIPs of the small cluster.
pub const VIPS: u16 = 2;
/// Ticks within which the first ring must have formed.
pub const FORMS: Tick = 400;

/// One node.
#[derive(Clone, Debug)]
struct Node {
    ring: Ring,
    exchange: Exchange,
    inbox: Vec<Packet>,
    lives: u64,
    lease: Time,
    hosts: Vec<HostState>,
    /// Not run before; not powered before; daemon not started before.
    paused: Tick,
    off: Tick,
    down: Tick,
    ran: Tick,
    moves: Vec<Input>,
}

/// The world.
#[derive(Clone, Debug)]
pub struct World {
    /// Now.
    pub tick: Tick,
    cluster: Cluster,
    nodes: Vec<Node>,
    wire: Vec<Packet>,
    cuts: Vec<Tick>,
    acks: Vec<Tick>,
    /// The packets that arrive at the next tick are lost.
    pub losing: bool,
    losses: u8,
    /// A whole exchange between two running nodes may have been lost.
    cut: bool,
    commands: u64,
}

/// Timing in ticks such that one tick is one hop.
fn timing(nodes: usize) -> Timing {
    let ms = |n: usize| Duration::from_millis(n as u64);
    let rotation = 3;
    let lease = 2 * (rotation + nodes) + 12;
    Timing {
        rotation: ms(rotation),
        removal: ms((RETRY * Tick::from(TRIES)) as usize),
        starve: ms(rotation + nodes + 8),
        lease: ms(lease),
        lease_max: ms(lease),
        beacon: ms(8),
        stall: ms(3),
    }
}

fn time(tick: Tick) -> Time {
    Time::from_ms(10_000 + u64::from(tick))
}

impl World {
    /// `nodes` nodes, all switched on now.
    pub fn new(nodes: usize, partition: Partition) -> World {
        let subnets: SubnetSet = [SubnetId(0)].into_iter().collect();
        let cluster = Cluster {
            nodes: vec![NodePlan { subnets, witness: false }; nodes],
            vips: (0..VIPS)
                .map(|v| VipPlan {
                    subnet: SubnetId(0),
                    preferred: Some(NodeId((v as usize % nodes + 1) as u8 % nodes as u8)),
                    persistence: Persistence::Current,
                })
                .collect(),
            backends: Vec::new(),
            partition,
            rejoin: Rejoin::Auto,
            timing: timing(nodes),
            balance: Balance { on: false, ..Balance::DEFAULT },
            digest: 1,
            version: 0,
        };
        let list = (0..nodes as u8).map(|n| Node::new(&cluster, NodeId(n), 1, 0)).collect();
        World {
            tick: 0,
            nodes: list,
            cluster,
            wire: Vec::new(),
            cuts: vec![0; nodes * nodes],
            acks: vec![0; nodes * nodes],
            losing: false,
            losses: 0,
            cut: false,
            commands: 0,
        }
    }

    /// The nodes.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u8).map(NodeId)
    }

    /// Runs (is not paused, has power and a daemon)?
    pub fn runs(&self, node: NodeId) -> bool {
        let n = &self.nodes[node.index()];
        n.paused <= self.tick && n.off <= self.tick && n.down <= self.tick
    }

    fn answers(&self, node: NodeId, vip: VipId) -> bool {
        let n = &self.nodes[node.index()];
        n.off <= self.tick && n.hosts[vip.index()] == HostState::On && time(self.tick) < n.lease
    }

    /// Who answers for `vip`.
    pub fn hosts(&self, vip: VipId) -> Vec<NodeId> {
        self.ids().filter(|n| self.answers(*n, vip)).collect()
    }

    /// Lets `fault` begin.
    pub fn apply(&mut self, fault: Fault) {
        let tick = self.tick;
        let size = self.nodes.len();
        let pair = |a: NodeId, b: NodeId| a.index() * size + b.index();
        match fault {
            Fault::Pause(n, lasts) => self.nodes[n.index()].paused = tick + lasts,
            Fault::Crash(n) => self.nodes[n.index()].off = Tick::MAX,
            Fault::Reboot(n, lasts) => self.nodes[n.index()].off = tick + lasts,
            Fault::Kill(n, lasts) => self.nodes[n.index()].down = tick + lasts,
            Fault::Cut(a, b, lasts) => {
                self.cuts[pair(a, b)] = tick + lasts;
                self.cut = true;
            }
            Fault::Cut2(a, b, lasts) => {
                self.cuts[pair(a, b)] = tick + lasts;
                self.cuts[pair(b, a)] = tick + lasts;
                self.cut = true;
            }
            Fault::Alone(n, lasts) => {
                for m in self.ids() {
                    self.cuts[pair(n, m)] = tick + lasts;
                    self.cuts[pair(m, n)] = tick + lasts;
                }
                self.cut = true;
            }
            Fault::Acks(a, b, lasts) => {
                self.acks[pair(a, b)] = tick + lasts;
                self.cut = true;
            }
            Fault::Lose => {
                self.losing = true;
                self.losses += 1;
                // As many losses as tries of one exchange are a cut by definition.
                self.cut |= self.losses >= TRIES;
            }
            Fault::Command(n, command) => {
                self.commands += 1;
                let id = self.commands;
                self.nodes[n.index()].moves.push(Input::Command { id, command });
            }
        }
    }

    /// One tick.
    ///
    /// # Errors
    /// What does not hold after it.
    pub fn step(&mut self, tell: bool) -> Result<(), String> {
        self.tick += 1;
        let tick = self.tick;
        for id in self.ids() {
            self.restart(id);
        }
        let (arrived, wire) =
            std::mem::take(&mut self.wire).into_iter().partition::<Vec<_>, _>(|p| p.at <= tick);
        self.wire = wire;
        let losing = std::mem::take(&mut self.losing);
        for packet in arrived {
            let node = &mut self.nodes[packet.to.index()];
            if tell {
                println!(
                    "{tick:4} {}->{} {:?}{}",
                    packet.from.0,
                    packet.to.0,
                    packet.body,
                    if losing { " LOST" } else { "" }
                );
            }
            if !losing && node.off <= tick && node.down <= tick {
                node.inbox.push(packet);
            }
        }
        for id in self.ids() {
            if self.runs(id) {
                self.turn(id, tell)?;
            }
        }
        self.check()
    }

    fn restart(&mut self, id: NodeId) {
        let tick = self.tick;
        let cluster = &self.cluster;
        let node = &mut self.nodes[id.index()];
        if node.off == tick {
            *node = Node::new(cluster, id, node.lives + 1, tick);
        } else if node.down == tick {
            let (lease, hosts) = (node.lease, node.hosts.clone());
            *node = Node::new(cluster, id, node.lives + 1, tick);
            (node.lease, node.hosts) = (lease, hosts);
        } else if node.off > tick || node.down > tick {
            node.inbox.clear();
        }
    }

    fn turn(&mut self, id: NodeId, tell: bool) -> Result<(), String> {
        let tick = self.tick;
        let size = self.nodes.len();
        let node = &mut self.nodes[id.index()];
        node.turn(tick, tell)?;
        let life = Incarnation(node.lives);
        for (to, known, body) in std::mem::take(&mut node.exchange.out) {
            let pair = id.index() * size + to.index();
            let ack = matches!(body, Body::Ack(..));
            if self.cuts[pair] > tick || (ack && self.acks[pair] > tick) {
                continue;
            }
            self.wire.push(Packet { at: tick + 1, from: id, to, life, known, body });
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        if self.cut && self.cluster.partition == Partition::Serve {
            return Ok(());
        }
        for vip in (0..VIPS).map(VipId) {
            let hosts = self.hosts(vip);
            if hosts.len() > 1 {
                return Err(format!("P3: vip {} answered by {hosts:?} at {}", vip.0, self.tick));
            }
        }
        Ok(())
    }

    /// After quiet ticks: every VIP is answered once, by a node of the one ring.
    ///
    /// # Errors
    /// What is missing.
    pub fn settled(&self) -> Result<(), String> {
        let on: Vec<NodeId> =
            self.ids().filter(|n| self.nodes[n.index()].off <= self.tick).collect();
        if self.cluster.partition == Partition::Majority && 2 * on.len() <= self.nodes.len() {
            return Ok(());
        }
        for vip in (0..VIPS).map(VipId) {
            let hosts = self.hosts(vip);
            if hosts.len() != 1 {
                return Err(format!("P1: vip {} answered by {hosts:?} at {}", vip.0, self.tick));
            }
        }
        for id in &on {
            let view = self.nodes[id.index()].ring.view(time(self.tick));
            let right = matches!(view.state, RingState::Member | RingState::Alone);
            if !right || view.members.len() != on.len() {
                return Err(format!("node {} is {:?} of {:?}", id.0, view.state, view.members));
            }
        }
        Ok(())
    }

    /// A digest of everything that decides how it goes on.
    pub fn digest(&self) -> u64 {
        struct Digest(DefaultHasher);
        impl Write for Digest {
            fn write_str(&mut self, text: &str) -> std::fmt::Result {
                self.0.write(text.as_bytes());
                Ok(())
            }
        }
        let mut digest = Digest(DefaultHasher::new());
        let written =
            write!(digest, "{:?}{:?}{:?}{:?}", self.nodes, self.wire, self.cuts, self.acks);
        assert!(written.is_ok(), "a digest takes any text");
        digest.0.write_u32(self.tick);
        digest.0.write_u8(self.losses);
        digest.0.finish()
    }
}

impl Node {
    fn new(cluster: &Cluster, id: NodeId, lives: u64, tick: Tick) -> Node {
        let life = Incarnation(lives);
        let subnets = cluster.nodes[id.index()].subnets;
        Node {
            ring: Ring::new(cluster.clone(), id, life, time(tick)),
            exchange: Exchange::new(id, life, cluster.nodes.len()),
            inbox: Vec::new(),
            lives,
            lease: Time::ZERO,
            hosts: vec![HostState::Off; usize::from(VIPS)],
            paused: 0,
            off: 0,
            down: 0,
            ran: tick,
            moves: vec![Input::Able { subnets }, Input::Linked { subnets }],
        }
    }

    /// Everything that arrived, then the time-outs, then the tick.
    fn turn(&mut self, tick: Tick, tell: bool) -> Result<(), String> {
        if tick - self.ran > 3 {
            self.exchange.stalled(tick);
        }
        self.ran = tick;
        let due = time(tick) >= self.ring.deadline() || tick >= self.exchange.deadline();
        if self.inbox.is_empty() && self.moves.is_empty() && !due {
            return Ok(());
        }
        for input in std::mem::take(&mut self.moves) {
            self.feed(tick, input, tell);
        }
        for packet in std::mem::take(&mut self.inbox) {
            let (failed, input) = self.exchange.receive(tick, packet);
            for id in failed {
                self.feed(tick, Input::Failed { id }, tell);
            }
            if let Some(input) = input {
                self.feed(tick, input, tell);
            }
        }
        for id in self.exchange.due(tick) {
            self.feed(tick, Input::Failed { id }, tell);
        }
        self.feed(tick, Input::Tick, tell);
        Ok(())
    }

    fn feed(&mut self, tick: Tick, input: Input, tell: bool) {
        let mut out = Vec::new();
        self.ring.step(time(tick), input, &mut out);
        for output in out {
            match output {
                Output::Send { id, to, message } => {
                    self.exchange.send(tick, id, to, message, false);
                }
                Output::SendTacit { id, to, message } => {
                    self.exchange.send(tick, id, to, message, true);
                }
                Output::Insist { id } => self.exchange.insist(tick, id),
                Output::Cancel { id } | Output::Arrived { id } => self.exchange.cancel(id),
                Output::Answer { receipt, verdict } => self.exchange.answer(receipt, verdict, true),
                Output::Keep { receipt, verdict } => self.exchange.answer(receipt, verdict, false),
                Output::Beacon { to, beacon } => self.exchange.beacon(to, beacon),
                Output::Lease { end } => self.lease = end,
                Output::Host { vip, state, .. } => {
                    if tell {
                        println!("{tick:4} life {} vip {} {state:?}", self.lives, vip.0);
                    }
                    self.hosts[vip.index()] = state;
                }
                Output::Event(event) => {
                    if tell {
                        println!("{tick:4} {event:?}");
                    }
                }
                Output::Done { .. } | Output::Changed | Output::Left => {}
                Output::Prepare { .. } | Output::Configured { .. } | Output::Removed { .. } => {
                    unreachable!("all have the same configuration")
                }
            }
        }
    }
}
