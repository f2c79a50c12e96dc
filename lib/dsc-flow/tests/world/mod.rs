//! A few nodes with tables in memory, in virtual time, from one seed: delay, loss, duplication, reordering, cuts, restarts.
//! It drives each node as the daemon does: all that is at hand, then the tick.

use dsc_flow::share::{Config, Input, Message, Output, Share, supersedes};
use dsc_wire::packet::FRAGMENT_MAX;
use dsc_wire::{Flow, FlowKey, FlowKind, FlowState, Incarnation, NodeId, NodeSet, Protocol, Time};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

/// A flow of a client that `n` names.
pub fn flow(n: u32, backend: u8, state: FlowState) -> Flow {
    let [a, b, c, d] = n.to_be_bytes();
    let client = SocketAddr::from(([10, a, b, c], 1_000 + u16::from(d)));
    let vip = SocketAddr::from(([10, 1, 0, 100], 80));
    let key = FlowKey { protocol: Protocol::Tcp, client, vip };
    let backend = SocketAddr::from(([10, 2, 0, backend], 8_080));
    Flow { key, backend, state, kind: FlowKind::Nat }
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
    pub share: Share,
    pub incarnation: Incarnation,
    pub table: BTreeMap<FlowKey, Flow>,
    /// The walk through the table for each peer: what is left of it.
    walks: HashMap<NodeId, (u64, Vec<FlowKey>)>,
    pub ready: bool,
    /// The table of the ready node that was asked last for a copy, as it was then.
    pub promised: Option<BTreeMap<FlowKey, Flow>>,
    /// What it told others, by kind.
    pub sent: BTreeMap<&'static str, u64>,
    touched: bool,
}

enum Cargo {
    Datagram { from: NodeId, lives: (Incarnation, Incarnation), body: Vec<u8> },
    Members(Incarnation, NodeSet),
}

pub struct World {
    pub now: Time,
    pub nodes: Vec<Node>,
    flights: BTreeMap<(Time, u64), (NodeId, Cargo)>,
    order: u64,
    lives: u64,
    pub draw: Draw,
    pub delay_us: (u64, u64),
    pub loss: u64,
    pub duplication: u64,
    /// The side of each node; nodes of different sides do not hear each other.
    pub sides: Vec<u8>,
    /// When each node hears who is a member: views do not overtake each other.
    told: Vec<Time>,
    /// Keys that ended at some time.
    pub gone: BTreeSet<FlowKey>,
}

impl World {
    pub fn new(nodes: usize, seed: u64) -> World {
        let mut world = World {
            now: Time::from_ms(1_000),
            nodes: Vec::new(),
            flights: BTreeMap::new(),
            order: 0,
            lives: 0,
            draw: Draw::new(seed),
            delay_us: (50, 150),
            loss: 0,
            duplication: 0,
            sides: vec![0; nodes],
            told: vec![Time::ZERO; nodes],
            gone: BTreeSet::new(),
        };
        for node in 0..nodes {
            let node = world.life(NodeId(node as u8));
            world.nodes.push(node);
        }
        world
    }

    pub fn all(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.sides.len() as u8).map(NodeId)
    }

    fn life(&mut self, node: NodeId) -> Node {
        self.lives += 1;
        let incarnation = Incarnation(self.lives << 8 | u64::from(node.0));
        let config = Config { nodes: self.sides.len() };
        Node {
            share: Share::new(config, node, incarnation, self.now),
            incarnation,
            table: BTreeMap::new(),
            walks: HashMap::new(),
            ready: false,
            promised: None,
            sent: BTreeMap::new(),
            touched: true,
        }
    }

    /// The daemon starts again; the table is the kernel's and stays, unless the whole node went.
    pub fn restart(&mut self, node: NodeId, keeps: bool) {
        let mut life = self.life(node);
        let before = &mut self.nodes[node.index()];
        if keeps {
            life.table = std::mem::take(&mut before.table);
        }
        *before = life;
    }

    /// The rings come about: each node hears soon who is on its side.
    pub fn join(&mut self) {
        for node in self.all() {
            let side = self.sides[node.index()];
            let set = self.all().filter(|n| self.sides[n.index()] == side).collect();
            self.tell_members(node, set);
        }
    }

    /// A node hears soon who is a member.
    pub fn tell_members(&mut self, node: NodeId, set: NodeSet) {
        let told = &mut self.told[node.index()];
        let at = (self.now + us(self.draw.below(30_000))).max(*told);
        *told = at;
        self.order += 1;
        let cargo = Cargo::Members(self.nodes[node.index()].incarnation, set);
        self.flights.insert((at, self.order), (node, cargo));
    }

    /// A flow is made, changed or removed at `node`.
    pub fn change(&mut self, node: NodeId, flow: Flow) {
        let table = &mut self.nodes[node.index()].table;
        if flow.state == FlowState::Gone {
            table.remove(&flow.key);
            self.gone.insert(flow.key);
        } else {
            table.insert(flow.key, flow);
        }
        self.feed(node, Input::Changed(flow));
    }

    /// The kernel of `node` made a flow at `at`.
    pub fn make(&mut self, node: NodeId, flow: Flow, at: Time) {
        self.nodes[node.index()].table.insert(flow.key, flow);
        self.feed(node, Input::Made { flow, at });
    }

    fn feed(&mut self, node: NodeId, input: Input<'_>) {
        let mut out = Vec::new();
        let now = self.now;
        self.nodes[node.index()].touched = true;
        self.nodes[node.index()].share.step(now, input, &mut out);
        for output in out {
            match output {
                Output::Send { to, body } => self.send(node, to, body),
                Output::Apply(flows) => {
                    assert!(!flows.is_empty());
                    let table = &mut self.nodes[node.index()].table;
                    flows.iter().for_each(|flow| apply(table, flow));
                }
                Output::Entered { flows, made } => {
                    self.feed(node, Input::Entered { flows, made });
                }
                Output::NeedCopy { to, copy, part, flows_max } => {
                    let (flows, last) = self.nodes[node.index()].walk(to, (copy, part), flows_max);
                    self.feed(node, Input::CopyPart { to, copy, flows, last });
                }
                Output::Ready => self.is_ready(node),
            }
        }
    }

    fn is_ready(&mut self, node: NodeId) {
        let by_copy = self.count(node, "copies_whole") > 0;
        let gone = &self.gone;
        let node = &mut self.nodes[node.index()];
        assert!(!node.ready && node.share.is_ready(), "ready twice");
        node.ready = true;
        // It must have all that the giver had when it was asked, unless there is no other node.
        let promised = node.promised.take().filter(|_| by_copy);
        for (key, flow) in promised.unwrap_or_default() {
            let known = node.table.get(&key);
            let has = known.is_some_and(|known| !supersedes(&flow, known));
            assert!(has || gone.contains(&key), "ready without {flow:?}: {known:?}");
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, body: Vec<u8>) {
        assert!(from != to && body.len() <= FRAGMENT_MAX, "{from} to {to}: {} bytes", body.len());
        let message = Message::decode(&body).expect("what is sent means something");
        let kind = match message {
            Message::Flows { .. } => "flows",
            Message::At { .. } => "at",
            Message::Ask { .. } => "ask",
            Message::CopyAsk { base, any, again, .. } => {
                let giver = &self.nodes[to.index()];
                if base == 0 && !any && !again {
                    let promised = giver.ready.then(|| giver.table.clone());
                    self.nodes[from.index()].promised = promised;
                }
                "copy-ask"
            }
            Message::CopyRefused { .. } => "refused",
            Message::CopyHead { .. } => "copy-head",
            Message::CopyPart { .. } => "copy-part",
        };
        *self.nodes[from.index()].sent.entry(kind).or_default() += 1;
        if self.sides[from.index()] != self.sides[to.index()] {
            return;
        }
        let lives = (self.nodes[from.index()].incarnation, self.nodes[to.index()].incarnation);
        for _ in 0..1 + u64::from(self.draw.permille(self.duplication)) {
            if self.draw.permille(self.loss) {
                continue;
            }
            let (least, most) = self.delay_us;
            let at = self.now + us(least + self.draw.below(most - least + 1));
            self.order += 1;
            let cargo = Cargo::Datagram { from, lives, body: body.clone() };
            self.flights.insert((at, self.order), (to, cargo));
        }
    }

    fn deliver(&mut self, to: NodeId, cargo: Cargo) {
        match cargo {
            // As dsc-rml promises: both are in the life that the sender spoke of.
            Cargo::Datagram { from, lives: (sender, receiver), body } => {
                let alive = self.nodes[from.index()].incarnation == sender
                    && self.nodes[to.index()].incarnation == receiver;
                if alive {
                    let at = self.now;
                    let incarnation = sender;
                    self.feed(to, Input::Received { from, incarnation, at, body: &body });
                }
            }
            Cargo::Members(life, set) => {
                if self.nodes[to.index()].incarnation == life {
                    self.feed(to, Input::Members(set));
                }
            }
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            while let Some(entry) = self.flights.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let (to, cargo) = entry.remove();
                self.deliver(to, cargo);
            }
            for node in self.all() {
                let due = self.nodes[node.index()].share.deadline() <= self.now;
                if std::mem::take(&mut self.nodes[node.index()].touched) || due {
                    self.feed(node, Input::Tick);
                    self.nodes[node.index()].touched = false;
                }
            }
            let wakes = self.nodes.iter().map(|n| n.share.deadline());
            let arrival = self.flights.keys().next().map_or(Time::NEVER, |(at, _)| *at);
            let next = wakes.chain([arrival]).min().unwrap_or(Time::NEVER);
            if next > end {
                self.now = end;
                return;
            }
            // A node that wants its tick again and again at one moment would stop the world.
            self.now = next.max(self.now + us(1));
        }
    }

    pub fn heal(&mut self) {
        self.loss = 0;
        self.duplication = 0;
        self.delay_us = (50, 150);
        self.sides.fill(0);
        self.join();
    }

    pub fn count(&self, node: NodeId, name: &str) -> u64 {
        let counters = self.nodes[node.index()].share.counters();
        counters.iter().find(|c| c.name == name).expect("a counter").count
    }
}

impl Node {
    fn walk(&mut self, to: NodeId, (copy, part): (u64, u32), most: usize) -> (Vec<Flow>, bool) {
        if part == 0 {
            self.walks.insert(to, (copy, self.table.keys().rev().copied().collect()));
        }
        let (walked, left) = self.walks.get_mut(&to).expect("a walk that was begun");
        assert_eq!(*walked, copy, "a walk that a newer one ended");
        let keys = left.split_off(left.len().saturating_sub(most));
        let last = left.is_empty();
        (keys.iter().rev().filter_map(|k| self.table.get(k)).copied().collect(), last)
    }
}

fn apply(table: &mut BTreeMap<FlowKey, Flow>, flow: &Flow) {
    if table.get(&flow.key).is_some_and(|known| !supersedes(flow, known)) {
        return;
    }
    if flow.state == FlowState::Gone {
        table.remove(&flow.key);
    } else {
        table.insert(flow.key, *flow);
    }
}
