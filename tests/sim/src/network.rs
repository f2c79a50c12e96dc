//! The wires: for each packet, when it arrives, if at all, and whether twice. Called by the world for each packet
//! that a member sends; knows nothing of what it carries but whether it is an acknowledgement.

use crate::fault::Span;
use crate::plan::{Plan, Weather, nanos};
use crate::random::Random;
use dsc_wire::{NodeId, NodeSet, SubnetId, SubnetSet};

/// How long after the first a second copy may arrive.
const TWICE_LATE: Span = 60_000_000;

/// All wires between the nodes.
#[derive(Clone, Debug)]
pub struct Network {
    nodes: usize,
    subnets: Vec<SubnetSet>,
    weather: Weather,
    /// Longest time that one exchange takes before it is given up.
    exchange: Span,
    /// Until when nothing passes, per (from, to, subnet).
    cuts: Vec<[Span; 2]>,
    /// Until when a node's interface is dead.
    ports: Vec<[Span; 2]>,
    acks: Vec<Span>,
    slow: Vec<(Span, Span)>,
    loss: (Span, u64),
    /// When a packet of the pair was last lost, either way.
    lost: Vec<Option<Span>>,
    healed: bool,
    random: Random,
}

/// When a packet arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Never.
    Lost,
    /// At this time.
    Once(Span),
    /// At both times.
    Twice(Span, Span),
}

impl Network {
    /// Wires without a fault.
    pub fn new(plan: &Plan, random: Random) -> Network {
        let nodes = plan.nodes();
        Network {
            nodes,
            subnets: plan.cluster.nodes.iter().map(|n| n.subnets).collect(),
            weather: plan.weather.clone(),
            exchange: nanos(plan.cluster.timing.removal),
            cuts: vec![[0; 2]; nodes * nodes],
            ports: vec![[0; 2]; nodes],
            acks: vec![0; nodes * nodes],
            slow: vec![(0, 0); nodes * nodes],
            loss: (0, 0),
            lost: vec![None; nodes * nodes],
            healed: false,
            random,
        }
    }

    fn pair(&self, from: NodeId, to: NodeId) -> usize {
        from.index() * self.nodes + to.index()
    }

    /// Cuts what leads from any of `from` to any of `to`.
    pub fn cut(&mut self, from: NodeSet, to: NodeSet, subnets: SubnetSet, until: Span) {
        for a in from.iter() {
            for b in to.iter() {
                let pair = self.pair(a, b);
                for s in subnets.iter() {
                    self.cuts[pair][s.index()] = until;
                }
            }
        }
    }

    /// Kills a node's interface.
    pub fn unplug(&mut self, node: NodeId, subnet: SubnetId, until: Span) {
        self.ports[node.index()][subnet.index()] = until;
    }

    /// Is the node's interface alive?
    pub fn plugged(&self, at: Span, node: NodeId, subnet: SubnetId) -> bool {
        self.ports[node.index()][subnet.index()] <= at
    }

    /// Loses acknowledgements from `from` to `to`.
    pub fn lose_acks(&mut self, from: NodeId, to: NodeId, until: Span) {
        let pair = self.pair(from, to);
        self.acks[pair] = until;
    }

    /// Slows both directions down by up to `extra`.
    pub fn slow(&mut self, a: NodeId, b: NodeId, extra: Span, until: Span) {
        for pair in [self.pair(a, b), self.pair(b, a)] {
            self.slow[pair] = (until, extra);
        }
    }

    /// Loses packets anywhere.
    pub fn lose(&mut self, permille: u64, until: Span) {
        self.loss = (until, permille);
    }

    /// Ends every fault, and the weather's losses.
    pub fn heal(&mut self) {
        self.cuts.fill([0; 2]);
        self.ports.fill([0; 2]);
        self.acks.fill(0);
        self.slow.fill((0, 0));
        self.loss = (0, 0);
        self.healed = true;
    }

    fn open(&self, at: Span, from: NodeId, to: NodeId, path: SubnetId) -> bool {
        self.cuts[self.pair(from, to)][path.index()] <= at
            && self.plugged(at, from, path)
            && self.plugged(at, to, path)
    }

    /// Does some subnet carry whole exchanges between the two?
    pub fn connected(&self, at: Span, a: NodeId, b: NodeId) -> bool {
        let clear = |x: NodeId, y: NodeId| {
            self.acks[self.pair(x, y)] <= at && self.slow[self.pair(x, y)].0 <= at
        };
        clear(a, b)
            && clear(b, a)
            && self.loss.0 <= at
            && self.shared(a, b).any(|s| self.open(at, a, b, s) && self.open(at, b, a, s))
    }

    fn shared(&self, a: NodeId, b: NodeId) -> impl Iterator<Item = SubnetId> {
        let (a, b) = (self.subnets[a.index()], self.subnets[b.index()]);
        a.iter().filter(move |s| b.contains(*s))
    }

    fn lucky(&mut self, at: Span, from: NodeId, to: NodeId) -> bool {
        let burst = self.loss.0 > at && self.random.chance(self.loss.1);
        if burst {
            return false;
        }
        if self.healed || !self.random.chance(self.weather.loss_permille) {
            return true;
        }
        let pair = self.pair(from.min(to), from.max(to));
        if self.weather.guard && self.lost[pair].is_some_and(|last| at < last + 2 * self.exchange) {
            return true;
        }
        self.lost[pair] = Some(at);
        false
    }

    fn delay(&mut self, at: Span, pair: usize) -> Span {
        let mut delay = self.weather.delay + self.random.below(self.weather.jitter + 1);
        if self.random.chance(self.weather.tail_permille) {
            delay += self.random.below(self.weather.tail + 1);
        }
        let (until, extra) = self.slow[pair];
        if until > at {
            delay += self.random.below(extra + 1);
        }
        delay
    }

    /// What becomes of a packet sent at `at`.
    pub fn fate(&mut self, at: Span, from: NodeId, to: NodeId, path: SubnetId, ack: bool) -> Fate {
        let pair = self.pair(from, to);
        if !self.open(at, from, to, path)
            || (ack && self.acks[pair] > at)
            || !self.lucky(at, from, to)
        {
            return Fate::Lost;
        }
        let first = at + self.delay(at, pair);
        if self.random.chance(self.weather.twice_permille) {
            return Fate::Twice(first, first + self.random.below(TWICE_LATE));
        }
        Fate::Once(first)
    }
}
