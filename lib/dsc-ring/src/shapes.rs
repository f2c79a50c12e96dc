//! Shapes of traffic on a table of members and VIPs, without a wire: what `load.rs` and `balance.rs` make of them in minutes
//! and days. Every member remembers by itself, and the token passes one after the other.

use super::*;
use crate::balance::LEAST;
use dsc_wire::local::Duty;
use dsc_wire::token::MemberRecord;
use dsc_wire::{
    Cluster, Incarnation, Key, NodePlan, Partition, Rejoin, SubnetId, SubnetSet, Timing, VipPlan,
};

/// A cluster, and who takes part.
struct Table {
    now: Time,
    /// Between two members' turns.
    step: Duration,
    token: Token,
    members: Vec<Loads>,
    takers: NodeSet,
    /// When, which, from where to where.
    moves: Vec<(Time, VipId, NodeId, NodeId)>,
    /// Bytes per second of each VIP as they are.
    loads: Vec<u64>,
    cpu: Vec<u16>,
}

fn token(nodes: usize, hosts: &[usize]) -> Token {
    let subnets = SubnetSet(1);
    let vip = VipPlan { subnet: SubnetId(0), preferred: None, persistence: Persistence::Free };
    let cluster = Cluster {
        nodes: vec![NodePlan { subnets, witness: false }; nodes],
        vips: vec![vip; hosts.len()],
        backends: Vec::new(),
        partition: Partition::Serve,
        rejoin: Rejoin::Auto,
        timing: Timing::DEFAULT,
        balance: Balance::DEFAULT,
        digest: 1,
        version: 0,
    };
    let record = |(i, host): (usize, &usize)| {
        let mut v = VipRecord::new(&cluster, VipId(i as u16));
        (v.owner, v.moves) = (Some(NodeId(*host as u8)), 1);
        v
    };
    let member = |n: u8| MemberRecord::new(NodeId(n), Incarnation(1), Duty::Open);
    Token {
        key: Key::ZERO,
        digest: 1,
        switch: Key::ZERO,
        lease_us: 0,
        founding_us: 0,
        hurry: 0,
        members: (0..nodes as u8).map(member).collect(),
        absent: Vec::new(),
        vips: hosts.iter().enumerate().map(record).collect(),
        links: Vec::new(),
        reports: Vec::new(),
        backends: Vec::new(),
        health: Vec::new(),
        switches: Vec::new(),
        lights: Vec::new(),
        config: Default::default(),
        unknown: Vec::new(),
    }
}

impl Table {
    fn new(nodes: usize, hosts: &[usize]) -> Table {
        Table {
            now: Time::from_ms(100_000),
            step: Duration::from_millis(5),
            token: token(nodes, hosts),
            members: vec![Loads::new(Balance::DEFAULT, nodes, hosts.len()); nodes],
            takers: (0..nodes as u8).map(NodeId).collect(),
            moves: Vec::new(),
            loads: vec![0; hosts.len()],
            cpu: vec![100; nodes],
        }
    }

    /// The next member's turn; a hand-over takes until it comes round again.
    fn step(&mut self) {
        for n in 0..self.members.len() {
            let me = NodeId(n as u8);
            if !self.token.has(me) {
                continue;
            }
            self.now += self.step;
            if let Some(m) = self.token.member_mut(me) {
                m.load.cpu_permille = self.cpu[n];
            }
            let loads = &mut self.members[n];
            let own = self.token.vips.iter().map(|v| v.owner == Some(me)).collect::<Vec<_>>();
            let said = (0u16..).map(VipId).zip(&self.loads);
            loads.measure(Some(
                said.map(|(vip, bytes_per_s)| VipLoad { vip, bytes_per_s: *bytes_per_s }).collect(),
            ));
            if loads.watch(self.now, &self.token, |vip| own[vip.index()], |_| true) {
                loads.look(self.now, &mut self.token, me);
            }
            let named = |v: &&mut VipRecord| v.owner == Some(me) && v.next.is_some();
            if let Some(v) = self.token.vips.iter_mut().find(named) {
                v.owner = v.next.take();
                v.moves += 1;
            } else if loads.is_due(self.now)
                && let Some(m) = loads.next_move(self.now, &self.token, me, |_| self.takers)
            {
                assert_eq!(m.from, me);
                self.token.vips[m.vip.index()].next = Some(m.to);
                self.moves.push((self.now, m.vip, m.from, m.to));
            }
        }
    }

    /// Lets time pass; `shape` gives each VIP's load at a time since the start.
    fn run(&mut self, span: Duration, shape: impl Fn(usize, Duration) -> u64) {
        let start = self.now;
        while self.now < start + span {
            for (i, load) in self.loads.iter_mut().enumerate() {
                *load = shape(i, self.now.since(start));
            }
            self.step();
        }
    }

    fn carried(&self, loads: &[u64]) -> Vec<u64> {
        let mut carried = vec![0; self.members.len()];
        for (v, load) in self.token.vips.iter().zip(loads) {
            carried[v.owner.expect("a host").index()] += load;
        }
        carried
    }

    /// The most loaded member's load beside that of the best possible placement.
    fn ratio(&self) -> f64 {
        let most = *self.carried(&self.loads).iter().max().expect("members") as f64;
        let free = |v: &VipRecord| v.persistence == Persistence::Free;
        let mut base = vec![0; self.takers.len()];
        let mut free_loads = Vec::new();
        for (v, load) in self.token.vips.iter().zip(&self.loads) {
            match free(v) {
                true => free_loads.push(*load),
                false => base[v.owner.expect("a host").index()] += load,
            }
        }
        most / best(&mut base, &mut free_loads) as f64
    }

    /// Moves that bring a VIP back to a host that it had in the last so long.
    fn returns(&self, within: Duration) -> usize {
        let back = |(i, (at, vip, _, to)): (usize, &(Time, VipId, NodeId, NodeId))| {
            let earlier = self.moves[..i].iter().rev();
            let mut left = earlier
                .filter(|(then, v, from, _)| v == vip && from == to && at.since(*then) < within);
            usize::from(left.next().is_some())
        };
        self.moves.iter().enumerate().map(back).sum()
    }
}

/// The least possible load of the most loaded member: every placement, but for those that cannot be better.
fn best(base: &mut [u64], loads: &mut [u64]) -> u64 {
    fn place(on: &mut [u64], loads: &[u64], best: &mut u64) {
        let most = on.iter().copied().max().unwrap_or(0);
        let Some((load, rest)) = loads.split_first() else {
            *best = most.min(*best);
            return;
        };
        let mut tried = Vec::new();
        for i in 0..on.len() {
            if on[i] + load < *best && !tried.contains(&on[i]) {
                tried.push(on[i]);
                on[i] += load;
                place(on, rest, best);
                on[i] -= load;
            }
        }
    }
    loads.sort_unstable_by(|a, b| b.cmp(a));
    let mut least = u64::MAX;
    place(base, loads, &mut least);
    least
}

/// A sequence of numbers that only its seed decides (xorshift64*).
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % n
    }

    /// Pareto with exponent about 1: few elephants have most of it.
    fn heavy(&mut self) -> u64 {
        30_000_000 / (1 + self.below(1_000))
    }
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Four members, some VIPs anywhere, each with a load of its own.
fn unequal(seed: u64) -> (Table, Vec<u64>) {
    let mut draw = Draw(seed * 7919);
    let vips = 6 + draw.below(7) as usize;
    let kind = draw.below(3);
    let load = |draw: &mut Draw| match kind {
        0 => draw.heavy(),
        1 => 100_000 + draw.below(1_000_000),
        _ => 500_000,
    };
    let loads = (0..vips).map(|_| load(&mut draw)).collect();
    let host = |draw: &mut Draw| if kind == 2 { 0 } else { draw.below(4) as usize };
    let hosts: Vec<usize> = (0..vips).map(|_| host(&mut draw)).collect();
    (Table::new(4, &hosts), loads)
}

#[test]
fn unequal_loads_are_near_the_best_in_ten_seconds_and_then_rest() {
    let mut late = 0;
    for seed in 1..=500 {
        let (mut table, loads) = unequal(seed);
        table.run(10 * SECOND, |i, _| loads[i]);
        late += usize::from(table.ratio() > 1.2);
        table.run(20 * SECOND, |i, _| loads[i]);
        assert!(table.ratio() <= 1.2, "seed {seed}: {}", table.ratio());
        let count = table.moves.len();
        assert!(count <= 3 * loads.len(), "seed {seed}: {count} moves");
        table.run(120 * SECOND, |i, _| loads[i]);
        assert_eq!(table.moves.len(), count, "seed {seed}: {:?}", table.moves);
    }
    // Where two halves of a swap have to wait for a cool-down.
    assert!(late <= 2, "{late} of 500 took longer");
}

#[test]
fn a_day_of_rising_and_falling_loads() {
    let mut table = Table::new(4, &[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
    table.step = SECOND / 4;
    let day = 24.0 * 3600.0;
    // Shops by day, backups by night, and what lies between.
    let shape = |i: usize, t: Duration| {
        let turn = t.as_secs_f64() / day + i as f64 / 12.0;
        (1e6 * (1.0 + i as f64 / 4.0) * (1.0 + 0.8 * (turn * std::f64::consts::TAU).sin())) as u64
    };
    for hour in 0..24u64 {
        let past = Duration::from_secs(hour * 3600);
        table.run(HOUR, |i, t| shape(i, past + t));
        assert!(table.ratio() <= 1.25, "hour {hour}: {}", table.ratio());
    }
    let (moves, returns) = (table.moves.len(), table.returns(600 * SECOND));
    assert!(moves <= 12 * 12, "{moves} moves");
    assert_eq!(returns, 0, "{:?}", table.moves);
}

#[test]
fn a_load_that_flaps_with_any_period_moves_little() {
    for period_ms in [500, 1_000, 3_000, 6_000, 12_000, 30_000, 60_000, 300_000] {
        let mut table = Table::new(4, &[0, 0, 0, 1, 1, 2, 2, 3, 3]);
        table.step = Duration::from_millis(50);
        // One half of the VIPs pauses while the other works.
        let shape = |i: usize, t: Duration| {
            let first = (t.as_millis() as u64 / period_ms).is_multiple_of(2);
            if first == i.is_multiple_of(2) { 1_000_000 * (1 + i as u64) } else { 0 }
        };
        table.run(10 * 60 * SECOND, shape);
        let settled = table.moves.len();
        table.run(HOUR, shape);
        let (moves, returns) = (table.moves.len() - settled, table.returns(600 * SECOND));
        assert!(settled <= 16, "period {period_ms} ms: {settled} moves");
        // What pauses for half a minute counts as its peak.
        assert!(moves == 0 || period_ms > 60_000, "period {period_ms} ms: {moves} moves");
        assert!(moves <= 10 * 9, "period {period_ms} ms: {moves} moves an hour");
        assert_eq!(returns, 0, "period {period_ms} ms: {:?}", table.moves);
    }
}

#[test]
fn bursts_and_elephants_move_each_vip_a_few_times_an_hour() {
    for (name, pause_s, length_s) in [("bursts", 10, 3), ("elephants", 60, 90)] {
        let mut draw = Draw(11);
        let mut table = Table::new(4, &[0, 1, 2, 3, 0, 1, 2, 3, 0, 1]);
        table.step = Duration::from_millis(50);
        // For each VIP, when something begins, how long it lasts, and how much it is.
        let mut all: Vec<Vec<(u64, u64, u64)>> = Vec::new();
        for _ in 0..10 {
            let (mut at, mut list) = (0, Vec::new());
            while at < 3600 {
                at += 1 + draw.below(2 * pause_s);
                let length = 1 + draw.below(2 * length_s);
                list.push((at, at + length, draw.heavy()));
                at += length;
            }
            all.push(list);
        }
        table.run(HOUR, |i, t| {
            let s = t.as_secs();
            200_000 + all[i].iter().find(|(a, b, _)| (*a..*b).contains(&s)).map_or(0, |b| b.2)
        });
        let (moves, returns) = (table.moves.len(), table.returns(600 * SECOND));
        assert!(moves <= 10 * 12, "{name}: {moves} moves of 10 VIPs in an hour");
        assert_eq!(returns, 0, "{name}: {:?}", table.moves);
    }
}

#[test]
fn a_member_that_joins_is_filled_and_one_that_drains_gets_nothing() {
    let mut table = Table::new(4, &[0, 0, 0, 1, 1, 1, 2, 2, 2]);
    let joins = table.token.members.pop().expect("a fourth");
    table.run(30 * SECOND, |_, _| 1_000_000);
    assert_eq!(table.moves, [], "even already");
    table.token.members.push(joins);
    table.run(10 * SECOND, |_, _| 1_000_000);
    let carried = table.carried(&table.loads);
    assert_eq!(carried[3], 2_000_000, "{carried:?}");
    let count = table.moves.len();
    assert_eq!(count, 2, "{:?}", table.moves);
    table.takers = table.takers.without(NodeId(3));
    table.loads.fill(0);
    let heavy: Vec<bool> = table.token.vips.iter().map(|v| v.owner == Some(NodeId(0))).collect();
    table.run(600 * SECOND, |i, _| if heavy[i] { 5_000_000 } else { 100_000 });
    assert!(table.moves[count..].iter().all(|(.., to)| *to != NodeId(3)), "{:?}", table.moves);
    assert!(table.moves.len() > count, "the others go on");
}

#[test]
fn vips_that_stick_stay_but_count() {
    let mut table = Table::new(2, &[0, 0, 0, 0]);
    table.token.vips[0].persistence = Persistence::Current;
    table.token.vips[1].persistence = Persistence::Preferred;
    table.run(30 * SECOND, |i, _| if i < 2 { 3_000_000 } else { 1_000_000 });
    let moved: Vec<VipId> = table.moves.iter().map(|(_, vip, ..)| *vip).collect();
    assert_eq!(moved, [VipId(2), VipId(3)], "the free ones, though they are the smaller ones");
}

#[test]
fn little_load_and_even_load_move_nothing() {
    let mut table = Table::new(2, &[0, 0, 0]);
    table.run(60 * SECOND, |_, _| LEAST / 4);
    assert_eq!(table.moves, [], "nobody would notice");
    let mut table = Table::new(2, &[0, 0, 1]);
    // A move would swap the two loads, and the next one swap them back.
    table.run(60 * SECOND, |i, _| if i == 0 { 1_000_000 } else { 20_000 * i as u64 });
    assert!(table.moves.len() <= 1, "{:?}", table.moves);
}

#[test]
fn a_vip_that_was_moved_on_purpose_cools_down() {
    let mut table = Table::new(2, &[0, 0, 0, 0]);
    table.run(2 * SECOND, |_, _| 0);
    // An operator moves a VIP to where the load is.
    table.token.vips[0].next = Some(NodeId(1));
    let start = table.now;
    let cooldown = Balance::DEFAULT.vip_cooldown;
    table.run(cooldown, |i, _| if i == 0 { 1_000_000 } else { 200_000 });
    assert!(table.moves.iter().all(|(_, vip, ..)| *vip != VipId(0)), "{:?}", table.moves);
    assert!(table.now >= start + cooldown);
}

#[test]
fn who_is_short_of_processor_time_carries_less_and_gets_nothing_back() {
    let mut table = Table::new(3, &[0, 0, 0, 1, 1, 1, 2, 2, 2]);
    let even = |_: usize, _: Duration| 1_000_000;
    table.run(20 * SECOND, even);
    assert_eq!(table.moves, []);
    table.cpu[0] = 950;
    table.run(10 * SECOND, even);
    let gave = table.moves.len();
    assert!(gave > 0 && table.moves.iter().all(|(_, _, from, _)| *from == NodeId(0)));
    // That helped.
    table.cpu[0] = 500;
    table.run(300 * SECOND, even);
    assert_eq!(table.moves.len(), gave, "{:?}", table.moves);
    // Everybody is busy: that is no reason.
    let mut table = Table::new(3, &[0, 0, 0, 1, 1, 1, 2, 2, 2]);
    table.cpu = vec![990, 950, 970];
    table.run(60 * SECOND, even);
    assert_eq!(table.moves, []);
    // An idle witness does not make the two busy ones an exception.
    let mut table = Table::new(3, &[0, 0, 0, 0, 1]);
    table.token.members[2].duty = Duty::Witness;
    table.takers = [NodeId(0), NodeId(1)].into_iter().collect();
    table.cpu = vec![900, 850, 10];
    table.run(60 * SECOND, even);
    assert_eq!(table.moves.len(), 1, "{:?}", table.moves);
    // Nor does one of whom nobody says how busy it is, and it relieves nobody.
    let mut table = Table::new(3, &[0, 0, 0, 1, 1, 1, 2, 2, 2]);
    table.cpu = vec![900, 850, 0];
    table.run(60 * SECOND, even);
    assert_eq!(table.moves, []);
    table.cpu[1] = 100;
    table.run(10 * SECOND, even);
    let relieves: Vec<_> = table.moves.iter().filter(|m| m.2 == NodeId(0)).collect();
    assert!(!relieves.is_empty() && relieves.iter().all(|m| m.3 == NodeId(1)), "{relieves:?}");
}
