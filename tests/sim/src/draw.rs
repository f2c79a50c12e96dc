//! The faults of a plan. Which may happen follows from what the run must show; called once per plan.

use crate::fault::{Change, Fault, Span};
use crate::plan::{Class, MS, Plan, nanos};
use crate::random::Random;
use dsc_wire::local::{Command, Duty};
use dsc_wire::{
    BackendId, BackendState, NodeId, NodeSet, Partition, SubnetId, SubnetSet, Timing, VipId,
};

/// Most faults of one plan; the rarest hole found in the rules so far needed eight.
const FAULTS_MAX: u64 = 10;

/// The faults of `plan`, between `start` and `start + window`, in order of time.
pub fn faults(random: &mut Random, plan: &Plan, start: Span, window: Span) -> Vec<(Span, Fault)> {
    let mut draw = Draw { plan, window, off: 0, half: SubnetId(random.below(2) as u8), random };
    let mut list = match plan.class {
        Class::Quiet => Vec::new(),
        Class::Operator => draw.operator(),
        Class::Crash => draw.crashes(),
        Class::Heal => draw.absences(),
        Class::Whole | Class::Cut | Class::Majority => draw.any(start),
    };
    let words = &mut Random::new(plan.seed, 5);
    for (at, word) in backends(words, plan, start, window) {
        let place = words.below(list.len() as u64 + 1) as usize;
        list.insert(place, (at, word));
    }
    let words = &mut Random::new(plan.seed, 6);
    for (at, word) in verdicts(words, plan, start, window) {
        let place = words.below(list.len() as u64 + 1) as usize;
        list.insert(place, (at, word));
    }
    let words = &mut Random::new(plan.seed, 8);
    for (at, word) in lights(words, plan, start, window) {
        let place = words.below(list.len() as u64 + 1) as usize;
        list.insert(place, (at, word));
    }
    if !plan.paced {
        list.sort_by_key(|(at, _)| *at);
    }
    list
}

/// Changes of the configuration, in some plans. From a stream of their own, as below.
pub fn changes(plan: &mut Plan) {
    let random = &mut Random::new(plan.seed, 7);
    let may = matches!(plan.class, Class::Operator | Class::Whole | Class::Cut | Class::Majority);
    if !may || plan.nodes() > 16 || plan.cluster.vips.len() > 64 || !random.chance(400) {
        return;
    }
    let nodes = plan.nodes() as u64;
    let vips = plan.cluster.vips.len() as u64;
    // Whoever stays off must not be one too many when others are taken out as well.
    let majority = plan.cluster.partition == Partition::Majority;
    let stays_off = |f: &Fault| matches!(f, Fault::Crash { lasts: Span::MAX, .. });
    let keeps = majority && (plan.paced || plan.faults.iter().any(|(_, f)| stays_off(f)));
    if random.chance(300) && nodes > 2 && !plan.paced && !keeps {
        plan.first.nodes.remove(NodeId(random.below(nodes) as u8));
    }
    for _ in 0..random.below(3) {
        let vip = VipId(random.below(vips) as u16);
        if !plan.first.without.contains(&vip) {
            plan.first.without.push(vip);
        }
    }
    plan.first.without.sort();
    plan.first.padding = random.pick(&[0, 500, 3_000, 40_000]) as usize;
    let last = plan.heal.max(1);
    for _ in 0..random.range(1, if plan.paced { 3 } else { 5 }) {
        let node = NodeId(random.below(nodes) as u8);
        let change = match random.below(10) {
            0..4 => Change::Vip(VipId(random.below(vips) as u16)),
            4..8 if !keeps => Change::Node(NodeId(random.below(nodes) as u8)),
            8 if plan.paced => Change::Refused(NodeId(random.below(nodes) as u8)),
            _ => Change::Size(random.below(5_000) as usize),
        };
        let change = Fault::Change { node, change };
        if plan.paced {
            let place = random.below(plan.faults.len() as u64 + 1) as usize;
            plan.faults.insert(place, (random.below(60 * MS), change));
        } else {
            plan.faults.push((random.below(last), change));
        }
    }
    if !plan.paced {
        plan.faults.sort_by_key(|(at, _)| *at);
    }
}

/// States for backends, in some plans. Drawn from a stream of their own: without them a seed goes on naming the run that it
/// named before there were any.
fn backends(random: &mut Random, plan: &Plan, start: Span, window: Span) -> Vec<(Span, Fault)> {
    let few = plan.paced && plan.class != Class::Operator;
    let count = match plan.class {
        Class::Quiet => 0,
        _ if random.chance(500) => 0,
        _ => random.range(1, if few { 2 } else { 6 }),
    };
    let states = [BackendState::Enabled, BackendState::Draining, BackendState::Disabled];
    (0..count)
        .map(|_| {
            let backend = BackendId(random.below(plan.cluster.backends.len() as u64) as u16);
            let command = Command::Backend { backend, state: random.pick(&states) };
            let node = NodeId(random.below(plan.nodes() as u64) as u8);
            let at = if plan.paced { random.below(60 * MS) } else { start + random.below(window) };
            (at, Fault::Command { node, command })
        })
        .collect()
}

/// What checks of backends find, in some plans without a pace. From a stream of their own, as above.
fn verdicts(random: &mut Random, plan: &Plan, start: Span, window: Span) -> Vec<(Span, Fault)> {
    let count = match plan.class {
        Class::Quiet => 0,
        _ if plan.paced || random.chance(500) => 0,
        _ => random.range(1, 8),
    };
    (0..count)
        .map(|_| {
            let node = NodeId(random.below(plan.nodes() as u64) as u8);
            let (has, red) = (random.below(8) as u8, random.below(8) as u8);
            (start + random.below(window), Fault::Checked { node, has, red })
        })
        .collect()
}

/// What the nodes' own checks say, in some plans without a pace. From a stream of their own, as above.
fn lights(random: &mut Random, plan: &Plan, start: Span, window: Span) -> Vec<(Span, Fault)> {
    let count = match plan.class {
        Class::Quiet | Class::Operator => 0,
        _ if plan.paced || random.chance(500) => 0,
        _ => random.range(1, 8),
    };
    (0..count)
        .map(|_| {
            let node = NodeId(random.below(plan.nodes() as u64) as u8);
            let (red, unfit) = (random.below(8) as u8, random.below(4) as u8);
            (start + random.below(window), Fault::Lights { node, red, unfit })
        })
        .collect()
}

struct Draw<'a> {
    random: &'a mut Random,
    plan: &'a Plan,
    window: Span,
    /// Nodes that stay off to the end.
    off: usize,
    /// The only subnet that is ever cut in a run that keeps exchanges whole.
    half: SubnetId,
}

impl Draw<'_> {
    fn node(&mut self) -> NodeId {
        NodeId(self.random.below(self.plan.nodes() as u64) as u8)
    }

    fn other(&mut self, than: NodeId) -> NodeId {
        let n = self.plan.nodes() as u64;
        NodeId(((u64::from(than.0) + 1 + self.random.below(n - 1)) % n) as u8)
    }

    /// A time near one of those that decide something.
    fn span(&mut self) -> Span {
        let t = &self.plan.cluster.timing;
        let scale = self.random.pick(&[
            t.stall,
            t.rotation,
            t.removal,
            t.starve,
            t.lease,
            Timing::fence(t.lease),
            t.lease + t.lease / 2,
            2 * t.lease,
        ]);
        nanos(scale) * self.random.range(300, 1700) / 1000
    }

    /// Commands and planned restarts, each after the one before has come to its end. A plan either closes one node
    /// or restarts some: with the only open node restarted, nobody is left to serve.
    fn operator(&mut self) -> Vec<(Span, Fault)> {
        let count = self.random.range(1, 5);
        let restarts = self.random.chance(400) && self.plan.nodes() > 1;
        let closed = self.node();
        (0..count)
            .map(|_| {
                let at = self.random.below(60 * MS);
                let node = self.node();
                let fault = if restarts && self.random.chance(600) {
                    Fault::Leave { node, lasts: self.random.range(1, 300) * MS }
                } else {
                    let command = match self.command() {
                        Command::Duty { duty, .. } if !restarts => {
                            Command::Duty { node: closed, duty }
                        }
                        Command::Duty { node, .. } => Command::Duty { node, duty: Duty::Open },
                        other => other,
                    };
                    Fault::Command { node, command }
                };
                (at, fault)
            })
            .collect()
    }

    fn command(&mut self) -> Command {
        let vip = VipId(self.random.below(self.plan.cluster.vips.len() as u64) as u16);
        let node = self.node();
        match self.random.below(10) {
            0..5 => Command::MoveVip { vip, node },
            5 => Command::Pin { vip, node: self.random.chance(600).then_some(node) },
            6 => Command::Unpin { vip },
            _ => {
                let duty = self.random.pick(&[Duty::Open, Duty::Draining, Duty::Closed]);
                Command::Duty { node, duty }
            }
        }
    }

    /// Crashes, each after the ring is whole again.
    fn crashes(&mut self) -> Vec<(Span, Fault)> {
        let count = self.random.range(1, 2);
        (0..count)
            .map(|_| {
                let node = self.node();
                let stays = self.random.chance(500) && self.may_stay_off();
                let away = self.plan.bound() / 8 + self.span();
                let lasts = if stays { Span::MAX } else { away };
                (self.random.below(60 * MS), Fault::Crash { node, lasts })
            })
            .collect()
    }

    /// Fewer than half of the nodes are away for a while, all in the same way.
    fn absences(&mut self) -> Vec<(Span, Fault)> {
        let count = self.random.range(1, 2);
        (0..count).map(|_| (self.random.below(60 * MS), self.absence())).collect()
    }

    fn absence(&mut self) -> Fault {
        let node = self.node();
        let lasts = self.plan.apart() * self.random.range(200, 3_000) / 1_000;
        match self.random.below(6) {
            0 => Fault::Pause { node, lasts },
            1 => Fault::Kill { node, lasts: self.restart(lasts) },
            2 => Fault::Crash { node, lasts },
            _ => {
                let all: NodeSet = (0..self.plan.nodes() as u8).map(NodeId).collect();
                let size = self.random.range(1, (self.plan.nodes() as u64 - 1) / 2);
                let mut from = NodeSet::EMPTY;
                while (from.len() as u64) < size {
                    from.insert(self.node());
                }
                let to = all.iter().filter(|n| !from.contains(*n)).collect();
                Fault::Cut { from, to, subnets: SubnetSet(0b11), both: true, lasts }
            }
        }
    }

    /// May one more node stay off, so that what is left must serve?
    fn may_stay_off(&mut self) -> bool {
        let nodes = self.plan.nodes();
        let majority = self.plan.cluster.partition == Partition::Majority;
        let limit = if majority { (nodes - 1) / 2 } else { nodes - 1 };
        let may = self.off < limit;
        self.off += usize::from(may);
        may
    }

    fn any(&mut self, start: Span) -> Vec<(Span, Fault)> {
        let count = self.random.range(1, FAULTS_MAX);
        let burst = self.random.chance(500);
        let first = self.random.below(self.window);
        (0..count)
            .map(|_| {
                let mut at = self.random.below(self.window);
                if burst {
                    at = first + at / 5;
                }
                (start + at, self.one())
            })
            .collect()
    }

    fn one(&mut self) -> Fault {
        let node = self.node();
        let lasts = self.span();
        match self.random.below(14) {
            0..3 => Fault::Pause { node, lasts },
            3 => Fault::Stall { node, effects: self.random.below(8) as u8, lasts },
            4 => self.crash(node, lasts),
            5 => Fault::Kill { node, lasts: self.restart(lasts) },
            6 => Fault::Command { node, command: self.command() },
            7 => match self.random.below(3) {
                0 => Fault::Leave { node, lasts },
                1 => Fault::Unable { node, subnet: SubnetId(self.random.below(2) as u8), lasts },
                _ => self.carrier(node, lasts),
            },
            _ => self.network(node, lasts),
        }
    }

    fn crash(&mut self, node: NodeId, lasts: Span) -> Fault {
        let stays = self.random.chance(200) && self.may_stay_off();
        Fault::Crash { node, lasts: if stays { Span::MAX } else { lasts } }
    }

    /// A daemon is started again at once, or late.
    fn restart(&mut self, lasts: Span) -> Span {
        if self.random.chance(500) { self.random.below(5 * MS) } else { lasts }
    }

    /// A run that keeps exchanges whole either loses single packets or cuts one subnet, never both.
    fn one_subnet(&self) -> bool {
        self.plan.weather.loss_permille == 0
    }

    fn carrier(&mut self, node: NodeId, lasts: Span) -> Fault {
        if self.plan.class != Class::Whole {
            Fault::Carrier { node, subnet: SubnetId(self.random.below(2) as u8), lasts }
        } else if self.one_subnet() {
            Fault::Carrier { node, subnet: self.half, lasts }
        } else {
            Fault::Pause { node, lasts }
        }
    }

    fn network(&mut self, node: NodeId, lasts: Span) -> Fault {
        let to = self.other(node);
        if self.plan.class == Class::Whole {
            if !self.one_subnet() {
                return Fault::Pause { node, lasts };
            }
            return self.cut(node, to, [self.half].into_iter().collect(), lasts);
        }
        match self.random.below(10) {
            0 | 1 => Fault::Acks { from: node, to, lasts },
            2 => Fault::Loss { permille: self.random.range(50, 600) as u16, lasts },
            3 => {
                let extra = self.span() / 4;
                Fault::Slow { from: node, to, extra, lasts }
            }
            4 => Fault::Queue { node, places: self.random.below(4) as usize },
            _ => {
                let all = SubnetSet(0b11);
                let one = SubnetSet(1 << self.random.below(2));
                let on = self.random.pick(&[all, all, one]);
                self.cut(node, to, on, lasts)
            }
        }
    }

    fn cut(&mut self, a: NodeId, b: NodeId, subnets: SubnetSet, lasts: Span) -> Fault {
        let all: NodeSet = (0..self.plan.nodes() as u8).map(NodeId).collect();
        let both = self.random.chance(500);
        let (from, to) = match self.random.below(4) {
            0 | 1 => ([a].into_iter().collect(), [b].into_iter().collect()),
            2 => {
                let one: NodeSet = [a].into_iter().collect();
                if self.random.chance(500) { (one, all.without(a)) } else { (all.without(a), one) }
            }
            _ => {
                let side: NodeSet = all.iter().filter(|_| self.random.chance(500)).collect();
                let rest = all.iter().filter(|n| !side.contains(*n)).collect();
                (side, rest)
            }
        };
        Fault::Cut { from, to, subnets, both, lasts }
    }
}
