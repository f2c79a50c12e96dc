//! From a seed to everything a run is made of: the cluster, its weather, the faults with their times. Called once
//! per run; what the faults look like is drawn in `draw`.

use crate::configs::{DISK_MAX, Doc};
use crate::draw;
use crate::fault::{Fault, Span};
use crate::random::Random;
use dsc_wire::{
    BackendState, Balance, Cluster, NodeId, NodePlan, Partition, Persistence, Rejoin, SubnetId,
    SubnetSet, Timing, VipPlan,
};
use std::time::Duration;

/// One millisecond of world time.
pub const MS: Span = 1_000_000;

/// A newly founded ring that misses nodes waits so long for them before it assigns VIPs that never had a host
/// (`founding` on the token).
pub const FOUNDING: Span = 500 * MS;

/// What a run is about, and so what it must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No fault at all: no VIP moves, no lease lapses.
    Quiet,
    /// Commands and planned restarts only: every VIP is taken care of at every instant.
    Operator,
    /// Power crashes far apart: the gap is bounded.
    Crash,
    /// Some nodes, fewer than half, are cut off, frozen or restarted for a while: no VIP of the others moves.
    Heal,
    /// `serve`, any fault that leaves each exchange between two running nodes whole: never two hosts.
    Whole,
    /// `serve`, any fault: two hosts only across a cut and shortly after it.
    Cut,
    /// `majority`, any fault: never two hosts.
    Majority,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 7] = [
        Class::Quiet,
        Class::Operator,
        Class::Crash,
        Class::Heal,
        Class::Whole,
        Class::Cut,
        Class::Majority,
    ];

    /// Do its faults come one by one, into a settled cluster under a clear sky?
    fn calm(self) -> bool {
        matches!(self, Class::Quiet | Class::Operator | Class::Crash | Class::Heal)
    }

    /// By its name in lower case.
    pub fn named(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|c| format!("{c:?}").to_lowercase() == name)
    }
}

/// What packets and processes suffer all the time.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Shortest time on the wire.
    pub delay: Span,
    /// Added to it at random.
    pub jitter: Span,
    /// Sometimes added as well.
    pub tail: Span,
    /// How often.
    pub tail_permille: u64,
    /// Lost packets in a thousand, until the faults end.
    pub loss_permille: u64,
    /// Never lose two packets of a pair within one removal time, so that each exchange stays whole.
    pub guard: bool,
    /// Packets in a thousand that arrive twice, the second one up to 60 ms later.
    pub twice_permille: u64,
    /// A woken process runs after up to this long.
    pub wake: Span,
    /// Now and then after up to this long.
    pub wake_tail: Span,
}

impl Weather {
    /// The longest a packet takes from one process to the next without a fault.
    pub fn hop(&self) -> Span {
        self.delay + self.jitter + self.tail + self.wake + self.wake_tail
    }
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it came from.
    pub seed: u64,
    /// What it must show.
    pub class: Class,
    /// As configured on every node.
    pub cluster: Cluster,
    /// Millionths by which each node's clock runs fast.
    pub drift_ppm: Vec<i64>,
    /// What packets and processes suffer all the time.
    pub weather: Weather,
    /// What of it is configured when the nodes are switched on.
    pub first: Doc,
    /// With the times at which they happen, in order.
    pub faults: Vec<(Span, Fault)>,
    /// Each fault waits until the cluster has settled after the one before; its time counts from there.
    pub paced: bool,
    /// When all faults end, unless paced; how long a quiet run goes on.
    pub heal: Span,
    /// What the host of each VIP carries for it, bytes per second, if VIPs move for the load.
    pub loads: Vec<u64>,
    /// Run on to the end of the bound after everything has settled.
    pub linger: bool,
}

/// What the caller of the simulator may pin down.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Only this class.
    pub class: Option<Class>,
    /// Only this many nodes.
    pub nodes: Option<usize>,
}

impl Plan {
    /// The run of `seed`.
    pub fn new(seed: u64, wish: Wish) -> Plan {
        let mut plan = Plan::still(seed, wish);
        plan.draw_loads();
        draw::changes(&mut plan);
        plan.draw_rejoin();
        plan
    }

    /// The same, but no VIP moves for the load.
    pub fn still(seed: u64, wish: Wish) -> Plan {
        let random = &mut Random::new(seed, 1);
        let class = draw_class(random);
        let class = wish.class.unwrap_or(class);
        let nodes = draw_nodes(random, class);
        let nodes = wish.nodes.unwrap_or(nodes);
        let fast = nodes <= 8 && random.chance(333);
        let cluster = draw_cluster(random, class, nodes, fast);
        let weather = draw_weather(random, class, fast);
        let drift = random.pick(&[0, 0, 100, 10_000]);
        let drift_ppm =
            (0..nodes).map(|_| random.range(0, 2 * drift) as i64 - drift as i64).collect();
        let scale = if fast { 250 } else { 1000 };
        let window = random.range(150, 700) * MS * scale / 1000;
        let paced = class.calm();
        let start = if paced || random.chance(250) { 0 } else { 350 * MS * scale / 1000 };
        let first = Doc::whole(&cluster);
        let mut plan = Plan {
            seed,
            class,
            cluster,
            drift_ppm,
            weather,
            first,
            faults: Vec::new(),
            paced,
            heal: 0,
            linger: random.chance(100),
            loads: Vec::new(),
        };
        plan.faults = draw::faults(&mut Random::new(seed, 2), &plan, start, window);
        let last = plan.faults.last().map_or(start, |(at, _)| *at);
        plan.heal = match class {
            Class::Quiet => 1500 * MS * scale / 1000,
            _ => last.max(start + window) + random.below(100 * MS * scale / 1000),
        };
        plan
    }

    /// Lets VIPs move for the load, in some plans, faster than anybody would configure. Drawn from a stream of its own, so that
    /// a seed goes on naming the run that it named before. Not where VIPs have to stay with whoever kept them.
    fn draw_loads(&mut self) {
        let random = &mut Random::new(self.seed, 6);
        let few = self.cluster.vips.len() <= 32;
        if self.class == Class::Heal || !few || !random.chance(300) {
            return;
        }
        let scale = if self.cluster.timing.rotation < Timing::DEFAULT.rotation { 1 } else { 4 };
        self.cluster.balance = Balance {
            on: true,
            hysteresis_percent: random.range(1, 20) as u8,
            vip_cooldown: Duration::from_millis(scale * random.range(10, 40)),
            ring_cooldown: Duration::from_millis(scale * random.range(1, 5)),
            sample: Duration::from_millis(scale * random.range(1, 4)),
        };
        for vip in &mut self.cluster.vips {
            self.loads.push(20_000 << random.below(8));
            if vip.persistence == Persistence::Current && random.chance(500) {
                vip.persistence = Persistence::Free;
            }
        }
    }

    /// Keeps those that come back closed, in some plans. From a stream of its own, as above, and only where no audit counts on
    /// a host that has come back.
    fn draw_rejoin(&mut self) {
        let any = matches!(self.class, Class::Whole | Class::Cut | Class::Majority);
        if any && Random::new(self.seed, 9).chance(200) {
            self.cluster.rejoin = Rejoin::Manual;
        }
    }

    /// How many nodes are configured.
    pub fn nodes(&self) -> usize {
        self.cluster.nodes.len()
    }

    /// Does the configuration change?
    pub fn changes(&self) -> bool {
        self.faults.iter().any(|(_, f)| matches!(f, Fault::Change { .. }))
    }

    /// After so long both sides of a cut have come to rest: the last to be missed was removed after all others, or the
    /// token was made again, and the VIPs of the other side have been taken over. What comes back sooner meets
    /// nodes that have not yet formed their ring.
    pub fn apart(&self) -> Span {
        let t = &self.cluster.timing;
        let removals = (self.nodes() as u64 + 2) * nanos(t.removal);
        2 * nanos(t.starve) + removals + 2 * nanos(Timing::fence(t.lease)) + 2 * nanos(t.rotation)
    }

    /// Until when a VIP that nobody answers after the faults, or a ring in parts, is forgiven. Each part is the
    /// longest of its kind: a node started at the end of the faults is silent for one fence (rule 12) and, where it
    /// finds nobody, sweeps for another (rule 14); a lost node's VIPs wait for a third; a patient node asks after
    /// `starve`, is denied and asks again after half of it, and its exchange may fail, three times over as rings
    /// merge pairwise (two, four, eight); beacons tell rings of each other once a beacon time; each VIP that goes
    /// is given away takes two turns, and joins take a turn each; a ring founded while nodes are missing waits for
    /// them. VIPs that go home do so later (see `settle::away`).
    pub fn bound(&self) -> Span {
        let t = &self.cluster.timing;
        let hops = self.nodes() as u64 * self.weather.hop();
        let turn = nanos(t.rotation) + hops;
        let fences = 3 * nanos(Timing::fence(t.lease_max));
        let asks = 6 * (2 * nanos(t.starve) + nanos(t.removal));
        let merges = 8 * nanos(t.beacon);
        let turns = turn * (8 + 2 * self.cluster.vips.len() as u64 + self.nodes() as u64);
        // A VIP that moves for the load takes two turns, waits for its cool-down, and few move more than twice.
        let balance = &self.cluster.balance;
        let pause = nanos(balance.ring_cooldown * 2 + balance.vip_cooldown) + 3 * turn;
        let moves = if balance.on { 2 * self.cluster.vips.len() as u64 * pause } else { 0 };
        // A change waits for disks, for who leaves, and for who is not ready; whoever was away asks, fetches, stores and asks again.
        let changes = if self.changes() { 6_000 * MS + 8 * DISK_MAX } else { 0 };
        fences + asks + merges + turns + moves + FOUNDING + changes
    }
}

/// As nanoseconds.
pub fn nanos(span: Duration) -> Span {
    span.as_nanos() as Span
}

fn draw_class(random: &mut Random) -> Class {
    match random.below(100) {
        0..5 => Class::Quiet,
        5..13 => Class::Operator,
        13..21 => Class::Crash,
        21..29 => Class::Heal,
        29..53 => Class::Whole,
        53..69 => Class::Cut,
        _ => Class::Majority,
    }
}

fn draw_nodes(random: &mut Random, class: Class) -> usize {
    match random.below(1000) {
        0 | 1 => 64,
        2..10 => random.range(9, 20) as usize,
        10..100 if !matches!(class, Class::Majority | Class::Heal) => 2,
        10..550 => 3,
        550..700 => 4,
        700..850 => 5,
        _ => random.range(6, 8) as usize,
    }
}

fn draw_cluster(random: &mut Random, class: Class, nodes: usize, fast: bool) -> Cluster {
    let both: SubnetSet = [SubnetId(0), SubnetId(1)].into_iter().collect();
    let mut plans = vec![NodePlan { subnets: both, witness: false }; nodes];
    let majority = match class {
        Class::Majority => true,
        Class::Whole | Class::Cut => false,
        _ => nodes > 2 && random.chance(300),
    };
    if majority && random.chance(250) {
        plans[random.below(nodes as u64) as usize].witness = true;
    }
    if nodes > 2 && matches!(class, Class::Cut | Class::Majority) && random.chance(100) {
        let lone = random.below(nodes as u64) as usize;
        plans[lone].subnets = [SubnetId(random.below(2) as u8)].into_iter().collect();
    }
    let vips = match random.below(300) {
        0 => 256,
        1..10 => 32,
        _ => random.range(2, 2 * nodes.min(8) as u64) as usize,
    };
    let style = random.below(4);
    let vips = (0..vips)
        .map(|_| {
            let persistence = match style {
                0 => Persistence::Free,
                1 => Persistence::Current,
                2 => Persistence::Preferred,
                _ => {
                    random.pick(&[Persistence::Free, Persistence::Current, Persistence::Preferred])
                }
            };
            let some = persistence == Persistence::Preferred || random.chance(300);
            VipPlan {
                subnet: SubnetId(random.below(2) as u8),
                preferred: some.then(|| NodeId(random.below(nodes as u64) as u8)),
                persistence,
            }
        })
        .collect();
    let mut timing = if fast { Timing::FAST } else { Timing::DEFAULT };
    if random.chance(400) {
        timing.lease_max = timing.lease;
    }
    if nodes > 16 {
        // The hops of so many nodes are no longer small beside the rotation.
        timing.starve *= 2;
        timing.lease = Duration::from_millis(150);
        timing.lease_max = Duration::from_millis(200);
    }
    Cluster {
        nodes: plans,
        vips,
        backends: [BackendState::Enabled, BackendState::Disabled, BackendState::Enabled]
            .map(Some)
            .to_vec(),
        partition: if majority { Partition::Majority } else { Partition::Serve },
        rejoin: Rejoin::Auto,
        timing,
        balance: Balance { on: false, ..Balance::DEFAULT },
        digest: 0xD5C,
        version: 0,
    }
}

fn draw_weather(random: &mut Random, class: Class, fast: bool) -> Weather {
    let us = 1_000;
    let calm = class.calm();
    let (delay, jitter, tail) =
        if fast { (20 * us, 60 * us, 300 * us) } else { (50 * us, 250 * us, 2_700 * us) };
    let loss_permille = match class {
        Class::Whole => random.pick(&[0, 20]),
        Class::Cut => random.pick(&[0, 0, 20]),
        Class::Majority => random.pick(&[0, 2, 20, 50]),
        _ => 0,
    };
    Weather {
        delay,
        jitter: random.pick(&[jitter / 8, jitter]),
        tail: random.pick(&[0, tail / 4, if calm { tail / 4 } else { tail }]),
        tail_permille: 5,
        loss_permille,
        guard: class == Class::Whole,
        twice_permille: if calm { 0 } else { random.pick(&[0, 10]) },
        wake: random.pick(&[0, 20 * us, 100 * us]),
        wake_tail: random.pick(&[0, if fast { 200 * us } else { 1_500 * us }]),
    }
}
